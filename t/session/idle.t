#!/usr/bin/perl

# Tests for session_timeout and session_idle_timeout: when a session ends, what does not end it, and what happens
# to it when a new configuration uses more than it holds. nginx runs under the clock of the test.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;
use Test::OIDC::Wait qw/ reload /;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/);
my $clock = Test::OIDC::Clock->new($t);
$t->plan(88);

# Seconds that the test itself may take between two steps.
use constant SPARE => 20;

use constant { MINUTE => 60, HOUR => 3600 };

# The idle timeout, and the interval at which use of a session is recorded in its cookie.
use constant { IDLE => 20 * MINUTE, STEP => MINUTE };

my $op = provider($t, 8081);
$clock->follow($op);

# The location /NAME/ needs a login with provider NAME, whose session cookie is NAME.
my $idle = 'session_idle_timeout 20m';
my %provider = (
    plain => '',
    hour => 'session_timeout 1h',
    cookie => "session_store cookie; $idle",
    auto => $idle,
    stored => "session_store sessions; $idle",
    large => "session_claims all; $idle",
    both => "session_timeout 1h; $idle",
    refreshed => "token_refresh 1m; $idle",
    later => '',
    user => 'userinfo on',
);

configure($t);
$t->run();

# session_timeout

my $user = login('/hour/')->{browser};
my $began = $clock->time;
my $answer = $user->get('/hour/');
cmp_ok(abs($answer->{headers}{'x-expires'} - $began - HOUR), '<', SPARE,
    'session_timeout: $oidc_session_expires is the login time plus session_timeout');
$clock->advance(HOUR - SPARE);
is($user->get('/hour/')->{status}, 200, 'session_timeout: the session is valid before it');
$clock->advance(SPARE);
is($user->get('/hour/')->{status}, 302, 'session_timeout: the session has expired after it');
is($user->get('/verify?op=hour')->{body}, 'sub=', 'session_timeout: verify mode shows no user after it');
is($user->login('/hour/')->{body}, 'sub=alice', 'session_timeout: a new login succeeds');

$user = login('/plain/')->{browser};
$clock->advance(8 * HOUR - SPARE);
is($user->get('/plain/')->{status}, 200, 'session_timeout: the default is at least 8 hours');
$clock->advance(SPARE);
is($user->get('/plain/')->{status}, 302, 'session_timeout: the default is not longer than 8 hours');

# What does not end a session

for my $case (
    ['ID token', id_token => { claims => { exp => now(5 * MINUTE) } }],
    ['access token', expires_in => 5 * MINUTE])
{
    my ($name, %knobs) = @$case;
    $op->set(%knobs);
    my $user = login('/plain/')->{browser};
    $op->reset->clear;
    $clock->advance(2 * HOUR);
    my $answer = $user->get('/plain/');
    is($answer->{body}, 'sub=alice', "an $name that has expired: the session continues");
    is(cookie_names($answer), '', "an $name that has expired: its cookie does not change");
    is($op->count('/token'), 0, "an $name that has expired: no token request is sent");
}

$user = login('/plain/')->{browser};
$clock->advance(7 * HOUR);
$answer = $user->get('/plain/');
is("$answer->{body} " . cookie_names($answer), 'sub=alice ', 'no session_idle_timeout: an idle session stays valid');

# session_idle_timeout, in cookies and in stores

$op->set(user => { sub => 'alice', filler => 'x' x 5000 });
for my $provider (qw/ cookie auto stored large /) {
    my ($idle, $used) = map { login("/$provider/")->{browser} } 1, 2;

    $clock->advance(IDLE - SPARE);
    is($used->get("/$provider/")->{status}, 200, "$provider: an idle session is valid before the idle timeout");
    $clock->advance(SPARE);
    is($idle->get("/$provider/")->{status}, 302, "$provider: an idle session has expired after the idle timeout");

    for (1 .. 3) {
        $clock->advance(IDLE / 2);
        $used->get("/$provider/");
    }
    is($used->get("/$provider/")->{body}, 'sub=alice', "$provider: requests keep the session alive");
    $clock->advance(IDLE);
    is($used->get("/$provider/")->{status}, 302, "$provider: without further requests the session expires");
    is($used->login("/$provider/")->{body}, 'sub=alice', "$provider: a new login succeeds");
}
$op->reset;

