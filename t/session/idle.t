#!/usr/bin/perl

# Tests for how long a session lasts: session_timeout, session_idle_timeout, what does not end it, and
# what happens to it when a configuration uses more than it holds. nginx runs under a clock of its own.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Time::HiRes qw/ sleep time /;

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/);
my $clock = Test::OIDC::Clock->new($t);
$t->plan(88);

# As many seconds the test itself may take between two steps.
use constant SPARE => 20;

use constant { MINUTE => 60, HOUR => 3600 };

# The idle timeout, and how often it is noted in a cookie that a session is in use.
use constant { IDLE => 20 * MINUTE, STEP => MINUTE };

my $op = provider($t, 8081);
$clock->follow($op);

# Each is at /NAME/, with a cookie NAME.
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
cmp_ok(abs($answer->{headers}{'x-expires'} - $began - HOUR), '<', SPARE, 'session_timeout: $oidc_session_expires');
$clock->advance(HOUR - SPARE);
is($user->get('/hour/')->{status}, 200, 'session_timeout: not before');
$clock->advance(SPARE);
is($user->get('/hour/')->{status}, 302, 'session_timeout: then');
is($user->get('/verify?op=hour')->{body}, 'sub=', 'session_timeout: nobody any more');
is($user->login('/hour/')->{body}, 'sub=alice', 'session_timeout: until the next login');

$user = login('/plain/')->{browser};
$clock->advance(8 * HOUR - SPARE);
is($user->get('/plain/')->{status}, 200, 'session_timeout: 8 hours by default');
$clock->advance(SPARE);
is($user->get('/plain/')->{status}, 302, 'session_timeout: and no longer');

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
    is($answer->{body}, 'sub=alice', "an $name that has expired: the session goes on");
    is(cookie_names($answer), '', "an $name that has expired: with its cookie");
    is($op->count('/token'), 0, "an $name that has expired: the provider is not asked");
}

$user = login('/plain/')->{browser};
$clock->advance(7 * HOUR);
$answer = $user->get('/plain/');
is("$answer->{body} " . cookie_names($answer), 'sub=alice ', 'no session_idle_timeout: sessions may idle');

# session_idle_timeout, in cookies and in stores

$op->set(user => { sub => 'alice', filler => 'x' x 5000 });
for my $place (qw/ cookie auto stored large /) {
    my ($idle, $used) = map { login("/$place/")->{browser} } 1, 2;

    $clock->advance(IDLE - SPARE);
    is($used->get("/$place/")->{status}, 200, "$place: not used, before the idle timeout");
    $clock->advance(SPARE);
    is($idle->get("/$place/")->{status}, 302, "$place: not used, after it");

    for (1 .. 3) {
        $clock->advance(IDLE / 2);
        $used->get("/$place/");
    }
    is($used->get("/$place/")->{body}, 'sub=alice', "$place: kept alive by its requests");
    $clock->advance(IDLE);
    is($used->get("/$place/")->{status}, 302, "$place: and not beyond");
    is($used->login("/$place/")->{body}, 'sub=alice', "$place: until the next login");
}
$op->reset;

$user = login('/both/')->{browser};
my $end = $user->get('/both/')->{headers}{'x-expires'};
for (1 .. 5) {
    $clock->advance(10 * MINUTE);
    $answer = $user->get('/both/');
}
is($answer->{status}, 200, 'session_timeout beside it: a session in use goes on');
is($answer->{headers}{'x-expires'}, $end, 'session_timeout beside it: its end does not move');
$clock->advance(10 * MINUTE);
is($user->get('/both/')->{status}, 302, 'session_timeout beside it: and comes');

# How it is noted

$user = login('/cookie/')->{browser};
my $old = $user->clone;
$clock->advance(STEP - SPARE);
is(cookie_names($user->get('/cookie/')), '', 'a cookie is not sealed anew within a twentieth');
$clock->advance(SPARE);
$answer = $user->get('/cookie/');
is(cookie_names($answer), 'cookie', 'but after it');
is($answer->{body}, 'sub=alice', 'the session is the same');
like($answer->{set_cookie}[0], qr/^cookie=[\w-]+; Path=\/; HttpOnly; SameSite=Lax$/, 'so is how it comes');
is($answer->{headers}{'cache-control'}, 'no-store', 'that is not kept by caches');
isnt($user->cookie('cookie'), $old->cookie('cookie'), 'it replaces the old one');
is(cookie_names($user->get('/cookie/')), '', 'and is not sealed anew at once');
$clock->advance(STEP - SPARE);
is(cookie_names($user->get('/cookie/')), '', 'nor a little later');
$clock->advance(IDLE - STEP);
is($old->get('/cookie/')->{status}, 302, 'the old one idles by itself');
is($user->get('/cookie/')->{status}, 200, 'when the new one does not');

