#!/usr/bin/perl

# Tests for the renewal of a session's tokens: when it is due, what the request that needs it sees and
# gets, what of the provider's answer is taken, and what a refusal and an outage do to the session. nginx
# runs under a clock of its own. What parallel requests do is in single_flight.t.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Time::HiRes qw/ sleep time /;

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/);
my $clock = Test::OIDC::Clock->new($t);
$t->plan(291);

# As many seconds the test itself may take between two steps.
use constant SPARE => 20;

# An access token lives for 300 seconds, and is renewed 60 seconds ahead of its end.
use constant { LIFE => 300, DUE => 245 };

# How long a renewal's result stays for the cookie that it replaced, and how long none is tried after
# a failure, by the same session and by others.
use constant { GRACE => 300, SESSION_PAUSE => 30, WORKER_PAUSE => 10 };

my %strict = (refresh => { rotate => 1, strict => 1 }, expires_in => LIFE);
my $op = provider($t, 8081, %strict);
$clock->follow($op);

# Each is at /NAME/, with a cookie NAME.
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

# When

for my $case (
    ['60 seconds ahead', 'auto', 300, 240],
    ['not in the first half of a short life', 'auto', 60, 30],
    ['token_refresh 2m', 'ahead', 300, 180],
    ['token_refresh of more than half a life', 'early', 300, 150])
{
    my ($name, $place, $life, $due) = @$case;
    $op->set(expires_in => $life);
    my $first = login("/$place/");
    $op->clear;

    $clock->advance($due - SPARE);
    is($first->{browser}->get("/$place/")->{body}, $first->{body}, "$name: not before");
    $clock->advance(SPARE);
    is(token_of($first->{browser}->get("/$place/")), issued(), "$name: then");
    $first->{browser}->get("/$place/") for 1 .. 3;
    is(refreshes(), 1, "$name: once");
}
$op->reset;

for my $case (
    ['token_refresh off', 'never'],
    ['no refresh token', 'auto', refresh => undef],
    ['a lifetime that is not told', 'auto', token => { expires_in => undef }],
    ['a lifetime that is no number', 'auto', token => { expires_in => 'soon' }])
{
    my ($name, $place, %knobs) = @$case;
    $op->set(%knobs);
    my $first = login("/$place/");
    $op->reset->clear;

    $clock->advance(LIFE + 1);
    is($first->{browser}->get("/$place/")->{body}, $first->{body}, "$name: the tokens stay as they are");
    is(refreshes(), 0, "$name: no refresh");
}

# What goes out

my ($user, $first) = due('auto');
my $old = $user->cookie('auto');
my $answer = $user->get('/auto/');
my ($asked) = $op->requests('/token refresh');
my ($set_cookie) = grep { /^auto=/ } @{ $answer->{set_cookie} };

is($answer->{status}, 200, 'the request that needs it is answered');
is(token_of($answer), $asked->{issued}{access_token}, 'the application sees the new access token');
isnt($answer->{body}, $first->{body}, 'which is another one');
cmp_ok($answer->{headers}{'x-token-expires'} - $first->{headers}{'x-token-expires'}, '>=', DUE, 'and ends later');
is(id_token_of($answer), $asked->{issued}{id_token}, 'and the new ID token');
like($set_cookie, qr/^auto=[\w-]+; Path=\/; HttpOnly; SameSite=Lax$/, 'the new cookie comes with that answer');
isnt($user->cookie('auto'), $old, 'and replaces the old one');
like($answer->{headers}{'cache-control'}, qr/\bno-store\b/, 'which is not kept by caches');
like($answer->{headers}{'cache-control'}, qr/\bmax-age=60\b/, 'beside what the application says of that');
is($answer->{headers}{'x-app'}, 'app', 'headers of the application stay');
is_deeply([grep { !/^auto/ } @{ $answer->{set_cookie} }], ['app=1', 'theme=dark'], 'and its cookies');

is($asked->{verdict}, 'ok', 'the provider has nothing against the request');
is($asked->{params}{refresh_token}, $op->{first}{refresh_token}, 'with the refresh token of the login');
is_deeply([sort keys %{ $asked->{params} }], [qw/ grant_type refresh_token /], 'and nothing else in it');
is(join(' ', grep { !/jwks|well-known/ } map { $_->{kind} } $op->requests), '/token refresh', 'by nothing else');

