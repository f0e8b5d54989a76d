#!/usr/bin/perl

# Tests for clients that disconnect early: a client that does so while its session is renewed does not keep
# user info that was withdrawn, and the access log line of an unfinished callback has no code. nginx, the
# provider and Redis run under the test's own clock.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::H2;
use Test::OIDC::Relay;
use Test::OIDC::Site;

my @stores = qw/ cookie memory /;

# An access token lives for 300 seconds and is renewed 60 seconds before its end.
use constant { LIFE => 300, DUE => 245 };

my %leave = (
    'resets its stream' => sub { h2_reset(shift) },
    'closes its streams' => sub { close shift->{h2}{socket} },
);

my $t = Test::Nginx->new()->has(qw/http http_v2 proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(@stores * (7 * keys(%leave) + 3) + 6 * keys %leave);

my $op = provider($t, 8081, refresh => {}, expires_in => LIFE, user => { sub => 'alice' },
    userinfo => { claims => { department => 'Tea' } });
$clock->follow($op);
my $redis = redis($t, 8379, clock => $clock);
my $relay = Test::OIDC::Relay->new($t, 8382, 8379);

$t->write_file('key', '0123456789abcdef' x 4 . "\n");
$t->write_file_expand('nginx.conf', configuration());
$t->run();

for my $store (@stores) {
    asks_for_user_info($store, $_) for sort keys %leave;
    outlives_an_outage($store);
}
logs_no_code($_) for sort keys %leave;

# User info was withdrawn, and the client leaves while its session is renewed: user info is not requested
# then, but by the next request.
sub asks_for_user_info {
    my ($store, $how) = @_;

    my $name = "$store, a client under renewal $how";
    my $user = left($store, $how, $name, userinfo => { claims => {} });
    my $old = $user->clone;
    is(department($user->get(page_of($store))), '', "$name: the next request has no withdrawn claim");
    is($op->count('/userinfo'), 1, "$name: it has requested user info");
    is(department($user->get(page_of($store))), '', "$name: the second request has no withdrawn claim");
    is(department($old->get(page_of($store))), '', "$name: the old cookie has no withdrawn claim");
    is($op->count('/userinfo'), 1, "$name: these do not request user info");
    $clock->advance(DUE);
    is(department($user->get(page_of($store))), '', "$name: no withdrawn claim after another renewal");
}

# If user info is unavailable after the client left, it remains unchanged.
sub outlives_an_outage {
    my ($store) = @_;

    my $name = "$store, user info is unavailable after the client left";
    my $user = left($store, 'resets its stream', $name, respond => { '/userinfo' => { status => 503 } });
    is(department($user->get(page_of($store))), 'Tea', "$name: the session keeps the old user info");
    is($op->count('/userinfo'), 1, "$name: user info was requested");
}

# A callback of a browser with a session, waiting for Redis.
sub logs_no_code {
    my ($how) = @_;

    my $name = "a callback whose client $how while Redis is slow";
    $op->reset;
    my $user = login(page_of('relayed'))->{browser};
    ok(defined $user->cookie('relayed'), "$name: it has a session");
    my $browser = browser();
    my $callback = $browser->follow($browser->get(page_of('relayed')))->{location};
    my $parameters = query($callback);
    $browser->set_cookie("$_->{name}=$_->{value}; Path=/") for $user->cookies;

    my $before = () = callbacks_logged();
    $relay->fails('hold');
    my $stream = h2_get(h2_connect(8083), $callback, $browser);
    settle();
    $leave{$how}->($stream);
    my @lines;
    wait_until(sub { (@lines = callbacks_logged()) > $before });
    $relay->passes;

    is(scalar(@lines), $before + 1, "$name: logged");
    like($lines[-1] // '', qr/ 499$/, "$name: the status is 499");
    unlike($lines[-1] // '', qr/\Q$parameters->{$_}/, "$name: no $_ in the line") for qw/ code state /;
    unlike($lines[-1] // '', qr/[?&=]/, "$name: no parameter in the line");
}

# ------------------------------------------------------------------------------------------------------

# A browser that left during the renewal of its session. The knobs apply from the renewal on.
sub left {
    my ($store, $how, $name, %knobs) = @_;

    $op->reset;
    my $browser = browser();
    die 'no login' if department($browser->login(page_of($store))) ne 'Tea';
    $clock->advance(DUE);
    $op->clear->set(%knobs);
    leaves($browser, $store, $how, $name);
    return $browser;
}

sub leaves {
    my ($browser, $store, $how, $name) = @_;

    my $nth = $op->count('/token refresh') + 1;
    my $respond = $op->{knobs}{respond} // {};
    $op->set(respond => { '/token refresh' => { hold => 1 } });
    my $stream = h2_get(h2_connect(8083), page_of($store), $browser);
    is($op->wait_for('/token refresh', $nth), $nth, "$name: it leaves during the token request");
    $leave{$how}->($stream);
    settle();
    $op->set(respond => $respond);
}

# The only worker has read everything sent before it answers this.
sub settle { browser()->get('/open') for 1, 2 }

sub department {
    my ($answer) = @_;

    return $answer->{status} == 200 ? $answer->{headers}{'x-department'} // '' : outcome($answer);
}

# The log lines of callbacks by HTTP/2.
sub callbacks_logged { return $t->read_file('access.log') =~ m{^HTTP/2\S* .*/callback/.*$}mg }

sub configuration {
    my @providers = map {
        oidc_provider($_, '', session_key => 'key', session_timeout => '1h', session_store => $_, userinfo => 'on');
    } @stores, 'relayed';

    return nginx_conf(<<'EOF', @providers, site('page', <<'EOS'));
    oidc_session_store memory { type memory; size 1m; }

    oidc_session_store relayed {
        type            redis;
        hostname        127.0.0.1;
        port            %%PORT_8382%%;
        command_timeout 5s;
    }

    log_format full '$server_protocol "$request" $request_uri $uri $args $status';
    access_log %%TESTDIR%%/access.log full;
EOF
        listen     127.0.0.1:8083 http2;
        add_header X-Department $oidc_claim_department;
        add_header X-Token      $oidc_access_token;

        location /open { return 204; }
EOS
}
