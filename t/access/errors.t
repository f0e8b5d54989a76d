#!/usr/bin/perl

# Tests for failures: each has its status, its word in $oidc_error, one line in the error log with provider,
# action and reason, a page that error_page can replace, and no secret anywhere.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC::Clock;

use Test::OIDC;
use Test::OIDC::Site qw/ http_conf oidc_provider /;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/);
my $clock = Test::OIDC::Clock->new($t);
$t->plan(315);

my $op = provider($t, 8081, client_id => 'client');
$clock->follow($op);

# Each is at /NAME/, with a cookie NAME and a callback /callback/NAME. Those with a number are for one case
# each: they have no document that the case breaks, and a provider that failed twice is not requested again
# for a while.
my %provider = (
    (map { ("fresh_$_" => '') } 1 .. 8),
    (map { ("keyless_$_" => '') } 1 .. 3),
    methods => '',
    main => '',
    silent => SHORT_TIMEOUTS,
    slow => SHORT_TIMEOUTS,
    brief => 'pre_auth_timeout 1m',
    large => 'session_claims all; session_store cookie',
    closed => '',
    elsewhere => '',
);
my %changes = (
    closed => { issuer => 'http://127.0.0.1:8082' },
    elsewhere => { redirect_uri => 'https://login.example.com/callback/elsewhere' },
);

my $locations = join '', map { "location /$_/ { auth_oidc $_; proxy_pass http://127.0.0.1:8083; }\n" }
    sort keys %provider;

$t->write_file_expand('nginx.conf', http_conf(
    (map { oidc_provider($_, $provider{$_}, %{ $changes{$_} || {} }) } sort keys %provider),
    <<'EOF' =~ s/%%LOCATIONS%%/$locations/gr));
    add_header X-Error       $oidc_error always;
    add_header X-Description $oidc_error_description always;

    access_log %%TESTDIR%%/access.log;
    access_log %%TESTDIR%%/combined.log combined;

    server {
        listen      127.0.0.1:8080;
        server_name localhost;

        %%LOCATIONS%%
    }

    server {
        listen      127.0.0.1:8080;
        server_name page.localhost;

        error_page 400 403     /sorry;
        error_page 500 502 504 @sorry;

        %%LOCATIONS%%

        location = /sorry {
            internal;
            proxy_pass http://127.0.0.1:8083/page;
        }

        location @sorry {
            rewrite ^ /page break;
            proxy_pass http://127.0.0.1:8083;
        }
    }

    server {
        listen 127.0.0.1:8083;

        location / {
            return 200 "application";
        }

        location /page {
            add_header X-Page sorry;
            return 200 "sorry: $oidc_error";
        }
    }
EOF

$t->run();

my (@secrets, %seen);
my $secret = 'secret-of-at-least-thirty-two-bytes';

my $discovery = '/.well-known/openid-configuration';
my $http = qr/http:\/\/127\.0\.0\.1:\d+/;
my $aside = { alg => 'RS256', key => 'rsa-2', header => { kid => 'nobody' } };

# At /NAME/ with these knobs: status and word, level, sentence.

my $used = 0;

fails($t, $op, 'fresh_' . ++$used, @$_) for (
    ['metadata: status', { respond => { $discovery => { status => 503 } } },
        '502 upstream_status', 'error', qr/provider returned status 503/],
    ['metadata: no JSON type', { respond => { $discovery => { headers => { 'Content-Type' => 'text/html' } } } },
        '502 upstream_status', 'error', qr/provider sent content type "text\/html" instead of JSON/],
    ['metadata: no JSON', { respond => { $discovery => { body => '<html>' } } },
        '502 upstream_metadata', 'error', qr/provider sent metadata that is malformed JSON/],
    ['metadata: another issuer', { metadata => { issuer => 'http://127.0.0.1' } },
        '502 upstream_metadata', 'error', qr/provider sent metadata of another issuer, "http.*" instead of ".*"/],
    ['metadata: no endpoint', { metadata => { token_endpoint => undef } },
        '502 upstream_metadata', 'error', qr/provider sent metadata without token_endpoint/],
    ['metadata: too large', { respond => { $discovery => { pad => 1_100_000 } } },
        '502 upstream_answer', 'error', qr/provider sent an oversized response at "$http\/\S+"/],
    ['metadata: cut short', { respond => { $discovery => { close => 'mid_body' } } },
        '502 upstream_answer', 'error', qr/provider sent an incomplete response at "$http\/\S+"/],
    ['metadata: no HTTP', { respond => { $discovery => { raw => "SSH-2.0-OpenSSH_9.2\r\n" } } },
        '502 upstream_answer', 'error', qr/provider sent no HTTP response at "$http\/\S+"/],
);

