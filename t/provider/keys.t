#!/usr/bin/perl

# Tests for a provider's key set (RFC 7517): which keys are accepted, when it is fetched and fetched again, and what
# happens if it is not available. Every case has its own oidc_provider without documents; two workers share theirs.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Time::HiRes qw/ time /;

use Test::OIDC;
use Test::OIDC::Hostile;
use Test::OIDC::JWT qw/ to_json /;
use Test::OIDC::Keys;
use Test::OIDC::Refusal;
use Test::OIDC::Site;

my $jwks = 'http://127.0.0.1:' . port(8081) . '/jwks';

my $alice = '200 alice';
my $no_key = '502 id_token_key';
my $bad_signature = '502 id_token_signature';

my $ec = Test::OIDC::Keys::public_jwk('ec-256');
my $rsa = Test::OIDC::Keys::public_jwk('rsa');
my $rsa_2 = Test::OIDC::Keys::public_jwk('rsa-2');

# Keys with which anybody can sign: exponent 1, and the neutral element of Ed25519
my %by_1 = (%$rsa, kid => 'by_1', e => 'AQ');
my %neutral = (kty => 'OKP', crv => 'Ed25519', kid => 'neutral', x => encode_base64url("\1" . "\0" x 31));
my $exponent = 'with an RSA exponent that is not an odd number from 3 to 2^256';
my $small = 'with an Ed25519 point of small order';

sub padded { return encode_base64url("\0" . decode_base64url(shift)) }
sub no_usable { return "provider sent no usable key, the last was a key $_[0]" }

# name of the case, jwks, recipe of the token

my @accepted_sets = (
    ['a key without kid for a token without one', [{ key => 'rsa', kid => undef }],
        { header => { kid => undef } }],
    ['one key, no kid in the token', ['rsa'], { header => { kid => undef } }],
    ['several keys, no kid in the token', [qw/ ec-256 rsa-2 rsa /],
        { header => { kid => undef } }],
    ['a kid given twice, the first', ['rsa', { key => 'rsa-2', kid => 'rsa' }], {}],
    ['a kid given twice, the second', [{ key => 'rsa-2', kid => 'rsa' }, 'rsa'], {}],
    ['a kid shared by keys of two types',
        [{ key => 'ec-256', kid => 'x' }, { key => 'rsa', kid => 'x' }],
        { header => { kid => 'x' } }],
    ['key_ops with verify', [{ key => 'rsa', use => undef, key_ops => [qw/ verify /] }], {}],
    ['neither use nor key_ops', [{ key => 'rsa', use => undef }], {}],
    ['the right alg', [{ key => 'rsa', alg => 'RS256' }], {}],
    ['unknown members', [{ key => 'rsa', x5c => ['x'], x => {} }], {}],
    ['a weak key and a good one', [qw/ rsa-1024 rsa /], {}],
    ['keys of unknown types and a good one',
        [{ kty => 'AKP', kid => 'a' }, { kid => 'b' }, { kty => 7 }, 'rsa'], {}],

    # RFC 7518, 6.3.1.1: some encoders add the sign byte of ASN.1.
    ['keys with which anybody can sign and a good one', [\%by_1, \%neutral, 'rsa'], {}],
    ['a modulus with a leading zero byte', [{ key => 'rsa', n => padded($rsa->{n}) }], {}],
);

# name of the case, jwks, recipe of the token, what the browser gets, log sentence

