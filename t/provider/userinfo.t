#!/usr/bin/perl

# Tests for user info (OpenID Connect Core, 5.3): the request, accepted responses, and responses that are hostile,
# malformed or of another user.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Time::HiRes qw/ time /;

use Test::OIDC;
use Test::OIDC::Hostile;
use Test::OIDC::Keys;
use Test::OIDC::Refusal;
use Test::OIDC::Site;

my $endpoint = 'http://127.0.0.1:' . port(8081) . '/userinfo';

my $malformed = 'user info is malformed JSON';
my $deep = 'user info is JSON nested too deeply';
my $twice = 'user info is JSON with a duplicate member';
my $three_parts = 'user info is not a JWS of three parts';

sub status { return ('502 upstream_status', "provider returned status $_[0]") }

# name of the case, response, what the browser gets, log sentence

my @refused_responses = (
    wrong_status(qw/ 201 204 206 400 401 403 404 429 500 503 /),
    ['401 with WWW-Authenticate', { status => 401, body => { error => 'invalid_token' },
        headers => { 'WWW-Authenticate' => 'Bearer error="invalid_token"' } }, status(401)],
    ['status 500 with a JWT', { status => 500, headers => { 'Content-Type' => 'application/jwt' } },
        status(500)],
    wrong_type(),
    broken_http($endpoint, 256 * 1024),
    (map { [$_->[0], { body => $_->[1] }, '403 userinfo_malformed', "user info is $_->[2]"] } broken_json()),
    ['4,000 members', { body => '{%%*%%' . join('', map { sprintf ',"%05x":0', $_ } 1 .. 4000) . '}' },
        '500 session_too_large', qr/.*session needs \d+ bytes of cookies.*/],
);

# name of the case, claims, log sentence; the browser gets 403 userinfo_subject

my @refused_subjects = (
    ['another sub', { sub => 'eve' }, '"eve"'],
    ['no sub', { sub => undef }, ''],
    ['an empty sub', { sub => '' }, '""'],
    ['sub in another case', { sub => 'Alice' }, '"Alice"'],
    ['sub with a trailing space', { sub => 'alice ' }, '"alice "'],
    ['sub an array', { sub => ['alice'] }, '["alice"]'],
    ['sub a number', { sub => 42 }, '42'],
);

# name of the case, recipe of the JWT, $oidc_error, log sentence

my $public = Test::OIDC::Keys::public_pem('rsa');

my @refused_tokens = (
    ['two parts', { token => '%%header%%.%%claims%%' }, userinfo_malformed => $three_parts],
    ['five parts', { token => '%%header%%.a.b.c.%%signature%%' }, userinfo_malformed => $three_parts],
    ['JSON as a JWT', { token => '{"sub":"alice"}' }, userinfo_malformed => $three_parts],
    ['an empty JWT', { token => '' }, userinfo_malformed => $three_parts],
    ['claims that are not JSON', { claims_json => 'sub=alice' }, userinfo_malformed => $malformed],
    ['a claim twice', { claims_json => '{%%*%%,"sub":"eve"}' }, userinfo_malformed => $twice],
    ['claims nested 20,000 deep', { claims_json => '[' x 20_000 }, userinfo_malformed => $deep],
    ['alg none', { alg => 'none' },
        userinfo_alg => 'user info is signed with "none", which id_token_alg does not list'],
    ['HMAC with the public key', { alg => 'HS256', secret => $public, header => { kid => 'rsa' } },
        userinfo_alg => 'user info is signed with "HS256", which id_token_alg does not list'],
    ['a critical extension', { header => { crit => ['x'], x => 1 } },
        userinfo_crit => qr/user info .*critical extension.*/],
    ['an unknown key', { key => 'rsa-2' },
        userinfo_key => 'user info names an unknown key "rsa-2"'],
    ['another key', { key => 'rsa-2', header => { kid => 'rsa' } },
        userinfo_signature => 'user info has a bad signature'],
    ['one bit flipped', { signature => 'flip' }, userinfo_signature => 'user info has a bad signature'],
    ['no signature', { signature => 'empty' }, userinfo_signature => 'user info has a bad signature'],
    ['another issuer', { claims => { iss => 'https://evil.example.com' } },
        userinfo_issuer => 'user info has a wrong issuer "https://evil.example.com"'],
    ['an empty issuer', { claims => { iss => '' } }, userinfo_issuer => 'user info has a wrong issuer ""'],
    ['an issuer that is an array', { claims => { iss => ['x'] } },
        userinfo_issuer => 'user info has a wrong issuer ""'],
    ['another issuer without an audience', { claims => { iss => 'https://evil.example.com', aud => undef } },
        userinfo_issuer => 'user info has a wrong issuer "https://evil.example.com"'],
    ['another audience', { claims => { aud => 'other' } },
        userinfo_audience => qr/user info is for another audience, .*other.*/],
    ['another audience without an issuer', { claims => { aud => 'other', iss => undef } },
        userinfo_audience => qr/user info is for another audience, .*other.*/],
    ['an audience that is an empty array', { claims => { aud => [] } },
        userinfo_audience => 'user info is for another audience, "[]"'],
    ['another sub without issuer and audience', { claims => { iss => undef, aud => undef, sub => 'eve' } },
        userinfo_subject => qr/user info has a different sub, .*eve.*/],
    ['another sub', { claims => { sub => 'eve' } },
        userinfo_subject => qr/user info has a different sub, .*eve.*/],
);

