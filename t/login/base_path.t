#!/usr/bin/perl

# Tests for oidc_base_url with a path: an outer proxy publishes the site below /app and removes that from requests.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site;

my $outer = 'http://localhost:' . port(8080);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(35);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', nginx_conf(
    default_provider('op', 'logout_uri /logout; post_logout_uri /bye?a'),
    oidc_provider('area', 'cookie_path /area', redirect_uri => '/area/callback'),
    oidc_provider('https', 'frontchannel_logout_uri /https_logout; logout_uri /https_bye'),
    <<'EOF'));
    server {
        listen       127.0.0.1:8080;
        server_name  outer;

        location /app/ {
            proxy_set_header Host $http_host;
            proxy_pass       http://127.0.0.1:8082/;
        }

        location / { return 404 "outside of /app"; }
    }

    server {
        listen       127.0.0.1:8082;
        server_name  inner;

        add_header   X-Error $oidc_error always;

        oidc_base_url http://localhost:%%PORT_8080%%/app;

        location /      { auth_oidc op;   proxy_pass http://127.0.0.1:8083; }
        location /area/ { auth_oidc area; proxy_pass http://127.0.0.1:8083; }
        location /beyond { auth_oidc area; proxy_pass http://127.0.0.1:8083; }
        location /bye   { return 200 bye; }
        location /named { auth_oidc op; oidc_base_url $http_x_base; proxy_pass http://127.0.0.1:8083; }
    }

    server {
        listen       127.0.0.1:8084;
        server_name  https;

        oidc_base_url https://localhost/app/;

        location /      { auth_oidc https; proxy_pass http://127.0.0.1:8083; }
    }

    server {
        listen       127.0.0.1:8083;
        server_name  application;

        location / { return 200 $request_uri; }
    }
EOF

$t->run();

# A login

for my $page ('/app/page?x=%20y', '/app/', '/app/area/page', '/app//evil.example.com/x',
    '/app/long?' . 'x' x 1500)
{
    my $browser = browser();
    my $answer = $browser->login($page);
    my $name = substr $page, 0, 30;

    is("$answer->{status} $answer->{url}", "200 $outer" . $page =~ s{^/app//+}{/app/}r, "$name: a login ends at the page");
    is_deeply([grep { $_->{path} !~ m{^/app(?:/area)?$} } $browser->cookies], [], "$name: all cookies are below /app");
    is($browser->get($page)->{status}, 200, "$name: the session continues");
}

my ($browser, $callback) = begin_login('/app/page');
like($callback, qr{^\Q$outer\E/app/oidc_callback\?}, 'redirect_uri has the path');
is(($op->requests('/token'))[-1]{params}{redirect_uri}, "$outer/app/oidc_callback",
    'the token request has the same redirect_uri');
is($browser->get($callback)->{headers}{location}, '/app/page', 'Location has the path');
is($browser->get($callback)->{headers}{location}, '/app/page', 'a copy of the callback goes there, too');
is($browser->get('/app/oidc_callback?state=x&code=y')->{headers}{location}, '/app/',
    'a callback of no login, with a session, leads to the root below the path');

($browser, $callback) = begin_login('/app/page');
$browser->clear;
my $test = $browser->get($callback);
is($test->{status}, 302, 'a callback without a cookie is sent to itself');
is($browser->follow($test)->{headers}{location}, '/app/page', 'a late callback leads to the page');

is(outcome(browser()->get('/app/beyond')), '500 config_unusable', 'cookie_path is compared without the path');

# A logout

$browser = login('/app/page')->{browser};
my $answer = $browser->get('/app/logout', headers => { 'Sec-Fetch-Site' => undef, Referer => "$outer/app/page" });
is(query($answer->{location})->{post_logout_redirect_uri}, "$outer/app/bye?a", 'post_logout_redirect_uri has the path');
is(scalar(grep { $_->{name} eq 'NGX_OIDC_SESSION' } $browser->cookies), 0, 'a logout deletes the cookie');

$browser = login('/app/page')->{browser};
$answer = $browser->get('/app/logout', headers => { 'Sec-Fetch-Site' => 'cross-site' });
my ($confirmation) = $answer->{body} =~ /name="confirm" value="([^"]+)"/;
is($browser->post('/app/logout', { confirm => $confirmation }, headers => { 'Sec-Fetch-Site' => 'cross-site' })->{status},
    200, 'a confirmed logout');
is($browser->get('/app/page')->{status}, 302, 'a confirmed logout ends the session');

# On https

my $https = browser(base => 'http://localhost:' . port(8084))->get('/page');
my ($cookie) = @{ $https->{set_cookie} };
like($cookie, qr/^__Secure-https_login_\w+=\S+; Path=\/app; .*; Secure$/, 'https: name and path of the login cookie');
is(query($https->{location})->{redirect_uri}, 'https://localhost/app/callback/https', 'https: redirect_uri');

# Values of a variable

for my $case (["$outer/app", '302'], ["$outer/app/", '302'], ["$outer/a;b", '400 request_host'],
    ["$outer/a%2fb", '400 request_host'], ["$outer/a/../b", '400 request_host'], ["$outer/a?b", '400 request_host'])
{
    my ($base, $expected) = @$case;
    is(outcome(browser()->get('/app/named', headers => { 'X-Base' => $base })), $expected, "a variable of $base");
}

###############################################################################
