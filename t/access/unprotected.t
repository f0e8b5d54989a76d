#!/usr/bin/perl

# Tests for the warning of a request that was answered in a location of auth_oidc before the gate could be
# asked: once for each location, with the place of that auth_oidc; and for no warning wherever the gate was
# asked, or was not to be.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::H2;
use Test::OIDC::Site;
use Time::HiRes qw/ sleep time /;

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant PATIENCE => 20;    # seconds, for a line of the log

# The location of a page and its directives; "# auth" stands in the line that is to be named. What a stranger
# gets, and what the warning says of it, if there is to be one.

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
    ['a rewrite that leads here', 'location /w11', "rewrite ^ /w11b last; }\nlocation /w11b {\n"
        . "auth_oidc idp; # auth\nreturn 200 page;", 200],
    ['the gate of a place that only verifies', 'location /w12', "auth_oidc idp; auth_oidc_mode verify;\n"
        . "try_files /none /w12b; }\nlocation /w12b {\nauth_oidc idp; # auth\nreturn 200 page;", 200],
    ['a location of a slash, by its name', 'location /w13/', "auth_oidc idp; # auth\nreturn 301 /elsewhere;\n"
        . 'proxy_pass http://127.0.0.1:8085;', 301],
);

# The same, for those that are warned of nothing. The last one is the page, where it is not the location.
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
    ['a page for who is denied', 'location /s16',
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
    ['a page for who is denied, of a place whose error pages follow each other', 'location /s28',
        "auth_oidc idp; recursive_error_pages on; deny all; error_page 403 =200 \@s28; }\n"
        . 'location @s28 { auth_oidc idp; return 200 sorry;', 200],
    ['the same, where it says the status itself', 'location /s29',
        "auth_oidc idp; recursive_error_pages on; deny all; error_page 403 = \@s29; }\n"
        . 'location @s29 { auth_oidc idp; recursive_error_pages on; return 200 sorry;', 200],
    ['what is done after the answer', 'location /s30', "post_action /s30b; proxy_pass http://127.0.0.1:8085; }\n"
        . 'location /s30b { auth_oidc idp; return 200 done;', 200],
);

# The same for who is logged in: the gate of that provider has been passed when nginx comes to "return".
my @inside = (
    ['a page', 'location /i1', 'auth_oidc idp; proxy_pass http://127.0.0.1:8085;', 200],
    ['try_files that leads to a name', 'location /i2',
        "auth_oidc idp; try_files /none \@i2; }\nlocation \@i2 { auth_oidc idp; return 200 page;", 200],
    ['try_files that leads to a path', 'location /i3',
        "auth_oidc idp; try_files /none /i3b; }\nlocation /i3b { auth_oidc idp; return 200 page;", 200],
    ['index', 'location /dir/', "auth_oidc idp; root %%TESTDIR%%; }\nlocation = /dir/index.html { auth_oidc idp; "
        . 'return 200 page;', 200],
    ['an application that sends it elsewhere', 'location /i5', "auth_oidc idp; proxy_pass http://127.0.0.1:8085; }\n"
        . 'location /accel { auth_oidc idp; return 200 page;', 200],
    ['an application that has no such page', 'location /i6', "auth_oidc idp; proxy_intercept_errors on;\n"
        . "error_page 404 =200 \@i6; proxy_pass http://127.0.0.1:8085/none; }\nlocation \@i6 { auth_oidc idp; "
        . 'return 200 page;', 200],
    ['a file that has not changed', 'location /dir/file', 'auth_oidc idp; root %%TESTDIR%%;', 304],
    ['the logout', 'location /i8', 'auth_oidc idp;', 302, '/logout'],
);

