#!/usr/bin/perl

# Tests for the gate: the response to a request without a session in a protected location, its
# authorization request and its login cookie.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site qw/ default_provider http_conf /;

my $t = Test::Nginx->new()->has(qw/http rewrite/)->plan(77);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', http_conf(
    default_provider('plain'),
    (map { default_provider($_, "cookie_name $_") } qw/ query mark ampersand silent no_s256 /),
    default_provider('no_pkce', 'cookie_name no_pkce; pkce off'),
    default_provider('path', 'cookie_name path; redirect_uri /a/b'),
    default_provider('absolute', 'cookie_name absolute; redirect_uri https://app.example.com/cb'),
    default_provider('profile', 'cookie_name profile; scope profile email'),
    default_provider('openid', 'cookie_name openid; scope profile openid "email openid"'),
    default_provider('constant', 'cookie_name constant; extra_auth_args "prompt=login&ui_locales=de%20en+fr"'),
    default_provider('variable', 'cookie_name variable; '
        . 'extra_auth_args "login_hint=$arg_hint&x=$http_x_hint&response_mode=fragment&scope=all"'),
    default_provider('short', 'cookie_name short; pre_auth_timeout 5m'),
    default_provider('domain', 'cookie_name domain; cookie_domain example.com'),
    default_provider('below', 'cookie_name below; cookie_path /app; redirect_uri /app/cb'),
    default_provider('host', 'cookie_name __Host-sid; redirect_uri /host'),
    default_provider('strict', 'cookie_name strict; cookie_samesite strict'),
    default_provider('none', 'cookie_name none; cookie_samesite none'),
    <<'EOF'));
    map $host $base {
        default          https://app.example.com;
        odd.example.com  "ftp:";
    }

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        add_header   X-Error $oidc_error always;

        location /plain     { auth_oidc plain; }
        location /query     { auth_oidc query; }
        location /mark      { auth_oidc mark; }
        location /ampersand { auth_oidc ampersand; }
        location /silent    { auth_oidc silent; }
        location /no_s256   { auth_oidc no_s256; }
        location /no_pkce   { auth_oidc no_pkce; }
        location /path      { auth_oidc path; }
        location /absolute  { auth_oidc absolute; }
        location /profile   { auth_oidc profile; }
        location /openid    { auth_oidc openid; }
        location /constant  { auth_oidc constant; }
        location /variable  { auth_oidc variable; }
        location /short     { auth_oidc short; }
        location /domain    { auth_oidc domain; }
        location /app/      { auth_oidc below; }
        location /strict    { auth_oidc strict; }
        location /none      { auth_oidc none; }
        location /named     { auth_oidc $arg_name; }

        location /tls/ {
            oidc_base_url $base;

            location /tls/plain  { auth_oidc plain; }
            location /tls/domain { auth_oidc domain; }
            location /tls/host   { auth_oidc host; }
            location /tls/none   { auth_oidc none; }
        }
    }
EOF

$t->run();

my $origin = 'http://localhost:' . port(8080);
my $endpoint = $op->issuer . '/authorize';

# the response

my ($res, $params) = gate('/plain?a=b');

is($res->{status}, 302, 'no session: 302');
like($res->{headers}{location}, qr/^\Q$endpoint\E\?/, 'no session: to the authorization endpoint');
like($res->{headers}{'cache-control'}, qr/^no-store$/, 'no session: Cache-Control');
is($res->{headers}{'referrer-policy'}, 'no-referrer', 'no session: Referrer-Policy');
is(scalar @{ $res->{set_cookie} }, 1, 'no session: one cookie');
unlike("@{ $res->{set_cookie} }", qr/^NGX_OIDC_SESSION=/, 'no session: no session cookie');
is($res->{headers}{'x-error'}, undef, 'no session: no error');

for my $method (qw/ HEAD POST OPTIONS PUT DELETE /) {
    ($res) = gate('/plain', method => $method);
    is($res->{status}, 302, "$method: 302");
}

# the authorization request

is(names($res), 'client_id code_challenge code_challenge_method nonce redirect_uri response_type '
    . 'scope state', 'every parameter once');
is($params->{response_type}, 'code', 'response_type');
is($params->{scope}, 'openid', 'scope');
is($params->{client_id}, 'client', 'client_id');
is($params->{redirect_uri}, "$origin/oidc_callback", 'redirect_uri');
is($params->{code_challenge_method}, 'S256', 'code_challenge_method');
like($params->{code_challenge}, qr/^[\w-]{43}$/, 'code_challenge');
like($params->{nonce}, qr/^[\w-]{43}$/, 'nonce');
like($params->{state}, qr/^[\w-]{100,}$/, 'state');
unlike(decode_base64url($params->{state}), qr/plain|localhost|a=b/, 'state is sealed');