my @slow = too_slow($endpoint);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)
    ->plan(CALLBACK_TESTS * (@refused_responses + @refused_subjects + @refused_tokens + @slow) + @slow + 23);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', nginx_conf(
    oidc_provider('op', 'userinfo on; session_store cookie'),
    oidc_provider('impatient', 'userinfo on; ' . SHORT_TIMEOUTS),
    oidc_provider('rotating', 'userinfo on'),
    oidc_provider('without', 'userinfo on'),
    site('name=$http_x_name nickname=$http_x_nickname userinfo=$http_x_userinfo', <<'EOF'),
        proxy_set_header X-Name     $oidc_claim_name;
        proxy_set_header X-Nickname $oidc_claim_nickname;
        proxy_set_header X-Userinfo $oidc_userinfo;
EOF
));

$t->run();

# The user info request and the claims

$op->set(userinfo => { claims => { name => 'somebody', nickname => 'al' } });
my $res = login('/?op=op');
like($res->{body}, qr/ nickname=al /, 'a claim of user info only');
unlike($res->{body}, qr/^name=somebody /, 'a claim of both has the value of the ID token');
like($res->{body}, qr/userinfo=\{.*"nickname":"al".*\}$/, '$oidc_userinfo');

my ($asked) = $op->requests('/userinfo');
is("$asked->{method} $asked->{body}", 'GET ', 'the request is a GET');
like($asked->{headers}{authorization}, qr/^Bearer \S+$/, 'the request has the access token in Authorization');
is($asked->{query}, '', 'the request has no query');
is($asked->{headers}{accept}, 'application/json, application/jwt', 'the request has Accept');
is($asked->{verdict}, 'ok', 'the provider accepts the request');

$op->reset->set(userinfo => { claims => { nickname => 'al' }, jwt => {} });
like(login('/?op=op')->{body}, qr/ nickname=al /, 'a signed response');
$op->set(userinfo => { jwt => { alg => 'ES256' } });
is(login('/?op=op')->{status}, 200, 'a response signed with another key');
$op->set(userinfo => { jwt => { claims => { aud => [qw/ other client /] } } });
is(login('/?op=op')->{status}, 200, 'a response signed for several audiences');
for my $case (['issuer', 'iss'], ['audience', 'aud'], ['issuer and audience', 'iss', 'aud']) {
    my ($name, @claims) = @$case;
    $op->set(userinfo => { claims => { nickname => 'al' }, jwt => { claims => { map { $_ => undef } @claims } } });
    like(login('/?op=op')->{body}, qr/ nickname=al /, "a signed response without $name");
}

for my $case (
    ['exactly 256 KB', { pad => 256 * 1024 }],
    ['in chunks', { chunked => 7 }])
{
    $op->reset->set(respond => { '/userinfo' => $case->[1] });
    is(outcome(login('/?op=op')), '200', "a response, $case->[0]");
}

# The keys change between the ID token and user info.

$op->reset->clear;
login('/?op=rotating');
$op->set(jwks => [qw/ rsa rsa-2 /], userinfo => { jwt => { key => 'rsa-2' } });
is(login('/?op=rotating')->{status}, 200, q{a response signed with a key newer than the ID token's});
is($op->count('/jwks'), 2, 'a response signed with a newer key: one request for keys');

# No request is sent too early or without an endpoint.

$op->reset->clear->set(id_token => { signature => 'flip' });
is(login('/?op=op')->{headers}{'x-error'}, 'id_token_signature', 'a bad ID token');
is($op->count('/userinfo'), 0, 'a bad ID token: no user info request');

$op->reset->clear->set(metadata => { userinfo_endpoint => undef });
log_mark($t);
is(outcome(browser()->get('/?op=without')), '502 upstream_metadata', 'metadata without userinfo_endpoint');
ok(log_has($t, qr/oidc: provider sent metadata without userinfo_endpoint while/),
    'metadata without userinfo_endpoint: logged');

# Responses that end without a session

my @asked = ('/userinfo' => 1);

for my $case (@refused_responses) {
    my ($name, $answer, @verdict) = @$case;
    ends_in_no_session($t, $op, 'op', "a response, $name", { respond => { '/userinfo' => $answer } },
        @verdict, @asked);
}

for my $case (@refused_subjects) {
    my ($name, $claims, $logged) = @$case;
    ends_in_no_session($t, $op, 'op', $name, { userinfo => { claims => $claims } }, '403 userinfo_subject',
        'user info has a different sub, "' . $logged =~ s/"/\\x22/gr . '"', @asked);
}

for my $case (@refused_tokens) {
    my ($name, $recipe, $word, $sentence) = @$case;
    ends_in_no_session($t, $op, 'op', "signed, $name", { userinfo => { jwt => $recipe } }, refused_token($word),
        $sentence, @asked);
}

# Waiting is bounded.

for my $case (@slow) {
    my ($name, $answer, @verdict) = @$case;

    my $began = time;
    ends_in_no_session($t, $op, 'impatient', "a provider that is $name",
        { respond => { '/userinfo' => $answer } }, @verdict, @asked);
    took_at_most($began, SHORT_TOTAL, "a provider that is $name: within the timeouts");
}

is(outcome(login('/?op=op')), '200', 'a login after all of these succeeds');

###############################################################################
