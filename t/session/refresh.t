#!/usr/bin/perl

# Tests for the renewal of a session's tokens: when it is due, what the request that triggers it sees, which parts of
# the response are used, and the effects of a refusal and of an outage. nginx runs under the clock of the test.
# single_flight.t tests concurrent requests.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;
use Test::OIDC::Wait qw/ reload /;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/);
my $clock = Test::OIDC::Clock->new($t);
$t->plan(308);

# Seconds that the test itself may take between two steps.
use constant SPARE => 20;

# An access token lives for 300 seconds and is renewed 60 seconds before it expires.
use constant { LIFE => 300, DUE => 245 };

# GRACE: how long the result of a renewal is kept for the replaced cookie. SESSION_PAUSE and WORKER_PAUSE:
# failure backoff of the same session and of other sessions in the same worker.
use constant { GRACE => 300, SESSION_PAUSE => 30, WORKER_PAUSE => 10 };

my %strict = (refresh => { rotate => 1, strict => 1 }, expires_in => LIFE);
my $op = provider($t, 8081, %strict);
$clock->follow($op);

# The location /NAME/ needs a login with provider NAME, whose session cookie is NAME.
my %provider = (
    auto => '',
    ahead => 'token_refresh 2m',
    early => 'token_refresh 10m',
    never => 'token_refresh off',
    stored => 'session_store sessions',
    large => 'session_store cookie',
    info => 'userinfo on',
    brief => 'session_timeout 10m',
    hasty => 'read_timeout 1s',
    lasting => 'session_timeout 30d',
    leaving => 'logout_uri /logout',
);

configure($t, 'X-Access-Token $oidc_access_token', 'X-Id-Token $oidc_id_token');
$t->run();

# When a renewal is due

for my $case (
    ['60 seconds before expiry', 'auto', 300, 240],
    ['expires_in in a string', 'auto', '300', 240],
    ['not in the first half of a short life', 'auto', 60, 30],
    ['token_refresh 2m', 'ahead', 300, 180],
    ['token_refresh of more than half a life', 'early', 300, 150])
{
    my ($name, $provider, $life, $due) = @$case;
    $op->set(expires_in => $life);
    my $first = login("/$provider/");
    $op->clear;

    $clock->advance($due - SPARE);
    is($first->{browser}->get("/$provider/")->{body}, $first->{body}, "$name: the access token is kept until then");
    $clock->advance(SPARE);
    is(token_of($first->{browser}->get("/$provider/")), issued(), "$name: the access token is renewed then");
    $first->{browser}->get("/$provider/") for 1 .. 3;
    is(refreshes(), 1, "$name: one refresh request is sent");
}
$op->reset;

for my $case (
    ['token_refresh off', 'never'],
    ['no refresh token', 'auto', refresh => undef],
    ['no expires_in', 'auto', token => { expires_in => undef }],
    ['expires_in is not a number', 'auto', token => { expires_in => 'soon' }])
{
    my ($name, $provider, %knobs) = @$case;
    $op->set(%knobs);
    my $first = login("/$provider/");
    $op->reset->clear;

    $clock->advance(LIFE + 1);
    is($first->{browser}->get("/$provider/")->{body}, $first->{body}, "$name: the tokens do not change");
    is(refreshes(), 0, "$name: no refresh request is sent");
}

# The refresh request and the response to the client

my ($user, $first) = due('auto');
my $old = $user->cookie('auto');
my $answer = $user->get('/auto/');
my ($asked) = $op->requests('/token refresh');
my ($set_cookie) = grep { /^auto=/ } @{ $answer->{set_cookie} };

is($answer->{status}, 200, 'the request that triggers the renewal succeeds');
is(token_of($answer), $asked->{issued}{access_token}, 'the application sees the new access token');
isnt($answer->{body}, $first->{body}, 'the new access token differs from the old one');
cmp_ok($answer->{headers}{'x-token-expires'} - $first->{headers}{'x-token-expires'}, '>=', DUE,
    'the new access token expires later');