fails($t, $op, 'silent', 'metadata: too slow', { respond => { $discovery => { hold => 1 } } },
    '504 upstream_timeout', 'error', qr/provider did not respond in time at "$http$discovery"/);

fails($t, $op, 'closed', 'metadata: connection refused', {},
    '502 upstream_unreachable', 'error', qr/provider could not be reached at "$http$discovery"/);

fails($t, $op, 'elsewhere', 'a host that shares no cookie with redirect_uri', {}, '400 request_host', 'warn',
    qr/client requested host "\S+", which shares no cookies with redirect_uri "https:\/\/login.example.com\S+"/);

fails($t, $op, 'methods', 'client authentication', { client_auth => ['private_key_jwt'] },
    '500 config_unusable', 'error', qr/provider accepts no authentication method that uses a client_secret/);

$used = 0;

fails($t, $op, 'keyless_' . ++$used, @$_) for (
    ['keys: status', { respond => { '/jwks' => { status => 500 } } },
        '502 upstream_status', 'error', qr/provider returned status 500/],
    ['keys: none', { respond => { '/jwks' => { body => '{}' } } },
        '502 upstream_keys', 'error', qr/provider sent a key set without "keys"/],
    ['keys: reset', { respond => { '/jwks' => { reset => 'mid_body' } } },
        '502 upstream_answer', 'error', qr/provider sent an incomplete response at "$http\/jwks"/],
);

fails($t, $op, 'slow', 'token: too slow', { respond => { '/token' => { hold => 1 } } },
    '504 upstream_timeout', 'error', qr/provider did not respond in time at "$http\/token"/);

