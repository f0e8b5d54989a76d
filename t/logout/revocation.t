#!/usr/bin/perl

# Tests for how long a revocation holds, and from when on: a logout outlives every session that it can
# mean, whichever oidc_provider of that issuer and client has received it, whatever the configuration
# says later; and it ends a login that was under way when it came. Each fact is told of a session in a
# cookie, in memory and in Redis. nginx, the provider and Redis run under a clock of their own.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;
use Test::OIDC::Workers;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my @stores = qw/ cookie memory redis /;

use constant HOUR => 3600;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(@stores * 48 + 8);

my $op = provider($t, 8081, sid => 1);
$clock->follow($op);
my $redis = redis($t, 8379, clock => $clock);
my $frame = { 'Sec-Fetch-Dest' => 'iframe' };

$t->write_file('key', '0123456789abcdef' x 4 . "\n");
my $workers = Test::OIDC::Workers->start($t, configuration());

# How the provider ends a session at a path of that name: what it says of it.

my %logout = (
    'back-channel by sub' => sub { logs_out($_[0], sid => undef) },
    'back-channel by sid' => sub { logs_out($_[0], sub => undef) },
    'back-channel by both' => sub { logs_out($_[0]) },
    'front-channel' => sub {
        my ($name) = @_;
        my $params = 'iss=' . escape($op->issuer) . "&sid=$op->{login}{sid}";
        return browser()->get("/front/$name?$params", from => $op->issuer, headers => $frame);
    },
);

# Two oidc_provider of one issuer and client, whose sessions are of different length

for my $store (@stores) {
    for my $how (sort keys %logout) {
        my $user = user("long_$store");
        is($logout{$how}->("short_$store")->{status}, 200, "$store, $how at the block of short sessions");
        $clock->advance(2 * HOUR);
        forget_what_is_over($store);
        is(seen($user, "long_$store"), '302',
            "$store, $how at the block of short sessions: a long one is ended 2 hours later");
        $clock->advance(5 * HOUR);
        forget_what_is_over($store);
        is(seen($user->clone, "long_$store"), '302', "$store, $how at the block of short sessions: and 7 hours later");
    }

    my $user = user("long_$store");
    my $bystander = user("long_$store");
    $logout{'back-channel by sid'}->("short_$store");
    is(seen($user, "long_$store"), 'alice', "$store: a sid of another session ends nothing of this one");
    is(seen($bystander, "long_$store"), '302', "$store: but its own");
}

# In Redis: no second logout, and no login, makes the record of a first one shorter.

for my $how ('back-channel by sub', 'back-channel by sid') {
    $redis->command('FLUSHALL');
    $op->set(sid => 'shared');
    user('long_redis');
    is($logout{$how}->('long_redis')->{status}, 200, "$how, the record");
    my ($record) = sort { life_of($b) <=> life_of($a) } $redis->key_names('oidc:revoked:*');
    cmp_ok(life_of($record), '>', 8 * HOUR - 60, "$how, the record: lives as long as the longest session");

    $logout{$how}->('short_redis');
    cmp_ok(life_of($record), '>', 8 * HOUR - 60,
        "$how, the record: not shorter by a logout at the block of short sessions");
    user('short_redis');
    cmp_ok(life_of($record), '>', 8 * HOUR - 60, "$how, the record: nor by a login there");

    $workers->reload(configuration(long => '1h'));
    $logout{$how}->('short_redis');
    cmp_ok(life_of($record), '>', 8 * HOUR - 60,
        "$how, the record: nor by a logout when no session is that long any more");
    user('short_redis');
    cmp_ok(life_of($record), '>', 8 * HOUR - 60, "$how, the record: nor by a login then");
    $workers->reload(configuration());
    $op->reset;
}

# Another session_timeout by a reload

my (%long, %short, %gone);
for my $store (@stores) {
    $short{$store} = user("short_$store");
    $gone{$store} = user("long_$store");
    $long{$store} = user("long_$store");
}
$workers->reload(configuration(long => '1h'));
for my $store (@stores) {
    my $copy = $gone{$store}->clone;
    is($gone{$store}->get("/logout/long_$store")->{status}, 302, "$store, shortened: a logout");
    $gone{$store} = $copy;
}
$op->{login} = $op->last_login;
is($logout{'back-channel by sub'}->("short_$_")->{status}, 200, "$_, shortened: a logout of all") for @stores;
$clock->advance(2 * HOUR);
for my $store (@stores) {
    forget_what_is_over($store);
    is(seen($_, "long_$store"), '302',
        "$store, shortened: no session outlives its record") for $long{$store}, $gone{$store};
    is(seen($short{$store}, "short_$store"), '302', "$store: a short session has ended");
}
$workers->reload(configuration(short => '8h', long => '8h'));
for my $store (@stores) {
    is(seen($short{$store}, "short_$store"), '302', "$store, lengthened: a session that has ended does not come back");
    is(seen($gone{$store}, "long_$store"), '302', "$store, lengthened: nor one that was logged out");
}
$workers->reload(configuration());

