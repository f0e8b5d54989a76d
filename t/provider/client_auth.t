#!/usr/bin/perl

# Tests for client_auth: the credentials of each method in the token request, the choice of "auto", and the errors of
# nginx -t if a method lacks what it needs.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use MIME::Base64 qw/ encode_base64 /;

use Test::OIDC;
use Test::OIDC::JWT qw/ to_json /;
use Test::OIDC::Keys;
use Test::OIDC::Site;

my $issuer = 'http://127.0.0.1:' . port(8081);
my $secret = 'secret-of-at-least-thirty-two-bytes';

# name of the method or the key, directives, knobs of the provider, alg of the assertion

my @assertions = (
    ['client_secret_jwt', "client_secret $secret; client_auth client_secret_jwt",
        { client_auth => ['client_secret_jwt'] }, 'HS256'],
    (map { ["private_key_jwt by $_->[0]", "client_key $_->[0].pem; client_auth private_key_jwt",
        { client_auth => ['private_key_jwt'], client_key => $_->[0] }, $_->[1]] }
        ['rsa-2', 'RS256'], ['ec-256', 'ES256'], ['ec-384', 'ES384'], ['ec-521', 'ES512'],
        ['ed25519', 'EdDSA']),
    (map { ["private_key_jwt by the JWK of $_->[0]", "client_key $_->[0].jwk; client_auth private_key_jwt",
        { client_auth => ['private_key_jwt'], client_key => $_->[0] }, $_->[1], $_->[0]] }
        ['rsa', 'RS256'], ['ec-256-2', 'ES256'], ['ed25519-2', 'EdDSA']),
    ['the only algorithm that the provider accepts', 'client_key rsa-2.pem; client_auth private_key_jwt',
        { client_auth => ['private_key_jwt'], client_key => 'rsa-2',
            metadata => { token_endpoint_auth_signing_alg_values_supported => [qw/ ES256 PS256 /] } },
        'PS256'],
    (map { ["the name $_->[1] of the provider for a key $_->[0]",
        "client_key $_->[0]; client_auth private_key_jwt",
        { client_auth => ['private_key_jwt'], client_key => 'ed25519',
            metadata => { token_endpoint_auth_signing_alg_values_supported => ['RS256', $_->[1]] } }, $_->[1]] }
        ['ed25519.pem', 'Ed25519'], ['ed25519.pem', 'EdDSA'], ['Ed25519.jwk', 'EdDSA'], ['EdDSA.jwk', 'Ed25519']),
    ['the name Ed25519 of the key', 'client_key Ed25519.jwk; client_auth private_key_jwt',
        { client_auth => ['private_key_jwt'], client_key => 'ed25519' }, 'Ed25519'],
    ['a client_secret and a client_key', "client_secret $secret; client_key rsa-2.pem; client_auth private_key_jwt",
        { client_auth => ['private_key_jwt'], client_key => 'rsa-2' }, 'RS256'],
);

# name of the case, directives, methods that the provider accepts, credentials in the request

my $mtls = 'client_certificate client.crt; client_certificate_key client.key';
my $key = 'client_key rsa-2.pem';

my @seen = (
    ['client_secret_basic', "client_secret $secret; client_auth client_secret_basic",
        ['client_secret_basic'], 'Basic'],
    ['client_secret_post', "client_secret $secret; client_auth client_secret_post",
        ['client_secret_post'], 'client_id client_secret'],
    ['none', 'client_auth none', ['none'], 'client_id'],
    ['none, with a client_secret', "client_secret $secret; client_auth none", ['none'], 'client_id'],
    ['tls_client_auth', "$mtls; client_auth tls_client_auth", ['none'], 'client_id'],
    ['self_signed_tls_client_auth', "$mtls; client_auth self_signed_tls_client_auth", ['none'], 'client_id'],

    ['auto, all methods offered', "client_secret $secret",
        [qw/ private_key_jwt client_secret_jwt client_secret_post client_secret_basic /], 'Basic'],
    ['auto, methods not advertised', "client_secret $secret", undef, 'Basic'],
    ['auto, no client_secret_basic', "client_secret $secret", [qw/ client_secret_jwt client_secret_post /],
        'client_id client_secret'],
    ['auto, only client_secret_jwt', "client_secret $secret", ['client_secret_jwt'],
        'client_id client_assertion_type client_assertion'],
    ['auto, configured', "client_secret $secret; client_auth auto", ['client_secret_post'],
        'client_id client_secret'],
    ['auto, a secret and a key', "client_secret $secret; $key", ['client_secret_basic'], 'Basic'],
    ['auto, a key without a secret', $key, [qw/ none private_key_jwt /],
        'client_id client_assertion_type client_assertion', 'rsa-2'],
    ['auto, a key and a certificate', "$key; $mtls", [qw/ none private_key_jwt /],
        'client_id client_assertion_type client_assertion', 'rsa-2'],
    ['auto, a certificate', $mtls, ['none'], 'client_id'],
    ['auto, no credentials', 'pkce on', ['none'], 'client_id'],
);