my @refused_sets = (
    ['another alg', [{ key => 'rsa', alg => 'RS512' }], {}, $no_key,
        'id token is signed with RS256, for which the key set has no key'],
    ['no key of the type', [qw/ ec-256 ed25519 /], { header => { kid => undef } }, $no_key,
        'id token is signed with RS256, for which the key set has no key'],
    ['a token signed with the weak key', [qw/ rsa-1024 rsa /], { key => 'rsa-1024' }, $no_key,
        'id token names an unknown key "rsa-1024"'],
    ['a token signed with the key for encryption', ['rsa-2', { key => 'rsa', use => 'enc' }], {}, $no_key,
        'id token names an unknown key "rsa"'],

    ['only a weak key', ['rsa-1024'], { key => 'rsa-1024' }, '502 upstream_keys',
        no_usable('with an RSA modulus of 1024 bits')],
    ['a key for encryption', [{ key => 'rsa', use => 'enc' }], {}, '502 upstream_keys',
        no_usable('not meant for signatures')],
    ['use a number', [{ key => 'rsa', use => 1 }], {}, '502 upstream_keys',
        no_usable('not meant for signatures')],
    ['key_ops without verify', [{ key => 'rsa', key_ops => [qw/ encrypt wrapKey /] }], {},
        '502 upstream_keys', no_usable('not meant for signatures')],
    ['key_ops empty', [{ key => 'rsa', key_ops => [] }], {}, '502 upstream_keys',
        no_usable('not meant for signatures')],
    (map { ["an RSA key with $_", [{ key => 'rsa', $_ => 'AQAB' }], {}, '502 upstream_keys',
        no_usable('with private parts')] } qw/ d p q dp dq qi oth k /),
    ['a private part that is an object', [{ key => 'rsa', d => {} }], {}, '502 upstream_keys',
        no_usable('with private parts')],
    (map { ["use $_", [{ key => 'rsa', use => $_ }], {}, '502 upstream_keys',
        no_usable('not meant for signatures')] } '', 'SIG', 'sig enc'),
    ['key_ops a string', [{ key => 'rsa', key_ops => 'verify' }], {}, '502 upstream_keys',
        no_usable('not meant for signatures')],
    ['use for signatures, key_ops for encryption',
        [{ key => 'rsa', use => 'sig', key_ops => ['encrypt'] }], {}, '502 upstream_keys',
        no_usable('not meant for signatures')],
    ['use for encryption, key_ops for signatures',
        [{ key => 'rsa', use => 'enc', key_ops => ['verify'] }], {}, '502 upstream_keys',
        no_usable('not meant for signatures')],
    ['kty in lower case', [{ key => 'rsa', kty => 'rsa' }], {}, '502 upstream_keys',
        no_usable('of an unknown type')],
    ['kty of another type', [{ key => 'rsa', kty => 'EC' }], {}, '502 upstream_keys',
        no_usable('that is malformed')],
    ['an EC key as OKP', [{ key => 'ec-256', kty => 'OKP' }], { alg => 'ES256' }, '502 upstream_keys',
        no_usable('that is malformed')],
    ['a private EC key', [{ key => 'ec-256', d => 'AQAB' }], { alg => 'ES256' },
        '502 upstream_keys', no_usable('with private parts')],
    ['a private Ed25519 key', [{ key => 'ed25519', d => 'AQAB' }], { alg => 'EdDSA' },
        '502 upstream_keys', no_usable('with private parts')],
    ['a shared secret', [{ kty => 'oct', kid => 'rsa', k => 'AQAB' }], {}, '502 upstream_keys',
        no_usable('of an unknown type')],
    ['no kty', [{ key => 'rsa', kty => undef }], {}, '502 upstream_keys',
        no_usable('of an unknown type')],
    ['no modulus', [{ key => 'rsa', n => undef }], {}, '502 upstream_keys',
        no_usable('that is malformed')],
    ['a modulus that is a number', [{ key => 'rsa', n => 7 }], {}, '502 upstream_keys',
        no_usable('that is malformed')],
    ['no exponent', [{ key => 'rsa', e => undef }], {}, '502 upstream_keys',
        no_usable('that is malformed')],
    (map { my $member = $_; map { ["$member \"$_\"", [{ key => 'rsa', $member => $_ }], {},
        '502 upstream_keys', no_usable('that is malformed')] }
        'A=AA', 'A===', '====', 'A', 'AQA=B', '!', 'AQ AB', "AQAB\n", 'AQ+/' } qw/ n e /),
    (map { my $member = $_; map { ["$member \"$_\"", [{ key => 'ec-256', $member => $_ }],
        { alg => 'ES256' }, '502 upstream_keys', no_usable('that is malformed')] }
        '', 'A=AA', 'A', '!', "$ec->{x}A", substr($ec->{x}, 0, -2), "$ec->{x}=", [], {}, 1 } qw/ x y /),
    (map { ["an Ed25519 key with x \"$_\"", [{ key => 'ed25519', x => $_ }], { alg => 'EdDSA' },
        '502 upstream_keys', no_usable('that is malformed')] }
        '', 'A=AA', 'A', '!', encode_base64url('x' x 33), encode_base64url('x' x 32) . '='),
    ['no curve', [{ key => 'ec-256', crv => undef }], { alg => 'ES256' }, '502 upstream_keys',
        no_usable('that is malformed')],
    ['a modulus of 1 bit', [{ key => 'rsa', n => 'AQ' }], {}, '502 upstream_keys',
        no_usable('with an RSA modulus of 1 bits')],
    ['a modulus of zeros', [{ key => 'rsa', n => encode_base64url("\0" x 256) }], {},
        '502 upstream_keys', no_usable('with an RSA modulus of 0 bits')],
    ['a modulus of 2,047 bits', [{ key => 'rsa', n => encode_base64url("\x7f" . "\xff" x 255) }], {},
        '502 upstream_keys', no_usable('with an RSA modulus of 2047 bits')],
    ['a kid that is a number', [{ key => 'rsa', kid => 1 }], {}, $no_key,
        'id token names an unknown key "rsa"'],
    ['a modulus of 40,000 bits', [{ key => 'rsa', n => encode_base64url("\xc1" x 5000) }], {},
        '502 upstream_keys', no_usable('with an RSA modulus of 40000 bits')],
    ['a point off the curve', [{ key => 'ec-256', y => $ec->{x} }], { alg => 'ES256' },
        '502 upstream_keys', no_usable('that is malformed')],
    ['a point of another curve', [{ key => 'ec-384', crv => 'P-256' }], { alg => 'ES256' },
        '502 upstream_keys', no_usable('that is malformed')],
    ['an unknown curve', [{ key => 'ec-256', crv => 'secp256k1' }], { alg => 'ES256' },
        '502 upstream_keys', no_usable('that is malformed')],
    ['no point', [{ key => 'ec-256', x => undef, y => undef }], { alg => 'ES256' },
        '502 upstream_keys', no_usable('that is malformed')],
    ['an Ed25519 key of 31 bytes', [{ key => 'ed25519', x => encode_base64url('x' x 31) }],
        { alg => 'EdDSA' }, '502 upstream_keys', no_usable('that is malformed')],
    ['an Ed25519 key without x', [{ key => 'ed25519', x => undef }], { alg => 'EdDSA' },
        '502 upstream_keys', no_usable('that is malformed')],
    ['a key of X25519', [{ key => 'ed25519', crv => 'X25519' }], { alg => 'EdDSA' },
        '502 upstream_keys', no_usable('that is malformed')],
    ['an exponent of 1', [\%by_1], { key => 'rsa', header => { kid => 'by_1' }, signature => 'exponent_1' },
        '502 upstream_keys', no_usable($exponent)],
    ['an exponent of 1 and a good key', [\%by_1, 'rsa-2'],
        { key => 'rsa', header => { kid => 'by_1' }, signature => 'exponent_1' }, $no_key,
        'id token names an unknown key "by_1"'],
    ['an exponent of 1 and a good key, no kid in the token', [\%by_1, 'rsa-2'],
        { key => 'rsa', header => { kid => undef }, signature => 'exponent_1' }, $bad_signature,
        'id token has a bad signature'],
    (map { ["an exponent of $_->[0]", [{ key => 'rsa', e => $_->[1] }], {}, '502 upstream_keys',
        no_usable($exponent)] } [0, 'AA'], [2, 'Ag'], [65536, 'AQAA'], 
        ['257 bits', encode_base64url("\1" . "\0" x 31 . "\1")]),
    ['an even modulus', [{ key => 'rsa', n => encode_base64url("\xc1" x 255 . "\xc0") }], {},
        '502 upstream_keys', no_usable('with an even RSA modulus')],
    ['a point of small order', [\%neutral],
        { alg => 'EdDSA', header => { kid => 'neutral' }, signature => 'order_1' }, '502 upstream_keys',
        no_usable($small)],
    ['a point of small order and a good key', [\%neutral, 'ed25519'],
        { alg => 'EdDSA', header => { kid => 'neutral' }, signature => 'order_1' }, $no_key,
        'id token names an unknown key "neutral"'],
    ['a point of small order and a good key, no kid in the token', [\%neutral, 'ed25519'],
        { alg => 'EdDSA', header => { kid => undef }, signature => 'order_1' }, $bad_signature,
        'id token has a bad signature'],
    ['a coordinate equal to the prime', [{ key => 'ec-256', x => '_____wAAAAEAAAAAAAAAAAAAAAD_______________8',
        y => 'ZkhceA4vg9ckM71dhKBrtlQcKvMdrocXKL-FahdPk_Q' }], { alg => 'ES256' }, '502 upstream_keys',
        no_usable('that is malformed')],
    ['no keys', [], {}, '502 upstream_keys', 'provider sent an empty key set'],
);

