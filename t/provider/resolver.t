#!/usr/bin/perl

# Tests for how the provider's host is found: by the "resolver" directive, by /etc/hosts, or as the
# address that it is; and what happens when it is not.

use warnings;
use strict;

use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw/ sleep time /;
use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite sni socket_ssl_sni udp/)->plan(86);

# A name of this machine, beside localhost, that is in /etc/hosts alone.
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

# An endpoint whose name is not found.
my @steps = map { my $endpoint = $_; map { [$endpoint, $_] } sort keys %failures } qw/ token jwks /;

# The same, but slow: it sleeps before it passes a question on.
my $slow = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => port(8054, udp => 1), Proto => 'udp')
    or die "Can't bind: $!";
$t->run_daemon(\&answer_late, $slow, port(8053, udp => 1), 0.25);

my @names = (
    (map { "$_.example.com" } qw/ op two three four elsewhere /, sort keys %failures),
    'localhost', $own_name,
);
my $providers = join '', map { <<"EOF" } 0 .. $#names;

    oidc_provider n$_ {
        issuer          https://$names[$_]:%%PORT_8081%%;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        redirect_uri    /callback/$_;
        connect_timeout 400ms;

        ssl_trusted_certificate %%TESTDIR%%/ca.crt;
    }
EOF

my $steps = join '', map { <<"EOF" } map { join '_', @$_ } @steps;

    oidc_provider $_ {
        issuer          https://op.example.com:%%PORT_8081%%;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        redirect_uri    /callback/$_;
        connect_timeout 300ms;
        read_timeout    1s;

        ssl_trusted_certificate %%TESTDIR%%/ca.crt;
    }
EOF

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%PROVIDERS%%/$providers/r =~ s/%%STEPS%%/$steps/r);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    error_log %%TESTDIR%%/error.log info;

    %%PROVIDERS%%

    %%STEPS%%

    oidc_provider slow {
        issuer          https://op.example.com:%%PORT_8081%%;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        config_url      https://slow.example.com:%%PORT_8081%%/.well-known/openid-configuration;
        redirect_uri    /callback/slow;
        connect_timeout 1s;

        ssl_trusted_certificate %%TESTDIR%%/ca.crt;
    }

    oidc_provider too_slow {
        issuer          https://op.example.com:%%PORT_8081%%;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        config_url      https://slow.example.com:%%PORT_8081%%/.well-known/openid-configuration;
        redirect_uri    /callback/too_slow;
        connect_timeout 100ms;

        ssl_trusted_certificate %%TESTDIR%%/ca.crt;
    }

    oidc_provider moving {
        issuer          https://op.example.com:%%PORT_8081%%;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        config_url      https://moving.example.com:%%PORT_8081%%/.well-known/openid-configuration;
        redirect_uri    /callback/moving;

        ssl_trusted_certificate %%TESTDIR%%/ca.crt;
    }

    oidc_provider split {
        issuer          https://op.example.com:%%PORT_8081%%;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        redirect_uri    /callback/split;

        ssl_trusted_certificate %%TESTDIR%%/ca.crt;
    }

    oidc_provider same {
        issuer          https://op.example.com:%%PORT_8081%%;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        config_url      https://same.example.com:%%PORT_8081%%/.well-known/openid-configuration;
        redirect_uri    /callback/same;

        ssl_trusted_certificate %%TESTDIR%%/ca.crt;
    }

    oidc_provider patient {
        issuer          https://patient.example.com:%%PORT_8081%%;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        redirect_uri    /callback/patient;
        connect_timeout 1s;

        ssl_trusted_certificate %%TESTDIR%%/ca.crt;
    }

    oidc_provider literal {
        issuer          http://127.0.0.1:8082;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        redirect_uri    /callback/literal;
    }

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        resolver     127.0.0.1:%%PORT_8053_UDP%% ipv6=off;

        add_header   X-Error $oidc_error always;

        location / {
            auth_oidc  $arg_op;
            proxy_pass http://127.0.0.1:8080/open;
        }

        location /open {
            return 200 in;
        }
    }

    server {
        listen       127.0.0.1:8083;
        server_name  localhost;

        add_header   X-Error $oidc_error always;

        location / {
            auth_oidc  $arg_op;
            proxy_pass http://127.0.0.1:8080/open;
        }
    }

    server {
        listen       127.0.0.1:8084;
        server_name  localhost;

        resolver     127.0.0.1:%%PORT_8054_UDP%% ipv6=off;

        add_header   X-Error $oidc_error always;

        location / {
            auth_oidc  $arg_op;
            proxy_pass http://127.0.0.1:8080/open;
        }
    }

    # the provider, once more at another address
    server {
        listen       127.0.0.4:%%PORT_8081%% ssl;
        server_name  moving.example.com;

        ssl_certificate     %%TESTDIR%%/op.crt;
        ssl_certificate_key %%TESTDIR%%/op.key;

        location / {
            proxy_pass              https://127.0.0.1:%%PORT_8081%%;
            proxy_ssl_session_reuse off;    # nginx would leave the session behind at its end
            proxy_set_header        Host $http_host;
            proxy_set_header        X-Via $server_addr;
        }
    }
}

