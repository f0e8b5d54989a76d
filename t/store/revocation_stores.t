#!/usr/bin/perl

# Tests for revocations that would miss a session by where, when or as what they are kept: those of another
# store that the same client has, of before a reload that names one, of a sid that a renewal has changed, of
# a clock that was set back. nginx, the provider and Redis run under a clock of their own.

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

# An access token lives for 300 seconds, and is renewed 60 seconds ahead of its end. What came of a renewal
# stays for the cookie that it replaced for GRACE seconds.
use constant { LIFE => 300, DUE => 245, GRACE => 300, MINUTE => 60 };

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(@stores * 27 + 7);

my $op = provider($t, 8081, sid => 1, refresh => {}, expires_in => LIFE, user => { sub => 'alice' });
$clock->follow($op);
my $redis = redis($t, 8379, clock => $clock);
my $frame = { 'Sec-Fetch-Dest' => 'iframe' };

$t->write_file('key', '0123456789abcdef' x 4 . "\n");
my $workers = Test::OIDC::Workers->start($t, configuration());

for my $store (@stores) {
    ends_all_blocks($store);
    ends_copies_of_another_sid($store);
    outlasts_a_clock_set_back($store);
}
outlasts_another_store();

# One logout at the block whose sessions are there, and the sessions of all blocks of this client.
sub ends_all_blocks {
    my ($store) = @_;

    my %user = map { $_ => user($_) } @stores;
    my $other = user('cookie', 'bob');
    is(logs_out($store, sid => undef, sub => 'alice')->{status}, 200, "$store, a logout of alice: is taken");
    is(seen($user{$_}, $_), '302', "$store, a logout of alice: ends her session in $_") for @stores;
    is(seen($other, 'cookie'), 'bob', "$store, a logout of alice: leaves that of bob");

    $op->set(sid => "shared-$store");
    for my $how ('back-channel by sid', 'front-channel') {
        my $name = "$store, $how";
        %user = map { $_ => user($_) } @stores;
        my $answer = $how eq 'front-channel' ? framed(browser(), $store, "shared-$store")
            : logs_out($store, sub => undef);
        is($answer->{status}, 200, "$name: is taken");
        is(seen($user{$_}, $_), '302', "$name: ends a session in $_") for @stores;
        $clock->advance(1);
    }
    $op->reset;
}

# A renewal has brought another sid, and the provider logs that one out in a frame of the very browser. A
# copy of the cookie from before knows the old one alone.
sub ends_copies_of_another_sid {
    my ($store) = @_;

    my $name = "$store, the sid has changed";
    my $user = user($store);
    my $copy = $user->clone;
    $clock->advance(DUE);
    $op->set(refreshed => { id_token => { claims => { sid => "moved-$store" } } });
    is($user->get(page_of($store))->{headers}{'x-sid'}, "moved-$store", "$name: by a renewal");
    is(framed($user, $store, "moved-$store")->{status}, 200, "$name: a logout in a frame");
    is(seen($user, $store), '302', "$name: ends the session");
    $clock->advance(GRACE + 1);
    $op->reset;
    is(seen($copy->clone, $store), '302', "$name: a copy of its cookie from before does not open");
    $op->set(respond => { '/token refresh' => { status => 503 } });
    is(seen($copy, $store), '302', "$name: nor does it where the provider is down");
    $op->reset;
}

# The session began after what the clock says now.
sub outlasts_a_clock_set_back {
    my ($store) = @_;

    my %logout = (
        'a logout' => sub { $_[0]->get("/logout/$store") },
        'a front-channel logout by the cookie' => sub { framed($_[0], $store) },
        'a front-channel logout by the sid' => sub { framed($_[0], $store, $op->last_login->{sid}) },
    );
    for my $how (sort keys %logout) {
        my $name = "$store, the clock was set back, $how";
        my $user = user($store);
        my $copy = $user->clone;
        is(seen($copy, $store), 'alice', "$name: a copy of the cookie opens before");
        $clock->advance(-MINUTE);
        $logout{$how}->($user);
        is(seen($copy->clone, $store), '302', "$name: ends the session");
        $clock->advance(MINUTE);
        is(seen($copy, $store), '302', "$name: also for later, when the clock is right");
    }
}

# A reload moves sessions from cookies to Redis, which knows of no logout before.
sub outlasts_another_store {
    my ($user, $stays) = map { user('movable') } 1, 2;
    my $copy = $user->clone;
    $user->get('/logout/movable');
    is(seen($copy, 'movable'), '302', 'a reload names a store: a copy of a cookie that was logged out, before');
    my $named = user('movable');
    my $its_copy = $named->clone;
    logs_out('movable', sub => undef);
    is(seen($its_copy, 'movable'), '302', 'a reload names a store: a session that the provider has ended, before');

    $workers->reload(configuration(movable => 'redis'));
    is($workers->each(sub { seen($copy->clone, 'movable') }), '302 302',
        'a reload names a store: a copy of a cookie that was logged out does not open after it');
    is($workers->each(sub { seen($its_copy->clone, 'movable') }), '302 302',
        'a reload names a store: nor does a session that the provider has ended');
    is(seen($stays, 'movable'), 'alice', 'a reload names a store: another session lives on');
    is(seen($stays, 'movable'), 'alice', 'a reload names a store: and stays');
    is(seen(user('movable'), 'movable'), 'alice', 'a reload names a store: a login after it');
}

# ------------------------------------------------------------------------------------------------------

# A browser that is logged in.
sub user {
    my ($place, $sub) = @_;

    my $knobs = $op->{knobs};
    $op->clear->set(user => { sub => $sub // 'alice' });
    my $res = login(page_of($place));
    die "no login: $res->{status} $res->{body}" if $res->{status} != 200;
    $op->write_knobs($knobs);
    return $res->{browser};
}

sub logs_out {
    my ($place, %changes) = @_;

    return $op->send_logout_token("/back/$place", $op->logout_token(claims => \%changes));
}

# A front-channel logout in that browser, by its cookie alone or by a sid.
sub framed {
    my ($browser, $place, $sid) = @_;

    my $query = defined $sid ? '?iss=' . escape($op->issuer) . "&sid=$sid" : '';
    return $browser->get("/front/$place$query", from => $op->issuer, headers => $frame);
}

sub seen {
    my ($browser, $place) = @_;

    my $answer = $browser->get(page_of($place));
    return $answer->{headers}{'x-user'} || outcome($answer);
}

# All are one client of one provider.
sub configuration {
    my (%changes) = @_;

    my %store = ((map { $_ => $_ } @stores), movable => 'cookie', %changes);
    my @providers = map {
        oidc_provider($_, '', session_key => 'key', session_store => $store{$_}, session_timeout => '1h',
            cookie_samesite => 'none', logout_uri => "/logout/$_", backchannel_logout_uri => "/back/$_",
            frontchannel_logout_uri => "/front/$_");
    } sort keys %store;

    return nginx_conf(<<'EOF', @providers, site('page', <<'EOS'));
    oidc_session_store memory { type memory; size 1m; }

    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }
EOF
        add_header X-User  $oidc_claim_sub;
        add_header X-Sid   $oidc_claim_sid;
        add_header X-Token $oidc_access_token;
EOS
}
