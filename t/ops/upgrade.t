#!/usr/bin/perl

# Tests for logins and sessions across an upgrade of nginx's binary: a new master takes the sockets over
# and starts with new shared memory, while the workers of the old one end what they have begun.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use POSIX ();
use Time::HiRes qw/ sleep time /;

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Workers;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(29);

my $op = provider($t, 8081);
my $metadata = '/.well-known/openid-configuration';

my ($dir, $owner) = ($t->testdir(), $$);
$t->write_file('session.key', '0123456789abcdef' x 4 . "\n");

# A binary is started with no other environment than this; a sanitizer needs what it was loaded by.
$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

env LD_PRELOAD;
env ASAN_OPTIONS;
env LSAN_OPTIONS;
env UBSAN_OPTIONS;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    oidc_provider keyed {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        cookie_name   keyed;
        redirect_uri  /callback/keyed;
        session_key   %%TESTDIR%%/session.key;
    }

    oidc_provider keyless {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        cookie_name   keyless;
        redirect_uri  /callback/keyless;
    }

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        add_header X-Error  $oidc_error always;
        add_header X-Worker $pid always;

        location / {
            auth_oidc  keyless;
            proxy_pass http://127.0.0.1:8082;
        }

        location /keyed {
            auth_oidc  keyed;
            proxy_pass http://127.0.0.1:8082;
        }
    }

    server {
        listen       127.0.0.1:8082;
        server_name  localhost;

        return 204;
    }
}

EOC

start_nginx();

# What there is before: sessions, and logins up to the callback or through it.

my $session = login('/keyed')->{browser};
my $doomed = login('/page')->{browser};

my ($keyed, $keyed_callback) = begin('/keyed/page');
my ($keyless, $keyless_callback) = begin('/page');
my ($used, $used_callback) = begin('/keyed/used');
$used->get($used_callback);
my ($robbed, $robbed_callback) = begin('/keyed/robbed');
my $copy = $robbed->clone;
$robbed->get($robbed_callback);

my ($exchanging, $exchange) = begin('/keyed/exchange');

# Both binaries serve.

my $old = master();
my $old_worker = $session->get('/keyed')->{headers}{'x-worker'};
log_mark($t);
kill 'USR2', $old;
ok(until_true(sub { -e "$dir/nginx.pid.oldbin" && master() && master() != $old }), 'a new master runs');
ok(until_logged($t, qr/start worker process \d/), 'and has a worker');

halt($old_worker);
my $answer = $session->get('/keyed');
is($answer->{status}, 204, 'a session of the old binary is one to the new');
my $new_worker = $answer->{headers}{'x-worker'};
isnt($new_worker, $old_worker, 'whose worker it meets');
$op->clear;
my ($crossing, $crossed) = begin('/keyed/crossing');
is($op->count($metadata), 1, 'its memory is new, and filled by one question');
kill 'CONT', $old_worker;
is($crossing->login($crossed)->{status}, 204, 'a login goes through while both serve');

halt($new_worker);
$op->clear->set(respond => { '/token' => { hold => 1 } });
my $request = $exchanging->start($exchange);
is($op->wait_for('/token', 1), 1, 'a code is exchanged by the old binary');
kill 'CONT', $new_worker;

# The old one ends.

log_mark($t);
kill 'QUIT', $old;
ok(until_logged($t, qr/ $old_worker#\d+: gracefully shutting down/), 'the old worker takes nothing more');
ok(-e "$dir/nginx.pid.oldbin", 'and lives on for the code that is exchanged');

$op->reset->clear;
$answer = $exchanging->finish($request);
is(outcome($answer), '302 to /keyed/exchange', 'which ends well');
is($answer->{headers}{'x-worker'}, $old_worker, 'in the old worker');
ok(until_true(sub { !-e "$dir/nginx.pid.oldbin" }), 'then the old master ends');
ok(until_logged($t, qr/worker process $old_worker exited with code 0/), 'and its worker did by itself');
is($exchanging->get('/keyed/page')->{status}, 204, 'the login is a session to the new binary');

# With a key in a file nothing has changed.

$op->clear;
is($session->get('/keyed')->{status}, 204, 'session_key: a session of before is one');
is($op->count(), 0, 'and no provider was asked');
is(outcome($keyed->get($keyed_callback)), '302 to /keyed/page', 'session_key: a login that began before');
is($keyed->get('/keyed/page')->{status}, 204, 'ends well');
is(outcome($used->get($used_callback)), '302 to /keyed/used', 'a callback again, with its session');

$op->clear;
is(outcome($copy->get($robbed_callback)), '400 provider_invalid_grant',
    'a callback again, from a copy of the browser before');
is($op->count('/token'), 1, 'which the provider refuses');
ok(!$copy->cookie('keyed'), 'and which gets no session');

# Without one all begins anew, by itself.

log_mark($t);
is(outcome($keyless->get($keyless_callback)), '302 to /', 'no session_key: a login that began before');
my $end = $keyless->login($keyless_callback);
is($end->{status}, 204, 'begins anew by itself');
is(path_of($end->{url}), '/', 'at the start page');
is($keyless->get('/page')->{status}, 204, 'and is a session');
is($doomed->get('/page')->{status}, 302, 'no session_key: a session of before is none');
is($doomed->login('/page')->{status}, 204, 'and logs in anew by itself');

kill 'QUIT', master();
ok(until_true(sub { !-e "$dir/nginx.pid" }), 'the new binary ends');

# A login up to the callback: the browser, and the URL that the provider sends it to.
sub begin {
    my ($path) = @_;

    my $browser = browser();
    return ($browser, $browser->follow($browser->get($path))->{location});
}

sub outcome {
    my ($answer) = @_;

    my ($word, $location) = @{ $answer->{headers} }{qw/ x-error location /};
    return join ' ', $answer->{status}, defined $location ? "to $location" : (), $word // ();
}

sub path_of { return shift =~ s{^http://[^/]*}{}r }

# nginx ignores USR2 while the process that started it is its parent: here that one goes, as a shell
# does, which run() would not.
sub start_nginx {
    my $between = fork // die "fork: $!";

    if ($between == 0) {
        my $nginx = fork // POSIX::_exit(1);
        if ($nginx == 0) {
            open STDERR, '>>', "$dir/stderr.log";
            exec $Test::Nginx::NGINX, '-p', "$dir/", '-c', 'nginx.conf', '-e', 'error.log'
                or POSIX::_exit(127);
        }
        POSIX::_exit(until_true(sub { master() }) ? 0 : 1);
    }

    waitpid $between, 0;
    $? == 0 or die 'nginx did not start';
}

# Where the test dies on its way.
END {
    if (defined $owner && $$ == $owner) {
        kill 'TERM', grep { defined } master(), master('nginx.pid.oldbin');
    }
}

sub master {
    my ($name) = @_;

    open my $file, '<', "$dir/" . ($name // 'nginx.pid') or return undef;
    return (<$file> // '') =~ /(\d+)/ ? $1 : undef;
}

sub until_logged {
    my ($t, $re) = @_;

    return until_true(sub { scalar error_log_lines($t, $re) });
}

sub until_true {
    my ($is) = @_;

    my $end = time + 5;
    while (time < $end) {
        return 1 if $is->();
        sleep 0.02;
    }
    return 0;
}
