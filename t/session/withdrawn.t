#!/usr/bin/perl

# Tests for what a renewal does to the claims of a session: what the provider has withdrawn is gone, what
# it has changed is seen, and what belongs to the login stays. Each fact is told of "session_store
# cookie", of a store of type memory and of one of type redis. What user info does is in
# withdrawn_userinfo.t. nginx, the provider and Redis run under a clock of their own.

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

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(@stores * 38 + 1);

# An access token lives for 300 seconds, and is renewed 60 seconds ahead of its end. What came of a
# renewal stays for the cookie that it replaced for GRACE seconds.
use constant { LIFE => 300, DUE => 245, GRACE => 300 };

# What the user's roles are at the login, and what is left of him when they were withdrawn.
my $alice = { sub => 'alice', roles => 'admin', name => 'Alice Liddell' };
my $demoted = { sub => 'alice', name => 'Alice Liddell' };
my %strong = (acr => 'gold', amr => [qw/ pwd otp /]);

my $op = provider($t, 8081, refresh => {}, expires_in => LIFE, sid => 1, user => $alice);
$clock->follow($op);
my $redis = redis($t, 8379, clock => $clock);
my $frame = { 'Sec-Fetch-Dest' => 'iframe' };

$t->write_file('key', '0123456789abcdef' x 4 . "\n");
my $workers = Test::OIDC::Workers->start($t, configuration());

for my $store (@stores) {
    withdraws($store, "plain_$store");
    withdraws("$store, session_claims all", "all_$store");
    changes($store, "plain_$store");
    keeps($store, "plain_$store");
    keeps_facts_of_the_login($store, "plain_$store");
    moves_the_sid($store, "plain_$store");
}

# What nobody asked for is withdrawn as well: the configuration may name it later.

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
        "$store, session_claims all: nor does one show that is named later");
}

is(join("\n", error_log_lines($t, qr/\[(?:warn|error|crit)\] .*oidc:/)), '', 'nothing of all that is logged');

# ------------------------------------------------------------------------------------------------------

sub withdraws {
    my ($what, $place) = @_;

    my $user = due($place);
    my $old = $user->clone;
    $op->set(user => $demoted);
    my $answer = $user->get(page_of($place));
    is($op->count('/token refresh'), 1, "$what, a claim is withdrawn: by a renewal");
    is(claims($answer), 'alice||Alice Liddell|',
        "$what, a claim is withdrawn: the request that renews does not see it");
    is(claims($user->get(page_of($place))), 'alice||Alice Liddell|', "$what, a claim is withdrawn: nor the next one");
    is(claims($old->get(page_of($place))), 'alice||Alice Liddell|',
        "$what, a claim is withdrawn: nor one with the old cookie");

    $clock->advance(DUE);
    is(claims($user->get(page_of($place))), 'alice||Alice Liddell|',
        "$what, a claim is withdrawn: nor after the next renewal");

    $op->set(user => $alice);
    $clock->advance(DUE);
    is(claims($user->get(page_of($place))), 'alice|admin|Alice Liddell|', "$what, a claim is granted again: it shows");
}

sub changes {
    my ($store, $place) = @_;

    my $user = due($place);
    $op->set(user => { sub => 'alice', roles => 'guest', name => '', team => [qw/ a b /] });
    is(claims($user->get(page_of($place))), 'alice|guest||a,b',
        "$store, claims change: the new ones show, an empty and an added one too");
    is(claims($user->get(page_of($place))), 'alice|guest||a,b', "$store, claims change: for the next request as well");

    $user = due($place);
    $op->set(user => $demoted, refreshed => { id_token => { claims => { roles => 'editor' } } });
    is(claims($user->get(page_of($place))), 'alice|editor|Alice Liddell|',
        "$store, a claim that only the refreshed ID token has: shows");
}

# Without a new ID token nothing was said of the claims.
sub keeps {
    my ($store, $place) = @_;

    my $user = due($place);
    $op->set(user => $demoted, refreshed => { token => { id_token => undef } });
    is(claims($user->get(page_of($place))), 'alice|admin|Alice Liddell|', "$store, no new ID token: the claims stay");
    is(claims($user->get(page_of($place))), 'alice|admin|Alice Liddell|',
        "$store, no new ID token: for the next request as well");
    is($op->count('/token refresh'), 1, "$store, no new ID token: by a renewal");

    $op->set(refreshed => {});
    $clock->advance(DUE);
    is(claims($user->get(page_of($place))), 'alice||Alice Liddell|', "$store, no new ID token: until there is one");
}

