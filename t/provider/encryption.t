#!/usr/bin/perl

# Tests for encrypted ID tokens (OpenID Connect Core, 3.1.3.7 and 10.2): accepted algorithms, where encryption is
# required, and malformed tokens. The token inside is checked against every rule, as without encryption.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Keys;
use Test::OIDC::Refusal;
use Test::OIDC::Site;

my $secret = 'secret-of-at-least-thirty-two-bytes';
my %rsa = (key => 'rsa-2');
my %rsa_256 = (alg => 'RSA-OAEP-256', key => 'rsa-2');
my %ec = (alg => 'ECDH-ES', key => 'ec-256-2');
my %dir = (alg => 'dir');
my @enc = qw/ A128GCM A192GCM A256GCM A128CBC-HS256 A192CBC-HS384 A256CBC-HS512 /;

# name of the oidc_provider => directives

my %provider = (
    rsa => 'client_key %%TESTDIR%%/rsa-2.pem; id_token_encrypted_alg RSA-OAEP',
    rsa_256 => 'client_key %%TESTDIR%%/rsa-2.pem; id_token_encrypted_alg RSA-OAEP-256',
    ec => 'client_key %%TESTDIR%%/ec-256-2.pem; id_token_encrypted_alg ECDH-ES',
    ec384 => 'client_key %%TESTDIR%%/ec-384.pem; id_token_encrypted_alg ECDH-ES',
    ec521 => 'client_key %%TESTDIR%%/ec-521.pem; id_token_encrypted_alg ECDH-ES',
    dir => 'id_token_encrypted_alg dir',
    several => 'client_key %%TESTDIR%%/rsa-2.pem; id_token_encrypted_alg dir RSA-OAEP RSA-OAEP-256',
    rsa_may => 'client_key %%TESTDIR%%/rsa-2.pem',
    ec_may => 'client_key %%TESTDIR%%/ec-256-2.pem',
    never => 'pkce on',
);

# name of the case, oidc_provider, recipe of the encryption (absent for a plain token)

my @accepted = (
    (map { ["RSA-OAEP with $_", 'rsa', { %rsa, enc => $_ }] } @enc),
    (map { ["RSA-OAEP-256 with $_", 'rsa_256', { %rsa_256, enc => $_ }] } @enc),
    (map { ["ECDH-ES with $_", 'ec', { %ec, enc => $_ }] } @enc),
    (map { ["dir with $_", 'dir', { %dir, enc => $_ }] } @enc),
    ['ECDH-ES on P-384', 'ec384', { alg => 'ECDH-ES', key => 'ec-384' }],
    ['ECDH-ES on P-521', 'ec521', { alg => 'ECDH-ES', key => 'ec-521' }],
    ['one of several, dir', 'several', { %dir }],
    ['one of several, RSA-OAEP', 'several', { %rsa }],
    ['one of several, RSA-OAEP-256', 'several', { %rsa_256 }],
    ['not demanded, RSA-OAEP', 'rsa_may', { %rsa }],
    ['not demanded, RSA-OAEP-256', 'rsa_may', { %rsa_256 }],
    ['not demanded, ECDH-ES', 'ec_may', { %ec }],
    ['not demanded, plain', 'rsa_may'],
    ['no key, plain', 'never'],
    ['a kid in the header', 'rsa', { %rsa, header => { kid => 'whose' } }],
    ['no cty', 'rsa', { %rsa, header => { cty => undef } }],
    ['null for zip, cty and kid', 'rsa',
        { %rsa, header_json => '{"alg":"RSA-OAEP","enc":"A256GCM","zip":null,"cty":null,"kid":null}' }],
);

# name of the case, oidc_provider, recipe of the encryption, log sentence after "id token"; the browser gets
# 502 id_token_encryption

my $plain = 'is not encrypted, although id_token_encrypted_alg requires it';
my $broken = 'cannot be decrypted';
my $size = 'has a part of the wrong size';
my $epk = 'has an epk that does not match client_key';
sub unlisted { return qq{is encrypted with "$_[0]", which id_token_encrypted_alg does not list} }