fails($t, $op, 'main', @$_) for (
    ['token: status', { respond => { '/token' => { status => 500, body => 'oops' } } },
        '502 upstream_status', 'error', qr/provider returned status 500/],
    ['token: no JSON', { respond => { '/token' => { body => '{' } } },
        '502 upstream_token', 'error', qr/provider sent a token response that is malformed JSON/],
    ['token: no access token', { token => { access_token => undef } },
        '502 upstream_token', 'error', qr/provider sent a token response without a valid access token/],
    ['token: another type', { token => { token_type => 'mac' } },
        '502 upstream_token', 'error', qr/provider sent a token response whose token type is not Bearer/],
    ['token: cut short', { respond => { '/token' => { close => 'mid_body' } } },
        '502 upstream_answer', 'error', qr/provider sent an incomplete response at "$http\/token"/],
    ['token: invalid_grant', { respond => { '/token' => { status => 400, body => { error => 'invalid_grant' } } } },
        '400 provider_invalid_grant', 'error', qr/provider returned error "invalid_grant"/],
    (map {
        ["token: $_", { respond => { '/token' => { status => 400, body => { error => $_ } } } },
            "500 provider_$_", 'error', qr/provider returned error "$_"/]
    } qw/ invalid_scope unauthorized_client unsupported_response_type /),
    (map {
        ["token: $_", { respond => { '/token' => { status => 400, body => { error => $_ } } } },
            "502 provider_$_", 'error', qr/provider returned error "$_"/]
    } qw/ access_denied interaction_required invalid_request server_error temporarily_unavailable /),
    ['token: invalid_client', { client_secret => 'another' },
        '500 provider_invalid_client', 'error', qr/provider returned error "invalid_client", "wrong client.*"/],

    ['id token: none', { token => { id_token => undef } },
        '403 id_token_missing', 'error', qr/provider sent a token response without an id token/],
    ['id token: two parts', { id_token => { token => '%%header%%.%%claims%%' } },
        '403 id_token_malformed', 'error', qr/id token is not a JWS of three parts/],
    ['id token: alg none', { id_token => { alg => 'none' } },
        '403 id_token_alg', 'error', qr/id token is signed with "none", which id_token_alg does not list/],
    ['id token: crit', { id_token => { header => { crit => ['x'], x => 1 } } },
        '403 id_token_crit', 'error', qr/id token has a critical extension/],
    ['id token: unknown key', { id_token => $aside },
        '502 id_token_key', 'error', qr/id token .*"nobody"/],
    ['id token: signature', { id_token => { signature => 'flip' } },
        '502 id_token_signature', 'error', qr/id token has a bad signature/],
    ['id token: issuer', { id_token => { claims => { iss => 'http://127.0.0.1' } } },
        '403 id_token_issuer', 'error', qr/id token has a wrong issuer "http:\/\/127.0.0.1"/],
    ['id token: subject', { id_token => { claims => { sub => undef } } },
        '403 id_token_subject', 'error', qr/id token has no sub of 1 to 255 ASCII characters/],
    ['id token: audience', { id_token => { claims => { aud => 'other' } } },
        '403 id_token_audience', 'error', qr/id token is for another audience, "\S+other\S+"/],
    ['id token: azp', { id_token => { claims => { azp => 'other' } } },
        '403 id_token_azp', 'error', qr/id token was issued to another party, azp "\S+other\S+"/],
    ['id token: expired', { id_token => { claims => { exp => now(-3600) } } },
        '502 id_token_expired', 'error', qr/id token .*expired.*/],
    ['id token: not yet valid', { id_token => { claims => { nbf => now(3600) } } },
        '502 id_token_not_yet_valid', 'error', qr/id token is not valid yet/],
    ['id token: issued at', { id_token => { claims => { iat => undef } } },
        '502 id_token_issued_at', 'error', qr/id token has no iat/],
    ['id token: nonce', { id_token => { claims => { nonce => 'other' } } },
        '403 id_token_nonce', 'error', qr/id token .*nonce.*/],
    ['id token: at_hash', { id_token => { claims => { at_hash => 'other' } } },
        '403 id_token_at_hash', 'error', qr/id token .*at_hash.*/],

    ['callback: another issuer', { callback => { iss => 'http://other.example.com' } },
        '400 callback_issuer', 'error', qr/authorization response came from another issuer, "http.*"/],
    ['callback: no issuer', { callback => { iss => undef } },
        '400 callback_issuer', 'error', qr/authorization response has no iss, although the metadata announces it/],
    ['callback: no state', { callback => { state => undef } },
        '400 state_missing', 'warn', qr/client sent no state/],
    ['callback: another state', { callback => { state => 'other' } },
        '400 state_invalid', 'warn', qr/client sent an unknown state/],
    ['callback: no code', { callback => { code => undef } },
        '400 callback_malformed', 'warn', qr/client sent neither code nor error/],
    ['callback: code and error', { callback => { error => 'access_denied' } },
        '400 callback_malformed', 'warn', qr/client sent both code and error/],
    ['callback: two codes', { callback => { code => ['one', 'two'] } },
        '400 callback_malformed', 'warn', qr/client sent parameter code twice/],
    ['callback: a long code', { callback => { code => 'x' x 4097 } },
        '400 callback_malformed', 'warn', qr/client sent parameter code longer than 4096 bytes/],

    (map {
        ["provider: $_", { error => $_ }, "400 provider_$_", 'error', qr/provider returned error "$_"/]
    } qw/ account_selection_required consent_required interaction_required invalid_request invalid_scope
        login_required server_error temporarily_unavailable unauthorized_client unsupported_response_type /),
    ['provider: access_denied', { error => 'access_denied', callback => { error_description => "Not \"you\"\n" } },
        '403 provider_access_denied', 'warn',
        qr/provider returned error "access_denied", "Not \\x22you\\x22\\x0A"/],
    ['provider: a word of its own', { error => '<b>no</b>' },
        '400 provider_error', 'error', qr/provider returned error "\\x3Cb\\x3Eno\\x3C\/b\\x3E"/],
);

