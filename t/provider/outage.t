#!/usr/bin/perl

# Tests for a provider that is down, slow or silent: sessions are not affected, logins fail within the timeouts and can
# be tried again, workers share documents and requests for them, and a failing provider gets few requests.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Select ();
use IO::Socket::INET ();
use Time::HiRes qw/ time /;

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;
use Test::OIDC::Workers;

# A killed worker logs an alert; other alerts are looked for at the end.
my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite udp/)->todo_alerts();
my $clock = Test::OIDC::Clock->new($t);
$t->plan(117);

my $metadata = '/.well-known/openid-configuration';
my @steps = ($metadata, '/jwks', '/token', '/userinfo');

# $op serves most tests; each slow step and the failure backoff have their own provider.
my $op = provider($t, 8081);
my %slow_op = map { $steps[$_] => provider($t, 8090 + $_) } 0 .. 3;
my $failing = provider($t, 8094, respond => { $metadata => { status => 503 } });
$clock->follow($op, $failing, values %slow_op);

my $dns = resolver($t, 8053, '*' => 'SILENCE');

# A server that accepts a number of connections and never responds
my $silent = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1', LocalPort => port(8095), Proto => 'tcp', Listen => 128, ReuseAddr => 1)
    or die "listen: $!";

# Values of the knob "respond"
my %slow = (
    'is silent' => { hold => 1 },
    'drips its head' => { headers => { X => 'x' x 600 }, drip => [1, 0.1] },
    'drips its body' => { drip => [30, 0.1], pad => 20_000 },
);
my @slow = sort keys %slow;

# The provider blocks; each block starts without metadata.
my %blocks = (
    main => 'session_key %%TESTDIR%%/session.key; read_timeout 5m;',
    (map { ($_ => '') } 'shared', 'down', map { "wait_$_" } qw/ success failure abort kill /),
    wait_timeout => SHORT_TIMEOUTS . ';',
    backoff => 'issuer http://127.0.0.1:8094;',
    silent => 'issuer http://127.0.0.1:8095; ' . SHORT_TIMEOUTS . ';',
    silent_tls => 'issuer https://127.0.0.1:8095; ' . SHORT_TIMEOUTS . ';',
    unresolved => 'issuer https://nobody.example.com; ' . SHORT_TIMEOUTS . ';',
);
for my $step (0 .. 3) {
    $blocks{"slow_${step}_$_"} = 'issuer http://127.0.0.1:' . (8090 + $step)
        . '; userinfo on; ' . SHORT_TIMEOUTS . ';' for 0 .. $#slow;
}

$t->write_file('session.key', '0123456789abcdef' x 4 . "\n");
configure($t, 4);
$t->run();

my $alice = login('/main/')->{browser};

# Workers share metadata and keys.

$op->clear;
my @workers = workers($t);
is(scalar(@workers), 4, 'four workers');
my @logins = map { my $worker = $_; alone($t, $worker, sub { login('/shared/') }) } @workers;
is(join(' ', map { $_->{status} } @logins), '204 204 204 204', 'a login in each worker succeeds');
is(join(' ', sort map { $_->{headers}{'x-worker'} } @logins), join(' ', sort @workers),
    'each login used its own worker');

my @browsers = map { browser() } 1 .. 20;
my @requests = map { $_->start('/shared/') } @browsers;
my @answers = map { $browsers[$_]->finish($requests[$_]) } 0 .. $#browsers;
@answers = map { $browsers[$_]->login($answers[$_]{location}) } 0 .. $#browsers;
is(scalar(grep { $_->{status} == 204 } @answers), 20, 'twenty more logins succeed');
is_shared('4 workers');

log_mark($t);
$t->reload();
log_has($t, qr/gracefully shutting down/, 4);
log_has($t, qr/start worker process \d/, 4);
@workers = workers($t);
is(login('/shared/')->{status}, 204, 'a login after a reload succeeds');
is_shared('a reload');

$op->set(respond => { $metadata => { status => 503 }, '/jwks' => { status => 503 } });
kill_worker($t, $workers[0]);
my ($young) = grep { my $worker = $_; !grep { $worker == $_ } @workers } workers($t);
my $login = alone($t, $young, sub { login('/shared/') });
is($login->{status}, 204, 'a login in a new worker succeeds while neither metadata nor keys are available');
is($login->{headers}{'x-worker'}, $young, 'that login used the new worker');
is_shared('a killed worker');
$op->reset;

# A worker waits for the response to another worker's request.

is(waits($t, 'success', {}, '302 302', sub { $op->reset }), 1, 'success: one request');

