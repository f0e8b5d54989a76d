#!/usr/bin/perl

# Tests for cookies on http and https: on https only a session cookie with a prefix that nobody else can set
# is accepted, and a login that began on http ends on https without the cookies set on http.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site;

my $http = 'http://localhost:' . port(8080);
my $https = 'https://localhost:' . port(8443);
my $app = 'https://app.example.com:' . port(8443);
my $app_on_http = 'http://app.example.com:' . port(8080);
my $front = 'https://front.example.com:' . port(8443);
my $inner = 'https://inner.example.com:' . port(8443);

# The browser's URL, the oidc_provider, its session cookie.

my $host = 'Path=/; HttpOnly; SameSite=Lax; Secure';
my @names = (
    ['http', $http, 'plain', 'plain; Path=/; HttpOnly; SameSite=Lax'],
    ['http, cookie_path', $http, 'path', 'path; Path=/path/; HttpOnly; SameSite=Lax'],
    ['http, a name with __Host-', $http, 'host', "__Host-host; $host"],
    ['http, a name with __Secure-', $http, 'secure', "__Secure-secure; $host"],
    ['https', $https, 'plain', "__Host-plain; $host"],
    ['https, cookie_domain', $app, 'domain',
        '__Secure-domain; Path=/; Domain=example.com; HttpOnly; SameSite=Lax; Secure'],
    ['https, cookie_path', $https, 'path', '__Secure-path; Path=/path/; HttpOnly; SameSite=Lax; Secure'],
    ['https, a name with __Host-', $https, 'host', "__Host-host; $host"],
    ['https, a name with __Secure-', $https, 'secure', "__Secure-secure; $host"],
    ['https, cookie_samesite strict', $https, 'strict',
        '__Host-strict; Path=/; HttpOnly; SameSite=Strict; Secure'],
    ['https, a session in a store', $https, 'stored', "__Host-stored; $host"],
    ['an absolute redirect_uri, nginx on http', $http, 'absolute', "__Host-absolute; $host"],
    ['oidc_base_url of the server, nginx on http', $front, 'plain', "__Host-plain; $host"],
    ['oidc_base_url of the location, nginx on http', $inner, 'plain', "__Host-plain; $host"],
);

# The browser is on https, which nginx knows by TLS or by oidc_base_url of the server.
my @https = (['TLS', $https], ['oidc_base_url', $front]);

my $t = Test::Nginx->new()->has(qw/http http_ssl map proxy rewrite socket_ssl/)
    ->plan(4 * @names + 9 * @https + 66);

my $op = provider($t, 8081);

certificate_authority($t, 'ca')->issue('nginx');