EOF

$t->run();

my %number = map { $names[$_] => $_ } 0 .. $#names;
my $bare = 'http://localhost:' . port(8083);

is(names_asked($dns), '', 'nobody asks for names at start');

# A name that moves, to be looked at again below.

$op->set(metadata => at_name($op, 'moving.example.com'));
is(outcome(login('/?op=moving')), '200', 'a name with one address');
is_deeply([ addresses_asked($op) ], [ ('127.0.0.4') x 3 ], 'a name with one address, which is asked');
$op->reset->clear;
$dns->set('moving.example.com' => '127.0.0.1')->clear;
my $moved = time;

# Names that are known.

is(outcome(login('/?op=n0')), '200', 'a name found by the resolver');
is(names_asked($dns), 'op.example.com', 'a name found by the resolver, which was asked');

$dns->clear;
is(outcome(login('/?op=literal', base => $bare)), '200', 'an address, no resolver');
is(outcome(page($op, 'localhost', $bare)), '302', 'localhost, no resolver');
is(outcome(page($op, $own_name, $bare)), '302', 'a name of /etc/hosts, no resolver');
is(outcome(login('/?op=literal')), '200', 'an address, with a resolver');
is(outcome(page($op, 'localhost')), '302', 'localhost, with a resolver');
is(names_asked($dns), '', 'none of these asked for');

# Names that are not.

for my $failure (sort keys %failures) {
    log_mark($t);
    my $name = "$failure.example.com";

    my $start = time;
    my $answer = page($op, $name);
    like(outcome($answer), qr/^50[24] upstream_(?:unreachable|timeout)$/, "$failures{$failure}");
    cmp_ok(time - $start, '<', 2, "$failures{$failure}, bounded");
    ok(log_has($t, qr/oidc: provider .* at "https:..$name:\d+[^"]*" while beginning a login/),
        "$failures{$failure}, logged");

    # as soon as it is known
    $dns->set($name => '127.0.0.1');
    is(outcome(page($op, $name)), '302', "$failures{$failure}, and better later");
}

# The same for an endpoint elsewhere, in the middle of a login.

for my $step (@steps) {
    my ($endpoint, $failure) = @$step;
    my $name = "$endpoint-$failure.example.com";
    my $member = $endpoint eq 'token' ? 'token_endpoint' : 'jwks_uri';

    log_mark($t);
    $dns->set($name => $failures{$failure});
    $op->set(metadata => { $member => "https://$name:$op->{port}/$endpoint" });

    my $start = time;
    my $answer = login("/?op=${endpoint}_$failure");
    my $bounded = time - $start < 2 ? 'in time' : 'too late';
    like(outcome($answer) . " $answer->{headers}{'retry-after'} $bounded",
        qr/^50[24] upstream_(?:unreachable|timeout) 5 in time$/, "$member, $failures{$failure}");
    ok(log_has($t, qr/oidc: provider .* at "https:..$name:\d+[^"]*" while handling the callback/),
        "$member, $failures{$failure}, logged");

    $dns->set($name => '127.0.0.1');
    is(outcome(login("/?op=${endpoint}_$failure")), '200', "$member, $failures{$failure}, and better later");
    $op->reset;
}

# A name server that takes its time.

my $slowly = 'http://localhost:' . port(8084);

$op->set(metadata => at_name($op, 'slow.example.com'));
like(outcome(browser(base => $slowly)->get('/?op=too_slow')), qr/^50[24] upstream_(?:unreachable|timeout)$/,
    'a name server slower than connect_timeout');
