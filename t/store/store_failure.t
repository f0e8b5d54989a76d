#!/usr/bin/perl

# Tests for a store that fails at the wrong moment: a renewal that cannot say that it is the only one goes
# on with the old tokens, a logout token that cannot be noted is not taken, and a logout that could not be
# noted says so, but leaves the browser no session. nginx, the provider and Redis run under a clock of
# their own.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Pipeline;
use Test::OIDC::Relay;
use Test::OIDC::Site;

select STDERR; $| = 1;
select STDOUT; $| = 1;

# An access token lives for 300 seconds, and is renewed 60 seconds ahead of its end; by how much later a
# renewal that failed is tried again.
use constant { LIFE => 300, DUE => 245, PAUSE => 31, TOKEN_LIFE => 600 };

# name, how, status and word, the sentence

my @failures = (
    ['it closes', 'close', '503 store_unreachable', qr/store could not be reached at "\S+:\d+"/],
    ['it is silent', 'hold', '503 store_timeout', qr/store did not respond in time at "\S+:\d+"/],
    ['it refuses', "-NOPERM no\r\n", '503 store_answer', qr/store "\S+:\d+" refused a command, "NOPERM"/],
    ['it is no Redis', "HTTP/1.1 400 Bad Request\r\n\r\n", '503 store_answer',
        qr/store sent an invalid response at "\S+:\d+"/],
);

my %from_elsewhere = ('Sec-Fetch-Site' => 'cross-site');

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(35 * @failures + 22);

my $op = provider($t, 8081, refresh => {}, expires_in => LIFE, sid => 1);
$clock->follow($op);
my $redis = redis($t, 8379, clock => $clock);
my $relay = Test::OIDC::Relay->new($t, 8382, 8379);

$t->write_file('key', '0123456789abcdef' x 4 . "\n");
my %session = (session_key => 'key', session_timeout => '1h');
$t->write_file_expand('nginx.conf', nginx_conf(<<'EOF',
    oidc_state_zone 64k;
    keepalive_requests 10000;
    large_client_header_buffers 4 32k;

    oidc_session_store relayed {
        type            redis;
        hostname        127.0.0.1;
        port            %%PORT_8382%%;
        connect_timeout 1s;
        command_timeout 1s;
    }

    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }
EOF
    map({ oidc_provider($_, "logout_uri /logout/$_; backchannel_logout_uri /back/$_", %session, session_store => $_) }
        qw/ relayed redis /),
    oidc_provider('large', 'logout_uri /logout/large', %session, session_store => 'cookie', session_claims => 'all'),
    oidc_provider('hs', 'backchannel_logout_uri /back/hs; id_token_alg RS256 HS256', %session,
        session_store => 'cookie', session_timeout => '8h'),
    site('page', <<'EOF')));
        add_header X-User  $oidc_claim_sub;
        add_header X-Token $oidc_access_token;
EOF
$t->run();

# An id that cannot be acquired

