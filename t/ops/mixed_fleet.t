#!/usr/bin/perl

# Tests for a site whose nodes are upgraded one after the other, with one session_key and one Redis.
# Recorded data of an older module remains valid: its sessions, in cookies and in Redis, until their end; the
# sessions that it has ended stay ended; and a login that began there is finished here.
#
# The data is in mixed_fleet.data, which an older module records with:
#
#   TEST_OIDC_RECORD=1 TEST_NGINX_BINARY=/usr/sbin/nginx \
#       TEST_NGINX_GLOBALS="load_module /old/ngx_http_oidc_module.so;" prove t/ops/mixed_fleet.t
#
# With a build of an older module, two nodes are also tested side by side:
#
#   TEST_OIDC_OLD_MODULE=/old/ngx_http_oidc_module.so make prove TESTS=t/ops/mixed_fleet.t

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use JSON::PP ();

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Daemon;
use Test::OIDC::JWT qw/ from_json /;
use Test::OIDC::Site;

use constant { MINUTE => 60, HOUR => 3600 };

# The time of the recording, and the lifetime of an access token.
use constant { RECORDED => 1_780_000_000, LIFE => HOUR };

my $file = "$FindBin::Bin/mixed_fleet.data";
my $old_module = $ENV{TEST_OIDC_OLD_MODULE};
my $is_recording = $ENV{TEST_OIDC_RECORD};

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan($is_recording ? 1 : 67 + ($old_module ? 33 : 0));

# The users of each kind of session, each with one session; "every" has all claims.
my @kinds = qw/ cookie every redis /;
my @kept = qw/ alice renewed copied leaving by_sub by_sid late /;
my @ended = qw/ ended_by_sub ended_by_sid ended_in_frame /;
my %users = (cookie => \@kept, every => [qw/ alice renewed /], redis => [@kept, @ended]);

$clock->advance(RECORDED - $clock->time);
my $op = provider($t, 8081, issuer => 'https://op.example.com', refresh => {}, expires_in => LIFE, sid => 1);
$clock->follow($op);
my $redis = redis($t, 8379, clock => $clock);
$t->write_file('key', '0123456789abcdef' x 4 . "\n");
$t->write_file_expand('nginx.conf', configuration());
$t->run();

if ($is_recording) {
    record();
    exit 0;
}

my $recorded = read_record();
restore($recorded);
$clock->advance(5 * MINUTE);

# Sessions

for my $kind (@kinds) {
    my $user = old_session($kind, 'alice');
    my $token = $recorded->{token}{$kind}{alice};
    $op->clear;
    my $answer = $user->get(page_of($kind));
    is(claims($answer), claims_of('alice'), "$kind: an old session is valid");
    is($answer->{headers}{'x-token'}, $token, "$kind: an old session has its access token");
    is(facts($answer), $recorded->{facts}{$kind}{alice}, "$kind: an old session has the facts of its login");
    is(claims($user->get(page_of($kind))), claims_of('alice'), "$kind: an old session is valid for the next request");
    is(claims(old_session($kind, 'alice')->get(page_of($kind))), claims_of('alice'), "$kind: an old session is valid with the old cookie");
    is($op->count, 0, "$kind: no request to the provider");
}

for my $who (@ended) {
    my $user = old_session('redis', $who);
    is(claims($user->get(page_of('redis'))), '302', "redis: a session $who stays ended");
    $op->set(user => user_of($who));
    is(claims($user->login(page_of('redis'))), claims_of($who), "redis: and that user can log in");
    $op->reset;
}

# Ended here