my $browser = browser();
my @logins = map { (gate('/plain', browser => $browser))[1] } 1 .. 4;

for my $name (qw/ state nonce code_challenge /) {
    my %seen = map { $_->{$name} => 1 } @logins;
    is(keys %seen, 4, "each login of a browser has its own $name");
}

# redirect_uri and scope

is((gate('/path'))[1]->{redirect_uri}, "$origin/a/b", 'redirect_uri is a path: it follows the origin');
is((gate('/plain', host => 'www.example.com'))[1]->{redirect_uri},
    'http://www.example.com/oidc_callback', 'redirect_uri: the host of the request');
is((gate('/plain', host => 'WWW.Example.COM:80'))[1]->{redirect_uri},
    'http://www.example.com/oidc_callback', 'redirect_uri: the host is normalized');
is((gate('/tls/plain'))[1]->{redirect_uri}, 'https://app.example.com/oidc_callback',
    'redirect_uri: the origin of oidc_base_url');
is((gate('/absolute', host => 'app.example.com'))[1]->{redirect_uri},
    'https://app.example.com/cb', 'redirect_uri is absolute: sent unchanged');

log_mark($t);
($res) = gate('/absolute', host => 'www.example.com');
is($res->{status}, 400, 'a host that shares no cookie with redirect_uri: 400');
is($res->{headers}{'x-error'}, 'request_host', 'a host that shares no cookie with redirect_uri: $oidc_error');
ok(!@{ $res->{set_cookie} }, 'a host that shares no cookie with redirect_uri: no cookie');
ok(log_has($t, qr/oidc: client requested host "http:..www.example.com", which shares no cookies with/
    . qr/ redirect_uri "https:..app.example.com.cb" while beginning a login, provider "absolute"/),
    'a host that shares no cookie with redirect_uri: logged');

log_mark($t);
($res) = gate('/tls/plain', host => 'odd.example.com');
is($res->{status}, 400, 'an invalid base URL: 400');
ok(log_has($t, qr/oidc: request has no usable base URL, "ftp:" while beginning a login/),
    'an invalid base URL: logged');

is((gate('/profile'))[1]->{scope}, 'openid profile email', 'openid is added to scope');
is((gate('/openid'))[1]->{scope}, 'openid profile email', 'openid and email are sent once');

# PKCE

for my $case (
    [no_pkce => {}, 'is off'],
    [no_s256 => { code_challenge_methods_supported => ['plain'] }, 'the provider knows only plain'])
{
    my ($name, $metadata, $why) = @$case;
    $op->set(metadata => $metadata);
    is(names((gate("/$name"))[0]), 'client_id nonce redirect_uri response_type scope state',
        "no code_challenge where $why");
}

$op->set(metadata => { code_challenge_methods_supported => undef });
is((gate('/silent'))[1]->{code_challenge_method}, 'S256', 'S256 where the metadata lists no methods');

# an endpoint with a query

for my $case (
    [query => '?tenant=x', '?tenant=x&response_type=code&'],
    [mark => '?', '?response_type=code&'],
    [ampersand => '?tenant=x&', '?tenant=x&response_type=code&'])
{
    my ($name, $query, $start) = @$case;
    $op->set(metadata => { authorization_endpoint => $endpoint . $query });
    like((gate("/$name"))[0]{headers}{location}, qr/^\Q$endpoint$start\E/, "endpoint ends in $query");
}

# extra_auth_args

$op->reset;

($res, $params) = gate('/constant');
is("$params->{prompt}; $params->{ui_locales}", 'login; de en fr', 'constant arguments');

($res, $params) = gate('/variable?hint=me%40x%26scope%3Dall', headers => { 'X-Hint' => '1' });
is($params->{login_hint}, 'me@x&scope=all', 'arguments with a variable are encoded');
is($params->{scope}, 'openid', 'reserved arguments are dropped');
is($params->{response_mode}, undef, 'reserved arguments the module does not send are dropped');

my @reserved = qw/ client_id code_challenge code_challenge_method nonce redirect_uri request
    request_uri response_mode response_type scope state /;
my $injected = join '&', '', map { "$_=evil" } @reserved, '%73tate', 'prompt';

($res, $params) = gate('/variable', headers => { 'X-Hint' => "1$injected" });
is(names($res), 'client_id code_challenge code_challenge_method login_hint nonce prompt redirect_uri '
    . 'response_type scope state x', 'a variable cannot add reserved ones');
