package Test::OIDC::Pipeline;

# Hundreds of requests, for which a browser would be slow: pipelined in a few connections to nginx, without
# cookies, and from another address if given.
#
#   my @statuses = pipelined([ get_of('/page'), post_of('/uri', 'a=b') ]);    statuses of the responses
#   my @statuses = pipelined(\@requests, from => '127.0.0.2');
#   my $token = hs_logout_token($op, jti => 'x', sub => 'alice');    a logout token for client "client", by
#                                           HS256, which is fast and has to be in id_token_alg

use warnings;
use strict;

use IO::Socket::INET ();

use Test::Nginx qw//;
use Test::OIDC::JWT qw/ jwt_make /;
use Test::OIDC::Wait;

use constant BATCH => 250;

our @EXPORT = qw/ get_of hs_logout_token pipelined post_of /;
use base qw/ Exporter /;

my $secret = 'secret-of-at-least-thirty-two-bytes';

# A request without its Connection header.
sub get_of {
    my ($uri) = @_;

    return ["GET $uri HTTP/1.1\r\nHost: localhost\r\n", ''];
}

sub post_of {
    my ($uri, $form) = @_;

    my @lines = ("POST $uri HTTP/1.1", 'Host: localhost', 'Content-Type: application/x-www-form-urlencoded',
        'Content-Length: ' . length $form);
    return [join('', map { "$_\r\n" } @lines), $form];
}

sub pipelined {
    my ($requests, %options) = @_;

    my @left = @$requests;
    my @statuses;
    while (my @batch = splice @left, 0, BATCH) {
        my $last = pop @batch;
        my $bytes = join '', map({ "$_->[0]Connection: keep-alive\r\n\r\n$_->[1]" } @batch),
            "$last->[0]Connection: close\r\n\r\n$last->[1]";
        push @statuses, exchange($bytes, $options{from} // '127.0.0.1') =~ m{HTTP/1\.1 (\d+) }g;
    }
    return @statuses;
}

# A worker that dies sends nothing.
sub exchange {
    my ($bytes, $address) = @_;

    my $socket = IO::Socket::INET->new(LocalAddr => $address, PeerAddr => '127.0.0.1',
        PeerPort => Test::Nginx::port(8080), Proto => 'tcp') or return '';
    local $SIG{PIPE} = 'IGNORE';
    local $SIG{ALRM} = sub { die "no answer\n" };
    my $answer = eval {
        alarm MAX_WAIT;
        print $socket $bytes;
        local $/;
        my $all = <$socket>;
        alarm 0;
        $all;
    };
    alarm 0;
    return $answer // '';
}

sub hs_logout_token {
    my ($op, %claims) = @_;

    my $now = $op->now;
    return jwt_make({
        iss => $op->issuer, aud => 'client', iat => $now, exp => $now + 600,
        events => { 'http://schemas.openid.net/event/backchannel-logout' => {} }, %claims,
    }, alg => 'HS256', secret => $secret);
}

1;