# name of the case, directives, methods and metadata of the provider, log sentence; the browser gets 500

my @unusable = (
    ['auto, no method for a secret', "client_secret $secret",
        { client_auth => [qw/ private_key_jwt tls_client_auth /] },
        'provider accepts no authentication method that uses a client_secret'],
    ['auto, a secret too short for client_secret_jwt', 'client_secret short',
        { client_auth => ['client_secret_jwt'] },
        'provider accepts no authentication method that uses a client_secret'],
    ['no algorithm for the key', "$key; client_auth private_key_jwt",
        { client_auth => ['private_key_jwt'],
            metadata => { token_endpoint_auth_signing_alg_values_supported => [qw/ ES256 HS256 /] } },
        'provider accepts no signature algorithm of client_key or client_secret'],
);

# name of the case, directives, error of nginx -t

my $needs = 'oidc_provider "idp" has a "client_auth" that needs';
my $bad_key = sub {
    my ($file, $why) = @_;
    my $advice = 'it must be a private key in PEM or JWK format, but it is a key';
    return qr/invalid "client_key" "[^"]*\Q$file\E", $advice $why/;
};

my @refused = (
    (map { ["$_ without a secret", "client_auth $_", qr/$needs a "client_secret"/] }
        qw/ client_secret_basic client_secret_post client_secret_jwt /),
    ['client_secret_jwt with a secret of 31 bytes',
        'client_secret ' . 'x' x 31 . '; client_auth client_secret_jwt',
        qr/$needs a "client_secret" of at least 32 bytes/],
    ['private_key_jwt without a key', "client_secret $secret; client_auth private_key_jwt",
        qr/$needs a "client_key" that can sign/],
    ['private_key_jwt with a key for encryption', 'client_key enc.jwk; client_auth private_key_jwt',
        qr/$needs a "client_key" that can sign/],
    (map { ["$_ without a certificate", "client_auth $_", qr/$needs a "client_certificate"/] }
        qw/ tls_client_auth self_signed_tls_client_auth /),
    ['client_certificate without a key', 'client_certificate client.crt',
        qr/oidc_provider "idp" needs both "client_certificate" and "client_certificate_key"/],
    ['client_certificate_key without a certificate', 'client_certificate_key client.key',
        qr/oidc_provider "idp" needs both "client_certificate" and "client_certificate_key"/],
    ['client_certificate without a certificate', 'client_certificate client.key; client_certificate_key client.key',
        qr/invalid "client_certificate" "[^"]*client\.key", it contains no CERTIFICATE in PEM format/],
    ['client_certificate that does not exist',
        'client_certificate absent.crt; client_certificate_key client.key',
        qr/invalid "client_certificate" "[^"]*absent\.crt", the file cannot be opened \(2: No such file or directory\)/],

    ['client_key that does not exist', 'client_key absent.pem',
        qr/invalid "client_key" "[^"]*absent\.pem", the file cannot be opened \(2: No such file or directory\)/],
    ['client_key that is a directory', 'client_key .',
        qr/invalid "client_key" "[^"]*", the file cannot be read \(21: Is a directory\)/],
    ['client_key that is a public key', 'client_key public.pem',
        $bad_key->('public.pem', 'that is neither a JWK nor a private key in PEM')],
    ['client_key that is a public JWK', 'client_key public.jwk',
        $bad_key->('public.jwk', 'without private parts')],
    ['client_key that is a certificate', 'client_key client.crt',
        $bad_key->('client.crt', 'that is neither a JWK nor a private key in PEM')],
    ['client_key of RSA with 1024 bits', 'client_key rsa-1024.pem',
        $bad_key->('rsa-1024.pem', 'with an RSA modulus of 1024 bits')],
    ['client_key that is encrypted', 'client_key encrypted.pem',
        $bad_key->('encrypted.pem', 'that is encrypted')],
    ['client_key that is a secret JWK', 'client_key oct.jwk', $bad_key->('oct.jwk', 'of an unknown type')],
    ['client_key that is empty', 'client_key empty',
        qr/invalid "client_key" "[^"]*empty", the file is empty/],
    ['client_key of another pair', 'client_key mixed.jwk',
        $bad_key->('mixed.jwk', 'whose public and private parts do not match')],
    ['client_key cut short', 'client_key cut.jwk', $bad_key->('cut.jwk', 'that is malformed JSON')],

    ['an unknown method', 'client_auth secret',
        qr/invalid "client_auth" value "secret", use one of: .*/],
    ['two methods', 'client_auth none auto', qr/invalid number of arguments in "client_auth" directive/],
    ['client_auth twice', 'client_auth none; client_auth none', qr/"client_auth" directive is duplicate/],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)
    ->plan(5 * @assertions + 2 * @seen + 4 * @unusable + @refused + 8);

