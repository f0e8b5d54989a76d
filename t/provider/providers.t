#!/usr/bin/perl

# Tests for real providers: every example of docs/providers.md logs in at a provider like the real one (t/providers),
# and the application gets the claims that the page names. Then the deviations of each from the standard.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Crypt::PK::ECC;

use Test::OIDC;
use Test::OIDC::Examples qw/ example_file examples_of localize /;
use Test::OIDC::JWT qw/ from_json /;
use Test::OIDC::Shape;
use Test::OIDC::Site qw/ http_conf /;

my @shapes = qw/
    google kakao entra keycloak okta okta-org auth0 cognito gitlab apple line
    naver zitadel authentik authelia dex adfs ping onelogin
/;

# The bytes that nginx's header buffer leaves for a session, as in README.md
my $room_for_session = 6144;

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite socket_ssl/)->plan(144);

my $ca = certificate_authority($t, 'ca');
$ca->issue('site', names => ['app.example.com']);

my @examples = examples_of('docs/providers.md');
my (%shape, %op, %base, %text);
my $port = 8090;

for my $name (@shapes) {
    my $block = $name =~ tr/-/_/r;
    my ($example) = grep { $_->{text} =~ /oidc_provider $block / } @examples;
    my ($client) = $example->{text} =~ /client_id +(\S+);/;
    my ($file) = $example->{text} =~ /client_secret_file +(\S+);/;

    $shape{$name} = Test::OIDC::Shape->new($name);
    $op{$name} = $shape{$name}->provider($t, $port++, $ca,
        client_id => $client, client_secret => secret($t, $name, $file));
    $text{$name} = at_our_ports($t, $shape{$name}, $example->{text}, $port);
    $base{$name} = 'https://app.example.com:' . port($port++);
}

my $dns = resolver($t, 8053, map { $_ => '127.0.0.1' } map { $_->hosts } values %shape);

# The application responds with the headers that it received.

my @headers = headers_of(map { $_->{text} } @examples);
my $said = join '', map { "$_=\$http_" . lc(tr/-/_/r) . '\n' } @headers;

my $common = $shape{entra}->at_port('https://login.microsoftonline.com/common/v2.0');
my $no_slash = $op{auth0}->issuer =~ s{/$}{}r;
my $line = $op{line}->issuer;

$t->write_file_expand('nginx.conf', http_conf(<<"EOF"));
    resolver 127.0.0.1:%%PORT_8053_UDP%% ipv6=off;

    @{[ join "\n", map { $text{$_} } @shapes ]}

    oidc_provider entra_common {
        issuer    $common;
        client_id client;

        ssl_trusted_certificate %%TESTDIR%%/ca.crt;
    }

    oidc_provider auth0_no_slash {
        issuer    $no_slash;
        client_id client;

        ssl_trusted_certificate %%TESTDIR%%/ca.crt;
    }

    oidc_provider line_by_default {
        issuer        $line;
        client_id     1234567890;
        client_secret $op{line}{knobs}{client_secret};
        id_token_alg  HS256;

        ssl_trusted_certificate %%TESTDIR%%/ca.crt;
    }

    oidc_provider line_es256 {
        issuer        $line;
        client_id     1234567890;
        client_secret $op{line}{knobs}{client_secret};
        client_auth   client_secret_post;
        redirect_uri  /es256;

        ssl_trusted_certificate %%TESTDIR%%/ca.crt;
    }

    server {
        listen      127.0.0.1:8080;
        server_name localhost;

        location /entra {
            auth_oidc  entra_common;
            proxy_pass http://127.0.0.1:8083;
        }
    }

    server {
        listen      127.0.0.1:8081;
        server_name localhost;

        location /auth0 {
            auth_oidc  auth0_no_slash;
            proxy_pass http://127.0.0.1:8083;
        }
    }

    server {
        listen      127.0.0.1:8082;
        server_name localhost;

        location /default {
            auth_oidc  line_by_default;
            proxy_pass http://127.0.0.1:8083;
        }
    }

    server {
        listen      127.0.0.1:8084;
        server_name localhost;

        location / {
            auth_oidc  line_es256;
            proxy_pass http://127.0.0.1:8083;
        }
    }

    server {
        listen      127.0.0.1:8083;
        server_name localhost;

        large_client_header_buffers 4 32k;

        location / {
            return 200 "$said";
        }
    }