is(id_token_of($answer), $asked->{issued}{id_token}, 'the application sees the new ID token');
like($set_cookie, qr/^auto=[\w-]+; Path=\/; HttpOnly; SameSite=Lax$/, 'the response sets the new session cookie');
isnt($user->cookie('auto'), $old, 'the new session cookie differs from the old one');
like($answer->{headers}{'cache-control'}, qr/\bno-store\b/, 'Cache-Control of that response has no-store');
like($answer->{headers}{'cache-control'}, qr/\bmax-age=60\b/, 'Cache-Control of the application is kept as well');
is($answer->{headers}{'x-app'}, 'app', 'headers of the application are kept');
is_deeply([grep { !/^auto/ } @{ $answer->{set_cookie} }], ['app=1', 'theme=dark'],
    'cookies of the application are kept');

is($asked->{verdict}, 'ok', 'the provider accepts the refresh request');
is($asked->{params}{refresh_token}, $op->{first}{refresh_token},
    'the refresh request has the refresh token of the login');
is_deeply([sort keys %{ $asked->{params} }], [qw/ grant_type refresh_token /],
    'the refresh request has no other parameters');
is(join(' ', grep { !/jwks|well-known/ } map { $_->{kind} } $op->requests), '/token refresh',
    'no other request is sent to the provider');

$answer = $user->get('/auto/');
is(token_of($answer), issued(), 'the next request sees the new access token');
is_deeply($answer->{set_cookie}, ['app=1', 'theme=dark'], 'the next response sets no session cookie');
is($answer->{headers}{'cache-control'}, 'max-age=60', 'the next response has no no-store');
is(refreshes(), 1, 'the next request sends no refresh request');

($user) = due('auto');
$answer = $user->get('/auto/missing');
is($answer->{status}, 404, 'renewal on a page that does not exist: 404');
is(cookie_names($answer), 'auto', 'renewal on a page that does not exist: the new cookie is set');

($user) = due('auto');
my $form = 'a=' . 'b' x 3000;
$answer = $user->post('/auto/echo', $form);
is($answer->{body}, $form, 'renewal on a POST: the application receives the body');
is(refreshes(), 1, 'renewal on a POST: one refresh request');
is(cookie_names($answer), 'auto', 'renewal on a POST: the new cookie is set');

($user) = due('auto');
$answer = $user->request('HEAD', '/auto/');
is($answer->{status} . ' ' . cookie_names($answer), '200 auto', 'renewal on HEAD: the new cookie is set');

($user) = due('auto');
$answer = $user->get('/verify');
is(token_of($answer), issued(), 'auth_oidc_mode verify: a new token');
is(cookie_names($answer), 'auto', 'auth_oidc_mode verify: a new cookie');

($user) = due('auto');
is($user->get('/open')->{body} . refreshes(), 'open0', 'a location without auth_oidc renews nothing');

($user) = due('leaving');
is($user->get('/logout')->{status}, 302, 'a logout is redirected');
is(refreshes(), 0, 'a logout renews nothing');

# Sizes and stores

$op->set(access_token => 'x' x 4000);
($user, $first) = due('large');
is(session_cookies($user, 'large'), 'large large.1', 'a session in two cookies');
$answer = $user->get('/large/');
is(token_of($answer), issued(), 'a session in two cookies is renewed');
is(session_cookies($user, 'large'), 'large', 'a renewed session that fits one cookie uses one');
is(token_of($user->get('/large/')), issued(), 'a session in one cookie opens after the renewal');

$op->set(long_token(4000));
$clock->advance(DUE);
$user->get('/large/');
is(session_cookies($user, 'large'), 'large large.1', 'a renewed session that needs two cookies uses two');
is(length token_of($user->get('/large/')), 4000, 'a session in two cookies opens after the renewal');

$op->set(long_token(40_000));
$clock->advance(DUE);
log_mark($t);
$answer = $user->get('/large/');
is($answer->{status}, 302, 'a renewed session that is too large for cookies ends');
is(session_cookies($user, 'large'), '', 'a renewed session that is too large: its cookies are deleted');
ok(log_has($t, qr/oidc: session needs \d+ bytes of cookies, .*while renewing a session, provider "large"/),
    'a renewed session that is too large: logged');
$op->reset;

$op->set(long_token(4000));
($user) = due('auto');
is(length token_of($user->get('/auto/')), 4000, 'session_store auto: a session that has grown opens');
cmp_ok(length($user->cookie('auto')), '<', 400,
    'session_store auto: a session that has grown moves to shared memory');
