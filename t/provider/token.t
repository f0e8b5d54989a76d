#!/usr/bin/perl

# Tests for the token request (OpenID Connect Core, 3.1.3; RFC 6749, 2.3 and 4.1.3): what is sent to the provider, and
# responses that are late, cut short or invalid.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use MIME::Base64 qw/ decode_base64 /;
use Time::HiRes qw/ time /;

use Test::OIDC;
use Test::OIDC::Hostile;
use Test::OIDC::Refusal;
use Test::OIDC::Site;

my $endpoint = 'http://127.0.0.1:' . port(8081) . '/token';

my $no_access_token = 'provider sent a token response without a valid access token';
my $no_id_token = 'provider sent a token response without an id token';
my $not_bearer = 'provider sent a token response whose token type is not Bearer';

sub answered { return 'provider returned error ' . join ', ', map { qq{"$_"} } @_ }
sub status { return ('502 upstream_status', "provider returned status $_[0]") }

# An error response of RFC 6749, 5.2
sub error_response {
    my ($status, $error, $description) = @_;

    my %body = (error => $error, defined $description ? (error_description => $description) : ());
    return { status => $status, body => \%body };
}

# The valid token response with the JSON of one member replaced
sub fill_in {
    my ($name, $json) = @_;

    my @members = grep { $_ ne $name } qw/ access_token token_type id_token expires_in /;
    return '{' . join(',', map({ qq{"$_":%%$_%%} } @members), qq{"$name":$json}) . '}';
}

# name of the case, response to the token request, what the browser gets, log sentence

my @refused_answers = (
    ['invalid_grant', error_response(400, 'invalid_grant', 'code expired'),
        '400 provider_invalid_grant', answered('invalid_grant', 'code expired')],
    ['invalid_grant without a description', error_response(400, 'invalid_grant'),
        '400 provider_invalid_grant', answered('invalid_grant')],
    ['invalid_client', error_response(401, 'invalid_client', 'wrong secret'),
        '500 provider_invalid_client', answered('invalid_client', 'wrong secret')],
    ['invalid_request', error_response(400, 'invalid_request'),
        '502 provider_invalid_request', answered('invalid_request')],
    ['unauthorized_client', error_response(400, 'unauthorized_client'),
        '500 provider_unauthorized_client', answered('unauthorized_client')],
    ['invalid_scope', error_response(400, 'invalid_scope'),
        '500 provider_invalid_scope', answered('invalid_scope')],
    ['unsupported_grant_type', error_response(400, 'unsupported_grant_type'),
        '502 provider_error', answered('unsupported_grant_type')],
    ['401 with WWW-Authenticate', { %{ error_response(401, 'invalid_client') },
        headers => { 'WWW-Authenticate' => 'Basic realm="op", error="invalid_client"' } },
        '500 provider_invalid_client', answered('invalid_client')],
    ['an error as text/plain', { %{ error_response(400, 'invalid_grant') },
        headers => { 'Content-Type' => 'text/plain' } },
        '400 provider_invalid_grant', answered('invalid_grant')],
    ['a description that is an object', error_response(400, 'invalid_grant', { a => 1 }),
        '400 provider_invalid_grant', answered('invalid_grant')],
    ['access_denied', error_response(400, 'access_denied'),
        '502 provider_access_denied', answered('access_denied')],
    ['an unknown error', error_response(400, 'teapot'),
        '502 provider_error', answered('teapot')],
    ['an empty error', error_response(400, ''), '502 provider_error', answered('')],
    ['a description with line breaks and quotes',
        error_response(400, 'invalid_grant', "a\r\n\"b\" \x{e9}"), '400 provider_invalid_grant',
        answered('invalid_grant', 'a\x0D\x0A\x22b\x22 \xC3\xA9')],
    ['an error of 10,000 characters', error_response(400, 'e' x 10_000), '502 provider_error',
        answered('e' x 128) . '...'],
    (map { ["an error that is $_->[0]", error_response(400, $_->[1]), status(400)] }
        ['a number', 1], ['true', \1], ['an array', ['invalid_grant']], ['an object', { error => 'x' }]),
    ['an error that is null', { status => 400, body => '{"error":null}' }, status(400)],
    ['an error twice', { status => 400, body => '{"error":"invalid_grant","error":"x"}' },
        status(400)],
    ['an error nested too deep', { status => 400, body => '{"error":"x","y":' . '[' x 20_000 },
        status(400)],
    ['an error that is not UTF-8', { status => 400, body => "{\"error\":\"\xff\"}" },
        status(400)],
    ['an error that ends early', { %{ error_response(400, 'invalid_grant') }, close => 'mid_body' },
        '502 upstream_answer', qq{provider sent an incomplete response at "$endpoint"}],
    ['an error of more than 64 KB', { %{ error_response(400, 'invalid_grant') }, pad => 64 * 1024 + 1 },
        '502 upstream_answer', qq{provider sent an oversized response at "$endpoint"}],
    ['400 without JSON', { status => 400, body => 'no' }, status(400)],
    ['401 without JSON', { status => 401, body => '' }, status(401)],
    ['400 with an array', { status => 400, body => '["error"]' }, status(400)],
    ['an error with status 200', { body => { error => 'bad_verification_code', error_description => 'too late' } },
        '502 provider_error', answered('bad_verification_code', 'too late')],
    (map { ["an error with status $_, beside the tokens",
        { status => $_, body => '{%%*%%,"error":"invalid_client"}' },
        '500 provider_invalid_client', answered('invalid_client')] } 200 .. 203, 206, 226),
    ['an error with status 200 as text/plain',
        { body => '{"error":"invalid_grant"}', headers => { 'Content-Type' => 'text/plain' } },
        '400 provider_invalid_grant', answered('invalid_grant')],

    wrong_status(qw/ 201 204 206 304 403 404 429 500 503 /),
    wrong_type(),
    broken_http($endpoint, 64 * 1024),
    (map { [$_->[0], { body => $_->[1] }, '502 upstream_token',
        "provider sent a token response that is $_->[2]"] } broken_json()),
);