EOF

$t->run();

my $name = 'Alice Liddell';
my $email = 'alice@example.com';

# The examples

learns('google', 'X-User' => '110169484474386276334', 'X-Email' => $email, 'X-Email-Verified' => 'true',
    'X-Name' => $name, 'X-Domain' => 'example.com');

learns('kakao', 'X-User' => '1234567890', 'X-Email' => $email, 'X-Email-Verified' => 'true',
    'X-Nickname' => "\xec\x95\xa8\xeb\xa6\xac\xec\x8a\xa4",
    'X-Picture' => 'http://k.kakaocdn.net/dn/example/img_110x110.jpg');

learns('entra', 'X-User' => 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee', 'X-Roles' => 'Reader',
    'X-Tenant' => '11111111-2222-3333-4444-555555555555', 'X-Email' => $email, 'X-Name' => $name,
    'X-Groups' => '6b2f1c0a-0000-4000-8000-000000000001,6b2f1c0a-0000-4000-8000-000000000002');

$op{keycloak}->set(access_token => 'k' x 2500);
learns('keycloak', 'X-User' => 'f2d9c8b7-a6e5-4d4c-b3b2-a1a0908f7e6d', 'X-Login' => 'alice',
    'X-Email' => $email, 'X-Name' => $name, 'Authorization' => 'Bearer ' . 'k' x 2500,
    'X-Roles' => 'default-roles-main,offline_access,uma_authorization,editor');

my %of_okta = ('X-User' => '00u1exampleUSER5d7', 'X-Email' => $email, 'X-Name' => $name,
    'X-Given-Name' => 'Alice');
learns('okta', %of_okta, 'X-Groups' => 'Everyone,editors');
learns('okta-org', %of_okta, 'X-Groups' => 'Everyone,editors');

learns('auth0', 'X-User' => 'auth0|5f7c8ec7c33c6c004bbafe82', 'X-Email' => $email,
    'X-Email-Verified' => 'true', 'X-Name' => $name, 'X-Roles' => 'editor,reader');

learns('cognito', 'X-User' => 'a3c4d2b2-e0f1-70aa-1234-56789abcdef0', 'X-Email' => $email,
    'X-Email-Verified' => 'true', 'X-Login' => 'alice', 'X-Groups' => 'editors,readers');

learns('gitlab', 'X-User' => '4294967', 'X-Login' => 'alice', 'X-Email' => $email,
    'X-Email-Verified' => 'true', 'X-Name' => $name, 'X-Direct-Groups' => 'example,example/web',
    'X-Groups' => 'example,example/web,example/web/site');

my %of_apple = ('X-User' => '001234.0123456789abcdef0123456789abcdef.1234',
    'X-Email' => 'x7k2example@privaterelay.appleid.com', 'X-Email-Verified' => 'true',
    'X-Private-Email' => 'true');
learns('apple', %of_apple);

learns('line', 'X-User' => 'U0123456789abcdef0123456789abcdef', 'X-Name' => 'Alice',
    'X-Picture' => 'https://profile.line-scdn.net/example', 'X-Email' => $email);

learns('naver', 'X-User' => 'aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789-_example');

learns('zitadel', 'X-User' => '77776025198584418', 'X-Login' => $email, 'X-Email' => $email,
    'X-Email-Verified' => 'true', 'X-Name' => $name,
    'X-Editor-Of' => '{"69234230193872955":"example.com"}');

my %of_alice = ('X-Login' => 'alice', 'X-Email' => $email, 'X-Name' => $name);
learns('authentik', %of_alice, 'X-User' => '3f1a9c5e7b2d4f60a1b3c5d7e9f0123456789abcdef0123456789abcdef01234',
    'X-Groups' => 'editors,authentik Admins');