# What a server of its own answers to all requests: its port, directives and the status.
my @servers = (
    ['a server that sends all to https', 8086, 'auth_oidc idp; return 301 https://localhost$request_uri;', 301],
    ['the same by an if', 8087, 'auth_oidc idp; if ($scheme = http) { return 308 https://localhost$request_uri; }', 308],
    ['the same by rewrite', 8088, 'auth_oidc idp; rewrite ^ https://localhost/ permanent;', 301],
    ['a server that denies all', 8089, 'auth_oidc idp; return 403;', 403],
    ['a server that answers all', 8090, "auth_oidc idp; # auth\nreturn 200 all;", 200, 'warned'],
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
$ENV{SSL_CERT_FILE} = '/dev/null';    # the system's bundle of certificates is not needed
$t->run();

for my $case (@warned) {
    my ($name, $location, $directives, $status, $page) = @$case;
    warns($name, $status, line_of("$location {"), sub { browser()->get($page || (split / /, $location)[1]) });
}

is(scalar(warnings(sub { browser()->get('/w1') })), 0, 'a location is named once');
is(scalar(warnings(sub { browser()->get('/w3') })), 0, 'another one is, too');

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

# Whatever the protocol, the method and the connection are.

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
is(scalar(@lines), 2, 'two requests on a connection: both are seen');
like($lines[0] // '', qr{request: "GET /k1 }, 'two requests on a connection: the first one');
like($lines[1] // '', qr{request: "GET /k2 }, 'two requests on a connection: the second one');
@lines = warnings(sub { $two->('/i1', '/k3') }, 2);
is(scalar(@lines), 1, 'the gate, and then none on its connection: that is seen');
like($lines[0] // '', qr{request: "GET /k3 }, 'the gate, and then none on its connection: which it was');

# What the module answers itself.

$user = browser();
my $answer;
is(scalar(warnings(sub { $answer = $user->get('/i1') })), 0, 'the way to the provider');
my $callback = $user->follow($answer)->{location};
is(scalar(warnings(sub { $answer = $user->get($callback) })), 0, 'the callback');
is($answer->{status}, 302, 'the callback, its status');
is(scalar(warnings(sub { $answer = browser()->get('/callback/idp?code=x') })), 0, 'a callback that is refused');
is("$answer->{status} $answer->{body}", '200 sorry', 'a callback that is refused, its page');
is(scalar(warnings(sub { $answer = browser()->raw("GET / HTTP/1.1\r\n\r\n") })), 0, 'a malformed request');
is("$answer->{status} $answer->{body}", '200 sorry', 'a malformed request, its page');
my $next = browser()->get('/sorry');
is($next->{status}, 200, 'that page, asked for by its name');
ok(log_has($t, sentence(200)), 'that page, asked for by its name: now it is said');

# ------------------------------------------------------------------------------------------------------

# One warning that names the line, or none for 0.
sub warns {
    my ($name, $status, $line, $ask) = @_;

    my $answer;
    my @lines = warnings(sub { $answer = $ask->() });
    is($answer->{status}, $status, "$name: status");
    return is("@lines", '', "$name: no warning") unless $line;

    my $place = qr/"auth_oidc" in \S+nginx\.conf:$line did not protect a request/;
    my $said = @lines == 1 && $lines[0] =~ sentence($status) && $lines[0] =~ $place;
    ok($said, "$name: one warning with its line") or diag(@lines, "not $line");
}

sub sentence {
    my ($status) = @_;

    return qr/\[warn\] .* oidc: "auth_oidc" in \S+ did not protect a request, status $status was sent before access checks \("return" and "rewrite" run first\), client: /;
}

# Warnings are written before the line of the access log that is waited for.
sub warnings {
    my ($do, $number) = @_;

    my $log = $t->testdir . '/done.log';
    my $seen = () = -e $log ? $t->read_file('done.log') =~ /\n/g : ();
    log_mark($t);
    $do->();
    for (my $end = time + PATIENCE; time < $end; sleep 0.01) {
        my $lines = () = -e $log ? $t->read_file('done.log') =~ /\n/g : ();
        last if $lines >= $seen + ($number || 1);
    }
    return error_log_lines($t, qr/did not protect/);
}

# The line of nginx.conf that has "# auth", after these words.
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
