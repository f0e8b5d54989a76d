package Test::OIDC::JWE;

# Encrypts a text as a JWE of five parts (RFC 7516), valid or broken in exactly one way:
#
#   alg => 'ECDH-ES'            or RSA-OAEP-256 or dir; RSA-OAEP by default
#   enc => 'A128CBC-HS256'      any of RFC 7518, 5.1; A256GCM by default
#   key => 'ec-256-2'           the recipient's key, by its id in Test::OIDC::Keys
#   secret => 'bytes'           the secret of dir
#   plain => 'text'             instead of the text; %%plain%% stands for it
#   header => {name => value}   members replaced, or removed by undef; they are authenticated
#   header_json => 'text'       text instead of the header
#   parts => {tag => 'flip'}    header, key, iv, ciphertext, tag: one bit flipped; also "cut" and "longer"
#                               by a byte, "empty", or "text:..."
#   token => 'a.b.c.d.e'        the whole token; %%token%% stands for the unbroken one

use warnings;
use strict;

use Crypt::AuthEnc::GCM qw/ gcm_encrypt_authenticate /;
use Crypt::Mode::CBC ();
use Crypt::PK::ECC ();
use Crypt::PRNG qw/ random_bytes /;
use Digest::SHA ();
use MIME::Base64 qw/ encode_base64url /;

use Test::OIDC::JWT qw/ to_json with_changes /;
use Test::OIDC::Keys;

our @EXPORT_OK = qw/ jwe_make /;
use base qw/ Exporter /;

# enc => [bytes of the key, bytes of the iv, hash of the HMAC]
my %encryption = (
    A128GCM => [16, 12], A192GCM => [24, 12], A256GCM => [32, 12],
    'A128CBC-HS256' => [32, 16, 256], 'A192CBC-HS384' => [48, 16, 384], 'A256CBC-HS512' => [64, 16, 512],
);

my @names = qw/ header key iv ciphertext tag /;

sub jwe_make {
    my ($plain, %recipe) = @_;

    my $alg = $recipe{alg} // 'RSA-OAEP';
    my $enc = $recipe{enc} // 'A256GCM';
    my ($size, $iv_size, $hash) = @{ $encryption{$enc} };
    $plain = $recipe{plain} =~ s/%%plain%%/$plain/r if defined $recipe{plain};

    my ($key, $encrypted_key, %members) = key_of($alg, $enc, $size, \%recipe);
    my $header = $recipe{header_json}
        // to_json(with_changes({ alg => $alg, enc => $enc, cty => 'JWT', %members }, $recipe{header}));
    my $associated = encode_base64url($header);
    my $iv = random_bytes($iv_size);

    my ($ciphertext, $tag) = $hash
        ? encrypt_cbc($hash, $key, $iv, $associated, $plain)
        : gcm_encrypt_authenticate('AES', $key, $iv, $associated, $plain);

    my %part;
    @part{@names} = ($header, $encrypted_key, $iv, $ciphertext, $tag);
    $part{$_} = broken($part{$_}, $recipe{parts}{$_}) for keys %{ $recipe{parts} || {} };

    my $token = join '.', map { encode_base64url($part{$_}) } @names;
    return defined $recipe{token} ? $recipe{token} =~ s/%%token%%/$token/r : $token;
}

# The content encryption key, its encrypted form, and its header members.
sub key_of {
    my ($alg, $enc, $size, $recipe) = @_;

    return (key_of_secret($recipe->{secret}, $size), '') if $alg eq 'dir';

    my $owner = Test::OIDC::Keys::private_key($recipe->{key});
    if (my $hash = { 'RSA-OAEP' => 'SHA1', 'RSA-OAEP-256' => 'SHA256' }->{$alg}) {
        my $key = random_bytes($size);
        return ($key, $owner->encrypt($key, 'oaep', $hash));
    }

    my $mine = Crypt::PK::ECC->new->generate_key($owner->key2hash->{curve_name});
    my $shared = $mine->shared_secret($owner);
    my $info = join '', map({ pack 'N/a*', $_ } $enc, '', ''), pack 'N', 8 * $size;
    my $key = join '', map { Digest::SHA::sha256(pack('N', $_) . $shared . $info) } 1 .. 2;
    return (substr($key, 0, $size), '', epk => $mine->export_key_jwk('public', 1));
}

# OpenID Connect Core, 10.2
sub key_of_secret {
    my ($secret, $size) = @_;

    my $hash = $size <= 32 ? 'sha256' : $size <= 48 ? 'sha384' : 'sha512';
    return substr Digest::SHA->can($hash)->($secret), 0, $size;
}

# RFC 7518, 5.2.2.1
sub encrypt_cbc {
    my ($hash, $key, $iv, $associated, $plain) = @_;

    my $half = length($key) / 2;
    my ($mac_key, $cipher_key) = unpack "a$half a$half", $key;
    my $ciphertext = Crypt::Mode::CBC->new('AES')->encrypt($plain, $cipher_key, $iv);
    my $length = pack 'Q>', 8 * length $associated;
    my $tag = Digest::SHA->can("hmac_sha$hash")->($associated . $iv . $ciphertext . $length, $mac_key);
    return ($ciphertext, substr $tag, 0, $half);
}

sub broken {
    my ($part, $how) = @_;

    return '' if $how eq 'empty';
    return substr $part, 1 if $how eq 'cut';
    return "$part\0" if $how eq 'longer';
    return $1 if $how =~ /^text:(.*)/s;

    vec($part, length($part) * 4, 1) ^= 1;
    return $part;
}

1;
