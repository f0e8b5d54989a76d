#!/usr/bin/perl

# Tests for user info at a renewal, with "userinfo on": it is asked for again with the new access token,
# and takes the place of what was there; where it is not to be had, the old one stays until the next
# renewal; where the provider refuses it or says it of somebody else, the session ends. Each fact is told
# of a session in a cookie, in memory and in Redis. nginx, the provider and Redis run under a clock of
# their own.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my @stores = qw/ cookie memory redis /;

# An access token lives for 300 seconds, and is renewed 60 seconds ahead of its end. What came of a
# renewal stays for the cookie that it replaced for GRACE seconds.
use constant { LIFE => 300, DUE => 245, GRACE => 300 };

my $endpoint = 'http://127.0.0.1:' . port(8081) . '/userinfo';

# The old user info stays: name, kind of oidc_provider, answer, the sentence.

my @outages = (
    ['status 500', 'info', { status => 500 }, 'provider returned status 500'],
    ['status 503 with JSON', 'info', { status => 503, body => { error => 'x' } }, 'provider returned status 503'],
    ['status 429', 'info', { status => 429 }, 'provider returned status 429'],
    ['closed', 'info', { close => 'before_headers' }, qq{provider could not be reached at "$endpoint"}],
    ['cut short', 'info', { close => 'mid_body' }, qq{provider sent an incomplete response at "$endpoint"}],
    ['silence', 'hasty', { hold => 1 }, qq{provider did not respond in time at "$endpoint"}],
    ['HTML', 'info', { headers => { 'Content-Type' => 'text/html' }, body => '<html>' },
        'provider sent content type "text/html" instead of JSON'],
    ['no JSON', 'info', { body => 'sub=alice' }, 'user info is malformed JSON'],
    ['JSON cut short', 'info', { body => '{%%*%%' }, 'user info is malformed JSON'],
);

# The session ends: name, knobs, the sentence.