$user = login('/both/')->{browser};
my $end = $user->get('/both/')->{headers}{'x-expires'};
for (1 .. 5) {
    $clock->advance(10 * MINUTE);
    $answer = $user->get('/both/');
}
is($answer->{status}, 200, 'session_timeout and session_idle_timeout: a session in use continues');
is($answer->{headers}{'x-expires'}, $end,
    'session_timeout and session_idle_timeout: use does not change $oidc_session_expires');
$clock->advance(10 * MINUTE);
is($user->get('/both/')->{status}, 302,
    'session_timeout and session_idle_timeout: a session in use ends after session_timeout');

# How use is recorded

$user = login('/cookie/')->{browser};
my $old = $user->clone;
$clock->advance(STEP - SPARE);
is(cookie_names($user->get('/cookie/')), '', 'the cookie is not sealed again within a twentieth of the idle timeout');
$clock->advance(SPARE);
$answer = $user->get('/cookie/');
is(cookie_names($answer), 'cookie', 'the cookie is sealed again after a twentieth of the idle timeout');
is($answer->{body}, 'sub=alice', 'a cookie sealed again holds the same session');
like($answer->{set_cookie}[0], qr/^cookie=[\w-]+; Path=\/; HttpOnly; SameSite=Lax$/,
    'a cookie sealed again has the same attributes');
is($answer->{headers}{'cache-control'}, 'no-store', 'a response with a new cookie has Cache-Control: no-store');
isnt($user->cookie('cookie'), $old->cookie('cookie'), 'a cookie sealed again has a new value');
is(cookie_names($user->get('/cookie/')), '', 'the next request does not seal the cookie again');
$clock->advance(STEP - SPARE);
is(cookie_names($user->get('/cookie/')), '', 'a request within the next twentieth does not seal the cookie again');
$clock->advance(IDLE - STEP);
is($old->get('/cookie/')->{status}, 302, 'the old cookie expires by its own idle timeout');
is($user->get('/cookie/')->{status}, 200, 'the new cookie is still valid then');

$user = login('/cookie/')->{browser};
$clock->advance(IDLE / 2);
is(cookie_names($user->get('/verify?op=cookie')), 'cookie', 'auth_oidc_mode verify records use of the session');
$clock->advance(IDLE / 2);
is($user->get('/verify?op=cookie')->{body}, 'sub=alice', 'auth_oidc_mode verify keeps the session alive');
$clock->advance(IDLE / 2);
is(cookie_names($user->get('/open')), '', 'a location without auth_oidc does not record use');
$clock->advance(IDLE / 2);
is($user->get('/cookie/')->{status}, 302, 'a location without auth_oidc does not keep the session alive');

for my $provider (qw/ stored large /) {
    $op->set(user => { sub => 'alice', filler => 'x' x 5000 });
    my $user = login("/$provider/")->{browser};
    $clock->advance(IDLE / 2);
    is(cookie_names($user->get("/$provider/")), '',
        "$provider: use is recorded in the store, the cookie does not change");
}
$op->reset;

# A refresh counts as use and records it.

$op->set(refresh => {}, expires_in => 10 * MINUTE);
$user = login('/refreshed/')->{browser};
$clock->advance(9 * MINUTE);
is(cookie_names($user->get('/refreshed/')), 'refreshed', 'a refresh: sets one new cookie');
is($op->count('/token refresh'), 1, 'a refresh: one request is sent');
is(cookie_names($user->get('/refreshed/')), '', 'a refresh: records use');
$op->set(respond => { '/token refresh' => { status => 503 } });
$clock->advance(9 * MINUTE);
is($user->get('/refreshed/')->{status}, 200, 'a failed refresh: the session continues');
$clock->advance(IDLE - 8 * MINUTE);
is($user->get('/refreshed/')->{status}, 200, 'a failed refresh: counts as use');
$op->reset;