fails($t, $op, 'large', 'session too large', { id_token => { claims => { filler => 'x' x 8000 } } },
    '500 session_too_large', 'error', qr/session needs \d+ bytes of cookies, .*large_client_header_buffers .*/);

# An expired login is no failure: its page begins another one.

my $late = browser();
my $late_callback = callback_of($late, '/brief/');
$clock->advance(61);
log_mark($t);
my $again = $late->clear->get($late_callback);
like($again->{location}, qr/\/callback\/brief\?state=[^&]+$/, 'expired, without its cookie');
is($late->follow($again)->{headers}{location}, '/brief/', 'expired: to the page');
is(scalar(error_log_lines($t, qr/ oidc: /)), 0, 'expired: nothing is logged');

# Failures caused by the browser

log_mark($t);
my $first = browser();
my $callback = callback_of($first, '/main/');
my $other = browser();
$other->get('/main/');
refuses($t, 'main', 'state of another browser', $other->get($callback),
    '400 state_foreign', 'warn', qr/client sent the state of another browser/);

log_mark($t);
refuses($t, 'main', 'callback by POST', $first->post($callback, { a => 'b' }),
    '400 callback_malformed', 'warn', qr/client sent unsupported method "POST"/);

log_mark($t);
refuses($t, 'main', 'callback with a broken escape', $first->get("$callback&x=%zz"),
    '400 callback_malformed', 'warn', qr/client sent a parameter that is not form-urlencoded/);

log_mark($t);
refuses($t, 'main', 'callback with very many parameters', $first->get($callback . '&x' x 100),
    '400 callback_malformed', 'warn', qr/client sent too many parameters/);
is($first->get($callback)->{status}, 302, 'after all of these the login still succeeds');

log_mark($t);
$op->set(id_token => { signature => 'flip' });
$callback = callback_of($first->clear, '/main/');
$first->get($callback);
log_mark($t);
$op->reset->clear;
refuses($t, 'main', 'state used before', $first->get($callback),
    '400 state_used', 'warn', qr/client sent a state that was used before/);
is($op->count('/token'), 0, 'state used before, no token request');

# A lost cookie is no failure, either, unless the browser keeps none at all.

my $lost = browser();
$callback = callback_of($lost, '/main/');
$again = $lost->clear->get($callback);
like($again->{location}, qr/\/callback\/main\?state=[^&]+$/, 'a lost cookie: redirect to the callback with the state alone');
log_mark($t);
refuses($t, 'main', 'a lost cookie, and the other one too', $lost->clear->follow($again),
    '400 state_cookie', 'error', qr/client sent a state without a login cookie/);

log_mark($t);
my $answer = browser()->raw("GET /main/ HTTP/1.1\r\nHost: local!host\r\nConnection: close\r\n\r\n");
refuses($t, 'main', 'a Host that is none', $answer, '400 request_host', 'warn', qr/.*"http:\/\/local!host".*/,
    'beginning a login');

# A browser that logs in repeatedly and keeps no session.

my ($looping, $paged) = (browser(), browser(base => 'http://page.localhost:' . port(8080)));
for my $circles ($looping, $paged) {
    my @logins = map { $circles->forget('main')->login('/main/')->{body} } 1 .. 5;
    is("@logins", join(' ', ('application') x 5), 'five logins, one after the other');
}
log_mark($t);
$answer = $looping->forget('main')->get('/main/');
refuses($t, 'main', 'a sixth', $answer, '400 login_loop', 'error',
    qr/client made 5 login attempts without sending a session cookie/, 'beginning a login');
like($answer->{body}, qr/The login keeps repeating.*cookies/s, 'a loop: a page that names the cause');
is($answer->{headers}{'content-type'}, 'text/html', 'a loop: Content-Type');
is($paged->forget('main')->get('/main/')->{body}, 'sorry: ', 'a loop: error_page replaces the page');
is($looping->forget('main_login_rounds')->login('/main/')->{body}, 'application',
    'a loop: a login succeeds after a while');

# A failure has no lasting effect.

