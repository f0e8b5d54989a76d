#!/usr/bin/perl

# Tests for how long a revocation is kept: it outlives every session that it can end, at any oidc_provider with that
# issuer and client and after reloads; and it ends a login that is under way. Each fact is checked for every store.
# nginx, the provider and Redis run under the clock of the test.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Sessions;
use Test::OIDC::Site;
use Test::OIDC::Workers;

my @stores = session_stores();

use constant HOUR => 3600;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(@stores * 48 + 8);

my $op = provider($t, 8081, sid => 1);
$clock->follow($op);
my $redis = redis($t, 8379, clock => $clock);
my $frame = { 'Sec-Fetch-Dest' => 'iframe' };

write_session_key($t);
my $workers = Test::OIDC::Workers->start($t, configuration());

# How the provider ends a session at an oidc_provider

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

# Two oidc_provider with the same issuer and client, and different session timeouts

for my $store (@stores) {
    for my $how (sort keys %logout) {
        my $user = user("long_$store");
        is($logout{$how}->("short_$store")->{status}, 200,
            "$store, $how at the provider with short sessions is accepted");
        $clock->advance(2 * HOUR);
        forget_what_is_over($store);
        is(seen($user, "long_$store"), '302',
            "$store, $how at the provider with short sessions: a long session is ended 2 hours later");
        $clock->advance(5 * HOUR);
        forget_what_is_over($store);
        is(seen($user->clone, "long_$store"), '302',
            "$store, $how at the provider with short sessions: a long session is ended 7 hours later");
    }

    my $user = user("long_$store");
    my $bystander = user("long_$store");
    $logout{'back-channel by sid'}->("short_$store");
    is(seen($user, "long_$store"), 'alice', "$store: a logout by sid does not end another session");
    is(seen($bystander, "long_$store"), '302', "$store: a logout by sid ends its session");
}

# In Redis, neither a second logout nor a login shortens the life of a revocation record.

for my $how ('back-channel by sub', 'back-channel by sid') {
    $redis->command('FLUSHALL');
    $op->set(sid => 'shared');
    user('long_redis');
    is($logout{$how}->('long_redis')->{status}, 200, "$how, the record: a logout");
    my ($record) = sort { life_of($b) <=> life_of($a) } $redis->key_names('oidc:revoked:*');
    cmp_ok(life_of($record), '>', 8 * HOUR - 60, "$how, the record: it lives as long as the longest session");

    $logout{$how}->('short_redis');
    cmp_ok(life_of($record), '>', 8 * HOUR - 60,
        "$how, the record: a logout at the provider with short sessions does not shorten it");
    user('short_redis');
    cmp_ok(life_of($record), '>', 8 * HOUR - 60,
        "$how, the record: a login at the provider with short sessions does not shorten it");

    $workers->reload(configuration(long => '1h'));
    $logout{$how}->('short_redis');
    cmp_ok(life_of($record), '>', 8 * HOUR - 60,
        "$how, the record: a logout when all sessions are short does not shorten it");
    user('short_redis');
    cmp_ok(life_of($record), '>', 8 * HOUR - 60,
        "$how, the record: a login when all sessions are short does not shorten it");
    $workers->reload(configuration());
    $op->reset;
}

# A reload changes session_timeout.

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
is($logout{'back-channel by sub'}->("short_$_")->{status}, 200, "$_, shortened: a logout by sub") for @stores;
$clock->advance(2 * HOUR);
for my $store (@stores) {
    forget_what_is_over($store);
    is(seen($_, "long_$store"), '302',
        "$store, shortened: no session outlives its record") for $long{$store}, $gone{$store};
    is(seen($short{$store}, "short_$store"), '302', "$store, shortened: a short session has ended");
}
$workers->reload(configuration(short => '8h', long => '8h'));
for my $store (@stores) {
    is(seen($short{$store}, "short_$store"), '302',
        "$store, lengthened: a session that had ended does not come back");
    is(seen($gone{$store}, "long_$store"), '302',
        "$store, lengthened: a session that was logged out does not come back");
}
$workers->reload(configuration());