# name of the case, response of /jwks, recipe of the token

my @accepted_responses = (
    ['chunked', { chunked => 100 }],
    ['until the connection is closed', { headers => { 'Content-Length' => undef } }],
    ['as application/jwk-set+json', { headers => { 'Content-Type' => 'application/jwk-set+json' } }],
    ['with a charset', { headers => { 'Content-Type' => 'application/json; charset=utf-8' } }],
    ['of nearly 1 MB', { pad => 1024 * 1024 }],
    ['with integers beyond 64 bits', { body => '{"x":99999999999999999999,"keys":[{"kty":"RSA","n":"' . $rsa->{n}
        . '","e":"AQAB","kid":"rsa","exp":' . '9' x 1000 . '}]}' }],
    ['with null for every member that a key may lack', { body => '{"keys":[{"kty":"RSA","n":"' . $rsa->{n}
        . '","e":"AQAB"' . join('', map { qq{,"$_":null} } qw/ use key_ops alg kid x5u x5c d p q dp dq qi oth k /)
        . '}],"x":null}' }, { header => { kid => undef } }],
);

# name of the case, response of /jwks, what the browser gets, log sentence

my @refused_responses = (
    wrong_status(qw/ 201 204 206 304 400 401 404 429 500 503 999 /),
    wrong_type(),
    broken_http($jwks, 1024 * 1024),
    (map { [$_->[0], { body => $_->[1] }, '502 upstream_keys', "provider sent a key set that is $_->[2]"] }
        broken_json(),
        ['a member of a key twice', '{"keys":[{"kty":"RSA","kid":"a","kid":"b"}]}',
            'JSON with a duplicate member'],
        ['keys nested 20,000 deep', '{"keys":[{"x":' . '[' x 20_000 . ']' x 20_000 . '}]}',
            'JSON nested too deeply']),
    (map { [$_->[0], { body => $_->[1] }, '502 upstream_keys', 'provider sent a key set without "keys"'] }
        ['no keys', '{"x":%%keys%%}'], ['keys that are an object', '{"keys":{"rsa":%%keys%%}}']),
    ['keys that are not objects', { body => '{"keys":[1,"x",null,[],true]}' }, '502 upstream_keys',
        no_usable('of an unknown type')],
);

