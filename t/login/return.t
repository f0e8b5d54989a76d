#!/usr/bin/perl

# Tests for where a finished login goes: the very URL that was asked for, and never another host.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite/)->plan(103);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    oidc_provider my_idp {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
    }

    oidc_provider domain {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        redirect_uri  http://localhost:%%PORT_8080%%/cb;
        cookie_domain localhost;
        cookie_name   domain;
    }

    oidc_provider strict {
        issuer          http://127.0.0.1:8081;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        cookie_samesite strict;
        cookie_name     strict;
    }

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
    '/a?state=x&code=y', '/oidc_callback/', '/~a', '/.a', '/@evil.example.com', '/a?' . 'x' x 3000)
{
    is(location_after($target), $target, 'back to ' . printable($target));
}

for my $length (1023, 1024, 1025, 4095, 4096) {
    my $target = of_length($length);
    is(location_after($target), $target, "back to $length bytes");
}

is(location_after(of_length(4097)), '/page', 'more come back to their path');
is(location_after('/' . 'x' x 2000 . '?' . 'y' x 3000), '/', 'or to the start if that is long, too');
is(location_after('/' . 'x' x 4095), '/' . 'x' x 4095, 'a long path');

# what would name another host

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
    is(location_after($target), $location, 'asked for ' . printable($target));
}

my @bytes = (0x01 .. 0x2f, 0x3a .. 0x40, 0x5b .. 0x60, 0x7b .. 0x80, 0x85, 0xa0, 0xad, 0xc2, 0xef, 0xff);

is(other_places(map { '/' . chr($_) . '/evil.example.com' } @bytes), '',
    'no byte behind the first slash');
is(other_places(map { sprintf '/%%%02X/evil.example.com', $_ } 0, @bytes), '', 'nor an encoded one');
is(other_places('/.//evil.example.com', '/..//evil.example.com', '/./\evil.example.com',
    '/%2e//evil.example.com', "/\t//evil.example.com", "/\r/x", '/#//evil.example.com', '/a#b', '*',
    'page', 'javascript:alert(1)', 'https:evil.example.com', 'http:///evil.example.com'), '',
    'nor anything else');

# a callback on another host

my $www = "http://www.localhost:$port";

for my $case (['/page?x' => '/page?x'], ['//evil.example.com' => '/evil.example.com'],
    ['/\evil.example.com' => '/evil.example.com'], ['/@evil.example.com' => '/@evil.example.com'],
    ['/.evil.example.com' => '/.evil.example.com'], ['/' . 'x' x 2000 => '/' . 'x' x 2000],
    ["http://www.localhost:$port/page" => '/page'])
{
    my ($target, $path) = @$case;
    is(location_after($target, base => $www), "$www$path",
        'from another host back to ' . printable($target));
}

# what else a request may say

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
    'nor the end of a login');

$browser = browser();
$callback = $browser->follow($browser->get('/page'))->{location};
$op->clear;
is($browser->get($callback, headers => { Host => 'evil.example.com' })->{headers}{location}, '/page',
    'another host at the callback does not, either');
is(($op->requests('/token'))[0]{params}{redirect_uri}, "http://localhost:$port/oidc_callback",
    'and redirect_uri stays what it was');

$browser = browser(base => $www);
$callback = $browser->follow($browser->get('/page'))->{location};
is($browser->get($callback, headers => { Host => 'evil.example.com' })->{headers}{location},
    "$www/page", 'also where it is on another host');

for my $host ('evil.example.com/', 'evil.example.com@localhost', 'localhost#x', 'a b', '[::1', ':80',
    "\xe4", '"', 'localhost:99999', 'localhost:x')
{
    is(ask(browser(), '/page', headers => { Host => $host })->{status}, 400,
        'no such host ' . printable($host));
}

# methods

$browser = browser();
my $res = $browser->post('/form?a=b', { secret => 'x' });
is($res->{status}, 302, 'POST');
unlike($res->{headers}{location}, qr/secret/, 'whose body stays behind');
$res = $browser->follow($browser->follow($res));
is($res->{headers}{location}, '/form?a=b', 'returns to its page');
is($res->{status}, 302, 'with GET');
is($browser->follow($res)->{method}, 'GET', 'logged in');

# where a strict cookie forbids a redirect

$browser = browser();
$res = $browser->follow($browser->follow($browser->get(q{/strict?a=1;b="'<>&c=%20})));
is($res->{status}, 200, 'a page leads on');
is($res->{headers}{refresh}, q{0; url=/strict?a=1;b="'<>&c=%20}, 'to the very URL');
is($res->{headers}{location}, undef, 'not by a redirect');
unlike($res->{body}, qr/strict/, 'which it does not show');

# The raw Location header that ends the login of a browser that asked for a target; "" when nginx
# refused the target.
sub location_after {
    my ($target, %options) = @_;

    my $browser = browser(%options);
    my $answer = ask($browser, $target);
    return '' if $answer->{status} != 302;

    # which browsers send nowhere else
    my $callback = $browser->follow($answer)->{location} =~ s{^http://evil\.example\.com}{$browser->{base}}r;
    return $browser->get($callback)->{headers}{location};
}

# A request whose target goes out byte for byte.
sub ask {
    my ($browser, $target, %options) = @_;

    my ($host) = $browser->{base} =~ m{//(.*)};
    $host = $options{headers}{Host} // $host;

    my $answer = $browser->raw("GET $target HTTP/1.1\r\nHost: $host\r\nConnection: close\r\n\r\n");
    $browser->set_cookie($_) for @{ $answer->{set_cookie} };
    return $answer;
}

# Of targets, those that end anywhere but on the host that was asked: a browser drops tabs and line
# breaks, and takes a backslash for a slash.
sub other_places {
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
