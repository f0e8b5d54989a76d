#!/usr/bin/perl

# Tests for the identity seen in a location where one request meets several providers: sessions of A and B in
# one browser, in cookies and in Redis, A at server level and B in its own locations, with extra_auth_args of
# B that name a claim. Data of A is never shown, kept, sent or deleted as B's.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Select ();
use Time::HiRes qw/ time /;

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;
use Test::OIDC::TwoProviders;

use constant MINUTE => 60;

# The session stores of A and of B.
my @pairs = map { my $a = $_; map { [$a, $_] } qw/ cookie redis / } qw/ cookie redis /;

# The identity that a browser with both sessions sees, with A at server level: name, page, identity.
my @at_server_level = (
    ['A at server level', '/a/', 'a|alice|1'],
    ['B at a location', '/b/', 'b|bob|1'],
    ['B, verify', '/b_verify', 'b|bob|1'],
    ['auth_oidc off', '/off', '||0'],
    ['auth_oidc_mode off', '/mode_off', '||0'],
    ['auth_oidc off by a variable', '/by_variable?name=off', '||0'],
    ['B by a variable', '/by_variable?name=%%B%%', 'b|bob|1'],
    ['B, then try_files to A', '/b_to_a', 'a|alice|1'],
    ['B, then try_files to off', '/b_to_off', '||0'],
    ['B, then error_page to off', '/b_absent', '||0'],
    ['B, then error_page to B with auth_oidc_mode off', '/b_absent_mode', '||0'],
    ['B, then rewrite to A', '/b_rewritten', 'a|alice|1'],
    ['B, with an auth_request to A', '/b_checked', 'b|bob|1'],
    ['A, with an auth_request to B', '/a_checked', 'a|alice|1'],
    ['off, with an auth_request to B', '/off_checked', '||0'],
    ['B, a variable set before the gate', '/b_set', 'b|bob|1'],
    ['off, a variable set before', '/off_set', '||0'],
);