my @slow = too_slow($jwks);

my $used = 0;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)
    ->plan(CALLBACK_TESTS * (@refused_sets + @refused_responses + @slow) + @slow + @accepted_sets
        + @accepted_responses + 48);

my $op = provider($t, 8081);

my $fresh = @accepted_sets + @refused_sets + @accepted_responses + @refused_responses + 21;

# Two workers.
my $conf = nginx_conf(
    (map { oidc_provider("p$_") } 1 .. $fresh),
    (map { oidc_provider("hasty$_", SHORT_TIMEOUTS) } 1 .. @slow),
    site('$http_x_sub', <<'EOF'),
        proxy_set_header X-Sub $oidc_claim_sub;

        location /keys/ {
            default_type application/json;
        }

        location = /keys/strict.json {
            default_type application/jwk-set+json;
            types {
            }
            if ($http_accept !~ "(^|,) ?application/jwk-set\+json(,|;|$)") {
                return 406;
            }
        }
EOF
);
$t->write_file_expand('nginx.conf', $conf =~ s/^daemon off;\K/\nworker_processes 2;/mr);

mkdir $t->testdir . '/keys';
$t->write_file("keys/$_->[0].json", to_json({ keys => $_->[1] }))
    for ['hundred', [ (map { { %$rsa_2, kid => "k$_" } } 1 .. 99), $rsa ]],
        (map { ["thousand-$_", of_a_thousand($_)] } 1, 100, 101, 1000), ['strict', [$rsa]],
        ['alike', [ (map { { %$rsa_2, kid => "k$_" } } 1 .. 10), $rsa ]];