write_keys($t);

my $op = provider($t, 8081);
my $number = 0;
my @providers = map { keyed_provider('p' . $number++, $_->[1]) } @assertions, @seen, @unusable,
    ['', "$mtls; client_auth tls_client_auth"], ['', 'client_auth none'];

# Do not read the system's certificates for every oidc_provider.
$ENV{SSL_CERT_FILE} = '/dev/null';

# Errors of nginx -t

for my $case (@refused) {
    my ($name, $directives, $says) = @$case;
    my $error = config_error($t, nginx_conf(keyed_provider('idp', $directives), site('')));
    like($error, qr/^$says in \S+nginx\.conf:\d+$/, $name);
}

my $unknown = config_error($t, nginx_conf(keyed_provider('idp', 'client_auth secret'), site('')));
my @unnamed = grep { $unknown !~ /\b$_\b/ } qw/ auto client_secret_basic client_secret_post
    client_secret_jwt private_key_jwt tls_client_auth self_signed_tls_client_auth none /;
is("@unnamed", '', 'the error for an unknown method lists all methods');

$t->write_file_expand('nginx.conf', nginx_conf(@providers, site('application')));
$t->run();
$number = 0;

# Assertions; the verdict "ok" means that the provider has verified signature and claims.

my %jti;
for my $case (@assertions) {
    my ($name, undef, $knobs, $alg, $kid) = @$case;
    my ($outcome, $request) = asked_by($op, 'p' . $number++, %$knobs);
    my $params = $request->{params};
    my $jwt = jwt_decode($params->{client_assertion}) || {};
    my %claims = %{ $jwt->{claims} || {} };

    is("$outcome $request->{verdict}", '200 ok', "$name: a login succeeds");
    is(join(' ', methods($request)), 'client_id client_assertion_type client_assertion',
        "$name: no other credentials");
    is_deeply($jwt->{header}, { alg => $alg, typ => 'JWT', $kid ? (kid => $kid) : () }, "$name: header");
    is("$claims{iss} $claims{sub} $claims{aud} " . ($claims{exp} - $claims{iat}) . ' '
        . (abs(time - $claims{iat}) < 30 ? 'now' : 'then'), "client client $issuer/token 60 now",
        "$name: claims");
    ok($claims{jti} =~ /^[\w-]{22}$/ && !$jti{ $claims{jti} }++, "$name: the jti is unique");
}

my ($outcome, $request) = asked_by($op, 'p1', %{ $assertions[1][2] });
ok(!$jti{ jwt_decode($request->{params}{client_assertion})->{claims}{jti} },
    'another login has another jti');

($outcome) = asked_by($op, 'p1', %{ $assertions[1][2] }, client_key => 'rsa');
is($outcome, '500 provider_invalid_client', 'an assertion signed with another key is refused');
($outcome) = asked_by($op, 'p0', %{ $assertions[0][2] },
    client_secret => 'another-secret-of-thirty-two-bytes');
is($outcome, '500 provider_invalid_client', 'an assertion signed with another secret is refused');

($outcome) = asked_by($op, 'p1', %{ $assertions[1][2] },
    respond => { '/token' => { close => 'before_headers', times => 1 } });
is($outcome, '502 upstream_unreachable', 'a lost assertion: the login fails');
is($op->count('/token'), 1, 'a lost assertion is not sent again');

# The other methods, and the choice of auto

