#!/usr/bin/perl

# Tests for stores of type memory: who has to go when one is full, who cannot make anybody go, and what
# reloads and killed workers do to what lies there. Each session is of a user of its own, since those of
# one user have a share only, which share.t is about.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Site;
use Test::OIDC::Workers;

select STDERR; $| = 1;
select STDOUT; $| = 1;

# That a worker was killed is an alert: the others are looked for at the end.
my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(33)->todo_alerts();

use constant { SIZE => 10_000, MANY => 40 };    # a store of 256k holds some 20 of that size

my $op = provider($t, 8081);
my %size = (least => '256k', kept => '256k', resized => '256k', renamed => '256k');

$t->write_file('key', '0123456789abcdef' x 4 . "\n");
chmod 0600, $t->testdir . '/key';    # else nginx warns
my $workers = Test::OIDC::Workers->start($t, configuration());
my $users = 0;

# Full

log_mark($t);
my $oldest = signed_in('least', SIZE);
my $used = signed_in('least', SIZE);
my @newer;
my $stayed = 0;
for (1 .. MANY) {
    push @newer, signed_in('least', SIZE);
    $stayed += living('least', $used);
}
is($stayed, MANY, 'full: the session that is used stays');
my $lives = join '', map { living('least', $_) } @newer;
like($lives, qr/^0{10,}1{10,}$/, 'full: of the others the newest do');
is(seen(least => $oldest), '302', 'full: the oldest is gone');
is(user_of($oldest->login(page_of('least'))), 'alice', 'full: and logs in again');
is(seen(least => $oldest), 'alice', 'full: to stay');
is(join("\n", error_log_lines($t, qr/\[(?:warn|error|crit|alert)\]/)), '', 'full: nothing is logged');

# A large session makes as many go as it needs, and many a small one fits where one was.

my $large = signed_in('least', 4 * SIZE);
is(living('least', $large), 1, 'full: a large session has its place');
my @small = map { signed_in('least', 10) } 1 .. 30;
is(living('least', @small, $large), 31, 'full: and small ones beside it');

# Larger than the whole store. Numbers take more room as they are kept than as they come.

