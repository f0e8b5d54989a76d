#!/usr/bin/perl

# Tests that requests to the provider depend on nothing of the server that causes them: no directive, location, upstream
# or filter, and no byte of the client's connection.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site qw/ default_provider http_conf /;

my $t = Test::Nginx->new()->has(qw/http access gzip limit_req proxy rewrite ssi/);

# The module that the settings need, if any, and the settings of the server
my @settings = (
    ['', 'proxy_buffer_size 1k; proxy_buffers 2 1k; proxy_busy_buffers_size 1k; proxy_buffering off;'],
    ['', 'proxy_connect_timeout 1ms; proxy_read_timeout 1ms; proxy_send_timeout 1ms;'],
    ['', 'proxy_next_upstream off; proxy_next_upstream_tries 1;'],
    ['', 'proxy_bind 127.0.0.9;'],
    ['', 'proxy_method PUT; proxy_http_version 1.0; proxy_set_header Host evil.example.com;'],
    ['', 'proxy_set_body evil; proxy_pass_request_headers on;'],
    ['', 'proxy_ignore_client_abort on; proxy_intercept_errors on; proxy_force_ranges on;'],
    ['', 'proxy_redirect http://127.0.0.1/ /evil/; proxy_cookie_path / /evil/; proxy_hide_header Content-Type;'],
    ['', 'subrequest_output_buffer_size 1;'],
    ['', 'client_max_body_size 1; client_body_buffer_size 1k; client_body_in_file_only on;'],
    ['', 'client_header_buffer_size 1k; client_body_timeout 1s; client_header_timeout 1s;'],
    ['', 'output_buffers 1 1k; postpone_output 0; limit_rate 16k; limit_rate_after 1;'],
    ['', 'resolver 127.0.0.1:%%PORT_8053_UDP%%; resolver_timeout 1ms;'],
    ['', 'chunked_transfer_encoding off; etag off; keepalive_timeout 0; lingering_close off;'],
    ['', 'default_type text/html; charset koi8-r; override_charset on; expires max;'],
    ['', 'gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any;'],
    ['', 'ssi on; ssi_types *;'],
    ['http_sub_module', "sub_filter_types *; sub_filter_once off; sub_filter '{' 'evil';"],
    ['http_addition_module', 'addition_types *; add_before_body /evil; add_after_body /evil;'],
    ['http_gunzip_module', 'gunzip on;'],
    ['http_slice_module', 'slice 1k;'],
    ['', 'log_subrequest on; access_log %%TESTDIR%%/all.log;'],
    ['', 'limit_req zone=one burst=1 nodelay;'],
    ['', 'error_page 400 401 403 404 500 502 504 =200 /evil;'],
    ['', 'recursive_error_pages on; msie_refresh on; server_tokens off; absolute_redirect off;'],
    ['', 'location /oidc { deny all; }'],
    ['', 'location = /oidc { return 418; }'],
    ['', 'location = /oidc { internal; proxy_pass http://127.0.0.1:%%PORT_8089%%; }'],
    ['', 'if ($uri = /oidc) { return 418; }'],
    ['', 'if ($uri = /oidc_callback) { return 418; }'],
    ['', 'set $args "evil=1"; proxy_set_header X-Evil $args;'],
);
@settings = grep { !$_->[0] || $t->has_module($_->[0]) } @settings;

# Requests on one connection, of which the first waits for the provider; the status of each response

my $host = "Host: localhost\r\n";
my $open = "GET /open/ HTTP/1.1\r\n${host}Connection: close\r\n\r\n";

my @clients = (
    ['a GET', "GET %% HTTP/1.1\r\n$host\r\n$open", '302 200'],
    ['a HEAD', "HEAD %% HTTP/1.1\r\n$host\r\n$open", '302 200'],
    ['two GETs', "GET %% HTTP/1.1\r\n$host\r\n" x 2 . $open, '302 302 200'],
    ['a POST', "POST %% HTTP/1.1\r\n${host}Content-Length: 50000\r\n\r\n" . 'x' x 50_000 . $open,
        '302 200'],
    ['a chunked POST', "POST %% HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n"
        . "3e8\r\n" . 'x' x 1000 . "\r\n0\r\n\r\n$open", '302 200'],
    ['a PUT', "PUT %% HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nGET /$open", '302 200'],
    ['a GET with a body', "GET %% HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nGET /$open", '302 200'],
    ['HTTP/1.0', "GET %% HTTP/1.0\r\n$host\r\n", '302'],
);

$t->plan(@settings + @clients + 6);

my $op = provider($t, 8081);
my $local = provider($t, 8082, host => 'localhost');

my @servers = map { <<"EOF" } 0 .. $#settings;
    server {
        listen       127.0.0.1:8080;
        server_name  s$_.localhost;

        $settings[$_][1]

        location / {
            auth_oidc p$_;
            alias     %%TESTDIR%%/page/;
        }
    }
EOF

my @providers = (
    default_provider('named', '', issuer => 'http://localhost:%%PORT_8082%%'),
    (map { default_provider("fresh$_", '', redirect_uri => "/callback/fresh$_") } 1 .. @clients),
    (map { default_provider("p$_", '', cookie_name => "p$_") } 0 .. $#settings),
);

$t->write_file_expand('nginx.conf', http_conf(<<'EOF', @providers, <<'EOS', @servers));
    limit_req_zone $server_name zone=one:1m rate=1r/m;

    upstream localhost {
        server 127.0.0.1:%%PORT_8089%%;
    }
EOF
    server {
        listen       127.0.0.1:8080 default_server;
        server_name  localhost;

        location / {
            auth_oidc named;
            alias     %%TESTDIR%%/page/;
        }

        location /fresh/ {
            auth_oidc $arg_op;
            alias     %%TESTDIR%%/page/;
        }

        location /proxied/ {
            proxy_pass http://127.0.0.1:8081/;
        }

        location /open/ {
            alias     %%TESTDIR%%/page/;
        }
    }
EOS

# Do not read the system's certificates for every oidc_provider.
$ENV{SSL_CERT_FILE} = '/dev/null';

mkdir $t->testdir . '/page';
$t->write_file('page/index.html', '<in>');
$t->write_file('evil', 'evil');
$t->run();

for my $number (0 .. $#settings) {
    my $res = login('/', base => "http://s$number.localhost:" . port(8080));
    like("$res->{status} $res->{body}", qr/^200 .*<in>/s, $settings[$number][1]);
}

is(login('/')->{body}, '<in>', 'an upstream with the host name of the provider');
is($local->count('/token'), 1, 'an upstream with the host name of the provider: not used');

my @asked = ($op->requests, $local->requests);
is(join(' ', grep { $_ ne 'ok' } map { $_->{verdict} } @asked), '', 'all requests to the provider are valid');
is(scalar(grep { "$_->{head} $_->{body}" =~ /evil/ } @asked), 0,
    'no request to the provider has anything of the settings');
unlike(join('', map { $t->read_file($_) } qw/ access.log all.log /), qr/code=|state=/,
    'no access log has a code or a state');

$op->set(respond => { '/.well-known/openid-configuration' => { delay => 0.1 } });

for my $number (1 .. @clients) {
    my ($name, $bytes, $expected) = @{ $clients[$number - 1] };

    my $answers = http($bytes =~ s{%%}{/fresh/?op=fresh$number}gr);
    is(join(' ', $answers =~ m{^HTTP/1.1 (\d+)}mg), $expected, "before another request: $name");
}

is($op->count('/evil'), 0, 'no other request is sent to the provider');

###############################################################################
