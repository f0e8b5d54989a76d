#!/usr/bin/perl

# Tests for logout_uri (RP-Initiated Logout 1.0): the session and copies of its cookie end first, then the browser is
# redirected to the provider, even if that is down. A logout needs the user's intent.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;
use Test::OIDC::URL qw/ html_unescape /;
use Test::OIDC::Workers;

# The directives of the location in which the browser logs out
my %location = (
    nothing => '',
    open => 'auth_oidc off;',
    protected => 'auth_oidc plain;',
    return => 'return 404;',
    rewrite => 'rewrite ^ /elsewhere last;',
    try_files => 'try_files /nothing =404;',
    deny => 'deny all;',
    internal => 'internal;',
    proxy => 'proxy_pass http://127.0.0.1:8080/app;',
    limit => 'limit_except PUT { deny all; }',
);

my $own = 'http://localhost:' . port(8080);
my $evil = 'https://evil.example.com';
my %silent = map { $_ => undef } qw/ Sec-Fetch-Site Sec-Fetch-Mode Sec-Fetch-Dest /;
my %from_elsewhere = ('Sec-Fetch-Site' => 'cross-site');

# How a request tells where it comes from: name, headers. These express the user's intent ...

my @intended = (
    (map { ["Sec-Fetch-Site: $_", { 'Sec-Fetch-Site' => $_ }] } qw/ same-origin same-site none /),
    ['an old browser, our Referer', { %silent, 'Referer' => "$own/page?a=b" }],
    ['an old browser, a Referer with our origin only', { %silent, 'Referer' => "$own/" }],
    ['an old browser, our Origin', { %silent, 'Origin' => $own }],
    ['an old browser, our Origin and another Referer',
        { %silent, 'Origin' => $own, 'Referer' => "$evil/" }],
);

# ... and these may come from another site.

my @not_intended = (
    ['Sec-Fetch-Site: cross-site', { %from_elsewhere }],
    ['Sec-Fetch-Site: cross-site, our Referer', { %from_elsewhere, 'Referer' => "$own/" }],
    ['Sec-Fetch-Site: cross-site, our Origin', { %from_elsewhere, 'Origin' => $own }],
    ['an old browser without headers', { %silent }],
    ['an old browser, another Referer', { %silent, 'Referer' => "$evil/?$own/" }],
    ['an old browser, another Origin', { %silent, 'Origin' => $evil }],
    ['an old browser, an Origin of "null"', { %silent, 'Origin' => 'null' }],
    ['an old browser, an Origin of "null" and our Referer',
        { %silent, 'Origin' => 'null', 'Referer' => "$own/" }],
    ['an old browser, another Origin and our Referer',
        { %silent, 'Origin' => $evil, 'Referer' => "$own/" }],
    ['an old browser, our host at another port', { %silent, 'Referer' => 'http://localhost:1/' }],
    ['an old browser, our host without a port', { %silent, 'Referer' => 'http://localhost/' }],
    ['an old browser, our host with another scheme', { %silent, 'Origin' => $own =~ s/http/https/r }],
    ['an old browser, a host that begins like ours', { %silent, 'Referer' => "$own.example.com/" }],
    ['an old browser, our host as a user', { %silent, 'Referer' => "$own\@evil.example.com/" }],
    ['an old browser, our host in capitals with a suffix', { %silent, 'Referer' => "\U$own\Ex/" }],
    ['an old browser, a Referer that is no URL', { %silent, 'Referer' => 'localhost' }],
);

# Where the browser is redirected: oidc_provider, origin of the page, parameters besides client_id and state

my $bye = 'post_logout_redirect_uri';
my $app = 'http://app.example.com:' . port(8080);
my @destinations = (
    ['no post_logout_uri', 'plain', $own, {}],
    ['a path', 'path', $own, { $bye => "$own/bye?a=b" }],
    ['a path, at another host', 'path', $app, { $bye => "$app/bye?a=b" }],
    ['a path, behind oidc_base_url', 'path', 'http://based.example.com:' . port(8080),
        { $bye => 'https://www.example.com:8443/bye?a=b' }],
    ['an absolute one', 'absolute', $own, { $bye => 'https://www.example.com/bye?a=b' }],
    ['an endpoint with a query', 'query', $own, { ui => '1', $bye => "$own/bye" }],
    ['a hint', 'hint', $own, { id_token_hint => '%%id_token%%', $bye => "$own/bye" }],
);

# Attributes of a cookie besides name, value and lifetime
my %attributes = (
    default => ['plain', $own, ''],
    domain => ['domain', $app, ''],
    path => ['area', $own, '/area/'],
    strict => ['strict', $own, ''],
    none => ['none', $own, ''],
    host => ['host', $own, ''],
);