for my $case (@seen) {
    my ($name, undef, $methods, $expected, $client_key) = @$case;
    ($outcome, $request) = asked_by($op, 'p' . $number++, client_auth => $methods,
        client_key => $client_key);

    is("$outcome $request->{verdict}", '200 ok', "$name: a login succeeds");
    is(join(' ', methods($request)), $expected, "$name: credentials in the request");
}

for my $case (@unusable) {
    my ($name, undef, $knobs, $sentence) = @$case;
    my $provider = 'p' . $number++;
    log_mark($t);
    my $answer;
    ($outcome, $request, $answer) = asked_by($op, $provider, %$knobs);

    is($outcome, '500 config_unusable', $name);
    ok(log_has($t, qr/oidc: $sentence while handling the callback, provider "$provider"/),
        "$name: logged");
    is($request, undef, "$name: no token request");
    is($answer->{browser}->cookie($provider), undef, "$name: no session");
}

# RFC 8705, 5: a client with a certificate uses mtls_endpoint_aliases.

my %aliases = (client_auth => ['none'],
    metadata => { mtls_endpoint_aliases => { token_endpoint => "$issuer/token?mtls" } });
($outcome, $request) = asked_by($op, 'p' . $number++, %aliases);
is("$outcome $request->{query}", '200 mtls', 'mtls_endpoint_aliases');
($outcome, $request) = asked_by($op, 'p' . $number++, %aliases);
is("$outcome $request->{query}", '200 ', 'a client without a certificate does not use mtls_endpoint_aliases');

###############################################################################

# An oidc_provider without credentials other than those of the directives
sub keyed_provider {
    my ($name, $directives) = @_;

    $directives =~ s/\b(client_(?:key|certificate|certificate_key)) /$1 %%TESTDIR%%\//g;
    return oidc_provider($name, $directives, client_secret => undef);
}

sub write_keys {
    my ($t) = @_;

    for my $kid (qw/ rsa rsa-2 rsa-1024 ec-256 ec-256-2 ec-384 ec-521 ed25519 ed25519-2 /) {
        my $key = Test::OIDC::Keys::private_key($kid);
        my $pem = $kid =~ /^ed/ ? pem_of_ed25519($key)
            : $key->export_key_pem($kid =~ /^ec/ ? 'private_short' : 'private');
        my %jwk = (%{ $key->export_key_jwk('private', 1) }, kid => $kid);

        $t->write_file("$kid.pem", $pem);
        $t->write_file("$kid.jwk", to_json(\%jwk));
    }

    my $rsa = Test::OIDC::Keys::private_key('rsa');
    my %jwk = %{ $rsa->export_key_jwk('private', 1) };
    my %other = %{ Test::OIDC::Keys::private_key('rsa-2')->export_key_jwk('private', 1) };

    $t->write_file('encrypted.pem', $rsa->export_key_pem('private', 'password'));
    $t->write_file('public.pem', Test::OIDC::Keys::public_pem('rsa'));
    $t->write_file('public.jwk', to_json(Test::OIDC::Keys::public_jwk('rsa')));
    $t->write_file('enc.jwk', to_json({ %jwk, use => 'enc' }));
    $t->write_file('mixed.jwk', to_json({ %jwk, n => $other{n} }));
    my %ed25519 = %{ Test::OIDC::Keys::private_key('ed25519')->export_key_jwk('private', 1) };
    $t->write_file("$_.jwk", to_json({ %ed25519, alg => $_ })) for qw/ EdDSA Ed25519 /;
    $t->write_file('oct.jwk', '{"kty":"oct","k":"c2VjcmV0","d":"c2VjcmV0"}');
    $t->write_file('cut.jwk', '{"kty":');
    $t->write_file('empty', '');
    certificate_authority($t, 'ca')->issue('client');
}

# RFC 8410, 7; CryptX writes a newer form, which OpenSSL 3.0 does not read.
sub pem_of_ed25519 {
    my ($key) = @_;

    my $der = pack('H*', '302e020100300506032b657004220420') . $key->export_key_raw('private');
    return "-----BEGIN PRIVATE KEY-----\n" . encode_base64($der) . "-----END PRIVATE KEY-----\n";
}

# The credentials in a token request
sub methods {
    my ($request) = @_;

    my ($scheme) = split / /, $request->{headers}{authorization} // '';
    return grep { defined } $scheme, map { defined $request->{params}{$_} ? $_ : undef }
        qw/ client_id client_secret client_assertion_type client_assertion /;
}

###############################################################################
