#!/usr/bin/perl

# Tests for TLS to the provider: its certificate is verified before a byte of HTTP is sent, whichever
# endpoint it is.

use warnings;
use strict;

use IO::Socket::INET;
use IO::Socket::SSL;
use Socket qw/ SOL_SOCKET SO_LINGER /;
use Time::HiRes qw/ sleep time /;
use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite sni socket_ssl_sni/)->plan(110);

my $ca = certificate_authority($t, 'ca');
my $other = certificate_authority($t, 'other');
my $sub = $ca->intermediate('sub');

my %certificate = (
    good => $ca->issue('good'),
    named => $ca->issue('named'),
    untrusted => $other->issue('untrusted'),
    misnamed => $ca->issue('misnamed', names => ['elsewhere.example.com', '*.localhost', '127.0.0.1']),
    expired => $ca->issue('expired', expired => 1),
    early => $ca->issue('early', not_yet => 1),
    revoked => $ca->issue('revoked'),
    chained => $sub->issue('chained'),
);
$ca->crl('ca.crl', 'revoked');

my %port = (
    good => 8081, named => 8082, untrusted => 8083, misnamed => 8084, expired => 8085, early => 8086,
    revoked => 8087, chained => 8088,
);

my %op = map {
    my $host = $_ eq 'named' ? 'op.example.com' : 'localhost';
    $_ => provider($t, $port{$_}, host => $host, tls => $certificate{$_});
} keys %port;

my $plain = provider($t, 8089);
my $dns = resolver($t, 8053, 'op.example.com' => '127.0.0.1');

my $silent = IO::Socket::INET->new(
    Proto => 'tcp', LocalAddr => '127.0.0.1', LocalPort => port(8090), Listen => 5, ReuseAddr => 1)
    or die "Can't listen: $!";

# What else may be there in the place of TLS: the port, and what becomes of a connection.
my %stranger = (
    eager => [8091, sub { print { $_[0] } "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}" }],
    http => [8092, sub { answer_hello($_[0], "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") }],
    alert => [8093, sub { answer_hello($_[0], "\x15\x03\x03\x00\x02\x02\x28") }],
    closing => [8094, sub { answer_hello($_[0], '') }],
    resetting => [8095, sub { setsockopt $_[0], SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 }],
    dripping => [8096, sub { answer_hello($_[0], "\x16\x03\x03\x40\x00", ("\x00") x 60) }],
    old => [8097, sub { start_old_tls($_[0]) }],
);
serve_strangely($t, @$_) for values %stranger;

# name of an oidc_provider, where its issuer is, its directives

