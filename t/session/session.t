#!/usr/bin/perl

# Tests for sessions in cookies: the cookies they travel in, whom they open for and until when, the keys
# that seal them, and how large they may be. What is the same for every store is in store.t.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Time::HiRes qw/ sleep time /;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite socket_ssl/)->plan(107);

my $op = provider($t, 8081);

certificate_authority($t, 'ca')->issue('nginx');
$ENV{SSL_CERT_FILE} = $t->testdir . '/ca.crt';    # the system's takes long to read, for each provider

my @key = map { "0123456789abcde$_" x 4 } qw/ 1 a f /;
$t->write_file('key', "$key[0]\n");
$t->write_file('rotating', "$key[0]\n");

# Each is at /NAME/, with a cookie NAME and a callback /callback/NAME.
my %provider = (
    plain => '',
    brief => 'session_timeout 2s;',
    twin => 'session_key key;',
    twin2 => 'session_key key;',
    rotating => 'session_key rotating;',
    large => 'session_store cookie; session_claims all;',
    strict => 'cookie_samesite strict;',
    none => 'cookie_samesite none;',
    domain => 'cookie_domain example.com;',
    path => 'cookie_path /path/; redirect_uri /path/callback;',
    __Secure => 'cookie_name __Secure-sid;',
);

my $providers = join '', map { provider_block($_, $provider{$_}) } sort keys %provider;
my $locations = join '', map { "location /$_/ { auth_oidc $_; proxy_pass http://127.0.0.1:8083; }\n" }
    sort keys %provider;

my $conf = <<'EOF' =~ s/%%PROVIDERS%%/$providers/r =~ s/%%LOCATIONS%%/$locations/gr;

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    oidc_state_zone 1m;

    %%PROVIDERS%%

    proxy_set_header X-User $oidc_claim_sub;

    server {
        listen      127.0.0.1:8080;
        server_name localhost;

        add_header X-Error $oidc_error always;

        %%LOCATIONS%%
    }

    server {
        listen      127.0.0.1:8080;
        server_name wide.localhost;

        large_client_header_buffers 4 64k;
        add_header X-Error $oidc_error always;

        %%LOCATIONS%%
    }

    server {
        listen      127.0.0.1:8443 ssl;
        server_name localhost;

        ssl_certificate     nginx.crt;
        ssl_certificate_key nginx.key;

        %%LOCATIONS%%
    }

    server {
        listen 127.0.0.1:8083;
        large_client_header_buffers 4 64k;
        return 200 "user=$http_x_user";
    }
}

EOF

$t->write_file_expand('nginx.conf', $conf);
$t->run();

# The cookie

my $https = 'https://localhost:' . port(8443);
my $wide = 'http://wide.localhost:' . port(8080);
my $example = 'https://app.example.com:' . port(8443);

is(session_cookie('/plain/'), 'Path=/; HttpOnly; SameSite=Lax', 'cookie');
is(session_cookie('/plain/', base => $https), 'Path=/; HttpOnly; SameSite=Lax; Secure', 'cookie on https');
is(session_cookie('/domain/', base => $example),
    'Path=/; Domain=example.com; HttpOnly; SameSite=Lax; Secure', 'cookie_domain');
is(session_cookie('/path/'), 'Path=/path/; HttpOnly; SameSite=Lax', 'cookie_path');
is(session_cookie('/strict/'), 'Path=/; HttpOnly; SameSite=Strict', 'cookie_samesite strict');
is(session_cookie('/none/', base => $https), 'Path=/; HttpOnly; SameSite=None; Secure',
    'cookie_samesite none');
is(session_cookie('/none/'), 'Path=/; HttpOnly; SameSite=None; Secure',
    'cookie_samesite none on http, where browsers drop it without Secure');
is(session_cookie('/__Secure/'), 'Path=/; HttpOnly; SameSite=Lax; Secure', '__Secure- cookie');

my $user = browser();
is($user->login('/plain/')->{body}, 'user=alice', 'logged in');
like($user->cookie('plain'), qr/^[\w-]{100,500}$/, 'sealed, small');
unlike(decode_base64url($user->cookie('plain')), qr/alice|example/, 'and unreadable');

my $path = browser();
is($path->login('/path/')->{body}, 'user=alice', 'cookie_path, logged in');
is_deeply([grep { $_->{path} ne '/path/' } $path->cookies], [], 'cookie_path, of all cookies');

# Strict: a redirect that the provider began would not carry it.

