#!/usr/bin/perl

# Tests for the warning about a request that was finished in a location of auth_oidc before the gate was
# reached: once for each location, with the line of that auth_oidc; and for no warning where the gate was
# reached or is not needed.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Time::HiRes qw/ sleep time /;

use Test::OIDC;
use Test::OIDC::H2;
use Test::OIDC::Site;

# name, location, its directives ("# auth" marks the line that the warning names), the status without a
# session, and the page unless it is the location.

my @warned = (
    ['return 200', 'location /w1', "auth_oidc idp; # auth\nreturn 200 page;", 200],
    ['return 204', 'location /w2', "auth_oidc idp; # auth\nreturn 204;", 204],
    ['return of a redirect', 'location /w3', "auth_oidc idp; # auth\nreturn 302 /elsewhere;", 302],
    ['return of a URL', 'location /w4', "auth_oidc idp; # auth\nreturn http://localhost/;", 302],
    ['rewrite, permanent', 'location /w5', "auth_oidc idp; # auth\nrewrite ^ /elsewhere permanent;", 301],
    ['rewrite, redirect', 'location /w6', "auth_oidc idp; # auth\nrewrite ^ /elsewhere redirect;", 302],
    ['return in an if', 'location /w7', "auth_oidc idp; # auth\nif (\$request_method = GET) { return 200 page; }", 200],
    ['a name by a variable', 'location /w8', "auth_oidc \$arg_op; # auth\nreturn 200 page;", 200, '/w8?op=idp'],
    ['a nested location', 'location /w9/', "auth_oidc idp; # auth\nlocation /w9/in { return 200 page; }", 200, '/w9/in'],
    ['a named location, without a gate before', 'location /w10', "try_files /none \@w10; }\nlocation \@w10 {\n"
        . "auth_oidc idp; # auth\nreturn 200 page;", 200],
    ['a rewrite that leads to it', 'location /w11', "rewrite ^ /w11b last; }\nlocation /w11b {\n"
        . "auth_oidc idp; # auth\nreturn 200 page;", 200],
    ['a location after auth_oidc_mode verify', 'location /w12', "auth_oidc idp; auth_oidc_mode verify;\n"
        . "try_files /none /w12b; }\nlocation /w12b {\nauth_oidc idp; # auth\nreturn 200 page;", 200],
    ['a location of a slash, by its name', 'location /w13/', "auth_oidc idp; # auth\nreturn 301 /elsewhere;\n"
        . 'proxy_pass http://127.0.0.1:8085;', 301],
);