is(length token_of($user->get('/auto/')), 4000, 'session_store auto: the moved session opens');
$op->reset;
$clock->advance(DUE);
is(token_of($user->get('/auto/')), issued(), 'session_store auto: the moved session is renewed');
is(token_of($user->get('/auto/')), issued(), 'session_store auto: the moved session opens after the renewal');

($user) = due('stored');
my $copy = $user->clone;
$answer = $user->get('/stored/');
is(token_of($answer), issued(), 'a session in a store is renewed');
is(cookie_names($answer), 'stored', 'a session in a store gets a new cookie');
is(token_of($_->get('/stored/')), issued(), 'the store holds the new token') for $user, $copy;
is(refreshes(), 1, 'a session in a store: one refresh request is sent');

# What a renewal takes from the token response

for my $provider (qw/ auto stored /) {
    ($user, $first) = due($provider);
    $op->set(user => { sub => 'alice', name => 'Alice Hargreaves' });
    is(name_of($user->get("/$provider/")), 'Alice Hargreaves',
        "$provider: the request that triggers the renewal sees claims of the new ID token");
    is(name_of($user->get("/$provider/")), 'Alice Hargreaves',
        "$provider: the next request sees claims of the new ID token");

    $op->set(user => { sub => 'alice' });
    $clock->advance(DUE);
    is(name_of($user->get("/$provider/")), '', "$provider: a claim that the new ID token lacks is removed");
    $op->reset;
}

($user, $first) = due('auto');
$op->set(refreshed => { token => { id_token => undef } });
$answer = $user->get('/auto/');
is(token_of($answer), issued(), 'no ID token: the new access token is used');
is(id_token_of($answer), id_token_of($first), 'no ID token: the old ID token is kept');
is(name_of($answer), 'Alice Liddell', 'no ID token: the old claims are kept');
$op->reset;

