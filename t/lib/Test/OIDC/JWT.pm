package Test::OIDC::JWT;

# Makes and decodes JSON Web Tokens, valid or broken in exactly one way. A token is made from claims and a
# recipe:
#
#   alg => 'ES256'              signature algorithm; default RS256; also "none" and HS*
#   key => 'ec-256-2'           signing key, by its id in Test::OIDC::Keys; default: one for alg
#   secret => 'bytes'           the secret of HS*
#   claims => {name => value}   claims replaced, or removed by undef
#   header => {name => value}   the same for the header, which is {alg, kid, typ}
#   claims_json, header_json    text of the part instead of its JSON; %%*%% stands for the valid members,
#                               %%name%% for one valid value: '{%%*%%,"sub":"eve"}'
#   signature => 'flip'         one bit flipped; also "empty", "zeros", "der" (ES*, not r||s), "padded",
#                               "exponent_1" (RS256, valid for a key with exponent 1) and "order_1" (EdDSA,
#                               valid for a key that is the neutral point)
#   token => 'a.b.c'            the whole token; %%header%%, %%claims%%, %%signature%% and %%token%% stand
#                               for the unbroken ones

use warnings;
use strict;

use Digest::SHA ();
use JSON::PP ();
use MIME::Base64 qw/ decode_base64url encode_base64url /;

use Test::OIDC::Keys;

our @EXPORT_OK = qw/ fill from_json half_hash jwt_decode jwt_make jwt_verify to_json with_changes /;
use base qw/ Exporter /;

my $json = JSON::PP->new->utf8->canonical->allow_nonref->allow_blessed->convert_blessed;

# algorithm => [how it signs, hash, length of the hash, default key]
my %algorithm = (
    (map { ("RS$_" => ['rsa', "SHA$_", $_ / 8, 'rsa']) } 256, 384, 512),
    (map { ("PS$_" => ['pss', "SHA$_", $_ / 8, 'rsa']) } 256, 384, 512),
    (map { ("HS$_" => ['hmac', "SHA$_", $_ / 8, '']) } 256, 384, 512),
    ES256 => ['ecdsa', 'SHA256', 32, 'ec-256'],
    ES384 => ['ecdsa', 'SHA384', 48, 'ec-384'],
    ES512 => ['ecdsa', 'SHA512', 64, 'ec-521'],
    EdDSA => ['eddsa', 'SHA512', 64, 'ed25519'],
    Ed25519 => ['eddsa', 'SHA512', 64, 'ed25519'],
    none => ['none', 'SHA256', 32, ''],
);

sub jwt_make {
    my ($claims, %recipe) = @_;

    my $alg = $recipe{alg} || 'RS256';
    my ($how, $hash, $length, $key) = @{ $algorithm{$alg} || die "unknown algorithm \"$alg\"" };
    $key = $recipe{key} if defined $recipe{key};

    my $header = { alg => $alg, typ => 'JWT', length $key ? (kid => $key) : () };
    $header = with_changes($header, $recipe{header});
    $claims = with_changes($claims, $recipe{claims});

    my %part = (
        header => encode_base64url(part_text($header, $recipe{header_json})),
        claims => encode_base64url(part_text($claims, $recipe{claims_json})),
    );

    my $input = "$part{header}.$part{claims}";
    my $signature = sign($how, $input, $key, $hash, $length, $recipe{secret});

    $part{signature} = broken_signature($recipe{signature}, $signature, $input, $key, $hash);
    $part{token} = "$input.$part{signature}";

    return defined $recipe{token} ? $recipe{token} =~ s/%%(\w+)%%/$part{$1}/gr : $part{token};
}

sub sign {
    my ($how, $input, $key, $hash, $length, $secret) = @_;

    return '' if $how eq 'none';
    return Digest::SHA->can('hmac_' . lc $hash)->($input, $secret) if $how eq 'hmac';

    my $private = Test::OIDC::Keys::private_key($key);
    return $private->sign_message($input, $hash, 'v1.5') if $how eq 'rsa';
    return $private->sign_message($input, $hash, 'pss', $length) if $how eq 'pss';
    return $private->sign_message_rfc7518($input, $hash) if $how eq 'ecdsa';
    return $private->sign_message($input);
}

