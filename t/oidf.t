#!/usr/bin/perl

# The modules of the OpenID Foundation's certification tests for Relying Parties, basic and config
# profile, as far as they do not ask for user info; and some that are in no certificate. As there,
# every module has an issuer that nobody has met, whose path ends in a slash, and a bad answer has to be
# followed by nothing.

use warnings;
use strict;

use MIME::Base64 qw/ encode_base64 /;
use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::OIDC;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $metadata = '/.well-known/openid-configuration';
my $issuer = 'http://127.0.0.1:' . port(8081) . '/test/a/rp/';
my $secret = 'secret-of-at-least-thirty-two-bytes';

# name of the module after "oidcc-client-test", knobs of the provider, what the Relying Party does

my @modules = (

    # oidcc-client-basic-certification-test-plan
    ['', {}, 'accepts'],
    ['-invalid-iss', { id_token => { claims => { iss => "${issuer}1" } } }, 'rejects'],
    ['-missing-sub', { id_token => { claims => { sub => undef } } }, 'rejects'],
    ['-invalid-aud', { id_token => { claims => { aud => 'client1' } } }, 'rejects'],
    ['-missing-iat', { id_token => { claims => { iat => undef } } }, 'rejects'],
    ['-kid-absent-single-jwks', { jwks => ['rsa'], id_token => { header => { kid => undef } } },
        'accepts'],
    ['-kid-absent-multiple-jwks',
        { jwks => [qw/ rsa-2 rsa /], id_token => { header => { kid => undef } } }, 'accepts'],
    ['-idtoken-sig-rs256', { id_token => { alg => 'RS256' } }, 'accepts'],
    ['-idtoken-sig-none', { id_token => { alg => 'none' } }, 'rejects'],
    ['-invalid-sig-rs256', { id_token => { signature => 'flip' } }, 'rejects'],
    ['-nonce-invalid', { id_token => { claims => { nonce => 'x' x 43 } } }, 'rejects'],
    ['-client-secret-basic', { client_auth => ['client_secret_basic'] }, 'accepts'],

    # oidcc-client-config-certification-test-plan
    ['-discovery-openid-config', {}, 'accepts'],
    ['-discovery-jwks-uri-keys', { metadata => { jwks_uri => "${issuer}jwks?run=NMqw2c8VbX" } },
        'accepts'],
    ['-discovery-issuer-mismatch', { metadata => { issuer => "${issuer}INVALID" } }, 'stops'],

    # in no certificate
    ['-missing-aud', { id_token => { claims => { aud => undef } } }, 'rejects'],
    ['-invalid-athash', { id_token => { claims => { at_hash => 'x' x 22 } } }, 'rejects'],
    ['-invalid-sig-hs256', { id_token => { alg => 'HS256', signature => 'flip' } }, 'rejects'],
    ['-invalid-sig-es256', { id_token => { alg => 'ES256', signature => 'flip' } }, 'rejects'],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(@modules + 2);

my $op = provider($t, 8081, path => '/test/a/rp/');

my $providers = join '', map { <<"EOF" } 0 .. @modules + 1;

    oidc_provider p$_ {
        issuer        http://127.0.0.1:8081/test/a/rp/;
        client_id     client;
        client_secret $secret;
        cookie_name   p$_;
        redirect_uri  /callback/$_;
        id_token_alg  RS256 ES256 HS256;
    }
EOF

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%PROVIDERS%%/$providers/r);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    %%PROVIDERS%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            auth_oidc  $arg_op;
            proxy_pass http://127.0.0.1:8080/app;

            proxy_set_header X-Sub $oidc_claim_sub;
        }

        location /app {
            return 200 $http_x_sub;
        }
    }
}

EOF

# The system's bundle of certificates, which every oidc_provider reads, is not needed.
$ENV{SSL_CERT_FILE} = '/dev/null';

$t->run();

for my $number (0 .. $#modules) {
    my ($name, $knobs, $expected) = @{ $modules[$number] };

    $op->reset->clear->set(%$knobs);
    is(verdict($op, $number, login("/?op=p$number")), $expected, "oidcc-client-test$name");
}

# Modules of two logins.

my $number = @modules;

$op->reset->clear;
login("/?op=p$number");
$op->clear->set(jwks => ['rsa-2'], id_token => { key => 'rsa-2' });
my $res = login("/?op=p$number");
is("$res->{status} $res->{body} " . $op->count('/jwks'), '200 alice 1',
    'oidcc-client-test-signing-key-rotation');

$number++;

$op->reset->clear;
login("/?op=p$number");
my $browser = browser();
my $sent = $browser->follow($browser->get("/?op=p$number"));
$op->clear->set(jwks => ['rsa-2'], id_token => { key => 'rsa-2' });
$res = $browser->follow($browser->follow($sent));
is("$res->{status} $res->{body} " . $op->count('/jwks'), '200 alice 1',
    'oidcc-client-test-signing-key-rotation-just-before-signing');

###############################################################################

# What the provider has seen of a login with an oidc_provider that it had not met: "accepts", "rejects"
# (nothing after the token response), "stops" (nothing after discovery), or what was wrong.
sub verdict {
    my ($op, $number, $answer) = @_;

    my @seen = map { $op->count($_) } $metadata, qw{ /authorize /token /userinfo };

    return 'stops' if "@seen $answer->{status}" eq '1 0 0 0 502';
    return "requests: @seen" if "@seen" ne '1 1 1 0';

    my $wrong = wrong_request($op, $number);
    return $wrong if $wrong;

    return 'accepts' if $answer->{status} == 200 && $answer->{body} eq 'alice';
    return 'rejects' if $answer->{status} == 403 && !$answer->{browser}->cookie("p$number");
    return "answers with $answer->{status}";
}

# What is wrong with the authorization or the token request, if anything.
sub wrong_request {
    my ($op, $number) = @_;

    my ($authorize) = map { $_->{params} } $op->requests('/authorize');
    my ($token) = $op->requests('/token');
    my $redirect_uri = 'http://localhost:' . port(8080) . "/callback/$number";
    my $basic = 'Basic ' . encode_base64("client:$secret", '');

    return 'response_type' if $authorize->{response_type} ne 'code';
    return 'scope' if $authorize->{scope} !~ /\bopenid\b/;
    return 'client_id' if $authorize->{client_id} ne 'client';
    return 'redirect_uri' if $authorize->{redirect_uri} ne $redirect_uri;
    return 'nonce' unless length $authorize->{nonce};
    return 'redirect_uri at the token endpoint' if $token->{params}{redirect_uri} ne $redirect_uri;
    return 'client_secret_basic' if $token->{headers}{authorization} ne $basic;
    return "token request: $token->{verdict}" if $token->{verdict} ne 'ok';
    return '';
}

###############################################################################
