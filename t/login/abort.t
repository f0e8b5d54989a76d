#!/usr/bin/perl

# Tests for clients that leave while their request waits, by HTTP/1.1 and HTTP/2, and for those that
# wait beside them: all are woken by success, failure, time and the asking one's leaving. With leak
# detection at the exit of the worker this is also the proof that nothing stays behind.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Socket qw/ SOL_SOCKET SO_LINGER /;

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::H2;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_v2 proxy rewrite/)->plan(98);

my $op = provider($t, 8081);
my $metadata = '/.well-known/openid-configuration';

# A case that begins with a provider of which the worker knows nothing has one of its own.
my @places = map { "case$_" } 1 .. 27;

my $providers = join '', map { <<"EOF" } @places;
    oidc_provider $_ {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        cookie_name   $_;
        redirect_uri  /callback/$_;
    }
EOF

my $locations = join '', map { <<"EOF" } @places;
        location /$_/ { auth_oidc $_; proxy_pass http://127.0.0.1:8082; }
EOF

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/PROVIDERS/$providers/r =~ s/LOCATIONS/$locations/r);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    PROVIDERS

    oidc_provider hasty {
        issuer          http://127.0.0.1:8081;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        cookie_name     hasty;
        redirect_uri    /callback/hasty;
        connect_timeout 100ms;
        read_timeout    500ms;
    }

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
    my $place = next_place();
    hold($metadata);
    my $first = start($how, $place);
    $op->wait_for($metadata, 1);
    my @others = map { browser()->start($place) } 1, 2;
    settle();

    $leave{$how}->($first);
    settle();
    release();
    is(statuses(@others), '302 302', "metadata: who asks $how, others log in");
    cmp_ok($op->count($metadata), '<=', 2, 'and ask once more at most');
    is(login($place)->{status}, 204, 'then another');
}

for my $how (sort keys %leave) {
    my $place = next_place();
    hold($metadata);
    my $first = browser()->start($place);
    $op->wait_for($metadata, 1);
    my ($second, $third) = (start($how, $place), browser()->start($place));
    settle();

    $leave{$how}->($second);
    settle();
    release();
    is(statuses($first, $third), '302 302', "metadata: who waits $how, others log in");
    is($op->count($metadata), 1, 'and ask no more');
    is(login($place)->{status}, 204, 'then another');
}

for my $how (sort keys %leave) {
    my $place = next_place();
    hold($metadata);
    my @all = map { start($how, $place) } 1 .. 3;
    $op->wait_for($metadata, 1);
    settle();

    $leave{$how}->($_) for @all;
    settle();
    release();
    is(login($place)->{status}, 204, "metadata: everybody $how, then another");
}

# the keys

for my $how (sort keys %leave) {
    my $place = next_place();
    my @logins = map { [begin($place)] } 1 .. 3;
    hold('/jwks');
    my $first = start($how, $logins[0][1], $logins[0][0]);
    $op->wait_for('/jwks', 1);
    my @others = map { $_->[0]->start($_->[1]) } @logins[1, 2];
    $op->wait_for('/token', 3);
    settle();

    $leave{$how}->($first);
    settle();
    release();
    is(statuses(@others), '302 302', "keys: who asks $how, others log in");
    cmp_ok($op->count('/jwks'), '<=', 2, 'and ask once more at most');
    is(login($place)->{status}, 204, 'then another');
}

for my $how (sort keys %leave) {
    my $place = next_place();
    my @logins = map { [begin($place)] } 1 .. 3;
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
    is(statuses($first, $third), '302 302', "keys: who waits $how, others log in");
    is($op->count('/jwks'), 1, 'and ask no more');
    is(login($place)->{status}, 204, 'then another');
}

# the code

my $place = next_place();