# A logout while the very login is under way, which waits for an answer of the provider's

for my $store (@stores) {
    for my $endpoint ('/userinfo', '/token') {
        for my $how ('back-channel by sub', 'back-channel by sid', 'back-channel by both', 'front-channel') {
            # Before the provider has answered nobody knows a sid, and in Redis anybody can move what is
            # there but nobody make it.
            next if $endpoint eq '/token' && $how ne 'back-channel by sub';
            next if $store eq 'redis' && $how eq 'front-channel';
            ends_a_login_under_way($store, $how, $endpoint);
        }
    }

    my ($user, $callback) = about_to_return("info_$store");
    $op->{login} = { sub => 'alice' };
    is($logout{'back-channel by sub'}->("info_$store")->{status}, 200,
        "$store, a logout before the browser comes back");
    $clock->advance(1);
    $user->get($callback);
    is(seen($user, "info_$store"), 'alice',
        "$store, a logout before the browser comes back: the session begins after it");
}

is(join("\n", error_log_lines($t, qr/\[(?:warn|error|crit)\] .*oidc:/)), '', 'nothing of all that is logged');

# ------------------------------------------------------------------------------------------------------

sub ends_a_login_under_way {
    my ($store, $how, $endpoint) = @_;

    my $place = "info_$store";
    my $name = "$store, $how while a login waits for $endpoint";
    my $bystander = user($place, 'bob');
    my ($user, $callback) = about_to_return($place);
    $op->clear->set(respond => { $endpoint => { hold => 1 } });
    my $request = $user->start($callback);
    is($op->wait_for($endpoint, 1), 1, "$name: it waits");
    $op->{login} = $endpoint eq '/token' ? { sub => 'alice' } : $op->last_login;

    is($logout{$how}->($place)->{status}, 200, "$name: 200");
    $op->set(respond => {});
    $user->finish($request);
    is(seen($user, $place), '302', "$name: the session does not live");
    is(seen($bystander, $place), 'bob', "$name: that of another user does");
    $clock->advance(1);
    is($user->login(page_of($place))->{headers}{'x-user'}, 'alice', "$name: one that begins then does");
}

# A browser that is logged in.
sub user {
    my ($place, $sub) = @_;

    my $knobs = $op->{knobs};
    $op->clear;
    $op->set(user => { sub => $sub }) if defined $sub;
    my $res = login(page_of($place));
    die "no login: $res->{status} $res->{body}" if $res->{status} != 200;
    $op->write_knobs($knobs);
    $op->{login} = $op->last_login;
    return $res->{browser};
}

# A browser, and the callback that the provider sends it to.
sub about_to_return {
    my ($place) = @_;

    my $browser = browser();
    return ($browser, $browser->follow($browser->get(page_of($place)))->{location});
}

sub logs_out {
    my ($name, %changes) = @_;

    my %claims = (sub => $op->{login}{sub}, sid => $op->{login}{sid}, %changes);
    return $op->send_logout_token("/back/$name", $op->logout_token(claims => \%claims));
}

# Logouts of others, for with each of them a few records are looked at whether they are over.
sub forget_what_is_over {
    my ($store) = @_;

    my $login = $op->{login};
    for (1 .. 12) {
        $op->{login} = { sub => "nobody-$_", sid => "nothing-$_" };
        $logout{$_}->("short_$store") for 'back-channel by both', 'front-channel';
    }
    $op->{login} = $login;
}

# Seconds that a key of Redis has left.
sub life_of { return $redis->command('PTTL', $_[0]) / 1000 }

sub seen {
    my ($browser, $place) = @_;

    my $answer = $browser->get(page_of($place));
    return $answer->{headers}{'x-user'} || outcome($answer);
}

# With these session timeouts.
sub configuration {
    my (%changes) = @_;

    my %timeout = (short => '1h', long => '8h', info => '1h', %changes);
    my @providers = map {
        my $store = $_;
        map {
            my $name = "${_}_$store";
            oidc_provider($name, $_ eq 'info' ? 'userinfo on' : '', session_key => 'key', session_store => $store,
                session_timeout => $timeout{$_}, logout_uri => "/logout/$name",
                backchannel_logout_uri => "/back/$name", frontchannel_logout_uri => "/front/$name");
        } sort keys %timeout;
    } @stores;

    return nginx_conf(<<'EOF', @providers, site('page', <<'EOS'));
    oidc_session_store memory { type memory; size 1m; }

    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }
EOF
        add_header X-User $oidc_claim_sub;
EOS
}
