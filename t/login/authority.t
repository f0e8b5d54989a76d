#!/usr/bin/perl

# Tests for the host of a request: redirect_uri has the host by which nginx chose the server, whichever
# part of the request names it, with its port. Unknown hosts get the default server, as docs/security.md
# has it.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Select ();
use IO::Socket::INET ();
use Time::HiRes qw/ sleep time /;

use Test::OIDC;
use Test::OIDC::H2;
use Test::OIDC::Site qw/ default_provider http_conf /;

my $t = Test::Nginx->new()->has(qw/http http_ssl http_v2 proxy rewrite sni socket_ssl_sni/);

certificate_authority($t, 'ca')->issue('site');
my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', http_conf(
    default_provider('my_idp', 'logout_uri /logout; post_logout_uri /bye'),
    <<'EOC'));
    error_log %%TESTDIR%%/error.log info;

    log_format seen '$uri $status $sent_http_location';

    server {
        listen 127.0.0.1:8080 default_server;
        listen 127.0.0.1:8083 default_server http2;
        listen 127.0.0.1:8443 default_server ssl;
        ssl_reject_handshake on;
        return 444;
    }

    server {
        listen      127.0.0.1:8080;
        listen      127.0.0.1:8083 http2;
        listen      127.0.0.1:8443 ssl;
        server_name app.example.com www.example.com [::1];
        access_log  %%TESTDIR%%/seen.log seen;

        ssl_certificate     %%TESTDIR%%/site.crt;
        ssl_certificate_key %%TESTDIR%%/site.key;

        location / {
            auth_oidc  my_idp;
            proxy_pass http://127.0.0.1:8082;
        }
    }

    server {
        listen      127.0.0.1:8084;
        server_name only.example.com;
        auth_oidc   my_idp;
    }

    server {
        listen 127.0.0.1:8082;
        return 200 "$http_host $request_uri";
    }
EOC

$t->run();

my $port = port(8080);
my $app = "app.example.com:$port";
my $evil = 'attacker.example';

# The request target, the Host header, and the expected result: the authority in redirect_uri, "caught" by
# the default server, or "refused".

my @requests = (
    # Host alone
    ['/page', $app, $app],
    ['/page', 'app.example.com', 'app.example.com'],
    ['/page', 'app.example.com:9999', 'app.example.com:9999'],
    ['/page', "APP.Example.COM:$port", $app],
    ['/page', "[::1]:$port", "[::1]:$port"],
    ['/page', $evil, 'caught'],
    ['/page', "$evil:$port", 'caught'],

    # an absolute URL takes precedence over Host
    ["http://$app/page", $app, $app],
    ["http://$app/page", $evil, $app],
    ["http://$app/page", "$evil:$port", $app],
    ["http://$app/page", 'app.example.com', $app],
    ["http://$app/page", "www.example.com:$port", $app],
    ["http://app.example.com/page", $evil, 'app.example.com'],
    ["http://app.example.com/page", $app, 'app.example.com'],
    ["http://app.example.com:9999/page", $app, 'app.example.com:9999'],
    ["HTTP://APP.Example.COM:$port/page", $evil, $app],
    ["http://[::1]:$port/page", $evil, "[::1]:$port"],
    ['http://[::1]/page', $evil, '[::1]'],
    ["http://$app", $evil, $app],
    ["http://$app?a=b", $evil, $app],
    ['http://app.example.com', $evil, 'app.example.com'],
    ['http://app.example.com?a=b', $evil, 'app.example.com'],
    ["http://$app/page?http://$evil/", $evil, $app],
    ["http://$app//$evil/page", $evil, $app],
    ["https://$app/page", $evil, $app],
    ["http://$evil/page", $app, 'caught'],
    ["http://$evil:$port/page", $app, 'caught'],
    ["http://$evil?http://$app/", $app, 'caught'],

    # invalid
    ["http://$app/page", undef, 'refused'],
    ['/page', undef, 'refused'],
    ["http://user\@$app/page", $app, 'refused'],
    ["http://$evil\@$app/page", $app, 'refused'],
    ["http://app.example.com:$evil/page", $app, 'refused'],
    ["http://app.example.com:80:80/page", $app, 'refused'],
    ["http://app.example.com\\\@$evil/page", $app, 'refused'],
    ["http://$evil#$app/page", $app, 'refused'],
    ["http://app.example.com,$evil/page", $app, 'refused'],
    ['http:///page', $app, 'refused'],
    ["http://[::1/page", $app, 'refused'],
    ["http://app..example.com/page", $app, 'refused'],
    ["http://$app/page", "$evil/", 'refused'],
    ["http://$app/page", "$app\r\nHost: $evil", 'refused'],
    ['/page', "$app\r\nHost: $evil", 'refused'],
);

