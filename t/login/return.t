#!/usr/bin/perl

# Tests for the redirect after a login: to exactly the requested URL, and never to another host.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site qw/ default_provider http_conf oidc_provider /;

my $t = Test::Nginx->new()->has(qw/http rewrite/)->plan(103);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', http_conf(
    default_provider('my_idp'),
    oidc_provider('domain', 'cookie_domain localhost', redirect_uri => 'http://localhost:%%PORT_8080%%/cb'),
    default_provider('strict', 'cookie_samesite strict; cookie_name strict'),
    <<'EOF'));
    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        auth_oidc    my_idp;

        location /strict { auth_oidc strict; }
        location = /cb   { auth_oidc domain; }
    }

    server {
        listen       127.0.0.1:8080;
        server_name  www.localhost;

        auth_oidc    domain;
    }
EOF

$t->run();

my $port = port(8080);

# byte for byte

for my $target (
    '/', '/page', '/a/b/', '/a%20b', '/a%25b', '/a%2Fb', '/a%2fb', '/a+b', '/a;b=c', '/a,b', '/a:b@c',
    q{/a'b"c}, '/a<b>', '/{a}|^`', '/a\b', "/\xc3\xa4", '/%C3%A4', "/\xe4", '/a//b', '/a/./b', '/a/../b',
    '/a/%2e%2E/b', '/%5Cevil.example.com', '/%2F%2Fevil.example.com', '/a%09b', '/a%0D%0Ab', '/%0D%0A',
    '/a?', '/a?b', '/a?b=c&d=%26', '/a?b=%zz', '/a?b=c%0D%0ASet-Cookie:d', '/a??', '/a?b?c',
    '/a?//evil.example.com', '/a?u=http://evil.example.com/', "/a?\xc3\xa4=\"'<>\\^`{|}", '/?', '/?a',
    '/a?state=x&code=y', '/oidc_callback/', '/~a', '/.a', '/@evil.example.com', '/a?' . 'x' x 1700)
{
    is(location_after($target), $target, 'back to ' . printable($target));
}

for my $length (1023, 1024, 1025, 1750, 1800) {
    my $target = of_length($length);
    is(location_after($target), $target, "back to $length bytes");
}

is(location_after(of_length(2500)), '/page', '2500 bytes: back to the path');
is(location_after('/' . 'x' x 2000 . '?' . 'y' x 3000), '/', '5000 bytes with a long path: back to /');
is(location_after('/' . 'x' x 1799), '/' . 'x' x 1799, 'a long path');

# targets that would name another host

for my $case (
    ['//evil.example.com/x' => '/evil.example.com/x'],
    ['///evil.example.com' => '/evil.example.com'],
    ['/\evil.example.com' => '/evil.example.com'],
    ['/\/evil.example.com' => '/evil.example.com'],
    ['//\evil.example.com' => '/evil.example.com'],
    ['/\\\\evil.example.com' => '/evil.example.com'],
    ['//evil.example.com//x?//y' => '/evil.example.com//x?//y'],
    ['//' => '/'],
    ['/\\' => '/'],
    ['//?x' => '/?x'],
    ["http://localhost:$port/page?x" => '/page?x'],
    ['http://evil.example.com/page' => '/page'],
    ['http://evil.example.com' => '/'],
    ['http://evil.example.com?x' => '/?x'],
    ['http://evil.example.com//evil.example.com/x' => '/evil.example.com/x'],
    ['http://evil.example.com/\evil.example.com/x' => '/evil.example.com/x'])
{
    my ($target, $location) = @$case;
    is(location_after($target), $location, 'requested ' . printable($target));
}

my @bytes = (0x01 .. 0x2f, 0x3a .. 0x40, 0x5b .. 0x60, 0x7b .. 0x80, 0x85, 0xa0, 0xad, 0xc2, 0xef, 0xff);

is(other_hosts(map { '/' . chr($_) . '/evil.example.com' } @bytes), '',
    'no byte after the first slash leads to another host');
is(other_hosts(map { sprintf '/%%%02X/evil.example.com', $_ } 0, @bytes), '', 'no encoded byte leads to another host');
is(other_hosts('/.//evil.example.com', '/..//evil.example.com', '/./\evil.example.com',
    '/%2e//evil.example.com', "/\t//evil.example.com", "/\r/x", '/#//evil.example.com', '/a#b', '*',
    'page', 'javascript:alert(1)', 'https:evil.example.com', 'http:///evil.example.com'), '',
    'no other form leads to another host');

# a callback on another host

my $www = "http://www.localhost:$port";

for my $case (['/page?x' => '/page?x'], ['//evil.example.com' => '/evil.example.com'],
    ['/\evil.example.com' => '/evil.example.com'], ['/@evil.example.com' => '/@evil.example.com'],
    ['/.evil.example.com' => '/.evil.example.com'], ['/' . 'x' x 1700 => '/' . 'x' x 1700],
    ["http://www.localhost:$port/page" => '/page'])
{
    my ($target, $path) = @$case;
    is(location_after($target, base => $www), "$www$path",
        'from another host back to ' . printable($target));
}

# forged headers

my %forged = (
    'Forwarded' => 'host=evil.example.com;proto=https', 'X-Forwarded-Host' => 'evil.example.com',
    'X-Forwarded-Proto' => 'https', 'X-Forwarded-Port' => 444, 'X-Host' => 'evil.example.com',
    'X-Original-URL' => '//evil.example.com', 'X-Rewrite-URL' => '//evil.example.com',
    'Origin' => 'https://evil.example.com', 'Referer' => 'https://evil.example.com/');

my $browser = browser();
my $answer = $browser->get('/page', headers => \%forged);
is(query($answer->{location})->{redirect_uri}, "http://localhost:$port/oidc_callback",
    'forged headers do not change redirect_uri');

my $callback = $browser->follow($answer)->{location};
is($browser->get($callback, headers => \%forged)->{headers}{location}, '/page',
    'forged headers do not change the end of a login');

$browser = browser();
$callback = $browser->follow($browser->get('/page'))->{location};
$op->clear;
is($browser->get($callback, headers => { Host => 'evil.example.com' })->{headers}{location}, '/page',
    'another Host at the callback does not change the end of a login');
is(($op->requests('/token'))[0]{params}{redirect_uri}, "http://localhost:$port/oidc_callback",
    'another Host at the callback does not change redirect_uri');

$browser = browser(base => $www);
$callback = $browser->follow($browser->get('/page'))->{location};
is($browser->get($callback, headers => { Host => 'evil.example.com' })->{headers}{location},
    "$www/page", 'another Host at a callback of another host does not change the end of a login');

for my $host ('evil.example.com/', 'evil.example.com@localhost', 'localhost#x', 'a b', '[::1', ':80',
    "\xe4", '"', 'localhost:99999', 'localhost:x')
{
    is(send_target(browser(), '/page', headers => { Host => $host })->{status}, 400,
        'invalid Host ' . printable($host));
}

# methods

$browser = browser();
my $res = $browser->post('/form?a=b', { secret => 'x' });
is($res->{status}, 302, 'POST: 302');
unlike($res->{headers}{location}, qr/secret/, 'POST: the body is not in the redirect');
$res = $browser->follow($browser->follow($res));
is($res->{headers}{location}, '/form?a=b', 'POST: the login returns to the page');
is($res->{status}, 302, 'POST: by a redirect');
is($browser->follow($res)->{method}, 'GET', 'POST: with GET');

# a page instead of the redirect, for strict cookies

$browser = browser();
$res = $browser->follow($browser->follow($browser->get(q{/strict?a=1;b="'<>&c=%20})));
is($res->{status}, 200, 'cookie_samesite strict: 200');
is($res->{headers}{refresh}, q{0; url=/strict?a=1;b="'<>&c=%20}, 'cookie_samesite strict: Refresh to the exact URL');
is($res->{headers}{location}, undef, 'cookie_samesite strict: no Location');
unlike($res->{body}, qr/strict/, 'cookie_samesite strict: the page does not show the URL');

# The raw Location header that ends the login of a browser that requested the target; "" if nginx refused
# the target.
sub location_after {
    my ($target, %options) = @_;

    my $browser = browser(%options);
    my $answer = send_target($browser, $target);
    return '' if $answer->{status} != 302;

    # a real browser would not follow this to another host
    my $callback = $browser->follow($answer)->{location} =~ s{^http://evil\.example\.com}{$browser->{base}}r;
    return $browser->get($callback)->{headers}{location};
}

# A request whose target is sent byte for byte.
sub send_target {
    my ($browser, $target, %options) = @_;

    my ($host) = $browser->{base} =~ m{//(.*)};
    $host = $options{headers}{Host} // $host;

    my $answer = $browser->raw("GET $target HTTP/1.1\r\nHost: $host\r\nConnection: close\r\n\r\n");
    $browser->set_cookie($_) for @{ $answer->{set_cookie} };
    return $answer;
}

# The targets that end on another host: browsers drop tabs and line breaks, and take a backslash for a
# slash.
sub other_hosts {
    my @wrong;
    for my $target (@_) {
        my $location = location_after($target);
        next if $location eq '' || $location =~ m{^/(?![/\\])[^\x00-\x20\x7f]*$};
        push @wrong, printable($target) . ' ends at ' . printable($location);
    }
    return join "\n", @wrong;
}

sub of_length {
    my ($length) = @_;

    return '/page?' . 'x' x ($length - 6);
}

sub printable {
    my ($text) = @_;

    $text =~ s/([^\x20-\x7e])/sprintf '\\x%02x', ord $1/ge;
    return length $text > 60 ? substr($text, 0, 50) . '... of ' . length $text : $text;
}