my @refused = (
    (map { ["plain where $_ is demanded", $_, undef, $plain] } qw/ rsa rsa_256 ec dir several /),
    ['dir where RSA-OAEP is demanded', 'rsa', { %dir }, unlisted('dir')],
    ['RSA-OAEP where dir is demanded', 'dir', { %rsa }, unlisted('RSA-OAEP')],
    ['RSA-OAEP where RSA-OAEP-256 is demanded', 'rsa_256', { %rsa }, unlisted('RSA-OAEP')],
    ['RSA-OAEP declared as RSA-OAEP-256', 'rsa_256', { %rsa, header => { alg => 'RSA-OAEP-256' } }, $broken],
    ['RSA-OAEP-256 declared as RSA-OAEP', 'rsa', { %rsa_256, header => { alg => 'RSA-OAEP' } }, $broken],
    ['RSA-OAEP-256 for another', 'rsa_256', { %rsa_256, key => 'rsa' }, $broken],
    ['RSA-OAEP-256, a bit of the encrypted key flipped', 'rsa_256', { %rsa_256, parts => { key => 'flip' } }, $broken],
    ['RSA-OAEP-256, the encrypted key cut', 'rsa_256', { %rsa_256, parts => { key => 'cut' } }, $size],
    ['RSA-OAEP where ECDH-ES is demanded', 'ec', { %rsa }, unlisted('RSA-OAEP')],
    ['dir, not listed', 'rsa_may', { %dir }, unlisted('dir')],
    ['ECDH-ES for an RSA key', 'rsa_may', { %ec }, unlisted('ECDH-ES')],
    (map { ["alg $_", 'rsa', { %rsa, header => { alg => $_ } }, unlisted($_)] }
        qw/ RSA1_5 RSA-OAEP-256 A128KW ECDH-ES+A128KW PBES2-HS256+A128KW none /, ''),
    ['no alg', 'rsa', { %rsa, header => { alg => undef } }, 'has no alg'],
    ['alg a number', 'rsa', { %rsa, header => { alg => 1 } }, 'has no alg'],
    ['no enc', 'rsa', { %rsa, header => { enc => undef } }, 'has an unknown enc ""'],
    ['an unknown enc', 'rsa', { %rsa, header => { enc => 'A128CTR' } }, 'has an unknown enc "A128CTR"'],
    ['crit', 'rsa', { %rsa, header => { crit => ['exp'] } }, 'has a critical extension'],
    ['crit null', 'rsa', { %rsa, header_json => '{"alg":"RSA-OAEP","enc":"A256GCM","crit":null}' },
        'has a critical extension'],
    ['zip', 'rsa', { %rsa, header => { zip => 'DEF' } }, 'is compressed'],

    ['encrypted for another', 'rsa', { key => 'rsa' }, $broken],
    ['encrypted for another EC key', 'ec', { %ec, key => 'ec-256' }, $broken],
    ['encrypted for a key on another curve', 'ec', { %ec, key => 'ec-384' }, $epk],
    ['encrypted by another secret', 'dir', { %dir, secret => 'x' x 32 }, $broken],
    ['no epk', 'ec', { %ec, header => { epk => undef } }, $epk],
    ['epk off the curve', 'ec', { %ec, header => { epk => { kty => 'EC', crv => 'P-256',
        x => 'A' x 43, y => 'A' x 43 } } }, $epk],
    ['epk a string', 'ec', { %ec, header => { epk => 'x' } }, $epk],
    ['apu that is not base64url', 'ec', { %ec, header => { apu => '!' } },
        'has an apu or apv that is not base64url'],
    ['apv of another agreement', 'ec', { %ec, header => { apv => 'eA' } }, $broken],

    (map { my ($how, $recipe) = @$_; (
        ["$how, a bit of the tag flipped", $how, { %$recipe, parts => { tag => 'flip' } }, $broken],
        ["$how, a bit of the ciphertext flipped", $how, { %$recipe, parts => { ciphertext => 'flip' } }, $broken],
        ["$how, a bit of the iv flipped", $how, { %$recipe, parts => { iv => 'flip' } }, $broken],
        ["$how, the tag cut", $how, { %$recipe, parts => { tag => 'cut' } }, $size],
        ["$how, no tag", $how, { %$recipe, parts => { tag => 'empty' } }, $size],
        ["$how, the tag one byte longer", $how, { %$recipe, parts => { tag => 'longer' } }, $size],
        ["$how, the iv cut", $how, { %$recipe, parts => { iv => 'cut' } }, $size],
        ["$how, no iv", $how, { %$recipe, parts => { iv => 'empty' } }, $size],
        ["$how, an encrypted key one byte longer", $how, { %$recipe, parts => { key => 'longer' } }, $size],
        ["$how, no ciphertext", $how, { %$recipe, parts => { ciphertext => 'empty' } },
            'has a ciphertext of 0 bytes'],
    ) } ['rsa', \%rsa], ['ec', \%ec], ['dir', { %dir, enc => 'A128CBC-HS256' }]),
    ['a bit of the encrypted key flipped', 'rsa', { %rsa, parts => { key => 'flip' } }, $broken],
    ['no encrypted key', 'rsa', { %rsa, parts => { key => 'empty' } }, $size],
    ['a header other than the authenticated one', 'rsa',
        { %rsa, parts => { header => 'text:{"alg":"RSA-OAEP","enc":"A256GCM"}' } }, $broken],
    ['an enc other than the one used', 'rsa',
        { %rsa, parts => { header => 'text:{"alg":"RSA-OAEP","enc":"A128GCM"}' } }, $broken],

    ['a header that is not JSON', 'rsa', { %rsa, header_json => 'alg=dir' }, 'has malformed JSON in its header'],
    ['a header with a member twice', 'rsa',
        { %rsa, header_json => '{"alg":"RSA-OAEP","enc":"A256GCM","enc":"A256GCM"}' },
        'has JSON with a duplicate member in its header'],
    ['a header nested 20,000 deep', 'rsa', { %rsa, header_json => '[' x 20_000 },
        'has JSON nested too deeply in its header'],
    ['a part that is not base64url', 'rsa', { %rsa, token => '%%token%%=' }, 'is not base64url'],
    ['five empty parts', 'rsa', { %rsa, token => '....' }, 'has a ciphertext of 0 bytes'],
    ['six parts', 'rsa', { %rsa, token => '%%token%%.x' }, $plain],
    ['four parts', 'rsa', { %rsa, token => 'a.b.c.d' }, $plain],
);