my @old_requests = (
    ["http://app.example.com:9999/page", undef, 'app.example.com:9999'],
    ['http://app.example.com/page', undef, 'app.example.com'],
    ["http://$evil/page", undef, 'caught'],
    ["http://$app/page", $evil, $app],
    ['/page', $app, $app],
    ['/page', undef, 'caught'],
);

$t->plan(@requests + @old_requests + 36);

for my $case (@requests) {
    my ($target, $host, $expected) = @$case;
    is(authority_of(response_to($target, $host)), $expected, "$target, Host: " . shown($host));
}

for my $case (@old_requests) {
    my ($target, $host, $expected) = @$case;
    is(authority_of(response_to($target, $host, version => '1.0')), $expected, "HTTP/1.0, $target, Host: " . shown($host));
}

# A request without a host gets the only server of that port.
is(authority_of(response_to('/page', undef, version => '1.0', port => 8084)), 'only.example.com:' . port(8084),
    'HTTP/1.0 without a host');
is(response_to("https://$app/page", $evil)->{uri} =~ s{://.*}{}r, 'http', 'the scheme is that of the connection');

# The name in TLS (SNI) is not the host.

my $tls = 'app.example.com:' . port(8443);
my @tls_requests = (
    ['app.example.com', '/page', $tls, $tls],
    ['app.example.com', "https://$tls/page", $evil, $tls],
    ['app.example.com', '/page', $evil, 'caught'],
    ['app.example.com', "https://$evil/page", $tls, 'caught'],
    [$evil, '/page', $tls, 'caught'],
);

for my $case (@tls_requests) {
    my ($name, $target, $host, $expected) = @$case;
    my $answer = browser(base => "https://$name:" . port(8443))->raw(request($target, $host));
    is(authority_of(summary_of($answer->{head})), $expected, "TLS with $name, $target, Host: $host");
}

# A request in pieces, and in nginx's large buffers.

my $long = 'x=' . 'y' x 3000;
my %pieces = (
    'in one piece' => sub { $_[0] },
    'cut in the host' => sub { $_[0] =~ /^(.*?app\.ex)(.*)$/s },
    'cut in the port' => sub { $_[0] =~ /^(.*?com:\d)(.*)$/s },
    'cut behind 1024 bytes' => sub { (substr($_[0], 0, 1024), substr $_[0], 1024) },
    'cut in the Host header' => sub { $_[0] =~ /^(.*Host: at)(.*)$/s },
);

for my $how (sort keys %pieces) {
    my $cut = $pieces{$how};
    is(authority_of(responses_to($cut->(request("http://$app/page?$long", $evil)))), $app, "a long request line $how");
    is(authority_of(responses_to($cut->(request("http://$app/page", $evil, "X: $long\r\nCookie: $long\r\n")))), $app,
        "long headers $how");
}

my @pipeline = (
    ["http://$app/a", $evil, $app],
    ['/b', "www.example.com:$port", "www.example.com:$port"],
    ["http://app.example.com/c?$long", $evil, 'app.example.com'],
    ["http://www.example.com:$port/d", $app, "www.example.com:$port"],
    ['/e', $app, $app],
    ["http://app.example.com:9999/f?$long$long", $evil, 'app.example.com:9999'],
    ['/g', 'app.example.com', 'app.example.com'],
    ["http://$evil/h", $app, 'caught'],
);
my @answers = responses_to(join '', map { request($_->[0], $_->[1], '') =~ s/Connection: close\r\n//r } @pipeline);
is_deeply([ map { authority_of($_) } @answers ], [ map { $_->[2] } @pipeline ], 'pipelined requests');

# A complete login.

for my $host ($app, $evil) {
    my $browser = browser(base => "http://$app");
    my @with = (absolute => 1, headers => { Host => $host });
    $op->clear;

    my $answer = $browser->follow($browser->get('/page?a=b', @with));
    my $callback = $answer->{location};
    like($callback, qr{^http://\Q$app\E/oidc_callback\?}, "a login with Host: $host, the callback");
    $answer = $browser->get($callback, @with);
    is($answer->{headers}{location}, '/page?a=b', "a login with Host: $host, redirect to the page");
    is($browser->get($answer->{location}, @with)->{body}, '127.0.0.1:' . port(8082) . ' /page?a=b',
        "a login with Host: $host, the page");

    my ($request) = $op->requests('/token');
    is("$request->{verdict} $request->{params}{redirect_uri}", "ok http://$app/oidc_callback",
        "a login with Host: $host, the token request");

    $answer = $browser->get('/logout', @with);
    is(query($answer->{location})->{post_logout_redirect_uri}, "http://$app/bye", "a logout with Host: $host");
}

# HTTP/2: :authority is the host. A different Host beside it is refused.

my @streams = (
    ['authority', { authority => $app }, $app],
    ['authority-without-port', { authority => 'app.example.com' }, 'app.example.com'],
    ['authority-of-another-port', { authority => 'app.example.com:9999' }, 'app.example.com:9999'],
    ['host', { authority => undef, headers => [host => $app] }, $app],
    ['foreign-host', { authority => $app, headers => [host => $evil] }, 'refused'],
    ['no-host', { authority => undef }, 'refused'],
    ['foreign-authority', { authority => $evil }, 'caught'],
    ['foreign-authority-own-host', { authority => $evil, headers => [host => $app] }, 'refused'],
);

for my $case (@streams) {
    my ($name, $about, $expected) = @$case;
    my $status = h2_status(h2_get(h2_connect(8083), "/h2/$name", undef, %$about));
    is($status eq '302' ? authority_in_log("/h2/$name") : $status eq 'closed' ? 'caught' : 'refused', $expected,
        "HTTP/2, $name");
}

###############################################################################

sub shown { return $_[0] =~ s/\r\n/, /r if defined $_[0]; return 'none' }

sub request {
    my ($target, $host, $headers, $version) = @_;

    $version //= '1.1';
    my $line = defined $host ? "Host: $host\r\n" : '';
    return "GET $target HTTP/$version\r\n" . ($headers // '') . $line . "Connection: close\r\n\r\n";
}

# The response to a request as { status, uri }: the redirect_uri of the login that begins.
sub response_to {
    my ($target, $host, %options) = @_;

    my ($answer) = reply(port($options{port} // 8080), request($target, $host, '', $options{version}));
    return $answer;
}

# The responses to a request sent in these pieces, with a pause between them. The last one has status 0
# where the default server closed the connection.
sub responses_to { return reply(port(8080), @_) }

sub reply {
    my ($to, @pieces) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $to) or die "connect: $!";
    local $SIG{PIPE} = 'IGNORE';
    for my $n (0 .. $#pieces) {
        sleep 0.1 if $n;
        $socket->print($pieces[$n]);
        $socket->flush;
    }

    my ($bytes, $end) = ('', time + MAX_WAIT);
    while (IO::Select->new($socket)->can_read($end - time)) {
        sysread $socket, $bytes, 65536, length $bytes or last;
    }
    my @heads = $bytes =~ m{^(HTTP/1\.\d \d+ .*?\r\n\r\n)}msg;
    return wantarray ? (map({ summary_of($_) } @heads), $bytes =~ /^Connection: close/mi ? () : { status => 0 })
        : @heads ? summary_of($heads[0]) : { status => 0 };
}

sub summary_of {
    my ($head) = @_;

    my $status = $head =~ m{^HTTP/\S+ (\d+)} ? $1 : 0;
    my ($location) = $head =~ /^Location: (.*?)\r/mi;
    return { status => $status, uri => query($location)->{redirect_uri} };
}

# Hosts are case-insensitive.
sub authority_of {
    my ($answer) = @_;

    return 'caught' if !$answer->{status};
    return 'refused' if $answer->{status} == 400;
    return $answer->{status} if $answer->{status} != 302;
    return lc(($answer->{uri} // '') =~ m{^https?://([^/]*)/oidc_callback$} ? $1 : 'nobody');
}

# The same from the log, for HTTP/2, authority_of response headers are compressed.
sub authority_in_log {
    my ($path) = @_;

    return wait_until(sub {
        return $t->read_file('seen.log') =~ m{^\Q$path\E (\d+) (.*)$}m
            && authority_of({ status => $1, uri => query($2)->{redirect_uri} });
    }) || 'nobody';
}

###############################################################################