# Responses of the revocation endpoint: name, knob "respond", log sentence
my @revocation_failures = (
    ['status 503', { status => 503 }, 'provider returned status 503'],
    ['a redirect', { status => 302, headers => { Location => '/evil' } }, 'provider returned status 302'],
    ['a refusal', { status => 400, body => '{"error":"unsupported_token_type"}' },
        'provider returned error "unsupported_token_type"'],
    ['a wrong client', { status => 401, body => '{"error":"invalid_client"}' },
        'provider returned error "invalid_client"'],
    ['no response', { close => 'before_headers' }, qr/provider could not be reached at "\S+\/revoke"/],
    ['half a response', { close => 'mid_headers' }, qr/provider sent an incomplete response at "\S+\/revoke"/],
    ['silence', { hold => 1 }, qr/provider did not respond in time at "\S+\/revoke"/],
);

my @methods = qw/ HEAD PUT DELETE OPTIONS PATCH /;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(keys(%location) + 2 * @intended + 2 * @not_intended + 2 * @destinations + keys(%attributes)
    + 3 * @revocation_failures + 2 * @methods + 144);

my $op = provider($t, 8081, revocation => 1);
my $bare = provider($t, 8082, metadata => { end_session_endpoint => undef });
my $gone = provider($t, 8083);
my $slow = provider($t, 8084);
$clock->follow($op, $bare, $gone, $slow);
my $redis = redis($t, 8379, clock => $clock);

my %bare = (issuer => 'http://127.0.0.1:8082');
my %gone = (issuer => 'http://127.0.0.1:8083');
my %slow = (issuer => 'http://127.0.0.1:8084');
my $issuer = $op->issuer;

my $conf = nginx_conf(
    <<'EOF',
    oidc_session_store memory { type memory; }
    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }

    oidc_state_zone 1m;
