#!/usr/bin/perl

# The modules of the OpenID Foundation's certification tests for Relying Parties, profiles basic, config
# and form_post, and some that belong to no profile. As there, every module has a new issuer, whose path
# ends in a slash; a successful login ends with a request for user info, and no request follows an invalid
# response.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use MIME::Base64 qw/ encode_base64 /;

use Test::OIDC;
use Test::OIDC::Site qw/ http_conf oidc_provider /;

my $metadata = '/.well-known/openid-configuration';
my $secret = 'secret-of-at-least-thirty-two-bytes';

# name of the module after "oidcc-client-test", knobs of the provider, what the module has to do

# oidcc-client-basic-certification-test-plan; oidcc-client-formpost-basic-certification-test-plan has
# the same modules
my @basic = (
    ['', {}, 'accepts'],
    ['-invalid-iss', { id_token => { claims => { iss => '%%ISSUER%%1' } } }, 'rejects'],
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
    ['-userinfo-invalid-sub', { userinfo => { claims => { sub => 'eve' } } }, 'rejects user info'],
    ['-nonce-invalid', { id_token => { claims => { nonce => 'x' x 43 } } }, 'rejects'],
    ['-scope-userinfo-claims', { id_token => { claims => { name => undef } } }, 'accepts'],
    ['-client-secret-basic', { client_auth => ['client_secret_basic'] }, 'accepts'],
);

my @others = (

    # oidcc-client-config-certification-test-plan
    ['-discovery-openid-config', {}, 'accepts'],
    ['-discovery-jwks-uri-keys', { metadata => { jwks_uri => '%%ISSUER%%jwks?run=NMqw2c8VbX' } },
        'accepts'],
    ['-discovery-issuer-mismatch', { metadata => { issuer => '%%ISSUER%%INVALID' } }, 'stops'],

    # of no profile
    ['-missing-aud', { id_token => { claims => { aud => undef } } }, 'rejects'],
    ['-invalid-athash', { id_token => { claims => { at_hash => 'x' x 22 } } }, 'rejects'],
    ['-invalid-sig-hs256', { id_token => { alg => 'HS256', signature => 'flip' } }, 'rejects'],
    ['-invalid-sig-es256', { id_token => { alg => 'ES256', signature => 'flip' } }, 'rejects'],
    ['-userinfo-signed', { userinfo => { jwt => { alg => 'RS256' } } }, 'accepts'],
);

my @modules = (
    (map { { name => $_->[0], knobs => $_->[1], expected => $_->[2], mode => 'query' } } @basic, @others),
    (map { { name => $_->[0], knobs => $_->[1], expected => $_->[2], mode => 'form_post' } } @basic),
);
my ($error, $rotation, $rotation_before_signing) = map { @modules + $_ } 0 .. 2;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(@modules + 3);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', http_conf(
    (map { provider_block($_) } 0 .. $#modules, $error, $rotation, $rotation_before_signing),
    <<'EOF'));
    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        add_header X-Error $oidc_error always;

        location / {
            auth_oidc  $arg_op;
            proxy_pass http://127.0.0.1:8080/app;

            proxy_set_header X-Sub  $oidc_claim_sub;
            proxy_set_header X-Name $oidc_claim_name;
        }

        location /app {
            return 200 "$http_x_sub, $http_x_name";
        }
    }
EOF

$t->run();

for my $number (0 .. $#modules) {
    my ($name, $knobs, $expected, $mode) = @{ $modules[$number] }{qw/ name knobs expected mode /};

    meet($op, $number, %{ with_issuer($knobs, issuer($number)) });
    is(verdict($op, $number, $mode, login("/?op=p$number")), $expected,
        "oidcc-client-test$name" . ($mode eq 'query' ? '' : ' by form_post'));
}

# Of the form_post plan: an error is posted, too.

meet($op, $error, error => 'login_required');
my $res = login("/?op=p$error");
my ($params) = map { $_->{params} } $op->requests('/authorize');
is("$params->{response_mode} $params->{prompt} $params->{max_age} " . $op->count('/token')
        . " $res->{status} $res->{headers}{'x-error'}",
    'form_post none 0 0 400 provider_login_required', 'oidcc-client-test-form-post-error');

# Modules of two logins.