# name of the case, members of the token response, what the browser gets, log sentence

my @refused_members = (
    ['no access_token', { access_token => undef }, '502 upstream_token', $no_access_token],
    ['an empty access_token', { access_token => '' }, '502 upstream_token', $no_access_token],
    ['access_token a number', { access_token => 1 }, '502 upstream_token', $no_access_token],
    ['access_token an array', { access_token => ['x'] }, '502 upstream_token', $no_access_token],
    ['access_token with a line break', { access_token => "x\r\nX-Admin: yes" }, '502 upstream_token',
        $no_access_token],
    ['access_token not ASCII', { access_token => "\x{e4}" }, '502 upstream_token', $no_access_token],
    ['an empty token_type', { token_type => '' }, '502 upstream_token', $not_bearer],
    ['token_type a number', { token_type => 1 }, '502 upstream_token', $not_bearer],
    ['token_type DPoP', { token_type => 'DPoP' }, '502 upstream_token', $not_bearer],
    ['token_type Bearers', { token_type => 'Bearers' }, '502 upstream_token', $not_bearer],
    ['token_type Bear', { token_type => 'Bear' }, '502 upstream_token', $not_bearer],
    ['no id_token', { id_token => undef }, '403 id_token_missing', $no_id_token],
    ['an empty id_token', { id_token => '' }, '403 id_token_missing', $no_id_token],
    ['id_token a number', { id_token => 1 }, '403 id_token_missing', $no_id_token],
    ['id_token an object', { id_token => { sub => 'alice' } }, '403 id_token_missing', $no_id_token],
);

# name of the case, knobs of the provider

my @accepted = (
    (map { ["token_type $_", { token => { token_type => $_ } }] } qw/ bearer Bearer BEARER bEARER /),
    ['no token_type', { token => { token_type => undef } }],
    ['no expires_in', { token => { expires_in => undef } }],
    (map { ["expires_in $_", { token => { expires_in => $_ } }] } 0, -1, 1.5, 1e300),
    ['expires_in a string', { token => { expires_in => '3600' } }],
    ['expires_in an array', { token => { expires_in => [3600] } }],
    (map { ["expires_in $_", { respond => { '/token' => { body => fill_in(expires_in => $_) } } }] }
        '9223372036854775807', '-9223372036854775808', 'null', '99999999999999999999'),
    ['an integer beyond 64 bits', { respond => { '/token' => { body => '{%%*%%,"x":99999999999999999999}' } } }],
    (map { ["$_ null", { respond => { '/token' => { body => fill_in($_ => 'null') } } }] }
        qw/ refresh_token scope error error_description x /),
    ['4,000 members', { respond => { '/token' => {
        body => '{%%*%%' . join('', map { sprintf ',"%05x":0', $_ } 1 .. 4000) . '}' } } }],
    (map { ["an error that is $_", { respond => { '/token' => { body => "{%%*%%,\"error\":$_}" } } }] }
        'null', 'false', '0', '""', '["invalid_grant"]', '{}'),
    ['unknown members', { token => { x => { y => [1] }, refresh_token => 'r', scope => 1 } }],
    ['an ID token of 8 KB', { id_token => { claims => { groups => 'g' x 6000 } } }],
    ['an ID token of 40 KB', { id_token => { claims => { groups => 'g' x 30_000 } } }],
    ['an access token of 8 KB', { access_token => 'a' x 8192 }],
    ['exactly 64 KB', { respond => { '/token' => { pad => 64 * 1024 } } }],
    ['in small chunks', { respond => { '/token' => { chunked => 7 } } }],
    ['until the connection is closed',
        { respond => { '/token' => { headers => { 'Content-Length' => undef } } } }],
    ['after an interim response',
        { respond => { '/token' => { before => "HTTP/1.1 100 Continue\r\n\r\n" } } }],
    ['in small pieces', { respond => { '/token' => { drip => [200, 0.01] } } }],
);