my $strict = browser();
my $res = $strict->login('/strict/page?a=b');
is($res->{status}, 200, 'strict, the callback ends in a page');
is($res->{headers}{refresh}, '0; url=/strict/page?a=b', 'strict, that leads on');
is($res->{headers}{'cache-control'}, 'no-store', 'strict, that is not kept');
unlike($res->{body}, qr/strict|page\?|alice/, 'strict, with nothing of the request in it');
is($strict->get('/strict/page?a=b', from => $res->{url})->{body}, 'user=alice', 'strict, to where it began');
is($strict->get('/strict/page', from => 'http://other.example.com/')->{status}, 302,
    'strict, a link from another site begins a login');
is($strict->get('/strict/page')->{body}, 'user=alice', 'strict, the session goes on');

# No provider

$op->clear;
$user->get('/plain/') for 1 .. 5;
is($op->count, 0, 'a logged-in request asks no provider');
$op->stop;
is($user->get('/plain/')->{body}, 'user=alice', 'nor needs one');
$op->start;

# Until when

my $brief = browser();
my $began = time;
$brief->login('/brief/');
is($brief->get('/brief/')->{status}, 200, 'session_timeout, before');
my $cookie = $brief->cookie('brief');
sleep 0.05 until time > $began + 5 || browser()->get('/brief/', with(brief => $cookie))->{status} == 302;
my $ended = time - $began;
ok($ended > 1 && $ended < 4, 'session_timeout ends the session, whatever the browser does') or diag($ended);
is($brief->login('/brief/')->{body}, 'user=alice', 'session_timeout, a new login');

# For whom

my $twin = browser();
$twin->login('/twin/');
$cookie = $twin->cookie('twin');
is(browser()->get('/twin/', with(twin => $cookie))->{status}, 200, 'the cookie is all of a session');
is(browser()->get('/twin2/', with(twin2 => $cookie))->{status}, 302,
    'session of a provider for another one of the same key, issuer and client_id');

for (['client_id', 'client_id client2;'], ['issuer', 'issuer http://localhost:8081;'],
    ['cookie_name', 'cookie_name another;'])
{
    my ($what, $directive) = @$_;
    my $other = provider_block('twin', "session_key key; $directive");
    $t->write_file_expand('nginx.conf', $conf =~ s/oidc_provider twin \{.*?\n\}\n/$other/sr);
    reload($t);
    isnt(browser()->get('/twin/', with(twin => $cookie, another => $cookie))->{status}, 200,
        "session of another $what, same key");
}

$t->write_file_expand('nginx.conf', $conf);
reload($t);
is(browser()->get('/twin/', with(twin => $cookie))->{status}, 200, 'and of the same ones');

my $begun = browser();
$res = $begun->get('/twin/');
my ($binding) = map { /^\w+_login_[^=]*=([^;]*)/ } @{ $res->{set_cookie} };
is(browser()->get('/twin/', with(twin => $binding))->{status}, 302, 'a login\'s cookie is no session');
is(browser()->get('/twin/', with(twin => query($res->{location})->{state}))->{status}, 302,
    'a state is no session');

# Tampered with

my $seal = decode_base64url($cookie);
log_mark($t);
for my $at (0, 1, 3, 4, 10, 27, 28, 40, length($seal) - 17, length($seal) - 16, length($seal) - 1) {
    my $other = $seal;
    vec($other, $at * 8, 1) ^= 1;
    refused($t, "byte $at", encode_base64url($other));
}

