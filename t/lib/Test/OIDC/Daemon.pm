package Test::OIDC::Daemon;

# A server of the test suite that is scripted while it runs: the test sets its knobs and reads its
# records. Both are files in the test's directory, and nothing else is shared with the test. A subclass
# makes the socket in listen_socket() and serves it in serve(); both run again after a restart.

use warnings;
use strict;

use Scalar::Util qw/ weaken /;
use Time::HiRes qw/ sleep time /;

use Test::OIDC::JWT qw/ from_json to_json /;

sub new {
    my ($class, $t, $name, $knobs, %self) = @_;

    # The workers of an nginx started by root run as nobody, and read certificates and pages here.
    chmod 0755, $t->testdir;

    my $self = bless {
        t => $t,
        knob_file => $t->testdir . "/$name.knobs",
        record_file => $t->testdir . "/$name.records",
        first_knobs => $knobs,
        %self,
    }, $class;

    weaken $self->{t};    # the test's own variable ends nginx and its checks, not ours
    return $self->reset->clear->start;
}

# The socket listens before the daemon exists, so nobody has to wait for it.
sub start {
    my ($self) = @_;

    my $socket = $self->listen_socket;
    pipe my $pid, my $tell or die "pipe: $!";

    $self->{t}->run_daemon(sub {
        syswrite $tell, "$$\n";
        close $tell;
        $self->serve($socket);
    });

    close $tell;
    chomp($self->{pid} = <$pid> // die 'the daemon did not start');
    return $self;
}

# From now on connections are refused, until start().
sub stop {
    my ($self) = @_;

    kill 'TERM', $self->{pid};
    waitpid $self->{pid}, 0;
    return $self;
}

# The knobs named are replaced, the others stay.
sub set {
    my ($self, %knobs) = @_;

    return $self->write_knobs({ %{ $self->{knobs} }, %knobs });
}

# All knobs are again as they were at the start.
sub reset {
    my ($self) = @_;

    return $self->write_knobs($self->{first_knobs});
}

# The daemon reads at any moment, so a file of knobs appears complete or not at all.
sub write_knobs {
    my ($self, $knobs) = @_;

    $self->{knobs} = { %$knobs };
    my %file = (knobs => $knobs, generation => ++$self->{generation}, clock => $self->{clock});

    write_bytes("$self->{knob_file}.new", '>', to_json(\%file));
    rename "$self->{knob_file}.new", $self->{knob_file} or die "rename: $!";
    return $self;
}

# From now on the daemon takes the time to be so many seconds later than it is; reset() leaves it so.
sub move_clock {
    my ($self, $seconds) = @_;

    $self->{clock} = $seconds;
    return $self->write_knobs($self->{knobs});
}

sub now { return int(time + (shift->{clock} || 0)) }

sub clear {
    my ($self) = @_;

    write_bytes($self->{record_file}, '>', '');
    return $self;
}

# What the daemon was asked since the last clear(), in order; of one kind, or of all. A line that is
# still being written does not count yet.
sub requests {
    my ($self, $kind) = @_;

    my ($lines) = read_bytes($self->{record_file}) =~ /\A(.*\n|)/s;
    my @all = map { from_json($_) } split /\n/, $lines;
    return grep { !defined $kind || $_->{kind} eq $kind } @all;
}

sub count {
    my @found = requests(@_);
    return scalar @found;
}

# Waits until there are so many, five seconds at most, and returns how many there are.
sub wait_for {
    my ($self, $kind, $number) = @_;

    my $end = time + 5;
    sleep 0.01 while $self->count($kind) < $number && time < $end;
    return $self->count($kind);
}

# The daemon's side: the knobs of this moment, and the number of their change. {"$now": seconds} in
# them is a time from now.
sub current_knobs {
    my ($self) = @_;

    my $file = from_json(read_bytes($self->{knob_file}));
    @$self{qw/ generation clock /} = @$file{qw/ generation clock /};
    return $self->with_times($file->{knobs});
}

sub record {
    my ($self, $kind, %what) = @_;

    write_bytes($self->{record_file}, '>>', to_json({ kind => $kind, %what }) . "\n");
}

sub with_times {
    my ($self, $value) = @_;

    return [ map { $self->with_times($_) } @$value ] if ref $value eq 'ARRAY';
    return $value if ref $value ne 'HASH';
    return int($self->now + $value->{'$now'}) if exists $value->{'$now'};
    return { map { $_ => $self->with_times($value->{$_}) } keys %$value };
}

sub read_bytes {
    my ($file) = @_;

    open my $handle, '<:raw', $file or die "$file: $!";
    local $/;
    return <$handle> // '';
}

sub write_bytes {
    my ($file, $mode, $bytes) = @_;

    open my $handle, "$mode:raw", $file or die "$file: $!";
    print $handle $bytes;
    close $handle or die "$file: $!";
}

1;
