#!/usr/bin/perl

# Tests for a provider that is away, slow or silent: who is logged in notices nothing, who logs in is told
# within the timeouts and can try again, workers share what one has learnt and wait for one question, and
# one that fails is not asked by every request.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Select ();
use IO::Socket::INET ();
use POSIX ();
use Time::HiRes qw/ sleep time /;

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Workers;

select STDERR; $| = 1;
select STDOUT; $| = 1;

# That a worker was killed is an alert: the others are looked for at the end.
my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite udp/)->plan(120)->todo_alerts();

my $metadata = '/.well-known/openid-configuration';
my @steps = ($metadata, '/jwks', '/token', '/userinfo');

# The first is asked by most; each step that is slow has one of its own, and so has the back-off.
my $op = provider($t, 8081);
my %slow_op = map { $steps[$_] => provider($t, 8090 + $_) } 0 .. 3;
my $failing = provider($t, 8094, respond => { $metadata => { status => 503 } });

my $dns = resolver($t, 8053, '*' => 'SILENCE');

# It takes connections, up to a number, and never says a word.
my $mute = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1', LocalPort => port(8095), Proto => 'tcp', Listen => 128, ReuseAddr => 1)
    or die "listen: $!";

# What is broken, in the knob "respond".
my %slow = (
    'says nothing' => { hold => 1 },
    'drips its head' => { drip => [1, 0.1] },
    'drips its body' => { drip => [300, 0.1], pad => 20_000 },
);
my @slow = sort keys %slow;

# Nobody has met the provider of such a block before.
my %blocks = (
    main => 'session_key %%TESTDIR%%/session.key;',
    (map { ($_ => '') } 'shared', 'down', map { "wait_$_" } qw/ success failure abort kill /),
    wait_timeout => 'connect_timeout 300ms; read_timeout 500ms;',
    backoff => 'issuer http://127.0.0.1:8094;',
    mute => "issuer http://127.0.0.1:8095; connect_timeout 300ms; read_timeout 300ms;",
    mute_tls => "issuer https://127.0.0.1:8095; connect_timeout 300ms; read_timeout 300ms;",
    nameless => "issuer https://nobody.example.com; connect_timeout 300ms; read_timeout 300ms;",
);
for my $step (0 .. 3) {
    $blocks{"slow_${step}_$_"} = 'issuer http://127.0.0.1:' . (8090 + $step)
        . '; connect_timeout 300ms; read_timeout 300ms; userinfo on;' for 0 .. $#slow;
}

$t->write_file('session.key', '0123456789abcdef' x 4 . "\n");
configure($t, 4);
$t->run();

my $alice = login('/main/')->{browser};

# What one worker has learnt all know.

$op->clear;
my @workers = workers($t);
is(scalar(@workers), 4, 'four workers');
my @logins = map { my $worker = $_; alone($t, $worker, sub { login('/shared/') }) } @workers;
is(join(' ', map { $_->{status} } @logins), '204 204 204 204', 'a login in each worker');
is(join(' ', sort map { $_->{headers}{'x-worker'} } @logins), join(' ', sort @workers), 'and no other');

my @browsers = map { browser() } 1 .. 20;
my @requests = map { $_->start('/shared/') } @browsers;
my @answers = map { $browsers[$_]->finish($requests[$_]) } 0 .. $#browsers;
@answers = map { $browsers[$_]->login($answers[$_]{location}) } 0 .. $#browsers;
is(scalar(grep { $_->{status} == 204 } @answers), 20, 'and twenty more');
asked('4 workers');

log_mark($t);
$t->reload();
until_logged($t, qr/gracefully shutting down/, 4);
until_logged($t, qr/start worker process \d/, 4);
@workers = workers($t);
is(login('/shared/')->{status}, 204, 'a login after a reload');
asked('a reload');

$op->set(respond => { $metadata => { status => 503 }, '/jwks' => { status => 503 } });
kill_worker($t, $workers[0]);
my ($young) = grep { my $worker = $_; !grep { $worker == $_ } @workers } workers($t);
my $login = alone($t, $young, sub { login('/shared/') });
is($login->{status}, 204, 'a login in a fresh worker, while neither metadata nor keys are to be had');
is($login->{headers}{'x-worker'}, $young, 'in the fresh one');
asked('a killed worker');
$op->reset;

