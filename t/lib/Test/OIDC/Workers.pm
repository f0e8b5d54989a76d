package Test::OIDC::Workers;

# An nginx of two workers, for a test that has to know that what one of them was told all of them know.
#
#   my $workers = Test::OIDC::Workers->start($t, $conf);    nginx.conf, without worker_processes
#   $workers->reload;  $workers->reload($other_conf);       new ones, which alone accept connections
#   is($workers->each(sub { $browser->get('/page')->{status} }), '200 200', 'the same in every worker');
#                                           what the sub returns with each worker in turn
#   halt(@pids);  kill 'CONT', @pids;       stopped once it returns: a signal takes its time, in which a connection
#                                           may still come to that process

use warnings;
use strict;

use Scalar::Util qw/ weaken /;
use Time::HiRes qw/ sleep time /;

use Test::OIDC;

our @EXPORT = qw/ halt /;
use base qw/ Exporter /;

use constant { WORKERS => 2, TIMEOUT => 5 };

sub start {
    my ($class, $t, $conf) = @_;

    my $self = bless { t => $t }, $class;
    weaken $self->{t};
    $self->configure($conf);
    $t->run();
    return $self->remember(0);
}

sub reload {
    my ($self, $conf) = @_;

    my @old = @{ $self->{pids} };
    my $before = () = $self->started;
    $self->configure($conf) if defined $conf;
    $self->{t}->reload();
    $self->remember($before);
    wait_until(sub { !grep { $self->accepts($_) } @old });
    return $self;
}

sub configure {
    my ($self, $conf) = @_;

    my $workers = WORKERS;
    $self->{t}->write_file_expand('nginx.conf', $conf =~ s/(?=daemon off;)/worker_processes $workers;\n/r);
}

# Those that were started after so many others.
sub remember {
    my ($self, $before) = @_;

    my @all;
    wait_until(sub { (@all = $self->started) == $before + WORKERS }) or die 'workers did not start';
    $self->{pids} = [ @all[$before .. $#all] ];
    return $self;
}

sub started {
    my ($self) = @_;

    return $self->{t}->read_file('error.log') =~ /start worker process (\d+)/g;
}

sub accepts {
    my ($self, $pid) = @_;

    return $self->{t}->read_file('error.log') !~ / $pid#\d+: gracefully shutting down/;
}

sub each {
    my ($self, $ask) = @_;

    my @answers;
    for my $worker (@{ $self->{pids} }) {
        my @others = grep { $_ != $worker } @{ $self->{pids} };
        halt(@others);
        push @answers, $ask->();
        kill 'CONT', @others;
    }
    return "@answers";
}

sub halt {
    my (@pids) = @_;

    kill 'STOP', @pids;
    return wait_until(sub { !grep { state_of($_) =~ /[^TZ]/ } @pids });
}

# As /proc has it: R, S, T for stopped, Z; '' of a process that is gone.
sub state_of {
    my ($pid) = @_;

    open my $stat, '<', "/proc/$pid/stat" or return '';
    return (<$stat> // '') =~ /\) (\S)/ ? $1 : '';
}

sub wait_until {
    my ($is_so) = @_;

    my $end = time + TIMEOUT;
    until ($is_so->()) {
        return 0 if time > $end;
        sleep 0.005;
    }
    return 1;
}

1;
