#!/usr/bin/perl

# Tests for sessions in cookies: the cookies, which providers accept them, when they expire, the keys that seal them,
# and their size. store.t tests what is the same for every store.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC::Clock;

use Test::OIDC;
use Test::OIDC::Site qw/ http_conf /;
use Test::OIDC::Wait qw/ reload /;

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite socket_ssl/);
my $clock = Test::OIDC::Clock->new($t);
$t->plan(107);

my $op = provider($t, 8081);
$clock->follow($op);

certificate_authority($t, 'ca')->issue('nginx');
$ENV{SSL_CERT_FILE} = $t->testdir . '/ca.crt';    # reading the system's for each provider is slow

my @key = map { "0123456789abcde$_" x 4 } qw/ 1 a f /;
$t->write_file('key', "$key[0]\n");
$t->write_file('rotating', "$key[0]\n");

# The location /NAME/ needs a login with provider NAME: session cookie NAME, callback /callback/NAME.
my %provider = (
    plain => '',
    brief => 'session_timeout 1h;',
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

my $conf = http_conf(<<'EOF' =~ s/%%PROVIDERS%%/$providers/r =~ s/%%LOCATIONS%%/$locations/gr);
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
EOF

$t->write_file_expand('nginx.conf', $conf);
$t->run();

# The cookie

my $https = 'https://localhost:' . port(8443);
my $wide = 'http://wide.localhost:' . port(8080);
my $example = 'https://app.example.com:' . port(8443);

is(session_cookie('/plain/'), 'Path=/; HttpOnly; SameSite=Lax', 'the session cookie on http');
is(session_cookie('/plain/', base => $https), 'Path=/; HttpOnly; SameSite=Lax; Secure',
    'the session cookie on https');
is(session_cookie('/domain/', base => $example),
    'Path=/; Domain=example.com; HttpOnly; SameSite=Lax; Secure', 'cookie_domain');
is(session_cookie('/path/'), 'Path=/path/; HttpOnly; SameSite=Lax', 'cookie_path');
is(session_cookie('/strict/'), 'Path=/; HttpOnly; SameSite=Strict', 'cookie_samesite strict');
is(session_cookie('/none/', base => $https), 'Path=/; HttpOnly; SameSite=None; Secure',
    'cookie_samesite none');
is(session_cookie('/none/'), 'Path=/; HttpOnly; SameSite=None; Secure',
    'cookie_samesite none on http: Secure is set, or browsers would drop the cookie');
is(session_cookie('/__Secure/'), 'Path=/; HttpOnly; SameSite=Lax; Secure', '__Secure- cookie');

my $user = browser();
is($user->login('/plain/')->{body}, 'user=alice', 'a login succeeds');
like($user->cookie('plain'), qr/^[\w-]{100,500}$/, 'the session cookie is sealed and small');
unlike(decode_base64url($user->cookie('plain')), qr/alice|example/, 'the session cookie is not readable');

my $path = browser();
is($path->login('/path/')->{body}, 'user=alice', 'cookie_path: a login succeeds');
is_deeply([grep { $_->{path} ne '/path/' } $path->cookies], [], 'cookie_path: all cookies have it');

# With SameSite=Strict, the browser would not send the cookie after a redirect chain started by the provider.

my $strict = browser();
my $res = $strict->login('/strict/page?a=b');
is($res->{status}, 200, 'strict: the callback responds with a page');
is($res->{headers}{refresh}, '0; url=/strict/page?a=b', 'strict: that page leads to the requested page');
is($res->{headers}{'cache-control'}, 'no-store', 'strict: that page is not stored');
unlike($res->{body}, qr/strict|page\?|alice/, 'strict: that page contains nothing of the request');
is($strict->get('/strict/page?a=b', from => $res->{url})->{body}, 'user=alice',
    'strict: the requested page opens from there');
is($strict->get('/strict/page', from => 'http://other.example.com/')->{status}, 302,
    'strict: a link from another site starts a login');
is($strict->get('/strict/page')->{body}, 'user=alice', 'strict: the session continues');

# A session needs no provider.

$op->clear;
$user->get('/plain/') for 1 .. 5;
is($op->count, 0, 'a request with a session sends no request to the provider');
$op->stop;
is($user->get('/plain/')->{body}, 'user=alice', 'a request with a session succeeds while the provider is down');
$op->start;

# Expiry

my $brief = browser();
$clock->freeze;
$brief->login('/brief/');
my $cookie = $brief->cookie('brief');
$clock->advance(3599);
is($brief->get('/brief/')->{status}, 200, 'session_timeout: the session is valid before it');
$clock->advance(1);
is(browser()->get('/brief/', with(brief => $cookie))->{status}, 302,
    'session_timeout: the session ends even if the browser keeps the cookie');
$clock->unfreeze;
is($brief->login('/brief/')->{body}, 'user=alice', 'session_timeout: a new login succeeds');

# Which provider accepts the cookie

my $twin = browser();
$twin->login('/twin/');
$cookie = $twin->cookie('twin');
is(browser()->get('/twin/', with(twin => $cookie))->{status}, 200, 'a session needs only its cookie');
is(browser()->get('/twin2/', with(twin2 => $cookie))->{status}, 302,
    'a session of another provider with the same key, issuer and client_id is refused');

for (['client_id', 'client_id client2;'], ['issuer', 'issuer http://localhost:8081;'],
    ['cookie_name', 'cookie_name another;'])
{
    my ($what, $directive) = @$_;
    my $other = provider_block('twin', "session_key key; $directive");
    $t->write_file_expand('nginx.conf', $conf =~ s/oidc_provider twin \{.*?\n\}\n/$other/sr);
    reload($t);
    isnt(browser()->get('/twin/', with(twin => $cookie, another => $cookie))->{status}, 200,
        "a session of another $what with the same key is refused");
}

$t->write_file_expand('nginx.conf', $conf);
reload($t);
is(browser()->get('/twin/', with(twin => $cookie))->{status}, 200,
    'a session of the same provider is accepted after a reload');

my $begun = browser();
$res = $begun->get('/twin/');
my ($login_cookie) = map { /^\w+_login_[^=]*=([^;]*)/ } @{ $res->{set_cookie} };
is(browser()->get('/twin/', with(twin => $login_cookie))->{status}, 302, 'a login cookie is refused as a session');
is(browser()->get('/twin/', with(twin => query($res->{location})->{state}))->{status}, 302,
    'a state is refused as a session');

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
is(join("\n", error_log_lines($t, qr/\[(?:error|warn|crit|alert)\]/)), '', 'nothing is logged for these cookies');

# Keys

$op->set(user => { sub => 'bob' });
my $bob = browser();
$bob->login('/rotating/');
my $halfway = browser();
my $page = $halfway->get('/rotating/');
$op->reset;

$t->write_file('rotating', "$key[1]\n$key[0]\n");
reload($t);
is($bob->get('/rotating/')->{body}, 'user=bob', 'a new first key: sessions sealed with the old one continue');
is(follow_all($halfway, $page)->{body}, 'user=alice', 'a new first key: a login that was under way succeeds');
my $new = browser();
$new->login('/rotating/');

$t->write_file('rotating', "$key[1]\n");
reload($t);
is($new->get('/rotating/')->{body}, 'user=alice', 'a key removed: sessions sealed with the first one continue');
is($bob->get('/rotating/')->{status}, 302, 'a key removed: sessions sealed with it end');
is($bob->login('/rotating/')->{body}, 'user=alice', 'a key removed: a new login succeeds');
is($user->get('/plain/')->{body}, 'user=alice', 'the generated key survives reloads');

my $slow = browser();
$page = $slow->get('/plain/');
$t->write_file_expand('nginx.conf', $conf =~ s/oidc_state_zone 1m/oidc_state_zone 2m/r);
reload($t);
is($user->get('/plain/')->{body}, 'user=alice', 'the generated key survives a new zone size');
is(follow_all($slow, $page)->{body}, 'user=alice', 'a login that was under way succeeds after a new zone size');

$t->stop();
$t->run();
is($user->get('/plain/')->{status}, 302, 'the generated key does not survive a restart of nginx');
is($twin->get('/twin/')->{body}, 'user=alice', 'a session_key survives a restart of nginx');

# What the configuration uses

$t->write_file_expand('nginx.conf', $conf =~ s/(X-User) \$oidc_claim_sub/$1 \$oidc_claim_sub\$oidc_claim_name/r);
$twin->login('/twin/');
reload($t);
is($twin->get('/twin/')->{status}, 302, 'a session without a claim that is now used: a new login is needed');
is($twin->login('/twin/')->{body}, 'user=aliceAlice Liddell',
    'a session without a claim that is now used: the new login provides it');
$t->write_file_expand('nginx.conf', $conf);
reload($t);

# Size

my $large = large(browser(), $op, 3500);
my @chunks = grep { $_->{name} =~ /^large(?:\.\d)?$/ } $large->cookies;
is(join(' ', map { $_->{name} } @chunks), 'large large.1', 'a large session uses two cookies')
    or diag(error_log_lines($t, qr/oidc:/));
is(scalar(grep { length("$_->{name}=$_->{value}") > 4096 } @chunks), 0,
    'each cookie of a large session is at most 4096 bytes');
is($large->get('/large/')->{body}, 'user=alice', 'a large session opens');

my ($first, $second) = map { $_->{value} } @chunks;
my %cookie = ('large' => $first, 'large.1' => $second);
is(browser()->get('/large/', with(%cookie))->{body}, 'user=alice', 'a session in two chunks');
is(browser()->get('/large/', with(large => $first))->{status}, 302, 'the second chunk is missing');
is(browser()->get('/large/', with('large.1' => $second))->{status}, 302, 'the first chunk is missing');
is(browser()->get('/large/', with(%cookie, 'large' => $second, 'large.1' => $first))->{status}, 302,
    'the chunks are exchanged');
is(browser()->get('/large/', with(%cookie, 'large.1' => substr $second, 1))->{status}, 302,
    'a chunk is cut short');
is(browser()->get('/large/', with(%cookie, 'large.1' => ''))->{status}, 302, 'a chunk is empty');
is(browser()->get('/large/', with(%cookie, 'large' => substr $first, 2))->{status}, 302,
    'the number of chunks is missing');
is(browser()->get('/large/', with(%cookie, 'large' => '3' . substr $first, 1))->{status}, 302,
    'the number of chunks is too large');
is(browser()->get('/large/', with(%cookie, 'large.2' => 'left over'))->{body}, 'user=alice',
    'an extra chunk is ignored');

my $second_large = large(browser(), $op, 3500);
is(browser()->get('/large/', with(%cookie, 'large.1' => $second_large->cookie('large.1')))->{status}, 302,
    'a chunk is of another session');

$second_large->forget('large');
$res = $second_large->login('/large/');
is($res->{body}, 'user=alice', 'a small session replaces a large one');
is(join(' ', map { $_->{name} } grep { $_->{name} =~ /^large/ && $_->{name} !~ /login/ } $second_large->cookies),
    'large', 'a small session deletes the chunks of the large one');

# As much as one request header line holds by default, together with cookies of the application.
my $full = browser();
$full->set_cookie('application=' . 'x' x 1500 . '; Path=/');
large($full, $op, 4100);
is($full->get('/large/')->{body}, 'user=alice', 'the largest session that fits');

log_mark($t);
my $too_large = browser();
$res = too_large($too_large, $op, '/large/', 6500);
is($res->{status}, 500, 'too large a session');
ok(!(grep { $_->{name} =~ /^large(?:\.\d)?$/ } $too_large->cookies), 'too large a session: no cookie is set');
is($res->{headers}{'x-error'}, 'session_too_large', 'too large a session: $oidc_error');
is($res->{headers}{'cache-control'}, 'no-store', 'too large a session: Cache-Control is no-store');
ok(log_has($t, qr/\[error\].* oidc: session needs \d{4} bytes of cookies, .*large_client_header_buffers /
    . qr/.*allow 6144 while handling the callback, provider "large"/), 'too large a session: logged');
is($too_large->get('/large/')->{status}, 302, 'too large a session: the next request is not refused for its headers');

my $wider = large(browser(base => $wide), $op, 12_000);
is($wider->get('/large/')->{body}, 'user=alice', 'large_client_header_buffers raises the limit');
$wider = large(browser(base => $wide), $op, 24_000);
is($wider->get('/large/')->{body}, 'user=alice', 'large_client_header_buffers raises the limit up to nine cookies');

log_mark($t);
$res = too_large(browser(base => $wide), $op, '/large/', 26_000);
is($res->{status}, 500, 'a session that needs more than nine cookies: 500');
ok(log_has($t, qr/oidc: session needs \d{5} bytes of cookies, .* \d{5} while handling the callback/),
    'a session that needs more than nine cookies: logged');
my ($needs, $leaves) = join('', error_log_lines($t, qr/session needs/)) =~ /needs (\d+) .*?(\d+) while/;
cmp_ok($needs // 0, '>', $leaves // 0,
    'a session that needs more than nine cookies: the log line has the limit of nine cookies');

# ------------------------------------------------------------------------------------------------------

sub provider_block {
    my ($name, $directives) = @_;

    my %right = (issuer => 'http://127.0.0.1:8081', client_id => 'client', cookie_name => $name,
        client_secret => 'secret-of-at-least-thirty-two-bytes', redirect_uri => "/callback/$name");
    my $right = join ' ', map { "$_ $right{$_};" } grep { $directives !~ /\b$_\b/ } sort keys %right;

    return "oidc_provider $name {\n$right $directives\n}\n";
}

# The attributes of the session cookie
sub session_cookie {
    my ($page, %options) = @_;

    my $browser = browser(%options);
    my $answer = $browser->get($page);
    $answer = $browser->follow($answer) for 1 .. 2;

    my ($attributes) = map { /^(?!\S+_login_)[^;]*; (.*)/ } @{ $answer->{set_cookie} };
    return $attributes // "none, status $answer->{status}";
}

# Request headers with these cookies
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

# Logs a browser in with that many bytes of claims.
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
