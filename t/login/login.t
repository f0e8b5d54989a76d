#!/usr/bin/perl

# Tests for a login from end to end: the gate, the callback, the session, and the application that
# learns who the user is. One provider and one host, then several.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite socket_ssl/)->plan(57);

my $op = provider($t, 8081);
my $public = provider($t, 8082, client_auth => ['none']);
my $post = provider($t, 8083, client_auth => ['client_secret_post']);
my $silent = provider($t, 8084, path => '/realms/a/', client_auth => undef,
    metadata => { authorization_response_iss_parameter_supported => undef },
    callback => { iss => undef });

my $certificate = certificate_authority($t, 'ca')->issue('example', names => ['*.example.com']);

my $secret = 'secret-of-at-least-thirty-two-bytes';

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/SECRET/$secret/gr);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    oidc_provider my_idp {
        issuer        "http://127.0.0.1:8081";
        client_id     "client";
        client_secret "SECRET";
    }

    oidc_provider other {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret SECRET;
        redirect_uri  /other_callback;
        cookie_name   other;
    }

    oidc_provider same_path {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret SECRET;
        cookie_name   same_path;
    }

    oidc_provider absolute {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret SECRET;
        redirect_uri  http://localhost:%%PORT_8080%%/absolute/cb;
        cookie_name   absolute;
    }

    oidc_provider public {
        issuer        http://127.0.0.1:8082;
        client_id     client;
        cookie_name   public;
    }

    oidc_provider post {
        issuer        http://127.0.0.1:8083;
        client_id     client;
        client_secret SECRET;
        cookie_name   post;
    }

    oidc_provider silent {
        issuer        http://127.0.0.1:8084/realms/a/;
        redirect_uri  /silent_callback;
        client_id     client;
        client_secret SECRET;
        cookie_name   silent;
    }

    oidc_provider domain {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret SECRET;
        redirect_uri  https://login.example.com:%%PORT_8443%%/cb;
        cookie_domain example.com;
    }

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
}

EOF

$t->run();

my ($port, $tls_port) = (port(8080), port(8443));

# one provider

my $res = login('/deep/page?a=b&c=%2F');
my $browser = $res->{browser};

is($res->{status}, 200, 'logged in');
is($res->{body}, 'user=alice email=alice@example.com by=my_idp uri=/deep/page?a=b&c=%2F',
    'at the page that was asked for, which knows the user');
is(steps($res), 'page, authorize, callback, page', 'by way of the provider');
is($op->count('/token'), 1, 'one token request');
is(($op->requests('/token'))[0]{verdict}, 'ok', 'which is right');

my $session = $browser->cookie('NGX_OIDC_SESSION');
my ($set) = grep { /^NGX_OIDC_SESSION=/ } @{ $res->{hops}[2]{set_cookie} };

like($session, qr/^[\w-]{100,}$/, 'session cookie');
is($set, "NGX_OIDC_SESSION=$session; Path=/; HttpOnly; SameSite=Lax", 'and its attributes');
like($res->{hops}[2]{headers}{'cache-control'}, qr/^no-store$/, 'callback is not to be stored');
is($res->{hops}[2]{headers}{'referrer-policy'}, 'no-referrer', 'nor to be told on');

$op->stop;
$op->clear;

is($browser->get('/second')->{body},
    'user=alice email=alice@example.com by=my_idp uri=/second', 'second page');
is($browser->post('/form', 'x=y')->{status}, 200, 'and a form');
is($op->count, 0, 'without the provider');

$op->start;

is(browser()->get('/deep/page')->{status}, 302, 'another browser is not logged in');
$browser->forget('NGX_OIDC_SESSION');
is($browser->login('/again')->{body}, 'user=alice email=alice@example.com by=my_idp uri=/again',
    'a second login');

# two providers in a server

$res = login('/page');
$browser = $res->{browser};

is($browser->get('/other')->{status}, 302, 'a session of one provider is none of another');
$res = $browser->login('/other');
is($res->{body}, 'user=alice email=alice@example.com by=other uri=/other', 'logged in at the other');
like($res->{hops}[2]{url}, qr{/other_callback\?}, 'by its own callback');
ok($browser->cookie('other'), 'with its own cookie');
is($browser->get('/page')->{status}, 200, 'and still at the first');

$browser->set_cookie('other=' . $browser->cookie('NGX_OIDC_SESSION') . '; Path=/');
is($browser->get('/other')->{status}, 302, 'a cookie under the name of the other is no session');