# name of the case, recipes of encryption and of the ID token, $oidc_error, log sentence

my @refused_within = (
    ['a bad signature', {}, { signature => 'flip' }, id_token_signature => 'id token has a bad signature'],
    ['alg none', {}, { alg => 'none' },
        id_token_alg => 'id token is signed with "none", which id_token_alg does not list'],
    ['another audience', {}, { claims => { aud => 'other' } },
        id_token_audience => 'id token is for another audience'],
    ['an old token', {}, { claims => { exp => now(-3600) } }, id_token_expired => 'id token expired'],
    ['unsigned claims', { plain => '{"sub":"alice"}' }, {},
        id_token_malformed => 'id token is not a JWS of three parts'],
    ['nothing', { plain => ' ' }, {}, id_token_malformed => 'id token is not a JWS of three parts'],
    ['a nested JWE', { plain => 'a.b.c.d.e' }, {},
        id_token_malformed => 'id token is not a JWS of three parts'],
);

# directives, value, advice in the error of nginx -t

my $needs_key = 'it needs an RSA client_key for RSA-OAEP and RSA-OAEP-256, an EC client_key for ECDH-ES';

my @refused_values = (
    ["client_secret $secret; id_token_encrypted_alg RSA-OAEP", 'RSA-OAEP', $needs_key],
    ["client_secret $secret; id_token_encrypted_alg dir ECDH-ES", 'ECDH-ES', $needs_key],
    ['client_key %%TESTDIR%%/ec-384.pem; id_token_encrypted_alg RSA-OAEP', 'RSA-OAEP', $needs_key],
    ['client_key %%TESTDIR%%/ec-384.pem; id_token_encrypted_alg RSA-OAEP-256', 'RSA-OAEP-256', $needs_key],
    ['client_key %%TESTDIR%%/rsa-2.pem; id_token_encrypted_alg ECDH-ES', 'ECDH-ES', $needs_key],
    ['id_token_encrypted_alg dir', 'dir', 'it needs a client_secret of at least 32 bytes'],
    ['client_secret ' . 'x' x 31 . '; id_token_encrypted_alg dir', 'dir',
        'it needs a client_secret of at least 32 bytes'],
    ['client_key %%TESTDIR%%/rsa-2.pem; id_token_encrypted_alg RSA1_5', 'RSA1_5',
        'use RSA-OAEP, RSA-OAEP-256, ECDH-ES or dir'],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)
    ->plan(2 * @accepted + 3 * @refused + 3 * @refused_within + @refused_values + 5);