# Who waits for another worker's answer.

is(waits('success', {}, '302 302', sub { $op->reset }), 1, 'success: by one question');

# A first failure is no reason not to ask again, so the other worker may.
log_mark($t);
my $questions = waits('failure', { status => 500 }, '502 502',
    sub { $op->set(respond => { $metadata => { status => 500 } }) });
cmp_ok($questions, '<=', 2, 'failure: by two questions at most');
ok(until_logged($t, qr/oidc: provider returned status 500 while beginning a login/, 2),
    'failure: each is logged');

my $start = time;
$questions = waits('timeout', {}, '504 504', sub { });
cmp_ok($questions, '<=', 2, 'timeout: by two questions at most');
cmp_ok(time - $start, '<', 2.5, 'timeout: within the timeouts');
$op->reset;

$questions = waits('abort', {}, '0 302', sub {
    my ($first) = @_;
    browser()->abort($first);
    $op->wait_for($metadata, 2);
    $op->reset;
});
is($questions, 2, 'abort: the waiting one asks anew');

$questions = waits('kill', {}, '0 302', sub {
    my ($first, $asker) = @_;
    $start = time;
    kill_worker($t, $asker);
    $op->wait_for($metadata, 2);
    cmp_ok(time - $start, '<', 2, 'kill: soon');
    $op->reset;
});
is($questions, 2, 'kill: the waiting one asks anew');

# Away when nginx starts.

$t->stop();
$op->stop;
configure($t, 1);
$t->run();

is(browser()->get('/open')->{status}, 204, 'provider down at start: an open page');
is($alice->get('/main/')->{status}, 204, 'provider down at start: a session');
log_mark($t);
my $browser = browser();
told($browser->get('/down/'), 502, 'provider down at start: a login');
ok(log_has($t, qr/oidc: provider could not be reached at "http\S+" while beginning a login, provider "down"/),
    'provider down at start: logged');
$op->start;
is($browser->login('/down/')->{status}, 204, 'provider up again: the next attempt');

# Away in the middle.

my $callback;
($browser, $callback) = begin('/down/');
$op->stop;
log_mark($t);
told($browser->get($callback), 502, 'provider down in mid-login: the callback');
ok(log_has($t, qr/oidc: provider could not be reached at "\S+\/token" while handling the callback, provider "down"/),
    'provider down in mid-login: logged');
is($alice->get('/main/')->{status}, 204, 'provider down in mid-login: a session');
is(browser()->get('/down/')->{status}, 302, 'provider down in mid-login: another one begins, as is known');
$op->start;
is($browser->login('/down/')->{status}, 204, 'provider up again: the next attempt');

# From here on somebody asks the failing one every 50 ms, until 4 seconds have passed.

poll($t, '/backoff/', 4);

# Slow, at each step, all four at a time.

for my $how (0 .. $#slow) {
    my @all = map { step_begun($_, $how) } 0 .. 3;
    $slow_op{ $steps[$_] }->set(respond => { $steps[$_] => $slow{ $slow[$how] } }) for 0 .. 3;

    log_mark($t);
    my $start = time;
    my @requests = map { $_->[0]->start($_->[1]) } @all;
    my @answers = map { { %{ $all[$_][0]->finish($requests[$_]) }, took => time - $start } } 0 .. 3;
    $_->reset for values %slow_op;

    for my $step (0 .. 3) {
        my $case = "$steps[$step] $slow[$how]";
        told($answers[$step], 504, $case);
        cmp_ok($answers[$step]{took}, '<', 1.6, "$case: told within the timeouts");
        ok(log_has($t, qr/oidc: provider did not respond in time at "\S+\Q$steps[$step]\E" .*"slow_${step}_$how"/),
            "$case: logged");
    }
    my @again = map { $all[$_][0]->login("/slow_${_}_$how/")->{status} } 0 .. 3;
    is(join(' ', @again), '204 204 204 204', "$slow[$how]: the next attempts");
}

# No provider at all.

