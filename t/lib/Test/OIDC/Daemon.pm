package Test::OIDC::Daemon;

# A server of the test suite that is scripted while it runs: the test sets its knobs and reads its
# records. Both are files in the test's directory, the only shared data. A subclass creates the socket in
# listen_socket() and serves it in serve(); both run again after a restart.

use warnings;
use strict;

use Scalar::Util qw/ weaken /;
use Time::HiRes qw/ time /;

use Test::OIDC::JWT qw/ from_json to_json /;
use Test::OIDC::Wait;

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

    weaken $self->{t};    # destroying the test's own variable stops nginx
    return $self->reset->clear->start;
}

# The socket listens before the daemon exists, so a test need not wait for it.
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

# Connections are refused until start().
sub stop {
    my ($self) = @_;

    kill 'TERM', $self->{pid};
    waitpid $self->{pid}, 0;
    return $self;
}

# Replaces the named knobs.
sub set {
    my ($self, %knobs) = @_;

    return $self->write_knobs({ %{ $self->{knobs} }, %knobs });
}

# Restores all knobs of the start.
sub reset {
    my ($self) = @_;

    return $self->write_knobs($self->{first_knobs});
}

# The daemon may read at any moment, so the file is replaced atomically.
sub write_knobs {
    my ($self, $knobs) = @_;

    $self->{knobs} = { %$knobs };
    my %file = (knobs => $knobs, generation => ++$self->{generation}, clock => $self->{clock});

    write_bytes("$self->{knob_file}.new", '>', to_json(\%file));
    rename "$self->{knob_file}.new", $self->{knob_file} or die "rename: $!";
    return $self;
}

# Sets the daemon's clock ahead by these seconds; reset() keeps it.
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

# The daemon's requests since the last clear(), in order; of one kind, or all. A line still being written
# is not returned yet.
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

# Waits until there are so many, and returns how many there are.
sub wait_for {
    my ($self, $kind, $number) = @_;

    wait_until(sub { $self->count($kind) >= $number });
    return $self->count($kind);
}

# In the daemon: the current knobs, and the number of their change. {"$now": seconds} in them is a time
# relative to now.
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
