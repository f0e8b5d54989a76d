#!/usr/bin/perl

# Tests for several tabs of one browser: logins that begin together and end in any order, or never.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use List::Util qw/ max shuffle sum0 /;

use Test::OIDC;
use Test::OIDC::Site qw/ default_provider http_conf /;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(34);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', http_conf(default_provider('my_idp'), <<'EOF'));
    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            auth_oidc  my_idp;
            proxy_pass http://127.0.0.1:8082;
        }
    }

    server {
        listen       127.0.0.1:8082;
        server_name  localhost;

        return 200 $request_uri;
    }
EOF

$t->run();

# twenty at once

my $browser = browser();
my @pages = map { "/page/$_?tab=$_" } 1 .. 20;
my %callback = begin_at_once($browser, @pages);

my @logins = login_cookies($browser);
is(@logins, 20, 'tabs that start at once have a cookie each');
cmp_ok(header_size($browser), '<', 2048, 'tabs that start at once have small cookies');

is(wrong_ends($browser, %callback), '', 'tabs that start at once end at their own pages');
is($op->count('/token'), 20, 'tabs that start at once use a code each');
is($browser->get('/page')->{status}, 200, 'tabs that start at once: logged in');

$browser->forget('NGX_OIDC_SESSION');
%callback = begin_at_once($browser, @pages);
is_deeply([login_cookies($browser)], [@logins], 'twenty more have the same cookies');
is(wrong_ends($browser, %callback), '', 'twenty more end at their own pages');

# a browser with a login cookie

$browser = browser();
$browser->login('/page');
$browser->forget('NGX_OIDC_SESSION');
%callback = begin_at_once($browser, @pages);
is(login_cookies($browser), 1, 'twenty tabs of a browser with a login cookie share it');
is(wrong_ends($browser, %callback), '', 'twenty tabs of a browser with a login cookie end at their own pages');

# abandoned

$browser = browser();
my ($res, $size);
for my $number (1 .. 100) {
    $res = $browser->get("/page/$number");
    $size = max $size // 0, header_size($browser);
}
is($res->{status}, 302, 'a hundred logins, one after the other');
is(login_cookies($browser), 1, 'a hundred logins leave one cookie');
cmp_ok($size, '<', 100, 'a hundred logins leave a small cookie');
is($browser->login('/page')->{status}, 200, 'a hundred logins: the next one succeeds');

for my $number (1 .. 20) {
    $res = $browser->forget('NGX_OIDC_SESSION')->get("/page/$number?" . 'x' x 3000);
    $size = max $size, header_size($browser);
}
is($res->{status}, 302, 'twenty logins with long URLs');
cmp_ok($size, '<', 4608, 'twenty logins with long URLs keep one of them');
is($browser->login('/page')->{status}, 200, 'twenty logins with long URLs: the next one succeeds');

# during another login

$browser = browser();
my $first = begin($browser, '/first');
$res = $browser->login('/second');
is($res->{body}, '/second', 'a login while another waits');
is($browser->get($first)->{headers}{location}, '/first', 'the login that waits ends at its page');

$browser = browser();
$first = begin($browser, '/first?' . 'x' x 2000);
my $second = begin($browser, '/second?' . 'y' x 2000);
is($browser->get($second)->{headers}{location}, '/second?' . 'y' x 2000, 'long URLs: the last one');
is($browser->get($first)->{headers}{location}, '/first', 'long URLs: the path of the one before');

$browser = browser();
$first = begin($browser, '/first');
begin($browser, '/second') for 1 .. 3;
is($browser->get($first)->{headers}{location}, '/first', 'the first of some that are abandoned');
is($browser->get('/')->{status}, 200, 'the first of some that are abandoned: logged in');

# a slow provider

$browser = browser();
$first = begin($browser, '/first');
$op->clear->set(respond => {'/token' => {hold => 1}});
my $waiting = $browser->start($first);
$op->wait_for('/token', 1);
$op->reset;
$second = begin($browser, '/second');
is($browser->get($second)->{headers}{location}, '/second', 'a login while another exchanges its code');
is($browser->finish($waiting)->{headers}{location}, '/first', 'the login that exchanges its code ends at its page');
is($browser->get('/')->{status}, 200, 'a slow provider: logged in');

# nginx accepts 8 kB of cookies by default; 2 kB are for others.
for my $case ([100, 'x'], [2, 'x' x 3000], [20, 'x' x 3000]) {
    my ($number, $query) = @$case;
    my $what = "$number tabs with a query of " . length $query;

    $browser = browser();
    begin_at_once($browser, map { "/page/$_?$query" } 1 .. $number);
    $res = $browser->login('/one_more');
    is($res->{body}, '/one_more', "$what: the next login");
    $browser->forget('NGX_OIDC_SESSION')->login('/page');    # each login deletes some of the cookies
    cmp_ok(header_size($browser), '<', 6144, "$what: bytes of cookies");
    cmp_ok(login_cookies($browser), '<=', 25, "$what: number of cookies");
}

# The callbacks, by page, of logins that all begin before the first response.
sub begin_at_once {
    my ($browser, @pages) = @_;

    my @requests = map { $browser->start($_) } @pages;
    my @answers = map { $browser->finish($_) } @requests;
    return map { $pages[$_] => $browser->follow($answers[$_])->{location} } 0 .. $#pages;
}

sub begin {
    my ($browser, $page) = @_;

    return $browser->follow($browser->get($page))->{location};
}

# Ends logins in any order; the pages of those that end at another page.
sub wrong_ends {
    my ($browser, %callback) = @_;

    my @wrong;
    for my $page (shuffle keys %callback) {
        my $body = $browser->follow($browser->get($callback{$page}))->{body};
        push @wrong, "$page: $body" if $body ne $page;
    }
    return "@wrong";
}

sub login_cookies {
    my ($browser) = @_;

    my @names = sort grep { /_login_(?!rounds$)/ } map { $_->{name} } $browser->cookies;
    return @names;
}

# Bytes of the Cookie header.
sub header_size {
    my ($browser) = @_;

    return sum0 map { length("$_->{name}=$_->{value}; ") } $browser->cookies;
}