# The same with nothing at server level.
my @at_no_level = (
    ['nothing', '/open', '||0'],
    ['nothing, with an auth_request to B', '/open_checked', '||0'],
    ['B, then try_files to a named location with nothing', '/b_named', 'b|bob|1'],
    ['B, then error_page to a location with nothing', '/b_failed', 'b|bob|1'],
    ['B verify, then a named location with nothing', '/b_verify_named', 'b|bob|1'],
    ['B, an auth_request to A, then a named location with nothing', '/b_checked_named', 'b|bob|1'],
    ['A, then B, then a location with nothing', '/a_b_open', 'b|bob|1'],
    ['nothing, then a named location with nothing', '/open_named', '||0'],
    ['nothing, then B', '/open_to_b', 'b|bob|1'],
    ['off, then a location with nothing', '/off_open', '||0'],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite ssi auth_request/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(@pairs * (52 + @at_server_level + @at_no_level));

my $op_a = provider($t, 8081, user => { sub => 'alice' }, refresh => {}, revocation => 1);
my $op_b = provider($t, 8082, user => { sub => 'bob' }, refresh => {}, revocation => 1);
my $redis = redis($t, 8379, clock => $clock);
$clock->follow($op_a, $op_b);

$t->write_file_expand('nginx.conf', two_providers(@pairs));
mkdir $t->testdir . '/parts';
$t->write_file('parts/index.html', join ' ', map { qq{<!--#include virtual="/part_$_" -->} } qw/ a b off open /);
$t->write_file('parts/echo.html', '<!--#include virtual="/part_a" --> <!--#include virtual="/part_b" --> '
    . '<!--#echo var="volatile_identity" default="" -->');
$t->run();

for my $pair (@pairs) {
    my $name = join ', ', "A in a $pair->[0]", "B in a $pair->[1]";
    $name =~ s/a redis/Redis/g;

    identities($name, $pair);
    logs($name, $pair);
    reads_nothing($name, $pair);
    logins($name, $pair);
    callback_without_state($name, $pair);
    subrequests_logged($name, $pair);
    logout_of_b($name, $pair);
}

# Identity by location

sub identities {
    my ($name, $pair) = @_;

    my $browser = both($pair);
    for my $case (@at_server_level) {
        my ($what, $page, $identity) = @$case;
        $page =~ s/%%B%%/b_$pair->[1]/;
        is(identity($browser->get($page)), $identity, "$name: $what");
    }

    is($browser->get('/parts/')->{body}, 'a|alice b|bob | a|alice', "$name: parts included by A");
    is($browser->get('/parts/echo.html')->{body}, 'a|alice b|bob a|alice', "$name: A after what it includes");
    is($browser->get('/b_parts/')->{body}, 'a|alice b|bob | a|alice', "$name: parts included by B");
    is($browser->get('/b_parts/echo.html')->{body}, 'a|alice b|bob b|bob', "$name: B after what it includes");

    my $open = at($browser, $pair, 'open');
    for my $case (@at_no_level) {
        my ($what, $page, $identity) = @$case;
        is(identity($open->get($page)), $identity, "$name, none at server level: $what");
    }
    is($open->get('/parts/echo.html')->{body}, 'a|alice b|bob |',
        "$name, none at server level: nothing, after parts of A and B");
    is($open->get('/b_parts/')->{body}, 'a|alice b|bob | b|bob', "$name, none at server level: parts included by B");

    $browser->forget("b_$pair->[1]");
    is(identity($browser->get('/b_verify')), '||0', "$name: B, without a session of B");
    is(identity($browser->get('/a_verify')), 'a|alice|1', "$name: A, without a session of B");
    my $sent = query($browser->get('/b/')->{location});
    is($sent->{login_hint} // '', '', "$name: arguments of a login at B do not name A's user");
    is(identity($browser->get('/b_anonymous_checked')), '||0',
        "$name: B, without a session of B, after an auth_request to A");
}

# In the access log it is the identity of the gate that was passed, or of the location.
sub logs {
    my ($name, $pair) = @_;

    my $browser = both($pair);
    my $open = at($browser, $pair, 'open');
    $open->get($_) for qw{ /b_named /b_failed /open /open_checked };
    is(logged($t, 'open', '/b_named'), '200 b|bob|1', "$name, access log: B, then try_files");
    is(logged($t, 'open', '/b_failed'), '404 b|bob|1', "$name, access log: B, then error_page");
    is(logged($t, 'open', '/open'), '200 -|-|0', "$name, access log: nothing");
    is(logged($t, 'open', '/open_checked'), '200 -|-|0', "$name, access log: nothing, with an auth_request to B");

    $browser->get($_) for qw{ /b_checked /b_to_off /off };
    is(logged($t, 'plain', '/b_checked'), '200 b|bob|1', "$name, access log: B, with an auth_request to A");
    is(logged($t, 'plain', '/b_to_off'), '200 -|-|0', "$name, access log: B, then off");
    is(logged($t, 'plain', '/off'), '200 -|-|0', "$name, access log: off");

    $browser->get($_) for qw{ /parts/ /b_parts/ };
    is(logged($t, 'plain', '/parts/'), '200 a|alice|1', "$name, access log: A, with parts of B");
    is(logged($t, 'plain', '/b_parts/'), '200 b|bob|1', "$name, access log: B, with parts of A");

    $browser->forget("b_$pair->[1]")->get('/b/');
    is(logged($t, 'plain', '/b/'), '302 b|-|0', "$name, access log: a redirect to B's provider");
}

# Reading variables has no effect.
sub reads_nothing {
    my ($name, $pair) = @_;

    my $browser = both($pair);
    $_->clear for $op_a, $op_b;
    my ($few, $many) = map { commands(sub { $browser->get($_) }) } '/b_few', '/b_many';
    is($many, $few, "$name: a page that reads more variables, of both, sends no more Redis commands");
    is($op_a->count + $op_b->count, 0, "$name: a page that reads more variables makes no request to a provider");
    is(identity($browser->get('/b/')), 'b|bob|1', "$name: a page that reads more variables leaves B's session");
    is(identity($browser->get('/a/')), 'a|alice|1', "$name: a page that reads more variables leaves A's session");
}

# Logins at B, successful and failed, with a session at A

sub logins {
    my ($name, $pair) = @_;

    my $browser = visitor($pair);
    $browser->login('/a/');
    $_->clear for $op_a, $op_b;
    is(identity($browser->login('/b/')), 'b|bob|1', "$name: a login at B");
    is(logged($t, 'plain', "/callback/b_$pair->[1]"), '302 b|bob|1', "$name, access log: a callback of B shows B's user");
    is(identity($browser->get('/a/')), 'a|alice|1', "$name: a login at B leaves A's session");
    is(once_evaluated($t, $pair), 'yes',
        "$name: the arguments of B's authorization request are evaluated once a flow");

    my ($denied, $callback) = beside_a($pair);
    is(outcome($denied->get($callback =~ s/code=[^&]*/error=access_denied/r)), '403 provider_access_denied',
        "$name: a login that B's provider denies ends with an error");

    my $late;
    ($late, $callback) = begun(visitor($pair));
    $late->login('/a/');
    $op_b->set(respond => { '/token' => { status => 400, body => { error => 'invalid_grant' } } });
    is(outcome($late->get($callback)), '400 provider_invalid_grant',
        "$name: a login whose code B's provider refuses ends with an error");
    $op_b->reset;

    my $refusing = visitor($pair);
    $refusing->login('/a/');
    my $answer = $refusing->get('/b/');
    for (1 .. 10) {
        last if $answer->{status} != 302;
        $refusing->forget($_) for grep { /_login_/ } map { $_->{name} } $refusing->cookies;
        $answer = $refusing->follow($answer);
    }
    is(outcome($answer), '400 state_cookie', "$name: a login at B whose cookie is refused ends with an error");
    is(logged($t, 'plain', "/callback/b_$pair->[1]"), '400 b|-|0',
        "$name, access log: a failed callback of B shows no identity");
}

# The callback of B without a state, when the use of B's session has to be recorded.
sub callback_without_state {
    my ($name, $pair) = @_;

    my $browser = both($pair);
    $clock->advance(10 * MINUTE);
    my $answer = $browser->get("/callback/b_$pair->[1]");
    like($answer->{status}, qr/^(?:302|400)$/, "$name: a callback of B without a state");
    is(identity($browser->get('/b_verify')), 'b|bob|1', "$name: a callback of B without a state leaves B's session");

    my $thief = visitor($pair);
    $thief->set_cookie($_) for @{ $answer->{set_cookie} };
    unlike(identity($thief->get('/b_verify')), qr/alice/,
        "$name: a callback of B without a state: its cookies hold nothing of A");
    is(identity($browser->get('/a_verify')), 'a|alice|1',
        "$name: a callback of B without a state leaves A's session");
}

# With a B whose arguments name no claim: variables are read by the log lines of the requests to its provider.
sub subrequests_logged {
    my ($name, $pair) = @_;

    my ($browser, $callback) = beside_a($pair, 'logged');
    $op_b->clear;
    my $answer = $browser->get($callback);
    my %cookie;
    $cookie{$_}++ for map { /^([^=]*)/ } @{ $answer->{set_cookie} };
    is($op_b->count('/token'), 1, "$name: with log_subrequest, a callback makes one token request");
    is($answer->{headers}{location}, '/b/', "$name: with log_subrequest, a callback leads to the page");
    is(join(' ', grep { $cookie{$_} > 1 } sort keys %cookie), '',
        "$name: with log_subrequest, a callback sets each cookie once");
    is(identity($browser->get('/b_verify')), 'n|bob|1', "$name: with log_subrequest, a callback begins a session");
    is(identity($browser->get('/a_verify')), 'a|alice|1',
        "$name: with log_subrequest, a callback leaves A's session");
    unlike(logged($t, 'logged', "/callback/n_$pair->[1]"), qr/alice|a\|/,
        "$name: with log_subrequest, the access log of B's callback shows nothing of A");

    ($browser, $callback) = beside_a($pair, 'logged');
    $op_b->set(id_token => { claims => { iss => 'https://evil.example.com' } });
    log_mark($t);
    is(outcome($browser->get($callback)), '403 id_token_issuer',
        "$name: with log_subrequest, a failed callback gets its error");
    is(scalar(my @lines = error_log_lines($t, qr/oidc:/)), 1,
        "$name: with log_subrequest, a failed callback is logged once");
    $op_b->reset;
}

sub logout_of_b {
    my ($name, $pair) = @_;

    my $browser = both($pair);
    my $token = $op_b->last_login->{issued}{refresh_token};
    my $copy = $browser->clone;
    $_->clear for $op_a, $op_b;

    my $answer = bounded($browser, "/logout/b_$pair->[1]");
    my @revoked = $op_b->requests('/revoke');
    is($answer->{status}, 302, "$name: a logout at B is a redirect");
    like($answer->{headers}{location} // '', qr/^\Q@{[ $op_b->issuer ]}\E/,
        "$name: a logout at B leads to B's provider");
    is(scalar(@revoked), 1, "$name: a logout at B makes one revocation request");
    is($revoked[0]{params}{token}, $token, "$name: a logout at B revokes B's refresh token");
    is($op_a->count, 0, "$name: a logout at B makes no request to A's provider");
    is($copy->get('/b/')->{status}, 302, "$name: a logout at B ends B's session");
    is(identity($copy->get('/a/')), 'a|alice|1', "$name: a logout at B leaves A's session");
    like(logged($t, 'plain', "/logout/b_$pair->[1]"), qr/^302 b\|(?:bob\|1|-\|0)$/,
        "$name, access log: a logout at B shows nothing of A");
}

# ------------------------------------------------------------------------------------------------------

# Logged in at both, last at A.
sub both {
    my ($pair) = @_;

    my $browser = visitor($pair);
    $_->clear for $op_a, $op_b;
    $browser->login('/b/');
    $browser->login('/a/');
    return $browser;
}

# The same sessions at a server of another kind.
sub at {
    my ($browser, $pair, $kind) = @_;

    my $other = visitor($pair, $kind);
    $other->set_cookie("$_->{name}=$_->{value}; Path=/") for $browser->cookies;
    return $other;
}

# A browser with a session at A, and the URL of its callback of B.
sub beside_a {
    my ($pair, $kind) = @_;

    my $browser = visitor($pair, $kind);
    $browser->login('/a/');
    return begun($browser);
}

sub begun {
    my ($browser) = @_;

    return ($browser, $browser->follow($browser->get('/b/'))->{location});
}

# "provider|sub|authenticated", with the provider's name without its store.
sub identity {
    my ($answer) = @_;

    return ($answer->{headers}{'x-identity'} // "status $answer->{status}") =~ s/^(\w)_\w+/$1/r;
}

# The response, unless the worker requests documents in a loop; then that worker is killed.
sub bounded {
    my ($browser, $url) = @_;

    my $worker = $browser->get('/off')->{headers}{'x-worker'};
    my $request = $browser->start($url);
    my $answered = IO::Select->new($request->{socket});
    my $end = time + MAX_WAIT;
    while (time < $end && $op_a->count('/revoke') + $op_b->count('/revoke') < 10) {
        return $browser->finish($request) if $answered->can_read(0.02);
    }
    $browser->abort($request);
    kill 'TERM', $worker;
    browser()->get('/');    # by the next worker
    return { status => 'none', headers => {} };
}

# The last line of the access log for a URI.
sub logged {
    my ($t, $kind, $uri) = @_;

    my @lines;
    wait_until(sub { @lines = map { /^\Q$uri\E (.*)/ ? $1 : () } split /\n/, $t->read_file("$kind.log") });
    return ($lines[-1] // '') =~ s/ (\w)_\w+/ $1/r;
}

# The number of commands sent to Redis meanwhile.
sub commands {
    my ($code) = @_;

    my ($before) = $redis->command('INFO', 'stats') =~ /total_commands_processed:(\d+)/;
    $code->();
    my ($after) = $redis->command('INFO', 'stats') =~ /total_commands_processed:(\d+)/;
    return $after - $before;
}

# nginx's debug log has every evaluation of a value, with the number of the connection.
sub once_evaluated {
    my ($t, $pair) = @_;

    my ($browser, $callback) = beside_a($pair, 'debug');
    $browser->login($callback);
    my %number;
    $number{$_}++ for $t->read_file('debug.log') =~ /\*(\d+) http script copy: "login_hint="/g;
    my @often = grep { $_ > 1 } values %number;
    return !%number ? 'never' : @often ? "@often times" : 'yes';
}