for my $case (@failures) {
    my ($name, $how, $outcome, $sentence) = @$case;

    my ($user, $old) = due('relayed');
    $relay->fails($how, WRITES);
    log_mark($t);
    my $answer = $user->get(page_of('relayed'));
    is(outcome($answer) . ' ' . token($answer), "200 $old", "a renewal, $name: the request goes on with the old token");
    is(scalar(@{ $answer->{set_cookie} }), 0, "a renewal, $name: and sets no cookie");
    is($op->count('/token refresh'), 0, "a renewal, $name: the provider is not asked");
    is(logged($sentence, 'renewing a session', 'relayed'), 1, "a renewal, $name: one line in the log");
    is(scalar(error_log_lines($t, qr/oidc: /)), 1, "a renewal, $name: and no other");

    $relay->passes;
    $clock->advance(PAUSE);
    $answer = $user->get(page_of('relayed'));
    is($op->count('/token refresh'), 1, "a renewal, $name: it is made when Redis is well again");
    isnt(token($answer), $old, "a renewal, $name: and brings a new token");

    $user = user('relayed');
    my $token = $op->logout_token;
    $relay->fails($how, WRITES);
    log_mark($t);
    $answer = $op->send_logout_token('/back/relayed', $token);
    is(outcome($answer), $outcome, "a logout token, $name: $outcome");
    is($answer->{headers}{'cache-control'}, 'no-store', "a logout token, $name: is not stored");
    like($answer->{headers}{'retry-after'} // '', qr/^[1-9]\d*$/, "a logout token, $name: Retry-After");
    is(logged($sentence, 'handling a back-channel logout', 'relayed'), 1, "a logout token, $name: one line in the log");
    is(scalar(error_log_lines($t, qr/oidc: /)), 1, "a logout token, $name: and no other");
    $relay->passes;
    is(seen($user, 'relayed'), 'alice', "a logout token, $name: the session lives");
    is(outcome($op->send_logout_token('/back/relayed', $token)), '200',
        "a logout token, $name: it is good when Redis is well again");
    is(seen($user, 'relayed'), '302', "a logout token, $name: and ends the session");
}

# It alone fails: nothing else makes up for that.

my $user = user('relayed');
my $token = $op->logout_token;
$relay->fails("-NOPERM no\r\n", WRITES, 1);
is(outcome($op->send_logout_token('/back/relayed', $token)), '503 store_answer',
    'a logout token, its id alone is refused: 503');
$relay->passes;
is(seen($user, 'relayed'), 'alice', 'a logout token, its id alone is refused: the session lives');

# A logout of the user's own wish

for my $case (@failures) {
    my ($name, $how, $outcome, $sentence) = @$case;

    for my $stage (['the session is there', WRITES, 'logging out'],
        ['no session is to be had', undef, '(?:logging out|loading a session)'])
    {
        my ($stage_name, $questions, $doing) = @$stage;
        my $name = "a logout, $stage_name, $name";
        my $user = user('relayed')->set_cookie('relayed.1=stale; Path=/');
        my ($copy, $elsewhere) = map { $user->clone } 1, 2;
        $relay->fails($how, $questions);
        log_mark($t);
        my $answer = $user->get('/logout/relayed');
        is(outcome($answer), $outcome, "$name: $outcome");
        is(deleted_by($answer), 'relayed relayed.1', "$name: the cookies are deleted");
        is($user->cookie('relayed') // $user->cookie('relayed.1'), undef, "$name: the browser keeps none");
        like($answer->{body}, qr/other copies|copies of/i, "$name: the page says that copies may live on");
        is($answer->{headers}{'cache-control'}, 'no-store', "$name: and is not stored");
        cmp_ok(logged($sentence, $doing, 'relayed'), '>=', 1, "$name: logged");

        $answer = $elsewhere->get('/logout/relayed', headers => \%from_elsewhere);
        is(deleted_by($answer), '', "$name: another site's link deletes none");
        $relay->passes;
        is(seen($user, 'relayed') . ' ' . seen($elsewhere, 'relayed'), '302 alice',
            "$name: the browser has no session, that with a link has");
        is($copy->get('/logout/relayed')->{status} . ' ' . seen($copy, 'relayed'), '302 302',
            "$name: a logout when Redis is well again");
        is(user_of($user->login(page_of('relayed'))), 'alice', "$name: and a login");
    }
}

# By the page that a link of another site leads to

$user = user('relayed');
my $page = $user->get('/logout/relayed', headers => \%from_elsewhere);
$relay->fails('close', WRITES);
my ($confirmation) = $page->{body} =~ /name="confirm" value="([\w-]+)"/;
my $answer = $user->post('/logout/relayed', { confirm => $confirmation },
    headers => { 'Sec-Fetch-Site' => 'same-origin', 'Origin' => 'null' });
is(outcome($answer), '503 store_unreachable', 'a logout that was confirmed: 503');
is(deleted_by($answer), 'relayed', 'a logout that was confirmed: the cookie is deleted');
$relay->passes;
is(seen($user, 'relayed'), '302', 'a logout that was confirmed: the browser has no session');

# Redis is down

$user = user('redis');
my $elsewhere = $user->clone;
$redis->kill;
log_mark($t);
$answer = $user->get('/logout/redis');
is(outcome($answer), '503 store_unreachable', 'a logout, Redis down: 503');
is(deleted_by($answer), 'redis', 'a logout, Redis down: the cookie is deleted');
like($answer->{body}, qr/other copies|copies of/i, 'a logout, Redis down: the page says that copies may live on');
cmp_ok(logged(qr/store could not be reached at "\S+:\d+"/, '(?:logging out|loading a session)', 'redis'), '>=', 1,
    'a logout, Redis down: logged');
is(deleted_by($elsewhere->get('/logout/redis', headers => \%from_elsewhere)), '',
    q{a logout, Redis down: another site's link deletes none});
is(deleted_by($elsewhere->post('/logout/redis', { confirm => 'x' x 22 }, headers => \%from_elsewhere)), '',
    q{a logout, Redis down: nor does another site's form});
$redis->start;

# oidc_state_zone is full. Ids of logout tokens take room as well, which is free again when they are over:
# the zone is full when it takes no logout right after that.

my ($logouts, $taken) = (0, 1);
while ($taken && $logouts < 8000) {
    $clock->advance(TOKEN_LIFE + 120);
    $taken = 0;
    while (my $more = logouts_of_others(100)) {
        $taken += $more;
    }
}
is($taken, 0, 'the zone is full');

$op->set(user => { sub => 'newcomer', note => 'x' x 3000 });    # who has no record that could make room
my $other = user('large');
$user = user('large');
my $copy = $user->clone;
$op->reset;
log_mark($t);
$answer = $user->get('/logout/large');
is(join(' ', sort grep { /^large/ && !/_login_/ } map { $_->{name} } $copy->cookies), 'large large.1',
    'a session of two cookies');
is(outcome($answer), '503 store_full', 'a logout, the zone is full: 503');
is(deleted_by($answer), 'large large.1', 'a logout, the zone is full: both cookies are deleted');
like($answer->{body}, qr/other copies|copies of/i, 'a logout, the zone is full: the page says that copies may live on');
is(logged('oidc_state_zone has no room for another revocation', 'logging out', 'large'), 1,
    'a logout, the zone is full: logged');
is(seen($user, 'large'), '302', 'a logout, the zone is full: the browser has no session');
is(seen($copy, 'large'), 'newcomer', 'a logout, the zone is full: the copy lives on');
is(deleted_by($other->get('/logout/large', headers => \%from_elsewhere)), '',
    q{a logout, the zone is full: another site's link deletes nothing});
is(seen($other, 'large'), 'newcomer', 'a logout, the zone is full: nor ends another session');
is(user_of($user->login(page_of('large'))), 'alice', 'a logout, the zone is full: a login');

# ------------------------------------------------------------------------------------------------------

# A browser that is logged in.
sub user {
    my ($place) = @_;

    $op->clear;
    my $res = login(page_of($place));
    die "no login: $res->{status} $res->{body}" if $res->{status} != 200;
    return $res->{browser};
}

# One whose session is in need of a refresh, and its access token.
sub due {
    my ($place) = @_;

    my $user = user($place);
    my $token = $op->last_login->{issued}{access_token};
    $clock->advance(DUE);
    $op->clear;
    return ($user, $token);
}

sub token { return $_[0]{headers}{'x-token'} // '' }

sub user_of { return $_[0]{headers}{'x-user'} || outcome($_[0]) }

sub seen { return user_of($_[0]->get(page_of($_[1]))) }

# Names of the session's cookies that an answer deletes.
sub deleted_by {
    my ($answer) = @_;

    return join ' ', sort grep { !/_login_/ } map { /^([^=]+)=;.*; Max-Age=0/ } @{ $answer->{set_cookie} };
}

# How many lines there are with this sentence.
sub logged {
    my ($sentence, $doing, $place) = @_;

    my $line = qr/\[error\] .* oidc: $sentence while $doing, provider "$place"/;
    log_has($t, $line);
    return scalar(() = error_log_lines($t, $line));
}

# How many of so many logout tokens are taken, each of another user.
sub logouts_of_others {
    my ($number) = @_;

    my @tokens = map { hs_logout_token($op, jti => $_, sub => $_) } map { 'user-' . $logouts++ } 1 .. $number;
    return scalar grep { $_ == 200 } pipelined([ map { post_of('/back/hs', "logout_token=$_") } @tokens ]);
}
