#!/usr/bin/perl

# Tests for the validation of ID tokens (OpenID Connect Core, 3.1.3.7; RFC 7515; RFC 8725). Each refused token breaks
# one rule and leaves the browser without a session; accepted tokens follow.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Digest::SHA qw/ sha256 /;

use Test::OIDC;
use Test::OIDC::Hostile;
use Test::OIDC::JWT qw/ half_hash to_json /;
use Test::OIDC::Keys;
use Test::OIDC::Refusal;
use Test::OIDC::Site;

my $issuer = 'http://127.0.0.1:' . port(8081);
my $access_token = 'access-token';
my $secret = 'secret-of-sixty-four-bytes-so-that-HS512-has-all-that-it-demands';
my $modulus = decode_base64url(Test::OIDC::Keys::public_jwk('rsa')->{n});
my $pem = Test::OIDC::Keys::public_pem('rsa');
my $der = Test::OIDC::Keys::public_der('rsa');
my $rsa = Test::OIDC::Keys::private_key('rsa');

# n of P-256 (FIPS 186-4, D.1.2.3)
my $order = pack 'H*', 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551';

sub b64 { return encode_base64url(shift) }

my $expired = qr/id token expired \d+ seconds ago/;
my $bad_signature = 'id token has a bad signature';
my $no_subject = 'id token has no sub of 1 to 255 ASCII characters';
my $other_nonce = 'id token has the nonce of another login';
my $other_at_hash = 'id token does not belong to the access token, at_hash differs';
my $three_parts = 'id token is not a JWS of three parts';
my $not_base64 = 'id token is not base64url';
my $critical = 'id token has a critical extension';
my $odd_kid = 'id token has a kid that is not a string of at most 1024 bytes';
my $malformed_claims = 'id token has malformed JSON in its claims';
my $malformed_header = 'id token has malformed JSON in its header';

sub nulls { return join '', map { qq{,"$_":null} } @_ }

sub unlisted { return qq{id token is signed with "$_[0]", which id_token_alg does not list} }
sub no_key { return "id token is signed with $_[0], for which the key set has no key" }

# name of the case, recipe of the token (or a sub that makes it from the nonce), $oidc_error, log sentence

