#!/usr/bin/perl

# Tests for session_max_lifetime: a session ends for good that long after its login, however often it was
# renewed, wherever it is kept. Renewals move the end of a session on (refresh.t), which this bounds.
# nginx, the provider and Redis run under a clock of their own.

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

# As many seconds the test itself may take between two steps.
use constant SPARE => 20;

use constant { HOUR => 3600, DAY => 24 * 3600 };

# Each kind of oidc_provider there is of each store.
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
$t->write_file('key', '0123456789abcdef' x 4 . "\n");

# What it may be.

my $sentence = 'invalid "session_max_lifetime", it must be longer than 0, or "off"';
for my $value (qw/ 0 0s 0h /) {
    like(config_error($t, configuration(ever => "session_max_lifetime $value")), qr/^\Q$sentence\E in \S+:\d+$/,
        "session_max_lifetime $value is refused");
}
for my $value (qw/ -1 soon on /) {
    like(config_error($t, configuration(ever => "session_max_lifetime $value")),
        qr/session_max_lifetime.*invalid value|invalid.*session_max_lifetime/, "session_max_lifetime $value is refused");
}
like(config_error($t, configuration(ever => "session_max_lifetime 1h; session_max_lifetime 2h")),
    qr/^"session_max_lifetime" directive is duplicate/, 'session_max_lifetime does not come twice');
is(config_error($t, configuration(ever => 'session_max_lifetime 1s')), '', 'session_max_lifetime 1s is taken');

my $workers = Test::OIDC::Workers->start($t, configuration());

for my $store (@stores) {
    ends_for_good($store, "brief_$store");

    # name, kind, seconds between renewals, their number, the end
    is_renewed_until($store, @$_) for
        ['24 hours by default', 'usual', 7 * HOUR, 3, DAY],
        ['session_timeout by default, where that is longer', 'long', 7 * HOUR, 6, 2 * DAY],
        ['shorter than session_timeout', 'first', HOUR / 4, 3, HOUR];

    is_never_ended($store, "ever_$store");
}

# Another configuration

my %user;
for my $store (@stores) {
    $user{$store}{$_} = login(page_of("${_}_$store"))->{browser} for qw/ shortened lengthened /;
}
$clock->advance(HOUR + SPARE);
for my $store (@stores) {
    is(seen($user{$store}{lengthened}, "lengthened_$store"), '302', "$store, lengthened: one that has ended");
    is(seen($user{$store}{shortened}, "shortened_$store"), 'alice', "$store, shortened: one that lives");
    $user{$store}{young} = login(page_of("shortened_$store"))->{browser};
}
$workers->reload(configuration(shortened => 'session_max_lifetime 1h', lengthened => 'session_max_lifetime off'));
for my $store (@stores) {
    is(seen($user{$store}{lengthened}, "lengthened_$store"), '302',
        "$store, lengthened by a reload: does not come back");
    is(seen($user{$store}{shortened}, "shortened_$store"), '302',
        "$store, shortened by a reload: ends one that is older");
    is(seen($user{$store}{young}, "shortened_$store"), 'alice',
        "$store, shortened by a reload: not one that is younger");
}
$clock->advance(HOUR);
for my $store (@stores) {
    is(seen($user{$store}{young}, "shortened_$store"), '302',
        "$store, shortened by a reload: that one ends in its time");
}

# ------------------------------------------------------------------------------------------------------

