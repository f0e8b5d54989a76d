#!/usr/bin/perl

# Tests for docs/recipes.md: each recipe does what the page says, and what the page warns of does happen.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Select ();
use IO::Socket::INET ();
use MIME::Base64 qw/ encode_base64 /;
use Time::HiRes qw/ time /;

use Test::OIDC;
use Test::OIDC::Examples qw/ example_file examples_of localize /;
use Test::OIDC::Site qw/ default_provider http_conf /;

my %port = (
    admins => 8090, wrong => 8091, limit => 8092, cache => 8093, leak => 8094, buttons => 8095, machines => 8096,
    forged => 8097, probes => 8098, streams => 8099, inner => 8100, outer => 8101,
);

my $t = Test::Nginx->new()->has(qw/http http_ssl auth_basic cache limit_req map proxy realip rewrite socket_ssl/)
    ->plan(56);

certificate_authority($t, 'ca')->issue('site');

my $op = provider($t, 8081);
my @buttons = (
    { name => 'google', port => 8082, issuer => 'https://accounts.google.com' },
    { name => 'kakao', port => 8084, issuer => 'https://kauth.kakao.com' },
);
$_->{provider} = provider_of($_->{name}, $_->{port}) for @buttons;

$t->write_file('passwords', "robot:{PLAIN}password\n");
streams_application(8085);

my %text = (
    admins => recipe('Admins only', 'admins'),
    limit => recipe('A limit for each user', 'limit') =~ s/rate=\d+r\/s/rate=1r\/m/gr =~ s/ burst=20 nodelay//gr,
    cache => recipe('A cache', 'cache'),
    buttons => at_our_providers(recipe('Two providers with buttons', 'buttons')),
    machines => recipe('Machines beside users', 'machines'),
    probes => recipe('Health probes and CORS preflights', 'probes'),
    streams => recipe('WebSockets and event streams', 'streams') =~ s/127\.0\.0\.1:8083/127.0.0.1:8085/gr,
    inner => recipe('Behind an ingress or another nginx', 'inner')
        =~ s{https://app\.example\.com}{base_of('outer')}er,
    outer => recipe('Behind an ingress or another nginx', 'outer', 1) =~ s/\b192\.0\.2\.10\b/127.0.0.1:$port{inner}/r,
);

# What the page warns of

$text{wrong} = server_at('wrong', <<'EOF');
        location /unanchored {
            auth_oidc         my_idp;
            auth_oidc_require $is_like_admin;
            proxy_pass        http://127.0.0.1:8083;
        }

        location /whole {
            auth_oidc  my_idp;
            if ($oidc_claim_groups != admins) {
                return 403;
            }
            proxy_pass http://127.0.0.1:8083;
        }

        location /any {
            auth_oidc         my_idp;
            auth_oidc_require $oidc_claim_groups;
            proxy_pass        http://127.0.0.1:8083;
        }
EOF
$text{leak} = only_server($text{cache}, 'leak') =~ s/\$oidc_session_id;/;/r;
$text{forged} = only_server($text{machines}, 'forged') =~ s/\$machine;/\$remote_user;/r;

$t->write_file_expand('nginx.conf', http_conf(
    default_provider('my_idp', 'logout_uri /logout'),
    '    map $oidc_claim_groups $is_like_admin { ~admins 1; }',
    map({ $text{$_} } sort keys %text), <<'EOF'));
    server {
        listen      127.0.0.1:8083;
        server_name localhost;

        add_header Cache-Control max-age=3600;

        location / {
            return 200 "id=$request_id method=$request_method uri=$request_uri user=$http_x_user provider=$http_x_provider machine=$http_x_machine password=$http_authorization;";
        }
    }
EOF

$t->run();

# Admins only

is(login_as('admins', '/admin/', groups => ['users', 'admins'])->{status}, 200, 'an admin gets in');
is(login_as('admins', '/admin/', groups => ['admins'])->{status}, 200, 'an admin in one group gets in');
is(login_as('admins', '/admin/', groups => ['users'])->{status}, 403, 'another user is refused');
is(login_as('admins', '/admin/', groups => ['former-admins'])->{status}, 403, 'a group with a similar name is refused');
is(login_as('admins', '/admin/', groups => ['CN=x,admins,OU=y'])->{status}, 403, 'a group with commas in its name is refused');
is(login_as('admins', '/admin/')->{status}, 403, 'a user without groups is refused');
is_login(browser_at('admins')->get('/admin/'), 'a visitor is sent to the login');

is(login_as('wrong', '/unanchored', groups => ['former-admins'])->{status}, 200, 'an unanchored pattern lets others in');
is(login_as('wrong', '/whole')->{status}, 403, 'comparing the whole list refuses visitors before they log in');
is(login_as('wrong', '/any', groups => ['users'])->{status}, 200, 'a list as the condition lets in who is in any group');
is(login_as('wrong', '/any', groups => [])->{status}, 403, 'a list as the condition refuses who is in no group');

# A limit for each user

my $alice = login_as('cache', '/static/1')->{browser};
my $bob = login_as('cache', '/static/1', sub => 'bob')->{browser};

is_deeply(statuses(map { $alice->get(base_of('limit') . '/') } 1 .. 2), [ 200, 503 ], 'a user is limited');
is($bob->get(base_of('limit') . '/')->{status}, 200, 'another user at the same address has a separate limit');
is_deeply(statuses(map { browser_at('limit')->get('/') } 1 .. 2), [ 302, 503 ], 'visitors of one address share a limit');

# A cache

my @pages = map { $_->get(base_of('cache') . '/page')->{body} } $alice, $alice, $bob;
like($pages[0], qr/user=alice /, 'cache: the page of a user');
is($pages[1], $pages[0], 'cache: it is cached');
like($pages[2], qr/user=bob /, 'cache: the page of another user');

my @styles = map { $_->get(base_of('cache') . '/static/style.css')->{body} } $alice, $bob;
is($styles[1], $styles[0], 'cache: what is the same for all is cached for all');
is_login(browser_at('cache')->get('/static/style.css'), 'cache: a visitor gets nothing from it');
is_login(browser_at('cache')->get('/page'), 'cache: nor a page');

my @leaked = map { $_->get(base_of('leak') . '/page')->{body} } $alice, $bob;
like($leaked[1], qr/user=alice /, 'cache: without the session in the key, a user gets the page of another');

# Two providers with buttons

my $visitor = browser_at('buttons');
my $buttons = $visitor->follow($visitor->get('/reports'));
is_deeply([ $buttons->{status}, $buttons->{body} =~ /href="([^"]+)"/g ], [ 200, '/login/google', '/login/kakao' ],
    'buttons: a visitor gets the buttons');

