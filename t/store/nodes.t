#!/usr/bin/perl

# Tests for two nodes behind a load balancer, with the same session_key and one Redis: each node accepts the sessions,
# logins, renewals and logouts of the other. nginx, the provider and Redis run under the clock of the test.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use List::Util qw/ uniq /;
use Time::HiRes qw/ time /;

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(87 + 2);    # each nginx adds two
my $other = Test::Nginx->new();

# An access token lives for 300 seconds and is renewed 60 seconds before it expires.
use constant { LIFE => 300, DUE => 245, LOCK => 30 };

my %node = (A => $t, B => $other);
my %port = (A => 8080, B => 8180);
my %key = map { $_ => "0123456789abcde$_" x 4 } qw/ a b /;

# The provider revokes all tokens of a login when a refresh token is used twice.
my %once = (rotate => 1, fatal => 1);
my $op = provider($t, 8081, refresh => \%once, expires_in => LIFE, sid => 1);
$clock->follow($op);
my $redis = redis($t, 8379, clock => $clock);

my $store = <<'EOC';
    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }
EOC

my $headers = <<'EOC';
        add_header X-User  $oidc_claim_sub;
        add_header X-Token $oidc_access_token;
EOC

# The provider "brief" has short timeouts, for responses and for the lock of another node.
my $conf = nginx_conf($store, of_site('redis'), of_site('cookie'),
    of_site('brief', SHORT_TIMEOUTS), site('page', $headers));

for my $name (sort keys %node) {
    uses_keys($node{$name}, 'a');
    $node{$name}->write_file_expand('nginx.conf', $conf =~ s/127\.0\.0\.1:8080/127.0.0.1:$port{$name}/gr)->run();
    log_mark($node{$name});
}

# Sessions

for my $store (qw/ redis cookie /) {
    for my $way (['A', 'B'], ['B', 'A']) {
        my ($here, $there) = @$way;
        my $user = logged_in($here, $store);
        $op->clear;
        is(join(' ', map { seen($user, $_, $store) } $there, $here), 'alice alice',
            "$store: a session of node $here is valid at node $there");
        is($op->count, 0, "$store: no request is sent to the provider");
    }
}

# The nodes that get the first request, the callback and the page

for my $store (qw/ redis cookie /) {
    for my $nodes ('A B A', 'A B B', 'B A B', 'A A B') {
        is(login_over([split ' ', $nodes], $store), 'alice', "$store: a login over nodes $nodes");
    }

    my $user = browser();
    my @tabs = map { at($user, $_)->get(page_of($store)) } qw/ A B /;
    is(ends_at($user, 'B', $tabs[0]), 'alice', "$store: of two tabs, the first login ends at the other node");
    is(ends_at($user, 'A', $tabs[1]), 'alice', "$store: of two tabs, the second login ends at the other node");

    $user = browser();
    my $callback = $user->follow(at($user, 'A')->get(page_of($store)));
    my $copy = $user->clone;
    at($user, 'A')->follow($callback);
    my $answer = at($copy, 'B')->follow($callback);
    is(outcome($answer) . ' ' . sessions($answer, $store), '400 provider_invalid_grant 0',
        "$store: a callback used at one node is refused at the other");
}

# Refreshes

for my $way (['A', 'B'], ['B', 'A']) {
    my ($here, $there) = @$way;
    my $user = due($here, 'redis');
    my $old = $user->clone;
    hold();
    my @requests = map { at($user, $here)->start(page_of('redis')) } 1 .. 3;
    $op->wait_for('/token refresh', 1);
    push @requests, map { at($user, $there)->start(page_of('redis')) } 1 .. 3;
    seen_by($there);
    release();

    my @answers = map { $user->finish($_) } @requests;
    is(join(' ', uniq map { outcome($_) } @answers), '200', "refresh at $here: six requests at both nodes succeed");
    is(join(' ', uniq map { token($_) } @answers), issued(), "refresh at $here: all requests get the new token");
    is(join(' ', map { token_at($old, $_) } qw/ A B /), join(' ', (issued()) x 2),
        "refresh at $here: later requests with the replaced cookie get the new token");
    is($op->count('/token refresh'), 1, "refresh at $here: one refresh request is sent");

    $clock->advance(DUE);
    is(token_at($user, $there), issued(), "refresh at $here: the next refresh is at $there");
    is(verdicts(), 'ok ok', "refresh at $here: the next refresh sends the rotated refresh token");
}

