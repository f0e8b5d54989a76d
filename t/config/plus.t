#!/usr/bin/perl

# Tests for configurations written for NGINX Plus and for Angie: they load unchanged, and log in.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site qw/ http_conf /;

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite socket_ssl/)->plan(24);

my $ca = certificate_authority($t, 'ca');
$ca->crl('ca.crl');

# The smallest configuration names no certificates; OpenSSL then reads this file.
$ENV{SSL_CERT_FILE} = $t->testdir . '/ca.crt';

my $op = provider($t, 8081, host => 'op.example.com', tls => $ca->issue('op'),
    client_id => 'unique_id', client_secret => 'unique_secret');
my $google = provider($t, 8082, client_id => 'your-client-id', client_secret => 'your-client-secret');
my $dns = resolver($t, 8053, 'op.example.com' => '127.0.0.1');

$t->write_file_expand('nginx.conf', http_conf(<<'EOF'));
    resolver 127.0.0.1:%%PORT_8053_UDP%%;

    # Plus: its example

    oidc_provider my_idp {
        issuer        "https://op.example.com:%%PORT_8081%%";
        client_id     "unique_id";
        client_secret "unique_secret";
    }

    server {
        listen      127.0.0.1:8080;
        server_name localhost;

        location / {
            auth_oidc my_idp;

            proxy_set_header username $oidc_claim_sub;
            proxy_pass       http://127.0.0.1:8083;
        }
    }

    # Plus: each of its directives

    oidc_provider full {
        issuer                  https://op.example.com:%%PORT_8081%%;
        client_id               unique_id;
        client_secret           unique_secret;
        config_url              https://op.example.com:%%PORT_8081%%/.well-known/openid-configuration;
        cookie_name             plus_session;
        extra_auth_args         "display=page&prompt=login";
        pkce                    on;
        redirect_uri            /plus/callback;
        scope                   openid profile email;
        session_timeout         1h;
        ssl_crl                 ca.crl;
        ssl_trusted_certificate ca.crt;
    }

    server {
        listen      127.0.0.1:8080;
        server_name full.localhost;

        auth_oidc full;

        location / {
            proxy_set_header username     $oidc_claim_sub;
            proxy_set_header email        $oidc_claim_email;
            proxy_set_header id-token     $oidc_id_token;
            proxy_set_header access-token $oidc_access_token;
            proxy_pass       http://127.0.0.1:8083;
        }

        location /open/ {
            auth_oidc off;
            return 200 open;
        }
    }

    # Angie: its example

    oidc_provider google {
        issuer "http://127.0.0.1:8082";
        client_id "your-client-id";
        client_secret "your-client-secret";
        redirect_uri "/oauth2/callback";
    }

    # Angie: its other directives

    oidc_provider angie {
        issuer "http://127.0.0.1:8082";
        client_id "your-client-id";
        client_secret "your-client-secret";
        redirect_uri "/angie/callback";
        config_url "http://127.0.0.1:8082/.well-known/openid-configuration";
        cookie_name "angie_session";
        cookie_domain "angie.localhost";
        extra_auth_args "prompt=login";
        pkce on;
        clock_skew 300;
        session_timeout 28800;
        pre_auth_timeout 300;
    }

    server {
        listen      127.0.0.1:8080;
        server_name angie.localhost;

        auth_oidc angie;
        auth_oidc_mode verify;
        oidc_base_url "http://angie.localhost:%%PORT_8080%%";

        location / {
            proxy_set_header username "$oidc_authenticated $oidc_claim_sub";
            proxy_pass       http://127.0.0.1:8083;
        }

        location /example {
            auth_oidc google;
            auth_oidc_mode require;

            proxy_set_header username $oidc_claim_sub;
            proxy_pass       http://127.0.0.1:8083;
        }

        location /admin {
            auth_oidc_mode require;

            proxy_set_header username $oidc_claim_sub;
            proxy_pass       http://127.0.0.1:8083;
        }

        location /public {
            auth_oidc_mode off;

            proxy_set_header username "$oidc_authenticated $oidc_claim_sub";
            proxy_pass       http://127.0.0.1:8083;
        }
    }

    # the application

    server {
        listen 127.0.0.1:8083;

        return 200 "user=$http_username email=$http_email id=$http_id_token access=$http_access_token";
    }
EOF

$t->run();

# NGINX Plus

my $res = login('/page?a=b');
is($res->{status}, 200, 'example of Plus: logged in');
like($res->{url}, qr/\/page\?a=b$/, 'example of Plus: back at the page');
like($res->{body}, qr/user=alice /, 'example of Plus: the application knows the user');
like($res->{hops}[1]{url}, qr/[?&]redirect_uri=[^&]*%2Foidc_callback&/, 'example of Plus: callback');
is(query($res->{hops}[1]{url})->{scope}, 'openid', 'example of Plus: scope');
ok(defined query($res->{hops}[1]{url})->{code_challenge}, 'example of Plus: PKCE is on');
ok(defined $res->{browser}->cookie('NGX_OIDC_SESSION'), 'example of Plus: cookie');
ok(scalar $dns->requests('op.example.com'), 'example of Plus: the resolver got a request');

$res = login('/page', base => 'http://full.localhost:' . port(8080));
my $params = query($res->{hops}[1]{url});
is($res->{status}, 200, 'all of Plus: logged in');
like($res->{body}, qr/user=alice email=alice\@example.com /, 'all of Plus: claims');
is(jwt_decode($res->{body} =~ /id=(\S+)/)->{claims}{sub}, 'alice', 'all of Plus: ID token');
like($res->{body}, qr/access=[\w-]{32}$/, 'all of Plus: access token');
is($params->{scope}, 'openid profile email', 'all of Plus: scope');
is("$params->{display} $params->{prompt}", 'page login', 'all of Plus: extra_auth_args');
like($params->{redirect_uri}, qr/full.localhost:\d+\/plus\/callback$/, 'all of Plus: redirect_uri');
ok(defined $res->{browser}->cookie('plus_session'), 'all of Plus: cookie_name');
is($res->{browser}->clear->get('/open/')->{body}, 'open', 'all of Plus: off');

# Angie

my %angie = (base => 'http://angie.localhost:' . port(8080));
$res = login('/example', %angie);
like($res->{body}, qr/user=alice /, 'example of Angie: logged in');
like(query($res->{hops}[1]{url})->{redirect_uri}, qr/\/oauth2\/callback$/,
    'example of Angie: redirect_uri');

my $browser = browser(%angie);
like($browser->get('/')->{body}, qr/user=0 email/, 'Angie: verify: allowed without a session');
like($browser->login('/admin')->{body}, qr/user=alice /, 'Angie: require: a login');
like($browser->get('/')->{body}, qr/user=1 alice /, 'Angie: verify: the user is known after the login');
like($browser->get('/public')->{body}, qr/user=0 email/, 'Angie: off: the user is not known');
my ($cookie) = grep { $_->{name} eq 'angie_session' } $browser->cookies;
is($cookie->{domain}, 'angie.localhost', 'Angie: cookie_name and cookie_domain');