$op->set(userinfo => { claims => { numbers => [(1e15) x 10_000] } });
log_mark($t);
my $too_large = browser();
my $answer = $too_large->login(page_of('whole'));
$op->reset;
is(outcome($answer), '503 store_full', 'larger than the store');
like($answer->{headers}{'retry-after'} // '', qr/^[1-9]\d*$/, 'larger than the store: Retry-After');
is($too_large->cookie('whole'), undef, 'larger than the store: no session');
ok(log_has($t, qr/\[error\] .* oidc: session store has no room for a session of \d{6} bytes /
    . qr/while handling the callback, provider "whole"/), 'larger than the store: logged');
is(living('least', $large), 1, 'larger than the store: nobody has to go');

# Nobody who has not logged in makes anybody go.

my @users = map { signed_in('kept', SIZE) } 1 .. 18;
is(living('kept', @users), 18, 'all of those fit');

is(flood('kept', 3000), 3000, 'flood: 3000 requests begin a login');
my ($ticket) = map { $_->{value} } $users[0]->cookies;
my @cookies = ('A' x length $ticket, substr($ticket, 1), $ticket =~ s/.$/-/r, "$ticket$ticket");
is(flood('kept', 1000, map { "kept=$_" } @cookies), 1000, 'flood: 1000 more with tickets that are none');
is(flood('least', 1000, "least=$ticket"), 1000, 'flood: 1000 more with the ticket of another oidc_provider');
my @refused = map { fails_to_log_in('kept') } 1 .. 30;
is(scalar(grep { $_ eq '400 provider_invalid_grant' } @refused), 30, 'flood: logins that fail at the end');
is(living('kept', @users), 18, 'flood: all sessions are there');

# Reload, killed workers

my %user = map { $_ => signed_in($_, SIZE) } qw/ resized renamed /;
log_mark($t);
$workers->reload;
is(living('kept', @users), 18, 'a reload: all sessions are there');
is(living($_ => $user{$_}), 1, "a reload: also of the store \"$_\"") for qw/ resized renamed /;

my $started = () = $workers->started;
kill 'KILL', split / /, $workers->each(sub { browser()->get('/worker')->{headers}{'x-worker'} });
$workers->remember($started);
is(living('kept', @users), 18, 'killed workers: all sessions are there');
is(living('kept', signed_in('kept', 10)), 1, 'killed workers: a login');

$size{resized} = '512k';
$size{another} = delete $size{renamed};
log_mark($t);
$workers->reload(configuration());
is(seen(resized => $user{resized}), '302', 'a store of another size: the session is gone');
is(user_of($user{resized}->login(page_of('resized'))), 'alice', 'a store of another size: a new login');
is(seen(renamed => $user{renamed}), '302', 'a store of another name: the session is gone');
is(user_of($user{renamed}->login(page_of('renamed'))), 'alice', 'a store of another name: a new login');
is(living('kept', $users[-1]), 1, 'those of other stores are there');
is(join("\n", error_log_lines($t, qr/\[(?:warn|error|crit|alert)\]/)), '', 'which all is not logged');

$t->stop();
$t->run();
is(seen(kept => $users[-1]), '302', 'a restart: the session is gone');
is(user_of($users[-1]->login(page_of('kept'))), 'alice', 'a restart: a new login');

my @alerts = grep { /\[alert\]/ && !/exited on signal 9/ } split /\n/, $t->read_file('error.log');
is(join("\n", @alerts), '', 'no alert but of the killed workers');

# ------------------------------------------------------------------------------------------------------

# A user of its own, with so many bytes of claims.
sub signed_in {
    my ($name, $size) = @_;

    my $browser = browser();
    $browser->{user} = 'user-' . ++$users;
    $op->set(user => { sub => $browser->{user} }, id_token => { claims => { filler => 'x' x $size } });
    $browser->login(page_of($name));
    $op->reset;
    return $browser;
}

sub user_of {
    my ($answer) = @_;

    return $answer->{headers}{'x-user'} || outcome($answer);
}

sub seen {
    my ($name, $browser) = @_;

    return user_of($browser->get(page_of($name)));
}

# How many of them see their own user.
sub living {
    my ($name, @browsers) = @_;

    return scalar grep { seen($name => $_) eq $_->{user} } @browsers;
}

# So many requests, one behind the other in a few connections, with each of these cookies in turn. How
# many of them are sent to the provider?
sub flood {
    my ($name, $number, @cookies) = @_;

    my $sent = 0;
    for (1 .. $number / 100) {
        my @lines = map { my $cookie = $cookies[$_ % (@cookies || 1)]; defined $cookie ? "Cookie: $cookie\r\n" : '' }
            1 .. 100;
        my @requests = map { 'GET ' . page_of($name) . " HTTP/1.1\r\nHost: localhost\r\n$_" } @lines;
        my $answer = browser()->raw(join "\r\n", @requests, "Connection: close\r\n\r\n");
        $sent += () = "$answer->{head}$answer->{body}" =~ m{^Location: \S+/authorize\?}mg;
    }
    return $sent;
}

sub fails_to_log_in {
    my ($name) = @_;

    my $browser = browser();
    my $callback = $browser->follow($browser->get(page_of($name)))->{location};
    return outcome($browser->get($callback =~ s/([?&]code=)[^&]*/$1wrong/r));
}

sub configuration {
    my $stores = join '', map { "    oidc_session_store $_ { type memory; size $size{$_}; }\n" } sort keys %size;
    my %session = (session_key => 'key', session_claims => 'all', session_timeout => '1h');
    my %store = (
        map({ ($_ => $_) } qw/ least kept resized /),
        renamed => $size{renamed} ? 'renamed' : 'another',
    );

    return nginx_conf("    keepalive_requests 1000;\n", $stores,
        oidc_provider('whole', '', %session, session_store => 'least', userinfo => 'on'),
        map({ oidc_provider($_, '', %session, session_store => $store{$_}) } sort keys %store),
        site('page', <<'EOF'));
        add_header X-User     $oidc_claim_sub;
        add_header X-Userinfo $oidc_userinfo;

        location /worker {
            add_header X-Worker $pid;
            return 204;
        }
EOF
}
