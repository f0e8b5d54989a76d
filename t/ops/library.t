#!/usr/bin/perl

# Tests for what other tests rely on: the test provider's memory of refresh tokens and grants, its logout
# tokens, and two nodes in one test. No module is needed here.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::JWT qw/ from_json jwt_verify /;

select STDERR; $| = 1;
select STDOUT; $| = 1;

# Each nginx counts two tests of its own.
my $t = Test::Nginx->new()->has(qw/http/)->plan(53 + 2);
my $node = Test::Nginx->new();

my $op = provider($t, 8081, sid => 1, revocation => 1);
my $client = browser(base => $op->issuer);
my $redirect_uri = 'http://localhost/callback';

# The answer of an endpoint that takes forms from our client, as JSON where it is.
sub asked {
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
    return asked('/token', grant_type => 'authorization_code',
        redirect_uri => $redirect_uri, code => query($callback)->{code});
}

sub refreshed {
    my ($token, %more) = @_;

    return asked('/token', grant_type => 'refresh_token', refresh_token => $token, %more);
}

sub userinfo_status {
    my ($tokens) = @_;

    return $client->get('/userinfo',
        headers => { Authorization => "Bearer $tokens->{access_token}" })->{status};
}

# who gets a refresh token, and what it is good for

is(logged_in()->{refresh_token}, undef, 'no refresh token unless asked for');

my $first = logged_in('openid offline_access');
ok($first->{refresh_token}, 'offline_access asks for it');

$op->move_clock(100);
my $second = refreshed($first->{refresh_token});
is($second->{status}, 200, 'a refresh');
isnt($second->{access_token}, $first->{access_token}, 'brings a new access token');
is($second->{refresh_token}, undef, 'and no new refresh token');
is(userinfo_status($second), 200, 'the access token is good');
is(refreshed($first->{refresh_token})->{status}, 200, 'the refresh token goes on');

is($op->count('/token'), 2, 'code grants are counted by themselves');
is($op->count('/token refresh'), 2, 'so are refreshes');

my ($login, $refresh) = ($op->last_login, $op->requests('/token refresh'));
is($refresh->{grant}, $login->{grant}, 'records tell which grant');
is($refresh->{issued}{access_token}, $second->{access_token}, 'and what was issued');

my ($before, $after) = map { jwt_decode($_->{id_token})->{claims} } $first, $second;
is($before->{nonce}, 'n', 'a login has its nonce');
is($after->{nonce}, undef, 'a refresh has none');
is($after->{$_}, $before->{$_}, "a refresh keeps $_") for qw/ sub auth_time sid /;

is(refreshed('r')->{error}, 'invalid_grant', 'an unknown refresh token');
is(refreshed($first->{refresh_token}, scope => 'openid email')->{error}, 'invalid_scope', 'too wide a scope');

# whoever was granted a login stays who he is

$op->set(user => { sub => 'bob' });
is(jwt_decode(refreshed($first->{refresh_token})->{id_token})->{claims}{sub}, 'alice', 'still the same user');

$op->set(user => { sub => 'alice', email => 'new@example.com' });
my $renewed = jwt_decode(refreshed($first->{refresh_token})->{id_token});
is($renewed->{claims}{email}, 'new@example.com', 'as he is now');
$op->reset;

# knobs of the answer

$op->set(expires_in => 7, refreshed => {
    token => { scope => undef }, id_token => { alg => 'ES256', claims => { sub => 'eve', exp => now(5) } } });
my $odd = refreshed($first->{refresh_token});
is($odd->{expires_in}, 7, 'a lifetime by knob');
is($odd->{scope}, undef, 'a member removed');
is(jwt_verify($odd->{id_token}, key => 'ec-256')->{claims}{sub}, 'eve', 'an ID token by a recipe');
$op->reset;

# rotation

$op->set(refresh => { rotate => 1 });
my $new = refreshed($first->{refresh_token});
ok($new->{refresh_token}, 'a new refresh token');
is(refreshed($first->{refresh_token})->{status}, 200, 'a spent one is still good');

