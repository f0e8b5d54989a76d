package Test::OIDC::Relay;

# A proxy in front of a test's Redis that fails in its place: for every request, or only for those that
# contain a text. What a client sends at once is one request. Redis itself keeps running, with its data.
#
#   my $relay = Test::OIDC::Relay->new($t, 8382, 8379);    listens at the first port, connects to the second
#   $relay->fails('close', $re);            closes the connection at such a request
#   $relay->fails('hold', $re);             sends no response
#   $relay->fails("-ERR x\r\n", $re);       sends these bytes; an error once for each command
#   $relay->fails($how, $re, 1);            the first one only
#   $relay->fails($how);                    every request
#   $relay->passes;                         no request any more
#
# WRITES is a pattern of requests that change data of Redis.

use warnings;
use strict;

use IO::Select ();
use IO::Socket::INET ();
use POSIX ();

use Test::Nginx qw//;
use Test::OIDC::Daemon;
use Test::OIDC::JWT qw/ from_json to_json /;

use constant WRITES => '(?i)\r\n(?:set|del|eval\w*|fcall)\r\n';

our @EXPORT = qw/ WRITES /;
use base qw/ Exporter /;

# A process for each connection.
sub new {
    my ($class, $t, $port, $to) = @_;

    ($port, $to) = map { Test::Nginx::port($_) } $port, $to;
    my $self = bless { file => $t->testdir . "/relay-$port" }, $class;
    my $listen = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 64, ReuseAddr => 1)
        or die "relay: $!";

    $t->run_daemon(sub {
        local $SIG{CHLD} = 'IGNORE';
        while (my $client = $listen->accept) {
            next if fork;
            $self->serve($client, IO::Socket::INET->new("127.0.0.1:$to"));
            POSIX::_exit(0);
        }
    });
    return $self->passes;
}

sub fails {
    my ($self, $how, $re, $times) = @_;

    my %told = (how => $how, re => $re // '(?:)', times => $times);
    my $file = $self->{file};
    unlink "$file.$_" for 1 .. 9;
    Test::OIDC::Daemon::write_bytes("$file.new", '>', to_json(\%told));
    rename "$file.new", $file or die "rename: $!";
    return $self;
}

sub passes {
    my ($self) = @_;

    unlink $self->{file};
    return $self;
}

sub serve {
    my ($self, $client, $server) = @_;

    return unless $server;
    my $both = IO::Select->new($client, $server);
    while (my @ready = $both->can_read) {
        for my $socket (@ready) {
            sysread $socket, my $bytes, 65536 or return;
            if ($socket == $server) {
                write_all($client, $bytes);
                next;
            }
            my $how = $self->failure_of($bytes);
            return if $how eq 'close';
            next if $how eq 'hold';
            write_all($how eq '' ? ($server, $bytes) : ($client, response($how, $bytes)));
        }
    }
}

sub response {
    my ($how, $request) = @_;

    my $commands = () = $request =~ /^\*\d+\r\n/mg;
    return $how =~ /^-/ ? $how x $commands : $how;
}

# How this request fails, or ''.
sub failure_of {
    my ($self, $request) = @_;

    my $told = eval { from_json(Test::OIDC::Daemon::read_bytes($self->{file})) } or return '';
    return '' if $request !~ /$told->{re}/;
    return $told->{how} unless $told->{times};
    for (1 .. $told->{times}) {
        return $told->{how} if $self->is_first($_);
    }
    return '';
}

# The first among all processes.
sub is_first {
    my ($self, $number) = @_;

    return sysopen my $mark, "$self->{file}.$number", POSIX::O_CREAT() | POSIX::O_EXCL() | POSIX::O_WRONLY();
}

sub write_all {
    my ($socket, $bytes) = @_;

    while (length $bytes) {
        my $n = syswrite $socket, $bytes or POSIX::_exit(0);
        substr($bytes, 0, $n) = '';
    }
}

1;