$t->write_file('keys/none.json', '{"keys":[{}' . ',{}' x 300_000 . ']}');
$t->write_file('keys/members.json', '{"keys":[' . to_json($rsa) . ']'
    . join('', map { sprintf ',"%x":0', $_ } 1 .. 100_000) . '}');

# Do not read the system's certificates for every oidc_provider.
$ENV{SSL_CERT_FILE} = '/dev/null';

$t->run();

# Which keys are accepted for verification

for my $case (@accepted_sets) {
    my ($name, $keys, $recipe) = @$case;

    $op->reset->set(jwks => $keys, id_token => $recipe);
    is(page(login(fresh())), $alice, $name);
}

for my $case (@refused_sets) {
    my ($name, $keys, $recipe, @verdict) = @$case;
    ends_in_no_session($t, $op, fresh_name(), $name, { jwks => $keys, id_token => $recipe }, @verdict);
}

for my $case (@accepted_responses) {
    my ($name, $answer, $recipe) = @$case;

    $op->reset->set(respond => { '/jwks' => $answer }, id_token => $recipe || {});
    is(page(login(fresh())), $alice, "a key set $name");
}

for my $case (@refused_responses) {
    my ($name, $answer, @verdict) = @$case;
    ends_in_no_session($t, $op, fresh_name(), "a key set, $name",
        { respond => { '/jwks' => $answer } }, @verdict);
}

# The maximum number of keys

my $base = 'http://127.0.0.1:' . port(8080);

$op->reset->set(metadata => { jwks_uri => "$base/keys/hundred.json" });
is(page(login(fresh())), $alice, 'the last of 100 keys');

for my $case ([1, $alice], [100, $alice], [101, $no_key], [1000, $no_key]) {
    my ($position, $expected) = @$case;

    $op->set(metadata => { jwks_uri => "$base/keys/thousand-$position.json" });
    is(page(login(fresh())), $expected, "of 1,000 keys, the one at position $position");
}

$op->set(
    metadata => { jwks_uri => "$base/keys/alike.json" },
    id_token => { header => { kid => undef } });
is(page(login(fresh())), $bad_signature, 'no kid in the token: keys after the tenth are not tried');