learns('authelia', %of_alice, 'X-User' => '0e2a1b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b', 'X-Groups' => 'editors,admins');
learns('dex', %of_alice, 'X-User' => 'CgcxMjM0NTY3EgZnaXRodWI', 'X-Email-Verified' => 'true',
    'X-Groups' => 'acme:web,acme:ops');
learns('adfs', 'X-User' => 'wr7Example0pairwise1subject2Abc3Def4Ghi5Jkl', 'X-Login' => 'alice@corp.example.com',
    'X-Email' => $email, 'X-Groups' => 'editors,staff');
learns('ping', %of_alice, 'X-User' => 'a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d', 'X-Groups' => 'editors');
learns('onelogin', %of_alice, 'X-User' => '12345678', 'X-Groups' => 'editors,readers');

# Google

is(request_of('google', '/authorize')->{params}{prompt}, 'select_account', 'Google: extra_auth_args');
is(host('google', '/token'), 'oauth2.googleapis.com', 'Google: the token endpoint is on another host');
is(host('google', '/jwks'), 'www.googleapis.com', 'Google: the keys are on a third host');
is($op{google}->count('/userinfo'), 0, 'Google: no user info request');

# Kakao

is(request_of('kakao', '/token')->{headers}{authorization}, undef, 'Kakao: no secret in a header');
ok(length request_of('kakao', '/token')->{params}{client_secret}, 'Kakao: the secret is in the form');
is(host('kakao', '/userinfo'), 'kapi.kakao.com', 'Kakao: user info is on another host');

$op{kakao}->set($shape{kakao}->variant('nested'));
is(from_json(received(enter('kakao'))->{'X-Account'})->{profile}{nickname}, 'alice',
    'Kakao: a nested claim is JSON');

$op{kakao}->set($shape{kakao}->variant('user_me'));
refused('kakao', 403, qr/user info .*sub/, 'Kakao: the older API is not user info');
$op{kakao}->reset;
$op{kakao}->set(token => { id_token => undef });
refused('kakao', 403, qr/without an id token/, 'Kakao: OpenID Connect not enabled');

$op{kakao}->reset;
logs_out_at('kakao', 'https://kauth.kakao.com/oauth/logout', 'logout_redirect_uri');

# Entra ID

is(request_of('entra', '/authorize')->{params}{code_challenge_method}, 'S256',
    'Entra: PKCE is used although the metadata does not name it');

$op{entra}->set($shape{entra}->variant('overage'));
is_deeply([ @{ received(enter('entra')) }{qw/ X-Groups X-Groups-Missing /} ], [ undef, '{"groups":"src1"}' ],
    'Entra: too many groups are replaced by a reference');

log_mark($t);
is(common($op{entra}, $shape{entra}), 502, 'Entra: the issuer of "common" is refused');
ok(log_has($t, qr/of another issuer.*tenantid.*"entra_common"/), 'Entra: the log has the issuer template');

# Keycloak

cmp_ok(session_size(enter('keycloak')), '<', 400, 'Keycloak: a session with a large token is a ticket');
$op{keycloak}->set(access_token => 'k' x 8000);
is(received(enter('keycloak'))->{Authorization}, 'Bearer ' . 'k' x 8000, 'Keycloak: a token of 8 KB');

# Okta

is(request_of('okta', '/authorize')->{path}, '/oauth2/default/v1/authorize',
    'Okta: an authorization server with a path');
is(request_of('okta-org', '/authorize')->{path}, '/oauth2/v1/authorize',
    'Okta: an authorization server without a path');
is(request_of('okta-org', '/authorize')->{params}{scope}, 'openid profile email groups',
    'Okta: the scope for groups');

$op{okta}->set($shape{okta}->variant('no_groups'));
is_deeply(received(enter('okta')), \%of_okta, 'Okta: no header without a groups claim');

# Auth0

