package Test::OIDC::Monitor;

# The commands that a test's Redis receives, by its command MONITOR.
#
#   my $monitor = Test::OIDC::Monitor->new($redis);     a Test::OIDC::Redis without password and TLS
#   my @commands = $monitor->during(sub { ... });       each as Redis prints it: "GET" "oidc:session:..."
#   my @loads = $monitor->loads(sub { ... });           those of them that read a session

use warnings;
use strict;

use IO::Select ();
use IO::Socket::INET ();

use Test::OIDC::Wait;

sub new {
    my ($class, $redis) = @_;

    my $socket = IO::Socket::INET->new('127.0.0.1:' . $redis->port) or die "monitor: $!";
    my $self = bless { redis => $redis, socket => $socket, bytes => '', number => 0 }, $class;
    $socket->syswrite("MONITOR\r\n");
    $self->line =~ /^\+OK/ or die 'monitor: refused';
    return $self;
}

# Redis reports commands in their order, so the second ECHO ends those that the code has caused.
sub during {
    my ($self, $code) = @_;

    my ($start, $end) = map { 'mark-' . ++$self->{number} } 1, 2;
    $self->{redis}->command('ECHO', $start);
    $code->();
    $self->{redis}->command('ECHO', $end);

    1 while $self->line !~ /"$start"/;
    my @commands;
    while ((my $line = $self->line) !~ /"$end"/) {
        push @commands, $line =~ /^\+[\d.]+ \[\d+ [\d.:]+\] (.*?)\r?$/ ? $1 : ();
    }
    return grep { !/^"(?:AUTH|HELLO|COMMAND)"/i } @commands;
}

sub loads {
    my ($self, $code) = @_;

    return grep { /^"(?:M?GET\w*|EVAL\w*|FCALL\w*)" .*:session:/i } $self->during($code);
}

sub line {
    my ($self) = @_;

    my $readable = IO::Select->new($self->{socket});
    while (1) {
        return $1 if $self->{bytes} =~ s/^(.*)\n//;
        $readable->can_read(MAX_WAIT) or die 'monitor: silence';
        $self->{socket}->sysread($self->{bytes}, 65536, length $self->{bytes}) or die 'monitor: the end';
    }
}

1;
