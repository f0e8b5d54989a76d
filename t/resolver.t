#!/usr/bin/perl

# Tests for how the provider's host is found: by the "resolver" directive, by /etc/hosts, or as the
# address that it is; and what happens when it is not.

use warnings;
use strict;

use Time::HiRes qw/ time /;
use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::OIDC;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite sni socket_ssl_sni udp/)->plan(44);

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
    map { ("$_.example.com" => $failures{$_}) } keys %failures,
);

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

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%PROVIDERS%%/$providers/r);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    error_log %%TESTDIR%%/error.log info;

    %%PROVIDERS%%

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
}

EOF

$t->run();

my %number = map { $names[$_] => $_ } 0 .. $#names;
my $bare = 'http://localhost:' . port(8083);

is(names_asked($dns), '', 'nobody asks for names at start');

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

###############################################################################

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