# After the first failure, the other worker may send a request at once.
log_mark($t);
my $requests = waits($t, 'failure', { status => 500 }, '502 502',
    sub { $op->set(respond => { $metadata => { status => 500 } }) });
cmp_ok($requests, '<=', 2, 'failure: at most two requests');
ok(log_has($t, qr/oidc: provider returned status 500 while beginning a login, provider .*, url "\S+\/openid-configuration"/, 2),
    'failure: each is logged');

my $start = time;
$requests = waits($t, 'timeout', {}, '504 504', sub { });
cmp_ok($requests, '<=', 2, 'timeout: at most two requests');
took_at_most($start, 2 * SHORT_TOTAL, 'timeout: within the timeouts');
$op->reset;

$requests = waits($t, 'abort', {}, '0 302', sub {
    my ($first) = @_;
    browser()->abort($first);
    $op->wait_for($metadata, 2);
    $op->reset;
});
is($requests, 2, 'abort: the waiting worker sends a request');

$requests = waits($t, 'kill', {}, '0 302', sub {
    my ($first, $asker) = @_;
    $start = time;
    kill_worker($t, $asker);
    $op->wait_for($metadata, 2);
    took_at_most($start, 0, 'kill: the waiting worker sends its request soon');
    $op->reset;
});
is($requests, 2, 'kill: the waiting worker sends a request');

# The provider is down when nginx starts.

$t->stop();
$op->stop;
configure($t, 1);
$t->run();

is(browser()->get('/open')->{status}, 204, 'provider down at start: an open page is served');
is($alice->get('/main/')->{status}, 204, 'provider down at start: a page with a session is served');
log_mark($t);
my $browser = browser();
is_refused_with($browser->get('/down/'), 502, 'provider down at start: a login');
ok(log_has($t, qr/oidc: provider could not be reached at "http\S+" while beginning a login, provider "down"/),
    'provider down at start: logged');
$op->start;
is($browser->login('/down/')->{status}, 204, 'provider up again: the next login succeeds');

# The provider goes down during a login.

my $callback;
($browser, $callback) = begin('/down/');
$op->stop;
log_mark($t);
is_refused_with($browser->get($callback), 502, 'provider down in mid-login: the callback');
ok(log_has($t, qr/oidc: provider could not be reached at "\S+\/token" while handling the callback, provider "down"/),
    'provider down in mid-login: logged');
is($alice->get('/main/')->{status}, 204, 'provider down in mid-login: a page with a session is served');
is(browser()->get('/down/')->{status}, 302,
    'provider down in mid-login: another login begins with the known metadata');
$op->start;
is($browser->login('/down/')->{status}, 204, 'provider up again after mid-login: the next login succeeds');

# A failing provider gets two metadata requests at once, then one after one, two, four and five seconds: the maximum.

