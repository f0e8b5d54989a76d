#!/usr/bin/perl

# Tests for TLS to the provider: the certificate of every endpoint is verified before any HTTP is sent.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Socket::INET;
use IO::Socket::SSL;
use Socket qw/ SOL_SOCKET SO_LINGER /;
use Time::HiRes qw/ sleep time /;

use Test::OIDC;
use Test::OIDC::Site;

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite sni socket_ssl_sni/)->plan(118);

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

# Servers that do not speak TLS properly: the port, and what is done with a connection
my %stranger = (
    eager => [8091, sub { print { $_[0] } "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}" }],
    http => [8092, sub { answer_hello($_[0], "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") }],
    alert => [8093, sub { answer_hello($_[0], "\x15\x03\x03\x00\x02\x02\x28") }],
    closing => [8094, sub { answer_hello($_[0], '') }],
    resetting => [8095, sub { setsockopt $_[0], SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 }],
    dripping => [8096, sub { answer_hello($_[0], "\x16\x03\x03\x40\x00", ("\x00") x 1200) }],
    old => [8097, sub { start_old_tls($_[0]) }],
);
serve_strangely($t, @$_) for values %stranger;

# name of the oidc_provider, host and port of its issuer, directives

my $trusted = 'ssl_trusted_certificate %%TESTDIR%%/ca.crt';
my @providers = (
    ['good', 'localhost:' . port(8081), $trusted],
    ['named', 'op.example.com:' . port(8082), $trusted],
    ['system', 'localhost:' . port(8081), ''],
    ['system_untrusted', 'localhost:' . port(8083), ''],
    ['untrusted', 'localhost:' . port(8083), $trusted],
    ['distrusted', 'localhost:' . port(8081), 'ssl_trusted_certificate %%TESTDIR%%/other.crt'],
    ['misnamed', 'localhost:' . port(8084), $trusted],
    ['expired', 'localhost:' . port(8085), $trusted],
    ['early', 'localhost:' . port(8086), $trusted],
    ['revoked', 'localhost:' . port(8087), "$trusted; ssl_crl %%TESTDIR%%/ca.crl"],
    ['unlisted', 'localhost:' . port(8087), $trusted],
    ['listed', 'localhost:' . port(8081), "$trusted; ssl_crl %%TESTDIR%%/ca.crl"],
    ['chained', 'localhost:' . port(8088), $trusted],
    ['shallow', 'localhost:' . port(8088), "$trusted; ssl_verify_depth 0"],
    ['deep', 'localhost:' . port(8088), "$trusted; ssl_verify_depth 1"],
    ['plain', 'localhost:' . port(8089), "$trusted; " . SHORT_TIMEOUTS],
    # The other strangers end the handshake themselves.
    (map { [$_, 'localhost:' . port($stranger{$_}[0]), $trusted . ($_ eq 'dripping' ? '; ' . SHORT_TIMEOUTS : '')] }
        sort keys %stranger),
    (map { ["mended_$_", 'localhost:' . port(8098), $trusted] }
        qw/ untrusted misnamed expired early old /),
    ['silent', 'localhost:' . port(8090), "$trusted; " . SHORT_TIMEOUTS],
    (map { [$_, 'localhost:' . port(8081), "$trusted; ssl_crl %%TESTDIR%%/ca.crl"] }
        qw/ cut_whole cut_open /,
        map { ("token_$_", "jwks_$_") } qw/ untrusted misnamed expired early revoked /),
);

$t->write_file_expand('nginx.conf', http_conf(<<'EOF',
    error_log %%TESTDIR%%/error.log info;
    resolver  127.0.0.1:%%PORT_8053_UDP%% ipv6=off;
EOF
    map({ oidc_provider($_->[0], $_->[2], issuer => "https://$_->[1]") } @providers), site('in')));

# In place of the system's certificates
$ENV{SSL_CERT_FILE} = $t->testdir . '/ca.crt';

$t->run();

# Trusted certificates

is(outcome(login('/?op=good')), '200', 'a certificate in ssl_trusted_certificate');
my @asked = $op{good}->requests();
is_deeply([ map { $_->{sni} } @asked ], [ ('localhost') x @asked ], 'SNI has the name');
is(outcome(login('/?op=named')), '200', 'a name found by the resolver');
is(($op{named}->requests('/token'))[0]{sni}, 'op.example.com', 'SNI has the name found by the resolver');
is(outcome(login('/?op=system')), '200', 'a certificate of a system CA');
is(outcome(login('/?op=chained')), '200', 'a certificate of an intermediate CA');
is(outcome(login('/?op=deep')), '200', 'one intermediate CA, ssl_verify_depth 1');
is(outcome(login('/?op=unlisted')), '200', 'a revoked certificate without ssl_crl');
is(outcome(login('/?op=listed')), '200', 'a certificate that is not in ssl_crl');

# Refused certificates

my $unverified = qr/upstream SSL certificate verify error/;
my $misnamed = qr/upstream SSL certificate does not match "localhost"/;

my $untrusted = qr/(?:self-signed certificate|unable to )[a-z ]*/;

