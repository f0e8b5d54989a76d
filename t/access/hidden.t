#!/usr/bin/perl

# Tests for data that only the module may see of a request to a provider's path: the query of one that nginx
# itself refuses before any phase, and the body of a form. Neither is in the access log; an error_page that
# leads to an upstream sends it neither, and no Content-Length of an unsent body.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Socket::INET ();
use Time::HiRes qw/ sleep time /;

use Test::OIDC;
use Test::OIDC::H2;
use Test::OIDC::Site;
use Test::OIDC::URL qw/ html_unescape query_string /;

my $form = 'application/x-www-form-urlencoded';
my $secret = 'code=seCRet&state=seCRet&iss=seCRet&sid=seCRet';
my $host = "Host: localhost\r\n";
my $large = 'X-Large: ' . 'x' x 9000 . "\r\n";
my $pad = 'x' x 9000;
my $path = '/callback/posts';

# The fault, the bytes of the request, the status in the log, and the logged request line.
my @refused = (
    ['a large header', "GET $path?$secret HTTP/1.1\r\n$host$large\r\n", 400, "GET $path HTTP/1.1"],
    ['a large header before any Host', "GET $path?$secret HTTP/1.1\r\n$large$host\r\n", 400, "GET $path HTTP/1.1"],
    ['a POST with a large header', "POST $path?$secret HTTP/1.1\r\n$host$large\r\n", 400, "POST $path HTTP/1.1"],
    ['a long request line', "GET $path?$secret&$pad HTTP/1.1\r\n$host\r\n", 414, "GET $path"],
    ['a long request line, absolute', "GET http://localhost:8080$path?$secret&$pad HTTP/1.1\r\n$host\r\n", 414,
        "GET http://localhost:8080$path"],
    ['an absolute URL and a large header', "GET http://localhost$path?$secret HTTP/1.1\r\n$host$large\r\n", 400,
        "GET http://localhost$path HTTP/1.1"],
    ['two Host headers', "GET $path?$secret HTTP/1.1\r\n$host$host\r\n", 400, "GET $path HTTP/1.1"],
    ['no Host header', "GET $path?$secret HTTP/1.1\r\n\r\n", 400, "GET $path HTTP/1.1"],
    ['a broken Content-Length', "GET $path?$secret HTTP/1.1\r\n${host}Content-Length: x\r\n\r\n", 400,
        "GET $path HTTP/1.1"],
    ['a method that is not allowed', "TRACE $path?$secret HTTP/1.1\r\n$host\r\n", 405, "TRACE $path HTTP/1.1"],
    ['a version that does not exist', "GET $path?$secret HTTP/9.9\r\n$host\r\n", 505, "GET $path HTTP/9.9"],
    ['a request line that cannot be read', "GET $path?$secret\x01 HTTP/1.1\r\n$host\r\n", 400, "GET $path HTTP/1.1"],
    ['a path in another spelling', "GET /callb%61ck/./posts?$secret HTTP/1.1\r\n$host$large\r\n", 400,
        'GET /callb%61ck/./posts HTTP/1.1'],
    ['the path of another provider', "GET /callback/queries?$secret HTTP/1.1\r\n$host$large\r\n", 400,
        'GET /callback/queries HTTP/1.1'],
    ['the path of a logout', "GET /logout?$secret HTTP/1.1\r\n$host$large\r\n", 400, 'GET /logout HTTP/1.1'],
    ['a front-channel logout', "GET /front?$secret HTTP/1.1\r\n$host$large\r\n", 400, 'GET /front HTTP/1.1'],
    ['a back-channel logout', "GET /back?$secret HTTP/1.1\r\n$host$large\r\n", 400, 'GET /back HTTP/1.1'],
);

# The case, the request, its status, and the query that is logged.
my @kept = (
    ['a page', "GET /page?a=b HTTP/1.1\r\n$host$large\r\n", 400, '?a=b'],
    ['a page below a callback', "GET $path/more?a=b HTTP/1.1\r\n$host$large\r\n", 400, '?a=b'],
    ['a page of that path, in a server without the provider',
        "GET $path?a=b HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n", 200, '?a=b'],
    ['the same, with a redirect', "GET /back?a=b HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n", 200, '?a=b'],
    ['the same, with an error', "GET /front?a=b HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n", 404,
        '?a=b'],
);

