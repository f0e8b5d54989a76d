package Test::OIDC::Resolver;

# A name server over UDP for nginx's "resolver", with a given response for each name:
#
#   my $dns = resolver($t, 8053, 'op.example.com' => '127.0.0.1', '*' => 'NXDOMAIN');
#   resolver 127.0.0.1:%%PORT_8053_UDP%%;                in nginx.conf
#   $dns->set('op.example.com' => ['127.0.0.2', '127.0.0.1', '::1']);
#
# An address or a list of them, or one of NXDOMAIN, SERVFAIL, REFUSED, EMPTY (the name exists, without
# an address), SILENCE (no response), GARBAGE (no DNS message). "*" is for any other name.
# $dns->requests('op.example.com') are the queries, each { kind => name, type => 'A' }; reset, clear,
# count, wait_for, stop and start are those of Test::OIDC::Daemon.

use warnings;
use strict;

use IO::Select ();
use IO::Socket::INET ();
use Socket qw/ AF_INET6 inet_aton inet_pton /;

use base qw/ Test::OIDC::Daemon /;

my %type_name = (1 => 'A', 28 => 'AAAA');
my %rcode = (NXDOMAIN => 3, SERVFAIL => 2, REFUSED => 5, EMPTY => 0);

sub new {
    my ($class, $t, $port, %names) = @_;

    return $class->SUPER::new($t, "resolver-$port", { '*' => 'NXDOMAIN', %names }, port => $port);
}

sub listen_socket {
    my ($self) = @_;

    return IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $self->{port}, Proto => 'udp')
        || die "resolver: cannot bind to port $self->{port}: $!";
}

sub serve {
    my ($self, $socket) = @_;

    my $parent = getppid;
    my $select = IO::Select->new($socket);

    while (getppid == $parent) {
        next unless $select->can_read(1);
        my $peer = $socket->recv(my $query, 512);
        my $reply = $self->reply_to($query);
        $socket->send($reply, 0, $peer) if defined $reply;
    }
}

sub reply_to {
    my ($self, $query) = @_;

    my ($id, $name, $type, $question) = parse_question($query) or return undef;
    $self->record($name, type => $type_name{$type} || $type);

    my $knobs = $self->current_knobs;
    my $answer = $knobs->{$name} // $knobs->{'*'};

    return undef if $answer eq 'SILENCE';
    return substr $query, 0, 5 if $answer eq 'GARBAGE';
    return message($id, $rcode{$answer}, $question) if exists $rcode{$answer};

    my @addresses = grep { /:/ ? $type == 28 : $type == 1 } ref $answer ? @$answer : $answer;
    return message($id, 0, $question, map { address_record($type, $_) } @addresses);
}

sub parse_question {
    my ($query) = @_;

    return unless length $query > 16;

    my @labels;
    my $at = 12;
    while (my $length = ord substr $query, $at, 1) {
        push @labels, substr $query, $at + 1, $length;
        $at += 1 + $length;
    }

    my $question = substr $query, 12, $at + 5 - 12;
    return (unpack('n', $query), lc join('.', @labels), unpack('n', substr $question, -4), $question);
}

# RFC 1035, 4.1: a header with one question, recursion available.
sub message {
    my ($id, $rcode, $question, @records) = @_;

    return pack('n6', $id, 0x8180 | $rcode, 1, scalar @records, 0, 0) . join '', $question, @records;
}

# The name is a pointer to the question's; the TTL is one second, so that a change takes effect soon.
sub address_record {
    my ($type, $address) = @_;

    my $bytes = $type == 28 ? inet_pton(AF_INET6, $address) : inet_aton($address);
    return pack 'n3 N n/a*', 0xc00c, $type, 1, 1, $bytes;
}

1;