$user = login('/cookie/')->{browser};
$clock->advance(IDLE / 2);
is(cookie_names($user->get('/verify?op=cookie')), 'cookie', 'auth_oidc_mode verify notes it as well');
$clock->advance(IDLE / 2);
is($user->get('/verify?op=cookie')->{body}, 'sub=alice', 'and keeps it alive');
$clock->advance(IDLE / 2);
is(cookie_names($user->get('/open')), '', 'where no login is needed it is not noted');
$clock->advance(IDLE / 2);
is($user->get('/cookie/')->{status}, 302, 'nor kept alive');

for my $place (qw/ stored large /) {
    $op->set(user => { sub => 'alice', filler => 'x' x 5000 });
    my $user = login("/$place/")->{browser};
    $clock->advance(IDLE / 2);
    is(cookie_names($user->get("/$place/")), '', "$place: the store notes it, not the cookie");
}
$op->reset;

# A refresh counts as a use, and notes it.

$op->set(refresh => {}, expires_in => 10 * MINUTE);
$user = login('/refreshed/')->{browser};
$clock->advance(9 * MINUTE);
is(cookie_names($user->get('/refreshed/')), 'refreshed', 'a refresh: one new cookie');
is($op->count('/token refresh'), 1, 'a refresh: was one');
is(cookie_names($user->get('/refreshed/')), '', 'a refresh: notes the use');
$op->set(respond => { '/token refresh' => { status => 503 } });
$clock->advance(9 * MINUTE);
is($user->get('/refreshed/')->{status}, 200, 'a refresh that fails: the session goes on');
$clock->advance(IDLE - 8 * MINUTE);
is($user->get('/refreshed/')->{status}, 200, 'a refresh that fails: was a use, too');
$op->reset;

# It comes with a new configuration, or goes.

$user = login('/later/')->{browser};
my $other = login('/cookie/')->{browser};
$clock->advance(HOUR);
configure($t, later => $idle, cookie => 'session_store cookie');
reload($t);
$answer = $user->get('/later/');
is("$answer->{body} " . cookie_names($answer), 'sub=alice later', 'session_idle_timeout is new: sessions begin to idle then');
$clock->advance(IDLE);
is($user->get('/later/')->{status}, 302, 'session_idle_timeout is new: and end by it');
$answer = $other->get('/cookie/');
is("$answer->{body} " . cookie_names($answer), 'sub=alice ', 'session_idle_timeout is gone: sessions may idle');
configure($t);
reload($t);

# A configuration that uses more than a session was sealed for

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
    is($user->get('/user/')->{status}, 302, "$name is used now: the session goes to the provider");
    is($user->get('/verify?op=user')->{body}, 'sub=', "$name is used now: and is none until then");
    my $answer = $user->login('/user/');
    like($answer->{headers}{'x-more'}, ref $value ? $value : qr/^\Q$value\E$/, "$name is used now: which brings it");
    $user->get('/user/');
    is($op->count('/token'), 1, "$name is used now: once");

    configure($t);
    reload($t);
    is($user->get('/user/')->{body}, 'sub=alice', "$name is not used any more: the session goes on");
}

$user = login('/user/')->{browser};
configure($t, user => 'userinfo on; session_claims all');
reload($t);
is($user->get('/user/')->{status}, 302, 'session_claims all: the session goes to the provider');
is($user->login('/user/')->{status}, 200, 'session_claims all: once');

# The session's cookies that an answer sets or takes away.
sub cookie_names {
    my ($answer) = @_;

    return join ' ', grep { !/_login_/ } map { /^([^=]+)/ } @{ $answer->{set_cookie} };
}

# Until the new worker has taken over.
sub reload {
    my ($t) = @_;

    log_mark($t);
    $t->reload();
    my $end = time + 5;
    sleep 0.02 until error_log_lines($t, qr/gracefully shutting down/) || time > $end;
}

# With these changes of the providers, and one more variable in use.
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