# The same for requests without a warning.
my @silent = (
    ['the gate', 'location /s1', 'auth_oidc idp; proxy_pass http://127.0.0.1:8085;', 302],
    ['off', 'location /s2', 'auth_oidc off; return 200 page;', 200],
    ['mode off', 'location /s3', 'auth_oidc idp; auth_oidc_mode off; return 200 page;', 200],
    ['mode verify', 'location /s4', 'auth_oidc idp; auth_oidc_mode verify; return 200 page;', 200],
    ['a name that is "off"', 'location /s5', 'auth_oidc $arg_op; return 200 page;', 200, '/s5?op=off'],
    ['a name that is unknown', 'location /s6', 'auth_oidc $arg_op; return 200 page;', 200, '/s6?op=x'],
    ['no auth_oidc', 'location /s7', 'return 200 page;', 200],
    ['return 403', 'location /s8', 'auth_oidc idp; return 403;', 403],
    ['return 503', 'location /s9', 'auth_oidc idp; return 503;', 503],
    ['return 444', 'location /s10', 'auth_oidc idp; return 444;', 0],
    ['a slash that nginx adds', 'location /s11/', 'auth_oidc idp; proxy_pass http://127.0.0.1:8085;', 301, '/s11'],
    ['a slash that nginx adds, with a query', 'location /s12/', 'auth_oidc idp; proxy_pass http://127.0.0.1:8085;',
        301, '/s12?a=b'],
    ['satisfy any, an address that is allowed', 'location /s13',
        'auth_oidc idp; satisfy any; allow all; proxy_pass http://127.0.0.1:8085;', 200],
    ['satisfy any, an address that is denied', 'location /s14',
        'auth_oidc idp; satisfy any; deny all; proxy_pass http://127.0.0.1:8085;', 302],
    ['an address that is denied', 'location /s15', 'auth_oidc idp; deny all; proxy_pass http://127.0.0.1:8085;', 403],
    ['a page for a denied request', 'location /s16',
        "auth_oidc idp; deny all; error_page 403 =200 \@s16; }\nlocation \@s16 { auth_oidc idp; return 200 sorry;", 200],
    ['a page for a redirect to the provider', 'location /s17', "auth_oidc idp; error_page 302 =200 \@s17;\n"
        . "proxy_pass http://127.0.0.1:8085; }\nlocation \@s17 { auth_oidc idp; return 200 sorry;", 200],
    ['error pages one after the other', 'location /s18', "auth_oidc idp; recursive_error_pages on;\n"
        . "error_page 302 =200 \@s18; proxy_pass http://127.0.0.1:8085; }\nlocation \@s18 { auth_oidc idp; "
        . 'return 404;', 404],
    ['an error page elsewhere', 'location /s27', 'auth_oidc idp; deny all; error_page 403 http://localhost/;', 302],
    ['an error page that redirects', 'location /s19', 'auth_oidc idp; error_page 403 =302 /elsewhere; return 403;', 302],
    ['limit_req, the first', 'location /s20', 'auth_oidc idp; limit_req zone=all; proxy_pass http://127.0.0.1:8085;', 302],
    ['limit_req, too many', 'location /s25', "auth_oidc idp; limit_req zone=all; error_page 503 =200 \@s25;\n"
        . "proxy_pass http://127.0.0.1:8085; }\nlocation \@s25 { auth_oidc idp; return 200 later;", 200],
    ['a subrequest of SSI', 'location /s21', "ssi on; default_type text/html;\n"
        . "return 200 '<!--#include virtual=\"/s21b\" -->'; }\nlocation /s21b { auth_oidc idp; access_log off; return 200 part;", 200],
    ['a subrequest of mirror', 'location /s22', "mirror /s22b; proxy_pass http://127.0.0.1:8085; }\n"
        . 'location /s22b { auth_oidc idp; access_log off; return 200 part;', 200],
    ['a subrequest of auth_request', 'location /s23', "auth_request /s23b; proxy_pass http://127.0.0.1:8085; }\n"
        . 'location /s23b { auth_oidc idp; access_log off; return 200;', 200],
    ['auth_basic', 'location /s24', 'auth_oidc idp; auth_basic x; auth_basic_user_file none;', 401],
    ['a directory', 'location /dir', 'auth_oidc idp; root %%TESTDIR%%;', 302],
    ['a page that is open', 'location /open', 'root %%TESTDIR%%;', 200, '/open/index.html'],
    ['an internal location', 'location /s26', 'internal; auth_oidc idp; return 200 page;', 404],
    ['recursive_error_pages, a page for a denied request', 'location /s28',
        "auth_oidc idp; recursive_error_pages on; deny all; error_page 403 =200 \@s28; }\n"
        . 'location @s28 { auth_oidc idp; return 200 sorry;', 200],
    ['recursive_error_pages, a page with its own status', 'location /s29',
        "auth_oidc idp; recursive_error_pages on; deny all; error_page 403 = \@s29; }\n"
        . 'location @s29 { auth_oidc idp; recursive_error_pages on; return 200 sorry;', 200],
    ['post_action', 'location /s30', "post_action /s30b; proxy_pass http://127.0.0.1:8085; }\n"
        . 'location /s30b { auth_oidc idp; return 200 done;', 200],
);

# The same for a logged-in browser: the gate of that provider was passed before "return" is reached.
my @inside = (
    ['a page', 'location /i1', 'auth_oidc idp; proxy_pass http://127.0.0.1:8085;', 200],
    ['try_files to a named location', 'location /i2',
        "auth_oidc idp; try_files /none \@i2; }\nlocation \@i2 { auth_oidc idp; return 200 page;", 200],
    ['try_files to a path', 'location /i3',
        "auth_oidc idp; try_files /none /i3b; }\nlocation /i3b { auth_oidc idp; return 200 page;", 200],
    ['index', 'location /dir/', "auth_oidc idp; root %%TESTDIR%%; }\nlocation = /dir/index.html { auth_oidc idp; "
        . 'return 200 page;', 200],
    ['X-Accel-Redirect', 'location /i5', "auth_oidc idp; proxy_pass http://127.0.0.1:8085; }\n"
        . 'location /accel { auth_oidc idp; return 200 page;', 200],
    ['proxy_intercept_errors', 'location /i6', "auth_oidc idp; proxy_intercept_errors on;\n"
        . "error_page 404 =200 \@i6; proxy_pass http://127.0.0.1:8085/none; }\nlocation \@i6 { auth_oidc idp; "
        . 'return 200 page;', 200],
    ['a file that has not changed', 'location /dir/file', 'auth_oidc idp; root %%TESTDIR%%;', 304],
    ['the logout', 'location /i8', 'auth_oidc idp;', 302, '/logout'],
);