$op->set(refresh => { rotate => 1, strict => 1 });
is(refreshed($first->{refresh_token})->{status}, 400, 'a spent one is refused');
is(($op->requests('/token refresh'))[-1]{verdict}, 'invalid_grant: spent refresh token', 'its record says why');
is(refreshed($new->{refresh_token})->{status}, 200, 'the new one is good');

$op->set(refresh => { rotate => 1, fatal => 1 });
my $other = logged_in();
is(refreshed($new->{refresh_token})->{status}, 400, 'a spent one again');
is(userinfo_status($second), 401, 'has ended its grant');
is(refreshed($other->{refresh_token})->{status}, 200, 'not that of another login');

# an outage

my $grant = logged_in();
$op->set(respond => { '/token refresh' => { status => 503, times => 1 } });
is(refreshed($grant->{refresh_token})->{status}, 503, 'an outage of refreshes');
is(logged_in()->{status}, 200, 'that code grants do not have');
$grant = refreshed($grant->{refresh_token});
is($grant->{status}, 200, 'has spent no refresh token');

$op->set(respond => { '/token refresh' => { close => 'before_headers' } });
is(refreshed($grant->{refresh_token})->{status}, 0, 'an answer lost');
$op->set(respond => {});
is(refreshed($grant->{refresh_token})->{status}, 400, 'has spent one');

$grant = logged_in();
$op->stop;
is(refreshed($grant->{refresh_token})->{status}, 0, 'a provider that is down');
$op->start;
is(refreshed($grant->{refresh_token})->{status}, 200, 'has forgotten nothing');

# revocation

is(asked('/revoke', token => $grant->{access_token})->{status}, 200, 'an access token revoked');
is(userinfo_status($grant), 401, 'is no good any more');

$grant = logged_in();
asked('/revoke', token => $grant->{refresh_token}, token_type_hint => 'refresh_token');
is(userinfo_status($grant), 401, 'with a refresh token the access token goes');
is(refreshed($grant->{refresh_token})->{error}, 'invalid_grant', 'and the grant');
is(asked('/revoke', token => 'x', client_secret => 'x')->{status}, 401, 'nobody else revokes');

# logout

my $uri = 'post_logout_redirect_uri=' . escape('http://localhost/bye?a=b');
my $hint = "id_token_hint=$grant->{id_token}";
is($client->get("/end_session?$uri&state=s&$hint")->{location}, 'http://localhost/bye?a=b&state=s',
    'back from the end of the session');
is($client->get("/end_session?client_id=client&${hint}x")->{status}, 400, 'a wrong hint');
is($client->get("/end_session?$uri")->{status}, 400, 'on behalf of nobody');

$op->move_clock(3600);
my $token = jwt_verify($op->logout_token(claims => { sub => undef, exp => now(9) }), key => 'rsa');
is($token->{header}{typ}, 'logout+jwt', 'a logout token');
is($token->{claims}{sid}, $op->last_login->{sid}, 'is for the last login');
ok(!exists $token->{claims}{sub}, 'with changes of a recipe');
cmp_ok($token->{claims}{iat}, '>', time + 3000, 'by the clock of the provider');
is($token->{claims}{exp} - $token->{claims}{iat}, 9, 'as are times in a recipe');

# two nodes

my $conf = <<'EOF';

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen       127.0.0.1:PORT;
        server_name  localhost;
        return       200 "PORT $http_host";
    }
}

EOF

$t->write_file_expand('nginx.conf', $conf =~ s/PORT/8080/gr)->run;
$node->write_file_expand('nginx.conf', $conf =~ s/PORT/8180/gr)->run;

my $browser = browser();
my $host = 'localhost:' . port(8080);
is($browser->route(8080 => 8180)->get('/')->{body}, "8180 $host", 'another node under the same name');
is($browser->route(8080 => 8080)->get('/')->{body}, "8080 $host", 'and back');