$res = login('/same_path');
like($res->{hops}[2]{url}, qr{/oidc_callback\?}, 'two providers may share a callback');
like($res->{body}, qr/by=same_path /, 'logged in at the second of them');
like(login('/page')->{body}, qr/by=my_idp /, 'and at the first');

# how the provider wants it

$res = login('/absolute/page');
like($res->{body}, qr/by=absolute uri=.absolute.page$/, 'an absolute redirect_uri');
like($res->{hops}[2]{url}, qr{/absolute/cb\?}, 'is called back');
is($res->{hops}[2]{headers}{location}, '/absolute/page', 'and returns to its own host');

like(login('/public')->{body}, qr/^user=alice /, 'a public client');
my ($request) = $public->requests('/token');
is($request->{params}{client_id}, 'client', 'names itself');
is($request->{headers}{authorization}, undef, 'and sends no secret');

like(login('/post')->{body}, qr/^user=alice /, 'client_secret_post');
($request) = $post->requests('/token');
is($request->{params}{client_secret}, $secret, 'sends the secret in the form');
is($request->{headers}{authorization}, undef, 'and nowhere else');

like(login('/silent')->{body}, qr/^user=alice /, 'a provider with a path that sends no iss');
($request) = $silent->requests('/token');
like($request->{headers}{authorization}, qr/^Basic /, 'client_secret_basic where metadata is silent');
is($request->{path}, '/realms/a/token', 'below the path of the issuer');

# several hosts

my $one = browser(base => "http://one.example.com:$port");
is($one->login('/page')->{status}, 200, 'logged in at a host');
is(($op->requests('/authorize'))[-1]{params}{redirect_uri},
    "http://one.example.com:$port/oidc_callback", 'its callback is there');
is($one->get("http://two.example.com:$port/page")->{status}, 302, 'not at another');
is($one->login("http://two.example.com:$port/page")->{status}, 200, 'but soon');

$res = login('/page', base => "https://www.example.com:$tls_port");
like($res->{body}, qr/^user=alice /, 'logged in on https');
($set) = grep { /NGX_OIDC_SESSION=/ } @{ $res->{hops}[2]{set_cookie} };
like($set, qr/^__Host-NGX_OIDC_SESSION=.*; HttpOnly; SameSite=Lax; Secure$/, 'secure cookie');
is(scalar(grep { /^__Host-NGX_OIDC_SESSION_login_/ } @{ $res->{hops}[0]{set_cookie} }), 1,
    'bound to the host');

$res = login('/domain/page?q', base => "https://www.example.com:$tls_port");
$browser = $res->{browser};
like($res->{body}, qr/by=domain uri=.domain.page\?q$/, 'logged in with a cookie_domain');
like($res->{hops}[2]{url}, qr{^https://login\.example\.com:}, 'by the callback of another host');
is($res->{hops}[2]{headers}{location}, "https://www.example.com:$tls_port/domain/page?q",
    'which returns to the host that was asked');
($set) = grep { /NGX_OIDC_SESSION=/ } @{ $res->{hops}[2]{set_cookie} };
like($set, qr/^__Secure-NGX_OIDC_SESSION=.*; Path=\/; Domain=example.com; HttpOnly; SameSite=Lax; Secure$/,
    'and its cookie');
is($browser->get("https://login.example.com:$tls_port/domain/x")->{status}, 200,
    'the session is good at both');

# behind a proxy that ends TLS

for my $case (['front', 'of the server'], ['inner', 'of the location']) {
    my ($name, $where) = @$case;
    my $base = "https://$name.example.com:$tls_port";

    $res = login('/page', base => $base);
    is($res->{status}, 200, "logged in behind an oidc_base_url $where");
    is(query($res->{hops}[0]{location})->{redirect_uri}, "$base/oidc_callback",
        'redirect_uri is as seen from outside');
    is(($op->requests('/token'))[-1]{params}{redirect_uri}, "$base/oidc_callback",
        'and the same in the token request');
    is($res->{hops}[2]{headers}{location}, '/page', 'back to the page');
    ($set) = grep { /NGX_OIDC_SESSION=/ } map { @{ $_->{set_cookie} } } @{ $res->{hops} };
    like($set || '', qr/^__Host-NGX_OIDC_SESSION=.*; Secure$/, 'secure cookie');
}

# What the hops of a login were.
sub steps {
    my ($answer) = @_;

    my %step = ('/authorize' => 'authorize', '/oidc_callback' => 'callback');
    return join ', ', map { $step{ $_->{url} =~ m{^https?://[^/]*([^?]*)} ? $1 : '' } || 'page' }
        @{ $answer->{hops} };
}
