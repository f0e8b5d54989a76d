#!/usr/bin/perl

# Tests for what who leaves early gets by it, and what stays behind: user info that was withdrawn is not
# kept by it, and the access log of a callback that came to no end has no code. nginx, the provider and
# Redis run under a clock of their own.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::H2;
use Test::OIDC::Relay;
use Test::OIDC::Site;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my @stores = qw/ cookie memory /;

# An access token lives for 300 seconds, and is renewed 60 seconds ahead of its end.
use constant { LIFE => 300, DUE => 245, TIMEOUT => 5 };

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

# User info was withdrawn, and a client leaves while its session is renewed: nobody asks for it then, but
# the next request does.
sub asks_for_user_info {
    my ($store, $how) = @_;

    my $name = "$store, who is renewed $how";
    my $user = left($store, $how, $name, userinfo => { claims => {} });
    my $old = $user->clone;
    is(department($user->get(page_of($store))), '', "$name: the next request has no claim that was withdrawn");
    is($op->count('/userinfo'), 1, "$name: it has asked for user info");
    is(department($user->get(page_of($store))), '', "$name: nor has the one after it");
    is(department($old->get(page_of($store))), '', "$name: nor one with the old cookie");
    is($op->count('/userinfo'), 1, "$name: which do not ask");
    $clock->advance(DUE);
    is(department($user->get(page_of($store))), '', "$name: nor has one after another renewal");
}

# Also for who has left user info that is not to be had remains what it was.
sub outlives_an_outage {
    my ($store) = @_;

    my $name = "$store, user info is not to be had for who has left";
    my $user = left($store, 'resets its stream', $name, respond => { '/userinfo' => { status => 503 } });
    is(department($user->get(page_of($store))), 'Tea', "$name: the session goes on with the old one");
    is($op->count('/userinfo'), 1, "$name: though it was asked for");
}

# A callback of a browser with a session, which waits for Redis.
sub logs_no_code {
    my ($how) = @_;

    my $name = "a callback whose client $how while Redis is slow";
    $op->reset;
    my $user = login(page_of('relayed'))->{browser};
    ok(defined $user->cookie('relayed'), "$name: comes with a session");
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
    Test::Nginx::wait_until(TIMEOUT, sub { (@lines = callbacks_logged()) > $before });
    $relay->passes;

    is(scalar(@lines), $before + 1, "$name: is logged");
    like($lines[-1] // '', qr/ 499$/, "$name: as one of a client that has left");
    unlike($lines[-1] // '', qr/\Q$parameters->{$_}/, "$name: without $_") for qw/ code state /;
    unlike($lines[-1] // '', qr/[?&=]/, "$name: without any parameter");
}

# ------------------------------------------------------------------------------------------------------

# A browser that has left during the renewal of its session. The knobs are from then on.
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
    is($op->wait_for('/token refresh', $nth), $nth, "$name: it leaves while the provider is asked for tokens");
    $leave{$how}->($stream);
    settle();
    $op->set(respond => $respond);
}

# nginx has seen what was sent to it, since its only worker answers this.
sub settle { browser()->get('/open') for 1, 2 }

sub department {
    my ($answer) = @_;

    return $answer->{status} == 200 ? $answer->{headers}{'x-department'} // '' : outcome($answer);
}

# Those by HTTP/2.
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
        command_timeout 500ms;
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
