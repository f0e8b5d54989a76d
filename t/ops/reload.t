#!/usr/bin/perl

# Tests for logins while nginx reloads its configuration, quits, or loses a worker.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use POSIX ();
use Time::HiRes qw/ time /;

use Test::OIDC;
use Test::OIDC::Site qw/ default_provider main_conf /;

# A killed worker causes an alert; all other alerts are checked at the end.
my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(53)->todo_alerts();

my $op = provider($t, 8081);

# Metadata outlives a worker, so each fresh_* is first used by one case.
my $conf = main_conf('MAIN',
    default_provider('my_idp'),
    default_provider('hasty', 'cookie_name hasty; connect_timeout 1s; read_timeout 500ms'),
    (map { default_provider("fresh_$_", "cookie_name fresh_$_") } 1 .. 4),
    <<'EOF');
    HTTP
    add_header X-Error $oidc_error always;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /open { return 204; }

        location / {
            auth_oidc  my_idp;
            proxy_pass http://127.0.0.1:8082;
        }

        location /hasty {
            auth_oidc  hasty;
            proxy_pass http://127.0.0.1:8082;
        }

        location /fresh_ {
            auth_oidc  $arg_op;
            proxy_pass http://127.0.0.1:8082;
        }
    }

    server {
        listen       127.0.0.1:8082;
        server_name  localhost;

        return 204;
    }
EOF

configure($t);
$t->run();

# logins in progress, and sessions from before

my $before = login('/before')->{browser};
my ($refused, $used) = begin_login('/used');
$op->set(id_token => { claims => { iss => 'http://evil.example.com' } });
is(outcome($refused->get($used)), '403 id_token_issuer', 'a state is used');
$op->reset;

my ($browser, $callback) = begin_login('/waiting');
my ($exchanging, $exchange) = begin_login('/exchange');
my ($finished, $finish) = begin_login('/finished');
$finished->get($finish);

hold('/token');
my $request = $exchanging->start($exchange);
$op->wait_for('/token', 1);

reload($t);
release();

is(outcome($exchanging->finish($request)), '302 to /exchange',
    'a token request during a reload');
is($exchanging->get('/page')->{status}, 204, 'a token request during a reload: a session');
ok(worker_ended($t), 'a token request during a reload: the old worker ends');

is(outcome($browser->get($callback)), '302 to /waiting', 'a login that began before a reload');
is($browser->get('/page')->{status}, 204, 'a login that began before a reload: a session');
is($before->get('/page')->{status}, 204, 'a session from before a reload is valid');

$op->clear;
is(outcome($finished->get($finish)), '302 to /finished', 'a used state stays used');
is(outcome($refused->get($used)), '400 state_used', 'a used state of a failed login stays used');
is($op->count('/token'), 0, 'a used state: no token request');

# metadata

reload($t);
hold('/.well-known/openid-configuration');
my @browsers = map { browser() } 1 .. 3;
my @requests = map { $_->start(fresh(1)) } @browsers;
is($op->wait_for('/.well-known/openid-configuration', 1), 1, 'metadata during a reload: one request');
reload($t);
release();

my @answers = map { $browsers[$_]->finish($requests[$_]) } 0 .. 2;
is(join(' ', map { $_->{status} } @answers), '302 302 302', 'metadata during a reload: logins begin');
ok(worker_ended($t), 'metadata during a reload: the old worker ends');
is($browsers[0]->login($answers[0]{location})->{status}, 204, 'metadata during a reload: a login succeeds');

# another configuration

configure($t, HTTP => 'oidc_state_zone 4m;');
reload($t);
is($before->get('/page')->{status}, 204, 'a zone of another size: a session remains');
is(login('/page')->{status}, 204, 'a zone of another size: a login');

configure($t, HTTP => 'oidc_state_zone 1k;');
log_mark($t);
$t->reload();
ok(log_has($t, qr/\[emerg\] .*oidc_state_zone/), 'a wrong configuration is logged');
is($before->get('/page')->{status}, 204, 'a wrong configuration: a session remains');
is(login('/page')->{status}, 204, 'a wrong configuration: a login');

# worker_shutdown_timeout

configure($t, MAIN => 'worker_shutdown_timeout 100ms;');
reload($t);
ok(worker_ended($t), 'a reload: the old worker ends');

for my $where ('/.well-known/openid-configuration', '/token') {
    my ($browser, $url) = $where eq '/token' ? begin_login('/page') : (browser(), fresh(2));
    hold($where);
    my @requests = map { $browser->start($url) } 1, 2;
    is($op->wait_for($where, 1), 1, "$where: one request");
    browser()->get('/open');    # answered after the requests are read

    log_mark($t);
    $t->reload();
    # nginx closes the connection, Angie responds first
    like($browser->finish($_)->{status}, qr/^(?:0|502)$/, "$where: cut off by worker_shutdown_timeout")
        for @requests;
    ok(worker_ended($t), "$where: the old worker ends");
    release();
    is(login('/page')->{status}, 204, "$where: the new worker works");
}

