#!/usr/bin/perl

# Tests for the gate among nginx's access modules: with satisfy and the other modules, in every kind of
# location, for every kind of request. No request without a session reaches the application.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use MIME::Base64 qw/ encode_base64 /;

use Test::OIDC;
use Test::OIDC::Site qw/ default_provider http_conf /;

my $t = Test::Nginx->new()->has(qw/http http_ssl access auth_basic auth_request limit_req map proxy/)
    ->has(qw/rewrite ssi socket_ssl/)->plan(193);

my $op = provider($t, 8081);
my $op2 = provider($t, 8082, user => { sub => 'bob' });
my $cold = provider($t, 8083);

my $http2 = $t->has_module('http_v2') ? 'http2' : '';

certificate_authority($t, 'ca')->issue('nginx', names => ['localhost', 'app.example.com']);

$t->write_file('passwords', "user:{PLAIN}password\n");
$t->write_file_expand('nginx.conf', http_conf(
    default_provider('one'),
    default_provider('two', '', issuer => 'http://127.0.0.1:8082'),
    default_provider('cold', 'redirect_uri /cold_callback', issuer => 'http://127.0.0.1:8083'),
    <<'EOF' =~ s/%%HTTP2%%/$http2/r));
    limit_req_zone  $server_port zone=limit:64k rate=1r/m;
    log_format      backend '$request_uri user=$http_x_user';
    proxy_set_header X-User $oidc_claim_sub;

    map $host $tenant {
        a.localhost     one;
        b.localhost     two;
        open.localhost  off;
        empty.localhost "";
        default         nobody;
    }

    auth_oidc one;

    server {
        listen      127.0.0.1:8080;
        server_name localhost;

        location / {
            proxy_pass http://127.0.0.1:8084;
        }

        location /open/ {
            auth_oidc off;
            proxy_pass http://127.0.0.1:8084;

            location /open/closed/ {
                auth_oidc one;
                proxy_pass http://127.0.0.1:8084;
            }
        }

        # satisfy

        location /any/allow {
            satisfy    any;
            allow      127.0.0.1;
            deny       all;
            auth_oidc  cold;
            proxy_pass http://127.0.0.1:8084;
        }

        location /any/deny {
            satisfy    any;
            deny       all;
            proxy_pass http://127.0.0.1:8084;
        }

        location /any/basic {
            satisfy    any;
            auth_basic staff;
            auth_basic_user_file passwords;
            proxy_pass http://127.0.0.1:8084;
        }

        location /any/deny_basic {
            satisfy    any;
            deny       all;
            auth_basic staff;
            auth_basic_user_file passwords;
            proxy_pass http://127.0.0.1:8084;
        }

        location /all/allow {
            satisfy    all;
            allow      127.0.0.1;
            deny       all;
            proxy_pass http://127.0.0.1:8084;
        }

        location /all/deny {
            deny       all;
            proxy_pass http://127.0.0.1:8084;
        }

        location /all/deny_cold {
            deny       all;
            auth_oidc  cold;
            proxy_pass http://127.0.0.1:8084;
        }

        location /all/basic {
            auth_basic staff;
            auth_basic_user_file passwords;
            proxy_pass http://127.0.0.1:8084;
        }

        location /limited {
            limit_req  zone=limit;
            proxy_pass http://127.0.0.1:8084;
        }

        # auth_request

        location /checked/yes {
            auth_request /check/yes;
            proxy_pass http://127.0.0.1:8084;
        }

        location /checked/no {
            auth_request /check/no;
            proxy_pass http://127.0.0.1:8084;
        }

        location /check/ {
            internal;
            proxy_pass http://127.0.0.1:8084;
        }

        # modes

        location /verify {
            auth_oidc_mode verify;
            proxy_pass http://127.0.0.1:8084;

            location /verify/require {
                auth_oidc_mode require;
                proxy_pass http://127.0.0.1:8084;
            }

            location /verify/off {
                auth_oidc_mode off;
                proxy_pass http://127.0.0.1:8084;
            }
        }

        # from one location to another

        location /if {
            if ($arg_a) {
                proxy_pass http://127.0.0.1:8084;
            }
            proxy_pass http://127.0.0.1:8084;
        }

        location /try/ {
            try_files /absent @named;
        }

        location @named {
            auth_oidc off;
            proxy_pass http://127.0.0.1:8084;
        }

        location /from/try/ {
            auth_oidc off;
            try_files /absent /secret;
        }

        location /from/rewrite/ {
            auth_oidc off;
            rewrite ^ /secret last;
        }

        location /from/error_page/ {
            auth_oidc off;
            error_page 404 /secret;
            return 404;
        }

        location /from/named/ {
            auth_oidc off;
            error_page 404 = @closed;
            return 404;
        }

        location @closed {
            proxy_pass http://127.0.0.1:8084;
        }

        location /from/accel/ {
            auth_oidc off;
            proxy_pass http://127.0.0.1:8084/accel;
        }

        location /from/index/ {
            auth_oidc off;
            index /secret;
        }

        location /to/open/ {
            rewrite ^ /open/page last;
        }

        location /return {
            return 200 "before the gate";
        }

        location /from/ssi/ {
            auth_oidc off;
            ssi on;
        }

        location /page.html {
        }

        location /cold {
            auth_oidc  cold;
            proxy_pass http://127.0.0.1:8084;
        }

        location /dav {
            client_max_body_size 1k;
            proxy_pass http://127.0.0.1:8084;
        }
    }

    server {
        listen      127.0.0.1:8080;
        server_name a.localhost b.localhost open.localhost empty.localhost nobody.localhost;

        auth_oidc $tenant;

        location / {
            proxy_pass http://127.0.0.1:8084;
        }
    }

    server {
        listen      127.0.0.1:8080;
        server_name off.localhost;

        auth_oidc off;

        location / {
            proxy_pass http://127.0.0.1:8084;
        }

        location /two/ {
            auth_oidc  two;
            proxy_pass http://127.0.0.1:8084;
        }
    }

    # The origin as the browser sees it

    server {
        listen      127.0.0.1:8443 ssl;
        server_name localhost;

        ssl_certificate     nginx.crt;
        ssl_certificate_key nginx.key;

        location / {
            proxy_pass http://127.0.0.1:8084;
        }
    }

    server {
        listen      127.0.0.1:8443 ssl;
        server_name app.example.com;

        ssl_certificate     nginx.crt;
        ssl_certificate_key nginx.key;

        location / {
            auth_oidc        off;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host  $http_host;
            proxy_pass http://127.0.0.1:8085;
        }

        location /constant {
            auth_oidc        off;
            proxy_pass http://127.0.0.1:8086;
        }
    }

    server {
        listen        127.0.0.1:8085;
        oidc_base_url $http_x_forwarded_proto://$http_x_forwarded_host;

        location / {
            proxy_pass http://127.0.0.1:8084;
        }
    }

    server {
        listen        127.0.0.1:8086;
        oidc_base_url https://app.example.com:%%PORT_8443%%/;

        location / {
            proxy_pass http://127.0.0.1:8084;
        }
    }

    server {
        listen 127.0.0.1:8087 %%HTTP2%%;

        location / {
            proxy_pass http://127.0.0.1:8084;
        }
    }

    # The application

    server {
        listen     127.0.0.1:8084;
        auth_oidc  off;
        access_log %%TESTDIR%%/backend.log backend;

        location / {
            return 200 "secret uri=$request_uri user=$http_x_user;";
        }

        location /accel {
            add_header X-Accel-Redirect /secret;
            return 200 "secret";
        }

        location /check/no {
            return 403;
        }
    }
