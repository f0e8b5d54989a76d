#!/usr/bin/perl

# Tests for a failing store: a renewal that cannot acquire its lock continues with the old tokens, a logout token that
# cannot be recorded is refused, and a logout that cannot be recorded says so but deletes the browser's cookie. nginx,
# the provider and Redis run under the clock of the test.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Pipeline;
use Test::OIDC::Relay;
use Test::OIDC::Sessions;
use Test::OIDC::Site;

# An access token lives for 300 seconds and is renewed 60 seconds before it expires. A failed renewal is tried
# again after PAUSE seconds.
use constant { LIFE => 300, DUE => 245, PAUSE => 31, TOKEN_LIFE => 600 };

# name, how, status and error code, log sentence

my @failures = (
    ['Redis closes', 'close', '503 store_unreachable', qr/store could not be reached at "\S+:\d+"/],
    ['Redis is silent', 'hold', '503 store_timeout', qr/store did not respond in time at "\S+:\d+"/],
    ['Redis refuses', "-NOPERM no\r\n", '503 store_answer', qr/store "\S+:\d+" refused a command, "NOPERM"/],
    ['not Redis', "HTTP/1.1 400 Bad Request\r\n\r\n", '503 store_answer',
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

write_session_key($t);
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

# The lock cannot be acquired.

for my $case (@failures) {
    my ($name, $how, $outcome, $sentence) = @$case;

    my ($user, $old) = due('relayed');
    $relay->fails($how, WRITES);
    log_mark($t);
    my $answer = $user->get(page_of('relayed'));
    is(outcome($answer) . ' ' . token($answer), "200 $old",
        "a renewal, $name: the request continues with the old token");
    is(scalar(@{ $answer->{set_cookie} }), 0, "a renewal, $name: no cookie is set");
    is($op->count('/token refresh'), 0, "a renewal, $name: no refresh request is sent");
    is(logged($sentence, 'renewing a session', 'relayed'), 1, "a renewal, $name: one log line");
    is(scalar(error_log_lines($t, qr/oidc: /)), 1, "a renewal, $name: no other log line");

    $relay->passes;
    $clock->advance(PAUSE);
    $answer = $user->get(page_of('relayed'));
    is($op->count('/token refresh'), 1, "a renewal, $name: it is made when Redis has recovered");
    isnt(token($answer), $old, "a renewal, $name: it gets a new token");

    $user = user('relayed');
    my $token = $op->logout_token;
    $relay->fails($how, WRITES);
    log_mark($t);
    $answer = $op->send_logout_token('/back/relayed', $token);
    is(outcome($answer), $outcome, "a logout token, $name: $outcome");
    is($answer->{headers}{'cache-control'}, 'no-store', "a logout token, $name: Cache-Control is no-store");
    like($answer->{headers}{'retry-after'} // '', qr/^[1-9]\d*$/, "a logout token, $name: Retry-After");
    is(logged($sentence, 'handling a back-channel logout', 'relayed'), 1, "a logout token, $name: one log line");
    is(scalar(error_log_lines($t, qr/oidc: /)), 1, "a logout token, $name: no other log line");
    $relay->passes;
    is(seen($user, 'relayed'), 'alice', "a logout token, $name: the session continues");
    is(outcome($op->send_logout_token('/back/relayed', $token)), '200',
        "a logout token, $name: the same token is accepted when Redis has recovered");
    is(seen($user, 'relayed'), '302', "a logout token, $name: it ends the session then");
}

# Only the lock of the token fails.

my $user = user('relayed');
my $token = $op->logout_token;
$relay->fails("-NOPERM no\r\n", WRITES, 1);
is(outcome($op->send_logout_token('/back/relayed', $token)), '503 store_answer',
    'a logout token, only its lock is refused: 503');
$relay->passes;
is(seen($user, 'relayed'), 'alice', 'a logout token, only its lock is refused: the session continues');

# A logout by the user

for my $case (@failures) {
    my ($name, $how, $outcome, $sentence) = @$case;

    for my $stage (['the session can be read', WRITES, 'logging out'],
        ['the session cannot be read', undef, '(?:logging out|loading a session)'])
    {
        my ($stage_name, $commands, $action) = @$stage;
        my $name = "a logout, $stage_name, $name";
        my $user = user('relayed')->set_cookie('relayed.1=stale; Path=/');
        my ($copy, $elsewhere) = map { $user->clone } 1, 2;
        $relay->fails($how, $commands);
        log_mark($t);
        my $answer = $user->get('/logout/relayed');
        is(outcome($answer), $outcome, "$name: $outcome");
        is(deleted_by($answer), 'relayed relayed.1', "$name: the cookies are deleted");
        is($user->cookie('relayed') // $user->cookie('relayed.1'), undef, "$name: the browser keeps no cookie");
        like($answer->{body}, qr/other copies|copies of/i, "$name: the page says that copies may still work");
        is($answer->{headers}{'cache-control'}, 'no-store', "$name: Cache-Control is no-store");
        cmp_ok(logged($sentence, $action, 'relayed'), '>=', 1, "$name: logged");

        $answer = $elsewhere->get('/logout/relayed', headers => \%from_elsewhere);
        is(deleted_by($answer), '', "$name: a link of another site deletes no cookie");
        $relay->passes;
        is(seen($user, 'relayed') . ' ' . seen($elsewhere, 'relayed'), '302 alice',
            "$name: the browser has no session, the one that followed the link has");
        is($copy->get('/logout/relayed')->{status} . ' ' . seen($copy, 'relayed'), '302 302',
            "$name: a logout succeeds when Redis has recovered");
        is(user_of($user->login(page_of('relayed'))), 'alice', "$name: a login succeeds after it");
    }
}

# A logout confirmed on the page that a link of another site leads to

$user = user('relayed');
my $page = $user->get('/logout/relayed', headers => \%from_elsewhere);
$relay->fails('close', WRITES);
my ($confirmation) = $page->{body} =~ /name="confirm" value="([\w-]+)"/;
my $answer = $user->post('/logout/relayed', { confirm => $confirmation },
    headers => { 'Sec-Fetch-Site' => 'same-origin', 'Origin' => 'null' });
is(outcome($answer), '503 store_unreachable', 'a confirmed logout: 503');
is(deleted_by($answer), 'relayed', 'a confirmed logout: the cookie is deleted');
$relay->passes;
is(seen($user, 'relayed'), '302', 'a confirmed logout: the browser has no session');

# Redis is down.

$user = user('redis');
my $elsewhere = $user->clone;
$redis->kill;
log_mark($t);
$answer = $user->get('/logout/redis');
is(outcome($answer), '503 store_unreachable', 'a logout, Redis down: 503');
is(deleted_by($answer), 'redis', 'a logout, Redis down: the cookie is deleted');
like($answer->{body}, qr/other copies|copies of/i, 'a logout, Redis down: the page says that copies may still work');
cmp_ok(logged(qr/store could not be reached at "\S+:\d+"/, '(?:logging out|loading a session)', 'redis'), '>=', 1,
    'a logout, Redis down: logged');
is(deleted_by($elsewhere->get('/logout/redis', headers => \%from_elsewhere)), '',
    'a logout, Redis down: a link of another site deletes no cookie');
is(deleted_by($elsewhere->post('/logout/redis', { confirm => 'x' x 22 }, headers => \%from_elsewhere)), '',
    'a logout, Redis down: a form of another site deletes no cookie');
$redis->start;

# oidc_state_zone is full. Locks of logout tokens need memory as well, which is free again when they expire: the
# zone is full when it accepts no logout right after that.

my ($logouts, $taken) = (0, 1);
while ($taken && $logouts < 8000) {
    $clock->advance(TOKEN_LIFE + 120);
    $taken = 0;
    while (my $more = logouts_of_others(100)) {
        $taken += $more;
    }
}
is($taken, 0, 'the zone is full');

$op->set(user => { sub => 'newcomer', note => 'x' x 3000 });    # a user without records to reuse
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
like($answer->{body}, qr/other copies|copies of/i,
    'a logout, the zone is full: the page says that copies may still work');
is(logged('oidc_state_zone has no room for another revocation', 'logging out', 'large'), 1,
    'a logout, the zone is full: logged');
is(seen($user, 'large'), '302', 'a logout, the zone is full: the browser has no session');
is(seen($copy, 'large'), 'newcomer', 'a logout, the zone is full: the copy still works');
is(deleted_by($other->get('/logout/large', headers => \%from_elsewhere)), '',
    'a logout, the zone is full: a link of another site deletes no cookie');
is(seen($other, 'large'), 'newcomer', 'a logout, the zone is full: the other session continues');
is(user_of($user->login(page_of('large'))), 'alice', 'a logout, the zone is full: a login succeeds');

# ------------------------------------------------------------------------------------------------------

# A browser that is logged in
sub user {
    my ($provider) = @_;

    $op->clear;
    return logged_in($provider);
}

# Logs in and advances the clock to the renewal. Returns the browser and its access token.
sub due {
    my ($provider) = @_;

    my $user = user($provider);
    my $token = $op->last_login->{issued}{access_token};
    $clock->advance(DUE);
    $op->clear;
    return ($user, $token);
}

sub token { return $_[0]{headers}{'x-token'} // '' }

# Names of the session cookies that a response deletes
sub deleted_by {
    my ($answer) = @_;

    return join ' ', sort grep { !/_login_/ } map { /^([^=]+)=;.*; Max-Age=0/ } @{ $answer->{set_cookie} };
}

# The number of log lines with this sentence
sub logged {
    my ($sentence, $action, $provider) = @_;

    my $line = qr/\[error\] .* oidc: $sentence while $action, provider "$provider"/;
    log_has($t, $line);
    return scalar(() = error_log_lines($t, $line));
}

# Sends that many logout tokens, each of another user. Returns how many are accepted.
sub logouts_of_others {
    my ($number) = @_;

    my @tokens = map { hs_logout_token($op, jti => $_, sub => $_) } map { 'user-' . $logouts++ } 1 .. $number;
    return scalar grep { $_ == 200 } pipelined([ map { post_of('/back/hs', "logout_token=$_") } @tokens ]);
}