EOF
    oidc_provider('plain', 'logout_uri /logout; redirect_uri /callback', redirect_uri => undef),
    with_logout('path', 'post_logout_uri /bye?a=b'),
    with_logout('absolute', 'post_logout_uri https://www.example.com/bye?a=b'),
    with_logout('query', 'post_logout_uri /bye; end_session_endpoint http://127.0.0.1:8081/end_session?ui=1'),
    with_logout('hint', 'post_logout_uri /bye; logout_token_hint on'),

    with_logout('domain', 'cookie_domain example.com'),
    with_logout('area', 'cookie_path /area', redirect_uri => '/area/callback'),
    with_logout('strict', 'cookie_samesite strict'),
    with_logout('none', 'cookie_samesite none'),
    with_logout('host', '', cookie_name => '__Host-sid'),
    with_logout('large', 'session_store cookie; session_claims all'),

    with_logout('page', '', %bare),
    with_logout('own_page', 'post_logout_uri /bye', %bare),
    with_logout('markup', q{post_logout_uri "/bye?a='b'&c=%22%20d"}, %bare),
    with_logout('gone', '', %gone),
    with_logout('gone_page', 'post_logout_uri /bye', %gone),
    with_logout('slow', SHORT_TIMEOUTS, %slow),
    with_logout('fixed', '', redirect_uri => 'http://localhost:%%PORT_8080%%/callback/fixed'),

    with_logout('revoke', 'revoke_on_logout on; ' . SHORT_TIMEOUTS),
    with_logout('revoke_post', 'revoke_on_logout on; client_auth client_secret_post'),
    with_logout('revoke_nowhere', 'revoke_on_logout on', %bare),
    with_logout('revoke_by_hand', 'revoke_on_logout on; revocation_endpoint http://127.0.0.1:8082/revoke', %bare),

    with_logout('memory', 'session_store memory'),
    with_logout('redis', 'session_store redis'),
    with_logout('shortened', 'session_timeout 1h'),
    with_logout('renewed', 'token_refresh 1h'),
    with_logout('renewed_redis', 'token_refresh 1h; session_store redis'),

    oidc_provider('first', 'logout_uri /logout/both'),
    oidc_provider('second', 'logout_uri /logout/both', %bare),
    site('user $oidc_claim_sub', <<'EOF'),
        location = /area/ { auth_oidc area; proxy_pass http://127.0.0.1:8080/app; }
        location = /bye   { return 200 "goodbye, state $arg_state"; }
EOF
    map({ <<"EOF" } sort keys %location),
    server {
        listen      127.0.0.1:8080;
        server_name $_.example.com;

        location /        { auth_oidc plain; proxy_pass http://127.0.0.1:8080/app; }
        location /app     { return 200; }
        location /logout  { $location{$_} }
    }
EOF
    <<'EOF');
    server {
        listen      127.0.0.1:8080;
        server_name closed.example.com;

        rewrite ^/logout /elsewhere permanent;
        deny    all;

        location /page { allow all; auth_oidc plain; proxy_pass http://127.0.0.1:8080/app; }
    }

    server {
        listen      127.0.0.1:8080;
        server_name app.example.com;

        add_header X-Error $oidc_error always;

        location / { auth_oidc $arg_op; proxy_pass http://127.0.0.1:8080/app; }
    }

    server {
        listen        127.0.0.1:8080;
        server_name   based.example.com;
        oidc_base_url https://www.example.com:8443;

        location / { auth_oidc path; proxy_pass http://127.0.0.1:8080/app; }
    }

    server {
        listen      127.0.0.1:8080;
        server_name stranger.example.com;

        location / { return 404 "no such page"; }
    }
EOF

# Do not read the system's certificates for every oidc_provider.
$ENV{SSL_CERT_FILE} = '/dev/null';

my $workers = Test::OIDC::Workers->start($t, $conf);
log_mark($t);

# A logout ends the session and all copies of it.

my ($browser, $other) = (user('plain'), user('plain'));
my $copy = $browser->clone;

my $answer = $browser->get('/logout?op=path&post_logout_redirect_uri=https://evil.example.com/');
my $sent = query($answer->{location});
is($answer->{status}, 302, 'a logout is a redirect');
like($answer->{headers}{location}, qr/^\Q$issuer\E\/end_session\?/, 'a logout redirects to the end_session_endpoint');
is(join(' ', sort keys %$sent), 'client_id state', 'the redirect has no parameters of the logout request');
is($sent->{client_id}, 'client', 'the redirect has the client_id');
like($sent->{state}, qr/^[\w-]{22}$/, 'the redirect has a state');
is($answer->{headers}{'cache-control'}, 'no-store', 'the redirect has Cache-Control: no-store');
is($answer->{headers}{'referrer-policy'}, 'no-referrer', 'the redirect has Referrer-Policy: no-referrer');
is_deeply([deleted_by($answer)], ['plain=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax'],
    'the redirect deletes the session cookie');
is($op->count('/end_session'), 0, 'nginx sends no request to the end_session_endpoint');
is(scalar(error_log_lines($t, qr/oidc:/)), 0, 'a logout logs nothing');

is($browser->follow($answer)->{status}, 200, 'the provider accepts the redirect');
is($browser->get(page_of('plain'))->{status}, 302, 'the next page needs a login');
is(in_every_worker($copy, 'plain'), '302 302', 'every worker refuses a copied cookie');
is(in_every_worker($other, 'plain'), '200 200', 'another session of the same user continues');

$workers->reload;
is(in_every_worker($copy, 'plain'), '302 302', 'after a reload every worker refuses the copied cookie');
is(in_every_worker($other, 'plain'), '200 200', 'after a reload the other session continues');

isnt(query($other->get('/logout')->{location})->{state}, $sent->{state}, 'each logout has its own state');
is($browser->login(page_of('plain'))->{status}, 200, 'a login after a logout succeeds');

# form-action in the policy of a page forbids redirects of a form to other sites: the response to a posted
# logout is a page that leads to the provider.

$copy = $browser->clone;
$answer = $browser->post('/logout', {});
is($answer->{status}, 200, 'a posted logout: the response is a page');
is($answer->{headers}{location}, undef, 'a posted logout: no redirect');
like($answer->{headers}{refresh} // '', qr/^0; url=\Q$issuer\E\/end_session\?client_id=client&state=[\w-]{22}$/,
    'a posted logout: the page leads to the provider at once');
is(link_in($answer), $answer->{refresh}, 'a posted logout: the page has a link to the provider, too');
like($answer->{body}, qr/<title>Logging out<\/title>/, 'a posted logout: the page has a title');
unlike($answer->{body}, qr/<script|alice/i, 'a posted logout: the page has no script and no user name');
is("$answer->{headers}{'content-type'} $answer->{headers}{'cache-control'} $answer->{headers}{'referrer-policy'}",
    'text/html no-store no-referrer', 'a posted logout: the page is not stored and has Referrer-Policy: no-referrer');
is_deeply([deleted_by($answer)], ['plain=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax'],
    'a posted logout: the cookie is deleted');
$answer = $browser->follow($answer);
$sent = ($op->requests('/end_session'))[-1];
is("$answer->{status} $sent->{method} $sent->{verdict}", '200 GET ok',
    'a posted logout: the provider accepts the request');
is($browser->get(page_of('plain'))->{status}, 302, 'a posted logout: ends the session');
is(in_every_worker($copy, 'plain'), '302 302', 'a posted logout: every worker refuses a copied cookie');

$browser = user('own_page');
$answer = $browser->post(logout_of('own_page'), {});
is(onward($answer), "$own/bye", 'a posted logout, no endpoint: the page leads to post_logout_uri');
is($browser->follow($answer)->{body}, 'goodbye, state ', 'a posted logout, no endpoint: post_logout_uri is shown');

$browser = user('markup');
$answer = $browser->post(logout_of('markup'), {});
is(onward($answer), "$own/bye?a='b'&c=%22%20d",
    'a posted logout, a URL with markup characters: the page leads to it');
my ($link) = $answer->{body} =~ /<a href="(.*?)">/s;
unlike($link // '<', qr/[<>"]|&(?!#\d+;|(?:amp|lt|gt|quot);)/,
    'a posted logout, a URL with markup characters: it is escaped');
is(user('markup')->get(logout_of('markup'))->{headers}{location}, "$own/bye?a='b'&c=%22%20d",
    'a logout by GET, a URL with markup characters: a redirect');

# logout_uri takes precedence over locations.

for my $what (sort keys %location) {
    is(logged_out_of("http://$what.example.com:" . port(8080)), '302 302', "location with $what");
}
is(logged_out_of('http://closed.example.com:' . port(8080)), '302 302',
    'a server that denies and rewrites everything');
is(browser(base => 'http://stranger.example.com:' . port(8080))->get('/logout')->{status}, 404,
    'a server that does not use the provider');

# The cookie is deleted with the attributes with which it was set.

for my $name (sort keys %attributes) {
    my ($provider, $base, $page) = @{ $attributes{$name} };
    my $login = browser(base => $base)->login($page || page_of($provider));
    my ($made) = grep { /^(?:$provider|__Host-sid)=/ } map { @{ $_->{set_cookie} } } @{ $login->{hops} };

    my $user = user($provider, base => $base, page => $page);
    my ($deleted) = deleted_by($user->get(($page ? '/area' : '') . logout_of($provider)));
    is($deleted, $made =~ s/=[^;]*/=/r =~ s/(?=; HttpOnly)/; Max-Age=0/r, "attributes of a cookie, $name");
}

$op->set(user => { sub => 'alice', note => 'x' x 3000 });
$browser = user('large');
$op->reset;
is(join(' ', session_cookies($browser)), 'large large.1', 'a session of two cookies');
is(join(' ', sort map { /^(.*?)=;/ } deleted_by($browser->get(logout_of('large')))), 'large large.1',
    'a session of two cookies: both are deleted');
is(join(' ', session_cookies($browser)), '', 'a session of two cookies: the browser keeps none');

# Where the browser is redirected

for my $case (@destinations) {
    my ($name, $provider, $base, $expected) = @$case;
    my $user = user($provider);
    my $session = $user->cookie($provider);
    $user = browser(base => $base)->set_cookie("$provider=$session; Path=/");
    my $id_token = $op->last_login->{issued}{id_token};

    my $res = $user->get(logout_of($provider));
    my $params = query($res->{location});
    delete @$params{qw/ client_id state /};
    s/%%id_token%%/$id_token/ for values %{ $expected = {%$expected} };
    is_deeply($params, $expected, "$name: parameters for the provider");

    $user->get($res->{location});
    is(($op->requests('/end_session'))[-1]{verdict}, 'ok', "$name: the provider accepts them");
}

$answer = user('path')->login(logout_of('path'));
like($answer->{body}, qr/^goodbye, state [\w-]{22}$/, 'the provider redirects back with the state');

# A provider without end_session_endpoint

($browser) = user('own_page');
$copy = $browser->clone;
$answer = $browser->get(logout_of('own_page'));
is("$answer->{status} $answer->{headers}{location}", "302 $own/bye", 'no endpoint: a redirect to post_logout_uri');
is($browser->cookie('own_page'), undef, 'no endpoint: the cookie is deleted');
is($copy->get(page_of('own_page'))->{status}, 302, 'no endpoint: a copied cookie is refused');

$browser = user('page');
$copy = $browser->clone;
$answer = $browser->get(logout_of('page'));
is($answer->{status}, 200, 'neither endpoint nor post_logout_uri: a page');
like($answer->{body}, qr/You are logged out/,
    'neither endpoint nor post_logout_uri: the page says that the user is logged out');
is("$answer->{headers}{'content-type'} $answer->{headers}{'cache-control'}", 'text/html no-store',
    'neither endpoint nor post_logout_uri: the page is HTML and not stored');
is($browser->cookie('page'), undef, 'neither endpoint nor post_logout_uri: the cookie is deleted');
is($copy->get(page_of('page'))->{status}, 302, 'neither endpoint nor post_logout_uri: a copied cookie is refused');
$answer = user('page')->post(logout_of('page'), {});
like($answer->{body}, qr/You are logged out/,
    'neither endpoint nor post_logout_uri: a posted logout has the same page');
is("$answer->{status} " . ($answer->{headers}{refresh} // ''), '200 ',
    'neither endpoint nor post_logout_uri: the page leads nowhere');

# Which requests log a user out

for my $case (@intended) {
    my ($name, $headers) = @$case;
    my $user = user('plain');
    is($user->get('/logout', headers => $headers)->{status}, 302, "$name: a logout");
    is($user->get(page_of('plain'))->{status}, 302, "$name: the session has ended");
}

$browser = user('plain');
my $asked;
for my $case (@not_intended) {
    my ($name, $headers) = @$case;
    $asked = $browser->get('/logout', headers => $headers);
    is(page_summary($asked), '200 to be confirmed', "$name: a confirmation page");
    is($browser->get(page_of('plain'))->{status}, 200, "$name: the session continues");
}

is($asked->{headers}{'content-security-policy'}, q{frame-ancestors 'none'}, 'the confirmation page cannot be framed');
is("$asked->{headers}{'content-type'} $asked->{headers}{'cache-control'}", 'text/html no-store',
    'the confirmation page is HTML and not stored');
is($asked->{headers}{'referrer-policy'}, 'no-referrer', 'the confirmation page has Referrer-Policy: no-referrer');
unlike($asked->{body}, qr/alice|script|https?:/i, 'the confirmation page has no user name, script or link');
is(confirmation_in($browser->get('/logout', headers => \%from_elsewhere)), confirmation_in($asked),
    'the confirmation of one session is always the same');

$other = user('plain');
my $others = confirmation_in($other->get('/logout', headers => \%from_elsewhere));
isnt($others, confirmation_in($asked), 'the confirmation of another session differs');

# Cross-site posts that are not the page's form, even if they carry the cookie

my $confirmation = confirmation_in($asked);
my %forged = (
    'no form' => {},
    'an empty confirmation' => { confirm => '' },
    'a guessed confirmation' => { confirm => 'x' x 22 },
    'the confirmation of another session' => { confirm => $others },
    'a confirmation cut short' => { confirm => substr $confirmation, 0, 21 },
    'a confirmation with more' => { confirm => "${confirmation}x" },
    'a confirmation twice' => { confirm => [$confirmation, $confirmation] },
    'a confirmation of another name' => { state => $confirmation },
);
for my $name (sort keys %forged) {
    my $res = $browser->post('/logout', $forged{$name}, headers => \%from_elsewhere);
    is(page_summary($res) . ' ' . $browser->get(page_of('plain'))->{status}, '200 to be confirmed 200',
        "posted from elsewhere, $name: the session continues");
}
$answer = $browser->post('/logout', "confirm=$confirmation",
    headers => { %from_elsewhere, 'Content-Type' => 'text/plain' });
is(page_summary($answer), '200 to be confirmed',
    'posted from elsewhere, another content type: the session continues');

# The form of the confirmation page

$answer = $browser->post($asked->{url}, { confirm => $confirmation },
    headers => { 'Sec-Fetch-Site' => 'same-origin', 'Origin' => 'null' });
like(onward($answer), qr/^\Q$issuer\E\/end_session\?/, 'the confirmation form: a logout');
is($browser->get(page_of('plain'))->{status}, 302, 'the confirmation form: the session has ended');
is($other->get(page_of('plain'))->{status}, 200, 'the confirmation form: another session continues');

# The page has Referrer-Policy: no-referrer, so an old browser sends Origin: null.
$answer = $other->post('/logout', { confirm => $others }, headers => { %silent, 'Origin' => 'null' });
like(onward($answer), qr/^\Q$issuer\E\/end_session\?/, 'the confirmation form from an old browser: a logout');
is($other->get(page_of('plain'))->{status}, 302, 'the confirmation form from an old browser: the session has ended');

$browser->login(page_of('plain'));
is(page_summary($browser->post('/logout', { confirm => $confirmation }, headers => \%from_elsewhere)),
    '200 to be confirmed', 'a confirmation form of an earlier session ends nothing');

# Without a session no confirmation is needed.

for my $headers ({}, \%from_elsewhere) {
    my $name = %$headers ? 'no session, from elsewhere' : 'no session';
    my $res = browser()->get('/logout', headers => $headers);
    like($res->{headers}{location}, qr/^\Q$issuer\E\/end_session\?client_id=client&state=[\w-]{22}$/,
        "$name: a redirect to the provider");
    is_deeply($res->{set_cookie}, [], "$name: no cookie is set");
}
$answer = browser()->set_cookie('plain=garbage; Path=/')->get('/logout');
is_deeply([$answer->{status}, deleted_by($answer)],
    [302, 'plain=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax'], 'an invalid session cookie is deleted');

# A cross-site post lacks the Lax cookie: there is no session, and no cookie is deleted.
$answer = $browser->post('/logout', {}, from => "$evil/");
like(onward($answer), qr/^\Q$issuer\E\/end_session\?/,
    'a post from elsewhere without cookies: leads to the provider');
is_deeply([deleted_by($answer)], [], 'a post from elsewhere without cookies: no cookie is deleted');
is($browser->get(page_of('plain'))->{status}, 200, 'a post from elsewhere without cookies: the session continues');

# Requests that are refused

log_mark($t);
is(outcome(browser(base => $app)->get(logout_of('fixed'))), '400 request_host',
    'another host than that of redirect_uri');
ok(log_has($t, complaint('fixed', qr/client requested host "\S+", which shares no cookies with redirect_uri "\S+"/)),
    'another host than that of redirect_uri: logged');

for my $method (@methods) {
    log_mark($t);
    is(outcome($browser->request($method, '/logout')) =~ s/^400$/400 logout_malformed/r, '400 logout_malformed',
        "method $method is refused");
    ok(log_has($t, complaint('plain', qq{client sent unsupported method "$method"})), "method $method: logged");
}
is($browser->get(page_of('plain'))->{status}, 200, 'refused methods end nothing');

my $large = 'confirm=' . 'x' x (32 * 1024);
log_mark($t);
is(outcome($browser->post('/logout', $large, headers => form())), '400 logout_malformed',
    'a form of more than 32 KB is refused');
ok(log_has($t, complaint('plain', 'client sent an oversized form')), 'a form of more than 32 KB: logged');
is(outcome($browser->post('/logout', chunked($large), headers => form('Content-Length' => undef,
    'Transfer-Encoding' => 'chunked'))), '400 logout_malformed', 'a chunked form of more than 32 KB is refused');
is($browser->get(page_of('plain'))->{status}, 200, 'forms that are too large end nothing');

# Revocation of tokens

$op->set(refresh => {})->clear;
for my $provider (qw/ revoke revoke_post /) {
    my $user = user($provider);
    my $issued = $op->last_login->{issued};
    is($user->get(logout_of($provider))->{status}, 302, "$provider: a logout");
    my ($request) = $op->requests('/revoke');
    is("$request->{params}{token} $request->{params}{token_type_hint}", "$issued->{refresh_token} refresh_token",
        "$provider: the refresh token is revoked");
    is($request->{verdict}, 'ok', "$provider: the provider accepts the request");
    $op->clear;
}

# The session ends before the provider responds.
$browser = user('revoke_post');
$copy = $browser->clone;
$op->clear->set(respond => { '/revoke' => { hold => 1 } });
my $request = $browser->start(logout_of('revoke_post'));
is($op->wait_for('/revoke', 1), 1, 'the revocation request waits for the response');
is($copy->get(page_of('revoke_post'))->{status}, 302, 'the session has ended while the revocation waits');
$op->set(respond => {});
is($browser->finish($request)->{status}, 302, 'the logout continues after the revocation');

for my $case (@revocation_failures) {
    my ($name, $break, $sentence) = @$case;
    my $user = user('revoke');
    my $thief = $user->clone;
    $op->set(respond => { '/revoke' => $break });
    log_mark($t);
    like($user->get(logout_of('revoke'))->{location} // '', qr/\/end_session\?/,
        "revocation, $name: the logout continues");
    is($thief->get(page_of('revoke'))->{status}, 302, "revocation, $name: the session has ended");
    ok(log_has($t, complaint('revoke', $sentence)), "revocation, $name: logged");
    $op->set(respond => {});
}

$op->reset->clear;
$browser = user('revoke');
my $issued = $op->last_login->{issued};
$browser->get(logout_of('revoke'));
($request) = $op->requests('/revoke');
is("$request->{params}{token} $request->{params}{token_type_hint}", "$issued->{access_token} access_token",
    'without a refresh token, the access token is revoked');

$op->clear;
browser()->get(logout_of('revoke'));
is($op->count, 0, 'without a session, nothing is revoked');
user('plain')->get('/logout');
is($op->count('/revoke'), 0, 'without revoke_on_logout, nothing is revoked');

log_mark($t);
is(user('revoke_nowhere')->get(logout_of('revoke_nowhere'))->{status}, 200, 'no revocation endpoint: a logout');
is(scalar(error_log_lines($t, qr/oidc:/)), 0, 'no revocation endpoint: nothing is logged');
user('revoke_by_hand')->get(logout_of('revoke_by_hand'));
is($bare->count('/revoke'), 1, 'a configured revocation_endpoint is used');

# Repeated logins and logouts are not a loop.

$browser = browser();
my @rounds = map {
    my $in = $browser->login(page_of('plain'))->{status};
    $in . $browser->login('/logout')->{status};
} 1 .. 6;
is("@rounds", join(' ', ('200200') x 6), 'six logins and logouts in a row');

# Sessions in a store

($browser, $other) = (user('redis'), user('redis'));
my $thief = $browser->clone;
is(kept_in($redis), 2, 'Redis: two sessions are stored');
is($browser->get(logout_of('redis'))->{status}, 302, 'Redis: a logout');
is(kept_in($redis), 1, 'Redis: the logout deletes the session');
is(in_every_worker($thief, 'redis'), '302 302', 'Redis: every worker refuses a copied cookie');
is(in_every_worker($other, 'redis'), '200 200', 'Redis: another session continues');
$redis->kill;
log_mark($t);
$answer = $other->get(logout_of('redis'));
is(outcome($answer), '503 store_unreachable', 'Redis down: the logout is not reported as complete');
is($other->cookie('redis'), undef, 'Redis down: the cookie is deleted');
like($answer->{body}, qr/logged out in this browser.*Copies of your session elsewhere/s,
    'Redis down: the page says that copies may still work');
ok(log_has($t, complaint('redis', qr/store could not be reached at "\S+"/)), 'Redis down: logged');
$redis->start;

($browser, $other) = (user('memory'), user('memory'));
$thief = $browser->clone;
is($browser->get(logout_of('memory'))->{status}, 302, 'memory: a logout');
is(in_every_worker($thief, 'memory'), '302 302', 'memory: every worker refuses a copied cookie');

# A logout while tokens are renewed

$op->set(refresh => {}, expires_in => 300);
my %renewed = map { $_ => user($_) } qw/ renewed renewed_redis /;
$clock->advance(245);
for my $provider (sort keys %renewed) {
    my $user = $renewed{$provider};
    my $before = $user->clone;
    $op->clear->set(respond => { '/token refresh' => { hold => 1 } });
    my $page = $user->start(page_of($provider));
    is($op->wait_for('/token refresh', 1), 1, "$provider: a refresh request waits for the response");
    is($before->clone->get(logout_of($provider))->{status}, 302, "$provider: a logout during the renewal");
    $op->set(respond => {});
    is($user->finish($page)->{status}, 200, "$provider: the request that renews succeeds");
    is($user->get(page_of($provider))->{status}, 302, "$provider: the session has ended in spite of the renewal");
    is($before->get(page_of($provider))->{status}, 302, "$provider: a copy of the replaced cookie is refused");
}
$op->reset;

# Two providers with the same logout_uri: the first with a session is logged out.

my $both = browser();
$both->login(page_of($_)) for qw/ first second /;
is(browser()->get('/logout/both')->{location} =~ s/\?.*//r, "$issuer/end_session",
    'one logout_uri, no session: the first provider');
my $second = user('second');
is($second->get('/logout/both')->{status}, 200, 'one logout_uri, a session of the second provider: its page');
is($second->get(page_of('second'))->{status}, 302, 'one logout_uri, a session of the second provider: it has ended');
is($both->get('/logout/both')->{location} =~ s/\?.*//r, "$issuer/end_session",
    'one logout_uri, sessions of both providers: the first provider');
is(join(' ', map { $both->get(page_of($_))->{status} } qw/ first second /), '302 200',
    'one logout_uri, sessions of both providers: the first has ended');
$both->get('/logout/both');
is($both->get(page_of('second'))->{status}, 302,
    'one logout_uri, sessions of both providers: the next logout ends the second');

# A provider without metadata: a new zone size gives an empty zone. The zone has lost its revocation records,
# too, but sessions deleted from a store stay deleted.

my ($down, $down_page, $waits, $long) = map { user($_) } qw/ gone gone_page slow shortened /;
$workers->reload($conf =~ s/oidc_state_zone 1m/oidc_state_zone 2m/r =~ s/session_timeout 1h/session_timeout 1s/r);

# The record is kept as long as a session that began with a longer session_timeout may live.
my $longer = $long->clone;
is($long->get(logout_of('shortened'))->{status}, 302, 'a shortened session_timeout: a logout');

is(in_every_worker($thief, 'memory'), '302 302', 'memory: the session has been deleted from the store');
is(in_every_worker($other, 'memory'), '200 200', 'memory: another session is still in the store');

$slow->set(respond => { '/.well-known/openid-configuration' => { hold => 1 } });
log_mark($t);
$copy = $waits->clone;
is($waits->get(logout_of('slow'))->{status}, 200, 'provider silent: a logout');
is($waits->cookie('slow'), undef, 'provider silent: the cookie is deleted');
isnt($copy->get(page_of('slow'))->{status}, 200, 'provider silent: a copied cookie is refused');
ok(log_has($t, complaint('slow', qr/provider did not respond in time at "\S+"/)), 'provider silent: logged');

$gone->stop;
log_mark($t);
$copy = $down->clone;
$answer = $down->get(logout_of('gone'));
is($answer->{status}, 200, 'provider down: a logout');
like($answer->{body}, qr/You are logged out/, 'provider down: the page says that the user is logged out');
is($down->cookie('gone'), undef, 'provider down: the cookie is deleted');
isnt($copy->get(page_of('gone'))->{status}, 200, 'provider down: a copied cookie is refused');
ok(log_has($t, complaint('gone', qr/provider could not be reached at "\S+"/)), 'provider down: logged');

$copy = $down_page->clone;
is($down_page->get(logout_of('gone_page'))->{headers}{location}, "$own/bye",
    'provider down: a redirect to post_logout_uri');
isnt($copy->get(page_of('gone_page'))->{status}, 200, 'provider down, post_logout_uri: a copied cookie is refused');

$clock->advance(2);
user('plain')->get('/logout');    # removes expired records
is($longer->get(page_of('shortened'))->{status}, 302, 'a shortened session_timeout: a copied cookie is refused');

# ------------------------------------------------------------------------------------------------------

sub logout_of { return '/logout' . ($_[0] eq 'plain' ? '' : "/$_[0]") }

sub with_logout {
    my ($name, $directives, %changes) = @_;

    my $prefix = $name eq 'area' ? '/area' : '';
    return oidc_provider($name, join('; ', "logout_uri $prefix/logout/$name", $directives || ()), %changes);
}

# A browser that is logged in
sub user {
    my ($provider, %options) = @_;

    my $page = delete $options{page};
    $op->clear;
    my $res = login($page || page_of($provider), %options);
    die "no login: $res->{status} $res->{body}" if $res->{status} != 200;
    return $res->{browser};
}

# Names of the session cookies, and the headers that delete them, both without the login cookies
sub session_cookies { return sort grep { !/_login_/ } map { $_->{name} } shift->cookies }
sub deleted_by { return sort grep { !/_login_/ && /; Max-Age=0/ } @{ shift->{set_cookie} } }

# The target of the link of a page; the target of the page's refresh if it is the same
sub link_in {
    my ($res) = @_;

    return $res->{body} =~ /<a href="([^"]*)">/ ? html_unescape($1) : 'nowhere';
}

sub onward {
    my ($res) = @_;

    my $link = link_in($res);
    return $res->{status} == 200 && ($res->{refresh} // '') eq $link ? $link : "nowhere, status $res->{status}";
}

sub logged_out_of {
    my ($base) = @_;

    my $user = user('plain', base => $base, page => '/page');
    return join ' ', map { $user->get($_)->{status} } '/logout', '/page';
}

sub kept_in {
    my ($redis) = @_;

    my @names = $redis->key_names('oidc:session:*');
    return scalar @names;
}

sub page_summary {
    my ($res) = @_;

    my $is_confirmation = !@{ $res->{set_cookie} } && confirmation_in($res);
    return $res->{status} . ($is_confirmation ? ' to be confirmed' : '');
}

sub confirmation_in {
    my ($res) = @_;

    return $res->{body} =~
        /<form method="post"><input type="hidden" name="confirm" value="([\w-]{22})"><button>/ ? $1 : '';
}

sub form { return { 'Content-Type' => 'application/x-www-form-urlencoded', @_ } }

sub chunked { return sprintf "%x\r\n%s\r\n0\r\n\r\n", length $_[0], $_[0] }

sub complaint {
    my ($provider, $sentence) = @_;

    $sentence = quotemeta $sentence unless ref $sentence;
    return qr/\[(?:warn|error)\] .* oidc: $sentence while logging out, provider "$provider"/;
}

sub in_every_worker {
    my ($user, $provider) = @_;

    return $workers->each(sub { $user->get(page_of($provider))->{status} });
}