log_mark($t);
$op->reset->set(metadata => { jwks_uri => "$base/keys/none.json" });
my $refused = login(fresh());
is(page($refused), '502 upstream_keys', '300,000 invalid keys');
is($refused->{browser}->cookie("p$used"), undef, '300,000 invalid keys: no session');
ok(log_has($t, qr/oidc: \Q@{[ no_usable('of an unknown type') ]}\E while handling the callback/),
    '300,000 invalid keys: logged');
$op->set(metadata => { jwks_uri => "$base/keys/members.json" });
is(page(login(fresh())), $alice, 'a key set with 100,000 members');

$op->set(metadata => { jwks_uri => "$base/keys/strict.json" });
is(page(login(fresh())), $alice, 'a key set that is sent as application/jwk-set+json only');

# The key set is fetched once, when the first token arrives.

$op->reset->clear;
my $path = fresh();
my $first = browser();
my $sent = $first->follow($first->get($path));
is($op->count('/jwks'), 0, 'keys are not requested before there is a token');
is(page($first->login($sent->{location})), $alice, 'the first login succeeds');
is($op->count('/jwks'), 1, 'keys are requested for the first token');
is(page(login($path)), $alice, 'the second login succeeds');
is($op->count('/jwks'), 1, 'keys are kept for the second login in spite of no-store');

$op->clear->set(metadata => { jwks_uri => $op->issuer . '/jwks?tenant=a&v=2' });
is(page(login(fresh())), $alice, 'jwks_uri with a query');
is(($op->requests('/jwks'))[0]{query}, 'tenant=a&v=2', 'jwks_uri with a query: the query is sent');

$op->reset->clear->set(respond => { '/jwks' => { headers => { 'Cache-Control' => 'max-age=0' } } });
$path = fresh();
login($path);
is(page(login($path)) . ' ' . $op->count('/jwks'), "$alice 1", 'keys with max-age=0 are kept for a minute');

# Concurrent logins share one request and its failure.

$op->reset->clear->set(respond => { '/jwks' => { hold => 1 } });
is_deeply([ at_once($op, 10, fresh()) ], [ ($alice) x 10 ], 'ten concurrent logins succeed');
is($op->count('/jwks'), 1, 'ten concurrent logins: one request for keys');

$op->reset->clear->set(respond => { '/jwks' => { hold => 1, status => 503 } });
is_deeply([ at_once($op, 5, fresh()) ], [ ('502 upstream_status') x 5 ],
    'five concurrent logins, a failed request: all fail');
is($op->count('/jwks'), 1, 'five concurrent logins, a failed request: it is the only one');

# The client of the request that fetches the keys closes its connection.

$op->reset->clear->set(respond => { '/jwks' => { hold => 1 } });
is_deeply([ at_once($op, 5, fresh(), 1) ], [ ($alice) x 4 ],
    'the first of five concurrent logins closes: the others succeed');

# A slow provider delays a login no longer than the timeouts.

for my $number (1 .. @slow) {
    my ($name, $answer, @verdict) = @{ $slow[$number - 1] };

    my $began = time;
    ends_in_no_session($t, $op, "hasty$number", "a key set that is $name",
        { respond => { '/jwks' => $answer } }, @verdict);
    took_at_most($began, SHORT_TOTAL, "a key set that is $name: within the timeouts");
}

# A rotation is followed at once (Core, 10.1.1).

$op->reset->clear;
$path = fresh();
is(page(login($path)), $alice, 'before a rotation');
$op->set(jwks => ['rsa-2'], id_token => { key => 'rsa-2' });
is(page(login($path)), $alice, 'after a rotation: a login succeeds');
is($op->count('/jwks'), 2, 'after a rotation: one more request for keys');
is(page(login($path)), $alice, 'after a rotation: another login succeeds');
is($op->count('/jwks'), 2, 'after a rotation: the new keys are kept');

$op->set(
    jwks => [{ key => 'ec-256', kid => 'rsa-2' }],
    id_token => { alg => 'ES256', header => { kid => 'rsa-2' } });
