#!/usr/bin/perl

# Tests for logins while nginx reloads its configuration, quits, or loses a worker.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use POSIX ();
use Time::HiRes qw/ sleep time /;

use Test::Nginx;
use Test::OIDC;

select STDERR; $| = 1;
select STDOUT; $| = 1;

# That a worker was killed is an alert: the others are looked for at the end.
my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(53)->todo_alerts();

my $op = provider($t, 8081);

my $conf = <<'EOF';

%%TEST_GLOBALS%%

daemon off;

events {
}

MAIN

http {
    %%TEST_GLOBALS_HTTP%%

    oidc_provider my_idp {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
    }

    oidc_provider hasty {
        issuer          http://127.0.0.1:8081;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        cookie_name     hasty;
        connect_timeout 500ms;
        read_timeout    500ms;
    }

    FRESH

    HTTP

    add_header X-Error $oidc_error always;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

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
}

EOF

# What is known of a provider outlives a worker: these have not asked yet.
my $fresh = join '', map { <<"EOF" } 1 .. 4;

    oidc_provider fresh_$_ {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        cookie_name   fresh_$_;
    }
EOF

configure($t);
$t->run();

# a login in progress, and what was there before

my $before = login('/before')->{browser};
my ($refused, $used) = begin('/used');
$op->set(id_token => { claims => { iss => 'http://evil.example.com' } });
is(outcome($refused->get($used)), '403 id_token_issuer', 'a state is used');
$op->reset;

my ($browser, $callback) = begin('/waiting');
my ($exchanging, $exchange) = begin('/exchange');
my ($finished, $finish) = begin('/finished');
$finished->get($finish);

hold('/token');
my $request = $exchanging->start($exchange);
$op->wait_for('/token', 1);

reload($t);
release();

is(outcome($exchanging->finish($request)), '302 to /exchange',
    'a code that is exchanged during a reload');
is($exchanging->get('/page')->{status}, 204, 'is a session');
ok(worker_ended($t), 'and the old worker ends');

is(outcome($browser->get($callback)), '302 to /waiting', 'a login that began before a reload');
is($browser->get('/page')->{status}, 204, 'ends well');
is($before->get('/page')->{status}, 204, 'a session of before is one');

$op->clear;
is(outcome($finished->get($finish)), '302 to /finished', 'a state that was used stays so');
is(outcome($refused->get($used)), '400 state_used', 'also after a failure');
is($op->count('/token'), 0, 'and makes no token request');

# metadata on the way

reload($t);
hold('/.well-known/openid-configuration');
my @browsers = map { browser() } 1 .. 3;
my @requests = map { $_->start(fresh(1)) } @browsers;
is($op->wait_for('/.well-known/openid-configuration', 1), 1, 'metadata is asked for once');
reload($t);
release();

my @answers = map { $browsers[$_]->finish($requests[$_]) } 0 .. 2;
is(join(' ', map { $_->{status} } @answers), '302 302 302', 'metadata that is asked for during a reload');
ok(worker_ended($t), 'and the old worker ends');
is($browsers[0]->login($answers[0]{location})->{status}, 204, 'and the login goes on');

# another configuration

configure($t, HTTP => 'oidc_state_zone 4m;');
reload($t);
is($before->get('/page')->{status}, 204, 'a session lives on in a zone of another size');
is(login('/page')->{status}, 204, 'and others begin');

configure($t, HTTP => 'oidc_state_zone 1k;');
log_mark($t);
$t->reload();
ok(until_logged($t, qr/\[emerg\] .*oidc_state_zone/), 'a configuration that is wrong');
is($before->get('/page')->{status}, 204, 'leaves everything as it was');
is(login('/page')->{status}, 204, 'and others begin');

# no patience with an old worker

configure($t, MAIN => 'worker_shutdown_timeout 100ms;');
reload($t);
ok(worker_ended($t), 'a reload');

for my $where ('/.well-known/openid-configuration', '/token') {
    my ($browser, $url) = $where eq '/token' ? begin('/page') : (browser(), fresh(2));
    hold($where);
    my @requests = map { $browser->start($url) } 1, 2;
    is($op->wait_for($where, 1), 1, "$where: one asks");

    log_mark($t);
    $t->reload();
    # nginx closes the connection, Angie answers first
    like($browser->finish($_)->{status}, qr/^(?:0|502)$/, "$where: cut off by worker_shutdown_timeout")
        for @requests;
    ok(worker_ended($t), 'and the old worker ends');
    release();
    is(login('/page')->{status}, 204, 'the new one works');
}