my $google = browser_at('buttons');
like($google->login('/login/google')->{body}, qr{uri=/ user=1234 provider=google }, 'buttons: a user of one provider');
my $kakao = browser_at('buttons');
like($kakao->login('/login/kakao')->{body}, qr{uri=/ user=1234 provider=kakao },
    'buttons: another user, who has the same sub at the other provider');
like($kakao->get('/reports')->{body}, qr{uri=/reports user=1234 provider=kakao }, 'buttons: the session is used everywhere');

$google->login('/login/kakao');
like($google->get('/')->{body}, qr/provider=google /, 'buttons: of two sessions the first in the map is used');

is(query($kakao->get('/logout', from => base_of('buttons') . '/')->{location})->{post_logout_redirect_uri},
    base_of('buttons') . '/login', 'buttons: a logout leads back to the buttons');
is($kakao->get('/')->{location}, base_of('buttons') . '/login', 'buttons: it has ended the session');

$kakao->set_cookie('__Host-KAKAO_SESSION=ended; Path=/; Secure');
like($kakao->get('/')->{location}, qr{^http://127\.0\.0\.1:\d+/authorize\?.*client_id=0123456789abcdef0},
    'buttons: an ended session leads to the login of its provider');

# Machines beside users

my $machine = browser_at('machines')->get('/', headers => password('robot', 'password'));
like($machine->{body}, qr/user= provider= machine=robot password=;/, 'machines: a machine gets in by its password');
is_deeply($machine->{set_cookie}, [], 'machines: no login begins');

my $guess = browser_at('machines')->get('/', headers => password('robot', 'guess'));
is_login($guess, 'machines: a wrong password is redirected');
is($guess->{headers}{'www-authenticate'}, undef, 'machines: no password is requested from a browser');

my $res = login_as('machines', '/');
like($res->{body}, qr/user=alice provider= machine= password=;/, 'machines: a user gets in by a session');
$res = $res->{browser}->get('/', headers => password('robot', 'guess'));
like($res->{body}, qr/user=alice provider= machine= /, 'machines: a user cannot claim to be a machine');
$res = $alice->get(base_of('forged') . '/', headers => password('robot', 'guess'));
like($res->{body}, qr/user=alice provider= machine=robot /, 'machines: $remote_user alone would be that claim');

# Health probes and CORS preflights

is_deeply([ @{ browser_at('probes')->get('/healthz') }{qw/ status body /} ], [ 200, "ok\n" ], 'a probe gets its response');

my $preflight = browser_at('probes')->request('OPTIONS', '/api/', headers => { Origin => 'https://www.example.com' });
is($preflight->{status}, 204, 'a preflight is answered');
is($preflight->{headers}{'access-control-allow-origin'}, 'https://www.example.com', 'its origin is allowed');
is($preflight->{headers}{'access-control-allow-credentials'}, 'true', 'with cookies');

$preflight = browser_at('probes')->request('OPTIONS', '/api/', headers => { Origin => 'https://evil.example.com' });
is($preflight->{headers}{'access-control-allow-origin'}, undef, 'another origin is not allowed');
is_login(browser_at('probes')->get('/api/', headers => { Origin => 'https://www.example.com' }),
    'the request itself needs a session');
like($alice->get(base_of('probes') . '/api/')->{body}, qr{method=GET uri=/api/ }, 'and passes with one');

# WebSockets and event streams

my $gone = login_as('cache', '/static/1')->{browser};
my $socket = handshake('/socket', $gone);
like(read_until($socket, qr/\r\n\r\n/), qr/^HTTP\/1\.1 101 /, 'a WebSocket passes with a session');
print $socket "to the application\n";
like(read_until($socket, qr/back\n/), qr/to the application, and back/, 'bytes pass both ways');

$gone->get('/logout', from => base_of('cache') . '/');
is_login($gone->get('/page'), 'the user logs out');
print $socket "after the logout\n";
like(read_until($socket, qr/back\n/), qr/after the logout, and back/, 'an open WebSocket outlives the session');
close $socket;

like(read_until(handshake('/socket'), qr/\r\n\r\n/), qr/^HTTP\/1\.1 302 /, 'without a session the handshake is redirected');

my $stream = handshake('/events', $alice);
like(read_until($stream, qr/data: \S+\n\n/), qr/data: alice\n\n/, 'an event arrives while the response continues');
$t->write_file('go', '');
like(read_until($stream, qr/data: last\n\n/), qr/data: last\n\n/, 'and so does the next');

# Behind another nginx

my $user = browser_at('outer');
$op->clear;
like($user->login('/page?a=b')->{body}, qr{uri=/page\?a=b }, 'behind another nginx a login returns to the page');
is(($op->requests('/token'))[0]{params}{redirect_uri}, base_of('outer') . '/oidc_callback',
    'the redirect URI is that of the outer nginx');
is_deeply([ grep { !/^__Host-/ } map { $_->{name} } $user->cookies ], [], 'the cookies are those of https');
is(scalar(grep { !$_->{secure} } $user->cookies), 0, 'and Secure');

# The tile of a portal

like(login_as('outer', '/?iss=https%3A%2F%2Fexample.okta.com')->{body}, qr{uri=/\?iss=https%3A%2F%2Fexample\.okta\.com },
    'a page that a portal opened comes back with its parameters');

is_deeply([ error_log_lines($t, qr/did not protect/) ], [], 'no recipe has a page without its check');

# A recipe of the page, as a part of http, at a port of this test
sub recipe {
    my ($heading, $name, $which) = @_;

    my @found = grep { $_->{heading} eq $heading } examples_of('docs/recipes.md');
    my $example = $found[ $which // 0 ] or die "no recipe \"$heading\"";
    return at_port(localize($t, $example->{text}), $name);
}

sub at_port {
    my ($text, $name) = @_;
    return $text =~ s/\blisten( +)127\.0\.0\.1:\d+/listen${1}127.0.0.1:$port{$name}/gr;
}

# The server of a recipe once more, at another port
sub only_server {
    my ($text, $name) = @_;
    return at_port($text =~ s/\A.*?^(?=server \{)//msr, $name);
}

sub server_at {
    my ($name, $locations) = @_;
    return "    server {\n        listen      127.0.0.1:$port{$name};\n        server_name localhost;\n\n$locations    }\n";
}

# A provider of the recipe with buttons: it sends no iss, and its user has the same sub as at the other.
sub provider_of {
    my ($name, $port) = @_;

    my ($example) = grep { $_->{text} =~ /oidc_provider $name / } examples_of('docs/recipes.md');
    my ($client) = $example->{text} =~ /oidc_provider $name .*?client_id +(\S+);/s;
    example_file($t, "/etc/nginx/oidc/$name-secret", "secret-of-$name\n");
    return provider($t, $port,
        client_id => $client, client_secret => "secret-of-$name", user => { sub => '1234' },
        callback => { iss => undef }, metadata => { authorization_response_iss_parameter_supported => undef });
}

sub at_our_providers {
    my ($text) = @_;

    $text =~ s{\Q$_->{issuer}\E}{http://127.0.0.1:$_->{port}} for @buttons;
    return $text =~ s/\Ahttp \{\n(.*)^\}\n\z/$1/msr;
}

sub base_of {
    my ($name) = @_;
    return ($name =~ /^(?:buttons|outer)$/ ? 'https' : 'http') . '://localhost:' . port($port{$name});
}

sub browser_at { return browser(base => base_of(shift)) }

sub login_as {
    my ($name, $path, %claims) = @_;

    $op->set(user => { sub => 'alice', %claims });
    return login($path, base => base_of($name));
}

sub is_login {
    my ($answer, $fact) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(($answer->{location} // '') =~ s/\?.*//r, $op->issuer . '/authorize', $fact);
}

sub statuses { return [ map { $_->{status} } @_ ] }

sub password {
    my ($user, $password) = @_;
    return { Authorization => 'Basic ' . encode_base64("$user:$password", '') };
}

# Begins a WebSocket, or an event stream, with the cookies of a browser.
sub handshake {
    my ($path, $browser) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => port($port{streams})) or die "connect: $!";
    $socket->autoflush(1);
    print $socket join "\r\n", "GET $path HTTP/1.1", 'Host: localhost', 'Upgrade: websocket', 'Connection: Upgrade',
        ($browser ? 'Cookie: ' . join '; ', map { "$_->{name}=$_->{value}" } $browser->cookies : ()), '', '';
    return $socket;
}

sub read_until {
    my ($socket, $end) = @_;

    my ($bytes, $last) = ('', time + MAX_WAIT);
    my $select = IO::Select->new($socket);
    while ($bytes !~ $end && time < $last) {
        next unless $select->can_read(1);
        sysread($socket, $bytes, 4096, length $bytes) or last;
    }
    return $bytes;
}

# An application that answers the lines of a WebSocket, and sends two events, the second when the test says so.
sub streams_application {
    my ($port) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => port($port), Listen => 5, ReuseAddr => 1)
        or die "listen: $!";
    my $go = $t->testdir . '/go';

    $t->run_daemon(sub {
        while (my $client = $listen->accept) {
            $client->autoflush(1);
            my ($path, $user) = ('', '');
            while (my $line = <$client>) {
                $path = $1 if $line =~ /^GET (\S+)/;
                $user = $1 if $line =~ /^X-User: (\S+)/i;
                last if $line =~ /^\r?$/;
            }
            if ($path eq '/socket') {
                print $client "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
                while (defined(my $line = <$client>)) {
                    print $client $line =~ s/\n/, and back\n/r;
                }
            }
            else {
                print $client "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: $user\n\n";
                wait_until(sub { -e $go });
                print $client "data: last\n\n";
            }
            close $client;
        }
    });
}
