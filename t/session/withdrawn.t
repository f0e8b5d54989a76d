#!/usr/bin/perl

# Tests for the claims of a session after a renewal: withdrawn claims are removed, changed ones show, and claims about
# the login stay, in every store. withdrawn_userinfo.t tests user info. nginx, the provider and Redis run under the
# clock of the test.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Sessions;
use Test::OIDC::Site;
use Test::OIDC::Workers;

my @stores = session_stores();

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(@stores * 38 + 1);

# An access token lives for 300 seconds and is renewed 60 seconds before it expires. The result of a renewal
# is kept for the replaced cookie for GRACE seconds.
use constant { LIFE => 300, DUE => 245, GRACE => 300 };

# The user's claims at the login, and after the roles were withdrawn.
my $alice = { sub => 'alice', roles => 'admin', name => 'Alice Liddell' };
my $demoted = { sub => 'alice', name => 'Alice Liddell' };
my %strong = (acr => 'gold', amr => [qw/ pwd otp /]);

my $op = provider($t, 8081, refresh => {}, expires_in => LIFE, sid => 1, user => $alice);
$clock->follow($op);
my $redis = redis($t, 8379, clock => $clock);
my $frame = { 'Sec-Fetch-Dest' => 'iframe' };

write_session_key($t);
my $workers = Test::OIDC::Workers->start($t, configuration());

for my $store (@stores) {
    withdraws($store, "plain_$store");
    withdraws("$store, session_claims all", "all_$store");
    changes($store, "plain_$store");
    keeps($store, "plain_$store");
    keeps_facts_of_the_login($store, "plain_$store");
    moves_the_sid($store, "plain_$store");
}

# A withdrawn claim that no directive named is removed, too: a later configuration may name it.

my %user;
for my $store (@stores) {
    $user{$store} = due("all_$store", user => { %$alice, grade => 'one' });
    $op->set(user => { %$alice });
    $user{$store}->get(page_of("all_$store"));
}
$workers->reload(configuration('$oidc_claim_grade'));
for my $store (@stores) {
    my $answer = $user{$store}->get(page_of("all_$store"));
    is(outcome($answer) . ' ' . more($answer), '200 ',
        "$store, session_claims all: a withdrawn claim does not show when a later configuration names it");
}

is(join("\n", error_log_lines($t, qr/\[(?:warn|error|crit)\] .*oidc:/)), '', 'no warning or error is logged');

# ------------------------------------------------------------------------------------------------------

sub withdraws {
    my ($what, $provider) = @_;

    my $user = due($provider);
    my $old = $user->clone;
    $op->set(user => $demoted);
    my $answer = $user->get(page_of($provider));
    is($op->count('/token refresh'), 1, "$what, a claim is withdrawn: one refresh request is sent");
    is(claims($answer), 'alice||Alice Liddell|',
        "$what, a claim is withdrawn: the request that triggers the renewal does not see it");
    is(claims($user->get(page_of($provider))), 'alice||Alice Liddell|',
        "$what, a claim is withdrawn: the next request does not see it");
    is(claims($old->get(page_of($provider))), 'alice||Alice Liddell|',
        "$what, a claim is withdrawn: a request with the replaced cookie does not see it");

    $clock->advance(DUE);
    is(claims($user->get(page_of($provider))), 'alice||Alice Liddell|',
        "$what, a claim is withdrawn: it does not show after the next renewal");

    $op->set(user => $alice);
    $clock->advance(DUE);
    is(claims($user->get(page_of($provider))), 'alice|admin|Alice Liddell|',
        "$what, a claim is granted again: it shows");
}

sub changes {
    my ($store, $provider) = @_;

    my $user = due($provider);
    $op->set(user => { sub => 'alice', roles => 'guest', name => '', team => [qw/ a b /] });
    is(claims($user->get(page_of($provider))), 'alice|guest||a,b',
        "$store, claims change: changed, empty and added claims show");
    is(claims($user->get(page_of($provider))), 'alice|guest||a,b',
        "$store, claims change: they show for the next request as well");

    $user = due($provider);
    $op->set(user => $demoted, refreshed => { id_token => { claims => { roles => 'editor' } } });
    is(claims($user->get(page_of($provider))), 'alice|editor|Alice Liddell|',
        "$store, a claim of the refreshed ID token only: it shows");
}

# Without a new ID token, the claims are unknown and stay.
sub keeps {
    my ($store, $provider) = @_;

    my $user = due($provider);
    $op->set(user => $demoted, refreshed => { token => { id_token => undef } });
    is(claims($user->get(page_of($provider))), 'alice|admin|Alice Liddell|',
        "$store, no new ID token: the claims stay");
    is(claims($user->get(page_of($provider))), 'alice|admin|Alice Liddell|',
        "$store, no new ID token: the claims stay for the next request as well");
    is($op->count('/token refresh'), 1, "$store, no new ID token: one refresh request was sent");

    $op->set(refreshed => {});
    $clock->advance(DUE);
    is(claims($user->get(page_of($provider))), 'alice||Alice Liddell|',
        "$store, no new ID token: the claims change with the next ID token");
}