configure($t);
reload($t);
ok(worker_ended($t), 'a reload');

# a worker that is killed

hold('/.well-known/openid-configuration');
$browser = browser();
$request = $browser->start(fresh(3));
is($op->wait_for('/.well-known/openid-configuration', 1), 1, 'a worker asks for metadata');
kill_worker($t);
is($browser->finish($request)->{status}, 0, 'and is killed');
release();
is($browser->login(fresh(3))->{status}, 204, 'the next request logs in');
is($op->count('/.well-known/openid-configuration'), 2, 'and does not wait for the dead');

$op->set(id_token => { claims => { iss => 'http://evil.example.com' } });
($refused, $used) = begin('/used');
$refused->get($used);
$op->reset;

($browser, $callback) = begin('/page');
kill_worker($t);
is(outcome($browser->get($callback)), '302 to /page', 'killed between page and callback');
is($browser->get('/page')->{status}, 204, 'logged in');
is($before->get('/page')->{status}, 204, 'a session of before is one');
is(outcome($refused->get($used)), '400 state_used', 'a state that was used stays so');

($browser, $callback) = begin('/hasty');
hold('/token');
$request = $browser->start($callback);
$op->wait_for('/token', 1);
kill_worker($t);
is($browser->finish($request)->{status}, 0, 'killed while it exchanges a code');
release();

my $start = time;
my $res = $browser->login($callback);
cmp_ok(time - $start, '<', 4, 'the callback again: an answer in time');
is(outcome($res->{hops}[0]), '302 to /hasty', 'which leads to the page');
is($res->{status}, 204, 'and logged in');
is($res->{hops}[-1]{url} =~ s{.*(?=/)}{}r, '/hasty', 'at the page');
is($browser->login('/hasty')->{status}, 204, 'the next request logs in');

# quit

($browser, $callback) = begin('/quit');
reload($t);
hold('/.well-known/openid-configuration', '/token');
@requests = map { $browser->start($_) } $callback, $callback, fresh(4), fresh(4);
is($op->wait_for('/.well-known/openid-configuration', 1), 1, 'metadata is asked for');
log_mark($t);

release_when_shutting_down($t);
$t->stop();
@answers = map { $browser->finish($_) } @requests;

is(outcome($answers[0]), '302 to /quit', 'a callback while nginx quits');
is(outcome($answers[1]), '302 to /quit', 'a copy of it');
is($answers[2]{status}, 302, 'a page');
is($answers[3]{status}, 302, 'and one that waits for its metadata');
ok(!-e $t->testdir() . '/nginx.pid', 'nginx has ended');

my @alerts = $t->read_file('error.log') =~ /.*\[alert\].*/g;
is(scalar(grep { /exited on signal 9/ } @alerts), 3, 'three workers were killed');
is(join("\n", grep { !/exited on signal 9/ } @alerts), '', 'and no other alert');

sub configure {
    my ($t, %part) = @_;

    $part{FRESH} = $fresh;
    $t->write_file_expand('nginx.conf', $conf =~ s/\b(MAIN|HTTP|FRESH)$/$part{$1} || ''/gemr);
}

# The page of an oidc_provider that has met no provider yet.
sub fresh { my ($number) = @_; return "/fresh_$number?op=fresh_$number" }

# A login up to the callback: the browser, and the URL that the provider sends it to.
sub begin {
    my ($path) = @_;

    my $browser = browser();
    return ($browser, $browser->follow($browser->get($path))->{location});
}

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

# Until the new worker has taken over.
sub reload {
    my ($t) = @_;

    log_mark($t);
    $t->reload();
    until_logged($t, qr/start worker process \d/);
    until_logged($t, qr/gracefully shutting down/);
}

sub worker_ended {
    my ($t) = @_;

    return until_logged($t, qr/worker process \d+ exited with code 0/);
}

sub kill_worker {
    my ($t) = @_;

    log_mark($t);
    my ($pid) = reverse $t->read_file('error.log') =~ /start worker process (\d+)/g;
    kill 'KILL', $pid;
    until_logged($t, qr/start worker process \d/);
}

sub until_logged {
    my ($t, $re) = @_;

    my $end = time + 5;
    while (time < $end) {
        return 1 if error_log_lines($t, $re);
        sleep 0.02;
    }
    return 0;
}

# While this process waits for nginx to end.
sub release_when_shutting_down {
    my ($t) = @_;

    return if fork;

    until_logged($t, qr/gracefully shutting down/);
    release();
    POSIX::_exit(0);
}