my @refused = (

    # 3.1.3.7, 2: the issuer, to the letter

    ['iss of another provider', { claims => { iss => 'https://evil.example.com' } },
        id_token_issuer => 'id token has a wrong issuer "https://evil.example.com"'],
    ['iss missing', { claims => { iss => undef } },
        id_token_issuer => 'id token has a wrong issuer ""'],
    ['iss with a slash added', { claims => { iss => "$issuer/" } },
        id_token_issuer => qq{id token has a wrong issuer "$issuer/"}],
    ['iss in another case', { claims => { iss => uc $issuer } },
        id_token_issuer => qq{id token has a wrong issuer "\U$issuer\E"}],
    ['iss empty', { claims => { iss => '' } },
        id_token_issuer => 'id token has a wrong issuer ""'],
    ['iss an array', { claims => { iss => [$issuer] } },
        id_token_issuer => 'id token has a wrong issuer ""'],

    # Core, 2: sub

    ['sub missing', { claims => { sub => undef } }, id_token_subject => $no_subject],
    ['sub empty', { claims => { sub => '' } }, id_token_subject => $no_subject],
    ['sub of 256 characters', { claims => { sub => 'x' x 256 } }, id_token_subject => $no_subject],
    ['sub a number', { claims => { sub => 42 } }, id_token_subject => $no_subject],
    ['sub an array', { claims => { sub => ['alice'] } }, id_token_subject => $no_subject],
    ['sub true', { claims => { sub => \1 } }, id_token_subject => $no_subject],
    ['sub null', { claims => { sub => undef }, claims_json => '{%%*%%,"sub":null}' },
        id_token_subject => $no_subject],
    ['sub not ASCII', { claims => { sub => "\x{e4}lice" } }, id_token_subject => $no_subject],
    ['sub with a line break', { claims => { sub => "alice\r\nx: y" } },
        id_token_subject => $no_subject],

    # 3.1.3.7, 3: aud

    ['aud of another client', { claims => { aud => 'other' } },
        id_token_audience => 'id token is for another audience, "\x22other\x22"'],
    ['aud missing', { claims => { aud => undef } },
        id_token_audience => 'id token is for another audience, ""'],
    ['aud that begins with our client_id', { claims => { aud => 'client2' } },
        id_token_audience => 'id token is for another audience, "\x22client2\x22"'],
    ['aud an array without our client_id', { claims => { aud => [qw/ other others /] } },
        id_token_audience => 'id token is for another audience, "[\x22other\x22,\x22others\x22]"'],
    ['aud an empty array', { claims => { aud => [] } },
        id_token_audience => 'id token is for another audience, "[]"'],
    ['aud an empty object', { claims => { aud => {} } },
        id_token_audience => 'id token is for another audience, "{}"'],
    ['aud an object with our client_id', { claims => { aud => { client => 'client' } } },
        id_token_audience => 'id token is for another audience, "{\x22client\x22:\x22client\x22}"'],
    ['aud a number', { claims => { aud => 1 } },
        id_token_audience => 'id token is for another audience, "1"'],
    ['aud with a second, untrusted one', { claims => { aud => [qw/ client other /] } },
        id_token_audience =>
            'id token is also for an untrusted audience, "[\x22client\x22,\x22other\x22]"'],
    ['aud with a second that is a number', { claims => { aud => ['client', 1] } },
        id_token_audience => 'id token is also for an untrusted audience, "[\x22client\x22,1]"'],

    # 3.1.3.7, 4 and 5: azp

    ['azp of another client', { claims => { azp => 'other' } },
        id_token_azp => 'id token was issued to another party, azp "\x22other\x22"'],
    ['azp a number', { claims => { azp => 1 } },
        id_token_azp => 'id token was issued to another party, azp "1"'],
    ['azp an array', { claims => { azp => ['client'] } },
        id_token_azp => 'id token was issued to another party, azp "[\x22client\x22]"'],

    # 3.1.3.7, 9 and 10; RFC 7519, 4.1.5: the times

    ['exp past', { claims => { exp => now(-3600) } }, id_token_expired => $expired],
    ['exp past by more than clock_skew', { claims => { exp => now(-90) } },
        id_token_expired => $expired],
    ['exp missing', { claims => { exp => undef } }, id_token_expired => 'id token has no exp'],
    ['exp a string', { claims => { exp => '9999999999' } },
        id_token_expired => 'id token has no exp'],
    ['exp negative', { claims => { exp => -1 } }, id_token_expired => 'id token has no exp'],
    ['exp an object', { claims => { exp => {} } }, id_token_expired => 'id token has no exp'],
    ['exp out of range', { claims => { exp => 1e300 } },
        id_token_expired => 'id token has no exp'],
    ['nbf in the future', { claims => { nbf => now(90) } },
        id_token_not_yet_valid => 'id token is not valid yet'],
    ['nbf a string', { claims => { nbf => '0' } },
        id_token_not_yet_valid => 'id token is not valid yet'],
    ['iat missing', { claims => { iat => undef } }, id_token_issued_at => 'id token has no iat'],
    ['iat a string', { claims => { iat => '1' } }, id_token_issued_at => 'id token has no iat'],
    ['iat in the future', { claims => { iat => now(90) } },
        id_token_issued_at => qr/id token was issued \d+ seconds in the future/],
    ['iat two hours ago', { claims => { iat => now(-7200) } },
        id_token_issued_at => qr/id token was issued 72\d\d seconds ago/],

    # 3.1.3.7, 11: nonce

    ['nonce missing', { claims => { nonce => undef } }, id_token_nonce => 'id token has no nonce'],
    ['nonce wrong', { claims => { nonce => 'x' x 43 } }, id_token_nonce => $other_nonce],
    ['nonce empty', { claims => { nonce => '' } }, id_token_nonce => $other_nonce],
    ['nonce truncated', sub { { claims => { nonce => substr $_[0], 0, -1 } } },
        id_token_nonce => $other_nonce],
    ['nonce extended', sub { { claims => { nonce => $_[0] . 'x' } } },
        id_token_nonce => $other_nonce],
    ['nonce in another case', sub { { claims => { nonce => lc $_[0] } } },
        id_token_nonce => $other_nonce],
    ['nonce an array', sub { { claims => { nonce => [$_[0]] } } },
        id_token_nonce => 'id token has no nonce'],
    ['nonce a number', { claims => { nonce => 0 } }, id_token_nonce => 'id token has no nonce'],

    # 3.1.3.8: at_hash

    ['at_hash wrong', { claims => { at_hash => 'x' x 22 } }, id_token_at_hash => $other_at_hash],
    ['at_hash empty', { claims => { at_hash => '' } }, id_token_at_hash => $other_at_hash],
    ['at_hash a number', { claims => { at_hash => 1 } }, id_token_at_hash => $other_at_hash],
    ['at_hash of another access token', { claims => { at_hash => half_hash('other', 'RS256') } },
        id_token_at_hash => $other_at_hash],
    ['at_hash by another hash', { claims => { at_hash => half_hash($access_token, 'RS512') } },
        id_token_at_hash => $other_at_hash],
    ['at_hash of the whole hash', { claims => { at_hash => b64(sha256($access_token)) } },
        id_token_at_hash => $other_at_hash],

    # 3.1.3.7, 6: the signature

    ['signature with one bit flipped', { signature => 'flip' },
        id_token_signature => $bad_signature],
    ['signature empty', { signature => 'empty' }, id_token_signature => $bad_signature],
    ['signature all zeros', { signature => 'zeros' }, id_token_signature => $bad_signature],
    ['signature of another key under a published kid', { key => 'rsa-2', header => { kid => 'rsa' } },
        id_token_signature => $bad_signature],
    ['signature of another key without kid', { key => 'rsa-2', header => { kid => undef } },
        id_token_signature => $bad_signature],
    ['signature of another token', { token => '%%header%%.' . b64('{"sub":"eve"}') . '.%%signature%%' },
        id_token_signature => $bad_signature],
    ['PS256 declared as RS256', { alg => 'PS256', header => { alg => 'RS256' } },
        id_token_signature => $bad_signature],
    ['RS256 declared as PS256', { header => { alg => 'PS256' } },
        id_token_signature => $bad_signature],
    ['RS256 declared as RS384', { header => { alg => 'RS384' } },
        id_token_signature => $bad_signature],
    ['ES256 with one bit flipped', { alg => 'ES256', signature => 'flip' },
        id_token_signature => $bad_signature],
    ['ES384 with one bit flipped', { alg => 'ES384', signature => 'flip' },
        id_token_signature => $bad_signature],
    ['ES512 with one bit flipped', { alg => 'ES512', signature => 'flip' },
        id_token_signature => $bad_signature],
    ['PS256 with one bit flipped', { alg => 'PS256', signature => 'flip' },
        id_token_signature => $bad_signature],
    (map { ["$_ with one bit flipped", { alg => $_, signature => 'flip' },
        id_token_signature => $bad_signature] } qw/ EdDSA Ed25519 /),

    # RFC 7518, 3.4: r and s of exact size, from 1 to n - 1

    ['ES256 in DER', { alg => 'ES256', signature => 'der' }, id_token_signature => $bad_signature],
    ['ES256 of zeros', { alg => 'ES256', signature => 'zeros' },
        id_token_signature => $bad_signature],
    ['ES256 empty', { alg => 'ES256', signature => 'empty' }, id_token_signature => $bad_signature],
    ['ES256 one byte short',
        { alg => 'ES256', token => '%%header%%.%%claims%%.' . b64('x' x 63) },
        id_token_signature => $bad_signature],
    ['ES256 one byte long',
        { alg => 'ES256', token => '%%header%%.%%claims%%.' . b64('x' x 65) },
        id_token_signature => $bad_signature],
    ['ES256 with r and s of the order',
        { alg => 'ES256', token => '%%header%%.%%claims%%.' . b64($order x 2) },
        id_token_signature => $bad_signature],
    ['ES384 of zeros', { alg => 'ES384', signature => 'zeros' },
        id_token_signature => $bad_signature],
    ['ES512 of zeros', { alg => 'ES512', signature => 'zeros' },
        id_token_signature => $bad_signature],
    ['EdDSA of zeros', { alg => 'EdDSA', signature => 'zeros' },
        id_token_signature => $bad_signature],
    ['EdDSA one byte short',
        { alg => 'EdDSA', token => '%%header%%.%%claims%%.' . b64('x' x 63) },
        id_token_signature => $bad_signature],
    ['EdDSA of another key', { alg => 'EdDSA', key => 'ed25519-2', header => { kid => 'ed25519' } },
        id_token_signature => $bad_signature],

    # 3.1.3.7, 7; RFC 8725, 3.1: the algorithm, and a key that fits it

    ['alg none', { alg => 'none' }, id_token_alg => unlisted('none')],
    ['alg none with a signature', { alg => 'none', token => '%%header%%.%%claims%%.' . b64('x' x 256) },
        id_token_alg => unlisted('none')],
    ['alg none with a valid signature', { header => { alg => 'none' } },
        id_token_alg => unlisted('none')],
    ['alg None', { alg => 'none', header => { alg => 'None' } }, id_token_alg => unlisted('None')],
    ['alg nOnE', { alg => 'none', header => { alg => 'nOnE' } }, id_token_alg => unlisted('nOnE')],
    ['alg rs256', { header => { alg => 'rs256' } }, id_token_alg => unlisted('rs256')],
    ['alg unknown', { header => { alg => 'ES256K' } }, id_token_alg => unlisted('ES256K')],
    (map { ["alg $_", { alg => 'Ed25519', header => { alg => $_ } }, id_token_alg => unlisted($_)] }
        qw/ Ed448 ed25519 /),
    ['Ed25519 with the kid of an RSA key', { alg => 'Ed25519', header => { kid => 'rsa' } },
        id_token_key => no_key('Ed25519')],
    ['alg empty', { header => { alg => '' } }, id_token_alg => unlisted('')],
    ['alg missing', { header => { alg => undef } }, id_token_malformed => 'id token has no alg'],
    ['alg a number', { header => { alg => 256 } }, id_token_malformed => 'id token has no alg'],
    ['alg an array', { header => { alg => ['RS256'] } },
        id_token_malformed => 'id token has no alg'],
    ['HS256, not listed, with our secret', { alg => 'HS256' }, id_token_alg => unlisted('HS256')],
    ['HS256, not listed, with the public key',
        { alg => 'HS256', secret => $pem, header => { kid => 'rsa' } },
        id_token_alg => unlisted('HS256')],
    ['ES256 with the kid of a P-384 key', { alg => 'ES256', header => { kid => 'ec-384' } },
        id_token_key => no_key('ES256')],
    ['ES256 with a P-384 key', { alg => 'ES256', key => 'ec-384' },
        id_token_signature => $bad_signature],
    ['ES256 with the kid of an RSA key', { alg => 'ES256', header => { kid => 'rsa' } },
        id_token_key => no_key('ES256')],
    ['RS256 with the kid of an EC key', { header => { kid => 'ec-256' } }, id_token_key => no_key('RS256')],
    ['EdDSA with the kid of an EC key', { alg => 'EdDSA', header => { kid => 'ec-256' } },
        id_token_key => no_key('EdDSA')],
    ['kid unknown', { header => { kid => 'rsa-9' } },
        id_token_key => 'id token names an unknown key "rsa-9"'],
    ['kid empty', { header => { kid => '' } }, id_token_key => 'id token names an unknown key ""'],
    ['kid a prefix of a known one', { header => { kid => 'rs' } },
        id_token_key => 'id token names an unknown key "rs"'],
    ['kid a path', { header => { kid => '../../../dev/null' } },
        id_token_key => 'id token names an unknown key "../../../dev/null"'],
    ['kid a number', { header => { kid => 1 } }, id_token_malformed => $odd_kid],
    ['kid an array', { header => { kid => ['rsa'] } }, id_token_malformed => $odd_kid],
    ['kid of 2,000 characters', { header => { kid => 'k' x 2000 } }, id_token_malformed => $odd_kid],

    # RFC 7515, 4.1: header parameters that are not trusted

    ['crit with an unknown name', { header => { crit => ['x'], x => 1 } }, id_token_crit => $critical],
    ['crit empty', { header => { crit => [] } }, id_token_crit => $critical],
    ['crit with a registered name', { header => { crit => ['exp'], exp => 1 } },
        id_token_crit => $critical],
    ['crit null', { header_json => '{%%*%%,"crit":null}' }, id_token_crit => $critical],
    ['crit with b64', { header => { crit => ['b64'], b64 => \0 } }, id_token_crit => $critical],
    ['b64 without crit', { header => { b64 => \0 } },
        id_token_malformed => 'id token has a header of another kind of token'],
    ['enc in three parts', { header => { enc => 'A256GCM' } },
        id_token_malformed => 'id token has a header of another kind of token'],
    ['jwk in the header', { key => 'rsa-2',
        header => { kid => undef, jwk => Test::OIDC::Keys::public_jwk('rsa-2') } },
        id_token_signature => $bad_signature],
    ['jwk and its kid in the header', { key => 'rsa-2',
        header => { jwk => Test::OIDC::Keys::public_jwk('rsa-2') } },
        id_token_key => 'id token names an unknown key "rsa-2"'],
    ['jku in the header', { key => 'rsa-2', header => { kid => 'rsa', jku => "$issuer/evil" } },
        id_token_signature => $bad_signature],
    ['x5u in the header', { key => 'rsa-2', header => { kid => 'rsa', x5u => "$issuer/evil" } },
        id_token_signature => $bad_signature],
    ['x5c in the header', { key => 'rsa-2', header => { kid => 'rsa', x5c => ['MIIB'] } },
        id_token_signature => $bad_signature],

    # RFC 7515, 7.1: the form

    ['five parts', { token => '%%header%%.a.b.c.%%signature%%' }, id_token_malformed => $three_parts],
    ['a JWE', { header => { alg => 'dir', enc => 'A256GCM' }, token => '%%header%%..x.%%claims%%.x' },
        id_token_malformed => $three_parts],
    ['four parts', { token => '%%token%%.x' }, id_token_malformed => $three_parts],
    ['two parts', { token => '%%header%%.%%claims%%' }, id_token_malformed => $three_parts],
    ['one part', { token => '%%claims%%' }, id_token_malformed => $three_parts],
    ['only dots', { token => '..' }, id_token_malformed => $malformed_header],
    ['50,000 dots', { token => '.' x 50_000 }, id_token_malformed => $three_parts],
    ['50,000 letters', { token => 'A' x 50_000 }, id_token_malformed => $three_parts],
    ['white space inside', { token => "%%header%%.%%claims%%\n.%%signature%%" },
        id_token_malformed => $not_base64],
    ['percent escapes', { token => '%%header%%%2E.%%claims%%.%%signature%%' },
        id_token_malformed => $not_base64],
    ['dots around it', { token => '.%%token%%.' }, id_token_malformed => $three_parts],
    ['the parts in another order', { token => '%%claims%%.%%header%%.%%signature%%' },
        id_token_malformed => 'id token has no alg'],
    ['a NUL after the alg', { header_json => '{"alg":"RS256\\u0000","kid":"rsa"}' },
        id_token_malformed => $malformed_header],
    ['JSON', { token => '{"payload":"%%claims%%","protected":"%%header%%","signature":"%%signature%%"}' },
        id_token_malformed => $three_parts],
    ['empty header', { token => '.%%claims%%.%%signature%%' },
        id_token_malformed => $malformed_header],
    ['empty payload', { token => '%%header%%..%%signature%%' },
        id_token_signature => $bad_signature],
    ['a padded signature', { signature => 'padded' }, id_token_malformed => $not_base64],
    ['a padded header', { token => '%%header%%=.%%claims%%.%%signature%%' },
        id_token_malformed => $not_base64],
    ['a padded payload', { token => '%%header%%.%%claims%%=.%%signature%%' },
        id_token_malformed => $not_base64],
    ['a line break at the end', { token => "%%token%%\n" }, id_token_malformed => $not_base64],
    ['a space at the start', { token => ' %%token%%' }, id_token_malformed => $not_base64],
    ['extra bytes', { token => '%%token%%AA' }, id_token_signature => $bad_signature],
    ['unused bits set', { token => '%%token%%B' }, id_token_malformed => $not_base64],
    ['a plus for a minus', { token => '%%header%%.%%claims%%.' . '+' x 342 },
        id_token_malformed => $not_base64],

    # RFC 7519, 7.2: JSON, one object, unambiguous

    (map { ["claims, $_->[0]", { claims_json => $_->[1] },
        id_token_malformed => "id token has $_->[2] in its claims"] } broken_json()),
    (map { ["header, $_->[0]", { header_json => $_->[1] },
        id_token_malformed => "id token has $_->[2] in its header"] } broken_json()),
    ['exp an integer beyond 64 bits', { claims => { exp => undef },
        claims_json => '{%%*%%,"exp":99999999999999999999}' }, id_token_expired => 'id token has no exp'],
    ['nbf an integer beyond 64 bits', { claims_json => '{%%*%%,"nbf":-99999999999999999999}' },
        id_token_not_yet_valid => 'id token is not valid yet'],
    ['sub an integer beyond 64 bits', { claims => { sub => undef },
        claims_json => '{%%*%%,"sub":99999999999999999999}' }, id_token_subject => $no_subject],
    ['sub twice', { claims_json => '{%%*%%,"sub":"eve"}' },
        id_token_malformed => 'id token has JSON with a duplicate member in its claims'],
    ['sub twice, once escaped', { claims_json => '{%%*%%,"s\\u0075b":"eve"}' },
        id_token_malformed => 'id token has JSON with a duplicate member in its claims'],
    ['a NUL after the name of sub', { claims_json => '{%%*%%,"sub\\u0000":"eve"}' },
        id_token_malformed => $malformed_claims],
    ['alg twice', { header_json => '{%%*%%,"alg":"none"}' },
        id_token_malformed => 'id token has JSON with a duplicate member in its header'],
    ['a NUL in the kid', { header_json => '{"alg":%%alg%%,"kid":"rsa\\u0000"}' },
        id_token_malformed => $malformed_header],
);

