#!/usr/bin/perl

# Tests for what anybody's front-channel requests, and workers that are killed amid them, cannot do: push
# out the logouts of others, bring back what has ended, or end where nobody can go on.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use POSIX ();
use Time::HiRes qw/ sleep time /;

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Pipeline;
use Test::OIDC::Site;
use Test::OIDC::Workers;

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant ANONYMOUS => 6000;

# That a worker was killed is an alert: the others are looked for at the end.
my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(31)->todo_alerts();

my $op = provider($t, 8081, sid => 1);
my $issuer = $op->issuer;
my $frame = { 'Sec-Fetch-Dest' => 'iframe' };
my $anybody = '127.0.0.2';
my $users = 0;

$t->write_file('key', '0123456789abcdef' x 4 . "\n");
my $workers = Test::OIDC::Workers->start($t, nginx_conf(<<'EOF',
    oidc_state_zone 64k;
    keepalive_requests 10000;
EOF
    oidc_provider('front', 'frontchannel_logout_uri /front; logout_uri /logout',
        session_key => 'key', session_store => 'cookie'),
    site('page', <<'EOF')));
        add_header X-User $oidc_claim_sub;
EOF
log_mark($t);

# Sids of nobody, from another address

my ($unseen, $matched, $own, $later) = map { user() } 1 .. 4;
my $untouched = user();
is(front_channel($_), 200, 'a front-channel logout, without a cookie') for $unseen, $matched;
is(seen($matched), 302, 'one of which has matched its session');
is(in_frame($own)->{status}, 200, 'and one by its cookie');
is(flood(), ANONYMOUS, 'sids of nobody, from another address: each gets an answer');
is(seen($unseen), 302, 'sids of nobody: a logout from elsewhere is not pushed out');
is(seen($matched), 302, 'sids of nobody: nor one that has matched a session');
is(seen($own), 302, 'sids of nobody: nor one by its cookie');
is(front_channel($later), 200, 'sids of nobody: a front-channel logout after them');
is(in_every_worker($later), '302 302', 'sids of nobody: ends its session');
is(flood(), ANONYMOUS, 'sids of nobody: as many again');
is(join(' ', map { in_every_worker($_) } $unseen, $matched, $own, $later), '302' . ' 302' x 7,
    'sids of nobody: none comes back');
is(seen($untouched), 200, 'sids of nobody: a session that nobody has named lives');
ends_well('sids of nobody');

# From the address that others share with them

my ($shared, $first) = map { user() } 1, 2;
is(front_channel($first, $anybody), 200, 'sids of nobody, the same address: a logout');
is(seen($first), 302, 'sids of nobody, the same address: ends its session');
flood();
is(seen($first), 302, 'sids of nobody, the same address: for good, as it has matched');
is(front_channel($shared, $anybody), 200, 'sids of nobody, the same address: a logout after them');
is(seen($shared), 302, 'sids of nobody, the same address: ends its session');

# Killed workers

my $ended = user();
my $copy = $ended->clone;
$ended->get('/logout');
front_channel(my $named = user());
seen($named);
$op->set(user => { sub => 'mallory' });
for my $round (1 .. 6) {
    my @children = (in_child(\&flood), in_child(\&log_in_and_out));
    sleep 0.03 * $round;    # whatever they are at then
    kill_worker($round % 2);
    waitpid $_, 0 for @children;
}
is(in_every_worker($copy), '302 302', 'killed workers: what has ended stays so, in every worker');
is(in_every_worker($named), '302 302', 'killed workers: so does what has matched a session');
is(in_every_worker($untouched), '200 200', 'killed workers: a session lives');
is(in_every_worker(user()), '200 200', 'killed workers: a login');
ends_well('killed workers');
is(front_channel(my $last = user()), 200, 'killed workers: a front-channel logout');
is(in_every_worker($last), '302 302', 'killed workers: ends its session');
is(flood(), ANONYMOUS, 'killed workers: sids of nobody, each gets an answer');
is(in_every_worker($last), '302 302', 'killed workers: and none comes back');

my @alerts = grep { /\[(?:alert|emerg)\]/ } split /\n/, $t->read_file('error.log');
is(join("\n", grep { !/exited on signal 9|shared memory zone "\S+" was locked by/ } @alerts), '',
    'no alert but of the killed workers');
is(scalar(grep { /exited on signal 9/ } @alerts), 6, 'which were killed');
is(join("\n", error_log_lines($t, qr/\[(?:error|crit)\] .*oidc:/)), '', 'nothing of all that is an error');

# ------------------------------------------------------------------------------------------------------

# A browser that is logged in, as a user of its own: one user's logouts may end all that the user has.
sub user {
    $op->clear->set(user => { sub => 'user-' . ++$users });
    my $browser = browser();
    $browser->login(page_of('front'));
    $browser->{sid} = $op->last_login->{sid};
    return $browser;
}

sub seen { return $_[0]->get(page_of('front'))->{status} }

sub in_every_worker {
    my ($browser) = @_;

    return $workers->each(sub { seen($browser) });
}

# That a user can log out, and a copy is worthless then.
sub ends_well {
    my ($name) = @_;

    my $user = user();
    my $copy = $user->clone;
    is($user->get('/logout')->{status} . ' ' . in_every_worker($copy), '302 302 302', "$name: a logout, for good");
}

# By the cookie alone.
sub in_frame { return $_[0]->get('/front', from => "$issuer/logout", headers => $frame) }

# By the sid of that browser's session alone, from 127.0.0.1 or another address.
sub front_channel {
    my ($browser, $address) = @_;

    my ($status) = pipelined([ front_request($browser->{sid}) ], from => $address);
    return $status;
}

sub front_request { return get_of('/front?iss=' . escape($issuer) . "&sid=$_[0]") }

# How many of them are answered.
sub flood {
    my @statuses = pipelined([ map { front_request('random-' . rand) } 1 .. ANONYMOUS ], from => $anybody);
    return scalar @statuses;
}

sub log_in_and_out {
    for (1 .. 20) {
        my $browser = browser();
        $browser->login(page_of('front'));
        $browser->get('/logout');
    }
}

# A process of its own.
sub in_child {
    my ($do) = @_;

    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    srand $$;
    eval { $do->() };
    POSIX::_exit(0);
}

# One of the two gives way to a new one.
sub kill_worker {
    my ($number) = @_;

    my $before = () = $workers->started;
    kill 'KILL', $workers->{pids}[$number];
    my $end = time + 5;
    sleep 0.01 until (() = $workers->started) > $before || time > $end;
    $workers->{pids}[$number] = ($workers->started)[-1];
}