my @refusals = (
    (map {
        ["status $_", { respond => { '/userinfo' => { status => $_ } } }, "provider refused user info with status $_"]
    } 401, 403),
    ['401 with WWW-Authenticate', { respond => { '/userinfo' => { status => 401, body => { error => 'invalid_token' },
        headers => { 'WWW-Authenticate' => 'Bearer error="invalid_token"' } } } },
        'provider refused user info with status 401'],
    ['another sub', { userinfo => { claims => { sub => 'eve' } } }, 'user info has a different sub, "\x22eve\x22"'],
    ['no sub', { userinfo => { claims => { sub => undef } } }, 'user info has a different sub, ""'],
    ['another sub in a signed answer', { userinfo => { jwt => { claims => { sub => 'eve' } } } },
        'user info has a different sub, "\x22eve\x22"'],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(@stores * (8 * @outages + 8 * @refusals + 24));

my %tea = (userinfo => { claims => { department => 'Tea', team => 'info' } });
my $op = provider($t, 8081, refresh => {}, expires_in => LIFE, user => { sub => 'alice' }, %tea);
my $apart = provider($t, 8083,
    respond => { '/userinfo' => { status => 200, body => { sub => 'alice', department => 'Tea' } } });
$clock->follow($op, $apart);
my $redis = redis($t, 8379, clock => $clock);

$t->write_file('key', '0123456789abcdef' x 4 . "\n");
$t->write_file_expand('nginx.conf', configuration());
$t->run();

for my $store (@stores) {
    asks_again($store, "info_$store");
    withdraws($store, "info_$store");
    prefers_the_id_token($store, "info_$store");
    stays_in_an_outage($store, @$_) for @outages;
    stays_without_connection($store, "apart_$store");
    ends_by_a_refusal($store, "info_$store", @$_) for @refusals;
}

# ------------------------------------------------------------------------------------------------------

sub asks_again {
    my ($store, $place) = @_;

    my $user = due($place);
    is(department($op->{first}), 'Tea', "$store: as the login has it");
    $op->set(userinfo => { claims => { department => 'Hats', office => 'B1' } });
    my $answer = $user->get(page_of($place));
    is(department($answer), 'Hats', "$store: a claim that has changed shows");
    is(userinfo($answer)->{office}, 'B1', "$store: and so does one in \$oidc_userinfo");

    my ($asked) = $op->requests('/userinfo');
    is($asked->{headers}{authorization}, 'Bearer ' . issued(), "$store: it is asked for with the new access token");
    is($asked->{verdict}, 'ok', "$store: which the provider takes");
    is(department($user->get(page_of($place))), 'Hats', "$store: the next request has it, too");
    is($op->count('/userinfo'), 1, "$store: and does not ask");

    $op->set(refreshed => { token => { id_token => undef } }, userinfo => { claims => { department => 'Cards' } });
    $clock->advance(DUE);
    is(department($user->get(page_of($place))), 'Cards', "$store: so it is without a new ID token");
    is($op->count('/userinfo'), 2, "$store: once for each renewal");
}

sub withdraws {
    my ($store, $place) = @_;

    my $user = due($place);
    $op->set(userinfo => { claims => {} });
    my $answer = $user->get(page_of($place));
    is(department($answer), '', "$store, a claim is withdrawn: the request that renews does not see it");
    is(join(' ', sort keys %{ userinfo($answer) }), 'sub', "$store, a claim is withdrawn: nor does \$oidc_userinfo");
    is(department($user->get(page_of($place))), '', "$store, a claim is withdrawn: nor does the next request");
    $op->set(userinfo => { claims => { department => 'Tea' } });
    is(department($user->get(page_of($place))), '', "$store, a claim is withdrawn: until the next renewal");
    $clock->advance(DUE);
    is(department($user->get(page_of($place))), 'Tea', "$store, a claim is granted again: shows after it");
}

# Claims of both, of which one may be gone later.
sub prefers_the_id_token {
    my ($store, $place) = @_;

    my $user = due($place, id_token => { claims => { team => 'id' } });
    is(team($op->{first}), 'id', "$store, a claim of both: is the ID token's");
    is(team($user->get(page_of($place))), 'info',
        "$store, a claim of both: the user info's when the ID token loses it");
    $op->set(refreshed => { id_token => { claims => { team => 'new' } } });
    $clock->advance(DUE);
    is(team($user->get(page_of($place))), 'new', "$store, a claim of both: the ID token's when that has it again");

    $op->set(userinfo => { claims => {} });
    $clock->advance(DUE);
    is(team($user->get(page_of($place))), 'new', "$store, a claim of both: still so when user info loses it");

    $user = due($place, id_token => { claims => { team => 'id' } });
    $op->set(respond => { '/userinfo' => { status => 500 } });
    is(team($user->get(page_of($place))), 'info',
        "$store, a claim of both: that of the old user info where the ID token loses it and a new one is not to be had");
}

sub stays_in_an_outage {
    my ($store, $name, $kind, $respond, $sentence) = @_;

    my $place = "${kind}_$store";
    my $user = due($place);
    $op->set(respond => { '/userinfo' => $respond }, userinfo => { claims => { department => 'Hats' } });
    log_mark($t);
    my $answer = $user->get(page_of($place));
    is(token($answer), issued(), "$store, $name: the session lives on with the new tokens");
    is(department($answer), 'Tea', "$store, $name: and the old user info");
    $answer = $user->get(page_of($place));
    is(department($answer) . ' ' . token($answer), 'Tea ' . issued(), "$store, $name: as has the next request");
    is($op->count('/userinfo') . $op->count('/token refresh'), '11', "$store, $name: nobody asks again so soon");
    my @lines = error_log_lines($t, qr/oidc: .*provider "$place"/);
    is(scalar(@lines), 1, "$store, $name: one line in the log");
    like($lines[0] // '', renewing($sentence, $place), "$store, $name: which says why");

    $op->set(respond => {});
    $clock->advance(DUE);
    is(department($user->get(page_of($place))), 'Hats', "$store, $name: the next renewal asks again");
    is(department($user->get(page_of($place))), 'Hats', "$store, $name: for good");
}

# The endpoint is another server, which is gone.
sub stays_without_connection {
    my ($store, $place) = @_;

    my $url = 'http://127.0.0.1:' . port(8083) . '/userinfo';
    my $user = due($place);
    $apart->stop;
    log_mark($t);
    my $answer = $user->get(page_of($place));
    is(token($answer), issued(), "$store, connection refused: the session lives on with the new tokens");
    is(department($answer), 'Tea', "$store, connection refused: and the old user info");
    my @lines = error_log_lines($t, qr/oidc: .*provider "$place"/);
    is(scalar(@lines), 1, "$store, connection refused: one line in the log");
    like($lines[0] // '', renewing(qq{provider could not be reached at "$url"}, $place),
        "$store, connection refused: which says why");

    $apart->start
        ->set(respond => { '/userinfo' => { status => 200, body => { sub => 'alice', department => 'Hats' } } });
    $clock->advance(DUE);
    is(department($user->get(page_of($place))), 'Hats', "$store, connection refused: the next renewal asks again");
    $apart->reset;
}

sub ends_by_a_refusal {
    my ($store, $place, $name, $knobs, $sentence) = @_;

    my $user = due($place);
    my ($copy, $late) = map { $user->clone } 1, 2;
    $op->set(%$knobs);
    log_mark($t);
    my $answer = $user->get(page_of($place));
    like($answer->{location} // '', qr{/authorize\?}, "$store, $name: the request goes to the provider");
    is($user->cookie($place), undef, "$store, $name: the cookie goes");
    ok(log_has($t, renewing($sentence, $place)), "$store, $name: logged");
    is(scalar(error_log_lines($t, qr/oidc: .*provider "$place"/)), 1, "$store, $name: by one line");
    is($copy->get(page_of($place))->{status}, 302, "$store, $name: a copy of the cookie opens nothing");

    $op->reset;
    is($copy->get(page_of($place))->{status}, 302, "$store, $name: nor does it when the provider would say otherwise");
    $clock->advance(GRACE + 1);
    is($late->get(page_of($place))->{status}, 302, "$store, $name: nor does it later");
    is(department($user->login(page_of($place))), 'Tea', "$store, $name: and a new login is well");
}

# A browser whose session is in need of a refresh. The knobs are those of its login, and gone then.
sub due {
    my ($place, %knobs) = @_;

    $op->reset->set(%knobs);
    my $browser = browser();
    $op->{first} = $browser->login(page_of($place));
    $op->reset;
    $clock->advance(DUE);
    $op->clear;
    return $browser;
}

# The access token of the last refresh.
sub issued {
    my ($last) = reverse $op->requests('/token refresh');
    return $last->{issued}{access_token} // '';
}

sub token { return $_[0]{headers}{'x-token'} // outcome($_[0]) }

# A claim of user info alone, and one that the ID token may have, too.
sub department { return department_and_team($_[0])->[0] }
sub team { return department_and_team($_[0])->[1] }

sub department_and_team {
    my ($answer) = @_;

    my $claims = $answer->{status} == 200 ? $answer->{headers}{'x-claims'} : outcome($answer) . '|';
    return [split /\|/, $claims, -1];
}

sub userinfo {
    my ($answer) = @_;

    return Test::OIDC::JWT::from_json($answer->{headers}{'x-userinfo'} // '{}');
}

sub renewing {
    my ($sentence, $place) = @_;

    return qr/\[error\] .* oidc: \Q$sentence\E while renewing a session, provider "$place"/;
}

sub configuration {
    my %session = (session_key => 'key', session_timeout => '1h', userinfo => 'on');
    my @providers = map {
        my $store = $_;
        map {
            my ($kind, %changes) = @$_;
            oidc_provider("${kind}_$store", '', %session, session_store => $store, %changes);
        } ['info'], ['hasty', read_timeout => '1s'], ['apart', userinfo_endpoint => 'http://127.0.0.1:8083/userinfo'];
    } @stores;

    return nginx_conf(<<'EOF', @providers, site('page', <<'EOS'));
    oidc_session_store memory { type memory; size 1m; }

    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }
EOF
        proxy_hide_header X-Claims;
        add_header X-Claims   "$oidc_claim_department|$oidc_claim_team";
        add_header X-Userinfo $oidc_userinfo;
        add_header X-Token    $oidc_access_token;
EOS
}