# Servers that handle all requests alike: port, directives, status.
my @servers = (
    ['a server that sends all to https', 8086, 'auth_oidc idp; return 301 https://localhost$request_uri;', 301],
    ['the same by an if', 8087, 'auth_oidc idp; if ($scheme = http) { return 308 https://localhost$request_uri; }', 308],
    ['the same by rewrite', 8088, 'auth_oidc idp; rewrite ^ https://localhost/ permanent;', 301],
    ['a server that denies all', 8089, 'auth_oidc idp; return 403;', 403],
    ['a server with return', 8090, "auth_oidc idp; # auth\nreturn 200 all;", 200, 'warned'],
);

my $t = Test::Nginx->new()
    ->has(qw/http http_v2 access auth_basic auth_request limit_req mirror proxy rewrite ssi/)
    ->plan(2 * @warned + 2 * @silent + 2 * @inside + 2 * @servers + 21);

my $op = provider($t, 8081);

for my $dir (qw{ dir open }) {
    mkdir $t->testdir . "/$dir";
    $t->write_file("$dir/index.html", 'page');
    $t->write_file("$dir/file", 'page');
}
$t->write_file_expand('nginx.conf', configuration());
my $conf = $t->read_file('nginx.conf');
$t->run();

for my $case (@warned) {
    my ($name, $location, $directives, $status, $page) = @$case;
    warns($name, $status, line_of("$location {"), sub { browser()->get($page || (split / /, $location)[1]) });
}

is(scalar(warnings(sub { browser()->get('/w1') })), 0, 'a location is warned about once');
is(scalar(warnings(sub { browser()->get('/w3') })), 0, 'another location is warned about once');

for my $case (@silent) {
    my ($name, $location, $directives, $status, $page) = @$case;
    warns($name, $status, 0, sub { browser()->get($page || (split / /, $location)[1]) });
}

my $user = browser();
$user->login('/i1');
my ($changed) = $user->get('/dir/file')->{headers}{'last-modified'};
for my $case (@inside) {
    my ($name, $location, $directives, $status, $page) = @$case;
    warns("logged in, $name", $status, 0, sub {
        $user->get($page || (split / /, $location)[1], headers => { 'If-Modified-Since' => $changed })
    });
}

for my $case (@servers) {
    my ($name, $port, $directives, $status, $warned) = @$case;
    warns($name, $status, $warned ? line_of("listen 127.0.0.1:" . port($port) . ";") : 0,
        sub { browser(base => 'http://localhost:' . port($port))->get('/') });
}

# Any protocol, method and connection.

my $h2 = h2_connect(8083);
is(scalar(warnings(sub { h2_status(h2_get($h2, '/')) })), 1, 'HTTP/2');
is(scalar(warnings(sub { h2_status(h2_get($h2, '/proxied')) })), 0, 'HTTP/2, the gate');
close $h2->{socket};

is(scalar(warnings(sub { browser()->request('OPTIONS', '/m1') })), 0, 'OPTIONS, as a preflight');
is(scalar(warnings(sub { browser()->request('HEAD', '/m1') })), 1, 'HEAD');
is(scalar(warnings(sub { browser()->post('/m2', 'a=b') })), 1, 'POST');

my $two = sub { my ($one, $other) = @_;
    my $head = "Host: localhost\r\n";
    browser()->raw("GET $one HTTP/1.1\r\n$head\r\nGET $other HTTP/1.1\r\n${head}Connection: close\r\n\r\n") };