$clock->freeze;
my $answered = 0;
for my $step ([0, 2, 'two requests at once'], [1, 3, 'a third after a second'], [1, 3, 'none after another second'],
    [1, 4, 'a fourth after two seconds'], [3, 4, 'none after three seconds'], [1, 5, 'a fifth after four seconds'],
    [4, 5, 'none after four seconds'], [1, 6, 'a sixth after five seconds'], [4, 6, 'none after four more seconds'])
{
    my ($seconds, $asked, $name) = @$step;
    $clock->advance($seconds);
    $answered += grep { $_->{status} == 502 && ($_->{headers}{'retry-after'} // '') =~ /^[1-9]\d*$/ }
        map { browser()->get('/backoff/') } 1 .. 5;
    is($failing->count($metadata), $asked, "a failing provider: $name");
}
is($answered, 45, 'a failing provider: each request gets 502 with Retry-After');

$failing->reset->set(respond => {});
is(browser()->get('/backoff/')->{status}, 502, 'a provider that has recovered: a login fails during the backoff');
$clock->advance(1);
is(browser()->get('/backoff/')->{status}, 302, 'a provider that has recovered: a login begins after five seconds');
is($failing->count($metadata), 7, 'a provider that has recovered: one metadata request');
$clock->unfreeze;
is(login('/backoff/')->{status}, 204, 'a provider that has recovered: a login succeeds');

# A slow provider, at each of the four steps at the same time

for my $how (0 .. $#slow) {
    my @all = map { step_begun($_, $how) } 0 .. 3;
    $slow_op{ $steps[$_] }->set(respond => { $steps[$_] => $slow{ $slow[$how] } }) for 0 .. 3;

    log_mark($t);
    my $start = time;
    my @requests = map { $_->[0]->start($_->[1]) } @all;
    my @answers = map { $all[$_][0]->finish($requests[$_]) } 0 .. 3;
    took_at_most($start, SHORT_TOTAL, "$slow[$how]: within the timeouts at each step");
    $_->reset for values %slow_op;

    for my $step (0 .. 3) {
        my $case = "$steps[$step] $slow[$how]";
        is_refused_with($answers[$step], 504, $case);
        ok(log_has($t, qr/oidc: provider did not respond in time at "\S+\Q$steps[$step]\E" .*"slow_${step}_$how"/),
            "$case: logged");
    }
    my @again = map { $all[$_][0]->login("/slow_${_}_$how/")->{status} } 0 .. 3;
    is(join(' ', @again), '204 204 204 204', "$slow[$how]: the next logins succeed");
}

# No provider

for my $case (
    ['silent', 'a server that accepts and is silent'], ['silent_tls', 'a TLS server that accepts and is silent'],
    ['unresolved', 'a name that never resolves'])
{
    my ($provider, $what) = @$case;
    log_mark($t);
    my $start = time;
    is_refused_with(browser()->get("/$provider/"), qr/50[24]/, $what);
    took_at_most($start, SHORT_TOTAL, "$what: within the timeouts");
    ok(log_has($t, qr/oidc: provider (?:did not respond in time|could not be reached) at .* provider "$provider"/),
        "$what: logged");
}

# Many logins that wait for a token, and other requests

@logins = map { [begin('/main/')] } 1 .. 50;
$op->clear->set(respond => { '/token' => { hold => 1 } });
@requests = map { $_->[0]->start($_->[1]) } @logins;
is($op->wait_for('/token', 50), 50, '50 logins wait for their tokens');

my %status;
for my $n (1 .. 200) {
    my $answer = $n % 2 ? $alice->get('/main/') : browser()->get('/open');
    $status{ $answer->{status} }++;
}
is_deeply(\%status, { 204 => 200 }, '200 other requests succeed meanwhile');
my @ended = IO::Select->new(map { $_->{socket} } @requests)->can_read(0);
is(scalar(@ended), 0, 'the 50 logins still wait');
$op->set(respond => {});
@answers = map { $logins[$_][0]->finish($requests[$_]) } 0 .. 49;
is(scalar(grep { $_->{status} == 302 } @answers), 50, 'the 50 logins succeed');
$op->reset;

$t->stop();
my @alerts = $t->read_file('error.log') =~ /.*\[alert\].*/g;
is(scalar(grep { /exited on signal 9/ } @alerts), 2, 'two workers were killed');
is(join("\n", grep { !/exited on signal 9/ } @alerts), '', 'no alert except for killed workers');

sub configure {
    my ($t, $workers) = @_;

    my @providers = map {
        oidc_provider($_, $blocks{$_} =~ s/;$//r, $blocks{$_} =~ /\bissuer / ? (issuer => undef) : ());
    } sort keys %blocks;
    my $locations = join '', map { "location /$_/ { auth_oidc $_; proxy_pass http://127.0.0.1:8082; }\n" }
        sort keys %blocks;

    $t->write_file_expand('nginx.conf', main_conf("worker_processes $workers;", <<"EOC"));
    error_log %%TESTDIR%%/error.log info;
    resolver  127.0.0.1:%%PORT_8053_UDP%% ipv6=off;

@providers

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
EOC
}

# Starts a login. Returns the browser and the callback URL to which the provider redirects it.
sub begin {
    my ($path) = @_;

    my $browser = browser();
    return ($browser, $browser->follow($browser->get($path))->{location});
}

# A browser, and the URL with which it reaches that step
sub step_begun {
    my ($step, $how) = @_;

    my $page = "/slow_${step}_$how/";
    return [$step == 0 ? (browser(), $page) : begin($page)];
}

# The response to a request that fails
sub is_refused_with {
    my ($answer, $status, $case) = @_;

    like($answer->{status}, qr/^$status$/, $case);
    like($answer->{headers}{'retry-after'} // '', qr/^[1-9]\d*$/, "$case: Retry-After");
}

sub is_shared {
    my ($case) = @_;

    is($op->count($metadata), 1, "$case: the metadata was requested once");
    is($op->count('/jwks'), 1, "$case: the keys were requested once");
}

# One worker sends the metadata request and another waits, until $then ends that. Returns the number of requests.
sub waits {
    my ($t, $name, $answer, $statuses, $then) = @_;

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

# Runs it while only this worker serves: the others are stopped.
sub alone {
    my ($t, $worker, $do) = @_;

    my @others = grep { $_ != $worker } workers($t);
    halt(@others);
    my $result = $do->();
    kill 'CONT', @others;
    return $result;
}

# The running workers, from the log
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
    log_has($t, qr/start worker process \d/);
}