# A logout during a login that waits for a response of the provider

for my $store (@stores) {
    for my $endpoint ('/userinfo', '/token') {
        for my $how ('back-channel by sub', 'back-channel by sid', 'back-channel by both', 'front-channel') {
            # Before the token response no sid is known. In Redis, a front-channel logout changes existing records
            # but creates none.
            next if $endpoint eq '/token' && $how ne 'back-channel by sub';
            next if $store eq 'redis' && $how eq 'front-channel';
            ends_a_login_under_way($store, $how, $endpoint);
        }
    }

    my ($user, $callback) = about_to_return("info_$store");
    $op->{login} = { sub => 'alice' };
    is($logout{'back-channel by sub'}->("info_$store")->{status}, 200,
        "$store, a logout before the callback is accepted");
    $clock->advance(1);
    $user->get($callback);
    is(seen($user, "info_$store"), 'alice',
        "$store, a logout before the callback: the session begins after it");
}

is(join("\n", error_log_lines($t, qr/\[(?:warn|error|crit)\] .*oidc:/)), '', 'no warning or error is logged');

# ------------------------------------------------------------------------------------------------------

sub ends_a_login_under_way {
    my ($store, $how, $endpoint) = @_;

    my $provider = "info_$store";
    my $name = "$store, $how while a login waits for $endpoint";
    my $bystander = user($provider, 'bob');
    my ($user, $callback) = about_to_return($provider);
    $op->clear->set(respond => { $endpoint => { hold => 1 } });
    my $request = $user->start($callback);
    is($op->wait_for($endpoint, 1), 1, "$name: the login waits");
    $op->{login} = $endpoint eq '/token' ? { sub => 'alice' } : $op->last_login;

    is($logout{$how}->($provider)->{status}, 200, "$name: it is accepted");
    $op->set(respond => {});
    $user->finish($request);
    is(seen($user, $provider), '302', "$name: the session has ended");
    is(seen($bystander, $provider), 'bob', "$name: a session of another user continues");
    $clock->advance(1);
    is($user->login(page_of($provider))->{headers}{'x-user'}, 'alice', "$name: a later login succeeds");
}

# A browser that is logged in
sub user {
    my ($provider, $sub) = @_;

    my $knobs = $op->{knobs};
    $op->clear;
    $op->set(user => { sub => $sub }) if defined $sub;
    my $browser = logged_in($provider);
    $op->write_knobs($knobs);
    $op->{login} = $op->last_login;
    return $browser;
}

# A browser and the callback URL to which the provider redirects it
sub about_to_return {
    my ($provider) = @_;

    my $browser = browser();
    return ($browser, $browser->follow($browser->get(page_of($provider)))->{location});
}

sub logs_out {
    my ($name, %changes) = @_;

    my %claims = (sub => $op->{login}{sub}, sid => $op->{login}{sid}, %changes);
    return $op->send_logout_token("/back/$name", $op->logout_token(claims => \%claims));
}

# Logs out other users: each logout removes a few expired records.
sub forget_what_is_over {
    my ($store) = @_;

    my $login = $op->{login};
    for (1 .. 12) {
        $op->{login} = { sub => "nobody-$_", sid => "nothing-$_" };
        $logout{$_}->("short_$store") for 'back-channel by both', 'front-channel';
    }
    $op->{login} = $login;
}

# Seconds until a key of Redis expires
sub life_of { return $redis->command('PTTL', $_[0]) / 1000 }

# Uses these session timeouts.
sub configuration {
    my (%changes) = @_;

    my %timeout = (short => '1h', long => '8h', info => '1h', %changes);
    my $uris = 'logout_uri /logout/%%NAME%%; backchannel_logout_uri /back/%%NAME%%; frontchannel_logout_uri /front/%%NAME%%';
    my %kind = map { $_ => "session_timeout $timeout{$_}; $uris" } keys %timeout;
    $kind{info} .= '; userinfo on';

    return nginx_conf(store_blocks(), in_every_store(\%kind), site('page', <<'EOF'));
        add_header X-User $oidc_claim_sub;
EOF
}