# After three hours, with tokens of 50 minutes.
sub ends_for_good {
    my ($store, $place) = @_;

    my $step = HOUR - 10 * 60;
    $redis->command('FLUSHALL');
    $op->clear->set(expires_in => $step);
    my $answer = login(page_of($place));
    my $user = $answer->{browser};
    my $began = $clock->time;
    is_about(expires($answer), $began + HOUR, "$store: \$oidc_session_expires is that of session_timeout");

    my @copies;
    for (1, 2, 3) {
        push @copies, $user->clone;
        $clock->advance($step - 55);
        $answer = $user->get(page_of($place));
    }
    is($op->count('/token refresh'), 3, "$store: a session is renewed three times");
    is_about(expires($answer), $began + 3 * HOUR,
        "$store: \$oidc_session_expires is that of session_max_lifetime then");
    is_about(expires($user->get(page_of($place))), $began + 3 * HOUR, "$store: for the next request as well");
    is_kept_until($began + 3 * HOUR) if $store eq 'redis';
    push @copies, $user->clone;

    $clock->advance($began + 3 * HOUR - SPARE - $clock->time);
    is(seen($user, $place), 'alice', "$store: not before");
    $clock->advance(SPARE);
    is(seen($user, $place), '302', "$store: then it ends");
    is(join(' ', map { seen($_, $place) } @copies), '302 302 302 302', "$store: whatever cookie it is asked by");
    is($op->count('/token refresh'), 3, "$store: without another renewal");
    $clock->advance(HOUR);
    is(seen($user, $place), '302', "$store: for good");

    $op->clear;
    is($user->login(page_of($place))->{headers}{'x-user'}, 'alice', "$store: until the next login");
    $clock->advance($step - 55);
    $user->get(page_of($place));
    is($op->count('/token refresh'), 1, "$store: whose session is renewed");
    $clock->advance($step - 155);
    is(seen($user, $place), 'alice', "$store: and lives");
    $op->reset;
}

# The one session that there is.
sub is_kept_until {
    my ($end) = @_;

    my ($key) = $redis->key_names('oidc:session:*');
    my $left = $redis->command('PTTL', $key) / 1000;
    cmp_ok($left, '<=', $end - $clock->time + 1, 'redis: it lies there no longer');
}

sub is_renewed_until {
    my ($store, $name, $kind, $step, $times, $end) = @_;

    my $place = "${kind}_$store";
    $op->clear->set(expires_in => $step);
    my $user = login(page_of($place))->{browser};
    my $began = $clock->time;
    for (1 .. $times) {
        $clock->advance($step - 55);
        $user->get(page_of($place));
    }
    is($op->count('/token refresh'), $times, "$store, $name: it is renewed");
    $clock->advance($began + $end - SPARE - $clock->time);
    my $answer = $user->get(page_of($place));
    is($answer->{headers}{'x-user'}, 'alice', "$store, $name: it lives until then");
    is_about(expires($answer), $began + $end, "$store, $name: as \$oidc_session_expires says");
    $clock->advance(SPARE);
    is(seen($user, $place), '302', "$store, $name: and ends");
    is(seen($user->clone, $place), '302', "$store, $name: so does a copy");
    $op->reset;
}

sub is_never_ended {
    my ($store, $place) = @_;

    my $step = 7 * HOUR;
    $op->clear->set(expires_in => $step);
    my $user = login(page_of($place))->{browser};
    for (1 .. 15) {
        $clock->advance($step - 55);
        $user->get(page_of($place));
    }
    is($op->count('/token refresh'), 15, "$store, off: a session is renewed again and again");
    my $answer = $user->get(page_of($place));
    is($answer->{headers}{'x-user'}, 'alice', "$store, off: and lives after four days");
    is_about(expires($answer), $clock->time + 8 * HOUR, "$store, off: to the end of session_timeout");
    $op->reset;
}

sub expires { return $_[0]{headers}{'x-expires'} // 0 }

sub is_about {
    my ($got, $expected, $name) = @_;

    cmp_ok(abs($got - $expected), '<', SPARE, $name) or diag($got - $expected);
}

sub seen {
    my ($browser, $place) = @_;

    my $answer = $browser->get(page_of($place));
    return $answer->{headers}{'x-user'} || outcome($answer);
}

# With these changes of the kinds.
sub configuration {
    my (%changes) = @_;

    my %kind = (%kind, %changes);
    my @providers = map {
        my $store = $_;
        map { oidc_provider("${_}_$store", $kind{$_}, session_key => 'key', session_store => $store) } sort keys %kind;
    } @stores;

    return nginx_conf(<<'EOF', @providers, site('page', <<'EOS'));
    oidc_session_store memory { type memory; size 1m; }

    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }
EOF
        add_header X-User    $oidc_claim_sub;
        add_header X-Token   $oidc_access_token;
        add_header X-Expires $oidc_session_expires;
EOS
}