EOF

mkdir $t->testdir . "/$_" for qw/ from from\/ssi from\/index /;
$t->write_file('page.html', 'secret page');
$t->write_file('from/ssi/page.html', '<!--#include virtual="/included" -->');
$t->run();

my $authorize = qr/^\Q${\ $op->issuer }\E\/authorize\?/;
my $host = 'localhost:' . port(8080);
my $big = 'x' x 100_000;

# The very first request, with a body larger than the location accepts.

refused('first request, a large POST', browser()->post('/anonymous', $big));
refused('large POST where the location takes little', browser()->post('/dav', $big),
    qr/^http:.*\/authorize\?/, 413);

my $user = browser();
like($user->login('/page?a=b')->{body}, qr/^secret uri=\/page\?a=b user=alice;$/, 'logged in');

# satisfy

my %password = (headers => { Authorization => 'Basic ' . encode_base64('user:password', '') });
my %wrong = (headers => { Authorization => 'Basic ' . encode_base64('user:guess', '') });

my $res = browser()->get('/any/allow');
is($res->{body}, 'secret uri=/any/allow user=;', 'satisfy any, allowed address');
is_deeply($res->{set_cookie}, [], 'satisfy any, allowed address: no login begins');
refused('satisfy any, denied address', browser()->get('/any/deny/anonymous'));
passed('satisfy any, denied address, logged in', $user->get('/any/deny'));