for my $kind (qw/ cookie redis /) {
    my ($user, $copy) = map { old_session($kind, 'leaving') } 1, 2;
    is($user->get("/logout/$kind")->{status}, 200, "$kind: an old session is logged out");
    is(claims($copy->get(page_of($kind))), '302', "$kind: its copy is invalid then");

    my %token = (
        by_sub => { sub => 'by_sub', sid => undef },
        by_sid => { sub => undef, sid => $recorded->{sid}{$kind}{by_sid} },
    );
    for my $how (sort keys %token) {
        my $token = $op->logout_token(claims => $token{$how});
        is($op->send_logout_token("/back/$kind", $token)->{status}, 200, "$kind: a logout $how");
        is(claims(old_session($kind, $how)->get(page_of($kind))), '302', "$kind: ends an old session");
    }
}

# Logins that began on the old module

for my $kind (@kinds) {
    my $login = $recorded->{login}{$kind};
    my $user = new_browser($login->{cookies});
    $op->set(user => user_of('new'));
    my $answer = $user->get($op->{base} . "/authorize?$login->{query}");
    $answer = $user->follow($answer);
    is($answer->{status}, 302, "$kind: an old login is finished here");
    is(path_of($answer->{location}), page_of($kind) . '&x=1', "$kind: an old login: to its page");
    is(claims($user->follow($answer)), claims_of('new'), "$kind: an old login: a session");
    $op->reset;
}

# Renewals

$clock->advance(RECORDED + LIFE - 50 - $clock->time);
for my $kind (@kinds) {
    $op->set(user => { sub => 'renewed', name => 'Another name' });
    my ($user, $old) = map { old_session($kind, 'renewed') } 1, 2;
    $op->clear;
    my $answer = $user->get(page_of($kind));
    is($op->count('/token refresh'), 1, "$kind: an old session is renewed");
    is(claims($answer), 'renewed||Another name', "$kind: a withdrawn claim is gone");
    is(claims($_->get(page_of($kind))), 'renewed||Another name',
        "$kind: the next request and the old cookie see that") for $user, $old;
    is($op->count('/token refresh'), 1, "$kind: one renewal");

    $op->reset;
    next if $kind eq 'every';

    $op->set(respond => { '/token refresh' => { status => 503 } });
    is(claims(old_session($kind, 'copied')->get(page_of($kind))), claims_of('copied'),
        "$kind: an old session remains during an outage");
    $op->reset;
    $clock->advance(MINUTE);
}

# The end of old sessions

$clock->advance(RECORDED + 8 * HOUR - MINUTE - $clock->time);
$op->set(respond => { '/token refresh' => { status => 503 } });
is(claims(old_session($_, 'late')->get(page_of($_))), claims_of('late'), "$_: an old session is good until its end")
    for qw/ cookie redis /;
$clock->advance(2 * MINUTE);
is(claims(old_session($_, 'late')->get(page_of($_))), '302', "$_: the session has ended") for qw/ cookie redis /;
$op->reset;

is(join("\n", error_log_lines($t, qr/\[(?:warn|error|crit)\] .*oidc: (?!provider returned status 503)/)), '',
    'nothing of these is logged');

side_by_side() if $old_module;

# ------------------------------------------------------------------------------------------------------