for my $how (sort keys %leave) {
    my ($browser, $callback) = begin($place);
    hold('/token');
    my $first = start($how, $callback, $browser);
    $op->wait_for('/token', 1);

    $leave{$how}->($first);
    settle();
    my $again = $browser->start($callback);
    settle();
    release();
    my $answer = $browser->finish($again);
    is($answer->{status}, 302, "code: who exchanges it $how and comes back");
    is($browser->login($place)->{status}, 204, 'is logged in');
    cmp_ok($op->count('/token'), '<=', $how =~ /stream/ ? 2 : 1, 'by one code, once more at most');
}

for my $how (sort keys %leave) {
    my ($browser, $callback) = begin($place);
    hold('/token');
    my $first = $browser->start($callback);
    $op->wait_for('/token', 1);
    my $copy = start($how, $callback, $browser);
    settle();

    $leave{$how}->($copy);
    settle();
    release();
    is($browser->finish($first)->{status}, 302, "code: a copy that waits $how");
    is($browser->get($place)->{status}, 204, 'logged in');
}

# failure

for my $case (
    [502, 'returned status 500', {status => 500}],
    [502, 'sent an incomplete response', {close => 'mid_body'}],
    [502, 'could not be reached', {close => 'before_headers'}],
    [502, 'sent metadata that is', {body => 'nonsense'}])
{
    my ($status, $sentence, $answer) = @$case;
    my $place = next_place();
    hold($metadata, %$answer);
    my @all = map { browser()->start($place) } 1 .. 3;
    $op->wait_for($metadata, 1);
    settle();

    log_mark($t);
    release();
    is(statuses(@all), "$status $status $status", "provider $sentence: all are told");
    is($op->count($metadata), 1, 'by one question');
    is(scalar(error_log_lines($t, qr/oidc: provider $sentence/)), 3, 'and each is logged');
    is(login($place)->{status}, 204, 'then another');
}

# time

hold($metadata);
log_mark($t);
my @all = map { browser()->start('/hasty/') } 1 .. 3;
is(statuses(@all), '504 504 504', 'provider does not answer: all are told');
is($op->count($metadata), 1, 'by one question');
is(scalar(error_log_lines($t, qr/oidc: provider did not respond in time at ".*" while beginning a login/)),
    3, 'and each is logged');

release();
is(login('/hasty/')->{status}, 204, 'then another');

# two requests of one connection, the second behind the first that waits

$place = next_place();
hold($metadata);
my $first = browser()->start($place);
$op->wait_for($metadata, 1);
my $get = "GET $place HTTP/1.1\r\nHost: localhost\r\n";
my $socket = http("$get\r\n${get}Connection: close\r\n\r\n", start => 1);
settle();
release();
is(statuses($first), '302', 'a request beside a pipeline');
is(scalar(() = http('', socket => $socket) =~ m{^HTTP/1.1 302 }mg), 2, 'whose requests are both answered');
is($op->count($metadata), 1, 'by one question');

# HTTP/2 to its end

$place = next_place();
hold($metadata);
my $h2 = h2_connect(8083);
my @streams = map { h2_get($h2, $place) } 1 .. 5;
$op->wait_for($metadata, 1);
h2_reset($streams[$_]) for 0, 2;
settle();
release();
is(join(' ', map { h2_status($streams[$_]) } 1, 3, 4), '302 302 302',
    'streams of a connection beside those that are reset');
cmp_ok($op->count($metadata), '<=', 2, 'ask once more at most');

my ($browser, $callback) = begin($place);
is(h2_status(h2_get($h2, $callback, $browser)), 302, 'a callback by HTTP/2');
close $h2->{socket};

sub next_place { return '/' . shift(@places) . '/' }

# A login up to the callback: the browser, and the URL that the provider sends it to.
sub begin {
    my ($path) = @_;

    my $browser = browser();
    return ($browser, $browser->follow($browser->get($path))->{location});
}

# A request over the protocol in which one can leave like that.
sub start {
    my ($how, $url, $browser) = @_;

    return h2_get(h2_connect(8083), $url, $browser) if $how =~ /stream/;
    return ($browser || browser())->start($url);
}

# nginx has seen what was sent to it, since its only worker answers this.
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