refused($t, @$_) for (
    ['empty', ''],
    ['one byte', 'A'],
    ['two bytes', 'AA'],
    ['half', substr $cookie, 0, length($cookie) / 2],
    ['one character less', substr $cookie, 0, -1],
    ['one byte less', encode_base64url(substr $seal, 0, -1)],
    ['one byte more', encode_base64url("$seal\0")],
    ['first byte gone', encode_base64url(substr $seal, 1)],
    ['padded', "$cookie="],
    ['in quotes', "\"$cookie\""],
    ['base64', $cookie =~ tr/-_/+\//r . '+'],
    ['a space in it', substr($cookie, 0, 9) . ' ' . substr $cookie, 9],
    ['twice', $cookie x 2],
    ['chunks announced', "2.$cookie"],
    ['no chunk announced', "1.$cookie"],
    ['nine chunks announced', "9.$cookie"],
    ['very many chunks announced', "99999999999999.$cookie"],
    ['nothing but a number', '3.'],
    ['zeros', 'A' x 400],
    ['long', 'A' x 5000],
    ['a JWT', jwt_make({ sub => 'eve', iss => $op->issuer, aud => 'client', exp => 4e9, iat => 1 })],
    ['JSON', '{"sub":"eve"}'],
    ['bytes', "\xff\xfe\x01"],
);
is(join("\n", error_log_lines($t, qr/\[(?:error|warn|crit|alert)\]/)), '', 'nothing of these is logged');

# Keys

$op->set(user => { sub => 'bob' });
my $bob = browser();
$bob->login('/rotating/');
my $halfway = browser();
my $page = $halfway->get('/rotating/');
$op->reset;

$t->write_file('rotating', "$key[1]\n$key[0]\n");
reload($t);
is($bob->get('/rotating/')->{body}, 'user=bob', 'a new first key, sessions of the old one go on');
is(follow_all($halfway, $page)->{body}, 'user=alice', 'a new first key, logins under way go on');
my $new = browser();
$new->login('/rotating/');

$t->write_file('rotating', "$key[1]\n");
reload($t);
is($new->get('/rotating/')->{body}, 'user=alice', 'a key removed, sessions of the first one go on');
is($bob->get('/rotating/')->{status}, 302, 'a key removed, its sessions end');
is($bob->login('/rotating/')->{body}, 'user=alice', 'a key removed, a new login');
is($user->get('/plain/')->{body}, 'user=alice', 'the key made at start is kept over reloads');

my $slow = browser();
$page = $slow->get('/plain/');
$t->write_file_expand('nginx.conf', $conf =~ s/oidc_state_zone 1m/oidc_state_zone 2m/r);
reload($t);
is($user->get('/plain/')->{body}, 'user=alice', 'the key made at start is kept over a new size of the zone');
is(follow_all($slow, $page)->{body}, 'user=alice', 'logins under way, too');

$t->stop();
$t->run();
is($user->get('/plain/')->{status}, 302, 'the key made at start ends with nginx');
is($twin->get('/twin/')->{body}, 'user=alice', 'a session_key does not');

# What the configuration uses

$t->write_file_expand('nginx.conf', $conf =~ s/(X-User) \$oidc_claim_sub/$1 \$oidc_claim_sub\$oidc_claim_name/r);
$twin->login('/twin/');
reload($t);
is($twin->get('/twin/')->{status}, 302, 'a session without a claim that is used by now: a new login');
is($twin->login('/twin/')->{body}, 'user=aliceAlice Liddell', 'which brings it');
$t->write_file_expand('nginx.conf', $conf);
reload($t);

# Size

my $large = large(browser(), $op, 3500);
my @chunks = grep { $_->{name} =~ /^large(?:\.\d)?$/ } $large->cookies;
is(join(' ', map { $_->{name} } @chunks), 'large large.1', 'a large session comes in two cookies')
    or diag(error_log_lines($t, qr/oidc:/));
is(scalar(grep { length("$_->{name}=$_->{value}") > 4096 } @chunks), 0, 'which browsers take');
is($large->get('/large/')->{body}, 'user=alice', 'and opens');

my ($first, $second) = map { $_->{value} } @chunks;
my %cookie = ('large' => $first, 'large.1' => $second);
is(browser()->get('/large/', with(%cookie))->{body}, 'user=alice', 'in chunks');
is(browser()->get('/large/', with(large => $first))->{status}, 302, 'the second chunk is missing');
is(browser()->get('/large/', with('large.1' => $second))->{status}, 302, 'the first chunk is missing');
is(browser()->get('/large/', with(%cookie, 'large' => $second, 'large.1' => $first))->{status}, 302,
    'chunks exchanged');
is(browser()->get('/large/', with(%cookie, 'large.1' => substr $second, 1))->{status}, 302,
    'a chunk cut short');
is(browser()->get('/large/', with(%cookie, 'large.1' => ''))->{status}, 302, 'a chunk empty');
is(browser()->get('/large/', with(%cookie, 'large' => substr $first, 2))->{status}, 302, 'no number');
is(browser()->get('/large/', with(%cookie, 'large' => '3' . substr $first, 1))->{status}, 302,
    'a larger number');
is(browser()->get('/large/', with(%cookie, 'large.2' => 'left over'))->{body}, 'user=alice',
    'a chunk too many');

my $second_large = large(browser(), $op, 3500);
is(browser()->get('/large/', with(%cookie, 'large.1' => $second_large->cookie('large.1')))->{status}, 302,
    'a chunk of another session');

$second_large->forget('large');
$res = $second_large->login('/large/');
is($res->{body}, 'user=alice', 'a small session after a large one');
is(join(' ', map { $_->{name} } grep { $_->{name} =~ /^large/ && $_->{name} !~ /login/ } $second_large->cookies),
    'large', 'clears the chunks of that');

# As much as one line of a request may be by default, together with cookies of the application.
my $full = browser();
$full->set_cookie('application=' . 'x' x 1500 . '; Path=/');
large($full, $op, 4100);
is($full->get('/large/')->{body}, 'user=alice', 'the largest session that fits');

log_mark($t);
my $too_large = browser();
$res = too_large($too_large, $op, '/large/', 6500);
is($res->{status}, 500, 'too large a session');
ok(!(grep { $_->{name} =~ /^large(?:\.\d)?$/ } $too_large->cookies), 'too large a session, no cookie');
is($res->{headers}{'x-error'}, 'session_too_large', 'too large a session, $oidc_error');
is($res->{headers}{'cache-control'}, 'no-store', 'too large a session, not kept');
ok(log_has($t, qr/\[error\].* oidc: session needs \d{4} bytes of cookies, .*large_client_header_buffers /
    . qr/.*allow 6144 while handling the callback, provider "large"/), 'too large a session, logged');
is($too_large->get('/large/')->{status}, 302, 'too large a session, the next request is none with too much');

my $wider = large(browser(base => $wide), $op, 12_000);
is($wider->get('/large/')->{body}, 'user=alice', 'large_client_header_buffers raises the limit');
$wider = large(browser(base => $wide), $op, 24_000);
is($wider->get('/large/')->{body}, 'user=alice', 'as far as nine cookies');

log_mark($t);
$res = too_large(browser(base => $wide), $op, '/large/', 26_000);
is($res->{status}, 500, 'beyond nine cookies');
ok(log_has($t, qr/oidc: session needs \d{5} bytes of cookies, .* \d{5} while handling the callback/),
    'beyond nine cookies, logged');
my ($needs, $leaves) = join('', error_log_lines($t, qr/session needs/)) =~ /needs (\d+) .*?(\d+) while/;
cmp_ok($needs // 0, '>', $leaves // 0, 'beyond nine cookies, the sentence names the limit that was met');

# ------------------------------------------------------------------------------------------------------

sub provider_block {
    my ($name, $directives) = @_;

    my %right = (issuer => 'http://127.0.0.1:8081', client_id => 'client', cookie_name => $name,
        client_secret => 'secret-of-at-least-thirty-two-bytes', redirect_uri => "/callback/$name");
    my $right = join ' ', map { "$_ $right{$_};" } grep { $directives !~ /\b$_\b/ } sort keys %right;

    return "oidc_provider $name {\n$right $directives\n}\n";
}

# The attributes of a session's cookie.
sub session_cookie {
    my ($page, %options) = @_;

    my $browser = browser(%options);
    my $answer = $browser->get($page);
    $answer = $browser->follow($answer) for 1 .. 2;

    my ($attributes) = map { /^(?!\S+_login_)[^;]*; (.*)/ } @{ $answer->{set_cookie} };
    return $attributes // "none, status $answer->{status}";
}

# Headers with these cookies.
sub with {
    my (%cookies) = @_;

    return (headers => { Cookie => join '; ', map { "$_=$cookies{$_}" } sort keys %cookies });
}

sub refused {
    my ($t, $name, $value) = @_;

    is(browser()->get('/twin/', with(twin => $value))->{status}, 302, "tampered with: $name");
}

sub follow_all {
    my ($browser, $answer) = @_;

    $answer = $browser->follow($answer) while $answer->{status} == 302;
    return $answer;
}

# Logs a browser in with so many bytes of claims.
sub large {
    my ($browser, $op, $size) = @_;

    too_large($browser, $op, '/large/', $size);
    return $browser;
}

sub too_large {
    my ($browser, $op, $page, $size) = @_;

    $op->set(id_token => { claims => { filler => 'x' x $size } });
    my $answer = $browser->login($page);
    $op->reset;
    return $answer;
}

# Until the old worker takes no more requests.
sub reload {
    my ($t) = @_;

    log_mark($t);
    $t->reload;
    for (1 .. 500) {
        last if error_log_lines($t, qr/gracefully shutting down/);
        sleep 0.02;
    }
}
