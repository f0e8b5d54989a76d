#!/usr/bin/perl

# Tests for stores of type memory: eviction when a store is full, requests that cannot evict sessions, and the effects
# of reloads and killed workers. Each session has its own user, since share.t tests the share of one user.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Sessions qw/ user_of write_session_key /;
use Test::OIDC::Site;
use Test::OIDC::Workers;

# A killed worker logs an alert; other alerts are looked for at the end.
my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(33)->todo_alerts();

use constant { SIZE => 10_000, MANY => 40 };    # a store of 256k holds some 20 of that size

my $op = provider($t, 8081);
my %size = (evicting => '256k', kept => '256k', resized => '256k', renamed => '256k');

write_session_key($t);
my $workers = Test::OIDC::Workers->start($t, configuration());
my $users = 0;

# A full store

log_mark($t);
my $oldest = signed_in('evicting', SIZE);
my $used = signed_in('evicting', SIZE);
my @newer;
my $stayed = 0;
for (1 .. MANY) {
    push @newer, signed_in('evicting', SIZE);
    $stayed += living('evicting', $used);
}
is($stayed, MANY, 'full: the session in use is kept');
my $lives = join '', map { living('evicting', $_) } @newer;
like($lives, qr/^0{10,}1{10,}$/, 'full: of the others, the newest are kept');
is(seen(evicting => $oldest), '302', 'full: the oldest session is evicted');
is(user_of($oldest->login(page_of('evicting'))), 'alice', 'full: its user can log in again');
is(seen(evicting => $oldest), 'alice', 'full: the new session is kept');
is(join("\n", error_log_lines($t, qr/\[(?:warn|error|crit|alert)\]/)), '', 'full: nothing is logged');

# A large session evicts as many as it needs; many small ones fit in the memory of one.

my $large = signed_in('evicting', 4 * SIZE);
is(living('evicting', $large), 1, 'full: a large session is stored');
my @small = map { signed_in('evicting', 10) } 1 .. 30;
is(living('evicting', @small, $large), 31, 'full: small sessions are stored beside it');

# Larger than the whole store. Numbers need more memory in the session than in the response.

$op->set(userinfo => { claims => { numbers => [(1e15) x 10_000] } });
log_mark($t);
my $too_large = browser();
my $answer = $too_large->login(page_of('whole'));
$op->reset;
is(outcome($answer), '503 store_full', 'larger than the store');
like($answer->{headers}{'retry-after'} // '', qr/^[1-9]\d*$/, 'larger than the store: Retry-After');
is($too_large->cookie('whole'), undef, 'larger than the store: no cookie is set');
ok(log_has($t, qr/\[error\] .* oidc: session store has no room for a session of \d{6} bytes /
    . qr/while handling the callback, provider "whole"/), 'larger than the store: logged');
is(living('evicting', $large), 1, 'larger than the store: no session is evicted');

# A client that is not logged in cannot evict sessions.

my @users = map { signed_in('kept', SIZE) } 1 .. 18;
is(living('kept', @users), 18, 'flood: all sessions fit before it');

is(flood('kept', 3000), 3000, 'flood: 3000 requests begin a login');
my ($ticket) = map { $_->{value} } $users[0]->cookies;
my @cookies = ('A' x length $ticket, substr($ticket, 1), $ticket =~ s/.$/-/r, "$ticket$ticket");
is(flood('kept', 1000, map { "kept=$_" } @cookies), 1000,
    'flood: 1000 requests with malformed tickets begin a login');
is(flood('evicting', 1000, "evicting=$ticket"), 1000,
    'flood: 1000 requests with a ticket of another provider begin a login');
my @refused = map { fails_to_log_in('kept') } 1 .. 30;
is(scalar(grep { $_ eq '400 provider_invalid_grant' } @refused), 30, 'flood: 30 logins fail at the token endpoint');
is(living('kept', @users), 18, 'flood: all sessions are kept');

# Reloads and killed workers

my %user = map { $_ => signed_in($_, SIZE) } qw/ resized renamed /;
log_mark($t);
$workers->reload;
is(living('kept', @users), 18, 'a reload: all sessions are kept');
is(living($_ => $user{$_}), 1, "a reload: the session is kept in store \"$_\"") for qw/ resized renamed /;

my $started = () = $workers->started;
kill 'KILL', split / /, $workers->each(sub { browser()->get('/worker')->{headers}{'x-worker'} });
$workers->remember($started);
is(living('kept', @users), 18, 'killed workers: all sessions are kept');
is(living('kept', signed_in('kept', 10)), 1, 'killed workers: a login succeeds');

$size{resized} = '512k';
$size{another} = delete $size{renamed};
log_mark($t);
$workers->reload(configuration());
is(seen(resized => $user{resized}), '302', 'a store of another size: the session is lost');
is(user_of($user{resized}->login(page_of('resized'))), 'alice', 'a store of another size: a new login succeeds');
is(seen(renamed => $user{renamed}), '302', 'a store of another name: the session is lost');
is(user_of($user{renamed}->login(page_of('renamed'))), 'alice', 'a store of another name: a new login succeeds');
is(living('kept', $users[-1]), 1, 'sessions of other stores are kept');
is(join("\n", error_log_lines($t, qr/\[(?:warn|error|crit|alert)\]/)), '',
    'a reload with other stores: nothing is logged');

$t->stop();
$t->run();
is(seen(kept => $users[-1]), '302', 'a restart: the session is lost');
is(user_of($users[-1]->login(page_of('kept'))), 'alice', 'a restart: a new login succeeds');

my @alerts = grep { /\[alert\]/ && !/exited on signal 9/ } split /\n/, $t->read_file('error.log');
is(join("\n", @alerts), '', 'no alert except for killed workers');

# ------------------------------------------------------------------------------------------------------

# Logs in a new user with that many bytes of claims.
sub signed_in {
    my ($name, $size) = @_;

    my $browser = browser();
    $browser->{user} = 'user-' . ++$users;
    $op->set(user => { sub => $browser->{user} }, id_token => { claims => { filler => 'x' x $size } });
    $browser->login(page_of($name));
    $op->reset;
    return $browser;
}

sub seen {
    my ($name, $browser) = @_;

    return user_of($browser->get(page_of($name)));
}

# The number of browsers that see their own user
sub living {
    my ($name, @browsers) = @_;

    return scalar grep { seen($name => $_) eq $_->{user} } @browsers;
}

# Sends that many requests, pipelined in a few connections, with each of these cookies in turn. Returns how
# many are redirected to the provider.
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
        map({ ($_ => $_) } qw/ evicting kept resized /),
        renamed => $size{renamed} ? 'renamed' : 'another',
    );

    return nginx_conf("    keepalive_requests 1000;\n", $stores,
        oidc_provider('whole', '', %session, session_store => 'evicting', userinfo => 'on'),
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
