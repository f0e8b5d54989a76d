#!/usr/bin/perl

# Tests for two nodes with one Redis whose clocks differ by minutes: a logout at one node ends the session at the
# other, even of a login that is under way, and does not end sessions that begin later. Each node runs under its own
# clock; Redis uses that of the first node.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Sessions qw/ user_of write_session_key /;
use Test::OIDC::Site;

use constant MINUTE => 60;

my %port = (A => 8080, B => 8180);
my (%node, %clock);
$node{A} = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $nginx = $Test::Nginx::NGINX;
my $globals = $ENV{TEST_NGINX_GLOBALS};
$clock{A} = Test::OIDC::Clock->new($node{A});
$node{A}->plan(4 * 20 + 2);    # each nginx adds two
$node{B} = Test::Nginx->new();

my $op = provider($node{A}, 8081, sid => 1);
my $redis = redis($node{A}, 8379, clock => $clock{A});

# The provider uses the machine's clock; clock_skew allows for the difference.
my $paths = 'logout_uri /logout; backchannel_logout_uri /back; clock_skew 20m';
my $provider = oidc_provider('redis', "userinfo on; $paths", session_key => 'key', session_store => 'redis');
my $conf = nginx_conf(<<'EOF', $provider, site('page', <<'EOS'));
    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }
EOF
        add_header X-User $oidc_claim_sub;
EOS

start('A');
($Test::Nginx::NGINX, $ENV{TEST_NGINX_GLOBALS}) = ($nginx, $globals);
$clock{B} = Test::OIDC::Clock->new($node{B});
start('B');

for my $ahead (5 * MINUTE, -5 * MINUTE) {
    $clock{B}->advance($ahead);
    my $name = 'B is ' . abs($ahead) / MINUTE . ' minutes ' . ($ahead > 0 ? 'ahead' : 'behind');
    for my $way (['A', 'B'], ['B', 'A']) {
        holds("$name, a login at $way->[0], a logout at $way->[1]", @$way);
    }
    $clock{B}->advance(-$ahead);
}

# ------------------------------------------------------------------------------------------------------

sub holds {
    my ($name, $here, $there) = @_;

    # An existing session
    my $user = logged_in($here);
    my $bystander = logged_in($here, 'bob');
    my $copy = $user->clone;
    is(ends_all_of_alice($there), 200, "$name: a logout by the provider is accepted");
    is(seen($user, $here) . ' ' . seen($copy, $there), '302 302', "$name: the logout ends the session at both nodes");
    is(seen($bystander, $here) . ' ' . seen($bystander, $there), 'bob bob',
        "$name: the session of another user continues");

    # A session that begins after the logout
    $user = logged_in($here);
    is(seen($user, $here) . ' ' . seen($user, $there), 'alice alice',
        "$name: a session that begins here after the logout is valid");
    $user = logged_in($there);
    is(seen($user, $here) . ' ' . seen($user, $there), 'alice alice',
        "$name: a session that begins there after the logout is valid");

    # A logout by the user
    $copy = $user->clone;
    is(at($user, $there)->get('/logout')->{status}, 302, "$name: a logout by the user");
    is(seen($copy, $here) . ' ' . seen($copy, $there), '302 302', "$name: a copied cookie is refused at both nodes");
    pass_time();
    is(at($user, $here)->login(page_of('redis'))->{headers}{'x-user'}, 'alice', "$name: a login after it succeeds");

    # A login whose callback waits for the provider
    for my $endpoint ('/token', '/userinfo') {
        my $user = at(browser(), $here);
        my $callback = $user->follow($user->get(page_of('redis')))->{location};
        $op->clear->set(respond => { $endpoint => { hold => 1 } });
        my $request = $user->start($callback);
        is($op->wait_for($endpoint, 1), 1, "$name: a login waits for $endpoint");
        is(ends_all_of_alice($there), 200, "$name: a logout while a login waits for $endpoint is accepted");
        $op->set(respond => {});
        $user->finish($request);
        is(seen($user, $here) . ' ' . seen($user, $there), '302 302',
            "$name: the session of a login that waited for $endpoint is refused");
    }

    # A login that began before the logout and whose callback arrives after it
    $user = at(browser(), $here);
    my $callback = $user->follow($user->get(page_of('redis')))->{location};
    ends_all_of_alice($there);
    pass_time();
    $user->get($callback);
    is(seen($user, $here), 'alice', "$name: the session of a callback after the logout is valid");

    # A logout token is accepted once.
    my $token = token_of_alice();
    is($op->send_logout_token('/back', $token, base => base_of($there))->{status}, 200,
        "$name: a logout token is accepted");
    is(outcome($op->send_logout_token('/back', $token, base => base_of($here))), '400 logout_token_used',
        "$name: the same token is refused at the other node");
    is(seen($user, $here), '302', "$name: the logout token ends the session");
    is(seen($bystander, $here), 'bob', "$name: the logout token ends no session of another user");
    is(seen(logged_in($here), $there), 'alice', "$name: a login after the logout token succeeds");
}

sub start {
    my ($name) = @_;

    write_session_key($node{$name});
    $node{$name}->write_file_expand('nginx.conf', $conf =~ s/127\.0\.0\.1:8080/127.0.0.1:$port{$name}/gr)->run();
}

sub base_of { return 'http://localhost:' . port($port{ $_[0] }) }

# Sends all further requests to that node, as a load balancer does.
sub at {
    my ($browser, $name) = @_;

    return $browser->route(8080 => $port{$name});
}

# Separates what begins now from the millisecond of a logout.
sub pass_time { $_->advance(1) for values %clock }

sub logged_in {
    my ($name, $sub) = @_;

    pass_time();
    my $browser = at(browser(), $name);
    $op->set(user => { sub => $sub // 'alice' });
    $browser->login(page_of('redis'));
    $op->reset;
    return $browser;
}

sub token_of_alice { return $op->logout_token(claims => { sub => 'alice', sid => undef }) }

sub ends_all_of_alice {
    my ($name) = @_;

    return $op->send_logout_token('/back', token_of_alice(), base => base_of($name))->{status};
}

sub seen {
    my ($browser, $name) = @_;

    return user_of(at($browser, $name)->get(page_of('redis')));
}