# The port of a server, and the error_page for 400.
my @pages = ([8080, 'a path, requested by GET'], [8083, 'a name, which gets the POST']);

# A body posted to a callback that is refused.
my @bodies = (
    ['a form', $secret],
    ['a form buffered in a file', "$secret&pad=" . 'x' x 5000],
    ['a form in chunks', $secret, 16],
    ['a form in chunks buffered in a file', "$secret&pad=" . 'x' x 5000, 700],
    ['a form in chunks of more than 32 KB', "$secret&pad=" . 'x' x 40_000, 4096],
);

# An unreadable body: the part sent at once, the part sent later, and the status.
my $chunk = sprintf "%x\r\n%s\r\n", length $secret, $secret;
my @broken = (
    ['too large a form in chunks', "fffff\r\n$secret", '', 413],
    ['a form in chunks that becomes too large later', $chunk, "fffff\r\n$secret", 413],
    ['a broken chunk', "${chunk}x\r\n", '', 400],
    ['a chunk that is broken later', $chunk, "x\r\n", 400],
);
my %shown = (8080 => 'method=GET length= chunked= body=', 8083 => 'method=POST length= chunked= body=',
    8092 => 'body=', 8093 => 'body=');

my $t = Test::Nginx->new()->has(qw/http http_v2 proxy rewrite ssi/)
    ->plan(3 * @refused + 2 * @kept + @pages * (4 * @bodies + 2) + 4 * @broken * keys(%shown) + 35);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', configuration());
mkdir $t->testdir . '/root';
$t->write_file('root/refused.html', 'refused');
$t->run();

for my $case (@refused) {
    my ($name, $bytes, $status, $line) = @$case;
    my $logged = logged(sub { browser()->raw($bytes) });
    like($logged, qr/^$status "\Q$line\E" /, "$name: the line");
    unlike($logged, qr/seCRet/, "$name: no query");
    like($logged, qr/ args="-?" /, "$name: no arguments");
}

for my $case (@kept) {
    my ($name, $bytes, $status, $query) = @$case;
    my $logged = logged(sub { browser()->raw($bytes) });
    like($logged, qr/^$status "[^"]*\Q$query\E HTTP/, "$name: the query is logged");
    like($logged, qr/ uri="[^"]*\Q$query\E" args="a=b"/, "$name: the arguments are logged");
}

http2();
left_alone();
told_by_an_error_page();
sends_no_body(@$_) for @pages;
shows_no_broken_body($_) for sort keys %shown;
forms_that_end_well();
logouts();
broken_off();

# ------------------------------------------------------------------------------------------------------

# HTTP/2 has no request line yet.
sub http2 {
    my $browser = browser();
    $browser->set_cookie("c$_=" . 'x' x 980 . '; Path=/') for 1, 2;
    my $h2 = h2_connect(8084);
    my $logged = logged(sub { h2_status(h2_get($h2, "$path?$secret", $browser)) });
    like($logged, qr/^\d+ "-" /, 'HTTP/2, a large head');
    unlike($logged, qr/seCRet/, 'HTTP/2, a large head: no query');
    like($logged, qr/ uri="\Q$path\E" /, 'HTTP/2, a large head: the path');
    close $h2->{socket};
}

sub left_alone {
    my $socket = connected(8087);
    my $logged = logged(sub { print $socket "GET $path?$secret" });
    like($logged, qr/^408 "GET \Q$path\E" /, 'a slow client: no query');

    $socket = connected(8080);
    $logged = logged(sub { print $socket "GET $path?$secret"; close $socket });
    like($logged, qr/^400 "GET \Q$path\E" /, 'a client that leaves: no query');

    $socket = connected(8080);
    $logged = logged(sub { print $socket "GET $path?$secret HTTP/1.1\r\n$host"; close $socket });
    like($logged, qr/^400 "GET \Q$path\E HTTP\/1.1" /, 'a client that leaves before its header ends: no query');
}