is(request_of('auth0', '/.well-known/openid-configuration')->{path}, '/.well-known/openid-configuration',
    'Auth0: the slash of the issuer is not doubled');
log_mark($t);
is(login('/auth0', base => 'http://localhost:' . port(8081))->{status}, 502,
    'Auth0: an issuer without the slash is refused');
ok(log_has($t, qr{of another issuer.*auth0\.com:\d+/"}), 'Auth0: the log has the issuer with the slash');

# Cognito

is(host('cognito', '/jwks'), 'cognito-idp.eu-central-1.amazonaws.com', 'Cognito: the keys are at the issuer');
is(host('cognito', '/userinfo'), 'example.auth.eu-central-1.amazoncognito.com',
    'Cognito: user info is on the domain');

logs_out_at('cognito', 'https://example.auth.eu-central-1.amazoncognito.com/logout', 'logout_uri');

# Apple

my $secret = $op{apple}{knobs}{client_secret};
my $jwt = jwt_decode($secret);
is_deeply([ $jwt->{header}{alg}, sort keys %{ $jwt->{claims} } ], [qw/ ES256 aud exp iat iss sub /],
    'Apple: the recipe makes the JWT that Apple requires');
ok(Crypt::PK::ECC->new($t->testdir . '/AuthKey.p8')->verify_message_rfc7518(
    $jwt->{signature}, $secret =~ s/\.[^.]*$//r, 'SHA256'), 'Apple: the signature of that JWT is valid');
is(request_of('apple', '/token')->{params}{client_secret}, $secret, 'Apple: that JWT is sent as the secret');

my $res = enter('apple');
is($res->{hops}[2]{method}, 'POST', 'Apple: the callback is a POST');
like(join("\n", @{ $res->{hops}[0]{set_cookie} }), qr/SameSite=None; Secure/,
    'Apple: the login cookie is SameSite=None');

$op{apple}->set($shape{apple}->variant('first'));
is_deeply(received(enter('apple')), \%of_apple, 'Apple: the field "user" has no effect');
$op{apple}->set($shape{apple}->variant('boolean'));
is_deeply(received(enter('apple')), \%of_apple, 'Apple: booleans are shown like strings');

# LINE

is(host('line', '/token'), 'api.line.me', 'LINE: the token endpoint is on another host');

log_mark($t);
isnt(login('/default', base => 'http://localhost:' . port(8082))->{status}, 200,
    'LINE: client_secret_basic fails');
like(request_of('line', '/token', -1)->{headers}{authorization}, qr/^Basic /,
    'LINE: client_secret_basic is the default by its metadata');

is(login('/page', base => 'http://localhost:' . port(8084))->{status}, 403,
    'LINE: HS256 is refused if it is not listed');

$op{line}->set($shape{line}->variant('es256'));
is(received(enter('line'))->{'X-Name'}, 'Alice', 'LINE: ES256 is accepted');

# Naver

is(request_of('naver', '/token')->{headers}{authorization}, undef, 'Naver: no secret in a header');
is($op{naver}->count('/userinfo'), 0, 'Naver: no request to the profile API');

# Zitadel

$op{zitadel}->set($shape{zitadel}->variant('another_client'));
is(received(enter('zitadel'))->{'X-Login'}, $email, 'Zitadel: another client of the project in aud');

# AD FS

is_deeply([ @{ request_of('adfs', '/authorize')->{params} }{qw/ resource response_mode /} ],
    [ 'https://app.example.com/', 'form_post' ], 'AD FS: the request for claims in the ID token');

# The URL of a logout by a parameter of the provider's own
sub logs_out_at {
    my ($name, $url, $parameter) = @_;

    my $location = enter($name)->{browser}->get('/logout', from => "$base{$name}/page")->{location};
    my %sent = %{ query($location) };
    is($location =~ s/\?.*//r, $shape{$name}->at_port("$url;") =~ s/;$//r, "$name: the logout leads to the provider");
    is_deeply([ sort keys %sent ], [ sort 'client_id', 'state', $parameter ], "$name: with the parameters that it knows");
    is_deeply([ @sent{ 'client_id', $parameter } ], [ $op{$name}{knobs}{client_id}, 'https://app.example.com/goodbye' ],
        "$name: this client, and the way back");
}

# The application receives exactly these headers of the example.
sub learns {
    my ($name, %expected) = @_;

    my $res = enter($name);
    is($res->{status}, 200, "$name: logged in");
    is_deeply(received($res), \%expected, "$name: the application receives the claims");
    is(request_of($name, '/token')->{verdict}, 'ok', "$name: the token request is valid");
    is(request_of($name, '/token')->{params}{redirect_uri}, "$base{$name}/oidc_callback",
        "$name: the redirect URI is the registered one");
    cmp_ok(session_size($res), '<', $room_for_session, "$name: the session fits");
}

sub refused {
    my ($name, $status, $why, $fact) = @_;

    my $before = length $op{$name}{t}->read_file('error.log');
    my $res = enter($name);
    my $log = substr $op{$name}{t}->read_file('error.log'), $before;
    is_deeply([ $res->{status}, session_size($res) ], [ $status, 0 ], $fact);
    like(join("\n", grep { !/\[debug\]/ } split /\n/, $log), $why, '$fact: logged');
}

# A login at the endpoint for all tenants, whose issuer is a template
sub common {
    my ($op, $shape) = @_;

    $op->set($shape->variant('common'));
    return login('/entra')->{status};
}

sub enter {
    my ($name) = @_;

    my $browser = browser(base => $base{$name});
    return { %{ $browser->login('/page') }, browser => $browser };
}

sub received {
    my ($res) = @_;

    my %received = $res->{body} =~ /^([\w-]+)=(.*)$/mg;
    return { map { $_ => $received{$_} } grep { length $received{$_} } keys %received };
}

# The size of the session cookies as sent in a request
sub session_size {
    my ($res) = @_;

    my $size = 0;
    $size += length "$_->{name}=$_->{value}; "
        for grep { $_->{name} =~ /^NGX_OIDC_SESSION(?:\.\d)?$/ } $res->{browser}->cookies;
    return $size;
}

# The first request of a kind, or another one of that kind
sub request_of {
    my ($name, $kind, $which) = @_;

    return ($op{$name}->requests($kind))[$which // 0];
}

sub host {
    my ($name, $kind) = @_;

    return (request_of($name, $kind)->{headers}{host} // '') =~ s/:\d+$//r;
}

# The http block of an example, with the ports of this test
sub at_our_ports {
    my ($t, $shape, $text, $port) = @_;

    $text = $shape->at_port(localize($t, $text));
    $text =~ s/127\.0\.0\.1:8443/127.0.0.1:$port/;
    $text =~ s{^( *)(issuer )}{$1ssl_trusted_certificate %%TESTDIR%%/ca.crt;\n$1$2}m;
    return $text =~ s/\Ahttp \{\n(.*)^\}\n\z/$1/msr;
}

sub headers_of {
    my %found = map { $_ => 1 } map { /proxy_set_header +(\S+)/g } @_;
    return sort keys %found;
}

# The content of an example's client_secret_file.
sub secret {
    my ($t, $name, $file) = @_;

    my $secret = $name eq 'apple' ? apple_secret($t) : '0123456789abcdef' x 4;
    example_file($t, $file, "$secret\n");
    return $secret;
}

# Made by the recipe of the page
sub apple_secret {
    my ($t) = @_;

    my ($recipe) = grep { $_->{text} =~ /AuthKey\.p8/ } examples_of('docs/providers.md', 'sh');
    my $key = Crypt::PK::ECC->new;
    $key->generate_key('nistp256');
    $t->write_file('AuthKey.p8', $key->export_key_pem('private_short'));
    $t->write_file('recipe.sh', "set -e\ncd " . $t->testdir . "\n$recipe->{text}");
    system('sh', $t->testdir . '/recipe.sh') == 0 or die 'the recipe for Apple failed';
    return $t->read_file('apple-secret') =~ s/\n\z//r;
}
