#!/usr/bin/perl

# Tests for session_max_lifetime: it bounds how long renewals can extend a session (refresh.t), in every store.
# nginx, the provider and Redis run under the clock of the test.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Sessions;
use Test::OIDC::Site;
use Test::OIDC::Workers;

my @stores = session_stores();

# Seconds that the test itself may take between two steps.
use constant SPARE => 20;

use constant { HOUR => 3600, DAY => 24 * 3600 };

# The kinds of oidc_provider; there is one of each for every store.
my %kind = (
    brief => 'session_timeout 1h; session_max_lifetime 3h',
    first => 'session_timeout 8h; session_max_lifetime 1h',
    usual => '',
    long => 'session_timeout 48h',
    ever => 'session_max_lifetime off',
    shortened => 'session_max_lifetime off',
    lengthened => 'session_max_lifetime 1h',
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(@stores * 36 + 9);

my $op = provider($t, 8081, refresh => {});
$clock->follow($op);
my $redis = redis($t, 8379, clock => $clock);
write_session_key($t);

# Values of the directive

my $sentence = 'invalid "session_max_lifetime", it must be longer than 0, or "off"';
for my $value (qw/ 0 0s 0h /) {
    like(config_error($t, configuration(ever => "session_max_lifetime $value")), qr/^\Q$sentence\E in \S+:\d+$/,
        "session_max_lifetime $value is refused");
}
for my $value (qw/ -1 soon on /) {
    like(config_error($t, configuration(ever => "session_max_lifetime $value")),
        qr/session_max_lifetime.*invalid value|invalid.*session_max_lifetime/,
            "session_max_lifetime $value is refused");
}
like(config_error($t, configuration(ever => "session_max_lifetime 1h; session_max_lifetime 2h")),
    qr/^"session_max_lifetime" directive is duplicate/, 'session_max_lifetime twice in a block is refused');
is(config_error($t, configuration(ever => 'session_max_lifetime 1s')), '', 'session_max_lifetime 1s is accepted');

my $workers = Test::OIDC::Workers->start($t, configuration());

for my $store (@stores) {
    ends_for_good($store, "brief_$store");

    # name, kind, seconds between renewals, number of renewals, lifetime
    is_renewed_until($store, @$_) for
        ['24 hours by default', 'usual', 7 * HOUR, 3, DAY],
        ['session_timeout by default, where that is longer', 'long', 7 * HOUR, 6, 2 * DAY],
        ['shorter than session_timeout', 'first', HOUR / 4, 3, HOUR];

    is_never_ended($store, "ever_$store");
}

# A reload changes session_max_lifetime.

my %user;
for my $store (@stores) {
    $user{$store}{$_} = login(page_of("${_}_$store"))->{browser} for qw/ shortened lengthened /;
}
$clock->advance(HOUR + SPARE);
for my $store (@stores) {
    is(seen($user{$store}{lengthened}, "lengthened_$store"), '302',
        "$store, session_max_lifetime 1h: an older session has ended");
    is(seen($user{$store}{shortened}, "shortened_$store"), 'alice',
        "$store, session_max_lifetime off: the session continues");
    $user{$store}{young} = login(page_of("shortened_$store"))->{browser};
}
$workers->reload(configuration(shortened => 'session_max_lifetime 1h', lengthened => 'session_max_lifetime off'));
for my $store (@stores) {
    is(seen($user{$store}{lengthened}, "lengthened_$store"), '302',
        "$store, lengthened by a reload: an ended session does not come back");
    is(seen($user{$store}{shortened}, "shortened_$store"), '302',
        "$store, shortened by a reload: an older session ends");
    is(seen($user{$store}{young}, "shortened_$store"), 'alice',
        "$store, shortened by a reload: a younger session continues");
}
$clock->advance(HOUR);
for my $store (@stores) {
    is(seen($user{$store}{young}, "shortened_$store"), '302',
        "$store, shortened by a reload: the younger session ends when it reaches the new limit");
}

# ------------------------------------------------------------------------------------------------------

# The session ends after three hours; its tokens live for 50 minutes.
sub ends_for_good {
    my ($store, $provider) = @_;

    my $step = HOUR - 10 * 60;
    $redis->command('FLUSHALL');
    $op->clear->set(expires_in => $step);
    my $answer = login(page_of($provider));
    my $user = $answer->{browser};
    my $began = $clock->time;
    is_about(expires($answer), $began + HOUR,
        "$store: \$oidc_session_expires is given by session_timeout after a login");

    my @copies;
    for (1, 2, 3) {
        push @copies, $user->clone;
        $clock->advance($step - 55);
        $answer = $user->get(page_of($provider));
    }
    is($op->count('/token refresh'), 3, "$store: a session is renewed three times");
    is_about(expires($answer), $began + 3 * HOUR,
        "$store: \$oidc_session_expires is given by session_max_lifetime after three renewals");
    is_about(expires($user->get(page_of($provider))), $began + 3 * HOUR,
        "$store: \$oidc_session_expires is the same for the next request");
    is_kept_until($began + 3 * HOUR) if $store eq 'redis';
    push @copies, $user->clone;

    $clock->advance($began + 3 * HOUR - SPARE - $clock->time);
    is(seen($user, $provider), 'alice', "$store: the session is valid before session_max_lifetime");
    $clock->advance(SPARE);
    is(seen($user, $provider), '302', "$store: the session ends at session_max_lifetime");
    is(join(' ', map { seen($_, $provider) } @copies), '302 302 302 302',
        "$store: the session ends for its older cookies, too");
    is($op->count('/token refresh'), 3, "$store: no further refresh request is sent");
    $clock->advance(HOUR);
    is(seen($user, $provider), '302', "$store: the session does not come back later");

    $op->clear;
    is($user->login(page_of($provider))->{headers}{'x-user'}, 'alice', "$store: a new login succeeds");
    $clock->advance($step - 55);
    $user->get(page_of($provider));
    is($op->count('/token refresh'), 1, "$store: the new session is renewed");
    $clock->advance($step - 155);
    is(seen($user, $provider), 'alice', "$store: the new session outlives its first tokens");
    $op->reset;
}

# Checks the expiry of the only session in Redis.
sub is_kept_until {
    my ($end) = @_;

    my ($key) = $redis->key_names('oidc:session:*');
    my $left = $redis->command('PTTL', $key) / 1000;
    cmp_ok($left, '<=', $end - $clock->time + 1, 'redis: the key expires no later than the session');
}

sub is_renewed_until {
    my ($store, $name, $kind, $step, $times, $end) = @_;

    my $provider = "${kind}_$store";
    $op->clear->set(expires_in => $step);
    my $user = login(page_of($provider))->{browser};
    my $began = $clock->time;
    for (1 .. $times) {
        $clock->advance($step - 55);
        $user->get(page_of($provider));
    }
    is($op->count('/token refresh'), $times, "$store, $name: the session is renewed");
    $clock->advance($began + $end - SPARE - $clock->time);
    my $answer = $user->get(page_of($provider));
    is($answer->{headers}{'x-user'}, 'alice', "$store, $name: the session is valid before the end");
    is_about(expires($answer), $began + $end, "$store, $name: \$oidc_session_expires is the end");
    $clock->advance(SPARE);
    is(seen($user, $provider), '302', "$store, $name: the session ends");
    is(seen($user->clone, $provider), '302', "$store, $name: a copy of the cookie is refused, too");
    $op->reset;
}

sub is_never_ended {
    my ($store, $provider) = @_;

    my $step = 7 * HOUR;
    $op->clear->set(expires_in => $step);
    my $user = login(page_of($provider))->{browser};
    for (1 .. 15) {
        $clock->advance($step - 55);
        $user->get(page_of($provider));
    }
    is($op->count('/token refresh'), 15, "$store, off: the session is renewed every time");
    my $answer = $user->get(page_of($provider));
    is($answer->{headers}{'x-user'}, 'alice', "$store, off: the session is valid after four days");
    is_about(expires($answer), $clock->time + 8 * HOUR,
        "$store, off: \$oidc_session_expires is given by session_timeout");
    $op->reset;
}

sub expires { return $_[0]{headers}{'x-expires'} // 0 }

sub is_about {
    my ($got, $expected, $name) = @_;

    cmp_ok(abs($got - $expected), '<', SPARE, $name) or diag($got - $expected);
}

# Replaces the directives of some kinds.
sub configuration {
    my (%changes) = @_;

    my %kind = (%kind, %changes);
    return nginx_conf(store_blocks(), in_every_store(\%kind), site('page', <<'EOF'));
        add_header X-User    $oidc_claim_sub;
        add_header X-Token   $oidc_access_token;
        add_header X-Expires $oidc_session_expires;
EOF
}
