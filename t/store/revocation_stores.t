#!/usr/bin/perl

# Tests for revocations that could miss a session: of another store of the same client, before a reload that names a
# store, of a sid that a renewal has changed, and under a clock that was set back. nginx, the provider and Redis run
# under the clock of the test.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Sessions;
use Test::OIDC::Site;
use Test::OIDC::Workers;

my @stores = session_stores();

# An access token lives for 300 seconds and is renewed 60 seconds before it expires. The result of a renewal
# is kept for the replaced cookie for GRACE seconds.
use constant { LIFE => 300, DUE => 245, GRACE => 300, MINUTE => 60 };

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(@stores * 27 + 7);

my $op = provider($t, 8081, sid => 1, refresh => {}, expires_in => LIFE, user => { sub => 'alice' });
$clock->follow($op);
my $redis = redis($t, 8379, clock => $clock);
my $frame = { 'Sec-Fetch-Dest' => 'iframe' };

write_session_key($t);
my $workers = Test::OIDC::Workers->start($t, configuration());

for my $store (@stores) {
    ends_all_blocks($store);
    ends_copies_of_another_sid($store);
    outlasts_a_clock_set_back($store);
}
outlasts_another_store();

# A logout at one oidc_provider ends the sessions of all that are the same client.
sub ends_all_blocks {
    my ($store) = @_;

    my %user = map { $_ => user($_) } @stores;
    my $other = user('cookie', 'bob');
    is(logs_out($store, sid => undef, sub => 'alice')->{status}, 200, "$store, a logout of alice: it is accepted");
    is(seen($user{$_}, $_), '302', "$store, a logout of alice: the session in $_ ends") for @stores;
    is(seen($other, 'cookie'), 'bob', "$store, a logout of alice: the session of bob continues");

    $op->set(sid => "shared-$store");
    for my $how ('back-channel by sid', 'front-channel') {
        my $name = "$store, $how";
        %user = map { $_ => user($_) } @stores;
        my $answer = $how eq 'front-channel' ? framed(browser(), $store, "shared-$store")
            : logs_out($store, sub => undef);
        is($answer->{status}, 200, "$name: the logout is accepted");
        is(seen($user{$_}, $_), '302', "$name: the session in $_ ends") for @stores;
        $clock->advance(1);
    }
    $op->reset;
}

# A renewal has changed the sid, and the provider logs out the new sid in a frame of the same browser. A copy
# of the replaced cookie knows only the old sid.
sub ends_copies_of_another_sid {
    my ($store) = @_;

    my $name = "$store, the sid has changed";
    my $user = user($store);
    my $copy = $user->clone;
    $clock->advance(DUE);
    $op->set(refreshed => { id_token => { claims => { sid => "moved-$store" } } });
    is($user->get(page_of($store))->{headers}{'x-sid'}, "moved-$store", "$name: by a renewal");
    is(framed($user, $store, "moved-$store")->{status}, 200, "$name: a logout in a frame is accepted");
    is(seen($user, $store), '302', "$name: the logout ends the session");
    $clock->advance(GRACE + 1);
    $op->reset;
    is(seen($copy->clone, $store), '302', "$name: a copy of the replaced cookie is refused");
    $op->set(respond => { '/token refresh' => { status => 503 } });
    is(seen($copy, $store), '302', "$name: the copy is refused while the provider is down, too");
    $op->reset;
}

# The session began later than the clock now says.
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
        is(seen($copy, $store), 'alice', "$name: a copy of the cookie opens before the logout");
        $clock->advance(-MINUTE);
        $logout{$how}->($user);
        is(seen($copy->clone, $store), '302', "$name: the session has ended");
        $clock->advance(MINUTE);
        is(seen($copy, $store), '302', "$name: the session has ended when the clock is right again, too");
    }
}

# A reload moves sessions from cookies to Redis, which has no earlier revocation records.
sub outlasts_another_store {
    my ($user, $stays) = map { user('movable') } 1, 2;
    my $copy = $user->clone;
    $user->get('/logout/movable');
    is(seen($copy, 'movable'), '302', 'a reload names a store: a logout ends a session before it');
    my $named = user('movable');
    my $its_copy = $named->clone;
    logs_out('movable', sub => undef);
    is(seen($its_copy, 'movable'), '302', 'a reload names a store: a logout token ends a session before it');

    $workers->reload(configuration(movable => 'redis'));
    is($workers->each(sub { seen($copy->clone, 'movable') }), '302 302',
        'a reload names a store: a session ended by a logout stays ended');
    is($workers->each(sub { seen($its_copy->clone, 'movable') }), '302 302',
        'a reload names a store: a session ended by a logout token stays ended');
    is(seen($stays, 'movable'), 'alice', 'a reload names a store: another session continues');
    is(seen($stays, 'movable'), 'alice', 'a reload names a store: the other session opens again');
    is(seen(user('movable'), 'movable'), 'alice', 'a reload names a store: a login after it succeeds');
}

# ------------------------------------------------------------------------------------------------------

# A browser that is logged in
sub user {
    my ($provider, $sub) = @_;

    my $knobs = $op->{knobs};
    $op->clear->set(user => { sub => $sub // 'alice' });
    my $browser = logged_in($provider);
    $op->write_knobs($knobs);
    return $browser;
}

sub logs_out {
    my ($provider, %changes) = @_;

    return $op->send_logout_token("/back/$provider", $op->logout_token(claims => \%changes));
}

# Sends a front-channel logout in that browser, by its cookie alone or by a sid.
sub framed {
    my ($browser, $provider, $sid) = @_;

    my $query = defined $sid ? '?iss=' . escape($op->issuer) . "&sid=$sid" : '';
    return $browser->get("/front/$provider$query", from => $op->issuer, headers => $frame);
}

# All providers are the same client of one provider.
sub configuration {
    my (%changes) = @_;

    my %store = ((map { $_ => $_ } @stores), movable => 'cookie', %changes);
    my @providers = map {
        oidc_provider($_, '', session_key => 'key', session_store => $store{$_}, session_timeout => '1h',
            cookie_samesite => 'none', logout_uri => "/logout/$_", backchannel_logout_uri => "/back/$_",
            frontchannel_logout_uri => "/front/$_");
    } sort keys %store;

    return nginx_conf(store_blocks(), @providers, site('page', <<'EOF'));
        add_header X-User  $oidc_claim_sub;
        add_header X-Sid   $oidc_claim_sid;
        add_header X-Token $oidc_access_token;
EOF
}
