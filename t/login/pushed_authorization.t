#!/usr/bin/perl

# Tests for pushed authorization requests (RFC 9126): the pushed parameters, the redirect to the provider,
# and hostile or broken responses of the endpoint.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use MIME::Base64 qw/ decode_base64 /;
use Time::HiRes qw/ time /;

use Test::OIDC;
use Test::OIDC::Hostile;
use Test::OIDC::Refusal;
use Test::OIDC::Site;

my $issuer = 'http://127.0.0.1:' . port(8081);

my $uri = 'urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c';
my $created = { body => qq({"request_uri":"$uri","expires_in":60}) };
my $no_uri = 'provider sent a pushed authorization response without a request_uri of 1 to 1024 bytes';

sub error { return { status => $_[0], body => { error => $_[1] } } }
sub status { return ('502 upstream_status', "provider returned status $_[0]") }
sub malformed { return ('502 upstream_pushed_authorization', $_[0]) }

# name, response of the endpoint, outcome, log

my @refused = (
    wrong_status(qw/ 202 204 401 403 404 405 413 429 500 503 /),
    (map { ["the error $_", error(400, $_), "500 provider_$_", qq{provider returned error "$_"}] }
        qw/ unauthorized_client invalid_scope unsupported_response_type /),
    (map { ["the error $_", error(400, $_), "502 provider_$_", qq{provider returned error "$_"}] }
        qw/ invalid_request server_error access_denied /),
    ['the error invalid_client', error(401, 'invalid_client'),
        '500 provider_invalid_client', 'provider returned error "invalid_client"'],
    (map { ["an error with status $_", { status => $_,
        body => qq({"request_uri":"$uri","error":"invalid_client"}) },
        '500 provider_invalid_client', 'provider returned error "invalid_client"'] } 200, 201, 202),
    ['an error that is a number', error(400, 1), status(400)],
    ['400 without JSON', { status => 400, body => 'no' }, status(400)],

    broken_http("$issuer/par", 64 * 1024),
    (map { [$_->[0], { body => $_->[1] },
        malformed("provider sent a pushed authorization response that is $_->[2]")] } broken_json()),
    (map { [$_->[0], { body => $_->[1] }, malformed($no_uri)] }
        ['no request_uri', '{"expires_in":60}'], ['an empty request_uri', '{"request_uri":""}'],
        ['request_uri a number', '{"request_uri":1}'], ['request_uri null', '{"request_uri":null}'],
        ['request_uri an array', qq({"request_uri":["$uri"]})],
        ['a request_uri of 20,000 characters', '{"request_uri":"' . 'u' x 20_000 . '"}']),
);

my @slow = too_slow("$issuer/par");

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)
    ->plan(CHALLENGE_TESTS * (@refused + @slow) + @slow + 42);

my $op = provider($t, 8081, metadata => { pushed_authorization_request_endpoint => "$issuer/par" });