my $user = due('A', 'redis');
my $refused = { status => 400, body => { error => 'invalid_grant' } };
hold(%$refused);
my $asking = at($user, 'A')->start(page_of('redis'));
$op->wait_for('/token refresh', 1);
my $waiting = at($user, 'B')->start(page_of('redis'));
seen_by('B');
$op->set(respond => { '/token refresh' => $refused });
is(join(' ', map { outcome($user->finish($_)) } $asking, $waiting), '302 302',
    'a refusal at A: both requests are redirected to a login');
is($op->count('/token refresh'), 1, 'a refusal at A: one refresh request is sent');
ok(log_has($node{A}, qr/error "invalid_grant" while renewing a session/), 'a refusal at A: A logs it');
is(scalar(error_log_lines($node{B}, qr/while renewing/)), 0, 'a refusal at A: B does not log it');
release();

$user = due('A', 'cookie');
my $replaced = $user->clone;
is(token_at($user, 'A', 'cookie'), issued(), 'cookie: a refresh at A');
is(token_at($user, 'B', 'cookie'), issued(), 'cookie: B accepts the new cookie');
is($op->count('/token refresh'), 1, 'cookie: one refresh request is sent');
is(token_at($replaced, 'A', 'cookie'), issued(), 'cookie: the old one at A, for a while');
is($op->count('/token refresh'), 1, 'cookie: the replaced cookie sends no refresh request');

# Logouts

my %ends = (
    'logout_uri' => sub { my ($browser, $node, $store) = @_; at($browser, $node)->get("/logout/$store") },
    'frontchannel_logout_uri' => sub {
        my (undef, $node, $store, $sid) = @_;
        my $frame = at(browser(), $node);
        $frame->get("/front/$store?iss=" . escape($op->issuer) . "&sid=$sid", from => $op->issuer,
            headers => { 'Sec-Fetch-Dest' => 'iframe' });
    },
    'backchannel_logout_uri' => sub {
        my (undef, $node, $store, undef, $token) = @_;
        $op->send_logout_token("/back/$store", $token, base => base_of($node));
    },
);
my %status = (logout_uri => 302, frontchannel_logout_uri => 200, backchannel_logout_uri => 200);

for my $how (sort keys %ends) {
    my $bystander = logged_in('A', 'redis');
    my $user = logged_in('A', 'redis');
    my ($copy, $sid, $token) = ($user->clone, $op->last_login->{sid}, $op->logout_token);
    is($ends{$how}->($user, 'B', 'redis', $sid, $token)->{status}, $status{$how}, "$how at B");
    is(join(' ', map { seen($user, $_) } qw/ A B /), '302 302', "$how at B: the session has ended at both nodes");
    is(join(' ', map { seen($copy, $_) } qw/ A B /), '302 302',
        "$how at B: a copied cookie is refused at both nodes");
    is(seen($bystander, 'A'), 'alice', "$how at B: another session of the user continues");
    is(at($user, 'B')->login(page_of('redis'))->{status} . ' ' . seen($user, 'A'), '200 alice',
        "$how at B: a new login is valid at both nodes");
}

my @users = map { logged_in($_, 'redis') } qw/ A B /;
my $token = $op->logout_token(claims => { sid => undef });
is($op->send_logout_token('/back/redis', $token, base => base_of('B'))->{status}, 200,
    'a logout token with sub alone is accepted');
is(join(' ', map { seen($_, 'A') } @users), '302 302',
    'a logout token with sub alone ends sessions begun at both nodes');
is(outcome($op->send_logout_token('/back/redis', $token, base => base_of('A'))), '400 logout_token_used',
    'a logout token used at the other node is refused');

for my $how (sort keys %ends) {
    my $user = logged_in('A', 'redis');
    my $sid = $op->last_login->{sid};
    my $token = $op->logout_token(claims => { iat => now(DUE), exp => now(DUE + 100) });
    my $copy = $user->clone;
    pass_time();
    hold();
    my $request = at($user, 'A')->start(page_of('redis'));
    $op->wait_for('/token refresh', 1);
    $ends{$how}->($copy->clone, 'B', 'redis', $sid, $token);
    release();
    $user->finish($request);
    is(join(' ', map { (seen($user, $_), seen($copy, $_)) } qw/ A B /), '302 302 302 302',
        "$how at B during a refresh at A: the session is refused at both nodes");
}