# An old node beside a new one. Each refuses or accepts data of the other as a whole, a session ended by one
# is ended at the other, and no browser is redirected in a loop.
sub side_by_side {
    $op->reset;
    my %port = (new => 8080, old => 8180);
    my $globals = $ENV{TEST_NGINX_GLOBALS};
    $ENV{TEST_NGINX_GLOBALS} = $globals =~ s/load_module \S+;/load_module $old_module;/r;
    my $node = Test::Nginx->new();
    $node->write_file('key', '0123456789abcdef' x 4 . "\n");
    $node->write_file_expand('nginx.conf', configuration() =~ s/127\.0\.0\.1:8080/127.0.0.1:8180/gr);
    $node->run();
    $ENV{TEST_NGINX_GLOBALS} = $globals;

    my $at = sub { my ($browser, $name) = @_; $browser->{routes}{80} = port($port{$name}); return $browser };
    my $seen = sub { my ($browser, $name, $kind) = @_; return claims($at->($browser, $name)->get(page_of($kind))) };
    my $whole = qr/^(?:302|\Q${\ claims_of('zoe') }\E)$/;

    for my $kind (@kinds) {
        for my $way (['new', 'old'], ['old', 'new']) {
            my ($here, $there) = @$way;
            my $user = logged_in($at->(new_browser(), $here), $kind, 'zoe');
            like($seen->($user, $there, $kind), $whole,
                "$kind: a session of the $here node is refused by the $there one, or whole");
            is($seen->($user, $here, $kind), claims_of('zoe'), "$kind: it remains at the $here one");

            my $copy = $user->clone;
            $copy->{routes} = { %{ $user->{routes} } };
            $at->($user, $here)->get("/logout/$kind");
            is(join(' ', map { $seen->($copy, $_, $kind) } $kind eq 'redis' ? qw/ old new / : $here),
                $kind eq 'redis' ? '302 302' : '302', "$kind: logged out at the $here one it is ended");
        }

        # Each request goes to another node, then each two.
        for my $turns ([qw/ new old /], [qw/ old new /], [qw/ new new old old /]) {
            my ($user, $hops, $answer) = (new_browser(), 0, { status => 302, location => page_of($kind) });
            while ($answer->{status} == 302 && $hops < 40) {
                $at->($user, $turns->[$hops++ % @$turns]);
                $answer = $user->get($answer->{location});
            }
            cmp_ok($hops, '<', 40, "$kind: a login over nodes @$turns comes to an end") or diag($answer->{status});
        }
    }

    # A logout token at the other node
    for my $way (['new', 'old'], ['old', 'new']) {
        my ($here, $there) = @$way;
        my $user = logged_in($at->(new_browser(), $here), 'redis', 'zoe');
        my $token = $op->logout_token(claims => { sub => 'zoe', sid => undef });
        my $answer = $op->send_logout_token('/back/redis', $token, base => 'http://localhost:' . port($port{$there}));
        is($answer->{status}, 200, "redis: a logout token for a session of the $here node, at the $there one");
        is($seen->($user, $here, 'redis'), '302', "redis: a logout token at the $there node ends it");
    }
    $node->stop;
}

sub logged_in {
    my ($browser, $kind, $sub) = @_;

    $op->set(user => user_of($sub));
    $browser->login(page_of($kind));
    $op->reset;
    return $browser;
}

# Every user is an admin at login.
sub user_of { return { sub => $_[0], roles => 'admin', name => "Name of $_[0]" } }
sub claims_of { return "$_[0]|admin|Name of $_[0]" }