my $pages = <<'EOF';
        add_header X-Error $oidc_error always;

        proxy_set_header X-User $oidc_claim_sub;

        location /      { auth_oidc $arg_op; BASE_URL proxy_pass http://127.0.0.1:8082; }
        location /path/ { auth_oidc path; proxy_pass http://127.0.0.1:8082; }
EOF
my $base_url = 'oidc_base_url https://$host:%%PORT_8443%%;';
my %pages = (plain => $pages =~ s/BASE_URL//r, inner => $pages =~ s/BASE_URL/$base_url/r);

$t->write_file_expand('nginx.conf', nginx_conf(
    <<'EOF',
    oidc_session_store memory { type memory; }

    # The session cookie, found as in an operator's configuration.
    map $http_cookie $cookie_by_map {
        default                         "";
        "~(?:^|; )__Host-plain=([^;]+)" $1;
    }
EOF
    oidc_provider('plain', 'logout_uri /logout/plain'),
    oidc_provider('domain', 'cookie_domain example.com; logout_uri /logout/domain'),
    oidc_provider('path', 'cookie_path /path/; logout_uri /path/logout', redirect_uri => '/path/callback'),
    oidc_provider('host', 'logout_uri /logout/host', cookie_name => '__Host-host'),
    oidc_provider('secure', 'logout_uri /logout/secure', cookie_name => '__Secure-secure'),
    oidc_provider('strict', 'cookie_samesite strict; logout_uri /logout/strict'),
    oidc_provider('stored', 'session_store memory; logout_uri /logout/stored'),
    oidc_provider('large', 'session_store cookie; session_claims all; logout_uri /logout/large'),
    oidc_provider('absolute', 'logout_uri /logout/absolute',
        redirect_uri => 'https://localhost:%%PORT_8443%%/callback/absolute'),
    <<"EOF"));
    server {
        listen       127.0.0.1:8080;
        server_name  localhost app.example.com;

$pages{plain}
    }

    server {
        listen       127.0.0.1:8443 ssl;
        server_name  localhost app.example.com;

        ssl_certificate     nginx.crt;
        ssl_certificate_key nginx.key;

$pages{plain}

        add_header X-Names     "\$cookie_plain;\$cookie___Host_plain" always;
        add_header X-Cookie    \$cookie_by_map always;
        add_header X-Session   \$oidc_session_id always;
        add_header X-Logged-In \$oidc_authenticated always;
    }

    # Behind a proxy that ends TLS: oidc_base_url for the whole server, or for its pages only.
    server {
        listen       127.0.0.1:8080;
        server_name  front.example.com;

        $base_url
$pages{plain}
    }

    server {
        listen       127.0.0.1:8080;
        server_name  inner.example.com;

$pages{inner}
    }

    server {
        listen       127.0.0.1:8443 ssl;
        server_name  front.example.com inner.example.com;

        ssl_certificate     nginx.crt;
        ssl_certificate_key nginx.key;

        location / {
            proxy_set_header Host \$host;
            proxy_pass       http://127.0.0.1:8080;
        }
    }

    server {
        listen 127.0.0.1:8082;
        return 200 "user \$http_x_user";
    }
EOF
$t->run();

# The scheme of the browser determines the name and attributes of the cookie, also when it is deleted.

for my $case (@names) {
    my ($name, $base, $provider, $expected) = @$case;
    my $browser = browser(base => $base);
    my @set = session_lines($browser, $provider, logged_in($browser, $provider));
    is(join(' | ', map { s/=[^;]*//r } @set), $expected, "$name: the session cookie");
    is($browser->get(page($provider))->{body}, 'user alice', "$name: the session works");

    my $answer = $browser->get(logout_of($provider));
    is(join(' | ', session_lines($browser, $provider, $answer)),
        $expected =~ s/; /=; /r =~ s/(?=; HttpOnly)/; Max-Age=0/r, "$name: deleted with the same attributes");
    is($browser->get(page($provider))->{status}, 302, "$name: the session has ended");
}

# Values to plant: the seal is the same on http and https.

my $alice = value_of('plain');
$op->set(user => { sub => 'bob' });
my $bob = value_of('plain');
my $bobs_domain = value_of('domain', base => $app_on_http);
$op->reset;

# On https only the prefixed name is accepted.

for my $case (@https) {
    my ($name, $base) = @$case;
    my $see = sub { shown(browser(base => $base)->get(page('plain'), cookies(@_))) };

    is($see->("__Host-plain=$alice"), 'user alice', "$name: a cookie with the prefix is accepted");
    is($see->("plain=$alice"), '302', "$name: a cookie without the prefix, from before an upgrade, is not");
    is($see->("__Secure-plain=$alice"), '302', "$name: a cookie with another prefix is not");
    is($see->("__host-plain=$alice"), '302', "$name: a cookie with the prefix in lower case is not");
    is($see->("__Host-__Host-plain=$alice"), '302', "$name: a cookie with two prefixes is not");
    is($see->("plain=$bob", "__Host-plain=$alice"), 'user alice', "$name: a planted cookie before it");
    is($see->("__Host-plain=$alice", "plain=$bob"), 'user alice', "$name: a planted cookie after it");
    is($see->(("plain=$bob") x 5, "__Host-plain=$alice", ("plain=$bob") x 5), 'user alice',
        "$name: many planted cookies around it");
    is($see->("__Host-plain=planted", "__Host-plain=$alice"), 'user alice',
        "$name: of several with the prefix the valid one is used");
}

# Planted by a sibling host on https, and by the same host on http.
my $victim = browser(base => $app);
is(logged_in($victim, 'plain')->{body}, 'user alice', 'a browser on https');
plant($victim, 'https://evil.example.com/', "plain=$bob; Domain=example.com; Path=/; Secure");
plant($victim, 'http://app.example.com/', "plain=$bob; Path=/deep");
is($victim->get(page('plain'))->{body}, 'user alice', 'planted by a sibling host: not accepted');
is($victim->get('/deep' . page('plain'))->{body}, 'user alice', 'planted over http, for a longer path: not accepted');

$victim = browser(base => $app);
plant($victim, 'https://evil.example.com/', "plain=$bob; Domain=example.com; Path=/; Secure");
is($victim->get(page('plain'))->{status}, 302, 'planted in a browser without a session: not accepted');
is(logged_in($victim, 'plain')->{body}, 'user alice', 'planted in a browser without a session: a login succeeds');

# With cookie_domain, hosts of that domain share a session; no one can set it over http.
$victim = browser(base => $app);
plant($victim, 'http://evil.example.com/', "domain=$bobs_domain; Domain=example.com; Path=/");
is($victim->get(page('domain'))->{status}, 302, 'cookie_domain, planted over http: not accepted');
is(shown(browser(base => $app)->get(page('domain'), cookies("__Secure-domain=$bobs_domain"))), 'user bob',
    'cookie_domain: the prefix __Secure- is accepted');
is(shown(browser(base => $app)->get(page('domain'), cookies("__Host-domain=$bobs_domain"))), '302',
    'cookie_domain: the prefix __Host- is not');

# Where nginx does not know yet that TLS ends before it, or is on http, both names are read.

for my $case (['http', $http], ['oidc_base_url of a location', $inner]) {
    my ($name, $base) = @$case;
    my $see = sub { shown(browser(base => $base)->get(page('plain'), cookies(@_))) };
    is($see->("__Host-plain=$alice"), 'user alice', "$name: a cookie with the prefix is accepted");
    is($see->("plain=$bob", "__Host-plain=$alice"), 'user alice', "$name: it takes precedence over a planted one");
    is($see->("__Host-plain=$alice", "plain=$bob"), 'user alice', "$name: it takes precedence in any order");
    is($see->("plain=$alice"), $base eq $http ? 'user alice' : '302',
        "$name: one without the prefix is accepted only if the browser is on http");
}

# A session that has ended is planted before the valid one, or remained under another cookie_domain.
my $ended = browser(base => $http);
logged_in($ended, 'plain');
my $left = $ended->cookie('plain');
$ended->get(logout_of('plain'));
is(shown(browser(base => $http)->get(page('plain'), cookies("plain=$left"))), '302', 'http: a session that has ended');
is(shown(browser(base => $http)->get(page('plain'), cookies("plain=$left", "plain=$alice"))), 'user alice',
    'http: a valid session after one that has ended');

# With oidc_base_url in a location, a logout ends the session for its copies, too.
my $browser = browser(base => $inner);
logged_in($browser, 'plain');
my $copy = $browser->clone;
is($browser->get(logout_of('plain'))->{status}, 302, 'oidc_base_url of a location: a logout');
is($copy->get(page('plain'))->{status}, 302, 'oidc_base_url of a location: a copied cookie is invalid');

# Sessions of several cookies

$op->set(id_token => { claims => { filler => 'x' x 3500 } });
$browser = browser(base => $https);
is(logged_in($browser, 'large')->{body}, 'user alice', 'a large session on https');
my $on_http = browser(base => $http);
logged_in($on_http, 'large');
$op->reset;
is(join(' ', names_of($browser, 'large')), '__Host-large __Host-large.1', 'a large session on https: its cookies');
my @chunks = map { $browser->cookie("__Host-large$_") } '', '.1';
my @plain_chunks = map { $on_http->cookie("large$_") } '', '.1';
my $large = sub { shown(browser(base => $https)->get(page('large'), cookies(@_))) };
is($large->("__Host-large=$chunks[0]", "__Host-large.1=$chunks[1]"), 'user alice', 'chunks of the prefixed name');
is($large->("__Host-large=$chunks[0]", "large.1=$chunks[1]"), '302', 'a chunk without the prefix is not accepted');
is($large->("large=$plain_chunks[0]", "large.1=$plain_chunks[1]"), '302', 'chunks without the prefix are not accepted');
is(join(' ', sort map { /^([^=]*)=;/ } session_lines($browser, 'large', $browser->get(logout_of('large')))),
    '__Host-large __Host-large.1', 'a logout deletes every chunk');

# Cookies from before an upgrade are deleted by the next login, and by a logout.

my $deleted = 'Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure';
$browser = browser(base => $https);
$browser->set_cookie("$_; Path=/") for "plain=$alice", 'plain.1=x', 'plain.2=y', 'other=z', 'plain_x=z';
my $login = logged_in($browser, 'plain');
is($login->{body}, 'user alice', 'a session from before an upgrade: a login');
is_deeply([ sort grep { /^plain/ } session_lines($browser, 'plain', $login) ],
    [ map { "$_=; $deleted" } 'plain.1', 'plain.2', 'plain' ], 'a session from before an upgrade: a login deletes its cookies');
is(join(' ', sort map { $_->{name} } grep { $_->{name} !~ /_login_/ } $browser->cookies),
    '__Host-plain other plain_x', 'a session from before an upgrade: a login deletes no others');

$browser = browser(base => $https);
is_deeply([ grep { /^plain/ } session_lines($browser, 'plain', logged_in($browser, 'plain')) ], [],
    'a login without old cookies deletes nothing');

$browser->set_cookie("$_; Path=/") for "plain=$bob", 'plain.1=x';
$copy = $browser->clone;
is_deeply([ sort { $a cmp $b } session_lines($browser, 'plain', $browser->get(logout_of('plain'))) ],
    [ map { "$_=; $deleted" } '__Host-plain', 'plain.1', 'plain' ], 'a logout deletes the cookies of both names');
is(join(' ', names_of($browser, 'plain')), '', 'a logout leaves none of them');
is($copy->get(page('plain'))->{status}, 302, 'a logout ends the session');
is(shown(browser(base => $http)->get(page('plain'), cookies("plain=$bob"))), 'user bob',
    'a logout does not end the session of a cookie that is not accepted');

$browser = browser(base => $https);
$browser->set_cookie("plain=$alice; Path=/");
is_deeply([ session_lines($browser, 'plain', $browser->get(logout_of('plain'))) ], ["plain=; $deleted"],
    'a logout without a session deletes the cookies');

# Browsers send cookies of https to http://localhost, too: an ended session of one name does not prevent a
# login under the other name.
$browser = browser(base => $https);
logged_in($browser, 'plain');
$copy = $browser->clone;
$browser->get(logout_of('plain'));
is(shown($copy->login($http . page('plain'))), 'user alice', 'http, with an ended session of https: a login');

# A login began on http and its callback comes on https, because the browser or a rule of its site changed
# the scheme. Cookies set on http are not accepted there.

my ($visitor, $callback) = begun_on_http();
$op->clear;
my $answer = $visitor->get($callback);
is(outcome($answer), '302', 'begun on http: the callback on https accepts no cookie of http');
is($answer->{location} // '', "$app/callback/plain?state=" . escape(query($callback)->{state}),
    'begun on http: first to the callback with the state alone');
is(join(' ', map { s/=[^;]*//r } @{ $answer->{set_cookie} }),
    '__Host-plain_login_rounds; Path=/; Max-Age=20; HttpOnly; SameSite=Lax; Secure',
    'begun on http: with a cookie that tests whether the browser accepts any');
$answer = $visitor->follow($answer);
is(outcome($answer) . ' ' . ($answer->{headers}{location} // ''), '302 ' . page('plain'),
    'begun on http: then to the page, on https');
is($op->count('/token'), 0, 'begun on http: the code is not used');
$answer = followed($visitor, $answer);
is("$answer->{body} $answer->{url}", 'user alice ' . $app . page('plain'),
    'begun on http: a new login begins and ends there');
is(join(' ', names_of($visitor, 'plain')), '__Host-plain', 'begun on http: the session is of https');
is(($op->requests('/token'))[0]{params}{redirect_uri}, "$app/callback/plain", 'begun on http: the new login is on https throughout');

# A browser known to accept cookies skips the first step.
for my $known ('__Host-plain_login_rounds=1', '__Host-plain_login_abcd=' . 'A' x 22) {
    my ($name) = $known =~ /^(.*?)=/;
    ($visitor, $callback) = begun_on_http();
    plant($visitor, $app, "$known; Path=/; Secure");
    $op->clear;
    $answer = $visitor->get($callback);
    is(outcome($answer) . ' ' . ($answer->{headers}{location} // ''), '302 ' . page('plain'),
        "begun on http, with $name: to the page at once");
    is($op->count('/token'), 0, "begun on http, with $name: the code is not used");
}

# A browser that accepts none does not loop.
($visitor, $callback) = begun_on_http();
$answer = $visitor->get($callback);
my $hops = 1;
while ($answer->{status} == 302 && $answer->{location} !~ m{/authorize\?} && $hops++ < 10) {
    $answer = $visitor->clear->follow($answer);
}
cmp_ok($hops, '<', 10, 'begun on http, without cookies: does not loop');
is(outcome($answer), '400 state_cookie', 'begun on http, without cookies: refused');

# A logged-in browser is redirected to the page.
($visitor, $callback) = begun_on_http();
plant($visitor, $app, "__Host-plain=$alice; Path=/; Secure");
$op->clear;
$answer = $visitor->get($callback);
is(outcome($answer) . ' ' . ($answer->{headers}{location} // ''), '302 ' . page('plain'),
    'begun on http, with a session of https: to the page');
is($op->count('/token'), 0, 'begun on http, with a session of https: the code is not used');
is(followed($visitor, $answer)->{body}, 'user alice', 'begun on http, with a session of https: it remains');

# The login cookie is accepted under its https name, and the session is of https.
($visitor, $callback) = begun_on_http();
my ($login_cookie) = grep { $_->{name} =~ /^plain_login_[\w-]{4}$/ } $visitor->cookies;
plant($visitor, $app, "__Host-$login_cookie->{name}=$login_cookie->{value}; Path=/; Secure");
$op->clear;
$answer = $visitor->get($callback);
is(outcome($answer) . ' ' . ($answer->{headers}{location} // ''), '302 ' . page('plain'),
    'begun on http, with its login cookie under the https name: back to the page on https');
is(join(' | ', map { s/=[^;]*//r } session_lines($visitor, 'plain', $answer)), "__Host-plain; $host",
    'begun on http, with its login cookie under the https name: the session is of https');
is(($op->requests('/token'))[0]{params}{redirect_uri}, "$app_on_http/callback/plain",
    'begun on http, with its login cookie under the https name: the token request has the original redirect_uri');
is(followed($visitor, $answer)->{body}, 'user alice', 'begun on http, with its login cookie under the https name: the session works');

# With cookie_domain the prefix is another one.
($visitor, $callback) = begun_on_http('domain');
$op->clear;
$answer = followed($visitor, $visitor->get($callback));
is("$answer->{body} $answer->{url}", 'user alice ' . $app . page('domain'),
    'begun on http, cookie_domain: a new login on https');
is(join(' ', sort map { $_->{name} =~ s/_login_[\w-]{4}$/_login_NAME/r } $visitor->cookies),
    '__Secure-domain __Secure-domain_login_NAME __Secure-domain_login_rounds domain_login_NAME',
    'begun on http, cookie_domain: the names of all cookies');
is(scalar(grep { $_->{params}{redirect_uri} !~ /^https:/ } $op->requests('/token')), 0,
    'begun on http, cookie_domain: the first code is not used');

# http throughout is unaffected.
$answer = logged_in(browser(base => $app_on_http), 'plain');
is($answer->{body}, 'user alice', 'http throughout: a login');

# The cookie in nginx's own variables.

$browser = browser(base => $https);
logged_in($browser, 'plain');
$answer = $browser->get(page('plain'));
is($answer->{headers}{'x-names'}, ';', 'no variable of nginx has the name of the cookie');
is($answer->{headers}{'x-cookie'}, $browser->cookie('__Host-plain'), 'a map of $http_cookie finds it');
is($answer->{headers}{'x-logged-in'}, '1', '$oidc_authenticated needs no cookie name');
like($answer->{headers}{'x-session'}, qr/^[\w-]{22}$/, '$oidc_session_id needs no cookie name');
is(browser(base => $https)->get(page('plain'))->{headers}{'x-logged-in'}, '0', '$oidc_authenticated is 0 without a session');

# ------------------------------------------------------------------------------------------------------

sub page { return $_[0] eq 'path' ? '/path/' : page_of($_[0]) }

sub logout_of { return $_[0] eq 'path' ? '/path/logout' : "/logout/$_[0]" }

# Opens the page of that oidc_provider with all redirects; all responses are in {hops}.
sub logged_in {
    my ($browser, $provider) = @_;

    my $answer = $browser->login(page($provider));
    return $answer unless defined $answer->{refresh};
    my $end = $browser->follow($answer);
    return { %$end, hops => [ @{ $answer->{hops} }, $end ] };
}

sub followed {
    my ($browser, $answer) = @_;

    for (1 .. 10) {
        last if $answer->{status} != 302;
        $answer = $browser->follow($answer);
    }
    return $answer;
}

# The Set-Cookie lines of the session cookie, not of login cookies.
sub session_lines {
    my ($browser, $provider, $answer) = @_;

    return grep { !/^\S+_login_/ && /^(?:__\w+-)?\Q$provider\E\b/ }
        map { @{ $_->{set_cookie} } } @{ $answer->{hops} || [$answer] };
}

sub names_of {
    my ($browser, $provider) = @_;

    return sort grep { /^(?:__\w+-)?\Q$provider\E(?:\.\d)?$/ } map { $_->{name} } $browser->cookies;
}

# The value of a session cookie, from http, where its name has no prefix.
sub value_of {
    my ($provider, %options) = @_;

    my $browser = browser(%options);
    logged_in($browser, $provider);
    return $browser->cookie($provider) // die "no session of $provider";
}

sub cookies { return (headers => { Cookie => join '; ', @_ }) }

sub shown { return $_[0]{status} == 200 ? $_[0]{body} : $_[0]{status} }

# Sets a cookie in that browser by another page, or by the same on another scheme.
sub plant {
    my ($browser, $url, $cookie) = @_;

    my $page = browser(base => $url, jar => $browser->{jar});
    $page->set_cookie($cookie);
}

# A browser at the provider, and the URL of its callback, on https.
sub begun_on_http {
    my ($provider) = @_;

    my $browser = browser(base => $app);
    my $answer = $browser->follow($browser->get($app_on_http . page($provider // 'plain')));
    my $url = $answer->{location} =~ s/^\Q$app_on_http\E/$app/r;
    return ($browser, $url);
}