# Those that say how the user has logged in, not what he may.
sub keeps_facts_of_the_login {
    my ($store, $place) = @_;

    my $user = due($place, id_token => { claims => {%strong} });
    my $facts = facts_at_login();
    is(facts($op->{first}), $facts, "$store, facts of the login: as the provider told them");

    $op->set(refreshed => { id_token => { claims => { auth_time => undef, sid => undef } } });
    is(facts($user->get(page_of($place))), $facts,
        "$store, facts of the login: stay where the new ID token does not name them");
    is(facts($user->get(page_of($place))), $facts, "$store, facts of the login: for the next request as well");
    is(ends_sid($place, $op->{login}{sid})->{status}, 200, "$store, a sid that stays: a logout by it");
    is(outcome($user->get(page_of($place))), '302', "$store, a sid that stays: the session has ended");

    $user = due($place, id_token => { claims => {%strong} });
    $facts = facts_at_login();
    $op->set(refreshed => { id_token => { claims => { acr => 'silver', amr => ['pwd'] } } });
    is(facts($user->get(page_of($place))), $facts =~ s/gold\|pwd,otp/silver|pwd/r,
        "$store, facts of the login: are those of the new ID token where it names them");
}

# By a renewal the session has another sid: who ends that one ends the session, whatever cookie it is asked by.
sub moves_the_sid {
    my ($store, $place) = @_;

    my %ends = (
        'back-channel' => sub { ends_sid($place, @_) },
        'front-channel' => sub {
            my ($sid) = @_;
            return browser()->get("/front/$place?iss=" . escape($op->issuer) . "&sid=$sid",
                from => $op->issuer, headers => $frame);
        },
    );
    for my $channel (sort keys %ends) {
        my $other = browser();
        $other->login(page_of($place));
        my $user = due($place);
        my $old = $user->clone;
        my $sid = "moved-$store-$channel";
        $op->set(refreshed => { id_token => { claims => { sid => $sid } } });
        my $answer = $user->get(page_of($place));
        my $new = $user->clone;
        is((split /\|/, facts($answer))[-1], $sid, "$store, a new sid, $channel: is the session's");

        is($ends{$channel}->($sid)->{status}, 200, "$store, a new sid, $channel: a logout by it");
        is(outcome($old->get(page_of($place))), '302', "$store, a new sid, $channel: the old cookie opens nothing");
        is(outcome($user->get(page_of($place))), '302', "$store, a new sid, $channel: nor does the new one");
        $op->set(refreshed => {});
        $clock->advance(GRACE);
        is(join(' ', map { outcome($_->get(page_of($place))) } $old, $new), '302 302',
            "$store, a new sid, $channel: nor do they later");
        is(outcome($other->get(page_of($place))), '200', "$store, a new sid, $channel: another session goes on");
    }
}

# By a logout token that names nothing else.
sub ends_sid {
    my ($place, $sid) = @_;

    my $token = $op->logout_token(claims => { sub => undef, sid => $sid });
    return $op->send_logout_token("/back/$place", $token);
}

# A browser whose session is in need of a refresh. The knobs are those of its login, and gone then.
sub due {
    my ($place, %knobs) = @_;

    $op->reset->clear->set(%knobs);
    my $browser = browser();
    $op->{first} = $browser->login(page_of($place));
    $op->{login} = $op->last_login;
    $op->reset;
    $clock->advance(DUE);
    $op->clear;
    return $browser;
}

# sub, roles, name and team.
sub claims { return $_[0]{status} == 200 ? $_[0]{headers}{'x-claims'} : outcome($_[0]) }

# $oidc_auth_time, and auth_time, acr, amr and sid as claims.
sub facts { return $_[0]{status} == 200 ? $_[0]{headers}{'x-facts'} : outcome($_[0]) }

sub facts_at_login {
    my $claims = jwt_decode($op->{login}{issued}{id_token})->{claims};
    return join '|', ($claims->{auth_time}) x 2, $claims->{acr}, join(',', @{ $claims->{amr} }), $claims->{sid};
}

sub more { return $_[0]{headers}{'x-more'} // '' }

sub configuration {
    my ($more) = @_;

    my %session = (session_key => 'key', session_timeout => '1h');
    my @providers = map {
        my $store = $_;
        map {
            my ($kind, %changes) = @$_;
            my $name = "${kind}_$store";
            oidc_provider($name, "backchannel_logout_uri /back/$name; frontchannel_logout_uri /front/$name",
                %session, session_store => $store, %changes);
        } ['plain'], ['all', session_claims => 'all'];
    } @stores;

    return nginx_conf(<<'EOF', @providers, site('page', <<'EOS' =~ s/MORE/$more \/\/ '""'/er));
    oidc_session_store memory { type memory; size 1m; }

    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }
EOF
        proxy_hide_header X-Claims;
        proxy_hide_header X-Facts;
        add_header X-Claims "$oidc_claim_sub|$oidc_claim_roles|$oidc_claim_name|$oidc_claim_team";
        add_header X-Facts  "$oidc_auth_time|$oidc_claim_auth_time|$oidc_claim_acr|$oidc_claim_amr|$oidc_claim_sid";
        add_header X-Token  $oidc_access_token;
        add_header X-More   MORE;
EOS
}