is(page(login($path)), $alice, 'a rotation to another type of key with the same kid');
$op->set(
    jwks => [{ key => 'ec-256-2', kid => 'rsa-2' }],
    id_token => { alg => 'ES256', key => 'ec-256-2', header => { kid => 'rsa-2' } });
is(page(login($path)), $alice, 'a rotation with the same kid');
$op->set(jwks => [{ key => 'rsa', kid => undef }], id_token => { header => { kid => undef } });
is(page(login($path)), $alice, 'a rotation to a key without a kid');

# Forged tokens cause a limited number of requests to the provider.

$op->reset->clear;
$path = fresh();
login($path);
is(page(login($path)), $alice, 'before a flood of unknown kids: a login succeeds');
$op->set(id_token => { header => { kid => 'made-up' } });
is_deeply([ map { page(login($path)) } 1 .. 8 ], [ ($no_key) x 8 ], 'a flood of unknown kids: all are refused');
is($op->count('/jwks'), 5, 'a flood of unknown kids: four more requests for keys');
$op->set(id_token => { signature => 'flip' });
is(page(login($path)), $bad_signature, 'after the flood: a bad signature is refused');
is($op->count('/jwks'), 5, 'after the flood: a bad signature causes no request for keys');
$op->set(id_token => {});
is(page(login($path)), $alice, 'after the flood: a valid login succeeds');

$op->clear->set(id_token => { header => { kid => 'made-up' } });
login(fresh());
is($op->count('/jwks'), 2, 'an unknown kid at the first login: one more request for keys');

# If the key set cannot be fetched again, the old one stays in use.

for my $break ({ status => 503 }, { close => 'before_headers' }, { body => '{"keys":[]}' }) {
    $op->reset->clear;
    $path = fresh();
    login($path);
    $op->set(respond => { '/jwks' => $break }, id_token => { header => { kid => 'new' } });

    my $name = 'a refetch fails, ' . join ' ', %$break;
    is(page(login($path)), $no_key, $name);
    $op->set(id_token => {});
    is(page(login($path)), $alice, "$name: the old keys stay in use");
    ok(log_has($t, qr/\[error\].* oidc: provider .+ while updating keys, provider "\w+"/),
        "$name: logged");
}

###############################################################################

# A thousand keys, with the matching one at that position
sub of_a_thousand {
    my ($position) = @_;

    return [ map { $_ == $position ? $rsa : { %$rsa_2, kid => "k$_" } } 1 .. 1000 ];
}

# An oidc_provider that no case has used, and a page that needs a login with it
sub fresh_name { return 'p' . ++$used }
sub fresh { return page_of(fresh_name()) }

# Callbacks of several browsers that wait for one response; the first ones close their connections if asked to.
sub at_once {
    my ($op, $number, $path, $leaving) = @_;

    my @browsers = map { browser() } 1 .. $number;
    my @sent = map { $_->follow($_->get($path)) } @browsers;
    my @requests;

    for my $i (0 .. $#browsers) {
        push @requests, $browsers[$i]->start($sent[$i]{location}, from => $sent[$i]{url});
        $op->wait_for('/jwks', 1);
    }
    $op->wait_for('/token', $number);
    browser()->get('/app') for 1 .. 4;    # both workers have read the tokens then

    for (1 .. $leaving || 0) {
        my $gone = shift @browsers;
        $gone->abort(shift @requests);
    }

    $op->reset;
    return map { page(page_after($_, $_->finish(shift @requests))) } @browsers;
}

sub page_after {
    my ($browser, $answer) = @_;

    return $answer->{status} == 302 ? $browser->follow($answer) : $answer;
}

# The outcome of a login, and the user shown by the page
sub page {
    my ($answer) = @_;

    return join ' ', outcome($answer), $answer->{status} == 200 ? $answer->{body} : ();
}

###############################################################################