for my $case (['mute', 'a server that accepts and says nothing'], ['mute_tls', 'a TLS server that does'],
    ['nameless', 'a name that never resolves'])
{
    my ($place, $what) = @$case;
    log_mark($t);
    my $start = time;
    told(browser()->get("/$place/"), qr/50[24]/, $what);
    cmp_ok(time - $start, '<', 1.6, "$what: told within the timeouts");
    ok(log_has($t, qr/oidc: provider (?:did not respond in time|could not be reached) at .* provider "$place"/),
        "$what: logged");
}

# Many who wait for a token, and those beside them.

@logins = map { [begin('/main/')] } 1 .. 50;
$op->clear->set(respond => { '/token' => { hold => 1 } });
@requests = map { $_->[0]->start($_->[1]) } @logins;
is($op->wait_for('/token', 50), 50, '50 logins wait for their tokens');

my %status;
for my $n (1 .. 200) {
    my $answer = $n % 2 ? $alice->get('/main/') : browser()->get('/open');
    $status{ $answer->{status} }++;
}
is_deeply(\%status, { 204 => 200 }, '200 other requests are answered meanwhile');
my @ended = IO::Select->new(map { $_->{socket} } @requests)->can_read(0);
is(scalar(@ended), 0, 'and the 50 wait still');
$op->set(respond => {});
@answers = map { $logins[$_][0]->finish($requests[$_]) } 0 .. 49;
is(scalar(grep { $_->{status} == 302 } @answers), 50, 'then they are logged in');
$op->reset;

# What became of the failing one.

my @polls = polled($t);
cmp_ok(scalar(@polls), '>=', 20, 'a provider that fails: many requests within a few seconds');
is(scalar(grep { $_->{status} != 502 || !$_->{retry} } @polls), 0, 'each gets 502 with Retry-After');
my ($longest) = sort { $b <=> $a } map { $_->{took} } @polls;
cmp_ok($longest, '<', 0.5, 'at once');

my @asked = map { $_->{time} } $failing->requests($metadata);
my @gaps = map { $asked[$_] - $asked[$_ - 1] } 1 .. $#asked;
# nginx counts whole seconds, so a wait may be shorter by less than one
cmp_ok($gaps[0], '<', 0.3, 'by two questions in a row');
cmp_ok($gaps[1], '<', 1.5, 'a third after a second');
ok($gaps[2] > 0.9 && $gaps[2] < 2.5, 'and a fourth after two more')
    or diag("gaps: @gaps");
cmp_ok(scalar(@asked), '<=', 5, 'no more');

$failing->reset->set(respond => {});
my $up;
my $end = time + 6;
until (($up = login('/backoff/'))->{status} == 204 || time > $end) { sleep 0.1 }
is($up->{status}, 204, 'once it works again, so do logins, in five seconds');

$t->stop();
my @alerts = $t->read_file('error.log') =~ /.*\[alert\].*/g;
is(scalar(grep { /exited on signal 9/ } @alerts), 2, 'two workers were killed');
is(join("\n", grep { !/exited on signal 9/ } @alerts), '', 'and no other alert');

sub configure {
    my ($t, $workers) = @_;

    my $providers = join '', map { provider_block($_, $blocks{$_}) } sort keys %blocks;
    my $locations = join '', map { "location /$_/ { auth_oidc $_; proxy_pass http://127.0.0.1:8082; }\n" }
        sort keys %blocks;

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;
worker_processes $workers;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    error_log %%TESTDIR%%/error.log info;

    $providers

    resolver 127.0.0.1:%%PORT_8053_UDP%% ipv6=off;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        add_header X-Error  \$oidc_error always;
        add_header X-Worker \$pid always;

        location /open { return 204; }

        $locations
    }

    server {
        listen       127.0.0.1:8082;
        server_name  localhost;

        return 204;
    }
}

EOC
}

sub provider_block {
    my ($name, $more) = @_;

    my $issuer = $more =~ /\bissuer / ? '' : 'issuer http://127.0.0.1:8081;';
    return <<"EOC";
    oidc_provider $name {
        $issuer
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        cookie_name   $name;
        redirect_uri  /callback/$name;
        $more
    }
EOC
}

