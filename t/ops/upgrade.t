#!/usr/bin/perl

# Tests for logins and sessions across an upgrade of nginx's binary: a new master inherits the sockets and
# starts with new shared memory, while the old workers finish their requests.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use POSIX ();

use Test::OIDC;
use Test::OIDC::Site qw/ main_conf oidc_provider /;
use Test::OIDC::Workers;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(29);

my $op = provider($t, 8081);
my $metadata = '/.well-known/openid-configuration';

my ($dir, $owner) = ($t->testdir(), $$);
$t->write_file('session.key', '0123456789abcdef' x 4 . "\n");

# The new binary gets only these environment variables; a sanitizer needs its preload and options.
$t->write_file_expand('nginx.conf', main_conf(<<'MAIN',
env LD_PRELOAD;
env ASAN_OPTIONS;
env LSAN_OPTIONS;
env UBSAN_OPTIONS;
MAIN
    oidc_provider('keyed', 'session_key %%TESTDIR%%/session.key'),
    oidc_provider('keyless'),
    <<'EOC'));
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
EOC

start_nginx();

# From before the upgrade: sessions, and logins up to the callback or after it.

my $session = login('/keyed')->{browser};
my $doomed = login('/page')->{browser};

my ($keyed, $keyed_callback) = begin_login('/keyed/page');
my ($keyless, $keyless_callback) = begin_login('/page');
my ($used, $used_callback) = begin_login('/keyed/used');
$used->get($used_callback);
my ($robbed, $robbed_callback) = begin_login('/keyed/robbed');
my $copy = $robbed->clone;
$robbed->get($robbed_callback);

my ($exchanging, $exchange) = begin_login('/keyed/exchange');

# Both binaries serve.

my $old = master();
my $old_worker = $session->get('/keyed')->{headers}{'x-worker'};
log_mark($t);
kill 'USR2', $old;
ok(wait_until(sub { -e "$dir/nginx.pid.oldbin" && master() && master() != $old }), 'a new master runs');
ok(log_has($t, qr/start worker process \d/), 'the new master has a worker');

halt($old_worker);
my $answer = $session->get('/keyed');
is($answer->{status}, 204, 'a session of the old binary is valid in the new');
my $new_worker = $answer->{headers}{'x-worker'};
isnt($new_worker, $old_worker, 'a session of the old binary: the new worker served it');
$op->clear;
my ($crossing, $crossed) = begin_login('/keyed/crossing');
is($op->count($metadata), 1, 'the new binary has new memory: one request for metadata');
kill 'CONT', $old_worker;
is($crossing->login($crossed)->{status}, 204, 'a login while both serve');

halt($new_worker);
$op->clear->set(respond => { '/token' => { hold => 1 } });
my $request = $exchanging->start($exchange);
is($op->wait_for('/token', 1), 1, 'the old binary sends a token request');
kill 'CONT', $new_worker;

# The old binary ends.

log_mark($t);
kill 'QUIT', $old;
ok(log_has($t, qr/ $old_worker#\d+: gracefully shutting down/), 'the old worker accepts no more connections');
ok(-e "$dir/nginx.pid.oldbin", 'the old master waits for the token request');

$op->reset->clear;
$answer = $exchanging->finish($request);
is(outcome($answer), '302 to /keyed/exchange', 'the token request of the old binary: a login');
is($answer->{headers}{'x-worker'}, $old_worker, 'the token request of the old binary: by the old worker');
ok(wait_until(sub { !-e "$dir/nginx.pid.oldbin" }), 'then the old master ends');
ok(log_has($t, qr/worker process $old_worker exited with code 0/), 'the old worker exits with code 0');
is($exchanging->get('/keyed/page')->{status}, 204, 'the token request of the old binary: the session is valid in the new');

# With a key in a file nothing changes.

$op->clear;
is($session->get('/keyed')->{status}, 204, 'session_key: an old session is valid');
is($op->count(), 0, 'session_key: no request to the provider');
is(outcome($keyed->get($keyed_callback)), '302 to /keyed/page', 'session_key: an old login, to its page');
is($keyed->get('/keyed/page')->{status}, 204, 'session_key: an old login, a session');
is(outcome($used->get($used_callback)), '302 to /keyed/used', 'session_key: a used callback, with its session');

$op->clear;
is(outcome($copy->get($robbed_callback)), '400 provider_invalid_grant',
    'session_key: a used callback, from a copy of the browser');
is($op->count('/token'), 1, 'session_key: a used callback, one token request');
ok(!$copy->cookie('keyed'), 'session_key: a used callback, no session');

# Without a key file logins and sessions begin again without user action.

log_mark($t);
is(outcome($keyless->get($keyless_callback)), '302 to /', 'no session_key: an old login, to the start page');
my $end = $keyless->login($keyless_callback);
is($end->{status}, 204, 'no session_key: an old login begins again');
is(path_of($end->{url}), '/', 'no session_key: an old login, at the start page');
is($keyless->get('/page')->{status}, 204, 'no session_key: an old login, a session');
is($doomed->get('/page')->{status}, 302, 'no session_key: an old session is invalid');
is($doomed->login('/page')->{status}, 204, 'no session_key: an old session, a login');

kill 'QUIT', master();
ok(wait_until(sub { !-e "$dir/nginx.pid" }), 'the new binary ends');

sub outcome {
    my ($answer) = @_;

    my ($word, $location) = @{ $answer->{headers} }{qw/ x-error location /};
    return join ' ', $answer->{status}, defined $location ? "to $location" : (), $word // ();
}

sub path_of { return shift =~ s{^http://[^/]*}{}r }

# nginx ignores USR2 while the process that started it is its parent: that process ends here, as a shell
# does but run() would not.
sub start_nginx {
    my $between = fork // die "fork: $!";

    if ($between == 0) {
        my $nginx = fork // POSIX::_exit(1);
        if ($nginx == 0) {
            open STDERR, '>>', "$dir/stderr.log";
            exec $Test::Nginx::NGINX, '-p', "$dir/", '-c', 'nginx.conf', '-e', 'error.log'
                or POSIX::_exit(127);
        }
        POSIX::_exit(wait_until(sub { master() }) ? 0 : 1);
    }

    waitpid $between, 0;
    $? == 0 or die 'nginx did not start';
}

# If the test dies early.
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