$res = browser()->get('/any/basic/anonymous');
refused('satisfy any, no password', $res);
ok(!exists $res->{headers}{'www-authenticate'}, 'satisfy any, no password: no WWW-Authenticate');
refused('satisfy any, wrong password', browser()->get('/any/basic/anonymous', %wrong));
passed('satisfy any, password', browser()->get('/any/basic', %password), '');
passed('satisfy any, logged in', $user->get('/any/basic'));
refused('satisfy any of three', browser()->get('/any/deny_basic/anonymous'));
passed('satisfy any of three, logged in', $user->get('/any/deny_basic'));
passed('satisfy any of three, password', browser()->get('/any/deny_basic', %password), '');

refused('satisfy all, allowed address', browser()->get('/all/allow/anonymous'));
passed('satisfy all, allowed address, logged in', $user->get('/all/allow'));
refused('satisfy all, denied address', browser()->get('/all/deny/anonymous'), undef, 403);
refused('satisfy all, denied address, logged in', $user->get('/all/deny/anonymous'), undef, 403);
refused('satisfy all, denied address, provider without metadata',
    browser()->get('/all/deny_cold/anonymous'), undef, 403);
refused('satisfy all, no password', browser()->get('/all/basic/anonymous'), undef, 401);
refused('satisfy all, no password, logged in', $user->get('/all/basic/anonymous'), undef, 401);
refused('satisfy all, password', browser()->get('/all/basic/anonymous', %password));
passed('satisfy all, password, logged in', $user->get('/all/basic', %password));
is($cold->count, 0, 'no request to a provider if another module decides');

refused('limit_req, within', browser()->get('/limited/anonymous'));
refused('limit_req, beyond', browser()->get('/limited/anonymous'), undef, 503);

# auth_request

refused('auth_request', browser()->get('/checked/yes?anonymous'));
is(scalar(backend_log($t, qr{^/check/})), 0, 'auth_request makes no subrequest without a session');
passed('auth_request, logged in', $user->get('/checked/yes'));
is((backend_log($t, qr{^/check/yes|^/checked/yes}))[-2], '/check/yes user=alice', 'auth_request knows the user');
is($user->get('/checked/no')->{status}, 403, 'auth_request denies, logged in');

# off, inheritance, modes

passed('off', browser()->get('/open/page'), '');
is_deeply(browser()->get('/open/page')->{set_cookie}, [], 'off: no cookie');
ok(!exists browser()->get('/open/page')->{headers}{'cache-control'}, 'off: no header');
refused('on, inside off', browser()->get('/open/closed/anonymous'));
passed('off for a server', browser(base => 'http://off.localhost:' . port(8080))->get('/page'), '');
refused('on, inside a server that is off',
    browser(base => 'http://off.localhost:' . port(8080))->get('/two/anonymous'), qr/authorize/);

$res = browser()->get('/verify/page');
passed('verify, anonymous', $res, '');
is_deeply($res->{set_cookie}, [], 'verify, anonymous: no login begins');
passed('verify, logged in', $user->get('/verify'));
refused('require, inside verify', browser()->get('/verify/require/anonymous'));
passed('mode off, inside verify', $user->get('/verify/off'), '');

# variables

my %at = map { $_ => browser(base => "http://$_.localhost:" . port(8080)) } qw/ a b open empty nobody /;

passed('variable, first provider', $at{a}->login('/page'));
passed('variable, second provider', $at{b}->login('/page'), 'bob');
passed('variable, off', $at{open}->get('/page'), '');

log_mark($t);
for (['nobody', '"nobody"'], ['empty', '""']) {
    refused("variable, a name without a provider, $_->[1]", $at{ $_->[0] }->get('/anonymous'), undef, 500);
    ok(log_has($t, qr/\[error\].* oidc: "auth_oidc" names an unknown oidc_provider .*, provider $_->[1],/),
        "variable, a name without a provider, $_->[1], is logged");
}

my ($cookie_a, $cookie_b) = map { $at{$_}->cookie('NGX_OIDC_SESSION') } qw/ a b /;
refused('session of the second provider for the first', $at{a}->get('/anonymous', headers =>
    { Cookie => "NGX_OIDC_SESSION=$cookie_b" }));