# Header and claims, without verification; undef if it is no JWT.
sub jwt_decode {
    my ($token) = @_;

    my ($header, $claims, $signature) = split /\./, $token // '', -1;
    return undef unless defined $signature;

    my $decoded = eval {
        {
            header => from_json(decode_base64url($header)),
            claims => from_json(decode_base64url($claims)),
            signature => decode_base64url($signature),
        }
    };
    return $decoded;
}

# The same if the named key (or, for HS*, the secret) has signed it; otherwise undef.
sub jwt_verify {
    my ($token, %by) = @_;

    my $jwt = jwt_decode($token) or return undef;
    my ($how, $hash, $length) = @{ $algorithm{ $jwt->{header}{alg} // '' } || return undef };
    my ($input) = $token =~ /^(.*)\./s;

    if ($how eq 'hmac' || defined $by{secret}) {
        return undef if $how ne 'hmac' || !defined $by{secret};
        return $jwt->{signature} eq sign($how, $input, '', $hash, $length, $by{secret}) ? $jwt : undef;
    }

    my $public = Test::OIDC::Keys::private_key($by{key});
    my @signed = ($jwt->{signature}, $input);
    my $verified = $how eq 'rsa' ? $public->verify_message(@signed, $hash, 'v1.5')
        : $how eq 'pss' ? $public->verify_message(@signed, $hash, 'pss', $length)
        : $how eq 'ecdsa' ? $public->verify_message_rfc7518(@signed, $hash)
        : $how eq 'eddsa' && $public->verify_message(@signed);
    return $verified ? $jwt : undef;
}

# OpenID Connect Core, 3.1.3.6: at_hash, the left half of the hash of alg.
sub half_hash {
    my ($value, $alg) = @_;

    my (undef, $hash, $length) = @{ $algorithm{$alg} };
    return encode_base64url(substr Digest::SHA->can(lc $hash)->($value), 0, $length / 2);
}

# Replaces members, or removes them by undef.
sub with_changes {
    my ($members, $changes) = @_;

    my %all = (%$members, %{ $changes || {} });
    return { map { $_ => $all{$_} } grep { defined $all{$_} } keys %all };
}

sub part_text {
    my ($members, $template) = @_;

    return defined $template ? fill($template, $members) : to_json($members);
}

# A template of JSON text: %%*%% stands for all members, %%name%% for the value of one.
sub fill {
    my ($template, $members) = @_;

    my $all = join ',', map { to_json($_) . ':' . to_json($members->{$_}) } sort keys %$members;
    $template =~ s/%%(\*|[\w.-]+)%%/$1 eq '*' ? $all : to_json($members->{$1})/ge;
    return $template;
}

sub broken_signature {
    my ($how, $signature, $input, $key, $hash) = @_;

    $how //= 'right';
    return '' if $how eq 'empty';

    vec($signature, length($signature) * 4, 1) ^= 1 if $how eq 'flip';
    $signature = "\0" x length $signature if $how eq 'zeros';
    $signature = Test::OIDC::Keys::private_key($key)->sign_message($input, $hash) if $how eq 'der';

    $signature = padded_digest($input) if $how eq 'exponent_1';
    $signature = "\1" . "\0" x 63 if $how eq 'order_1';

    return encode_base64url($signature) . ($how eq 'padded' ? '==' : '');
}

# RFC 8017, 9.2, for 2048 bits: the message of an RS256 signature, before the exponent is applied.
sub padded_digest {
    my ($input) = @_;

    my $info = pack('H*', '3031300d060960864801650304020105000420') . Digest::SHA::sha256($input);
    return "\0\1" . "\xff" x (253 - length $info) . "\0$info";
}

sub to_json { return $json->encode(shift) }
sub from_json { return $json->decode(shift) }

1;