sub claims { return $_[0]{status} == 200 ? $_[0]{headers}{'x-claims'} : outcome($_[0]) }
sub facts { return $_[0]{headers}{'x-facts'} // outcome($_[0]) }

sub path_of { return ($_[0] // '') =~ s{^http://[^/]*}{}r }

# The site's name does not depend on the port, as sessions and logins do.
sub new_browser {
    my ($cookies) = @_;

    my $browser = browser(base => 'http://www.example.com');
    $browser->{routes}{80} = port(8080);
    $browser->set_cookie("$_; Path=/") for @{ $cookies || [] };
    return $browser;
}

sub old_session {
    my ($kind, $who) = @_;

    return new_browser($recorded->{session}{$kind}{$who});
}

sub cookies_of { return [ map { "$_->{name}=$_->{value}" } $_[0]->cookies ] }

# Restores the recorded data of the provider and Redis.
sub restore {
    my ($recorded) = @_;

    $op->stop;
    Test::OIDC::Daemon::write_bytes("$op->{record_file}.memory", '>', JSON::PP->new->encode($recorded->{provider}));
    $op->start;

    my $script = q{return redis.call('SET', KEYS[1], (ARGV[1]:gsub('..', function (byte) }
        . q{return string.char(tonumber(byte, 16)) end)), 'PX', ARGV[2])};
    for my $key (sort keys %{ $recorded->{redis} }) {
        my ($bytes, $life) = @{ $recorded->{redis}{$key} };
        $redis->command('EVAL', $script, 1, $key, $bytes, $life);
    }
}

sub record {
    my %recorded;
    for my $kind (@kinds) {
        for my $who (@{ $users{$kind} }) {
            $op->clear->set(user => user_of($who));
            my $browser = new_browser();
            my $answer = $browser->login(page_of($kind));
            my $login = $op->last_login;
            $recorded{session}{$kind}{$who} = [ grep { !/_login_/ } @{ cookies_of($browser) } ];
            $recorded{token}{$kind}{$who} = $login->{issued}{access_token};
            $recorded{facts}{$kind}{$who} = facts($answer);
            $recorded{sid}{$kind}{$who} = $login->{sid};
        }
        my $browser = new_browser();
        my $answer = $browser->get(page_of($kind) . '&x=1');
        $recorded{login}{$kind} = {
            query => $answer->{location} =~ s/^[^?]*\?//r, cookies => cookies_of($browser),
        };
    }
    $clock->advance(1);
    my %sid = %{ $recorded{sid}{redis} };
    $op->send_logout_token('/back/redis', $op->logout_token(claims => $_))
        for { sub => 'ended_by_sub', sid => undef }, { sub => undef, sid => $sid{ended_by_sid} };
    new_browser()->get('/front/redis?iss=' . escape($op->issuer) . "&sid=$sid{ended_in_frame}");

    $op->stop;
    $recorded{provider} = from_json(Test::OIDC::Daemon::read_bytes("$op->{record_file}.memory"));
    $recorded{redis} = { map { $_ => [hex_of($_), 0 + $redis->command('PTTL', $_)] } $redis->key_names };

    my $json = JSON::PP->new->canonical->indent->indent_length(0)->encode(\%recorded);
    my $built = gmtime RECORDED;
    Test::OIDC::Daemon::write_bytes($file, '>',
        "# What a module of before the next session format has written, by mixed_fleet.t as it says there, at\n"
        . "# $built UTC by its clock. session_key is 4 times \"0123456789abcdef\".\n$json");
    is(scalar(keys %{ $recorded{redis} }) > @{ $users{redis} }, 1, "recorded in $file");
}

# The bytes of a value in hex, by Redis itself, since redis-cli prints text.
sub hex_of {
    my ($key) = @_;

    my $script = q{return (redis.call('GET', KEYS[1]):gsub('.', function (byte) }
        . q{return string.format('%02x', string.byte(byte)) end))};
    return scalar $redis->command('EVAL', $script, 1, $key);
}

sub read_record {
    my $text = Test::OIDC::Daemon::read_bytes($file);
    return JSON::PP->new->decode($text =~ s/^#.*\n//mgr);
}

sub configuration {
    my %by_hand = (
        issuer => 'https://op.example.com',
        authorization_endpoint => 'http://127.0.0.1:8081/authorize',
        token_endpoint => 'http://127.0.0.1:8081/token',
        jwks_uri => 'http://127.0.0.1:8081/jwks',
    );
    my %store = (cookie => 'cookie', every => 'cookie', redis => 'redis');
    my @providers = map {
        my $paths = "logout_uri /logout/$_; frontchannel_logout_uri /front/$_; backchannel_logout_uri /back/$_";
        oidc_provider($_, $_ eq 'every' ? "$paths; session_claims all" : $paths, %by_hand, session_key => 'key',
            session_store => $store{$_});
    } sort keys %store;

    return nginx_conf(<<'EOF', @providers, site('page', <<'EOS'));
    oidc_base_url http://www.example.com;

    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }
EOF
        proxy_hide_header X-Claims;
        proxy_hide_header X-Facts;
        add_header X-Claims "$oidc_claim_sub|$oidc_claim_roles|$oidc_claim_name";
        add_header X-Facts  "$oidc_auth_time|$oidc_claim_sid|$oidc_session_id|$oidc_session_expires";
        add_header X-Token  $oidc_access_token;
EOS
}