refused('session of the first provider for the second', $at{b}->get('/anonymous', headers =>
    { Cookie => "NGX_OIDC_SESSION=$cookie_a" }), qr/authorize/);
passed('session of the same provider at another host', $at{b}->get('/page', headers =>
    { Cookie => "NGX_OIDC_SESSION=$cookie_a; NGX_OIDC_SESSION=$cookie_b" }), 'bob');

# From one location to another

refused($_, browser()->get("$_?anonymous")) for qw{
    /try/x /from/try/x /from/rewrite/x /from/error_page/x /from/named/x /from/accel/x /from/index/ /if
    /if?a=1& /page.html };
is(browser()->get('/to/open/x')->{status}, 200, 'a rewrite to an open location is open');
is(browser()->get('/return')->{body}, 'before the gate', 'return runs before every access module');
is($user->get('/from/rewrite/x')->{body}, 'secret uri=/secret user=alice;', 'rewrite, logged in');
is($user->get('/try/x')->{body}, 'secret uri=/try/x user=;', 'a named location with auth_oidc off, logged in');
like(browser()->get('/from/ssi/page.html')->{body}, qr/^secret uri=\/included user=;$/,
    'a subrequest without a session is allowed, as by every access module');

# Forms of a path. Status 200 is that of the open location.

my %path = (
    '/secret' => 302, '//secret' => 302, '/./secret' => 302, '/%73ecret' => 302, '/SECRET' => 302,
    '/open' => 301, '/open%2fclosed/' => 302, '/OPEN/secret' => 302, '/open%00/' => 400,
    '/open/../secret' => 302, '/open/%2e%2e/secret' => 302, '/open/%2e./secret' => 302,
    '/open/..%2fsecret' => 302, '/open/%2e%2e%2fsecret' => 302, '/open%2f..%2fsecret' => 302,
    '//open/../secret' => 302, '/open//../secret' => 302, '/open/./../secret' => 302,
    '/open/x/../../secret' => 302, '/../secret' => 400, '/open/../../secret' => 400,
    '/open/..;/secret' => 200, '/open/%252e%252e/secret' => 200, '/open/..%5csecret' => 200,
    '/open/..%255csecret' => 200, '/open/secret?/../open/' => 200, '/secret?/open/' => 302,
    '/secret#/open/' => 302, '/open#/../secret' => 301, '/open/#/../secret' => 200,
    '/secret/..;/open/' => 302, '/open/../open/x' => 200,
    '/open/../open/../secret' => 302, "http://$host/secret" => 302, "http://$host/open/../secret" => 302,
    "http://$host//secret" => 302, 'http://localhost/open/page' => 200, "http://off.localhost/x" => 200,
    "HTTP://a\@localhost/secret" => 400,
);

for my $path (sort keys %path) {
    my $answer = browser()->raw("GET $path HTTP/1.1\r\nHost: localhost\r\nX-Anonymous: 1\r\n"
        . "Connection: close\r\n\r\n");
    is("$answer->{status} " . ($answer->{body} =~ /uri=\/secret|user=\w/ ? 'secret' : ''),
        "$path{$path} ", "path $path");
}

# Forms of a request

for my $method (qw/ HEAD POST PUT DELETE OPTIONS PATCH PROPFIND FOO /) {
    $res = browser()->request($method, '/anonymous');
    refused("method $method", $res);
}