$op->set(userinfo => { claims => { department => 'Tea' } });
($user) = due('info');
$op->set(userinfo => { claims => { department => 'Hats' } });
$answer = $user->get('/info/');
is(token_of($answer), issued(), 'user info: the access token is renewed');
is($answer->{body} =~ s/.*department=//sr, 'Hats', 'user info: the claims are those of the new response');
is($op->count('/userinfo'), 1, 'user info: one request per renewal');
$op->reset;

($user) = due('auto');
$op->set(jwks => ['rsa-2'], id_token => { key => 'rsa-2' });
is(token_of($user->get('/auto/')), issued(), 'an ID token signed with a new key is accepted');
is($op->count('/jwks'), 1, 'an ID token signed with a new key: the keys are fetched once');
$op->reset;

# Refresh tokens

($user) = due('auto');
my @used;
for (1 .. 3) {
    $user->get('/auto/');
    push @used, map { [$_->{params}{refresh_token}, $_->{issued}{refresh_token}, $_->{verdict}] }
        $op->requests('/token refresh');
    $op->clear;
    $clock->advance(DUE);
}
is(join(' ', map { $_->[2] } @used), 'ok ok ok', 'rotation: the provider accepts each refresh token');
is($used[$_][0], $used[$_ - 1][1], 'rotation: the latest refresh token is sent') for 1, 2;

$op->set(refresh => {});
($user) = due('auto');
for (1, 2) {
    is(token_of($user->get('/auto/')), issued(), 'no new refresh token: the access token is renewed');
    is(($op->requests('/token refresh'))[-1]{params}{refresh_token}, $op->{first}{refresh_token},
        'no new refresh token: the old refresh token is sent');
    $clock->advance(DUE);
}
$op->reset;

# The replaced cookie

for my $case (
    ['refresh tokens for one use', { rotate => 1, strict => 1 }, 302],
    ['reusable refresh tokens', {}, 200])
{
    my ($name, $refresh, $status) = @$case;
    $op->set(refresh => $refresh, expires_in => 3600);
    my $user = login('/auto/')->{browser};
    $clock->advance(3600 - 50);
    my @copies = map { $user->clone } 1 .. 3;
    $op->clear;

    my $new = token_of($user->get('/auto/'));
    my $answer = $copies[0]->get('/auto/');
    is(token_of($answer), $new, "$name: the replaced cookie gets the new access token");
    is($copies[0]->cookie('auto'), $user->cookie('auto'), "$name: the replaced cookie gets the new cookie");
    like($answer->{headers}{'cache-control'}, qr/\bno-store\b/, "$name: Cache-Control of that response has no-store");

    $clock->advance(GRACE - SPARE);
    is(token_of($copies[1]->get('/auto/')), $new, "$name: the replaced cookie works for five minutes");
    is(refreshes(), 1, "$name: the replaced cookie sends no refresh request for five minutes");

    $clock->advance(SPARE);
    is($copies[2]->get('/auto/')->{status}, $status,
        "$name: after five minutes the replaced cookie renews by itself");
    is(refreshes(), 2, "$name: after five minutes one more refresh request is sent");
    is(token_of($user->get('/auto/')), $new, "$name: the session with the new cookie continues") if $status == 200;
}
$op->reset;

($user) = due('auto');
$op->set(refreshed => { token => { token_type => undef } });
log_mark($t);
is(token_of($user->get('/auto/')), issued(), 'no token_type: the access token is renewed');
ok(log_has($t, qr/\[notice\] .* oidc: provider sent a token response without token_type, Bearer is assumed while renewing a session, provider "auto"/),
    'no token_type: logged');
$op->reset;

# A renewal moves the end of a session.

($user, $first) = due('brief');
$op->set(refreshed => { token => { expires_in => undef } });
$answer = $user->get('/brief/');
cmp_ok($answer->{headers}{'x-expires'} - $first->{headers}{'x-expires'}, '>=', DUE,
    'session_timeout starts again with a renewal');
$clock->advance(600 - SPARE);
is($user->get('/brief/')->{status}, 200, 'a renewed session outlives the first session_timeout');
$clock->advance(SPARE);
is($user->get('/brief/')->{status}, 302, 'a renewed session ends after session_timeout');
$op->reset;

# A refusal ends the session.

my @refused = (
    ['invalid_grant', { respond => { '/token refresh' => { status => 400, body => { error => 'invalid_grant' } } } },
        'provider returned error "invalid_grant"'],
    ['invalid_grant with 401', { respond => { '/token refresh' => { status => 401, body => { error => 'invalid_grant' } } } },
        'provider returned error "invalid_grant"'],
    ['invalid_grant with 200, beside new tokens',
        { respond => { '/token refresh' => { body => '{%%*%%,"error":"invalid_grant"}' } } },
        'provider returned error "invalid_grant"'],
    ['another sub', { refreshed => { id_token => { claims => { sub => 'eve' } } } },
        'id token has a different sub than the session'],
    ['a sub in another case', { refreshed => { id_token => { claims => { sub => 'Alice' } } } },
        'id token has a different sub than the session'],
    ['no sub', { refreshed => { id_token => { claims => { sub => undef } } } },
        'id token has no sub of 1 to 255 ASCII characters'],
    ['another issuer', { refreshed => { id_token => { claims => { iss => 'https://evil.example.com' } } } },
        'id token has a wrong issuer "https://evil.example.com"'],
    ['another audience', { refreshed => { id_token => { claims => { aud => 'other' } } } },
        'id token is for another audience, "\x22other\x22"'],
    ['a bad signature', { refreshed => { id_token => { signature => 'flip' } } },
        'id token has a bad signature'],
    ['an expired ID token', { refreshed => { id_token => { claims => { exp => now(-3600) } } } },
        qr/id token expired 3[56]\d\d seconds ago/],
    ['another access token', { refreshed => { id_token => { claims => { at_hash => 'AAAAAAAAAAAAAAAAAAAAAA' } } } },
        'id token does not belong to the access token, at_hash differs'],
    ['a malformed ID token', { refreshed => { token => { id_token => 'x' } } }, qr/id token is .*/],
);

for my $case (@refused) {
    my ($name, $knobs, $sentence) = @$case;
    $op->set(%$knobs);
    my ($user) = due('auto');
    my ($copy, $anonymous) = map { $user->clone } 1, 2;

    log_mark($t);
    my $answer = $user->get('/auto/');
    is($answer->{status}, 302, "$name: the request is redirected to a login");
    is($user->cookie('auto'), undef, "$name: the cookie is deleted");
    ok(log_has($t, renewing($sentence, 'auto')), "$name: logged");

    is($copy->get('/auto/')->{status}, 302, "$name: a copy of the cookie is refused");
    $answer = $anonymous->get('/verify');
    is("$answer->{status} $answer->{body}", '200 token= name= department=', "$name: verify mode shows no tokens");
    is(refreshes(), 1, "$name: no further refresh request is sent");

    $op->reset;
    is($user->login('/auto/')->{status}, 200, "$name: a new login succeeds");
}

$op->set(respond => { '/token refresh' => { status => 400, body => { error => 'invalid_grant' } } });
($user) = due('auto');
$answer = $user->get('/verify');
is("$answer->{status} $answer->{body}", '200 token= name= department=',
    'verify: a refusal makes the request anonymous');
is($user->cookie('auto'), undef, 'verify: a refusal deletes the cookie');
like($answer->{headers}{'cache-control'}, qr/\bno-store\b/, 'verify: Cache-Control after a refusal has no-store');

($user) = due('stored');
$copy = $user->clone;
is($user->get('/stored/')->{status}, 302, 'a refusal ends a session in a store');
$op->reset;
$clock->advance(GRACE);
is($copy->get('/stored/')->{status}, 302, 'a refusal ends a session in a store for its copies, too');
is(refreshes(), 1, 'a refusal in a store: no further refresh request is sent');

# An outage does not end the session.

$op->set(refresh => { rotate => 1 });
my $url = $op->issuer . '/token';
my @outages = (
    (map { ["status $_", { status => $_ }, "provider returned status $_"] } 302, 403, 429, 500, 503),
    ['400 without an error', { status => 400, body => '<html>' }, 'provider returned status 400'],
    (map { my ($status, $error) = @$_;
        ["$status $error", { status => $status, body => { error => $error } }, qq{provider returned error "$error"}] }
        [400, 'server_error'], [400, 'temporarily_unavailable'], [401, 'invalid_client'], [400, 'invalid_request']),
    ['HTML', { headers => { 'Content-Type' => 'text/html' }, body => '<html>' },
        'provider sent content type "text/html" instead of JSON'],
    ['no JSON', { body => '{' }, 'provider sent a token response that is malformed JSON'],
    ['no access token', { body => '{"token_type":"Bearer"}' }, 'provider sent a token response without a valid access token'],
    ['a line break in the access token', { body => '{"token_type":"Bearer","access_token":"a\\nb"}' },
        'provider sent a token response without a valid access token'],
    ['another token type', { body => '{"token_type":"mac","access_token":"a"}' },
        'provider sent a token response whose token type is not Bearer'],
    ['closed', { close => 'before_headers' }, qq{provider could not be reached at "$url"}],
    ['reset', { reset => 'before_headers' }, qq{provider could not be reached at "$url"}],
    ['cut short', { close => 'mid_body' }, qq{provider sent an incomplete response at "$url"}],
);

($user, $first) = due('auto');
for my $case (@outages) {
    my ($name, $respond, $sentence) = @$case;
    $op->clear->set(respond => { '/token refresh' => $respond });
    log_mark($t);
    my $answer = $user->get('/auto/');
    is("$answer->{status} $answer->{body}", "200 $first->{body}", "$name: the old tokens are used");
    is(cookie_names($answer), '', "$name: no cookie is set");

    $user->get('/auto/') for 1, 2;
    is(refreshes(), 1, "$name: one refresh request is sent");
    is(scalar(error_log_lines($t, renewing($sentence, 'auto'))), 1, "$name: logged once");
    $clock->advance(SESSION_PAUSE + 1);
}

$op->clear->stop;
log_mark($t);
is($user->get('/auto/')->{body}, $first->{body}, 'no connection: the old tokens are used');
is(scalar(error_log_lines($t, renewing(qq{provider could not be reached at "$url"}, 'auto'))), 1,
    'no connection: logged once');
$op->start->set(respond => {});

$clock->advance(SESSION_PAUSE + 1);
is(token_of($user->get('/auto/')), issued(), 'after the outages the same refresh token is accepted');

($user, $first) = due('hasty');
$op->set(respond => { '/token refresh' => { hold => 1 } });
log_mark($t);
is($user->get('/hasty/')->{body}, $first->{body}, 'silence: the old tokens are used');
ok(log_has($t, renewing(qq{provider did not respond in time at "$url"}, 'hasty')), 'silence: logged');
$op->set(respond => {});

($user, $first) = due('lasting');
$clock->advance(26 * 3600);
$op->stop;
log_mark($t);
is($user->get('/lasting/')->{body}, $first->{body}, 'metadata too old and not available: the old tokens are used');
ok(log_has($t, renewing(qr/provider could not be reached at "\S+openid-configuration"/, 'lasting')),
    'metadata too old and not available: logged');
$op->start;

# The failure backoff

my $closed = { close => 'before_headers' };
$op->set(respond => { '/token refresh' => $closed });
my $other = login('/auto/')->{browser};
($user) = due('auto');

$user->get('/auto/');
$user->get('/auto/');
$other->get('/auto/');
is(refreshes(), 1, 'a failure: neither this session nor another one tries again at once');

$clock->advance(WORKER_PAUSE + 1);
$user->get('/auto/');
is(refreshes(), 1, 'a failure: this session does not try again 10 seconds later');
$other->get('/auto/');
is(refreshes(), 2, 'a failure: another session tries again 10 seconds later');

$clock->advance(SESSION_PAUSE - WORKER_PAUSE);
$user->get('/auto/');
is(refreshes(), 3, 'a failure: this session tries again 30 seconds later');

for my $answer (
    { status => 400, body => { error => 'server_error' } },
    { status => 401, body => { error => 'invalid_client' } },
    { status => 429 },
    { status => 500 },
) {
    $op->set(respond => { '/token refresh' => $answer });
    $other = login('/auto/')->{browser};
    ($user) = due('auto');
    $_->get('/auto/') for $user, $user, $other;
    is(refreshes(), 2, "a response with status $answer->{status}: only this session backs off");
}

for my $status (502 .. 504) {
    $op->set(respond => { '/token refresh' => { status => $status } });
    $other = login('/auto/')->{browser};
    ($user) = due('auto');
    $_->get('/auto/') for $user, $user, $other;
    is(refreshes(), 1, "a response with status $status: the provider is out of reach, no session tries again at once");
    $clock->advance(WORKER_PAUSE + 1);
}

$op->set(respond => { '/token refresh' => { status => 503 } });
($user, $first) = due('brief');
$user->get('/brief/');
$clock->advance(600 - DUE - SPARE);
is($user->get('/brief/')->{body}, $first->{body}, 'an outage: the session continues');
$clock->advance(SPARE);
is($user->get('/brief/')->{status}, 302, 'an outage: the session ends after session_timeout');
$op->reset;

# During the failure backoff, results of earlier refreshes are still used.

my %user = map { $_ => login('/auto/')->{browser} } qw/ refused renewed other /;
my %before = map { $_ => $user{$_}->clone } keys %user;
$clock->advance(DUE);
$op->set(respond => { '/token refresh' => { status => 400, body => { error => 'invalid_grant' } } });
is($user{refused}->get('/auto/')->{status}, 302, 'failure backoff: a session that was refused');
$op->set(respond => {});
my $new = token_of($user{renewed}->get('/auto/'));
is($new, issued(), 'failure backoff: a session that was renewed');
$op->set(respond => { '/token refresh' => $closed });
is($user{other}->get('/auto/')->{status}, 200, 'failure backoff: a session whose renewal failed');

is($before{refused}->get('/auto/')->{status}, 302, 'failure backoff: a copy of the refused session is refused');
is(token_of($before{renewed}->get('/auto/')), $new,
    'failure backoff: the replaced cookie of the renewed session gets the new token');
$op->reset;

# A key set that cannot be fetched is an outage, too.

($user, $first) = due('auto');
$op->set(jwks => ['rsa-2'], id_token => { key => 'rsa-2' }, respond => { '/jwks' => { status => 503 } });
log_mark($t);
is($user->get('/auto/')->{body}, $first->{body}, 'a new key that cannot be fetched: the old tokens are used');
ok(log_has($t, qr/oidc: .* while renewing a session, provider "auto"/), 'a new key that cannot be fetched: logged');
$op->reset;

# No token variable is used.

configure($t, 'X-Nothing 0');
reload($t);
for my $case (['no token variable', 'auto', 0], ['no token variable, token_refresh 2m', 'ahead', 1]) {
    my ($name, $provider, $count) = @$case;
    my ($user) = due($provider);
    my $answer = $user->get("/$provider/");
    is($answer->{status}, 200, "$name: the page is served");
    is(refreshes(), $count, "$name: number of refresh requests");
    is(cookie_names($answer), $count ? $provider : '', "$name: cookies set");
}

# Logs in and advances the clock to the renewal. Returns the browser and the login response.
sub due {
    my ($provider) = @_;

    $op->clear;
    my $first = login("/$provider/");
    $op->{first} = $op->last_login->{issued};
    $clock->advance(DUE);
    $op->clear;
    return ($first->{browser}, $first);
}

# Knobs for a refresh that returns an access token of that length.
sub long_token {
    my ($length) = @_;

    return (refreshed => {
        token => { access_token => 'x' x $length }, id_token => { claims => { at_hash => undef } } });
}

# The access token of the last refresh
sub issued {
    my ($last) = reverse $op->requests('/token refresh');
    return $last->{issued}{access_token};
}

sub refreshes { return $op->count('/token refresh') }

sub token_of { return shift->{body} =~ s/^token=(\S*).*/$1/sr }
sub name_of { return shift->{body} =~ s/.*name=(.*) department=.*/$1/sr }
sub id_token_of { return shift->{headers}{'x-id-token'} }

# Names of the session cookies that a response sets or deletes.
sub cookie_names {
    my ($answer) = @_;

    return join ' ', grep { !/^(?:app|theme)$/ && !/_login_/ } map { /^([^=]+)/ } @{ $answer->{set_cookie} };
}

sub session_cookies {
    my ($browser, $name) = @_;

    return join ' ', sort map { $_->{name} } grep { $_->{name} =~ /^\Q$name\E(?:\.\d)?$/ } $browser->cookies;
}

sub renewing {
    my ($sentence, $provider) = @_;

    $sentence = quotemeta $sentence unless ref $sentence;
    return qr/\[error\] .* oidc: $sentence while renewing a session, provider "$provider", session "[\w-]+"/;
}

# Sends these headers to the application.
sub configure {
    my ($t, @headers) = @_;

    my $server = <<'EOC';
    oidc_session_store sessions { type memory; size 1m; }

    large_client_header_buffers 4 32k;
    proxy_set_header X-Name       $oidc_claim_name;
    proxy_set_header X-Department $oidc_claim_department;
    HEADERS

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        add_header X-Expires       $oidc_session_expires always;
        add_header X-Token-Expires $oidc_access_token_expires always;

        location /open   { return 200 open; }
        location /verify { auth_oidc auto; auth_oidc_mode verify; proxy_pass http://127.0.0.1:8082; }

        LOCATIONS
    }

    server {
        listen       127.0.0.1:8082;
        server_name  localhost;

        add_header X-App         app;
        add_header X-Id-Token    $http_x_id_token;
        add_header Set-Cookie    app=1;
        add_header Set-Cookie    theme=dark;
        add_header Cache-Control max-age=60;

        location / {
            return 200 "token=$http_x_access_token name=$http_x_name department=$http_x_department";
        }

        location /auto/missing { return 404; }
        location /auto/shown   { return 200 $http_x_body; }

        location /auto/echo {
            client_body_in_single_buffer on;
            proxy_set_header X-Body $request_body;
            proxy_set_body   "";
            proxy_pass       http://127.0.0.1:8082/auto/shown;
        }
    }
EOC
    my $headers = join "\n    ", map { "proxy_set_header $_;" } @headers;
    my $locations = join "\n        ",
        map { "location /$_/ { auth_oidc $_; proxy_pass http://127.0.0.1:8082; }" } sort keys %provider;
    my @providers = map { oidc_provider($_, $provider{$_}) } sort keys %provider;

    $t->write_file_expand('nginx.conf',
        nginx_conf(@providers, $server =~ s/HEADERS/$headers/r =~ s/LOCATIONS/$locations/r));
}
