package Test::OIDC::Clock;

# Runs nginx under a clock that the test moves, so that a test need not wait for hours. The clock is the
# machine's plus an offset that nginx reads with every time (by Debian's package libfaketime). Timers are not
# affected: they use the monotonic clock, which stays real.
#
#   my $t = Test::Nginx->new()->has(...);
#   my $clock = Test::OIDC::Clock->new($t);      before the plan, since it may skip the test, and before
#   $t->plan(5);                                 nginx.conf is written, since it adds to %%TEST_GLOBALS%%
#   my $op = provider($t, 8081);
#   $clock->follow($op);                         its tokens use this clock from now on
#   $clock->advance(3600);                       immediately, in the master and all workers; a negative
#                                                number sets it back
#   $clock->freeze                               stops it: only advance() moves it, not the time that the test takes
#   $clock->unfreeze                             runs again
#   $clock->time                                 the time of nginx
#   $clock->variables                            for the shell script of another daemon, before exec
#
# Every nginx of the test is under it. The test itself and its browsers keep the real time: a browser sends
# cookies that have expired by nginx's time. An upgraded binary leaves the clock, since nginx passes on
# almost nothing of its environment.

use warnings;
use strict;

use POSIX ();
use Test::More qw//;

use Test::Nginx qw//;

my ($library) = glob '/usr/lib{/*,64,}/faketime/libfaketime.so.1';

sub new {
    my ($class, $t) = @_;

    Test::More::plan(skip_all => 'no libfaketime available') unless defined $library;

    my $self = bless { file => $t->testdir . '/clock', offset => 0, followers => [] }, $class;
    chmod 0755, $t->testdir;    # workers read the clock as nobody
    $self->advance(0);

    $Test::Nginx::NGINX = $self->starter($t);
    # Workers drop all variables that are not named.
    $ENV{TEST_NGINX_GLOBALS} = ($ENV{TEST_NGINX_GLOBALS} // '') . ' env FAKETIME_TIMESTAMP_FILE;';
    return $self;
}

sub advance {
    my ($self, $seconds) = @_;

    $self->{offset} += $seconds;
    $self->write_time;
    $_->move_clock($self->{offset}) for @{ $self->{followers} };
    return $self;
}

sub freeze {
    my ($self) = @_;

    $self->{frozen_at} = CORE::time;
    return $self->write_time;
}

# freeze() does not affect the daemons that follow the clock.
sub unfreeze {
    my ($self) = @_;

    delete $self->{frozen_at};
    return $self->write_time;
}

# nginx may read the file at any time, so a complete one replaces it.
sub write_time {
    my ($self) = @_;

    my $text = $self->{frozen_at} ? POSIX::strftime('%Y-%m-%d %H:%M:%S', localtime $self->time)
        : sprintf '%+d', $self->{offset};
    my $file = $self->{file};
    open my $to, '>', "$file.new" or die "$file.new: $!";
    print $to "$text\n";
    close $to or die "$file.new: $!";
    rename "$file.new", $file or die "rename: $!";
    return $self;
}

sub time {
    my ($self) = @_;

    return ($self->{frozen_at} // CORE::time) + $self->{offset};
}

sub follow {
    my ($self, @daemons) = @_;

    push @{ $self->{followers} }, @daemons;
    $_->move_clock($self->{offset}) for @daemons;
    return $self;
}

# A script that starts nginx under the clock. The shell itself is not: the library's data for processes would
# remain in /dev/shm when the shell execs. So the variables are set last, also in a script that loads a
# sanitizer.
sub starter {
    my ($self, $t) = @_;

    my $script = script_of($Test::Nginx::NGINX);
    $script =~ s/^(?=exec )/$self->variables/me or die "no \"exec\" in $Test::Nginx::NGINX";

    $t->write_file('nginx-by-clock', $script);
    my $starter = $t->testdir . '/nginx-by-clock';
    chmod 0755, $starter;
    return $starter;
}

sub script_of {
    my ($nginx) = @_;

    open my $in, '<:raw', $nginx or die "$nginx: $!";
    read $in, my $start, 2;
    return qq{#!/bin/sh\nexec $nginx "\$@"\n} if $start ne '#!';

    local $/;
    return $start . <$in>;
}

# The last library is initialized first, which has to be the sanitizer's; the sanitizer itself expects to be
# first in the list.
sub variables {
    my ($self) = @_;

    return <<"EOV";
export LD_PRELOAD="$library \$LD_PRELOAD"
export ASAN_OPTIONS="\$ASAN_OPTIONS:verify_asan_link_order=0"
export FAKETIME_TIMESTAMP_FILE=$self->{file} FAKETIME_NO_CACHE=1
export FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1
EOV
}

1;