my @lines = warnings(sub { $two->('/k1', '/k2') }, 2);
is(scalar(@lines), 2, 'two requests on a connection: both get a warning');
like($lines[0] // '', qr{request(?:_line)?: "GET /k1 }, 'two requests on a connection: the warning for the first');
like($lines[1] // '', qr{request(?:_line)?: "GET /k2 }, 'two requests on a connection: the warning for the second');
@lines = warnings(sub { $two->('/i1', '/k3') }, 2);
is(scalar(@lines), 1, 'a request without a gate after one with: a warning');
like($lines[0] // '', qr{request(?:_line)?: "GET /k3 }, 'a request without a gate after one with: its location');

# Responses of the module itself.

$user = browser();
my $answer;
is(scalar(warnings(sub { $answer = $user->get('/i1') })), 0, 'the redirect to the provider');
my $callback = $user->follow($answer)->{location};
is(scalar(warnings(sub { $answer = $user->get($callback) })), 0, 'the callback');
is($answer->{status}, 302, 'the callback, its status');
is(scalar(warnings(sub { $answer = browser()->get('/callback/idp?code=x') })), 0, 'a refused callback');
is("$answer->{status} $answer->{body}", '200 sorry', 'a refused callback, its page');
is(scalar(warnings(sub { $answer = browser()->raw("GET / HTTP/1.1\r\n\r\n") })), 0, 'a malformed request');
is("$answer->{status} $answer->{body}", '200 sorry', 'a malformed request, its page');
my $next = browser()->get('/sorry');
is($next->{status}, 200, 'that page, requested directly');
ok(log_has($t, sentence(200)), 'that page, requested directly: a warning');

# ------------------------------------------------------------------------------------------------------

# One warning that names the line, or none for 0.
sub warns {
    my ($name, $status, $line, $code) = @_;

    my $answer;
    my @lines = warnings(sub { $answer = $code->() });
    is($answer->{status}, $status, "$name: status");
    return is("@lines", '', "$name: no warning") unless $line;

    my $warning = qr/"auth_oidc" in \S+nginx\.conf:$line did not protect a request/;
    my $said = @lines == 1 && $lines[0] =~ sentence($status) && $lines[0] =~ $warning;
    ok($said, "$name: one warning with its line") or diag(@lines, "not $line");
}

sub sentence {
    my ($status) = @_;

    return qr/\[warn\] .* oidc: "auth_oidc" in \S+ did not protect a request, status $status was sent before access checks \("return" and "rewrite" run first\), client: /;
}

# nginx writes a warning before the access log line that is waited for.
sub warnings {
    my ($do, $number) = @_;

    my $log = $t->testdir . '/done.log';
    my $seen = () = -e $log ? $t->read_file('done.log') =~ /\n/g : ();
    log_mark($t);
    $do->();
    wait_until(sub {
        my $lines = () = -e $log ? $t->read_file('done.log') =~ /\n/g : ();
        return $lines >= $seen + ($number || 1);
    });
    return error_log_lines($t, qr/did not protect/);
}

# The number of the nginx.conf line with "# auth" after these words.
sub line_of {
    my ($words) = @_;

    my $start = index $conf, $words;
    my $before = substr $conf, 0, index $conf, '# auth', $start;
    return 1 + $before =~ tr/\n//;
}

sub configuration {
    my $locations = join "\n", map { "$_->[1] {\n$_->[2]\n}" } @warned, @silent, @inside;
    my $servers = join "\n", map { "server {\nlisten 127.0.0.1:$_->[1]; server_name localhost;\n$_->[2]\n}" } @servers;

    return nginx_conf(oidc_provider('idp', 'logout_uri /logout'), <<"EOF", $servers);
    log_format  done \$status;
    access_log  %%TESTDIR%%/done.log done;
    limit_req_zone all zone=all:1m rate=1r/m;

    server {
        listen         127.0.0.1:8080;
        server_name    localhost;
        log_subrequest on;
        error_page     400 =200 /sorry;

        location /elsewhere { return 200 elsewhere; }
        location /sorry     { auth_oidc idp; return 200 sorry; }

        location /m1 { auth_oidc idp; return 200 page; }
        location /m2 { auth_oidc idp; return 200 page; }
        location /k1 { auth_oidc idp; return 200 page; }
        location /k2 { auth_oidc idp; return 200 page; }
        location /k3 { auth_oidc idp; return 200 page; }

$locations
    }

    server {
        listen 127.0.0.1:8083 http2;

        location /        { auth_oidc idp; return 200 page; }
        location /proxied { auth_oidc idp; proxy_pass http://127.0.0.1:8085; }
    }

    server {
        listen     127.0.0.1:8085;
        access_log off;

        location /     { return 200 page; }
        location /i5   { add_header X-Accel-Redirect /accel; return 200 page; }
        location /none { return 404; }
    }
EOF
}
