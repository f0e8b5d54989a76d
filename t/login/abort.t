#!/usr/bin/perl

# Tests for clients that disconnect while their request waits, over HTTP/1.1 and HTTP/2, and for requests
# that wait for the same document: success, failure, timeout and a leaving client each wake all of them.
# With leak detection, the exit of the worker also proves that nothing is leaked.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Socket qw/ SOL_SOCKET SO_LINGER /;

use Test::OIDC;
use Test::OIDC::H2;
use Test::OIDC::Site qw/ http_conf oidc_provider /;

my $t = Test::Nginx->new()->has(qw/http http_v2 proxy rewrite/)->plan(98);

my $op = provider($t, 8081);
my $metadata = '/.well-known/openid-configuration';

# A case that needs a provider unknown to the worker has one of its own.
my @cases = map { "case$_" } 1 .. 27;

my $locations = join '', map { <<"EOF" } @cases;
        location /$_/ { auth_oidc $_; proxy_pass http://127.0.0.1:8082; }
EOF

$t->write_file_expand('nginx.conf', http_conf(
    (map { oidc_provider($_) } @cases),
    oidc_provider('hasty', 'connect_timeout 1s; read_timeout 2s'),
    <<'EOF' =~ s/LOCATIONS/$locations/r));
    add_header X-Error $oidc_error always;

    server {
        listen       127.0.0.1:8080;
        listen       127.0.0.1:8083 http2;
        server_name  localhost;

        location /open   { return 204; }
        location /hasty/ { auth_oidc hasty; proxy_pass http://127.0.0.1:8082; }

        LOCATIONS
    }

    server {
        listen       127.0.0.1:8082;
        server_name  localhost;

        return 204;
    }
EOF

$t->run();

my %leave = (
    'closes' => sub { browser()->abort(shift) },
    'resets' => sub { reset_connection(shift) },
    'resets its stream' => sub { h2_reset(shift) },
    'closes its streams' => sub { close shift->{h2}{socket} },
);

# the metadata

for my $how (sort keys %leave) {
    my $page = next_page();
    hold($metadata);
    my $first = start($how, $page);
    $op->wait_for($metadata, 1);
    my @others = map { browser()->start($page) } 1, 2;
    settle();

    $leave{$how}->($first);
    settle();
    release();
    is(statuses(@others), '302 302', "metadata: the fetching client $how, others log in");
    cmp_ok($op->count($metadata), '<=', 2, 'metadata: at most one more request');
    is(login($page)->{status}, 204, 'metadata: a later login succeeds');
}

for my $how (sort keys %leave) {
    my $page = next_page();
    hold($metadata);
    my $first = browser()->start($page);
    $op->wait_for($metadata, 1);
    my ($second, $third) = (start($how, $page), browser()->start($page));
    settle();

    $leave{$how}->($second);
    settle();
    release();
    is(statuses($first, $third), '302 302', "metadata: a waiting client $how, others log in");
    is($op->count($metadata), 1, 'metadata: no further request');
    is(login($page)->{status}, 204, 'metadata: a later login succeeds');
}

for my $how (sort keys %leave) {
    my $page = next_page();
    hold($metadata);
    my @all = map { start($how, $page) } 1 .. 3;
    $op->wait_for($metadata, 1);
    settle();

    $leave{$how}->($_) for @all;
    settle();
    release();
    is(login($page)->{status}, 204, "metadata: every client $how, a later login succeeds");
}

# the keys

for my $how (sort keys %leave) {
    my $page = next_page();
    my @logins = map { [begin_login($page)] } 1 .. 3;
    hold('/jwks');
    my $first = start($how, $logins[0][1], $logins[0][0]);
    $op->wait_for('/jwks', 1);
    my @others = map { $_->[0]->start($_->[1]) } @logins[1, 2];
    $op->wait_for('/token', 3);
    settle();

    $leave{$how}->($first);
    settle();
    release();
    is(statuses(@others), '302 302', "keys: the fetching client $how, others log in");
    cmp_ok($op->count('/jwks'), '<=', 2, 'keys: at most one more request');
    is(login($page)->{status}, 204, 'keys: a later login succeeds');
}

for my $how (sort keys %leave) {
    my $page = next_page();
    my @logins = map { [begin_login($page)] } 1 .. 3;
    hold('/jwks');
    my $first = $logins[0][0]->start($logins[0][1]);
    $op->wait_for('/jwks', 1);
    my $second = start($how, $logins[1][1], $logins[1][0]);
    my $third = $logins[2][0]->start($logins[2][1]);
    $op->wait_for('/token', 3);
    settle();

    $leave{$how}->($second);
    settle();
    release();
    is(statuses($first, $third), '302 302', "keys: a waiting client $how, others log in");
    is($op->count('/jwks'), 1, 'keys: no further request');
    is(login($page)->{status}, 204, 'keys: a later login succeeds');
}

# the code

my $page = next_page();

for my $how (sort keys %leave) {
    my ($browser, $callback) = begin_login($page);
    hold('/token');
    my $first = start($how, $callback, $browser);
    $op->wait_for('/token', 1);

    $leave{$how}->($first);
    settle();
    my $again = $browser->start($callback);
    settle();
    release();
    my $answer = $browser->finish($again);
    is($answer->{status}, 302, "code: the exchanging client $how and returns");
    is($browser->login($page)->{status}, 204, 'code: it is logged in');
    cmp_ok($op->count('/token'), '<=', $how =~ /stream/ ? 2 : 1, 'code: at most one more token request');
}

for my $how (sort keys %leave) {
    my ($browser, $callback) = begin_login($page);
    hold('/token');
    my $first = $browser->start($callback);
    $op->wait_for('/token', 1);
    my $copy = start($how, $callback, $browser);
    settle();

    $leave{$how}->($copy);
    settle();
    release();
    is($browser->finish($first)->{status}, 302, "code: a waiting copy $how");
    is($browser->get($page)->{status}, 204, 'code: the first is logged in');
}

# failure

for my $case (
    [502, 'returned status 500', {status => 500}],
    [502, 'sent an incomplete response', {close => 'mid_body'}],
    [502, 'could not be reached', {close => 'before_headers'}],
    [502, 'sent metadata that is', {body => 'nonsense'}])
{
    my ($status, $sentence, $answer) = @$case;
    my $page = next_page();
    hold($metadata, %$answer);
    my @all = map { browser()->start($page) } 1 .. 3;
    $op->wait_for($metadata, 1);
    settle();

    log_mark($t);
    release();
    is(statuses(@all), "$status $status $status", "provider $sentence: all get the error");
    is($op->count($metadata), 1, 'failure: one request');
    is(scalar(error_log_lines($t, qr/oidc: provider $sentence/)), 3, 'failure: each is logged');
    is(login($page)->{status}, 204, 'failure: a later login succeeds');
}

# timeout

hold($metadata);
log_mark($t);
my @all = map { browser()->start('/hasty/') } 1 .. 3;
is(statuses(@all), '504 504 504', 'timeout: all get the error');
is($op->count($metadata), 1, 'timeout: one request');
is(scalar(error_log_lines($t, qr/oidc: provider did not respond in time at ".*" while beginning a login/)),
    3, 'timeout: each is logged');

release();
is(login('/hasty/')->{status}, 204, 'timeout: a later login succeeds');

# a pipelined request behind one that waits

$page = next_page();
hold($metadata);
my $first = browser()->start($page);
$op->wait_for($metadata, 1);
my $get = "GET $page HTTP/1.1\r\nHost: localhost\r\n";
my $socket = http("$get\r\n${get}Connection: close\r\n\r\n", start => 1);
settle();
release();
is(statuses($first), '302', 'pipeline: another connection gets its response');
is(scalar(() = http('', socket => $socket) =~ m{^HTTP/1.1 302 }mg), 2, 'pipeline: both requests get a response');
is($op->count($metadata), 1, 'pipeline: one request for metadata');

# HTTP/2

$page = next_page();
hold($metadata);
my $h2 = h2_connect(8083);
my @streams = map { h2_get($h2, $page) } 1 .. 5;
$op->wait_for($metadata, 1);
h2_reset($streams[$_]) for 0, 2;
settle();
release();
is(join(' ', map { h2_status($streams[$_]) } 1, 3, 4), '302 302 302',
    'HTTP/2: streams beside reset ones log in');
cmp_ok($op->count($metadata), '<=', 2, 'HTTP/2: at most one more request');

my ($browser, $callback) = begin_login($page);
is(h2_status(h2_get($h2, $callback, $browser)), 302, 'HTTP/2: a callback');
close $h2->{socket};

sub next_page { return '/' . shift(@cases) . '/' }

# A request over the protocol that this way to leave needs.
sub start {
    my ($how, $url, $browser) = @_;

    return h2_get(h2_connect(8083), $url, $browser) if $how =~ /stream/;
    return ($browser || browser())->start($url);
}

# The only worker has read everything sent before it answers this.
sub settle { browser()->get('/open') for 1, 2 }

sub hold {
    my ($endpoint, %answer) = @_;

    $op->clear->set(respond => { $endpoint => { hold => 1, %answer } });
}

sub release { $op->reset }

sub statuses {
    return join ' ', map { browser()->finish($_)->{status} } @_;
}

sub reset_connection {
    my ($request) = @_;

    setsockopt($request->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0);
    close $request->{socket};
}