$answer = $user->get('/auto/');
is(token_of($answer), issued(), 'the next request has the new token');
is_deeply($answer->{set_cookie}, ['app=1', 'theme=dark'], 'and sets no cookie');
is($answer->{headers}{'cache-control'}, 'max-age=60', 'nor says that it is not to be kept');
is(refreshes(), 1, 'nor asks');

($user) = due('auto');
$answer = $user->get('/auto/missing');
is($answer->{status}, 404, 'a page that is not there');
is(cookie_names($answer), 'auto', 'brings the new cookie as well');

($user) = due('auto');
my $form = 'a=' . 'b' x 3000;
$answer = $user->post('/auto/echo', $form);
is($answer->{body}, $form, 'the body of a request reaches the application');
is(refreshes(), 1, 'by one refresh');
is(cookie_names($answer), 'auto', 'and brings the new cookie');

($user) = due('auto');
$answer = $user->request('HEAD', '/auto/');
is($answer->{status} . ' ' . cookie_names($answer), '200 auto', 'HEAD');

($user) = due('auto');
$answer = $user->get('/verify');
is(token_of($answer), issued(), 'auth_oidc_mode verify: a new token');
is(cookie_names($answer), 'auto', 'auth_oidc_mode verify: a new cookie');

($user) = due('auto');
is($user->get('/open')->{body} . refreshes(), 'open0', 'none where no login is needed');

($user) = due('leaving');
is($user->get('/logout')->{status}, 302, 'a logout');
is(refreshes(), 0, 'needs none');

# What the cookies hold

$op->set(access_token => 'x' x 4000);
($user, $first) = due('large');
is(session_cookies($user, 'large'), 'large large.1', 'a session in two cookies');
$answer = $user->get('/large/');
is(token_of($answer), issued(), 'is renewed');
is(session_cookies($user, 'large'), 'large', 'and needs one then');
is(token_of($user->get('/large/')), issued(), 'which opens');

$op->set(long_token(4000));
$clock->advance(DUE);
$user->get('/large/');
is(session_cookies($user, 'large'), 'large large.1', 'or two again');
is(length token_of($user->get('/large/')), 4000, 'which open');

$op->set(long_token(40_000));
$clock->advance(DUE);
log_mark($t);
$answer = $user->get('/large/');
is($answer->{status}, 302, 'a session that has become too large ends');
is(session_cookies($user, 'large'), '', 'its cookies go');
ok(log_has($t, qr/oidc: session needs \d+ bytes of cookies, .*while renewing a session, provider "large"/),
    'and the log says why');
$op->reset;

$op->set(long_token(4000));
($user) = due('auto');
is(length token_of($user->get('/auto/')), 4000, 'session_store auto, one that has grown');
cmp_ok(length($user->cookie('auto')), '<', 400, 'is kept here from then on');
is(length token_of($user->get('/auto/')), 4000, 'and goes on');
$op->reset;
$clock->advance(DUE);
is(token_of($user->get('/auto/')), issued(), 'to the next refresh');
is(token_of($user->get('/auto/')), issued(), 'and from that');

($user) = due('stored');
my $copy = $user->clone;
$answer = $user->get('/stored/');
is(token_of($answer), issued(), 'a session in a store is renewed');
is(cookie_names($answer), 'stored', 'with a new cookie');
is(token_of($_->get('/stored/')), issued(), 'the new token is in the store') for $user, $copy;
is(refreshes(), 1, 'by one refresh');

# What is taken

for my $place (qw/ auto stored /) {
    ($user, $first) = due($place);
    $op->set(user => { sub => 'alice', name => 'Alice Hargreaves' });
    is(name_of($user->get("/$place/")), 'Alice Hargreaves', "$place: the claims of the new ID token");
    is(name_of($user->get("/$place/")), 'Alice Hargreaves', "$place: are the session's");

    $op->set(user => { sub => 'alice' });
    $clock->advance(DUE);
    is(name_of($user->get("/$place/")), '', "$place: what a newer one does not say is gone");
    $op->reset;
}

($user, $first) = due('auto');
$op->set(refreshed => { token => { id_token => undef } });
$answer = $user->get('/auto/');
is(token_of($answer), issued(), 'no ID token: the new access token');
is(id_token_of($answer), id_token_of($first), 'no ID token: the old one stays');
is(name_of($answer), 'Alice Liddell', 'no ID token: so do its claims');
$op->reset;