my %headers = (
    'Upgrade' => { Upgrade => 'websocket', 'Sec-WebSocket-Version' => 13,
        'Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ==' },
    'event stream' => { Accept => 'text/event-stream' },
    'script' => { 'Sec-Fetch-Mode' => 'cors', 'X-Requested-With' => 'XMLHttpRequest' },
    'X-Original-URL' => { 'X-Original-URL' => '/open/', 'X-Rewrite-URL' => '/open/',
        'X-Forwarded-Uri' => '/open/', 'X-Forwarded-Prefix' => '/open' },
    'X-Forwarded-Host' => { 'X-Forwarded-Host' => 'open.localhost', 'X-Forwarded-Proto' => 'https',
        'X-Forwarded-Port' => 443, 'X-Host' => 'open.localhost', 'X-Forwarded-Scheme' => 'https',
        Forwarded => 'host=open.localhost;proto=https', 'X-Forwarded-Server' => 'open.localhost' },
    'X-Forwarded-For' => { 'X-Forwarded-For' => '127.0.0.1', 'X-Real-IP' => '127.0.0.1' },
    'X-HTTP-Method-Override' => { 'X-HTTP-Method-Override' => 'OPTIONS' },
    'bearer token' => { Authorization => 'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.' },
    'password' => $password{headers},
    'identity' => { 'X-User' => 'alice', 'X-Forwarded-User' => 'alice', 'Remote-User' => 'alice' },
    'health check' => { 'User-Agent' => 'kube-probe/1.30' },
    'preflight' => { Origin => 'http://localhost', 'Access-Control-Request-Method' => 'GET' },
    'range' => { Range => 'bytes=0-1' },
    'conditional' => { 'If-None-Match' => '*', 'If-Modified-Since' => 'Mon, 01 Jan 2035 00:00:00 GMT' },
    'a body to come' => { Expect => '100-continue', 'Content-Length' => 0 },
);

for (sort keys %headers) {
    $res = browser()->get('/anonymous?access_token=x', headers => $headers{$_});
    refused("headers of $_", $res);
    is(query($res->{location})->{redirect_uri}, "http://$host/oidc_callback",
        "headers of $_ do not change the callback");
}

my $chunked = "POST /anonymous HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    . "Connection: close\r\n\r\n" . sprintf("%x\r\n%s\r\n0\r\n\r\n", length $big, $big);
refused('chunked POST', browser()->raw($chunked));
refused('POST of a form', browser()->post('/anonymous', { code => 'x', state => 'y' }));

# Host

$res = browser()->raw("GET /anonymous HTTP/1.0\r\n\r\n");
refused('HTTP/1.0 without Host', $res);
is(query($res->{location})->{redirect_uri}, "http://$host/oidc_callback",
    'HTTP/1.0 without Host: the callback is at server_name');

my %host = (
    'other.example.com' => 'http://other.example.com/oidc_callback',
    'LOCALHOST:8080' => 'http://localhost:8080/oidc_callback',
    'localhost:80' => 'http://localhost/oidc_callback',
    '[::1]:8080' => 'http://[::1]:8080/oidc_callback',
    '127.0.0.1' => 'http://127.0.0.1/oidc_callback',
    'localhost:' => 'http://localhost/oidc_callback', 'localhost:0' => undef, 'localhost:99999' => undef, 'localhost:8080:1' => undef,
    'localhost"' => undef, 'a@localhost' => undef, 'local<host' => undef, 'localhost?x' => undef,
    'localhost#x' => undef, 'local\host' => undef, "localh\xc3\xb6st" => undef, '[::1' => undef,
    'local%68ost' => undef, 'localhost,other' => undef, '.' => undef, '' => undef, 'local host' => undef,
    '/' => undef,
);

for (sort keys %host) {
    $res = browser()->raw("GET /anonymous HTTP/1.1\r\nHost: $_\r\nConnection: close\r\n\r\n");
    if (defined $host{$_}) {
        is(query($res->{location})->{redirect_uri}, $host{$_}, "Host $_");
    } else {
        refused("Host \"$_\"", $res, undef, 400);
    }
}

log_mark($t);
browser()->raw("GET /anonymous HTTP/1.1\r\nHost: a!localhost\r\nConnection: close\r\n\r\n");
ok(log_has($t, qr{oidc: .*"http://a!localhost".* while beginning a login, provider "one"}),
    'an invalid Host is logged');

# Connections

my $pipeline = join '', map { "GET $_->[0] HTTP/1.1\r\nHost: localhost\r\n"
    . ($_->[1] ? "Cookie: NGX_OIDC_SESSION=$_->[1]\r\n" : '') . "\r\n" }
    ['/anonymous'], ['/open/page'], ['/page', $user->cookie('NGX_OIDC_SESSION')], ['/anonymous'],
    ['/verify/page'];
my $answers = http($pipeline . "GET /verify/page HTTP/1.0\r\n\r\n");
is(join(' ', $answers =~ /HTTP\/1.1 \d+|user=\w*/g) =~ s/HTTP\/1.1 //gr,
    '302 200 user= 200 user=alice 302 200 user= 200 user=', 'pipelined requests are independent');

