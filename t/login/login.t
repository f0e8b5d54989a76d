#!/usr/bin/perl

# Tests for complete logins: the gate, the callback, the session, and the application that learns who the
# user is; with one provider and host, then several.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site qw/ default_provider http_conf oidc_provider /;

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite socket_ssl/)->plan(57);

my $op = provider($t, 8081);
my $public = provider($t, 8082, client_auth => ['none']);
my $post = provider($t, 8083, client_auth => ['client_secret_post']);
my $silent = provider($t, 8084, path => '/realms/a/', client_auth => undef,
    metadata => { authorization_response_iss_parameter_supported => undef },
    callback => { iss => undef });

my $certificate = certificate_authority($t, 'ca')->issue('example', names => ['*.example.com']);

delete $ENV{SSL_CERT_FILE};    # the system's CA bundle is read here

my $secret = 'secret-of-at-least-thirty-two-bytes';

$t->write_file_expand('nginx.conf', http_conf(
    default_provider('my_idp'),
    oidc_provider('other', '', redirect_uri => '/other_callback'),
    default_provider('same_path', 'cookie_name same_path'),
    oidc_provider('absolute', '', redirect_uri => 'http://localhost:%%PORT_8080%%/absolute/cb'),
    default_provider('public', 'cookie_name public', issuer => 'http://127.0.0.1:8082', client_secret => undef),
    default_provider('post', 'cookie_name post', issuer => 'http://127.0.0.1:8083'),
    oidc_provider('silent', '', issuer => 'http://127.0.0.1:8084/realms/a/', redirect_uri => '/silent_callback'),
    default_provider('domain', 'redirect_uri https://login.example.com:%%PORT_8443%%/cb; cookie_domain example.com'),
    <<'EOF'));
    proxy_set_header user  $oidc_claim_sub;
    proxy_set_header email $oidc_claim_email;
    proxy_set_header by    $oidc_provider;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            auth_oidc  my_idp;
            proxy_pass http://127.0.0.1:8085;
        }

        location /other     { auth_oidc other;     proxy_pass http://127.0.0.1:8085; }
        location /same_path { auth_oidc same_path; proxy_pass http://127.0.0.1:8085; }
        location /absolute  { auth_oidc absolute;  proxy_pass http://127.0.0.1:8085; }
        location /public    { auth_oidc public;    proxy_pass http://127.0.0.1:8085; }
        location /post      { auth_oidc post;      proxy_pass http://127.0.0.1:8085; }
        location /silent    { auth_oidc silent;    proxy_pass http://127.0.0.1:8085; }
    }

    server {
        listen       127.0.0.1:8080;
        server_name  one.example.com two.example.com;

        location / {
            auth_oidc  my_idp;
            proxy_pass http://127.0.0.1:8085;
        }
    }

    server {
        listen        127.0.0.1:8080;
        server_name   front.example.com;
        oidc_base_url https://front.example.com:%%PORT_8443%%;

        location / {
            auth_oidc  my_idp;
            proxy_pass http://127.0.0.1:8085;
        }
    }

    server {
        listen       127.0.0.1:8080;
        server_name  inner.example.com;

        location / {
            auth_oidc     my_idp;
            oidc_base_url https://inner.example.com:%%PORT_8443%%;
            proxy_pass    http://127.0.0.1:8085;
        }
    }

    server {
        listen       127.0.0.1:8443 ssl;
        server_name  www.example.com login.example.com;

        ssl_certificate     example.crt;
        ssl_certificate_key example.key;

        location / {
            auth_oidc  my_idp;
            proxy_pass http://127.0.0.1:8085;
        }

        location /domain/ {
            auth_oidc  domain;
            proxy_pass http://127.0.0.1:8085;
        }

        location = /cb {
            return 200 "not reached";
        }
    }

    server {
        listen       127.0.0.1:8443 ssl;
        server_name  front.example.com inner.example.com;

        ssl_certificate     example.crt;
        ssl_certificate_key example.key;

        location / {
            proxy_set_header Host $host;
            proxy_pass http://127.0.0.1:8080;
        }
    }

    # the application

    server {
        listen       127.0.0.1:8085;
        server_name  localhost;

        return 200 "user=$http_user email=$http_email by=$http_by uri=$request_uri";
    }
EOF

$t->run();

my ($port, $tls_port) = (port(8080), port(8443));

# one provider

my $res = login('/deep/page?a=b&c=%2F');
my $browser = $res->{browser};

is($res->{status}, 200, 'a login: 200');
is($res->{body}, 'user=alice email=alice@example.com by=my_idp uri=/deep/page?a=b&c=%2F',
    'a login ends at its page, which knows the user');
is(steps($res), 'page, authorize, callback, page', 'a login: its hops');
is($op->count('/token'), 1, 'a login: one token request');
is(($op->requests('/token'))[0]{verdict}, 'ok', 'a login: the token request is valid');

my $session = $browser->cookie('NGX_OIDC_SESSION');
my ($set) = grep { /^NGX_OIDC_SESSION=/ } @{ $res->{hops}[2]{set_cookie} };

like($session, qr/^[\w-]{100,}$/, 'session cookie');
is($set, "NGX_OIDC_SESSION=$session; Path=/; HttpOnly; SameSite=Lax", 'session cookie: its attributes');
like($res->{hops}[2]{headers}{'cache-control'}, qr/^no-store$/, 'callback: Cache-Control');
is($res->{hops}[2]{headers}{'referrer-policy'}, 'no-referrer', 'callback: Referrer-Policy');

$op->stop;
$op->clear;

is($browser->get('/second')->{body},
    'user=alice email=alice@example.com by=my_idp uri=/second', 'a session: a second page');
is($browser->post('/form', 'x=y')->{status}, 200, 'a session: a posted form');
is($op->count, 0, 'a session: no request to the provider');

$op->start;

is(browser()->get('/deep/page')->{status}, 302, 'another browser is not logged in');
$browser->forget('NGX_OIDC_SESSION');
is($browser->login('/again')->{body}, 'user=alice email=alice@example.com by=my_idp uri=/again',
    'a second login');

# two providers in a server

$res = login('/page');
$browser = $res->{browser};

is($browser->get('/other')->{status}, 302, 'a session of one provider is not accepted for another');
$res = $browser->login('/other');
is($res->{body}, 'user=alice email=alice@example.com by=other uri=/other', 'a login at the other provider');
like($res->{hops}[2]{url}, qr{/other_callback\?}, 'the other provider: its own callback');
ok($browser->cookie('other'), 'the other provider: its own cookie');
is($browser->get('/page')->{status}, 200, 'the other provider: still logged in at the first');

$browser->set_cookie('other=' . $browser->cookie('NGX_OIDC_SESSION') . '; Path=/');
is($browser->get('/other')->{status}, 302, "a session cookie under the other's name is not accepted");

$res = login('/same_path');
like($res->{hops}[2]{url}, qr{/oidc_callback\?}, 'two providers may share a callback');
like($res->{body}, qr/by=same_path /, 'two providers share a callback: a login at the second');
like(login('/page')->{body}, qr/by=my_idp /, 'two providers share a callback: a login at the first');

# variants of clients

$res = login('/absolute/page');
like($res->{body}, qr/by=absolute uri=.absolute.page$/, 'an absolute redirect_uri');
like($res->{hops}[2]{url}, qr{/absolute/cb\?}, 'an absolute redirect_uri is the callback');
is($res->{hops}[2]{headers}{location}, '/absolute/page', 'an absolute redirect_uri: back on the same host');

like(login('/public')->{body}, qr/^user=alice /, 'a public client');
my ($request) = $public->requests('/token');
is($request->{params}{client_id}, 'client', 'a public client sends its client_id');
is($request->{headers}{authorization}, undef, 'a public client sends no secret');

like(login('/post')->{body}, qr/^user=alice /, 'client_secret_post');
($request) = $post->requests('/token');
is($request->{params}{client_secret}, $secret, 'client_secret_post: the secret is in the form');
is($request->{headers}{authorization}, undef, 'client_secret_post: no Authorization');

like(login('/silent')->{body}, qr/^user=alice /, 'a provider with a path that sends no iss');
($request) = $silent->requests('/token');
like($request->{headers}{authorization}, qr/^Basic /, 'client_secret_basic where the metadata lists no methods');
is($request->{path}, '/realms/a/token', 'the token endpoint is below the path of the issuer');

# several hosts

my $one = browser(base => "http://one.example.com:$port");
is($one->login('/page')->{status}, 200, 'a login at one host');
is(($op->requests('/authorize'))[-1]{params}{redirect_uri},
    "http://one.example.com:$port/oidc_callback", 'a login at one host: its callback is there');
is($one->get("http://two.example.com:$port/page")->{status}, 302, 'a login at one host: not logged in at another');
is($one->login("http://two.example.com:$port/page")->{status}, 200, 'a login at another host');

$res = login('/page', base => "https://www.example.com:$tls_port");
like($res->{body}, qr/^user=alice /, 'a login on https');
($set) = grep { /NGX_OIDC_SESSION=/ } @{ $res->{hops}[2]{set_cookie} };
like($set, qr/^__Host-NGX_OIDC_SESSION=.*; HttpOnly; SameSite=Lax; Secure$/, 'https: the session cookie');
is(scalar(grep { /^__Host-NGX_OIDC_SESSION_login_/ } @{ $res->{hops}[0]{set_cookie} }), 1,
    'https: the login cookie has the prefix __Host-');

$res = login('/domain/page?q', base => "https://www.example.com:$tls_port");
$browser = $res->{browser};
like($res->{body}, qr/by=domain uri=.domain.page\?q$/, 'cookie_domain: a login');
like($res->{hops}[2]{url}, qr{^https://login\.example\.com:}, 'cookie_domain: the callback is on another host');
is($res->{hops}[2]{headers}{location}, "https://www.example.com:$tls_port/domain/page?q",
    'cookie_domain: back to the first host');
($set) = grep { /NGX_OIDC_SESSION=/ } @{ $res->{hops}[2]{set_cookie} };
like($set, qr/^__Secure-NGX_OIDC_SESSION=.*; Path=\/; Domain=example.com; HttpOnly; SameSite=Lax; Secure$/,
    'cookie_domain: the session cookie');
is($browser->get("https://login.example.com:$tls_port/domain/x")->{status}, 200,
    'cookie_domain: the session is valid on both hosts');

# behind a proxy that ends TLS

for my $case (['front', 'of the server'], ['inner', 'of the location']) {
    my ($name, $where) = @$case;
    my $base = "https://$name.example.com:$tls_port";

    $res = login('/page', base => $base);
    is($res->{status}, 200, "oidc_base_url $where: a login");
    is(query($res->{hops}[0]{location})->{redirect_uri}, "$base/oidc_callback",
        "oidc_base_url $where: redirect_uri");
    is(($op->requests('/token'))[-1]{params}{redirect_uri}, "$base/oidc_callback",
        "oidc_base_url $where: redirect_uri of the token request");
    is($res->{hops}[2]{headers}{location}, '/page', "oidc_base_url $where: back to the page");
    ($set) = grep { /NGX_OIDC_SESSION=/ } map { @{ $_->{set_cookie} } } @{ $res->{hops} };
    like($set || '', qr/^__Host-NGX_OIDC_SESSION=.*; Secure$/, "oidc_base_url $where: the session cookie is secure");
}

# The hops of a login.
sub steps {
    my ($answer) = @_;

    my %step = ('/authorize' => 'authorize', '/oidc_callback' => 'callback');
    return join ', ', map { $step{ $_->{url} =~ m{^https?://[^/]*([^?]*)} ? $1 : '' } || 'page' }
        @{ $answer->{hops} };
}