# These do not reach the phase in which callbacks are handled, either.
sub told_by_an_error_page {
    for my $case (
        [8088, 1, 'a page'], [8089, 1, 'a name'], [8090, 2, 'a page with a subrequest that is logged'],
        [8091, 1, 'a page that has shown it'])
    {
        my ($port, $lines, $what) = @$case;
        my @logged = logged(sub {
            browser(base => 'http://localhost:' . port($port))->raw("GET $path?$secret HTTP/1.1\r\n$host$large\r\n")
        }, $lines);
        is(scalar(@logged), $lines, "error_page, $what: lines of log");
        like($logged[-1], qr/^\d+ "GET \Q$path\E HTTP\/1.1" uri="\Q$path\E" /, "error_page, $what: the line");
        unlike("@logged", qr/seCRet/, "error_page, $what: no query");
    }
}

# The backend returns what it got.
sub sends_no_body {
    my ($port, $what) = @_;

    my $method = $port == 8083 ? 'POST' : 'GET';
    for my $case (@bodies) {
        my ($name, @body) = @$case;
        my $answer;
        my $logged = logged(sub { $answer = posted($port, $path, @body) });
        is($answer->{status}, 400, "$what, $name: refused");
        is($answer->{body}, "method=$method length= chunked= body=", "$what, $name: the backend gets no body");
        unlike($logged, qr/seCRet/, "$what, $name: nothing in the log");
        like($logged, qr/ body="-?" file="-?" length="-?"$/, "$what, $name: no body, file or length in the log");
    }

    for my $chunk (0, 2) {
        my $answer;
        logged(sub { $answer = posted($port, '/page', 'a=b', $chunk) });
        is($answer->{body}, 'method=POST length=3 chunked= body=a=b', "$what, an application gets its own body, $chunk");
    }
}

# error_page to an upstream, to a page, or in a server that reads variables before.
sub shows_no_broken_body {
    my ($port) = @_;

    for my $case (@broken) {
        my ($name, $first, $later, $status) = @$case;
        my $answer;
        my $logged = logged(sub { $answer = in_parts($port, $first, $later) });
        like($answer, qr/^HTTP\/1\.1 $status /, "$port, $name: refused at once");
        like($answer, qr/\r\n\r\n\Q$shown{$port}\E\z/, "$port, $name: the page gets no body");
        unlike($logged, qr/seCRet/, "$port, $name: nothing in the log");
        like($logged, qr/ body="-?" file="-?" length="-?"$/, "$port, $name: no body, file or length in the log");
    }
}

sub forms_that_end_well {
    for my $size (0, 5000) {
        my ($browser, $target, $content) = begin();
        $content .= '&pad=' . 'x' x $size if $size;
        my $answer;
        my $logged = logged(sub { $answer = $browser->post($target, $content, headers => { 'Content-Type' => $form }) });
        is($answer->{status}, 303, "a login, $size more bytes");
        unlike($logged, qr/(?:code|state)=|client_body/, "a login, $size more bytes: nothing in the log");
        like($logged, qr/ body="-?" file="-?" length="-?"$/, "a login, $size more bytes: no body, file or length");

        logged(sub { $answer = $browser->get('/posts') });
        is($answer->{body}, 'method=GET length= chunked= body=', "a login, $size more bytes: the session");
    }
    followed();
}

# A request that follows a form in the same packet.
sub followed {
    my ($browser, $target, $content) = begin();
    my $cookies = join '; ', map { "$_->{name}=$_->{value}" } $browser->cookies;
    my $length = length $content;

    for my $case (['', "Content-Length: $length", $content],
        [', in chunks', 'Transfer-Encoding: chunked', sprintf "%x\r\n%s\r\n0\r\n\r\n", $length, $content])
    {
        my ($what, $header, $body) = @$case;
        my $bytes = join "\r\n", "POST $target HTTP/1.1", 'Host: localhost:' . port(8080), "Cookie: $cookies",
            "Content-Type: $form", $header, '', $body . 'GET /app HTTP/1.1', 'Host: localhost', 'Connection: close',
            '', '';
        my $answer;
        logged(sub { $answer = browser()->raw($bytes) }, 2);
        is($answer->{status}, 303, "a form with a request behind it$what");
        like("$answer->{head}$answer->{body}", qr/HTTP\/1\.1 200 .*application$/s, "the request behind a form gets a response$what");
    }
}

