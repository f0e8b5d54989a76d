#!/usr/bin/perl

# Tests for user info at a renewal with "userinfo on", in every store: it is requested again with the new access token
# and replaces the old one. If it is not available, the old one stays until the next renewal; if the provider refuses
# it or sends that of another user, the session ends. nginx, the provider and Redis run under the clock of the test.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Sessions;
use Test::OIDC::Site;

my @stores = session_stores();

# An access token lives for 300 seconds and is renewed 60 seconds before it expires. The result of a renewal
# is kept for the replaced cookie for GRACE seconds.
use constant { LIFE => 300, DUE => 245, GRACE => 300 };

my $endpoint = 'http://127.0.0.1:' . port(8081) . '/userinfo';

# The old user info stays: name, kind of oidc_provider, user info response, log sentence.

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

# The session ends: name, knobs, log sentence.

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

write_session_key($t);
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
    my ($store, $provider) = @_;

    my $user = due($provider);
    is(department($op->{first}), 'Tea', "$store: the login has the claim");
    $op->set(userinfo => { claims => { department => 'Hats', office => 'B1' } });
    my $answer = $user->get(page_of($provider));
    is(department($answer), 'Hats', "$store: a changed claim shows");
    is(userinfo($answer)->{office}, 'B1', "$store: an added claim shows in \$oidc_userinfo");

    my ($asked) = $op->requests('/userinfo');
    is($asked->{headers}{authorization}, 'Bearer ' . issued(),
        "$store: the user info request has the new access token");
    is($asked->{verdict}, 'ok', "$store: the provider accepts the user info request");
    is(department($user->get(page_of($provider))), 'Hats', "$store: the next request sees the changed claim");
    is($op->count('/userinfo'), 1, "$store: the next request sends no user info request");

    $op->set(refreshed => { token => { id_token => undef } }, userinfo => { claims => { department => 'Cards' } });
    $clock->advance(DUE);
    is(department($user->get(page_of($provider))), 'Cards',
        "$store: without a new ID token, a changed claim shows, too");
    is($op->count('/userinfo'), 2, "$store: one user info request per renewal");
}

sub withdraws {
    my ($store, $provider) = @_;

    my $user = due($provider);
    $op->set(userinfo => { claims => {} });
    my $answer = $user->get(page_of($provider));
    is(department($answer), '',
        "$store, a claim is withdrawn: the request that triggers the renewal does not see it");
    is(join(' ', sort keys %{ userinfo($answer) }), 'sub',
        "$store, a claim is withdrawn: \$oidc_userinfo does not have it");
    is(department($user->get(page_of($provider))), '',
        "$store, a claim is withdrawn: the next request does not see it");
    $op->set(userinfo => { claims => { department => 'Tea' } });
    is(department($user->get(page_of($provider))), '',
        "$store, a claim is withdrawn: granted again, it does not show before the next renewal");
    $clock->advance(DUE);
    is(department($user->get(page_of($provider))), 'Tea',
        "$store, a claim is granted again: it shows after the next renewal");
}

# Claims that ID token and user info both have, until one of them lacks it.
sub prefers_the_id_token {
    my ($store, $provider) = @_;

    my $user = due($provider, id_token => { claims => { team => 'id' } });
    is(team($op->{first}), 'id', "$store, a claim of both: the value of the ID token is used");
    is(team($user->get(page_of($provider))), 'info',
        "$store, a claim of both: the value of user info is used if the ID token lacks it");
    $op->set(refreshed => { id_token => { claims => { team => 'new' } } });
    $clock->advance(DUE);
    is(team($user->get(page_of($provider))), 'new',
        "$store, a claim of both: the value of the ID token is used if it has it again");

    $op->set(userinfo => { claims => {} });
    $clock->advance(DUE);
    is(team($user->get(page_of($provider))), 'new',
        "$store, a claim of both: the value of the ID token is used if user info lacks it");

    $user = due($provider, id_token => { claims => { team => 'id' } });
    $op->set(respond => { '/userinfo' => { status => 500 } });
    is(team($user->get(page_of($provider))), 'info',
        "$store, a claim of both: the old user info is used if the ID token lacks it and user info is not available");
}

