#!/usr/bin/perl

# Tests for the test library: the test provider's refresh tokens, grants and logout tokens, and two nodes in
# one test. The module is not needed.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::JWT qw/ from_json jwt_verify /;
use Test::OIDC::Site qw/ http_conf /;

# Each nginx adds two assertions.
my $t = Test::Nginx->new()->has(qw/http/)->plan(53 + 2);
my $node = Test::Nginx->new();

my $op = provider($t, 8081, sid => 1, revocation => 1);
my $client = browser(base => $op->issuer);
my $redirect_uri = 'http://localhost/callback';

# The response of an endpoint to a form of our client, decoded if it is JSON.
sub posted {
    my ($path, %form) = @_;

    my $secret = 'secret-of-at-least-thirty-two-bytes';
    my $answer = $client->post($path, { client_id => 'client', client_secret => $secret, %form });
    my $json = ($answer->{headers}{'content-type'} // '') eq 'application/json';
    return { status => $answer->{status}, $json ? %{ from_json($answer->{body}) } : () };
}

sub logged_in {
    my ($scope) = @_;

    my $query = 'response_type=code&client_id=client&nonce=n&redirect_uri=' . escape($redirect_uri);
    my $callback = $client->get("/authorize?$query&scope=" . escape($scope // 'openid'))->{location};
    return posted('/token', grant_type => 'authorization_code',
        redirect_uri => $redirect_uri, code => query($callback)->{code});
}

sub refreshed {
    my ($token, %more) = @_;

    return posted('/token', grant_type => 'refresh_token', refresh_token => $token, %more);
}

sub userinfo_status {
    my ($tokens) = @_;

    return $client->get('/userinfo',
        headers => { Authorization => "Bearer $tokens->{access_token}" })->{status};
}

# refresh tokens

is(logged_in()->{refresh_token}, undef, 'no refresh token by default');

my $first = logged_in('openid offline_access');
ok($first->{refresh_token}, 'a refresh token with offline_access');

$op->move_clock(100);
my $second = refreshed($first->{refresh_token});
is($second->{status}, 200, 'a refresh succeeds');
isnt($second->{access_token}, $first->{access_token}, 'a refresh returns a new access token');
is($second->{refresh_token}, undef, 'a refresh returns no new refresh token');
is(userinfo_status($second), 200, 'a refresh: the access token is valid');
is(refreshed($first->{refresh_token})->{status}, 200, 'a refresh: the refresh token remains valid');

is($op->count('/token'), 2, 'code grants are counted separately');
is($op->count('/token refresh'), 2, 'refreshes are counted separately');

my ($login, $refresh) = ($op->last_login, $op->requests('/token refresh'));
is($refresh->{grant}, $login->{grant}, 'records have the grant');
is($refresh->{issued}{access_token}, $second->{access_token}, 'records have the issued tokens');

my ($before, $after) = map { jwt_decode($_->{id_token})->{claims} } $first, $second;
is($before->{nonce}, 'n', 'a login has its nonce');
is($after->{nonce}, undef, 'a refresh has none');
is($after->{$_}, $before->{$_}, "a refresh keeps $_") for qw/ sub auth_time sid /;

is(refreshed('r')->{error}, 'invalid_grant', 'an unknown refresh token is refused');
is(refreshed($first->{refresh_token}, scope => 'openid email')->{error}, 'invalid_scope', 'a wider scope is refused');

# the user of a grant does not change

$op->set(user => { sub => 'bob' });
is(jwt_decode(refreshed($first->{refresh_token})->{id_token})->{claims}{sub}, 'alice', 'a refresh: the user of the grant');

$op->set(user => { sub => 'alice', email => 'new@example.com' });
my $renewed = jwt_decode(refreshed($first->{refresh_token})->{id_token});
is($renewed->{claims}{email}, 'new@example.com', 'a refresh: current claims of the user');
$op->reset;

# knobs of the response

$op->set(expires_in => 7, refreshed => {
    token => { scope => undef }, id_token => { alg => 'ES256', claims => { sub => 'eve', exp => now(5) } } });
my $odd = refreshed($first->{refresh_token});
is($odd->{expires_in}, 7, 'a lifetime by knob');
is($odd->{scope}, undef, 'a member removed');
is(jwt_verify($odd->{id_token}, key => 'ec-256')->{claims}{sub}, 'eve', 'an ID token by a recipe');
$op->reset;

# rotation of refresh tokens

$op->set(refresh => { rotate => 1 });
my $new = refreshed($first->{refresh_token});
ok($new->{refresh_token}, 'rotate: a new refresh token');
is(refreshed($first->{refresh_token})->{status}, 200, 'rotate: a used one remains valid');

$op->set(refresh => { rotate => 1, strict => 1 });
is(refreshed($first->{refresh_token})->{status}, 400, 'strict: a used one is refused');
is(($op->requests('/token refresh'))[-1]{verdict}, 'invalid_grant: spent refresh token', 'strict: the record has the reason');
is(refreshed($new->{refresh_token})->{status}, 200, 'strict: the new one is valid');

$op->set(refresh => { rotate => 1, fatal => 1 });
my $other = logged_in();
is(refreshed($new->{refresh_token})->{status}, 400, 'fatal: a used one is refused');
is(userinfo_status($second), 401, 'fatal: its grant has ended');
is(refreshed($other->{refresh_token})->{status}, 200, 'fatal: the grant of another login has not');

# an outage

my $grant = logged_in();
$op->set(respond => { '/token refresh' => { status => 503, times => 1 } });
is(refreshed($grant->{refresh_token})->{status}, 503, 'an outage of refreshes: 503');
is(logged_in()->{status}, 200, 'an outage of refreshes: code grants succeed');
$grant = refreshed($grant->{refresh_token});
is($grant->{status}, 200, 'an outage of refreshes: no refresh token is used up');

$op->set(respond => { '/token refresh' => { close => 'before_headers' } });
is(refreshed($grant->{refresh_token})->{status}, 0, 'a lost response');
$op->set(respond => {});
is(refreshed($grant->{refresh_token})->{status}, 400, 'a lost response: the refresh token is used up');

$grant = logged_in();
$op->stop;
is(refreshed($grant->{refresh_token})->{status}, 0, 'a stopped provider: no connection');
$op->start;
is(refreshed($grant->{refresh_token})->{status}, 200, 'a restarted provider: its grants are valid');

# revocation

is(posted('/revoke', token => $grant->{access_token})->{status}, 200, 'revocation of an access token');
is(userinfo_status($grant), 401, 'a revoked access token is invalid');

$grant = logged_in();
posted('/revoke', token => $grant->{refresh_token}, token_type_hint => 'refresh_token');
is(userinfo_status($grant), 401, 'revocation of a refresh token: the access token is invalid');
is(refreshed($grant->{refresh_token})->{error}, 'invalid_grant', 'revocation of a refresh token: the grant has ended');
is(posted('/revoke', token => 'x', client_secret => 'x')->{status}, 401, 'revocation by another client is refused');

# logout

my $uri = 'post_logout_redirect_uri=' . escape('http://localhost/bye?a=b');
my $hint = "id_token_hint=$grant->{id_token}";
is($client->get("/end_session?$uri&state=s&$hint")->{location}, 'http://localhost/bye?a=b&state=s',
    'end_session redirects back');
is($client->get("/end_session?client_id=client&${hint}x")->{status}, 400, 'end_session with a wrong hint is refused');
is($client->get("/end_session?$uri")->{status}, 400, 'end_session without a client is refused');

$op->move_clock(3600);
my $token = jwt_verify($op->logout_token(claims => { sub => undef, exp => now(9) }), key => 'rsa');
is($token->{header}{typ}, 'logout+jwt', 'logout token: typ');
is($token->{claims}{sid}, $op->last_login->{sid}, 'logout token: sid of the last login');
ok(!exists $token->{claims}{sub}, 'logout token: claims of the recipe');
cmp_ok($token->{claims}{iat}, '>', time + 3000, 'logout token: iat by the clock of the provider');
is($token->{claims}{exp} - $token->{claims}{iat}, 9, 'logout token: exp of the recipe by that clock');

# two nodes

my $conf = http_conf(<<'EOF');
    server {
        listen       127.0.0.1:PORT;
        server_name  localhost;
        return       200 "PORT $http_host";
    }
EOF

$t->write_file_expand('nginx.conf', $conf =~ s/PORT/8080/gr)->run;
$node->write_file_expand('nginx.conf', $conf =~ s/PORT/8180/gr)->run;

my $browser = browser();
my $host = 'localhost:' . port(8080);
is($browser->route(8080 => 8180)->get('/')->{body}, "8180 $host", 'a route to another node with the same name');
is($browser->route(8080 => 8080)->get('/')->{body}, "8080 $host", 'a route back');