# A login up to the callback: the browser, and the URL that the provider sends it to.
sub begin {
    my ($path) = @_;

    my $browser = browser();
    return ($browser, $browser->follow($browser->get($path))->{location});
}

# A browser, and the URL by which it comes to that step.
sub step_begun {
    my ($step, $how) = @_;

    my $page = "/slow_${step}_$how/";
    return [$step == 0 ? (browser(), $page) : begin($page)];
}

# The answer of a provider's failure.
sub told {
    my ($answer, $status, $case) = @_;

    like($answer->{status}, qr/^$status$/, $case);
    like($answer->{headers}{'retry-after'} // '', qr/^[1-9]\d*$/, "$case: Retry-After");
}

sub asked {
    my ($case) = @_;

    is($op->count($metadata), 1, "$case: metadata was asked for once");
    is($op->count('/jwks'), 1, "$case: keys were asked for once");
}

# One worker asks and another waits for its answer, until $then ends that. How often was asked.
sub waits {
    my ($name, $answer, $statuses, $then) = @_;

    my ($asker, $waiter, @others) = workers($t);
    $op->clear->set(respond => { $metadata => { hold => 1, %$answer } });
    halt(@others);

    halt($waiter);
    my $first = browser()->start("/wait_$name/");
    $op->wait_for($metadata, 1);
    kill 'CONT', $waiter;

    halt($asker);
    my $second = browser()->start("/wait_$name/");
    browser()->get('/open') for 1, 2;
    kill 'CONT', $asker;

    $then->($first, $asker);
    my @answers = map { browser()->finish($_) } grep { defined fileno $_->{socket} } $first, $second;
    unshift @answers, { status => 0 } if @answers == 1;
    kill 'CONT', @others;

    is(join(' ', map { $_->{status} } @answers), $statuses, "$name: both workers' requests");
    is($answers[1]{headers}{'x-worker'}, $waiter, "$name: the second was in another worker");
    return $op->count($metadata);
}

# What only this worker serves, while the others do not run.
sub alone {
    my ($t, $worker, $do) = @_;

    my @others = grep { $_ != $worker } workers($t);
    halt(@others);
    my $result = $do->();
    kill 'CONT', @others;
    return $result;
}

# Those that were started and have not ended, by the log.
sub workers {
    my ($t) = @_;

    my %running;
    for my $line (grep { !/\[debug\]/ } split /\n/, $t->read_file('error.log')) {
        $running{$1} = 1 if $line =~ /start worker process (\d+)/;
        delete $running{$1} if $line =~ /(\d+)#\d+: gracefully shutting down/;
        delete $running{$1} if $line =~ /worker process (\d+) exited/;
    }
    return sort { $a <=> $b } keys %running;
}

sub kill_worker {
    my ($t, $pid) = @_;

    log_mark($t);
    kill 'KILL', $pid;
    until_logged($t, qr/start worker process \d/);
}

sub until_logged {
    my ($t, $re, $times) = @_;

    my $end = time + 5;
    while (time < $end) {
        my @lines = error_log_lines($t, $re);
        return 1 if @lines >= ($times // 1);
        sleep 0.02;
    }
    return 0;
}

# Asks for a page again and again, beside this process, and leaves a line for each answer.
sub poll {
    my ($t, $path, $seconds) = @_;

    my $file = $t->testdir() . '/polled';
    $t->run_daemon(sub {
        my ($end, $lines) = (time + $seconds, '');
        while (time < $end) {
            my $start = time;
            my $answer = browser()->get($path);
            $lines .= sprintf "%s %s %.3f\n", $answer->{status}, $answer->{headers}{'retry-after'} // 0,
                time - $start;
            sleep 0.05;
        }
        open my $to, '>', "$file.new";
        print $to $lines;
        close $to;
        rename "$file.new", $file;
        POSIX::_exit(0);
    });
}

sub polled {
    my ($t) = @_;

    $t->waitforfile($t->testdir() . '/polled');
    return map { my %poll; @poll{qw/ status retry took /} = split; \%poll } split /\n/, $t->read_file('polled');
}