configure($t);
reload($t);
ok(worker_ended($t), 'another reload: the old worker ends');

# a killed worker

hold('/.well-known/openid-configuration');
$browser = browser();
$request = $browser->start(fresh(3));
is($op->wait_for('/.well-known/openid-configuration', 1), 1, 'a worker requests metadata');
kill_worker($t);
is($browser->finish($request)->{status}, 0, 'a worker killed then: no response');
release();
is($browser->login(fresh(3))->{status}, 204, 'a worker killed then: a login succeeds');
is($op->count('/.well-known/openid-configuration'), 2, 'a worker killed then: metadata is requested again');

$op->set(id_token => { claims => { iss => 'http://evil.example.com' } });
($refused, $used) = begin_login('/used');
$refused->get($used);
$op->reset;

($browser, $callback) = begin_login('/page');
kill_worker($t);
is(outcome($browser->get($callback)), '302 to /page', 'a worker killed between page and callback: to the page');
is($browser->get('/page')->{status}, 204, 'a worker killed between page and callback: logged in');
is($before->get('/page')->{status}, 204, 'a killed worker: a session remains');
is(outcome($refused->get($used)), '400 state_used', 'a killed worker: a used state stays used');

($browser, $callback) = begin_login('/hasty');
hold('/token');
$request = $browser->start($callback);
$op->wait_for('/token', 1);
kill_worker($t);
is($browser->finish($request)->{status}, 0, 'a worker killed during a token request');
release();

my $start = time;
my $res = $browser->login($callback);
took_at_most($start, 2 * SHORT_TOTAL, 'the callback again: a response in time');
is(outcome($res->{hops}[0]), '302 to /hasty', 'the callback again: to the page');
is($res->{status}, 204, 'the callback again: logged in');
is($res->{hops}[-1]{url} =~ s{.*(?=/)}{}r, '/hasty', 'the callback again: at the page');
is($browser->login('/hasty')->{status}, 204, 'the next login succeeds');

# quit

($browser, $callback) = begin_login('/quit');
reload($t);
hold('/.well-known/openid-configuration', '/token');
@requests = map { $browser->start($_) } $callback, $callback, fresh(4), fresh(4);
is($op->wait_for('/.well-known/openid-configuration', 1), 1, 'quit: metadata is requested');
log_mark($t);

release_when_shutting_down($t);
$t->stop();
@answers = map { $browser->finish($_) } @requests;

is(outcome($answers[0]), '302 to /quit', 'quit: a callback');
is(outcome($answers[1]), '302 to /quit', 'quit: a copy of the callback');
is($answers[2]{status}, 302, 'quit: a page');
is($answers[3]{status}, 302, 'quit: a page that waits for metadata');
ok(!-e $t->testdir() . '/nginx.pid', 'quit: nginx has ended');

my @alerts = $t->read_file('error.log') =~ /.*\[alert\].*/g;
is(scalar(grep { /exited on signal 9/ } @alerts), 3, 'three workers were killed');
is(join("\n", grep { !/exited on signal 9/ } @alerts), '', 'no other alert');

sub configure {
    my ($t, %part) = @_;

    $t->write_file_expand('nginx.conf', $conf =~ s/\b(MAIN|HTTP)$/$part{$1} || ''/gemr);
}

# The page of an oidc_provider without metadata.
sub fresh { my ($number) = @_; return "/fresh_$number?op=fresh_$number" }

sub outcome {
    my ($answer) = @_;

    my $word = $answer->{headers}{'x-error'};
    my $location = $answer->{headers}{location};
    return join ' ', $answer->{status}, defined $location ? "to $location" : (), $word // ();
}

sub hold {
    $op->clear->set(respond => { map { $_ => { hold => 1 } } @_ });
}

sub release { $op->reset }

# Waits until the new worker has taken over.
sub reload {
    my ($t) = @_;

    log_mark($t);
    $t->reload();
    log_has($t, qr/start worker process \d/);
    log_has($t, qr/gracefully shutting down/);
}

sub worker_ended {
    my ($t) = @_;

    return log_has($t, qr/worker process \d+ exited with code 0/);
}

sub kill_worker {
    my ($t) = @_;

    log_mark($t);
    my ($pid) = reverse $t->read_file('error.log') =~ /start worker process (\d+)/g;
    kill 'KILL', $pid;
    log_has($t, qr/start worker process \d/);
}

# While this process waits for nginx to end.
sub release_when_shutting_down {
    my ($t) = @_;

    return if fork;

    log_has($t, qr/gracefully shutting down/);
    release();
    POSIX::_exit(0);
}