meet($op, $rotation);
login("/?op=p$rotation");
$op->clear->set(jwks => ['rsa-2'], id_token => { key => 'rsa-2' });
$res = login("/?op=p$rotation");
is("$res->{status} $res->{body} " . $op->count('/jwks'), '200 alice, Alice Liddell 1',
    'oidcc-client-test-signing-key-rotation');

meet($op, $rotation_before_signing);
login("/?op=p$rotation_before_signing");
my $browser = browser();
my $sent = $browser->follow($browser->get("/?op=p$rotation_before_signing"));
$op->clear->set(jwks => ['rsa-2'], id_token => { key => 'rsa-2' });
$res = $browser->follow($browser->follow($sent));
is("$res->{status} $res->{body} " . $op->count('/jwks'), '200 alice, Alice Liddell 1',
    'oidcc-client-test-signing-key-rotation-just-before-signing');

###############################################################################

sub issuer { return 'http://127.0.0.1:' . port(8081) . "/test/a/rp$_[0]/" }

# Makes the provider the issuer of that number, with these knobs.
sub meet {
    my ($op, $number, %knobs) = @_;

    $op->reset->clear->set(tenant => "/test/a/rp$number/", %knobs);
}

sub with_issuer {
    my ($value, $issuer) = @_;

    return { map { $_ => with_issuer($value->{$_}, $issuer) } keys %$value } if ref $value eq 'HASH';
    return [ map { with_issuer($_, $issuer) } @$value ] if ref $value eq 'ARRAY';
    return defined $value ? $value =~ s/%%ISSUER%%/$issuer/r : undef;
}

sub provider_block {
    my ($number) = @_;

    my $mode = $number < @modules ? $modules[$number]{mode} : $number == $error ? 'form_post' : 'query';
    my $extra = $number == $error ? '; extra_auth_args prompt=none&max_age=0' : '';

    return oidc_provider("p$number",
        "scope openid profile email; userinfo on; response_mode $mode; id_token_alg RS256 ES256 HS256$extra",
        issuer => "http://127.0.0.1:8081/test/a/rp$number/", redirect_uri => "/callback/$number");
}

# What the provider has seen of a login with a new oidc_provider: "accepts", "rejects" (no request after the
# token response), "rejects user info", "stops" (no request after discovery), or what was wrong.
sub verdict {
    my ($op, $number, $mode, $answer) = @_;

    my @seen = map { $op->count($_) } $metadata, qw{ /authorize /token /userinfo };

    return 'stops' if "@seen $answer->{status}" eq '1 0 0 0 502';
    return "requests: @seen" if "@seen[0 .. 2]" ne '1 1 1' || $seen[3] > 1;

    my $wrong = wrong_request($op, $number, $mode);
    return $wrong if $wrong;

    my $refused = $answer->{status} =~ /^(?:403|502)$/ && !$answer->{browser}->cookie("p$number");
    return 'accepts' if $seen[3] && $answer->{status} == 200 && $answer->{body} eq 'alice, Alice Liddell';
    return 'rejects user info' if $seen[3] && $refused;
    return 'rejects' if !$seen[3] && $refused;
    return "answers with $answer->{status}";
}

# What is wrong with the authorization, token or user info request, if anything.
sub wrong_request {
    my ($op, $number, $mode) = @_;

    my ($authorize) = map { $_->{params} } $op->requests('/authorize');
    my ($token) = $op->requests('/token');
    my ($userinfo) = $op->requests('/userinfo');
    my $redirect_uri = 'http://localhost:' . port(8080) . "/callback/$number";
    my $basic = 'Basic ' . encode_base64("client:$secret", '');

    return 'response_type' if $authorize->{response_type} ne 'code';
    return 'response_mode' if ($authorize->{response_mode} // 'query') ne $mode;
    return 'scope' if $authorize->{scope} !~ /\bopenid\b.*\bprofile\b/;
    return 'client_id' if $authorize->{client_id} ne 'client';
    return 'redirect_uri' if $authorize->{redirect_uri} ne $redirect_uri;
    return 'nonce' unless length $authorize->{nonce};
    return 'redirect_uri at the token endpoint' if $token->{params}{redirect_uri} ne $redirect_uri;
    return 'client_secret_basic' if $token->{headers}{authorization} ne $basic;
    return "token request: $token->{verdict}" if $token->{verdict} ne 'ok';
    return "user info request: $userinfo->{verdict}" if $userinfo && $userinfo->{verdict} ne 'ok';
    return '';
}

###############################################################################
