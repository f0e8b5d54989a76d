package Test::OIDC::Workers;

# An nginx of two workers, for a test that verifies that both have the same state.
#
#   my $workers = Test::OIDC::Workers->start($t, $conf);    nginx.conf, without worker_processes
#   $workers->reload;  $workers->reload($other_conf);       starts new ones; only they accept connections
#   is($workers->each(sub { $browser->get('/page')->{status} }), '200 200', 'the same in every worker');
#                                           the results of the sub with each worker in turn
#   halt(@pids);  kill 'CONT', @pids;       stopped when it returns: a signal takes a moment, in which the
#                                           process may still accept a connection

use warnings;
use strict;

use Scalar::Util qw/ weaken /;

use Test::OIDC::Wait;

our @EXPORT = qw/ halt /;
use base qw/ Exporter /;

use constant WORKERS => 2;

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

# Workers started after the first so many.
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
    my ($self, $code) = @_;

    my @answers;
    for my $worker (@{ $self->{pids} }) {
        my @others = grep { $_ != $worker } @{ $self->{pids} };
        halt(@others);
        push @answers, $code->();
        kill 'CONT', @others;
    }
    return "@answers";
}

sub halt {
    my (@pids) = @_;

    kill 'STOP', @pids;
    return wait_until(sub { !grep { state_of($_) =~ /[^TZ]/ } @pids });
}

# The state in /proc: R, S, T for stopped, Z; '' if the process is gone.
sub state_of {
    my ($pid) = @_;

    open my $stat, '<', "/proc/$pid/stat" or return '';
    return (<$stat> // '') =~ /\) (\S)/ ? $1 : '';
}

1;