for my $how (sort keys %ends) {
    my $user = logged_in('B', 'cookie');
    my ($copy, $sid, $token) = ($user->clone, $op->last_login->{sid}, $op->logout_token);
    $ends{$how}->($user, 'B', 'cookie', $sid, $token);
    is(seen($copy, 'B', 'cookie'), '302', "cookie, $how at B: a copied cookie is refused at B");
}
$user = logged_in('A', 'cookie');
at($user, 'B')->get('/logout/cookie');
is(seen($user, 'A', 'cookie'), '302', 'cookie, logout_uri at B: the browser has no session at A');

# A node dies during a refresh. The provider has received the refresh request.

$op->set(refresh => { rotate => 1 });
$user = due('B', 'redis');
hold();
$asking = at($user, 'B')->start(page_of('redis'));
$op->wait_for('/token refresh', 1);
$waiting = at($user, 'A')->start(page_of('redis'));
seen_by('A');
kill_node($node{B});
is(at($user, 'B')->finish($asking)->{status}, 0, 'a node dies: its client gets no response');
is($op->count('/token refresh'), 1, 'a node dies: the other node waits');
$clock->advance(LOCK + 1);
is($op->wait_for('/token refresh', 2), 2,
    'a node dies: the other node sends a refresh request when the lock has expired');
release();
is(token($user->finish($waiting)), issued(), 'a node dies: the waiting request gets the new token');
is(token_at($user, 'A'), issued(), 'a node dies: the session continues');
is($op->count('/token refresh'), 2, 'a node dies: no further refresh request is sent');
$node{B}->run();
is(token_at($user, 'B'), issued(), 'a node dies: restarted, it sees the new token');

$user = logged_in('B', 'brief');
my $first = token_at($user, 'B', 'brief');
pass_time();
hold();
$asking = at($user, 'B')->start(page_of('brief'));
$op->wait_for('/token refresh', 1);
kill_node($node{B});
my $start = time;
is(token_at($user, 'A', 'brief'), $first, 'a node dies: a request that cannot wait for the lock gets the old token');
took_at_most($start, 2 * SHORT_TOTAL, 'a node dies: that request waits only a bounded time');
is($op->count('/token refresh'), 1, 'a node dies: that request sends no refresh request');
$clock->advance(LOCK + 1);
release();
is(token_at($user, 'A', 'brief'), issued(), 'a node dies: the next request gets a new token');
$node{B}->run();
$op->reset;

# New keys by the procedure of docs/operations.md: at every step, each node opens what the other one sealed.