is(outcome(login('/?op=slow', base => $slowly)), '200', 'a slow name server');
$op->reset;

# Addresses that do not answer.

is(outcome(page($op, 'elsewhere.example.com')), '502 upstream_unreachable',
    'an address where nobody listens');
is(outcome(page($op, "$_.example.com")), '302', "three addresses, one of which answers, $_")
    for qw/ two three four /;

$op->clear->set(metadata => { token_endpoint => $op->issuer =~ s/op\.example/two.example/r . '/token' });
is(outcome(login("/?op=split")), '200', 'three addresses for a token request');
is($op->count('/token'), 1, 'three addresses for a token request, which is sent once');
$op->reset;

# Of two addresses the second is asked when the first hangs up, but no code is sent twice.

my $twice = { '/.well-known/openid-configuration' => { close => 'before_headers', times => 1 } };
$op->clear->set(
    metadata => { token_endpoint => $op->issuer =~ s/op\.example/same.example/r . '/token' },
    respond => $twice);
is(outcome(browser()->get('/?op=same')), '302', 'two addresses, the first hangs up');
is($op->count('/.well-known/openid-configuration'), 2, 'two addresses, a question asked twice');
$op->set(respond => { '/token' => { close => 'before_headers', times => 1 } });
is(outcome(login('/?op=same')), '502 upstream_unreachable', 'two addresses, the first takes the code');
is($op->count('/token'), 1, 'two addresses, a code sent once');
$op->reset;

# Nobody else waits meanwhile.

$dns->set('patient.example.com' => 'SILENCE');
my $browser = browser();
my $waiting = $browser->start('/?op=patient');
$dns->wait_for('patient.example.com', 1);
is(browser()->get('/open')->{status}, 200, 'while a name is asked for, an open page');
$browser->abort($waiting);

# The name that has moved, once nginx has forgotten where it was.

sleep $moved + 2.1 - time if time < $moved + 2.1;
$op->clear->set(metadata => at_name($op, 'moving.example.com'));
is(outcome(login('/?op=moving')), '200', 'a name that has moved');
is_deeply([ addresses_asked($op) ], ['127.0.0.1'], 'a name that has moved, asked at its new address');

###############################################################################

# Metadata with the endpoints that we ask elsewhere.
sub at_name {
    my ($op, $name) = @_;

    my $base = $op->issuer =~ s/op\.example\.com/$name/r;
    return { token_endpoint => "$base/token", jwks_uri => "$base/jwks" };
}

# Where the provider was asked by us, not by a browser.
sub addresses_asked {
    my ($op) = @_;

    return map { $_->{headers}{'x-via'} // '127.0.0.1' } grep { $_->{kind} ne '/authorize' } $op->requests;
}

sub answer_late {
    my ($socket, $port, $seconds) = @_;

    my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'udp')
        or die "Can't connect: $!";

    alarm 60;    # in case the test is killed
    while (my $peer = $socket->recv(my $query, 512)) {
        sleep $seconds;
        $server->send($query);
        next unless IO::Select->new($server)->can_read(1);
        $server->recv(my $reply, 512);
        $socket->send($reply, 0, $peer);
    }
}

# The answer of a page whose provider has this name.
sub page {
    my ($op, $name, $base) = @_;

    $op->set(metadata => { issuer => $op->issuer =~ s/op\.example\.com/$name/r });
    my $browser = browser(defined $base ? (base => $base) : ());
    my $answer = $browser->get("/?op=n$number{$name}");
    $op->reset;
    return $answer;
}

# The names that the resolver was asked for, each once.
sub names_asked {
    my ($dns) = @_;

    my %asked = map { $_->{kind} => 1 } $dns->requests;
    return join ' ', sort keys %asked;
}

# The names of an address in /etc/hosts.
sub names_of {
    my ($address) = @_;

    open my $file, '<', '/etc/hosts' or return;
    my @lines = map { [ split ' ', s/#.*//sr ] } <$file>;
    return map { @$_[1 .. $#$_] } grep { ($_->[0] // '') eq $address } @lines;
}

# The status, and $oidc_error where there is one.
sub outcome {
    my ($answer) = @_;

    return join ' ', $answer->{status}, grep { defined } $answer->{headers}{'x-error'};
}

###############################################################################