is($res->{headers}{location} =~ s/prompt=evil//r =~ /evil/, '', 'a variable cannot change reserved ones');

($res, $params) = gate('/variable', headers => { 'X-Hint' => '%zz' });
is($res->{status}, 302, 'a malformed variable: 302');
is(names($res), 'client_id code_challenge code_challenge_method nonce redirect_uri '
    . 'response_type scope state', 'a malformed variable is dropped');

($res) = gate('/variable', headers => { 'X-Hint' => "\xc3\xa4 \"<>#\\" });
like($res->{headers}{location}, qr/&x=%C3%A4%20%22%3C%3E%23%5C$/, 'other bytes of a variable are encoded');

# the login cookie

is(shape('/plain'), 'NGX_OIDC_SESSION_login_NAME=VALUE; Path=/; Max-Age=600; HttpOnly; SameSite=Lax',
    'login cookie on http');
is(shape('/short'), 'short_login_NAME=VALUE; Path=/; Max-Age=300; HttpOnly; SameSite=Lax',
    'login cookie lives for pre_auth_timeout');
is(shape('/tls/plain'), '__Host-NGX_OIDC_SESSION_login_NAME=VALUE; Path=/; Max-Age=600; HttpOnly; '
    . 'SameSite=Lax; Secure', 'login cookie on https');
is(shape('/tls/domain'), '__Secure-domain_login_NAME=VALUE; Path=/; Domain=example.com; Max-Age=600; HttpOnly; '
    . 'SameSite=Lax; Secure', 'login cookie with cookie_domain');
is(shape('/app/'), 'below_login_NAME=VALUE; Path=/app; Max-Age=600; HttpOnly; SameSite=Lax',
    'login cookie with cookie_path');
is(shape('/tls/host'), '__Host-sid_login_NAME=VALUE; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; '
    . 'Secure', 'login cookie with a __Host- cookie_name');
is(shape('/strict'), 'strict_login_NAME=VALUE; Path=/; Max-Age=600; HttpOnly; SameSite=Lax',
    'login cookie is lax with cookie_samesite strict');
is(shape('/tls/none'), '__Host-none_login_NAME=VALUE; Path=/; Max-Age=600; HttpOnly; SameSite=None; Secure',
    'login cookie with cookie_samesite none on https');
is(shape('/none'), 'none_login_NAME=VALUE; Path=/; Max-Age=600; HttpOnly; SameSite=None; Secure',
    'login cookie with cookie_samesite none on http is Secure');

my %seen = map { $_ => 1 } map { cookie('/plain') =~ /^(\S+)=(\S+);/ } 1 .. 3;
is(keys %seen, 6, 'login cookie has a random name and value');

$browser = browser();
my @cookies = map { cookie('/plain', browser => $browser) } 1 .. 3;
is($cookies[1], $cookies[0], 'a browser with a login cookie keeps it');
is($cookies[2], $cookies[0], 'a browser with a login cookie keeps it again');
is(scalar(() = $browser->cookies), 1, 'a browser with a login cookie has no other');

for my $case (
    ['short', 'AAAA=' . 'A' x 21], ['long', 'AAAA=' . 'A' x 23], ['not base64url', 'AAAA=' . '%' x 22],
    ['named badly', 'AAAAA=' . 'A' x 22], ['empty', 'AAAA='])
{
    my ($what, $cookie) = @$case;
    my $planted = "NGX_OIDC_SESSION_login_$cookie";
    unlike(cookie('/plain', headers => { Cookie => $planted }), qr/^\Q$planted\E;/,
        "a login cookie that is $what is not used");
}

# a provider named by a variable

is((gate('/named?name=plain'))[0]{status}, 302, 'auth_oidc with a variable');

log_mark($t);
($res) = gate('/named?name=other');
is($res->{status}, 500, 'auth_oidc with an unknown name: 500');
is($res->{headers}{'x-error'}, 'config_unusable', 'auth_oidc with an unknown name: $oidc_error');
ok(log_has($t, qr/oidc: "auth_oidc" names an unknown oidc_provider while choosing a provider, /
    . qr/provider "other"/), 'auth_oidc with an unknown name: logged');
isnt((gate('/named?name=off'))[0]{status}, 302, 'auth_oidc with a variable that is "off"');
is((gate('/named'))[0]{status}, 500, 'auth_oidc with an empty variable: 500');

# The response to a browser without cookies, and the parameters of its authorization request.
sub gate {
    my ($path, %options) = @_;

    my $browser = delete $options{browser} || browser();
    my $host = delete $options{host};
    $options{headers}{Host} = $host if defined $host;

    my $answer = $browser->get($path, %options);
    return ($answer, query($answer->{location}));
}

sub names {
    my ($answer) = @_;

    my ($query) = $answer->{headers}{location} =~ /\?(.*)/;
    return join ' ', sort map { /^([^=]*)/ } split /&/, $query;
}

sub cookie { return (gate(@_))[0]{set_cookie}[0] }

sub shape { return cookie(@_) =~ s/_[\w-]{4}=[\w-]{22};/_NAME=VALUE;/r }