my %early = map { my $store = $_; $store => { A => logged_in('A', $store), B => logged_in('B', $store) } } qw/ redis cookie /;
for my $step ([A => 'ab'], [B => 'ab'], [A => 'ba'], [B => 'ba']) {
    my ($node, $keys) = @$step;
    uses_keys($node{$node}, split //, $keys);
    reload($node{$node});
    is(over_nodes(), 'alice' . ' alice' x 11, "node $node has keys $keys: sessions and logins work over both nodes");
}

# A refresh seals both again.
my %renewed = map { $_ => due('A', $_) } qw/ redis cookie /;
is(join(' ', map { token_at($renewed{$_}, 'B', $_) eq issued() } sort keys %renewed), '1 1',
    'refreshes with keys ba');
for my $name (sort keys %node) {
    uses_keys($node{$name}, 'b');
    reload($node{$name});
}
is(join(' ', map { seen($renewed{$_}, 'A', $_) } sort keys %renewed), 'alice alice',
    'key b alone: sessions sealed with it continue');
is(join(' ', map { my $store = $_; map { seen($early{$store}{$_}, $_, $store) } qw/ A B / } sort keys %early),
    '302 302 302 302', 'key b alone: sessions sealed with key a have ended');
is(join("\n", map { error_log_lines($node{$_}, qr/\[(?:warn|error|crit)\].*oidc: (?!.*invalid_grant|.*logout token was used)/) } sort keys %node),
    '', 'no warning or error is logged');

# ------------------------------------------------------------------------------------------------------

sub of_site {
    my ($name, @more) = @_;

    my $store = $name eq 'cookie' ? 'cookie' : 'redis';
    my $paths = "logout_uri /logout/$name; frontchannel_logout_uri /front/$name; backchannel_logout_uri /back/$name";
    return oidc_provider($name, join('; ', $paths, @more), session_key => 'keys', session_store => $store);
}

sub uses_keys {
    my ($node, @keys) = @_;

    $node->write_file('keys', join '', map { "$key{$_}\n" } @keys);
}

sub base_of { return 'http://localhost:' . port($port{ $_[0] }) }

# Sends all further requests to that node, as a load balancer does.
sub at {
    my ($browser, $name) = @_;

    $browser->route(8080 => $port{$name});
    return $browser;
}

sub logged_in {
    my ($name, $store) = @_;

    my $browser = at(browser(), $name);
    $browser->login(page_of($store));
    return $browser;
}

sub login_over {
    my ($names, $store) = @_;

    my $browser = browser();
    my $challenge = at($browser, shift @$names)->get(page_of($store));
    my $page = at($browser, shift @$names)->follow($browser->follow($challenge));
    return user_of(at($browser, shift @$names)->follow($page));
}

# Completes the login that began with that response.
sub ends_at {
    my ($browser, $name, $answer) = @_;

    at($browser, $name);
    $answer = $browser->follow($answer) while $answer->{status} == 302;
    return user_of($answer);
}

sub sessions {
    my ($answer, $store) = @_;

    return scalar grep { /^$store=[^;]/ } @{ $answer->{set_cookie} };
}

sub seen {
    my ($browser, $name, $store) = @_;

    return user_of(at($browser, $name)->get(page_of($store // 'redis')));
}

sub user_of { return $_[0]{headers}{'x-user'} // outcome($_[0]) }

sub token_at {
    my ($browser, $name, $store) = @_;

    return token(at($browser, $name)->get(page_of($store // 'redis')));
}

sub token { return $_[0]{headers}{'x-token'} // outcome($_[0]) }

# The access token of the last refresh
sub issued { return ($op->requests('/token refresh'))[-1]{issued}{access_token} }

sub verdicts { return join ' ', map { $_->{verdict} } $op->requests('/token refresh') }

# Logs in and advances the clock to the renewal.
sub due {
    my ($name, $store) = @_;

    my $browser = logged_in($name, $store);
    pass_time();
    return $browser;
}

sub pass_time {
    $clock->advance(DUE);
    $op->clear;
}

sub hold { $op->set(respond => { '/token refresh' => { hold => 1, @_ } }) }
sub release { $op->set(respond => {}) }

# Returns when that node has received what was sent to it.
sub seen_by { browser(base => base_of($_[0]))->get('/app') }

# Sessions from before the first step, new ones, and logins that begin at either node, each used at the other
# node
sub over_nodes {
    my @seen;
    for my $store (qw/ redis cookie /) {
        for my $way (['A', 'B'], ['B', 'A']) {
            my ($here, $there) = @$way;
            push @seen, seen($early{$store}{$here}, $there, $store), seen(logged_in($here, $store), $there, $store),
                login_over([$here, $there, $here], $store);
        }
    }
    return join ' ', @seen;
}

# Kills all processes of the node, like a power failure.
sub kill_node {
    my ($node) = @_;

    my $master = $node->read_file('nginx.pid') =~ s/\s+//r;
    my @workers = split ' ', `ps -o pid= --ppid $master`;
    kill 'KILL', $master, @workers;
    waitpid $master, 0;
    unlink $node->testdir . '/nginx.pid';
    wait_until(sub { !grep { is_alive($_) } @workers });
}

# Without their parent, dead workers may stay zombies.
sub is_alive {
    my ($pid) = @_;

    open my $stat, '<', "/proc/$pid/stat" or return 0;
    return <$stat> !~ /\) Z /;
}

# Returns when the old worker accepts no more requests.
sub reload {
    my ($node) = @_;

    my $before = error_log_lines($node, qr/gracefully shutting down/);
    $node->reload();
    log_has($node, qr/gracefully shutting down/, $before + 1);
}