my @slow = too_slow($endpoint);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)
    ->plan(CALLBACK_TESTS * (@refused_answers + @refused_members + @slow) + @slow + 2 * @accepted + 36);

my $op = provider($t, 8081);

my $odd_id = 'cli:ent id+%&=/?"';
my $odd_secret = q{s:e c+r%e&t=/?"ü};
my @odd = (client_id => "'$odd_id'", client_secret => "'$odd_secret'");

$t->write_file_expand('nginx.conf', nginx_conf(
    (map { oidc_provider($_) } qw/ op noisy default post neither gone query /),
    (map { oidc_provider($_, '', @odd) } qw/ odd odd_post /),
    oidc_provider('public', '', client_secret => undef),
    oidc_provider('impatient', SHORT_TIMEOUTS),
    site('in'),
));

# Do not read the system's certificates for every oidc_provider.
$ENV{SSL_CERT_FILE} = '/dev/null';

$t->run();

my $client = 'http://localhost:' . port(8080);
my $provider = '127.0.0.1:' . port(8081);

# The requests to the provider do not depend on the client's request.

my %noise = (
    'Accept-Encoding' => 'gzip, br', 'Accept-Language' => 'tlh', Authorization => 'Bearer secret',
    'Content-Type' => 'text/plain', Expect => 'nothing', Forwarded => 'for=secret',
    'If-Modified-Since' => 'Thu, 01 Jan 1970 00:00:00 GMT', 'If-None-Match' => '"x"',
    Origin => 'https://evil.example.com', Proxy => 'http://evil.example.com', Range => 'bytes=0-1',
    Referer => 'https://evil.example.com/', TE => 'trailers', 'User-Agent' => 'secret',
    'X-Custom' => 'secret', 'X-Forwarded-For' => '192.0.2.1', 'X-HTTP-Method-Override' => 'PUT',
);
my %usual = (
    host => $provider, connection => 'close', 'user-agent' => 'ngx_http_oidc_module',
    accept => 'application/json', 'accept-encoding' => 'identity',
);

my $browser = browser()->set_cookie('app=secret; Path=/');
my $sent = $browser->follow($browser->get('/?op=noisy', headers => \%noise, content => 'secret'));
my $res = $browser->get($sent->{location}, headers => \%noise, content => 'secret');
is(outcome($browser->follow($res)), '200', 'a client with many headers: a login succeeds');

my ($asked) = $op->requests('/.well-known/openid-configuration');
is_deeply($asked->{headers}, \%usual, 'headers of the metadata request');
is("$asked->{method} $asked->{body}", 'GET ', 'the metadata request is a GET without a body');
($asked) = $op->requests('/jwks');
is_deeply($asked->{headers}, { %usual, accept => 'application/jwk-set+json, application/json' },
    'headers of the request for keys');
is("$asked->{method} $asked->{body}", 'GET ', 'the request for keys is a GET without a body');

($asked) = $op->requests('/token');
my %params = %{ $asked->{params} };
is_deeply($asked->{headers}, {
    %usual, 'content-type' => 'application/x-www-form-urlencoded',
    'content-length' => length $asked->{body}, authorization => $asked->{headers}{authorization},
}, 'headers of the token request');
is("$asked->{method} $asked->{path}?$asked->{query}", 'POST /token?', 'the token request is a POST');
is(basic($asked), 'client:secret-of-at-least-thirty-two-bytes', 'client_secret_basic');
is_deeply([ sort keys %params ], [qw/ code code_verifier grant_type redirect_uri /], 'parameters');
is($params{grant_type}, 'authorization_code', 'grant_type');
is($params{code}, query($sent->{location})->{code}, 'code');
is($params{redirect_uri}, "$client/callback/noisy", 'redirect_uri');
like($params{code_verifier}, qr/^[\w-]{43}$/, 'code_verifier');

# Client authentication

my ($outcome, $request) = asked_by($op, 'odd',
    client_id => $odd_id, client_secret => $odd_secret);
is($outcome, '200', 'client_secret_basic with odd characters');
is(basic($request), 'cli%3Aent%20id%2B%25%26%3D%2F%3F%22:s%3Ae%20c%2Br%25e%26t%3D%2F%3F%22%C3%BC',
    'client_secret_basic: both parts are form-urlencoded');

($outcome, $request) = asked_by($op, 'odd_post', client_auth => ['client_secret_post'],
    client_id => $odd_id, client_secret => $odd_secret);
is($outcome, '200', 'client_secret_post with odd characters');

($outcome, $request) = asked_by($op, 'default', client_auth => undef);
is($outcome, '200', 'no method advertised');
is(basic($request), 'client:secret-of-at-least-thirty-two-bytes', 'no method advertised: client_secret_basic');

($outcome, $request) = asked_by($op, 'post', client_auth => [qw/ private_key_jwt client_secret_post /]);
is($outcome, '200', 'client_secret_post');
is($request->{headers}{authorization}, undef, 'client_secret_post: no Authorization');
is("$request->{params}{client_id} $request->{params}{client_secret}",
    'client secret-of-at-least-thirty-two-bytes', 'client_secret_post: its parameters');

($outcome, $request) = asked_by($op, 'public', client_auth => ['none']);
is($outcome, '200', 'a public client');
is($request->{headers}{authorization}, undef, 'a public client: no Authorization');
is_deeply([ sort keys %{ $request->{params} } ],
    [qw/ client_id code code_verifier grant_type redirect_uri /], 'a public client: its parameters');

log_mark($t);
($outcome, $request) = asked_by($op, 'neither', client_auth => [qw/ private_key_jwt tls_client_auth /]);
is($outcome, '500 config_unusable', 'only unsupported methods');
is($request, undef, 'only unsupported methods: no token request');
my $neither = 'provider accepts no authentication method that uses a client_secret';
ok(log_has($t, qr/oidc: $neither while handling the callback, provider "neither"/),
    'only unsupported methods: logged');

($outcome, $request) = asked_by($op, 'query',
    metadata => { token_endpoint => "http://$provider/token?tenant=a%20b" });
is("$outcome $request->{query}", '200 tenant=a%20b', 'token_endpoint with a query');

log_mark($t);
asked_by($op, 'query', metadata => { token_endpoint => "http://$provider/token?tenant=a%20b" },
    respond => { '/token' => { status => 500 } });
ok(log_has($t, qr/oidc: provider returned status 500 while handling the callback, .*, url "http:..$provider.token"/),
    'a failed token request: its URL is logged without the query');

log_mark($t);
my $closed = port(8089);
($outcome) = asked_by($op, 'gone',
    metadata => { token_endpoint => "http://127.0.0.1:$closed/token" });
is($outcome, '502 upstream_unreachable', 'token_endpoint where no server listens');
ok(log_has($t, qr/oidc: provider could not be reached at "http:..127.0.0.1:$closed.token" while/),
    'token_endpoint where no server listens: logged');

# Responses that end without a session

for my $case ((map { [$_->[0], { respond => { '/token' => $_->[1] } }, @$_[2, 3]] } @refused_answers),
    (map { [$_->[0], { token => $_->[1] }, @$_[2, 3]] } @refused_members))
{
    ends_in_no_session($t, $op, 'op', @$case, '/jwks' => 0);
}

for my $case (@accepted) {
    my ($name, $knobs) = @$case;

    $op->reset->clear->set(%$knobs);
    is(outcome(login('/?op=op')), '200', $name);
    is($op->count('/token'), 1, "$name: one token request");
}

log_mark($t);
$op->reset->set(token => { token_type => undef });
login('/?op=op');
ok(log_has($t, qr/\[notice\] .* oidc: provider sent a token response without token_type, Bearer is assumed while handling the callback, provider "op"/),
    'no token_type: logged');
$op->reset;

# Timeouts

for my $case (@slow) {
    my ($name, $answer, @verdict) = @$case;

    my $began = time;
    ends_in_no_session($t, $op, 'impatient', "a provider that is $name",
        { respond => { '/token' => $answer } }, @verdict);
    took_at_most($began, SHORT_TOTAL, "a provider that is $name: within the timeouts");
}

# Other requests do not wait.

$op->reset->clear;
my $member = login('/?op=op')->{browser};
$op->clear->set(respond => { '/token' => { hold => 1 } });
$browser = browser();
$sent = $browser->follow($browser->get('/?op=op'));
my $waiting = $browser->start($sent->{location}, from => $sent->{url});
$op->wait_for('/token', 1);

is(browser()->get('/app')->{status}, 200, 'while a login waits: an open page is served');
is($member->get('/?op=op')->{status}, 200, 'while a login waits: a page with a session is served');
is(browser()->get('/?op=op')->{status}, 302, 'while a login waits: another login begins');

$op->reset;
is(outcome($browser->follow($browser->finish($waiting))), '200', 'the login continues');

###############################################################################

# The credentials of Basic
sub basic {
    my ($request) = @_;

    return decode_base64(($request->{headers}{authorization} // '') =~ s/^Basic //r);
}

###############################################################################