# For a client whose id_token_alg lists HS256 and RS256: confusing them must fail.
my @refused_hmac = (
    ['HMAC with one bit flipped', { alg => 'HS256', signature => 'flip' },
        id_token_signature => $bad_signature],
    ['HMAC with another secret', { alg => 'HS256', secret => 'x' x 64 },
        id_token_signature => $bad_signature],
    ['HMAC with an empty secret', { alg => 'HS256', secret => '' },
        id_token_signature => $bad_signature],
    ['HMAC cut short', { alg => 'HS256', token => '%%header%%.%%claims%%.' . b64('x' x 16) },
        id_token_signature => $bad_signature],
    ['HMAC empty', { alg => 'HS256', signature => 'empty' }, id_token_signature => $bad_signature],
    ['HMAC with the public key in PEM', { alg => 'HS256', secret => $pem, header => { kid => 'rsa' } },
        id_token_signature => $bad_signature],
    ['HMAC with the public key in trimmed PEM',
        { alg => 'HS256', secret => $pem =~ s/\s+\z//r, header => { kid => 'rsa' } },
        id_token_signature => $bad_signature],
    ['HMAC with the public key in DER', { alg => 'HS256', secret => $der, header => { kid => 'rsa' } },
        id_token_signature => $bad_signature],
    ['HMAC with the modulus', { alg => 'HS256', secret => $modulus, header => { kid => 'rsa' } },
        id_token_signature => $bad_signature],
    (map { ["$_ with the public key in PEM", { alg => $_, secret => $pem, header => { kid => 'rsa' } },
        id_token_signature => $bad_signature] } qw/ HS384 HS512 /),
    ['HMAC with the public key in PEM, without kid', { alg => 'HS256', secret => $pem },
        id_token_signature => $bad_signature],
    (map { ["HMAC with the public key, $_->[0]",
        { alg => 'HS256', secret => $_->[1], header => { kid => 'rsa' } },
        id_token_signature => $bad_signature] }
        ['PEM of PKCS #1', $rsa->export_key_pem('public')],
        ['PEM with CRLF', $pem =~ s/\n/\r\n/gr], ['PEM without its lines', $pem =~ s/-----[^-]+-----|\s//gr],
        ['base64url modulus', Test::OIDC::Keys::public_jwk('rsa')->{n}],
        ['JWK', to_json(Test::OIDC::Keys::public_jwk('rsa'))], ['exponent', "\x01\x00\x01"],
        ['NUL', "\0"], ['kid', 'rsa']),
    ['HMAC with the public EC key', { alg => 'HS256', secret => Test::OIDC::Keys::public_pem('ec-256'),
        header => { kid => 'ec-256' } }, id_token_signature => $bad_signature],
    ['HMAC with the public Ed25519 key', { alg => 'HS256', header => { kid => 'ed25519' },
        secret => decode_base64url(Test::OIDC::Keys::public_jwk('ed25519')->{x}) },
        id_token_signature => $bad_signature],
    ['HMAC with the client_id', { alg => 'HS256', secret => 'client' },
        id_token_signature => $bad_signature],
    ['HMAC with a NUL after the secret', { alg => 'HS256', secret => "$secret\0x" },
        id_token_signature => $bad_signature],
    ['HMAC declared as RS256', { alg => 'HS256', secret => $pem, header => { alg => 'RS256', kid => 'rsa' } },
        id_token_signature => $bad_signature],
    ['RS256 declared as HS256', { header => { alg => 'HS256' } }, id_token_signature => $bad_signature],
    ['HS256 declared as HS512', { alg => 'HS256', header => { alg => 'HS512' } },
        id_token_signature => $bad_signature],
    ['alg none where HMAC is listed', { alg => 'none' }, id_token_alg => unlisted('none')],
    ['an alg that is not listed', { alg => 'ES256' }, id_token_alg => unlisted('ES256')],
    ['Ed25519 where neither of its names is listed', { alg => 'Ed25519' }, id_token_alg => unlisted('Ed25519')],
);

my @refused_exactly = (
    ['exp past without clock_skew', { claims => { exp => now(-5) } }, id_token_expired => $expired],
    ['nbf in the future without clock_skew', { claims => { nbf => now(30) } },
        id_token_not_yet_valid => 'id token is not valid yet'],
    ['iat in the future without clock_skew', { claims => { iat => now(30) } },
        id_token_issued_at => qr/id token was issued \d+ seconds in the future/],
);

# name of the oidc_provider, name of the case, recipe

my @accepted = (
    (map { ['op', "$_ accepted", { alg => $_ }] }
        qw/ RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519 /),
    (map { [$_->[0], "$_->[1] where id_token_alg lists $_->[0]", { alg => $_->[1] }] }
        ['EdDSA', 'Ed25519'], ['Ed25519', 'EdDSA'], ['Ed25519', 'Ed25519']),
    ['op', 'Ed25519 with a key for EdDSA', { alg => 'Ed25519', key => 'ed25519-2' }],
    ['op', 'EdDSA with a key for Ed25519', { alg => 'EdDSA' }],
    (map { ['hmac', "$_ accepted where it is listed", { alg => $_ }] } qw/ HS256 HS384 HS512 /),
    ['hmac', 'RS256 accepted with HMAC listed', {}],
    ['hmac', 'HMAC with a kid', { alg => 'HS256', header => { kid => 'some' } }],

    ['op', 'no kid, one key of its kind', { header => { kid => undef } }],
    ['op', 'no kid, one key of its curve', { alg => 'ES384', header => { kid => undef } }],
    ['op', 'no kid, several keys, the first fits',
        { alg => 'ES256', key => 'ec-256-2', header => { kid => undef } }],
    ['op', 'no kid, several keys, the second fits', { alg => 'ES256', header => { kid => undef } }],
    ['op', 'no kid, several Ed25519 keys', { alg => 'EdDSA', header => { kid => undef } }],
    ['op', 'no typ', { header => { typ => undef } }],
    ['op', 'unknown header parameters', { header => { x => { y => 1 } } }],
    ['op', 'header parameters that are null', { header_json => '{"alg":%%alg%%' . nulls(qw/ kid typ b64 enc jwk x5c x /) . '}' }],
    ['op', 'claims that are null', { claims => { auth_time => undef, at_hash => undef },
        claims_json => '{%%*%%' . nulls(qw/ azp nbf auth_time at_hash acr events sid x /) . '}' }],
    ['op', 'a foreign jwk with a valid signature',
        { header => { jwk => Test::OIDC::Keys::public_jwk('rsa-2') } }],
    ['op', 'unknown claims', { claims => { x => { y => [1, \1, 'z'] } } }],
    ['op', 'a claim that is an integer beyond 64 bits', { claims_json => '{%%*%%,"x":99999999999999999999}' }],
    ['op', 'claims nested 64 deep', { claims_json => '{%%*%%,"x":' . '[' x 63 . ']' x 63 . '}' }],
    ['op', 'white space around claims', { claims_json => " {\n%%*%%\n} \r\n" }],

    ['op', 'aud an array of our client_id', { claims => { aud => ['client'] } }],
    ['op', 'azp our client_id', { claims => { azp => 'client' } }],
    ['op', 'no at_hash', { claims => { at_hash => undef } }],
    ['op', 'nbf past', { claims => { nbf => now(-3600) } }],
    ['op', 'a time with a fraction', { claims => { nbf => 1.5 } }],

    ['op', 'exp past within clock_skew', { claims => { exp => now(-30) } }],
    ['op', 'nbf in the future within clock_skew', { claims => { nbf => now(30) } }],
    ['op', 'iat in the future within clock_skew', { claims => { iat => now(30) } }],
    ['wide', 'exp past within ten minutes', { claims => { exp => now(-540) } }],
    ['wide', 'nbf in the future within ten minutes', { claims => { nbf => now(540) } }],
    ['wide', 'iat in the future within ten minutes', { claims => { iat => now(540) } }],
    ['exact', 'a fresh token without clock_skew', {}],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)
    ->plan(CALLBACK_TESTS * (@refused + @refused_hmac + @refused_exactly) + @accepted + 6);

my $op = provider($t, 8081,
    client_secret => $secret,
    access_token => $access_token,
    jwks => [
        'rsa', qw/ ec-521 ed25519-2 /, { key => 'ed25519', alg => 'Ed25519' },
        map { { key => $_, alg => undef } } qw/ ec-256-2 ec-256 ec-384 /,
    ],
);

my @client = (client_secret => $secret);

$t->write_file_expand('nginx.conf', nginx_conf(
    oidc_provider('op', '', @client),
    oidc_provider('hmac', 'id_token_alg HS256 HS384 HS512 RS256', @client),
    oidc_provider('exact', 'clock_skew 0', @client),
    oidc_provider('wide', 'clock_skew 10m', @client),
    oidc_provider('unproven', 'pkce off', @client),
    (map { oidc_provider($_, "id_token_alg $_", @client) } qw/ EdDSA Ed25519 /),
    site('sub=$http_x_sub token=$http_x_token', <<'EOF'),
        proxy_set_header X-Sub   $oidc_claim_sub;
        proxy_set_header X-Token $oidc_id_token;
EOF
));

$t->run();

for my $case ((map { ['op', @$_] } @refused), (map { ['hmac', @$_] } @refused_hmac),
    (map { ['exact', @$_] } @refused_exactly))
{
    my ($provider, $name, $recipe, $word, $sentence) = @$case;
    ends_in_no_session($t, $op, $provider, $name, knobs_of($recipe), refused_token($word), $sentence);
}

for my $case (@accepted) {
    my ($provider, $name, $recipe) = @$case;

    $op->reset->set(%{ knobs_of($recipe) });
    like(login(page_of($provider))->{body}, qr/^sub=alice /, $name);
}

# The token of an earlier login of the same browser: only its nonce is wrong.

$op->reset;
my $first = login('/?op=op');
my ($token) = $first->{body} =~ /token=(\S+)/;
isnt($token, undef, 'the token of the first login');
$op->set(id_token => { token => $token });
is(outcome($first->{browser}->forget('op')->login('/?op=op')), '403 id_token_nonce',
    'the token of an earlier login is refused');

# The code of another browser's login: with PKCE the provider refuses it, without PKCE the nonce does.

$op->reset;
is(outcome(injected('op')), '400 provider_invalid_grant', 'the code of another login is refused');
is(outcome(injected('unproven')), '403 id_token_nonce', 'the code of another login is refused without PKCE');

# Cookies and state of a refused login are not sessions.

$op->set(id_token => { signature => 'flip' });
my $browser = login('/?op=op')->{browser};
is(join(' ', map { try_as_session($browser, $_->{value}) } $browser->cookies), '302',
    'the cookies of a refused login are no session');
is(try_as_session($browser, query($browser->get('/?op=op')->{location})->{state}), '302',
    'the state of a refused login is no session');

###############################################################################

# The provider's knobs for a recipe, or for a sub that makes it from the nonce
sub knobs_of {
    my ($recipe) = @_;

    return { id_token => $recipe } if ref $recipe ne 'CODE';
    return sub { return { id_token => $recipe->(@_) } };
}

sub injected {
    my ($provider) = @_;

    my ($attacker, $victim) = (browser(), browser());
    my $attackers = $attacker->follow($attacker->get(page_of($provider)));
    my $victims = $victim->follow($victim->get(page_of($provider)));

    my $code = query($attackers->{location})->{code};
    return $victim->get($victims->{location} =~ s/code=[^&]*/code=$code/r);
}

sub try_as_session {
    my ($browser, $value) = @_;

    my $thief = $browser->clone->set_cookie("op=$value; Path=/");
    return $thief->get('/?op=op')->{status};
}

###############################################################################
