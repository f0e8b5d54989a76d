#!/usr/bin/perl

# Tests for floods of front-channel requests, and workers killed during them: they do not evict the logouts of others,
# bring back ended sessions or leave nginx unusable.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use POSIX ();
use Time::HiRes qw/ sleep /;

use Test::OIDC;
use Test::OIDC::Pipeline;
use Test::OIDC::Sessions qw/ write_session_key /;
use Test::OIDC::Site;
use Test::OIDC::Workers;

use constant ANONYMOUS => 6000;

# A killed worker logs an alert; other alerts are looked for at the end.
my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(31)->todo_alerts();

my $op = provider($t, 8081, sid => 1);
my $issuer = $op->issuer;
my $frame = { 'Sec-Fetch-Dest' => 'iframe' };
my $anybody = '127.0.0.2';
my $users = 0;

write_session_key($t);
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

# Unknown sids, from another address

my ($unseen, $matched, $own, $later) = map { user() } 1 .. 4;
my $untouched = user();
is(front_channel($_), 200, 'a front-channel logout without a cookie') for $unseen, $matched;
is(seen($matched), 302, 'a front-channel logout without a cookie ends its session');
is(in_frame($own)->{status}, 200, 'a front-channel logout by the cookie');
is(flood(), ANONYMOUS, 'unknown sids from another address: each gets a response');
is(seen($unseen), 302, 'unknown sids: a logout from another address is not evicted');
is(seen($matched), 302, 'unknown sids: a logout that ended a session is not evicted');
is(seen($own), 302, 'unknown sids: a logout by the cookie is not evicted');
is(front_channel($later), 200, 'unknown sids: a later front-channel logout is accepted');
is(in_every_worker($later), '302 302', 'unknown sids: a later front-channel logout ends its session');
is(flood(), ANONYMOUS, 'unknown sids again: each gets a response');
is(join(' ', map { in_every_worker($_) } $unseen, $matched, $own, $later), '302' . ' 302' x 7,
    'unknown sids again: ended sessions stay ended');
is(seen($untouched), 200, 'unknown sids: a session without a logout continues');
ends_well('unknown sids');

# Logouts from the address of the flood

my ($shared, $first) = map { user() } 1, 2;
is(front_channel($first, $anybody), 200, 'unknown sids, the same address: a logout is accepted');
is(seen($first), 302, 'unknown sids, the same address: the logout ends its session');
flood();
is(seen($first), 302, 'unknown sids, the same address: a logout that ended a session is not evicted');
is(front_channel($shared, $anybody), 200, 'unknown sids, the same address: a later logout is accepted');
is(seen($shared), 302, 'unknown sids, the same address: the later logout ends its session');

# Killed workers

my $ended = user();
my $copy = $ended->clone;
$ended->get('/logout');
front_channel(my $named = user());
seen($named);
$op->set(user => { sub => 'mallory' });
for my $round (1 .. 6) {
    my @children = (in_child(\&flood), in_child(\&log_in_and_out));
    sleep 0.03 * $round;    # at any point of their work
    kill_worker($round % 2);
    waitpid $_, 0 for @children;
}
is(in_every_worker($copy), '302 302', 'killed workers: an ended session stays ended in every worker');
is(in_every_worker($named), '302 302', 'killed workers: a session ended by its sid stays ended');
is(in_every_worker($untouched), '200 200', 'killed workers: another session continues');
is(in_every_worker(user()), '200 200', 'killed workers: a login succeeds');
ends_well('killed workers');
is(front_channel(my $last = user()), 200, 'killed workers: a front-channel logout is accepted');
is(in_every_worker($last), '302 302', 'killed workers: the front-channel logout ends its session');
is(flood(), ANONYMOUS, 'killed workers: each unknown sid gets a response');
is(in_every_worker($last), '302 302', 'killed workers: the ended session stays ended');

my @alerts = grep { /\[(?:alert|emerg)\]/ } split /\n/, $t->read_file('error.log');
is(join("\n", grep { !/exited on signal 9|shared memory zone "\S+" was locked by/ } @alerts), '',
    'no alert except for killed workers');
is(scalar(grep { /exited on signal 9/ } @alerts), 6, 'six workers were killed');
is(join("\n", error_log_lines($t, qr/\[(?:error|crit)\] .*oidc:/)), '', 'no error is logged');

# ------------------------------------------------------------------------------------------------------

# Logs in a user of its own, since logouts of one user may end all sessions of that user.
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

# Checks that a logout ends the session for a copied cookie.
sub ends_well {
    my ($name) = @_;

    my $user = user();
    my $copy = $user->clone;
    is($user->get('/logout')->{status} . ' ' . in_every_worker($copy), '302 302 302',
        "$name: a logout ends the session");
}

# Logs out by the cookie alone.
sub in_frame { return $_[0]->get('/front', from => "$issuer/logout", headers => $frame) }

# Logs out by the sid of that browser's session alone, from 127.0.0.1 or another address.
sub front_channel {
    my ($browser, $address) = @_;

    my ($status) = pipelined([ front_request($browser->{sid}) ], from => $address);
    return $status;
}

sub front_request { return get_of('/front?iss=' . escape($issuer) . "&sid=$_[0]") }

# The number of responses
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

# Runs it in a child process.
sub in_child {
    my ($do) = @_;

    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    srand $$;
    eval { $do->() };
    POSIX::_exit(0);
}

# Kills one of the two workers and waits for a new one.
sub kill_worker {
    my ($number) = @_;

    my $before = () = $workers->started;
    kill 'KILL', $workers->{pids}[$number];
    wait_until(sub { (() = $workers->started) > $before });
    $workers->{pids}[$number] = ($workers->started)[-1];
}
