package Test::OIDC::Clock;

# Runs nginx under a clock that the test moves, so that what takes hours takes none. The clock goes as
# the machine's does, plus an offset that nginx looks up whenever it asks for the time (by Debian's
# package libfaketime). Its timers do not notice: they count by the monotonic clock, which stays real.
#
#   my $t = Test::Nginx->new()->has(...);
#   my $clock = Test::OIDC::Clock->new($t);      before the plan, for it may skip the test, and before
#   $t->plan(5);                                 nginx.conf is written, for it adds to %%TEST_GLOBALS%%
#   my $op = provider($t, 8081);
#   $clock->follow($op);                         its tokens are of nginx's time, now and later
#   $clock->advance(3600);                       at once, in master and workers, also those to come;
#                                                a negative number sets it back
#   $clock->time                                 what nginx takes for the time
#   $clock->variables                            for the shell script of another daemon, before exec
#
# Every nginx of the test is under it. The test itself and its browsers keep the real time: a browser
# goes on sending cookies that are over by nginx's time. An upgrade of the binary leaves the clock, for
# nginx hands on next to nothing of its environment.

use warnings;
use strict;

use Test::More qw//;

use Test::Nginx qw//;

my ($library) = glob '/usr/lib{/*,64,}/faketime/libfaketime.so.1';

sub new {
    my ($class, $t) = @_;

    Test::More::plan(skip_all => 'no libfaketime available') unless defined $library;

    my $self = bless { file => $t->testdir . '/clock', offset => 0, followers => [] }, $class;
    chmod 0755, $t->testdir;    # workers look at the clock as nobody
    $self->advance(0);

    $Test::Nginx::NGINX = $self->starter($t);
    # Workers forget all variables that are not named.
    $ENV{TEST_NGINX_GLOBALS} = ($ENV{TEST_NGINX_GLOBALS} // '') . ' env FAKETIME_TIMESTAMP_FILE;';
    return $self;
}

sub advance {
    my ($self, $seconds) = @_;

    $self->{offset} += $seconds;

    # Whoever looks at it finds it complete.
    my $file = $self->{file};
    open my $to, '>', "$file.new" or die "$file.new: $!";
    printf $to "%+d\n", $self->{offset};
    close $to or die "$file.new: $!";
    rename "$file.new", $file or die "rename: $!";

    $_->move_clock($self->{offset}) for @{ $self->{followers} };
    return $self;
}

sub time { return CORE::time + shift->{offset} }

sub follow {
    my ($self, @daemons) = @_;

    push @{ $self->{followers} }, @daemons;
    $_->move_clock($self->{offset}) for @daemons;
    return $self;
}

# A script that starts nginx under the clock. The shell itself is not: what the library shares between
# processes stays behind in /dev/shm when one of them turns into another. So the variables are set last,
# also in a script that has a sanitizer loaded.
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

# The last library is initialized first, and that has to be the sanitizer's, which otherwise insists on
# being the first.
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
