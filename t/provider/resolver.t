#!/usr/bin/perl

# Tests for how the provider's host name is resolved: by the "resolver" directive, by /etc/hosts, or not at all for an
# address; and what happens if it cannot be resolved.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw/ sleep time /;

use Test::OIDC;
use Test::OIDC::Site;

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite sni socket_ssl_sni udp/)->plan(86);

# A name of this machine, other than localhost, that only /etc/hosts has
my ($own_name) = grep { /^(?!localhost)[a-z\d.-]+$/ } names_of('127.0.0.1');
$own_name //= 'localhost';

my $ca = certificate_authority($t, 'ca');
my $tls = $ca->issue('op', names => ['*.example.com', 'localhost', $own_name]);
my $op = provider($t, 8081, host => 'op.example.com', tls => $tls);
my $literal = provider($t, 8082);

my %failures = map { lc($_) => $_ } qw/ NXDOMAIN SERVFAIL REFUSED EMPTY SILENCE GARBAGE /;
my $dns = resolver($t, 8053,
    'op.example.com' => '127.0.0.1',
    (map { ("$_.example.com" => [qw/ 127.0.0.2 127.0.0.3 127.0.0.1 /]) } qw/ two three four /),
    'same.example.com' => [qw/ 127.0.0.1 127.0.0.1 /],
    'elsewhere.example.com' => '127.0.0.2',
    (map { ("$_.example.com" => $failures{$_}) } keys %failures),
    'moving.example.com' => '127.0.0.4',
    'slow.example.com' => '127.0.0.1',
);

# An endpoint whose name cannot be resolved
my @steps = map { my $endpoint = $_; map { [$endpoint, $_] } sort keys %failures } qw/ token jwks /;

# The same name server, but slow: it delays each query.
my $slow = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => port(8054, udp => 1), Proto => 'udp')
    or die "Can't bind: $!";
$t->run_daemon(\&answer_late, $slow, port(8053, udp => 1), 1);