my @providers = (
    ['good', 'localhost:' . port(8081), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;'],
    ['named', 'op.example.com:' . port(8082), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;'],
    ['system', 'localhost:' . port(8081), ''],
    ['system_untrusted', 'localhost:' . port(8083), ''],
    ['untrusted', 'localhost:' . port(8083), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;'],
    ['distrusted', 'localhost:' . port(8081), 'ssl_trusted_certificate %%TESTDIR%%/other.crt;'],
    ['misnamed', 'localhost:' . port(8084), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;'],
    ['expired', 'localhost:' . port(8085), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;'],
    ['early', 'localhost:' . port(8086), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;'],
    ['revoked', 'localhost:' . port(8087), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;
        ssl_crl %%TESTDIR%%/ca.crl;'],
    ['unlisted', 'localhost:' . port(8087), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;'],
    ['listed', 'localhost:' . port(8081), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;
        ssl_crl %%TESTDIR%%/ca.crl;'],
    ['chained', 'localhost:' . port(8088), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;'],
    ['shallow', 'localhost:' . port(8088), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;
        ssl_verify_depth 0;'],
    ['deep', 'localhost:' . port(8088), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;
        ssl_verify_depth 1;'],
    ['plain', 'localhost:' . port(8089), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;
        connect_timeout 300ms;'],
    (map { [$_, 'localhost:' . port($stranger{$_}[0]), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;
        connect_timeout 300ms;
        read_timeout    300ms;'] } sort keys %stranger),
    (map { ["mended_$_", 'localhost:' . port(8098), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;'] }
        qw/ untrusted misnamed expired early old /),
    ['silent', 'localhost:' . port(8090), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;
        connect_timeout 300ms;'],
    (map { [$_, 'localhost:' . port(8081), 'ssl_trusted_certificate %%TESTDIR%%/ca.crt;
        ssl_crl %%TESTDIR%%/ca.crl;'] }
        qw/ cut_whole cut_open /,
        map { ("token_$_", "jwks_$_") } qw/ untrusted misnamed expired early revoked /),
);

my $providers = join '', map { <<"EOF" } @providers;

    oidc_provider $_->[0] {
        issuer          https://$_->[1];
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        redirect_uri    /callback/$_->[0];
        $_->[2]
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

    resolver 127.0.0.1:%%PORT_8053_UDP%% ipv6=off;

    %%PROVIDERS%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        add_header X-Error $oidc_error always;

        location / {
            auth_oidc  $arg_op;
            proxy_pass http://127.0.0.1:8080/open;
        }

        location /open {
            return 200 in;
        }
    }
}

EOF

# In the place of the system's bundle of certificates.
$ENV{SSL_CERT_FILE} = $t->testdir . '/ca.crt';

$t->run();

# What is trusted.

is(outcome(login('/?op=good')), '200', 'a certificate of ssl_trusted_certificate');
my @asked = $op{good}->requests();
is_deeply([ map { $_->{sni} } @asked ], [ ('localhost') x @asked ], 'the name in SNI');
is(outcome(login('/?op=named')), '200', 'a name found by the resolver');
is(($op{named}->requests('/token'))[0]{sni}, 'op.example.com', 'that name in SNI');
is(outcome(login('/?op=system')), '200', 'a certificate of the system');
is(outcome(login('/?op=chained')), '200', 'a certificate of an intermediate authority');
is(outcome(login('/?op=deep')), '200', 'one intermediate authority, ssl_verify_depth 1');
is(outcome(login('/?op=unlisted')), '200', 'a revoked certificate without ssl_crl');
is(outcome(login('/?op=listed')), '200', 'a certificate that is not in ssl_crl');

# What is not.

my $unverified = qr/upstream SSL certificate verify error/;
my $misnamed = qr/upstream SSL certificate does not match "localhost"/;

my @refused = (
    ['untrusted', 'untrusted', 'of an unknown authority', qr/$unverified: \((?:18|19|20|21):/],
    ['system_untrusted', 'untrusted', 'of an authority the system does not know',
        qr/handshake\(\) failed .*certificate verify failed/],
    ['distrusted', 'good', 'of an authority that another provider has',
        qr/$unverified: \((?:18|19|20|21):/],
    ['misnamed', 'misnamed', 'of another name', $misnamed],
    ['expired', 'expired', 'expired', qr/$unverified: \(10:/],
    ['early', 'early', 'not valid yet', qr/$unverified: \(9:/],
    ['revoked', 'revoked', 'revoked', qr/$unverified: \(23:/],
    ['shallow', 'chained', 'deeper than ssl_verify_depth', qr/$unverified: \(\d+:/],
);

for my $case (@refused) {
    my ($provider, $op, $name, $why) = @$case;

    $op{$op}->clear;
    refused($t, $provider, "a certificate $name");
    ok(log_has($t, $why), "a certificate $name, the reason logged");
    is(scalar(() = $op{$op}->requests), 0, "a certificate $name, nothing sent");
}

# An endpoint elsewhere has to prove itself too.

for my $which (qw/ untrusted misnamed expired early revoked /) {
    my $elsewhere = $op{$which}->clear;

    $op{good}->set(metadata => { token_endpoint => $elsewhere->issuer . '/token' });
    is(outcome(login("/?op=token_$which")), '502 upstream_unreachable', "token_endpoint $which");
    $op{good}->set(metadata => { jwks_uri => $elsewhere->issuer . '/jwks' });
    is(outcome(login("/?op=jwks_$which")), '502 upstream_unreachable', "jwks_uri $which");
    is(scalar(() = $elsewhere->requests), 0, "an endpoint $which, neither code nor secret sent");
    $op{good}->reset;
}

# What is no TLS.

is(outcome(browser()->get('/?op=plain')), '504 upstream_timeout', 'a provider without TLS');
is(scalar(() = $plain->requests), 0, 'a provider without TLS, nothing sent');

my @strange = (
    ['eager', 'an answer before the handshake', '502 upstream_unreachable'],
    ['http', 'an answer of plain HTTP to the handshake', '502 upstream_unreachable'],
    ['alert', 'a refusal of the handshake', '502 upstream_unreachable'],
    ['closing', 'a connection closed in the handshake', '502 upstream_unreachable'],
    ['resetting', 'a connection reset before the handshake', '502 upstream_unreachable'],
    ['old', 'TLS 1.1', '502 upstream_unreachable'],
    ['dripping', 'a handshake in tiny pieces', '504 upstream_timeout'],
);

for my $case (@strange) {
    my ($provider, $name, $expected) = @$case;

    my $began = time;
    refused($t, $provider, $name, $expected);
    cmp_ok(time - $began, '<', 2, "$name, within the timeouts");
}

ok(IO::Socket::SSL->new(
    PeerAddr => '127.0.0.1', PeerPort => port($stranger{old}[0]), SSL_verify_mode => SSL_VERIFY_NONE,
    SSL_version => 'TLSv1_1', SSL_cipher_list => 'ALL:@SECLEVEL=0'), 'TLS 1.1, to who speaks it');

my $start = time;
is(outcome(browser()->get('/?op=silent')), '504 upstream_timeout', 'a handshake without an end');
cmp_ok(time - $start, '<', 2, 'a handshake without an end, within connect_timeout');

# As soon as it can be trusted it is.

my $mended = provider($t, 8098, host => 'localhost', tls => $certificate{good});

for my $which (qw/ untrusted misnamed expired early /) {
    wears($mended, $certificate{$which});
    is(outcome(browser()->get("/?op=mended_$which")), '502 upstream_unreachable',
        "a certificate $which once");
    wears($mended, $certificate{good});
    is(outcome(login("/?op=mended_$which")), '200', "a certificate $which once, and mended");
}

is(outcome(login('/?op=mended_old')), '200', 'a provider that has had a good one');
wears($mended, $certificate{expired});
is(outcome(login('/?op=mended_old')), '502 upstream_unreachable', 'a certificate that expires in mid-life');
wears($mended, $certificate{good});
is(outcome(login('/?op=mended_old')), '200', 'and is mended');

# An answer that is cut off behind TLS's back.

my @cut = (
    ['cut_whole', 'with a length', 'upstream_answer', {}],
    ['cut_open', 'without a length', 'upstream_metadata', { 'Content-Length' => undef }],
);

for my $case (@cut) {
    my ($provider, $name, $word, $headers) = @$case;

    my $answer = { close => 'mid_body', headers => $headers };
    $op{good}->set(respond => { '/.well-known/openid-configuration' => $answer });
    is(outcome(browser()->get("/?op=$provider")), "502 $word", "an answer $name, cut off");
}

###############################################################################

sub refused {
    my ($t, $provider, $name, $expected) = @_;

    $expected //= '502 upstream_unreachable';
    my $what = $expected =~ /^504/ ? 'did not respond in time' : 'could not be reached';

    log_mark($t);
    my $answer = browser()->get("/?op=$provider");

    is(outcome($answer), $expected, $name);
    is("$answer->{headers}{'retry-after'} @{ $answer->{set_cookie} }", '5 ',
        "$name, Retry-After and no cookie");
    ok(log_has($t, qr/oidc: provider $what at "https:[^"]+" .*, provider "$provider"/),
        "$name, logged");
}

# The provider with another certificate.
sub wears {
    my ($op, $tls) = @_;

    $op->stop;
    $op->{tls} = $tls;
    $op->start;
}

# A server of one connection at a time.
sub serve_strangely {
    my ($t, $port, $answer) = @_;

    my $socket = IO::Socket::INET->new(
        Proto => 'tcp', LocalAddr => '127.0.0.1', LocalPort => port($port), Listen => 5, ReuseAddr => 1)
        or die "Can't listen: $!";

    $t->run_daemon(sub {
        local $SIG{PIPE} = 'IGNORE';
        alarm 60;    # in case the test is killed
        while (my $client = $socket->accept) {
            $answer->($client);
            close $client;
        }
    });
}

# Waits for a client's hello; then these, slowly where there are several.
sub answer_hello {
    my ($client, @pieces) = @_;

    sysread $client, my $hello, 4096;
    for my $piece (@pieces) {
        syswrite($client, $piece) // last;
        sleep 0.05 if @pieces > 1;
    }
}

sub start_old_tls {
    my ($client) = @_;

    IO::Socket::SSL->start_SSL($client, SSL_server => 1, SSL_version => 'TLSv1_1',
        SSL_cipher_list => 'ALL:@SECLEVEL=0',
        SSL_cert_file => $certificate{good}{certificate}, SSL_key_file => $certificate{good}{key});
}

# The status, and $oidc_error where there is one.
sub outcome {
    my ($answer) = @_;

    return join ' ', $answer->{status}, grep { defined } $answer->{headers}{'x-error'};
}

###############################################################################
