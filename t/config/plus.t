#!/usr/bin/perl

# Tests for configurations written for NGINX Plus, for Angie and for the module of kjdev that Angie packages: they load
# unchanged, log users in, and let in the same users.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site qw/ http_conf /;

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite socket_ssl/)->plan(51);

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

    # Plus: Single Sign-On with Keycloak, its complete example

    oidc_provider keycloak {
        # The 'issuer' typically matches your Keycloak realm's base URL
        issuer https://op.example.com:%%PORT_8081%%;

        client_id unique_id;
        client_secret unique_secret;
        redirect_uri /keycloak/callback;
        cookie_name keycloak;

        # RP-initiated logout
        logout_uri /logout;
        post_logout_uri https://demo.example.com/post_logout/;
        logout_token_hint on;

        # Front-channel logout (OP-initiated single sign-out)
        frontchannel_logout_uri /front_logout;

        # Fetch userinfo claims
        userinfo on;

        # Optional: PKCE configuration
        pkce on;

        config_url https://op.example.com:%%PORT_8081%%/.well-known/openid-configuration;
    }

    server {
        listen      127.0.0.1:8080;
        server_name demo.localhost;

        location / {
            # Protect this location with Keycloak OIDC
            auth_oidc keycloak;

            # Forward OIDC claims as headers if desired
            proxy_set_header sub $oidc_claim_sub;
            proxy_set_header email $oidc_claim_email;
            proxy_set_header name $oidc_claim_name;

            proxy_pass http://127.0.0.1:8083/hello;
        }

        location /post_logout/ {
            return 200 "You have been logged out.\n";
            default_type text/plain;
        }
    }

    # Plus: the examples of auth_require, auth_jwt_claim_set and keyval_zone

    keyval_zone zone=my_store:8M timeout=1h type=string;
    keyval_zone zone=one:32k;

    auth_jwt_claim_set $postal_code address postal_code;
    auth_jwt_claim_set $job info "job title";

    map $oidc_claim_role $admin_role {
        "admin" 1;
    }

    oidc_provider roles {
        issuer          https://op.example.com:%%PORT_8081%%;
        client_id       unique_id;
        client_secret   unique_secret;
        session_store   my_store;
        redirect_uri    /roles/callback;
        cookie_name     roles;
        logout_uri      /logout;
        post_logout_uri "http://demo.example.com/bye#done";
    }

    server {
        listen      127.0.0.1:8080;
        server_name roles.localhost;

        auth_oidc roles;

        location / {
            auth_jwt  off token=$oidc_id_token;

            proxy_set_header x-postal_code $postal_code;
            proxy_set_header x-job         $job;
            proxy_set_header id-token      "";
            proxy_pass       http://127.0.0.1:8083/postal;
        }

        location /admin {
            auth_require $admin_role;
            proxy_pass   http://127.0.0.1:8083/postal;
        }

        location /missing {
            auth_require $admin_role error=404;
            auth_require $arg_token error=503;
            proxy_pass   http://127.0.0.1:8083/postal;
        }

        location /limited {
            limit_except GET { auth_require $admin_role; }
            proxy_pass   http://127.0.0.1:8083/postal;
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

    # kjdev: its full examples of a provider and of both stores

    oidc_session_store memory_store {
        type memory;
        size 10m;
        ttl 3600;
        memory_max_size 1000;
        prefix "oidc:session:";
    }

    oidc_session_store redis_store {
        type redis;
        port 6379;
        database 0;
        password "your-redis-password";
        connect_timeout 5000ms;
        command_timeout 5000ms;
        ttl 7200;
        prefix "oidc:session:";
    }

    oidc_session_store default_store {
    }

    oidc_provider corporate_idp {
        # Required settings
        issuer "http://127.0.0.1:8082";
        client_id "your-client-id";
        client_secret "your-client-secret";

        session_store memory_store;

        # Required setting (when using auth_oidc_mode require)
        redirect_uri "/corporate/callback";

        # Optional settings
        cookie_name "oidc_session";
        scopes openid profile email;
        clock_skew 12h;

        # PKCE settings
        pkce on;
        code_challenge_method S256;

        # Session settings
        session_timeout 28800;  # 8 hours

        # Logout settings
        logout_uri "/corporate/logout";
        post_logout_uri "https://app.example.com/";
        logout_token_hint on;

        # UserInfo settings
        userinfo on;
    }

    oidc_provider public {
        issuer "http://127.0.0.1:8082";
        client_id "your-client-id";
        client_secret "";
        redirect_uri "/public/callback";
        cookie_name "public";
        session_store default_store;
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

        location /corporate {
            auth_oidc corporate_idp;
            auth_oidc_mode require;

            proxy_set_header username "$oidc_claim_sub $oidc_session_expires";
            proxy_pass       http://127.0.0.1:8083;
        }

        location /public_client {
            auth_oidc public;
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
        underscores_in_headers on;

        location /hello {
            return 200 "Hello, $http_name!\nEmail: $http_email\nKeycloak sub: $http_sub\n";
        }

        location /postal {
            return 200 "postal=$http_x_postal_code job=$http_x_job";
        }

        location / {
            return 200 "user=$http_username email=$http_email id=$http_id_token access=$http_access_token";
        }
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

my %demo = (base => 'http://demo.localhost:' . port(8080));
$op->set(metadata => { code_challenge_methods_supported => ['plain'], end_session_endpoint => $op->issuer . '/end_session' });
$res = login('/', %demo);
like($res->{body}, qr/^Hello, .*!\nEmail: alice\@example.com\nKeycloak sub: alice\n$/, 'Keycloak: logged in');
is(query($res->{hops}[1]{url})->{code_challenge_method}, 'S256', 'pkce on: S256 although the metadata does not list it');
my $out = query($res->{browser}->get('/logout')->{headers}{location});
is($out->{post_logout_redirect_uri}, 'https://demo.example.com/post_logout/', 'Keycloak: post_logout_uri');
ok(defined $out->{id_token_hint}, 'Keycloak: logout_token_hint');
$op->reset;

my %roles = (base => 'http://roles.localhost:' . port(8080));
my $claims = sub { return (id_token => { claims_json => "{%%*%%,$_[0]}" }) };
$op->set($claims->('"role":"admin","address":{"postal_code":"10115"},"info":{"job title":"clerk"}'));
my $admin = login('/', %roles)->{browser};
$op->set($claims->('"role":"user"'));
my $user = login('/', %roles)->{browser};
is($admin->get('/')->{body}, 'postal=10115 job=clerk', 'auth_jwt_claim_set: nested claims');
is($user->get('/')->{body}, 'postal= job=', 'auth_jwt_claim_set: absent claims');
cmp_ok(length $admin->cookie('roles'), '<', 400, 'keyval_zone: the session is in memory');
is(browser(%roles)->get('/admin')->{status}, 302, 'auth_require: no session');
is($user->get('/admin')->{status}, 403, 'auth_require: another role');
is($admin->get('/admin')->{status}, 200, 'auth_require: the role');
is($user->get('/missing')->{status}, 404, 'auth_require: error=4xx');
is($admin->get('/missing')->{status}, 503, 'auth_require: error=5xx of another directive');
is($admin->get('/missing?token=1')->{status}, 200, 'auth_require: all directives are met');
is($user->get('/limited')->{status} . $user->post('/limited', '')->{status}, '200403', 'auth_require in limit_except');
is(query($user->get('/logout')->{headers}{location})->{post_logout_redirect_uri} // $user->get('/logout')->{headers}{location},
    'http://demo.example.com/bye#done', 'post_logout_uri with http and a fragment');
$op->reset;

# Parameters that cannot have their meaning

for my $case (
    ['state=/var/lib/nginx/one.keyval', qr/a state file is not supported, use an oidc_session_store of type redis .*/],
    ['timeout=1h sync', qr/zones are not synchronized, use an oidc_session_store of type redis on all nodes/],
    ['type=ip', qr/use "zone=name:size", .*/],
    ['timeout=0', qr/it must be a time longer than 0, .*/],
) {
    my ($parameters, $says) = @$case;
    my ($last) = $parameters =~ /(\S+)$/;
    like(config_error($t, http_conf("keyval_zone zone=one:1m $parameters;")),
        qr/^invalid "keyval_zone" "\Q$last\E", $says in \S+:\d+$/, "keyval_zone $parameters");
}
like(config_error($t, http_conf('keyval_zone zone=one;')), qr/^invalid "keyval_zone" "zone=one", it must be a name and a size/,
    'keyval_zone without a size');
like(config_error($t, http_conf('keyval_zone timeout=1h;')), qr/^"keyval_zone" directive needs "zone=name:size"/,
    'keyval_zone without a zone');
like(config_error($t, http_conf('keyval_zone zone=one:1m; keyval_zone zone=one:1m;')), qr/^duplicate keyval_zone "one"/,
    'two zones of one name');
like(config_error($t, http_conf('server { auth_jwt realm; }')),
    qr/^"auth_jwt" directive is not supported except as "auth_jwt off token=\$oidc_id_token", use "auth_oidc"/, 'auth_jwt');

# Angie

my %angie = (base => 'http://angie.localhost:' . port(8080));
$res = login('/example', %angie);
like($res->{body}, qr/user=alice /, 'example of Angie: logged in');
like(query($res->{hops}[1]{url})->{redirect_uri}, qr/\/oauth2\/callback$/,
    'example of Angie: redirect_uri');

$res = login('/corporate', %angie);
like($res->{body}, qr/user=alice (\d+) /, 'kjdev: logged in');
my ($expires) = $res->{body} =~ /user=alice (\d+) /;
cmp_ok($expires - time, '<=', 3600, 'kjdev: ttl of the store ends the session');
cmp_ok($expires - time, '>', 3000, 'kjdev: ttl, at its time');
$google->set(client_auth => ['none']);
like(login('/public_client', %angie)->{body}, qr/user=alice /, 'kjdev: an empty client_secret is a public client');
$google->reset;

my $browser = browser(%angie);
like($browser->get('/')->{body}, qr/user=0 email/, 'Angie: verify: allowed without a session');
like($browser->login('/admin')->{body}, qr/user=alice /, 'Angie: require: a login');
like($browser->get('/')->{body}, qr/user=1 alice /, 'Angie: verify: the user is known after the login');
like($browser->get('/public')->{body}, qr/user=0 email/, 'Angie: off: the user is not known');
my ($cookie) = grep { $_->{name} eq 'angie_session' } $browser->cookies;
is($cookie->{domain}, 'angie.localhost', 'Angie: cookie_name and cookie_domain');