my @names = (
    (map { "$_.example.com" } qw/ op two three four elsewhere /, sort keys %failures),
    'localhost', $own_name,
);
my %trusted = (ssl_trusted_certificate => '%%TESTDIR%%/ca.crt');
my $config_url = '/.well-known/openid-configuration';
my @providers = (
    (map { at_host("n$_", 'connect_timeout 1s', $names[$_]) } 0 .. $#names),
    (map { at_host($_, 'connect_timeout 1s') } map { join '_', @$_ } @steps),
    (map { at_host($_->[0], $_->[2], undef, config_url => "https://$_->[1].example.com:%%PORT_8081%%$config_url") }
        ['slow', 'slow'], ['too_slow', 'slow', 'connect_timeout 100ms'],    # expires
        ['moving', 'moving'], ['same', 'same']),
    at_host('split'),
    at_host('waiting', 'connect_timeout 1s', 'waiting.example.com'),
    oidc_provider('literal', '', issuer => 'http://127.0.0.1:8082'),
);

my $page = <<'EOF';
        add_header X-Error $oidc_error always;

        location / {
            auth_oidc  $arg_op;
            proxy_pass http://127.0.0.1:8080/app;
        }
EOF

# Sites with the name server, without one, and with the slow one; then the provider at another address
$t->write_file_expand('nginx.conf', http_conf("    error_log %%TESTDIR%%/error.log info;\n", @providers,
    site('in', '        resolver 127.0.0.1:%%PORT_8053_UDP%% ipv6=off;'), <<"EOS" . <<'EOF'));
    server {
        listen       127.0.0.1:8083;
        server_name  localhost;

$page
    }

    server {
        listen       127.0.0.1:8084;
        server_name  localhost;

        resolver     127.0.0.1:%%PORT_8054_UDP%% ipv6=off;

$page
    }
EOS
    server {
        listen       127.0.0.4:%%PORT_8081%% ssl;
        server_name  moving.example.com;

        ssl_certificate     %%TESTDIR%%/op.crt;
        ssl_certificate_key %%TESTDIR%%/op.key;

        location / {
            proxy_pass              https://127.0.0.1:%%PORT_8081%%;
            proxy_ssl_session_reuse off;    # nginx would leak the session at exit
            proxy_set_header        Host $http_host;
            proxy_set_header        X-Via $server_addr;
        }
    }
EOF

$t->run();

my %number = map { $names[$_] => $_ } 0 .. $#names;
my $bare = 'http://localhost:' . port(8083);

is(names_asked($dns), '', 'no name is resolved at start');

# A name that moves; it is resolved again below.

$op->set(metadata => at_name($op, 'moving.example.com'));
is(outcome(login('/?op=moving')), '200', 'a name with one address');
is_deeply([ addresses_asked($op) ], [ ('127.0.0.4') x 3 ], 'a name with one address: requests go to it');
$op->reset->clear;
$dns->set('moving.example.com' => '127.0.0.1')->clear;
my $moved = time;

# Names that resolve

is(outcome(login('/?op=n0')), '200', 'a name found by the resolver');
is(names_asked($dns), 'op.example.com', 'a name found by the resolver: one query');

$dns->clear;
is(outcome(login('/?op=literal', base => $bare)), '200', 'an address without a resolver');
is(outcome(page($op, 'localhost', $bare)), '302', 'localhost without a resolver');
is(outcome(page($op, $own_name, $bare)), '302', 'a name in /etc/hosts without a resolver');
is(outcome(login('/?op=literal')), '200', 'an address with a resolver');
is(outcome(page($op, 'localhost')), '302', 'localhost with a resolver');
is(names_asked($dns), '', 'addresses and local names are not queried');

# Names that do not resolve

for my $failure (sort keys %failures) {
    log_mark($t);
    my $name = "$failure.example.com";

    my $start = time;
    my $answer = page($op, $name);
    like(outcome($answer), qr/^50[24] upstream_(?:unreachable|timeout)$/, "$failures{$failure}");
    took_at_most($start, 1, "$failures{$failure}: within the timeouts");
    ok(log_has($t, qr/oidc: provider .* at "https:..$name:\d+[^"]*" while beginning a login/),
        "$failures{$failure}: logged");

    # The next attempt succeeds when the name resolves.
    $dns->set($name => '127.0.0.1');
    is(outcome(page($op, $name)), '302', "$failures{$failure}: a later attempt succeeds");
}

# The name of an endpoint does not resolve during a login.

for my $step (@steps) {
    my ($endpoint, $failure) = @$step;
    my $name = "$endpoint-$failure.example.com";
    my $member = $endpoint eq 'token' ? 'token_endpoint' : 'jwks_uri';

    log_mark($t);
    $dns->set($name => $failures{$failure});
    $op->set(metadata => { $member => "https://$name:$op->{port}/$endpoint" });

    my $start = time;
    my $answer = login("/?op=${endpoint}_$failure");
    my $bounded = time - $start < 1 + Test::OIDC::Wait::SPARE ? 'in time' : 'too late';
    like(outcome($answer) . " $answer->{headers}{'retry-after'} $bounded",
        qr/^50[24] upstream_(?:unreachable|timeout) 5 in time$/, "$member, $failures{$failure}");
    ok(log_has($t, qr/oidc: provider .* at "https:..$name:\d+[^"]*" while handling the callback/),
        "$member, $failures{$failure}: logged");

    $dns->set($name => '127.0.0.1');
    is(outcome(login("/?op=${endpoint}_$failure")), '200', "$member, $failures{$failure}: a later attempt succeeds");
    $op->reset;
}

# A slow name server

my $slowly = 'http://localhost:' . port(8084);

$op->set(metadata => at_name($op, 'slow.example.com'));
like(outcome(browser(base => $slowly)->get('/?op=too_slow')), qr/^50[24] upstream_(?:unreachable|timeout)$/,
    'a name server slower than connect_timeout');
is(outcome(login('/?op=slow', base => $slowly)), '200', 'a slow name server');
$op->reset;

# Addresses that do not respond

is(outcome(page($op, 'elsewhere.example.com')), '502 upstream_unreachable',
    'an address where no server listens');
is(outcome(page($op, "$_.example.com")), '302', "three addresses, one of which responds: $_")
    for qw/ two three four /;

$op->clear->set(metadata => { token_endpoint => $op->issuer =~ s/op\.example/two.example/r . '/token' });
is(outcome(login("/?op=split")), '200', 'three addresses for a token request');
is($op->count('/token'), 1, 'three addresses for a token request: it is sent once');
$op->reset;

# If the first of two addresses closes the connection, the second is used; but a code is not sent twice.

my $twice = { '/.well-known/openid-configuration' => { close => 'before_headers', times => 1 } };
$op->clear->set(
    metadata => { token_endpoint => $op->issuer =~ s/op\.example/same.example/r . '/token' },
    respond => $twice);
is(outcome(browser()->get('/?op=same')), '302', 'two addresses, the first closes the metadata request');
is($op->count('/.well-known/openid-configuration'), 2, 'two addresses, the metadata request is sent twice');
$op->set(respond => { '/token' => { close => 'before_headers', times => 1 } });
is(outcome(login('/?op=same')), '502 upstream_unreachable', 'two addresses, the first closes the token request');
is($op->count('/token'), 1, 'two addresses, the token request is sent once');
$op->reset;

# Other requests do not wait for a name.

$dns->set('waiting.example.com' => 'SILENCE');
my $browser = browser();
my $waiting = $browser->start('/?op=waiting');
$dns->wait_for('waiting.example.com', 1);
is(browser()->get('/app')->{status}, 200, 'an open page is served while a name is resolved');
$browser->abort($waiting);

# The name that has moved, after the cached address has expired

sleep $moved + 2.1 - time if time < $moved + 2.1;
$op->clear->set(metadata => at_name($op, 'moving.example.com'));
is(outcome(login('/?op=moving')), '200', 'a name that has moved');
is_deeply([ addresses_asked($op) ], ['127.0.0.1'], 'a name that has moved: requests go to its new address');

###############################################################################

# An oidc_provider whose issuer is at that host, op.example.com by default
sub at_host {
    my ($name, $directives, $host, %changes) = @_;

    $host //= 'op.example.com';
    return oidc_provider($name, $directives, issuer => "https://$host:%%PORT_8081%%", %trusted, %changes);
}

# Metadata whose token_endpoint and jwks_uri have that host name
sub at_name {
    my ($op, $name) = @_;

    my $base = $op->issuer =~ s/op\.example\.com/$name/r;
    return { token_endpoint => "$base/token", jwks_uri => "$base/jwks" };
}

# The addresses to which nginx has sent requests
sub addresses_asked {
    my ($op) = @_;

    return map { $_->{headers}{'x-via'} // '127.0.0.1' } grep { $_->{kind} ne '/authorize' } $op->requests;
}

sub answer_late {
    my ($socket, $port, $seconds) = @_;

    my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'udp')
        or die "Can't connect: $!";

    alarm 600;    # in case the test is killed
    while (my $peer = $socket->recv(my $query, 512)) {
        sleep $seconds;
        $server->send($query);
        next unless IO::Select->new($server)->can_read(MAX_WAIT);
        $server->recv(my $reply, 512);
        $socket->send($reply, 0, $peer);
    }
}

# The response to a request for a page whose provider has this host name
sub page {
    my ($op, $name, $base) = @_;

    $op->set(metadata => { issuer => $op->issuer =~ s/op\.example\.com/$name/r });
    my $browser = browser(defined $base ? (base => $base) : ());
    my $answer = $browser->get("/?op=n$number{$name}");
    $op->reset;
    return $answer;
}

# The host names queried, each once
sub names_asked {
    my ($dns) = @_;

    my %asked = map { $_->{kind} => 1 } $dns->requests;
    return join ' ', sort keys %asked;
}

# The names of an address in /etc/hosts
sub names_of {
    my ($address) = @_;

    open my $file, '<', '/etc/hosts' or return;
    my @lines = map { [ split ' ', s/#.*//sr ] } <$file>;
    return map { @$_[1 .. $#$_] } grep { ($_->[0] // '') eq $address } @lines;
}

###############################################################################