$answers = http("GET /cold/anonymous HTTP/1.1\r\nHost: localhost\r\n\r\n"
    . "GET /open/page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
like($answers, qr/^HTTP\/1.1 302 .*^HTTP\/1.1 200 .*user=;$/ms,
    'a request pipelined after one that waits for metadata');

SKIP: {
    my ($curl) = grep { -x } map { "$_/curl" } split /:/, $ENV{PATH};
    skip 'no curl with HTTP/2', 3 if !$http2 || !$curl || `$curl -V` !~ /HTTP2/;

    my $fetch = sub {
        my @headers = map { "-H '$_'" } @_;
        return scalar `$curl -s -i -m 5 --http2-prior-knowledge @headers http://127.0.0.1:${\ port(8087) }/http2`;
    };
    like($fetch->(), qr/^HTTP\/2 302 .*^location: http:\/\/127.0.0.1:\d+\/authorize/ms, 'HTTP/2');
    like($fetch->('Cookie: a=b', "Cookie: NGX_OIDC_SESSION=" . $user->cookie('NGX_OIDC_SESSION'), 'Cookie: c'),
        qr/^HTTP\/2 200 .*user=alice;/ms, 'HTTP/2, cookies in several fields');
    like($fetch->('Cookie: NGX_OIDC_SESSION=x'), qr/^HTTP\/2 302 /, 'HTTP/2, an invalid session cookie');
}

# https

my $tls = browser(base => 'https://localhost:' . port(8443));
$res = $tls->login('/page');
passed('TLS', $res);
secure('TLS', $res);
is(query($res->{hops}[0]{location})->{redirect_uri}, 'https://localhost:' . port(8443) . '/oidc_callback',
    'TLS: the callback is on https');

my $app = 'https://app.example.com:' . port(8443);
for (['variables', '/page'], ['a constant', '/constant']) {
    my ($name, $path) = @$_;
    $res = browser(base => $app)->get($path);
    is(query($res->{location})->{redirect_uri}, "$app/oidc_callback", "oidc_base_url of $name");
    like($res->{set_cookie}[0], qr/^__Host-NGX_OIDC_SESSION_login_.*; Secure$/,
        "oidc_base_url of $name: the login cookie");
}
$res = login('/page', base => $app);
passed('oidc_base_url of variables', $res);
secure('oidc_base_url of variables', $res);

refused('oidc_base_url of variables that give no URL',
    browser(base => 'http://localhost:' . port(8085))->get('/anonymous'), undef, 400);

# Open locations and valid sessions need no provider.

$op->stop;
passed('open location, provider down', browser()->get('/open/page'), '');
passed('session, provider down', $user->get('/page'));
$op->start;

is(join("\n", backend_log($t, qr/anonymous|user=$/i, qr{^/(?:any|open|page|verify|check|accel|included|secret)})),
    '', 'no request without a session reached the application');

# ------------------------------------------------------------------------------------------------------

# Refused: redirected to the provider, or an error without a login.
sub refused {
    my ($name, $answer, $location, $status) = @_;

    $status ||= 302;
    $location = $authorize if !$location && $status == 302;

    my $right = $answer->{status} == $status && $answer->{body} !~ /secret/
        && ($status != 302 || $answer->{headers}{location} =~ $location)
        && ($status == 302 || !@{ $answer->{set_cookie} })
        && ($status != 302 || $answer->{headers}{'cache-control'} eq 'no-store');
    ok($right, $name) or diag("$answer->{error}\n$answer->{head}\n$answer->{body}");
}

sub passed {
    my ($name, $answer, $user) = @_;

    $user //= 'alice';
    like($answer->{body}, qr/^secret .* user=$user;$/, $name);
}

sub secure {
    my ($name, $answer) = @_;

    my ($login) = grep { /_login_/ } @{ $answer->{hops}[0]{set_cookie} };
    my ($session) = grep { /NGX_OIDC_SESSION=/ } map { @{ $_->{set_cookie} } } @{ $answer->{hops} };
    like($login, qr/^__Host-NGX_OIDC_SESSION_login_[\w-]+=.*; Path=\/; .*; Secure$/, "$name: login cookie");
    like($session, qr/^__Host-NGX_OIDC_SESSION=.*; Secure$/, "$name: session cookie");
}

# Lines of the application's log that match, except those of $but. The only worker writes them before the gate answers.
sub backend_log {
    my ($t, $re, $but) = @_;

    return grep { /$re/ && (!$but || $_ !~ $but) } split /\n/, $t->read_file('backend.log');
}