sub stays_in_an_outage {
    my ($store, $name, $kind, $respond, $sentence) = @_;

    my $provider = "${kind}_$store";
    my $user = due($provider);
    $op->set(respond => { '/userinfo' => $respond }, userinfo => { claims => { department => 'Hats' } });
    log_mark($t);
    my $answer = $user->get(page_of($provider));
    is(token($answer), issued(), "$store, $name: the session continues with the new tokens");
    is(department($answer), 'Tea', "$store, $name: the old user info is used");
    $answer = $user->get(page_of($provider));
    is(department($answer) . ' ' . token($answer), 'Tea ' . issued(),
        "$store, $name: the next request sees the same");
    is($op->count('/userinfo') . $op->count('/token refresh'), '11',
        "$store, $name: the next request sends nothing to the provider");
    my @lines = error_log_lines($t, qr/oidc: .*provider "$provider"/);
    is(scalar(@lines), 1, "$store, $name: one log line");
    like($lines[0] // '', renewing($sentence, $provider), "$store, $name: the log line states the reason");

    $op->set(respond => {});
    $clock->advance(DUE);
    is(department($user->get(page_of($provider))), 'Hats',
        "$store, $name: the next renewal requests user info again");
    is(department($user->get(page_of($provider))), 'Hats',
        "$store, $name: the new user info is used for the next request as well");
}

# The user info endpoint is another server, which is down.
sub stays_without_connection {
    my ($store, $provider) = @_;

    my $url = 'http://127.0.0.1:' . port(8083) . '/userinfo';
    my $user = due($provider);
    $apart->stop;
    log_mark($t);
    my $answer = $user->get(page_of($provider));
    is(token($answer), issued(), "$store, connection refused: the session continues with the new tokens");
    is(department($answer), 'Tea', "$store, connection refused: the old user info is used");
    my @lines = error_log_lines($t, qr/oidc: .*provider "$provider"/);
    is(scalar(@lines), 1, "$store, connection refused: one log line");
    like($lines[0] // '', renewing(qq{provider could not be reached at "$url"}, $provider),
        "$store, connection refused: the log line states the reason");

    $apart->start
        ->set(respond => { '/userinfo' => { status => 200, body => { sub => 'alice', department => 'Hats' } } });
    $clock->advance(DUE);
    is(department($user->get(page_of($provider))), 'Hats',
        "$store, connection refused: the next renewal requests user info again");
    $apart->reset;
}

sub ends_by_a_refusal {
    my ($store, $provider, $name, $knobs, $sentence) = @_;

    my $user = due($provider);
    my ($copy, $late) = map { $user->clone } 1, 2;
    $op->set(%$knobs);
    log_mark($t);
    my $answer = $user->get(page_of($provider));
    like($answer->{location} // '', qr{/authorize\?}, "$store, $name: the request is redirected to the provider");
    is($user->cookie($provider), undef, "$store, $name: the cookie is deleted");
    ok(log_has($t, renewing($sentence, $provider)), "$store, $name: logged");
    is(scalar(error_log_lines($t, qr/oidc: .*provider "$provider"/)), 1, "$store, $name: one log line");
    is($copy->get(page_of($provider))->{status}, 302, "$store, $name: a copy of the cookie is refused");

    $op->reset;
    is($copy->get(page_of($provider))->{status}, 302,
        "$store, $name: the copy is refused when the provider has recovered");
    $clock->advance(GRACE + 1);
    is($late->get(page_of($provider))->{status}, 302, "$store, $name: the copy is refused later, too");
    is(department($user->login(page_of($provider))), 'Tea', "$store, $name: a new login succeeds");
}

# Logs a browser in with these knobs, resets them and advances the clock to the renewal.
sub due {
    my ($provider, %knobs) = @_;

    $op->reset->set(%knobs);
    my $browser = browser();
    $op->{first} = $browser->login(page_of($provider));
    $op->reset;
    $clock->advance(DUE);
    $op->clear;
    return $browser;
}

# The access token of the last refresh
sub issued {
    my ($last) = reverse $op->requests('/token refresh');
    return $last->{issued}{access_token} // '';
}

sub token { return $_[0]{headers}{'x-token'} // outcome($_[0]) }

# A claim that only user info has, and one that the ID token may have, too
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
    my ($sentence, $provider) = @_;

    return qr/\[error\] .* oidc: \Q$sentence\E while renewing a session, provider "$provider"/;
}

sub configuration {
    my %kind = (
        info => '', hasty => 'read_timeout 1s', apart => 'userinfo_endpoint http://127.0.0.1:8083/userinfo',
    );
    my @providers = in_every_store(\%kind, session_timeout => '1h', userinfo => 'on');

    return nginx_conf(store_blocks(), @providers, site('page', <<'EOF'));
        proxy_hide_header X-Claims;
        add_header X-Claims   "$oidc_claim_department|$oidc_claim_team";
        add_header X-Userinfo $oidc_userinfo;
        add_header X-Token    $oidc_access_token;
EOF
}