# Claims about the login itself, not about the user's rights.
sub keeps_facts_of_the_login {
    my ($store, $provider) = @_;

    my $user = due($provider, id_token => { claims => {%strong} });
    my $facts = facts_at_login();
    is(facts($op->{first}), $facts, "$store, facts of the login: they are those of the ID token");

    $op->set(refreshed => { id_token => { claims => { auth_time => undef, sid => undef } } });
    is(facts($user->get(page_of($provider))), $facts,
        "$store, facts of the login: they stay if the new ID token lacks them");
    is(facts($user->get(page_of($provider))), $facts,
        "$store, facts of the login: they stay for the next request as well");
    is(ends_sid($provider, $op->{login}{sid})->{status}, 200,
        "$store, a sid that stays: a logout token with it is accepted");
    is(outcome($user->get(page_of($provider))), '302', "$store, a sid that stays: the logout ends the session");

    $user = due($provider, id_token => { claims => {%strong} });
    $facts = facts_at_login();
    $op->set(refreshed => { id_token => { claims => { acr => 'silver', amr => ['pwd'] } } });
    is(facts($user->get(page_of($provider))), $facts =~ s/gold\|pwd,otp/silver|pwd/r,
        "$store, facts of the login: they change if the new ID token has them");
}

# A renewal gives the session another sid. A logout with the new sid ends the session for every cookie.
sub moves_the_sid {
    my ($store, $provider) = @_;

    my %ends = (
        'back-channel' => sub { ends_sid($provider, @_) },
        'front-channel' => sub {
            my ($sid) = @_;
            return browser()->get("/front/$provider?iss=" . escape($op->issuer) . "&sid=$sid",
                from => $op->issuer, headers => $frame);
        },
    );
    for my $channel (sort keys %ends) {
        my $other = browser();
        $other->login(page_of($provider));
        my $user = due($provider);
        my $old = $user->clone;
        my $sid = "moved-$store-$channel";
        $op->set(refreshed => { id_token => { claims => { sid => $sid } } });
        my $answer = $user->get(page_of($provider));
        my $new = $user->clone;
        is((split /\|/, facts($answer))[-1], $sid, "$store, a new sid, $channel: the session has it");

        is($ends{$channel}->($sid)->{status}, 200, "$store, a new sid, $channel: a logout with it is accepted");
        is(outcome($old->get(page_of($provider))), '302',
            "$store, a new sid, $channel: the replaced cookie is refused");
        is(outcome($user->get(page_of($provider))), '302', "$store, a new sid, $channel: the new cookie is refused");
        $op->set(refreshed => {});
        $clock->advance(GRACE);
        is(join(' ', map { outcome($_->get(page_of($provider))) } $old, $new), '302 302',
            "$store, a new sid, $channel: both cookies are refused later, too");
        is(outcome($other->get(page_of($provider))), '200', "$store, a new sid, $channel: another session continues");
    }
}

# Sends a logout token that names only the sid.
sub ends_sid {
    my ($provider, $sid) = @_;

    my $token = $op->logout_token(claims => { sub => undef, sid => $sid });
    return $op->send_logout_token("/back/$provider", $token);
}

# Logs a browser in with these knobs, resets them and advances the clock to the renewal.
sub due {
    my ($provider, %knobs) = @_;

    $op->reset->clear->set(%knobs);
    my $browser = browser();
    $op->{first} = $browser->login(page_of($provider));
    $op->{login} = $op->last_login;
    $op->reset;
    $clock->advance(DUE);
    $op->clear;
    return $browser;
}

# The claims sub, roles, name and team
sub claims { return $_[0]{status} == 200 ? $_[0]{headers}{'x-claims'} : outcome($_[0]) }

# $oidc_auth_time, and the claims auth_time, acr, amr and sid
sub facts { return $_[0]{status} == 200 ? $_[0]{headers}{'x-facts'} : outcome($_[0]) }

sub facts_at_login {
    my $claims = jwt_decode($op->{login}{issued}{id_token})->{claims};
    return join '|', ($claims->{auth_time}) x 2, $claims->{acr}, join(',', @{ $claims->{amr} }), $claims->{sid};
}

sub more { return $_[0]{headers}{'x-more'} // '' }

sub configuration {
    my ($more) = @_;

    my $logout = 'backchannel_logout_uri /back/%%NAME%%; frontchannel_logout_uri /front/%%NAME%%';
    my %kind = (plain => $logout, all => "$logout; session_claims all");
    my $server = <<'EOF' =~ s/MORE/$more \/\/ '""'/er;
        proxy_hide_header X-Claims;
        proxy_hide_header X-Facts;
        add_header X-Claims "$oidc_claim_sub|$oidc_claim_roles|$oidc_claim_name|$oidc_claim_team";
        add_header X-Facts  "$oidc_auth_time|$oidc_claim_auth_time|$oidc_claim_acr|$oidc_claim_amr|$oidc_claim_sid";
        add_header X-Token  $oidc_access_token;
        add_header X-More   MORE;
EOF
    return nginx_conf(store_blocks(), in_every_store(\%kind, session_timeout => '1h'), site('page', $server));
}