sub logouts {
    my $answer;
    my $logged = logged(sub { $answer = posted(8080, '/back', 'logout_token=seCRet') });
    is($answer->{status}, 400, 'a logout token, refused');
    unlike($logged, qr/seCRet/, 'a logout token: nothing in the log');

    my ($browser, $target, $content) = begin();
    logged(sub { $browser->post($target, $content, headers => { 'Content-Type' => $form }) });
    my $confirmation;
    logged(sub { $confirmation = $browser->get('/logout', headers => { 'Sec-Fetch-Site' => 'cross-site' }) });
    my ($confirm) = $confirmation->{body} =~ /name="confirm" value="([^"]+)"/;
    $logged = logged(sub { $browser->post('/logout', { confirm => $confirm }) });
    like($logged, qr/^\d+ "POST \/logout HTTP\/1.1" .* body="-?" file="-?"/,
        'the confirmation of a logout: no body in the log');
}

# The part that was sent has arrived.
sub broken_off {
    my $socket = connected(8080);
    my $logged = logged(sub {
        print $socket "POST $path HTTP/1.1\r\n${host}Content-Type: $form\r\nContent-Length: 1000\r\n\r\n$secret";
        sleep 0.1;
        close $socket;
    });
    unlike($logged, qr/seCRet/, 'an aborted form: nothing in the log');
    like($logged, qr/ body="-?" file="-?"/, 'an aborted form: no body and no file');
}

# ------------------------------------------------------------------------------------------------------