$op->set(userinfo => { claims => { department => 'Tea' } });
($user) = due('info');
$op->set(userinfo => { claims => { department => 'Hats' } });
$answer = $user->get('/info/');
is(token_of($answer), issued(), 'user info: a new token');
is($answer->{body} =~ s/.*department=//sr, 'Hats', 'user info: the claims of a new answer');
is($op->count('/userinfo'), 1, 'user info: which is asked for at the renewal');
$op->reset;

($user) = due('auto');
$op->set(jwks => ['rsa-2'], id_token => { key => 'rsa-2' });
is(token_of($user->get('/auto/')), issued(), 'a new key of the provider is fetched');
is($op->count('/jwks'), 1, 'once');
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
is(join(' ', map { $_->[2] } @used), 'ok ok ok', 'rotation: each refresh token is taken');
is($used[$_][0], $used[$_ - 1][1], 'rotation: the one that came last is used') for 1, 2;

$op->set(refresh => {});
($user) = due('auto');
for (1, 2) {
    is(token_of($user->get('/auto/')), issued(), 'no new refresh token');
    is(($op->requests('/token refresh'))[-1]{params}{refresh_token}, $op->{first}{refresh_token}, 'the old one stays');
    $clock->advance(DUE);
}
$op->reset;

# The cookie of before

for my $case (
    ['refresh tokens that are spent', { rotate => 1, strict => 1 }, 302],
    ['refresh tokens that stay', {}, 200])
{
    my ($name, $refresh, $status) = @$case;
    $op->set(refresh => $refresh, expires_in => 3600);
    my $user = login('/auto/')->{browser};
    $clock->advance(3600 - 50);
    my @copies = map { $user->clone } 1 .. 3;
    $op->clear;

    my $new = token_of($user->get('/auto/'));
    my $answer = $copies[0]->get('/auto/');
    is(token_of($answer), $new, "$name: the old cookie gets the new token");
    is($copies[0]->cookie('auto'), $user->cookie('auto'), "$name: and the new cookie");
    like($answer->{headers}{'cache-control'}, qr/\bno-store\b/, "$name: which is not kept by caches");

    $clock->advance(GRACE - SPARE);
    is(token_of($copies[1]->get('/auto/')), $new, "$name: for five minutes");
    is(refreshes(), 1, "$name: without another refresh");

    $clock->advance(SPARE);
    is($copies[2]->get('/auto/')->{status}, $status, "$name: after that it is tried");
    is(refreshes(), 2, "$name: once more");
    is(token_of($user->get('/auto/')), $new, "$name: and the session with the new cookie goes on") if $status == 200;
}
$op->reset;

# It moves the end of a session on

($user, $first) = due('brief');
$op->set(refreshed => { token => { expires_in => undef } });
$answer = $user->get('/brief/');
cmp_ok($answer->{headers}{'x-expires'} - $first->{headers}{'x-expires'}, '>=', DUE, 'session_timeout begins anew');
$clock->advance(600 - SPARE);
is($user->get('/brief/')->{status}, 200, 'the session is longer than session_timeout');
$clock->advance(SPARE);
is($user->get('/brief/')->{status}, 302, 'and ends by it');
$op->reset;

# Refused: the session ends

my @refused = (
    ['invalid_grant', { respond => { '/token refresh' => { status => 400, body => { error => 'invalid_grant' } } } },
        'provider returned error "invalid_grant"'],
    ['invalid_grant with 401', { respond => { '/token refresh' => { status => 401, body => { error => 'invalid_grant' } } } },
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
    ['the access token of another', { refreshed => { id_token => { claims => { at_hash => 'AAAAAAAAAAAAAAAAAAAAAA' } } } },
        'id token does not belong to the access token, at_hash differs'],
    ['an ID token that is none', { refreshed => { token => { id_token => 'x' } } }, qr/id token is .*/],
);

for my $case (@refused) {
    my ($name, $knobs, $sentence) = @$case;
    $op->set(%$knobs);
    my ($user) = due('auto');
    my ($copy, $anonymous) = map { $user->clone } 1, 2;

    log_mark($t);
    my $answer = $user->get('/auto/');
    is($answer->{status}, 302, "$name: the login begins");
    is($user->cookie('auto'), undef, "$name: the cookie goes");
    ok(log_has($t, renewing($sentence, 'auto')), "$name: logged");

    is($copy->get('/auto/')->{status}, 302, "$name: a copy of the cookie is of no use");
    $answer = $anonymous->get('/verify');
    is("$answer->{status} $answer->{body}", '200 token= name= department=', "$name: nor are its tokens");
    is(refreshes(), 1, "$name: which nobody tries again");

    $op->reset;
    is($user->login('/auto/')->{status}, 200, "$name: and a new login is well");
}

$op->set(respond => { '/token refresh' => { status => 400, body => { error => 'invalid_grant' } } });
($user) = due('auto');
$answer = $user->get('/verify');
is("$answer->{status} $answer->{body}", '200 token= name= department=', 'verify: a refusal makes the request anonymous');
is($user->cookie('auto'), undef, 'verify: and the cookie goes');
like($answer->{headers}{'cache-control'}, qr/\bno-store\b/, 'verify: with an answer that is not kept by caches');

($user) = due('stored');
$copy = $user->clone;
is($user->get('/stored/')->{status}, 302, 'a session in a store ends by a refusal');
$op->reset;
$clock->advance(GRACE);
is($copy->get('/stored/')->{status}, 302, 'for good');
is(refreshes(), 1, 'without another question');

# An outage: the session goes on

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
    is("$answer->{status} $answer->{body}", "200 $first->{body}", "$name: the old tokens serve on");
    is(cookie_names($answer), '', "$name: no cookie");

    $user->get('/auto/') for 1, 2;
    is(refreshes(), 1, "$name: tried once");
    is(scalar(error_log_lines($t, renewing($sentence, 'auto'))), 1, "$name: logged once");
    $clock->advance(SESSION_PAUSE + 1);
}

$op->clear->stop;
log_mark($t);
is($user->get('/auto/')->{body}, $first->{body}, 'no connection: the old tokens serve on');
is(scalar(error_log_lines($t, renewing(qq{provider could not be reached at "$url"}, 'auto'))), 1, 'no connection: logged once');
$op->start->set(respond => {});

$clock->advance(SESSION_PAUSE + 1);
is(token_of($user->get('/auto/')), issued(), 'then a refresh, by the same refresh token');

($user, $first) = due('hasty');
$op->set(respond => { '/token refresh' => { hold => 1 } });
log_mark($t);
is($user->get('/hasty/')->{body}, $first->{body}, 'silence: the old tokens serve on');
ok(log_has($t, renewing(qq{provider did not respond in time at "$url"}, 'hasty')), 'silence: logged');
$op->set(respond => {});

($user, $first) = due('lasting');
$clock->advance(26 * 3600);
$op->stop;
log_mark($t);
is($user->get('/lasting/')->{body}, $first->{body}, 'metadata that is too old: the old tokens serve on');
ok(log_has($t, renewing(qr/provider could not be reached at "\S+openid-configuration"/, 'lasting')),
    'metadata that is too old: logged');
$op->start;

# When it is tried again

my $closed = { close => 'before_headers' };
$op->set(respond => { '/token refresh' => $closed });
my $other = login('/auto/')->{browser};
($user) = due('auto');

$user->get('/auto/');
$user->get('/auto/');
$other->get('/auto/');
is(refreshes(), 1, 'a failure: neither this session nor another one tries at once');

$clock->advance(WORKER_PAUSE + 1);
$user->get('/auto/');
is(refreshes(), 1, 'a failure: nor does this session 10 seconds later');
$other->get('/auto/');
is(refreshes(), 2, 'a failure: but then another one does');

$clock->advance(SESSION_PAUSE - WORKER_PAUSE);
$user->get('/auto/');
is(refreshes(), 3, 'a failure: this one 30 seconds later');

for my $answer ({ status => 400, body => { error => 'server_error' } }, { status => 503 }) {
    $op->set(respond => { '/token refresh' => $answer });
    $other = login('/auto/')->{browser};
    ($user) = due('auto');
    $_->get('/auto/') for $user, $user, $other;
    is(refreshes(), 2, "an answer of status $answer->{status} is of one session: others try");
}

$op->set(respond => { '/token refresh' => { status => 503 } });
($user, $first) = due('brief');
$user->get('/brief/');
$clock->advance(600 - DUE - SPARE);
is($user->get('/brief/')->{body}, $first->{body}, 'an outage: the session goes on');
$clock->advance(SPARE);
is($user->get('/brief/')->{status}, 302, 'an outage: to its own end');
$op->reset;

# While the provider is left in peace, what came of earlier refreshes holds all the same.

my %user = map { $_ => login('/auto/')->{browser} } qw/ refused renewed other /;
my %before = map { $_ => $user{$_}->clone } keys %user;
$clock->advance(DUE);
$op->set(respond => { '/token refresh' => { status => 400, body => { error => 'invalid_grant' } } });
is($user{refused}->get('/auto/')->{status}, 302, 'a session is refused');
$op->set(respond => {});
my $new = token_of($user{renewed}->get('/auto/'));
is($new, issued(), 'one is renewed');
$op->set(respond => { '/token refresh' => $closed });
is($user{other}->get('/auto/')->{status}, 200, 'and one is not, for which the provider is left in peace');

is($before{refused}->get('/auto/')->{status}, 302, 'a copy of the refused one is of no use meanwhile');
is(token_of($before{renewed}->get('/auto/')), $new, 'the old cookie of the renewed one gets the new token');
$op->reset;

# The keys are not to be had, which is an outage, too.

($user, $first) = due('auto');
$op->set(jwks => ['rsa-2'], id_token => { key => 'rsa-2' }, respond => { '/jwks' => { status => 503 } });
log_mark($t);
is($user->get('/auto/')->{body}, $first->{body}, 'a new key that cannot be fetched: the old tokens serve on');
ok(log_has($t, qr/oidc: .* while renewing a session, provider "auto"/), 'a new key that cannot be fetched: logged');
$op->reset;

# Where no token is used

configure($t, 'X-Nothing 0');
reload($t);
for my $case (['no token variable', 'auto', 0], ['no token variable, token_refresh 2m', 'ahead', 1]) {
    my ($name, $place, $count) = @$case;
    my ($user) = due($place);
    my $answer = $user->get("/$place/");
    is($answer->{status}, 200, "$name: served");
    is(refreshes(), $count, "$name: refreshes");
    is(cookie_names($answer), $count ? $place : '', "$name: cookies");
}

# A browser whose session is in need of a refresh, and what it saw at its login.
sub due {
    my ($place) = @_;

    $op->clear;
    my $first = login("/$place/");
    $op->{first} = $op->last_login->{issued};
    $clock->advance(DUE);
    $op->clear;
    return ($first->{browser}, $first);
}

# Knobs for a refresh that brings such an access token.
sub long_token {
    my ($length) = @_;

    return (refreshed => {
        token => { access_token => 'x' x $length }, id_token => { claims => { at_hash => undef } } });
}

# The access token of the last refresh.
sub issued {
    my ($last) = reverse $op->requests('/token refresh');
    return $last->{issued}{access_token};
}

sub refreshes { return $op->count('/token refresh') }

sub token_of { return shift->{body} =~ s/^token=(\S*).*/$1/sr }
sub name_of { return shift->{body} =~ s/.*name=(.*) department=.*/$1/sr }
sub id_token_of { return shift->{headers}{'x-id-token'} }

# The session's cookies that an answer sets or takes away.
sub cookie_names {
    my ($answer) = @_;

    return join ' ', grep { !/^(?:app|theme)$/ && !/_login_/ } map { /^([^=]+)/ } @{ $answer->{set_cookie} };
}

sub session_cookies {
    my ($browser, $name) = @_;

    return join ' ', sort map { $_->{name} } grep { $_->{name} =~ /^\Q$name\E(?:\.\d)?$/ } $browser->cookies;
}

sub renewing {
    my ($sentence, $place) = @_;

    $sentence = quotemeta $sentence unless ref $sentence;
    return qr/\[error\] .* oidc: $sentence while renewing a session, provider "$place"/;
}

# Until the new worker has taken over.
sub reload {
    my ($t) = @_;

    log_mark($t);
    $t->reload();
    my $end = time + 5;
    sleep 0.02 until error_log_lines($t, qr/gracefully shutting down/) || time > $end;
}

# With these headers for the application.
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