$t->write_file_expand('nginx.conf', nginx_conf(
    oidc_provider('always', 'pushed_authorization on'),
    oidc_provider('auto'),
    oidc_provider('demanded'),
    oidc_provider('never', 'pushed_authorization off'),
    oidc_provider('unable', 'pushed_authorization on'),
    oidc_provider('impatient', 'pushed_authorization on; ' . SHORT_TIMEOUTS),
    oidc_provider('signs', 'pushed_authorization on; client_auth client_secret_jwt'),
    oidc_provider('posts', 'pushed_authorization on; client_auth client_secret_post;
        response_mode form_post'),
    site('application'),
));

$t->run();

# The pushed request.

$op->set(respond => { '/par' => $created });
my $res = browser()->get('/?op=always');
is($res->{status}, 302, 'a login begins');
is_deeply(query($res->{location}), { client_id => 'client', request_uri => $uri },
    'the redirect has only client_id and request_uri');
like($res->{location}, qr{^\Q$issuer\E/authorize\?}, 'the redirect is to the authorization endpoint');

my ($pushed) = $op->requests('/par');
my %params = %{ $pushed->{params} };
is("$pushed->{method} $pushed->{headers}{'content-type'}", 'POST application/x-www-form-urlencoded',
    'the push is a POST of a form');
is(decode_base64($pushed->{headers}{authorization} =~ s/^Basic //r),
    'client:secret-of-at-least-thirty-two-bytes', 'the push has client authentication');
is($params{client_secret}, undef, 'the push has no client_secret parameter');
is(join(' ', grep { !length($params{$_} // '') } qw/ response_type scope redirect_uri state nonce
    code_challenge code_challenge_method /), '', 'the pushed parameters of a login');
is($params{request_uri}, undef, 'the pushed parameters, without request_uri');
is($params{redirect_uri}, 'http://localhost:' . port(8080) . '/callback/always', 'redirect_uri');

$op->set(respond => { '/par' => { body => '{"request_uri":"urn:a b&state=evil#x"}' } });
is_deeply(query(browser()->get('/?op=always')->{location}),
    { client_id => 'client', request_uri => 'urn:a b&state=evil#x' }, 'request_uri is escaped');
$op->set(respond => { '/par' => { %$created, status => 200 } });
is(browser()->get('/?op=always')->{status}, 302, 'status 200 instead of 201');

# Which logins are pushed.

$op->clear;
is(query(browser()->get('/?op=auto')->{location})->{request_uri} // 'none', 'none',
    'not pushed unless the provider requires it');
$op->set(metadata => { pushed_authorization_request_endpoint => "$issuer/par",
    require_pushed_authorization_requests => \1 });
is(query(browser()->get('/?op=never')->{location})->{request_uri} // 'none', 'none', 'not pushed if off');
is($op->count('/par'), 0, 'not pushed if off: no request to the endpoint');
is(query(browser()->get('/?op=demanded')->{location})->{request_uri}, $uri,
    'pushed if the provider requires it');

log_mark($t);
$op->set(metadata => {});
is(outcome(browser()->get('/?op=unable')), '502 upstream_metadata', 'on, without an endpoint');
ok(log_has($t, qr/oidc: provider sent metadata without pushed_authorization_request_endpoint while/),
    'on, without an endpoint, logged');
$op->reset;

# Complete logins.

for my $case (['always', ['client_secret_basic'], 'redirect_uri state'],
    ['posts', ['client_secret_post'], 'client_secret redirect_uri response_mode state'],
    ['signs', ['client_secret_jwt'], 'client_assertion client_assertion_type redirect_uri state'])
{
    my ($name, $methods, $expected) = @$case;

    $op->reset->clear->set(client_auth => $methods);
    my $res = login("/?op=$name");
    my ($pushed) = $op->requests('/par');
    my $params = $pushed->{params};

    is("$res->{status} $res->{body}", '200 application', "$methods->[0], a login");
    is($pushed->{verdict}, 'ok', "$methods->[0], accepted by the endpoint");
    is(join(' ', sort grep { /^client_(?!id)|uri|response_mode|state/ } keys %$params), $expected,
        "$methods->[0], the pushed parameters");
    is(scalar(() = $pushed->{body} =~ /(?:^|&)client_id=/g), 1, "$methods->[0], client_id once");
    is(join(' ', sort keys %{ ($op->requests('/authorize'))[0]{params} }), 'client_id request_uri',
        "$methods->[0], the parameters of the redirect");

    my @aud = map { jwt_decode($_->{params}{client_assertion})->{claims}{aud} }
        $name eq 'signs' ? ($pushed, $op->requests('/token')) : ();
    is("@aud", $name eq 'signs' ? "$issuer/par $issuer/token" : '',
        "$methods->[0], audience of the assertions");
}

$op->reset->clear;
my $browser = browser();
my $sent = $browser->follow($browser->get('/?op=always'));
my $again = $browser->follow($browser->clear->follow($sent));
is($again->{headers}{location}, '/?op=always', 'a callback without its cookie leads to the page');
is($op->count('/par'), 1, 'a callback without its cookie pushes nothing');
$again = $browser->follow($again);
is(join(' ', sort keys %{ query($again->{location}) }), 'client_id request_uri',
    'the next login is pushed');
is($op->count('/par'), 2, 'the next login is a push of its own');
is($browser->follow($browser->follow($again))->{status}, 302, 'the next login succeeds');

# Responses that begin no login.

for my $case (@refused) {
    my ($name, $answer, @verdict) = @$case;
    begins_no_login($t, $op, 'always', $name, { respond => { '/par' => $answer } }, @verdict);
}

# The time for a push is bounded.

is(outcome(browser()->get('/?op=impatient')), '302', 'a provider that responds in time');

for my $case (@slow) {
    my ($name, $answer, @verdict) = @$case;

    my $began = time;
    begins_no_login($t, $op, 'impatient', "a provider that is $name",
        { respond => { '/par' => $answer } }, @verdict);
    took_at_most($began, SHORT_TOTAL, "a provider that is $name, bounded");
}

is(outcome(browser()->get('/?op=always')), '302', 'after all of these a login begins');

###############################################################################