# A new configuration adds or removes session_idle_timeout.

$user = login('/later/')->{browser};
my $other = login('/cookie/')->{browser};
$clock->advance(HOUR);
configure($t, later => $idle, cookie => 'session_store cookie');
reload($t);
$answer = $user->get('/later/');
is("$answer->{body} " . cookie_names($answer), 'sub=alice later',
    'session_idle_timeout is added: a session starts to idle at its next request');
$clock->advance(IDLE);
is($user->get('/later/')->{status}, 302, 'session_idle_timeout is added: an idle session expires');
$answer = $other->get('/cookie/');
is("$answer->{body} " . cookie_names($answer), 'sub=alice ',
    'session_idle_timeout is removed: an idle session stays valid');
configure($t);
reload($t);

# The new configuration uses more than the session was sealed with.

my %more = (
    'a claim' => ['$oidc_claim_name', 'Alice Liddell'],
    'a claim of the user info' => ['$oidc_claim_department', 'Tea'],
    'the ID token' => ['$oidc_id_token', qr/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/],
    'the access token' => ['$oidc_access_token', qr/^[\w-]{32}$/],
    'the user info' => ['$oidc_userinfo', qr/"sub":"alice"/],
);
$op->set(user => { sub => 'alice', name => 'Alice Liddell' },
    userinfo => { claims => { department => 'Tea' } });
for my $name (sort keys %more) {
    my ($variable, $value) = @{ $more{$name} };
    my $user = login('/user/')->{browser};
    configure($t, user => 'userinfo on', more => $variable);
    reload($t);

    $op->clear;
    is($user->get('/user/')->{status}, 302, "$name is used now: the request is redirected to the provider");
    is($user->get('/verify?op=user')->{body}, 'sub=', "$name is used now: verify mode shows no user");
    my $answer = $user->login('/user/');
    like($answer->{headers}{'x-more'}, ref $value ? $value : qr/^\Q$value\E$/,
        "$name is used now: a new login provides it");
    $user->get('/user/');
    is($op->count('/token'), 1, "$name is used now: one token request is sent");

    configure($t);
    reload($t);
    is($user->get('/user/')->{body}, 'sub=alice', "$name is no longer used: the session continues");
}

$user = login('/user/')->{browser};
configure($t, user => 'userinfo on; session_claims all');
reload($t);
is($user->get('/user/')->{status}, 302, 'session_claims all: the request is redirected to the provider');
is($user->login('/user/')->{status}, 200, 'session_claims all: a new login succeeds');

# Names of the session cookies that a response sets or deletes.
sub cookie_names {
    my ($answer) = @_;

    return join ' ', grep { !/_login_/ } map { /^([^=]+)/ } @{ $answer->{set_cookie} };
}

# Changes some providers and adds the use of one more variable.
sub configure {
    my ($t, %changes) = @_;

    my $more = delete $changes{more} // '""';
    my %provider = (%provider, %changes);
    my @providers = map { oidc_provider($_, $provider{$_}) } sort keys %provider;
    my $locations = join "\n        ",
        map { "location /$_/ { auth_oidc $_; proxy_pass http://127.0.0.1:8082; }" } sort keys %provider;

    my $server = <<'EOF' =~ s/LOCATIONS/$locations/r =~ s/MORE/$more/r;
    oidc_session_store sessions { type memory; size 1m; }

    large_client_header_buffers 4 32k;
    proxy_set_header X-Sub $oidc_claim_sub;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        add_header X-Expires $oidc_session_expires;
        add_header X-More    MORE;

        location /open   { return 200 open; }
        location /verify { auth_oidc $arg_op; auth_oidc_mode verify; proxy_pass http://127.0.0.1:8082; }

        LOCATIONS
    }

    server {
        listen       127.0.0.1:8082;
        server_name  localhost;

        return 200 "sub=$http_x_sub";
    }
EOF
    $t->write_file_expand('nginx.conf', nginx_conf(@providers, $server));
}
