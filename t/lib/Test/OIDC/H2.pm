package Test::OIDC::H2;

# A client of HTTP/2 without TLS that can cancel one request and wait for another: the parts of RFC 9113 and
# HPACK (RFC 7541) needed to send a request, to reset it and to read the status of its response.
#
#   my $h2 = h2_connect(8083);              the port of "listen 127.0.0.1:8083 http2", as in nginx.conf
#   my $stream = h2_get($h2, '/page', $browser);    as to the server at 8080, with all cookies of that
#                                           browser, which does not keep those of the response. By name:
#                                           authority => 'another:80', undef for none; headers => [...]
#   h2_reset($stream);                      cancels this request
#   h2_status($stream);                     waits for the response; "closed" if there is none, "another" if
#                                           the status is in a form not decoded here
#   h2_bytes('/page', $browser)             all bytes of a client up to a request
#   close $h2->{socket};                    cancels all requests

use warnings;
use strict;

use IO::Select ();
use IO::Socket::INET ();
use Socket qw/ IPPROTO_TCP TCP_NODELAY /;
use Time::HiRes qw/ time /;

use Test::Nginx qw//;
use Test::OIDC::Wait;

our @EXPORT = qw/ h2_bytes h2_connect h2_get h2_reset h2_status /;
use base qw/ Exporter /;

use constant HELLO => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";    # with empty SETTINGS

sub h2_connect {
    my ($port) = @_;

    my $address = '127.0.0.1:' . Test::Nginx::port($port);
    my $socket = IO::Socket::INET->new(PeerAddr => $address) or die "connect: $!";
    $socket->autoflush(1);
    setsockopt($socket, IPPROTO_TCP, TCP_NODELAY, 1);
    print $socket HELLO;
    return { socket => $socket, next => 1, bytes => '', status => {} };
}

sub h2_get {
    my ($h2, @what) = @_;

    my $stream = { h2 => $h2, id => $h2->{next} };
    $h2->{next} += 2;
    print { $h2->{socket} } request($stream->{id}, @what);
    return $stream;
}

sub h2_bytes { return HELLO . request(1, @_) }

sub request {
    my ($id, $url, $browser, %options) = @_;

    my ($scheme, $path) = $url =~ m{^(?:(https?)://[^/]*)?(.*)};
    my $cookies = join '; ', map { "$_->{name}=$_->{value}" } $browser ? $browser->cookies : ();
    my $authority = exists $options{authority} ? $options{authority} : 'localhost:' . Test::Nginx::port(8080);
    my @headers = (':method' => 'GET', ':scheme' => $scheme // 'http', ':path' => $path,
        defined $authority ? (':authority' => $authority) : (),
        length $cookies ? (cookie => $cookies) : (), @{ $options{headers} || [] });

    my $block = '';
    while (my ($name, $value) = splice @headers, 0, 2) {
        $block .= "\0" . string($name) . string($value);    # a literal without indexing
    }
    return frame(1, 0x5, $id, $block);    # END_STREAM, END_HEADERS
}

sub h2_reset {
    my ($stream) = @_;

    print { $stream->{h2}{socket} } frame(3, 0, $stream->{id}, pack 'N', 8);    # CANCEL
}

# nginx writes :status with an indexed name and as plain text, unless the static table has it.
sub h2_status {
    my ($stream) = @_;

    my $h2 = $stream->{h2};
    until (exists $h2->{status}{ $stream->{id} }) {
        my ($type, $id, $payload) = read_frame($h2) or return 'closed';
        $h2->{status}{$id} = $payload =~ /^\x20?[\x48\x08]\x03(\d\d\d)/ ? $1 : 'another' if $type == 1;
        $h2->{status}{$id} = 'closed' if $type == 3;
    }
    return $h2->{status}{ $stream->{id} };
}

sub read_frame {
    my ($h2) = @_;

    my $end = time + MAX_WAIT;
    while (1) {
        if (length $h2->{bytes} >= 9) {
            my ($high, $low, $type, $flags, $id) = unpack 'CnCCN', $h2->{bytes};
            my $length = $high << 16 | $low;
            if (length $h2->{bytes} >= 9 + $length) {
                my $frame = substr $h2->{bytes}, 0, 9 + $length, '';
                return ($type, $id, substr $frame, 9);
            }
        }
        IO::Select->new($h2->{socket})->can_read($end - time) or return;
        sysread $h2->{socket}, $h2->{bytes}, 65536, length $h2->{bytes} or return;
    }
}

sub frame {
    my ($type, $flags, $id, $payload) = @_;

    return pack('Cn', 0, length $payload) . pack('CCN', $type, $flags, $id) . $payload;
}

# A length of more than seven bits continues in the next bytes.
sub string {
    my ($text) = @_;

    my $length = length $text;
    return chr($length) . $text if $length < 127;

    my $bytes = chr 127;
    for ($length -= 127; $length >= 128; $length >>= 7) {
        $bytes .= chr($length & 127 | 128);
    }
    return $bytes . chr($length) . $text;
}

1;