$t->write_file("$_.pem", Test::OIDC::Keys::private_key($_)
    ->export_key_pem(/^ec/ ? 'private_short' : 'private')) for qw/ rsa-2 ec-256-2 ec-384 ec-521 /;

my $op = provider($t, 8081);

# Do not read the system's certificates for every oidc_provider.
$ENV{SSL_CERT_FILE} = '/dev/null';

for my $case (@refused_values) {
    my ($directives, $value, $advice) = @$case;
    my $error = config_error($t, configuration(oidc_provider('idp', $directives, client_secret => undef)));
    like($error, qr/^invalid "id_token_encrypted_alg" "$value", $advice in \S+nginx\.conf:\d+$/,
        $directives =~ s/%%TESTDIR%%\///r);
}

$t->write_file_expand('nginx.conf', configuration(map { oidc_provider($_, $provider{$_}) } sort keys %provider));
$t->run();

for my $case (@accepted) {
    my ($name, $provider, $recipe) = @$case;

    $op->reset->set(encrypt => $recipe);
    my $answer = login("/?op=$provider");
    is("$answer->{status} $answer->{body}", '200 alice', $name);
    ok($answer->{browser}->cookie($provider), "$name: a session");
}

refused($t, $op, $_->[0], $_->[1], { encrypt => $_->[2] }, 'id_token_encryption', "id token $_->[3]")
    for @refused;

refused($t, $op, "inside, $_->[0]", 'rsa', { encrypt => { %rsa, %{ $_->[1] } }, id_token => $_->[2] },
    @$_[3, 4]) for @refused_within;

refused($t, $op, 'encrypted for a client without a key', 'never', { encrypt => { %rsa } },
    'id_token_malformed', 'id token is not a JWS of three parts');

$op->reset->set(encrypt => { %rsa });
is(login('/?op=rsa')->{body}, 'alice', 'a login after all of these succeeds');
is(join(' ', error_log_lines($t, qr/\Q$secret\E|BEGIN .*PRIVATE/)), '', 'no secret is logged');

###############################################################################

sub configuration {
    my (@providers) = @_;

    return http_conf("    error_log %%TESTDIR%%/error.log info;\n", @providers, site('$http_x_sub', <<'EOF'));
        proxy_set_header X-Sub $oidc_claim_sub;
EOF
}

sub refused {
    my ($t, $op, $name, $provider, $knobs, $word, $sentence) = @_;

    $op->reset->set(client_auth => ['client_secret_basic'], %$knobs);
    log_mark($t);

    my $answer = login("/?op=$provider");
    is("$answer->{status} " . ($answer->{headers}{'x-error'} // ''), refused_token($word), $name);
    ok(log_has($t, qr/oidc: \Q$sentence\E.* while handling the callback, provider "$provider"/),
        "$name: logged");
    is($answer->{browser}->cookie($provider), undef, "$name: no session");
}

###############################################################################