my $well = browser();
is($well->login('/main/')->{body}, 'application', 'after all failures a login succeeds');
$callback = callback_of($first->clear, '/main/');
$op->set(id_token => { signature => 'flip' });
is($first->get($callback)->{status}, 502, 'a failed login');
$op->reset;
is($first->get('/main/')->{status}, 302, 'a failed login leaves no session');
is($first->login('/main/')->{body}, 'application', 'a failed login: the next one succeeds');

# Secrets

remember($op, $well, $first, $late, $lost);
cmp_ok(scalar(@secrets), '>', 200, 'the secrets are known');

# An entry of debug level may have several lines.
my $error_log = join '', grep { !/^\S+ \S+ \[debug\]/ }
    split m{^(?=\d{4}/\d\d/\d\d )}m, $t->read_file('error.log');
my $access_log = $t->read_file('combined.log');
is(join(' ', grep { index($error_log, $_) >= 0 } $secret, @secrets), '', 'no secret in the error log');
is(join(' ', grep { index($access_log, $_) >= 0 } $secret, @secrets), '', 'no secret in the access log');
like($access_log, qr/"GET \/callback\/main HTTP\/1\.1" 302 /, 'a callback is logged');
unlike($access_log, qr/\/callback\/\w+\?/, 'a callback is logged without its query');
unlike($error_log, qr/\/callback\/\w+\?/, 'no query of a callback in any log');
like($access_log, qr/"GET \/main\/\?page HTTP/, 'other queries are logged');

# ------------------------------------------------------------------------------------------------------

# One login that has to fail, without and with an error_page.
sub fails {
    my ($t, $op, $provider, $name, $knobs, $status, $level, $sentence) = @_;

    $op->set(%$knobs);

    log_mark($t);
    my $result = login("/$provider/?page");
    my $step = @{ $result->{hops} } > 1 ? 'handling the callback' : 'beginning a login';
    refuses($t, $provider, $name, $result, $status, $level, $sentence, $step);

    remember($op, $result->{browser});
    my $paged = login("/$provider/?page", base => 'http://page.localhost:' . port(8080));
    is("$paged->{status} $paged->{body}", ($status =~ /^(\d+)/)[0] . ' sorry: ', "$name, with an error_page");

    remember($op, $paged->{browser});
    $op->reset;
}

sub refuses {
    my ($t, $provider, $name, $answer, $status, $level, $sentence, $step) = @_;

    $step ||= 'handling the callback';
    my $headers = $answer->{headers};
    my $retry = $status =~ /^50[24]/ ? ' 5' : '';
    my $cookie = grep { /^$provider(?:\.\d)?=[^;]/ } @{ $answer->{set_cookie} };

    is(join(' ', $answer->{status}, grep { defined } @$headers{qw/ x-error cache-control retry-after /}),
        "$status no-store$retry", "$name: status, \$oidc_error, Cache-Control, Retry-After");
    ok(!$cookie && $answer->{body} !~ /application/, "$name: neither session nor page");

    log_has($t, qr/ oidc: /);
    my @lines = error_log_lines($t, qr/ oidc: /);
    like(join("\n", @lines), qr/^.* \[$level\] .* oidc: $sentence while $step, provider "$provider"[^\n]*$/,
        "$name: log");
}

# The callback URL to which the provider redirects a browser.
sub callback_of {
    my ($browser, $page) = @_;

    my $challenge = $browser->get($page);
    my $answer = $browser->follow($challenge);
    push @secrets, query($answer->{location})->{code}, query($challenge->{location})->{state};
    return $answer->{location};
}

# Secrets of the provider, nginx and this browser.
sub remember {
    my ($op, @browsers) = @_;

    for my $request ($op->requests) {
        my $params = $request->{params};
        push @secrets, grep { defined && length > 8 } @$params{qw/ code code_verifier state nonce client_secret /},
            $request->{headers}{authorization} // '';
    }
    push @secrets, map { $_->{value} } grep { $_->{name} !~ /_login_rounds$/ }
        map { $_->cookies } @browsers;

    %seen = map { $_ => 1 } grep { length } @secrets;
    @secrets = keys %seen;
    $op->clear;
}