my @refused = (
    ['untrusted', 'untrusted', 'of an unknown CA', qr/$unverified: \((?:18|19|20|21):/, $untrusted],
    ['system_untrusted', 'untrusted', 'of a CA unknown to the system',
        qr/handshake\(\) failed .*certificate verify failed/, $untrusted],
    ['distrusted', 'good', 'of a CA of another provider',
        qr/$unverified: \((?:18|19|20|21):/, $untrusted],
    ['misnamed', 'misnamed', 'of another name', $misnamed, 'it is for another name'],
    ['expired', 'expired', 'expired', qr/$unverified: \(10:/, 'certificate has expired'],
    ['early', 'early', 'not valid yet', qr/$unverified: \(9:/, 'certificate is not yet valid'],
    ['revoked', 'revoked', 'revoked', qr/$unverified: \(23:/, 'certificate revoked'],
    ['shallow', 'chained', 'deeper than ssl_verify_depth', qr/$unverified: \(\d+:/, qr/[a-z ]+/],
);

for my $case (@refused) {
    my ($provider, $op, $name, $why, $reason) = @$case;

    $op{$op}->clear;
    refused($t, $provider, "a certificate $name");
    ok(log_has($t, $why), "a certificate $name: the reason is logged by nginx");
    ok(log_has($t, qr/oidc: provider could not be reached at "\S+", its certificate was refused, $reason while /),
        "a certificate $name: and in the line of the module");
    is(scalar(() = $op{$op}->requests), 0, "a certificate $name: no request is sent");
}

# The certificates of endpoints on other hosts are verified, too.

for my $which (qw/ untrusted misnamed expired early revoked /) {
    my $elsewhere = $op{$which}->clear;

    $op{good}->set(metadata => { token_endpoint => $elsewhere->issuer . '/token' });
    is(outcome(login("/?op=token_$which")), '502 upstream_unreachable', "token_endpoint $which");
    $op{good}->set(metadata => { jwks_uri => $elsewhere->issuer . '/jwks' });
    is(outcome(login("/?op=jwks_$which")), '502 upstream_unreachable', "jwks_uri $which");
    is(scalar(() = $elsewhere->requests), 0, "an endpoint $which: neither code nor secret is sent");
    $op{good}->reset;
}

# Servers without proper TLS

is(outcome(browser()->get('/?op=plain')), '504 upstream_timeout', 'a provider without TLS');
is(scalar(() = $plain->requests), 0, 'a provider without TLS: no request is sent');

my @strange = (
    ['eager', 'a response before the handshake', '502 upstream_unreachable'],
    ['http', 'plain HTTP in the handshake', '502 upstream_unreachable'],
    ['alert', 'an alert in the handshake', '502 upstream_unreachable'],
    ['closing', 'a connection closed in the handshake', '502 upstream_unreachable'],
    ['resetting', 'a connection reset before the handshake', '502 upstream_unreachable'],
    ['old', 'TLS 1.1', '502 upstream_unreachable'],
    ['dripping', 'a handshake byte by byte', '504 upstream_timeout'],
);

for my $case (@strange) {
    my ($provider, $name, $expected) = @$case;

    my $began = time;
    refused($t, $provider, $name, $expected);
    took_at_most($began, SHORT_TOTAL, "$name: within the timeouts");
}

ok(IO::Socket::SSL->new(
    PeerAddr => '127.0.0.1', PeerPort => port($stranger{old}[0]), SSL_verify_mode => SSL_VERIFY_NONE,
    SSL_version => 'TLSv1_1', SSL_cipher_list => 'ALL:@SECLEVEL=0'), 'the server of the TLS 1.1 case speaks TLS 1.1');

my $start = time;
is(outcome(browser()->get('/?op=silent')), '504 upstream_timeout', 'a handshake without an end');
took_at_most($start, SHORT_TOTAL, 'a handshake without an end: within connect_timeout');

# A replaced certificate is trusted at once.

my $mended = provider($t, 8098, host => 'localhost', tls => $certificate{good});

for my $which (qw/ untrusted misnamed expired early /) {
    wears($mended, $certificate{$which});
    is(outcome(browser()->get("/?op=mended_$which")), '502 upstream_unreachable',
        "the certificate $which");
    wears($mended, $certificate{good});
    is(outcome(login("/?op=mended_$which")), '200', "the certificate $which, then replaced");
}

is(outcome(login('/?op=mended_old')), '200', 'a provider with a good certificate');
wears($mended, $certificate{expired});
is(outcome(login('/?op=mended_old')), '502 upstream_unreachable', 'a certificate that expires later');
wears($mended, $certificate{good});
is(outcome(login('/?op=mended_old')), '200', 'a certificate that expires later, then replaced');

# A response that is cut off below TLS

my @cut = (
    ['cut_whole', 'with a length', 'upstream_answer', {}],
    ['cut_open', 'without a length', 'upstream_metadata', { 'Content-Length' => undef }],
);

for my $case (@cut) {
    my ($provider, $name, $word, $headers) = @$case;

    my $answer = { close => 'mid_body', headers => $headers };
    $op{good}->set(respond => { '/.well-known/openid-configuration' => $answer });
    is(outcome(browser()->get("/?op=$provider")), "502 $word", "a response $name, cut off");
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
        "$name: Retry-After and no cookie");
    ok(log_has($t, qr/oidc: provider $what at "https:[^"]+".* while .*, provider "$provider"/),
        "$name: logged");
}

# Restarts the provider with another certificate.
sub wears {
    my ($op, $tls) = @_;

    $op->stop;
    $op->{tls} = $tls;
    $op->start;
}

# A server of one connection at a time
sub serve_strangely {
    my ($t, $port, $answer) = @_;

    my $socket = IO::Socket::INET->new(
        Proto => 'tcp', LocalAddr => '127.0.0.1', LocalPort => port($port), Listen => 5, ReuseAddr => 1)
        or die "Can't listen: $!";

    $t->run_daemon(sub {
        local $SIG{PIPE} = 'IGNORE';
        alarm 600;    # in case the test is killed
        while (my $client = $socket->accept) {
            $answer->($client);
            close $client;
        }
    });
}

# Waits for a ClientHello, then sends these, slowly if there are several.
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

###############################################################################