# Does something, and returns the lines that it adds to the access log, as many as expected.
sub logged {
    my ($do, $number) = @_;

    $number ||= 1;
    my $seen = () = lines();
    $do->();
    my @lines;
    wait_until(sub { (@lines = lines()) >= $seen + $number });
    my @new = @lines[$seen .. $#lines];
    return wantarray ? @new : join "\n", @new;
}

sub lines {
    open my $log, '<', $t->testdir . '/shown.log' or return;
    return map { s/\n\z//r } grep { /\n\z/ } <$log>;
}

sub connected {
    my ($port) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port($port)) or die "connect: $!";
    $socket->autoflush(1);
    return $socket;
}

sub posted {
    my ($port, $target, $content, $chunk) = @_;

    my %headers = ('Content-Type' => $form);
    if ($chunk) {
        $content = join '', (map { sprintf "%x\r\n%s\r\n", length, $_ } unpack "(a$chunk)*", $content), "0\r\n\r\n";
        %headers = (%headers, 'Transfer-Encoding' => 'chunked', 'Content-Length' => undef);
    }
    return browser(base => 'http://localhost:' . port($port))->post($target, $content, headers => \%headers);
}

# A form in chunks that do not end; what comes back.
sub in_parts {
    my ($port, $first, $later) = @_;

    my $socket = connected($port);
    print $socket "POST $path HTTP/1.1\r\n${host}Content-Type: $form\r\nTransfer-Encoding: chunked\r\n"
        . "Connection: close\r\n\r\n$first";
    if ($later) {
        sleep 0.2;
        print $socket $later;
    }
    my $answer = '';
    local $SIG{ALRM} = sub { die };
    eval {
        alarm MAX_WAIT;
        while (sysread $socket, my $bytes, 4096) {
            $answer .= $bytes;
        }
    };
    alarm 0;
    return $answer;
}

# A browser in the middle of a login, the action of the provider's form, and its content.
sub begin {
    my $browser = browser();
    my $page;
    logged(sub { $page = $browser->get('/posts') });
    $page = $browser->follow($page);
    my ($action) = $page->{body} =~ /<form\b[^>]*\baction="([^"]*)"/;
    my %fields = map { html_unescape($_) }
        $page->{body} =~ /<input\b[^>]*\bname="([^"]*)"[^>]*\bvalue="([^"]*)"/g;
    return ($browser, html_unescape($action) =~ s{^https?://[^/]+}{}r, query_string(\%fields));
}

sub configuration {
    my @pages = ([8088, '/refused.html'], [8089, '@refused'], [8090, '/ssi'], [8091, '@shows']);
    my @told = map { my ($port, $page) = @$_; <<"EOF" } @pages;
    server {
        listen         127.0.0.1:$port;
        access_log     %%TESTDIR%%/shown.log shown;
        log_subrequest on;
        error_page     400 494 $page;
        root           %%TESTDIR%%/root;

        location \@refused { return 403; }
        location \@shows   { return 200 "\$request \$request_uri \$args \$query_string \$arg_code"; }
        location = /part   { return 200 part; }
        location = /ssi    { default_type text/html; ssi on; return 200 '<!--#include virtual="/part" -->'; }
    }
EOF
    my @servers = map { my ($port, $page) = @$_; <<"EOF" } [8080, '/refused'], [8083, '@refused'];
    server {
        listen      127.0.0.1:$port;
        server_name localhost;
        access_log  %%TESTDIR%%/shown.log shown;
        error_page  400 413 $page;

        client_body_buffer_size 1k;
        client_max_body_size    64k;

        location /         { proxy_pass http://127.0.0.1:8085; }
        location /posts    { auth_oidc posts; proxy_pass http://127.0.0.1:8085; }
        location /queries  { auth_oidc queries; }
        location /app      { return 200 application; }
        location /refused  { proxy_pass http://127.0.0.1:8085; }
        location \@refused { proxy_pass http://127.0.0.1:8085; }
    }
EOF
    return nginx_conf(
        oidc_provider('posts', 'response_mode form_post; logout_uri /logout; frontchannel_logout_uri /front; '
            . 'backchannel_logout_uri /back'),
        oidc_provider('queries', ''), <<'EOF', @servers, @told, <<'EOF');
    log_format shown '$status "$request" uri="$request_uri" args="$args" '
                     'arg="$arg_code" query="$query_string" '
                     'body="$request_body" file="$request_body_file" length="$content_length"';

    server {
        listen      127.0.0.1:8080;
        server_name other;
        access_log  %%TESTDIR%%/shown.log shown;

        location /       { return 200 other; }
        location = /back { try_files /none /led?$args; }

        location = /front { error_page 404 /led?$args; return 404; }
    }
EOF
    server {
        listen      127.0.0.1:8092;
        server_name localhost;
        access_log  %%TESTDIR%%/shown.log shown;
        error_page  400 413 @refused;

        client_max_body_size 64k;

        location /posts   { auth_oidc posts; }
        location @refused { return 200 body=$request_body; }
    }

    server {
        listen      127.0.0.1:8093;
        server_name localhost;
        access_log  %%TESTDIR%%/shown.log shown;
        error_page  400 413 /refused;
        set         $kept $request_body;

        client_max_body_size 64k;

        location /posts   { auth_oidc posts; }
        location /refused { return 200 body=$kept; }
    }

    server {
        listen      127.0.0.1:8084 http2;
        access_log  %%TESTDIR%%/shown.log shown;

        large_client_header_buffers 1 2k;
    }

    server {
        listen                127.0.0.1:8087;
        client_header_timeout 1s;
        access_log            %%TESTDIR%%/shown.log shown;
    }

    # An upstream that shows what it got, once it has read it.
    server {
        listen 127.0.0.1:8085;

        proxy_set_header X-Method  $request_method;
        proxy_set_header X-Length  $http_content_length;
        proxy_set_header X-Chunked $http_transfer_encoding;
        proxy_set_header X-Body    $request_body;

        location / { proxy_pass http://127.0.0.1:8086; }
    }

    server {
        listen 127.0.0.1:8086;

        location / {
            return 200 "method=$http_x_method length=$http_x_length chunked=$http_x_chunked body=$http_x_body";
        }
    }
EOF
}
