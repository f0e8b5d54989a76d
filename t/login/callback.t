#!/usr/bin/perl

# Tests for the callback: at any path and in any location, with any parameters, and repeated.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site qw/ default_provider main_conf oidc_provider /;
use Test::OIDC::Workers;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/);
my $clock = Test::OIDC::Clock->new($t);
$t->plan(271);

my $op = provider($t, 8081);
$clock->follow($op);

# The location of the callback's path.
my %location = (
    nothing => '',
    open => 'auth_oidc off;',
    protected => 'auth_oidc protected;',
    return => 'return 404;',
    rewrite => 'rewrite ^ /elsewhere last;',
    try_files => 'try_files /nothing =404;',
    deny => 'deny all;',
    internal => 'internal;',
    proxy => 'proxy_pass http://127.0.0.1:8082;',
    limit => 'limit_except POST { deny all; }',
);

my $conf = main_conf('worker_processes WORKERS;',
    default_provider('plain'),
    oidc_provider('other', '', redirect_uri => '/other_callback'),
    default_provider('brief', 'cookie_name brief; pre_auth_timeout 1m'),
    default_provider('no_pkce', 'cookie_name no_pkce; pkce off'),
    (map { oidc_provider($_) } sort keys %location),
    <<'EOF');
    large_client_header_buffers 4 32k;
    lingering_timeout 100ms;

    add_header X-Error $oidc_error always;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /page/        { auth_oidc plain;   proxy_pass http://127.0.0.1:8082; }
        location /page/other   { auth_oidc other;   proxy_pass http://127.0.0.1:8082; }
        location /page/brief   { auth_oidc brief;   proxy_pass http://127.0.0.1:8082; }
        location /page/no_pkce { auth_oidc no_pkce; proxy_pass http://127.0.0.1:8082; }

        LOCATIONS
    }

    server {
        listen       127.0.0.1:8080;
        server_name  closed.example.com;

        rewrite      ^/oidc_callback /elsewhere permanent;
        deny         all;

        location /page/ {
            allow      all;
            auth_oidc  plain;
            proxy_pass http://127.0.0.1:8082;
        }
    }

    server {
        listen       127.0.0.1:8080;
        server_name  stranger.example.com;

        location / {
            return 404 "no such page";
        }
    }

    server {
        listen       127.0.0.1:8082;
        server_name  localhost;

        return 204;
    }
EOF

my $locations = join '', map { <<"EOF" } sort keys %location;
    location = /page/$_     { auth_oidc $_; }
    location = /callback/$_ { $location{$_} }
EOF

start_nginx($t, 1);

# any location

for my $what (sort keys %location) {
    my ($browser, $callback) = begin_login("/page/$what");
    is(summary($browser->get($callback)), "302 to /page/$what with $what token",
        "location with $what");
}

my $closed = browser(base => 'http://closed.example.com:' . port(8080));
my ($browser, $callback) = begin_login('/page/', browser => $closed);
my $res;
is(summary($browser->get($callback)), '302 to /page/ with NGX_OIDC_SESSION token',
    'a server with rewrite and deny');

my $stranger = browser(base => 'http://stranger.example.com:' . port(8080));
is($stranger->get('/oidc_callback?state=x')->{body}, 'no such page',
    'a server that does not use the provider');

# parameters

refused($t, 'no state', {state => undef}, '400 state_missing', 'client sent no state');
refused($t, 'an empty state', {state => ''}, '400 state_missing', 'client sent no state');
refused($t, 'code and error', {error => 'x'}, '400 callback_malformed',
    'client sent both code and error');
refused($t, 'neither', {code => undef}, '400 callback_malformed',
    'client sent neither code nor error');
refused($t, 'an empty code', {code => ''}, '400 callback_malformed',
    'client sent neither code nor error');

for my $name (qw/ state code error error_description iss /) {
    refused($t, "$name twice", {$name => ['x', 'x']}, '400 callback_malformed',
        "client sent parameter $name twice");
}

my %max_length = (state => 8192, code => 4096, error => 1024, iss => 1024);

for my $name (sort keys %max_length) {
    refused($t, "a long $name", {$name => 'x' x ($max_length{$name} + 1)}, '400 callback_malformed',
        "client sent parameter $name longer than $max_length{$name} bytes");
}

refused($t, 'a hundred parameters', {map { ("p$_" => 1) } 1 .. 100}, '400 callback_malformed',
    'client sent too many parameters');

for my $escape ('%', '%4', '%zz', '%4z', '%00') {
    for my $name (qw/ state code iss other /) {
        refused_url($t, "$name with $escape", sub { shift =~ s/&$name=[^&]*//r . "&$name=x$escape" },
            '400 callback_malformed', 'client sent a parameter that is not form-urlencoded');
    }
}

is(browser()->raw("GET /oidc_callback?code=x\0x HTTP/1.0\r\nHost: localhost\r\n\r\n")->{status}, 400,
    'a NUL byte');

($browser, $callback) = begin_login('/page/');
is(summary($browser->get($callback . '&session_state=x&foo=%C3%A4&bar&&')),
    '302 to /page/ with NGX_OIDC_SESSION token', 'unknown parameters are ignored');

# methods

for my $method (qw/ POST HEAD PUT OPTIONS DELETE /) {
    ($browser, $callback) = begin_login('/page/');
    $op->clear;
    log_mark($t);

    my $res = $browser->request($method, $callback);
    is(summary($res), '400 callback_malformed', "method $method");
    ok(log_has($t, sentence("client sent unsupported method \"$method\"")), "method $method, logged");
}

for my $case (
    ['without a body', {}, ''],
    ['with a form', {'Content-Length' => 3, 'Content-Type' => 'application/x-www-form-urlencoded'}, 'a=b'],
    ['with a large body', {'Content-Length' => 100_000}, 'x' x 100_000],
    ['in chunks', {'Content-Length' => undef, 'Transfer-Encoding' => 'chunked'},
        "3\r\na=b\r\n0\r\n\r\n"],
    ['with a body that is not sent', {'Content-Length' => 10}, 'a'])
{
    my ($what, $headers, $content) = @$case;
    my %post = (method => 'POST', content => $content, headers => $headers);
    is(browser()->request('POST', '/oidc_callback', %post)->{status}, 400, "POST $what");
}

# the state

my ($victim, $attacker) = (browser(), browser());

refused($t, 'garbage', {state => 'garbage'}, '400 state_invalid', 'client sent an unknown state');
refused($t, 'no base64url', {state => '!*'}, '400 state_invalid', 'client sent an unknown state');

for my $position (8, 30, 100, -1) {
    refused_url($t, "byte $position of the state changed", sub { tampered(shift, $position) },
        '400 state_invalid', 'client sent an unknown state');
}

refused_url($t, 'a state cut', sub { shift =~ s/(&state=.*)....(&|$)/$1$2/r },
    '400 state_invalid', 'client sent an unknown state');

my (undef, $others) = begin_login('/page/other');
refused($t, 'a state of another provider', {state => query($others)->{state}}, '400 state_invalid',
    'client sent an unknown state');

# Sealed with an unknown key, as a state from before an upgrade or of another node: the browser is sent to
# the start page; the loop is ended by other pages than the callback.

($browser, $callback) = begin_login('/page/');
$op->clear;
is(join(' ', map { summary($browser->get(tampered($callback, 0))) } 1 .. 5), join(' ', ('302 to /') x 5),
    'a state of other keys: to the start');
refused_url($t, 'a state of other keys, the sixth time', sub { tampered(shift, 0) }, '400 state_invalid',
    'client sent an unknown state', $browser, $callback);
log_mark($t);
is(summary($browser->get('/page/')), '400 login_loop', 'a state of other keys, the sixth time: no login at pages either');
ok(log_has($t, qr/oidc: client made 5 login attempts without sending a session cookie while beginning/),
    'a state of other keys, the sixth time: logged');

($browser, $callback) = begin_login('/page/');
refused_url($t, 'a state of other keys, without a login cookie', sub { tampered(shift, 0) },
    '400 state_invalid', 'client sent an unknown state', browser(), $callback);

(undef, my $foreign) = begin_login('/page/', browser => $attacker);
refused($t, 'a state of another browser', {state => query($foreign)->{state}}, '400 state_foreign',
    'client sent the state of another browser');

# logins of two browsers

my ($alice, $alices) = begin_login('/page/alice');
my ($bob, $bobs) = begin_login('/page/bob');

is(summary($bob->get($alices)), '400 state_foreign', "Bob cannot use Alice's callback");
is(summary($alice->get($alices)), '302 to /page/alice with NGX_OIDC_SESSION token',
    'Alice can use it afterwards');
$op->clear;
is(summary($bob->get($bobs)), '302 to /page/bob with NGX_OIDC_SESSION token', 'Bob can use his own');
$op->clear;
is(summary($bob->get($alices)), '302 to /page/alice', "Alice's callback redirects a logged-in Bob to the page");
isnt($bob->cookie('NGX_OIDC_SESSION'), $alice->cookie('NGX_OIDC_SESSION'), 'their sessions differ');

# a code of another login

(undef, my $stolen) = begin_login('/page/', browser => browser());
refused($t, 'a code of another login', {code => query($stolen)->{code}},
    '400 provider_invalid_grant token',
    'provider returned error "invalid_grant", "wrong code_verifier"');

my ($earlier, $spent) = begin_login('/page/');
$earlier->get($spent);
refused($t, 'a code used before', {code => query($spent)->{code}}, '400 provider_invalid_grant token',
    'provider returned error "invalid_grant", "unknown or used code"');

(undef, $stolen) = begin_login('/page/no_pkce');
($browser, $callback) = begin_login('/page/no_pkce');
$op->clear;
log_mark($t);
is(summary($browser->get(changed($callback, code => query($stolen)->{code}))),
    '403 id_token_nonce token', 'a code of another login, without PKCE');
ok(log_has($t, qr/oidc: id token has .*nonce.* while handling the callback, provider "no_pkce"/),
    'a code of another login, without PKCE: logged');

# used

($browser, $callback) = begin_login('/page/used');
my $copy = $browser->clone;
$browser->get($callback);
$op->clear;

$res = $browser->get($callback);
like(summary($res), qr{^302 to /page/used(?: with NGX_OIDC_SESSION)?$},
    'a used state, with its session: to the page');
is(summary($copy->get($callback)), '302 to /page/used with NGX_OIDC_SESSION',
    'a state just used by this browser: the same session');
is($copy->cookie('NGX_OIDC_SESSION'), $browser->cookie('NGX_OIDC_SESSION'), 'a state just used by this browser: no new session');
is(summary(browser()->get($callback)), '302 to callback', 'a state used by another browser: no session');

$op->set(id_token => {claims => {iss => 'http://evil'}});
($browser, $callback) = begin_login('/page/');
$op->clear;
is(summary($browser->get($callback)), '403 id_token_issuer token', 'a refused ID token');
$op->reset->clear;
log_mark($t);
is(summary($browser->get($callback)), '400 state_used', 'a refused ID token: the state is used');
ok(log_has($t, sentence('client sent a state that was used before')), 'a refused ID token: the second use is logged');

$browser->login('/page/');
$op->clear;
is(summary($browser->get($callback)), '302 to /page/', 'a used state, logged in meanwhile: to the page');

# without the login cookie

($browser, $callback) = begin_login('/page/lost?a=b');
$browser->clear;
$op->clear;
$res = $browser->get($callback);
is(summary($res), '302 to callback', 'cookie lost: redirect to the callback with the state alone');
$res = $browser->follow($res);
is(summary($res), '302 to /page/lost?a=b', 'cookie lost: then to its page');
is($op->count, 0, 'cookie lost: no request to the provider');
is($browser->login($res->{location})->{hops}[-1]{url} =~ s{.*?(?=/page)}{}r, '/page/lost?a=b',
    'cookie lost: a new login begins at the page');

$op->clear;
$copy = browser()->set_cookie('NGX_OIDC_SESSION=' . $browser->cookie('NGX_OIDC_SESSION') . '; Path=/');
(undef, $callback) = begin_login('/page/stale');
is(summary($copy->get($callback)), '302 to /page/stale', 'cookie lost, but logged in: to the page');

my $refusing = browser();
($browser, $callback) = begin_login('/page/', browser => $refusing);
$res = $refusing->clear->get($callback);
is(summary($res), '302 to callback', 'cookies refused: redirect to the callback with the state alone');
log_mark($t);
is(summary($refusing->clear->follow($res)), '400 state_cookie', 'cookies refused: only once');
ok(log_has($t, sentence('client sent a state without a login cookie')), 'cookies refused: logged');

# expired

my ($late, $late_callback) = begin_login('/page/brief');
my $in_time = $late->clone;
$clock->advance(61);
$op->clear;
log_mark($t);
$res = $late->clear->get($late_callback);
is(summary($res), '302 to callback', 'state and cookie expired: redirect to the callback with the state alone');
$res = $late->follow($res);
is(summary($res), '302 to /page/brief', 'state and cookie expired: then to its page');

$callback = $late->follow($late->follow($res))->{location};
$op->clear;
$clock->advance(61);
$late->clear->set_cookie('brief_login_rounds=1; Path=/');
is(summary($late->get($callback)), '302 to /page/brief', 'expired again: to its page at once');
is($op->count, 0, 'expired again: no request to the provider');
is(scalar(error_log_lines($t, qr/oidc:/)), 0, 'expired again: nothing is logged');
is($in_time->login('/page/brief')->{status}, 204, 'logged in meanwhile');
$op->clear;
is(summary($in_time->get($late_callback)), '302 to /page/brief', 'expired, but logged in: to the page');

# bookmarks of a callback, pages that a browser restores: a logged-in browser is redirected to a page

(undef, my $strangers) = begin_login('/page/', browser => $attacker);

for my $case (
    ['nothing', sub { '/oidc_callback' }, '400 state_missing'],
    ['no code', sub { changed(shift, code => undef) }, '400 callback_malformed', '/page/'],
    ['a code alone', sub { '/oidc_callback?code=' . query(shift)->{code} }, '400 state_missing'],
    ['an error alone', sub { '/oidc_callback?error=login_required' }, '400 state_missing'],
    ['an invalid state', sub { changed(shift, state => 'x') }, '400 state_invalid'],
    ['a changed state', sub { tampered(shift, 30) }, '400 state_invalid'],
    ['a code twice', sub { changed(shift, code => ['x', 'x']) }, '400 callback_malformed'],
    ['a long code', sub { changed(shift, code => 'x' x 5000) }, '400 callback_malformed'],
    ['a broken escape', sub { shift() . '%' }, '400 callback_malformed'],
    ['a callback of another browser', sub { $strangers }, '400 state_foreign', '/page/'])
{
    my ($what, $bookmark, $answer, $page) = @$case;

    ($browser, $callback) = begin_login('/page/');
    my $url = $bookmark->($callback);
    $op->clear;
    is(summary($browser->clone->get($url)), $answer, "a bookmark with $what");

    $browser->login('/page/');
    $op->clear;
    is(summary($browser->get($url)), '302 to ' . ($page || '/'), "a bookmark with $what, logged in: to a page");
}

($browser, $callback) = begin_login('/page/');
$browser->login($callback);
$op->clear;
is(summary($browser->request('POST', $callback, content => 'a=b')), '303 to /',
    'a callback by POST, logged in: to a page');
is($browser->get('/page/')->{status}, 204, 'a callback by POST, logged in: the session remains');

# the issuer

my $wrong = {iss => 'http://evil.example.com'};
my $sentence = 'authorization response came from another issuer, "http://evil.example.com"';

refused($t, 'another issuer', $wrong, '400 callback_issuer', $sentence);
refused($t, 'another issuer of an error', {%$wrong, code => undef, error => 'access_denied'},
    '400 callback_issuer', $sentence);
refused($t, 'the issuer with a slash', {iss => $op->issuer . '/'}, '400 callback_issuer',
    'authorization response came from another issuer, "' . $op->issuer . '/"');

$sentence = 'authorization response has no iss, although the metadata announces it';

refused($t, 'no issuer', {iss => undef}, '400 callback_issuer', $sentence);
refused($t, 'no issuer of an error', {iss => undef, code => undef, error => 'access_denied'},
    '400 callback_issuer', $sentence);
refused($t, 'an empty issuer', {iss => ''}, '400 callback_issuer',
    'authorization response came from another issuer, ""');

# errors of the provider

my %word = map { ($_ => $_) } qw/ account_selection_required consent_required interaction_required
    invalid_client invalid_grant invalid_request invalid_scope login_required server_error
    temporarily_unavailable unauthorized_client unsupported_response_type /;

$word{$_} = 'error' for 'something_new', '<b>', '';

for my $error (sort keys %word) {
    my $logged = $error =~ s/([<>])/sprintf '\x%02X', ord $1/gre;
    refused($t, "error \"$error\"", {code => undef, error => $error},
        "400 provider_$word{$error}", "provider returned error \"$logged\"");
}

refused($t, 'error "access_denied"', {code => undef, error => 'access_denied'},
    '403 provider_access_denied', 'provider returned error "access_denied"');
refused($t, 'error with a description',
    {code => undef, error => 'server_error', error_description => "a \"b\"\r\nc\xe4"},
    '400 provider_server_error',
    'provider returned error "server_error", "a \x22b\x22\x0D\x0Ac\xE4"');

refused($t, 'error with a description of 3 KB',
    {code => undef, error => 'access_denied', error_description => 'd' x 3072},
    '403 provider_access_denied', 'provider returned error "access_denied", "' . 'd' x 128 . '"...');

my $markup = '<script>alert(1)</script>';
($browser, $callback) = begin_login('/page/');
$res = $browser->get(changed($callback, code => undef, error => 'access_denied',
    error_description => $markup, error_uri => $markup));
is($res->{status}, 403, 'markup in a description');
unlike($res->{head} . $res->{body}, qr/script|alert/, 'markup in a description is not shown');

# every subset

for my $subset (0 .. 15) {
    my @names = qw/ code state iss error /;
    my %has = map { $names[$_] => $subset >> $_ & 1 } 0 .. 3;
    my %value = (error => 'access_denied');

    ($browser, $callback) = begin_login('/page/');
    $op->clear;

    my %changes = map { $_ => undef } grep { !$has{$_} } @names;
    $changes{error} = 'access_denied' if $has{error};

    is(summary($browser->get(changed($callback, %changes))), expected(%has),
        'parameters ' . (join(', ', grep { $has{$_} } @names) || 'none'));
}

# the same callback twice

($browser, $callback) = begin_login('/page/twice');
my @answers = copies($browser, $callback, 2);
is(summary($answers[0]), '302 to /page/twice with NGX_OIDC_SESSION token', 'two at once: the first');
is(summary($answers[1]), '302 to /page/twice with NGX_OIDC_SESSION token', 'two at once: the second');
is($op->count('/token'), 1, 'two at once: one token request');
is($answers[0]{set_cookie}[0], $answers[1]{set_cookie}[0], 'two at once: one session');
is($browser->get('/page/twice')->{status}, 204, 'two at once: logged in');

($browser, $callback) = begin_login('/page/three');
@answers = copies($browser, $callback, 3);
is(scalar(grep { summary($_) eq '302 to /page/three with NGX_OIDC_SESSION token' } @answers), 3,
    'three at once');
is($op->count('/token'), 1, 'three at once: one token request');

($browser, $callback) = begin_login('/page/aborted');
@answers = copies($browser, $callback, 2, abort => 1);
is(summary($answers[0]), '302 to /page/aborted with NGX_OIDC_SESSION token',
    'the first of two is aborted: the second succeeds');
is($op->count('/token'), 1, 'the first of two is aborted: one token request');

for my $case (
    [502, {status => 500}],
    [502, {close => 'mid_body'}],
    [502, {status => 400, body => {error => 'x'}}])
{
    my ($status, $answer) = @$case;
    ($browser, $callback) = begin_login('/page/');
    @answers = copies($browser, $callback, 2, answer => $answer);
    is($answers[0]{status}, $status, 'the first of two fails');
    is(summary($answers[1]), '400 state_used token', 'the first of two fails: the second is refused');
    is($op->count('/token'), 1, 'the first of two fails: one token request');
}

# two workers

$t->stop;
log_mark($t);
start_nginx($t, 2);
my @workers = wait_for_workers($t, 2);

($browser, $callback) = begin_login('/page/workers');
@answers = copies($browser, $callback, 2, workers => \@workers);
is(summary($answers[0]), '302 to /page/workers with NGX_OIDC_SESSION token', 'two workers: the first');
is(summary($answers[1]), '302 to /page/workers with NGX_OIDC_SESSION token', 'two workers: the second');
is($op->count('/token'), 1, 'two workers: one token request');
is($answers[0]{set_cookie}[0], $answers[1]{set_cookie}[0], 'two workers: one session');

$browser->get($callback) for 1 .. 4;
is($op->count('/token'), 1, 'two workers: a state used in one is used in both');

# secrets

my $logs = join "\n", $t->read_file('access.log'),
    grep { m{^\d{4}/} && !/\[debug\]/ } split /\n/, $t->read_file('error.log');
my ($code) = map { $_->{params}{code} } $op->requests('/token');
unlike($logs, qr/\Q$code\E|(?:code|state)=[\w-]{20}/, 'no code or state in the logs');
like($logs, qr{GET /oidc_callback HTTP}, 'the callback is in the access log');

sub start_nginx {
    my ($t, $workers) = @_;

    my %part = (WORKERS => $workers, LOCATIONS => $locations);
    $t->write_file_expand('nginx.conf', $conf =~ s/(WORKERS|LOCATIONS)/$part{$1}/gr);
    $t->run();
}

# The process ids of the workers, once all of them are logged.
sub wait_for_workers {
    my ($t, $number) = @_;

    log_has($t, qr/start worker process \d/, $number);
    return map { /process (\d+)$/ } error_log_lines($t, qr/start worker process \d/);
}

# The callback with parameters replaced, removed by undef, or repeated.
sub changed {
    my ($callback, %changes) = @_;

    my ($path) = $callback =~ /^([^?]*)/;
    my %params = (%{ query($callback) }, %changes);

    my @pairs;
    for my $name (grep { defined $params{$_} } sort keys %params) {
        my $values = $params{$name};
        push @pairs, map { escape($name) . '=' . escape($_) } ref $values ? @$values : $values;
    }
    return $path . '?' . join '&', @pairs;
}

sub tampered {
    my ($callback, $position) = @_;

    my $state = query($callback)->{state};
    substr($state, $position, 1) = substr($state, $position, 1) eq 'A' ? 'Q' : 'A';
    return changed($callback, state => $state);
}

# "status error" of a refusal, "302 to URL" of a redirect, the session cookie set, and "token" if there
# was a token request since the last clear().
sub summary {
    my ($answer) = @_;

    my $summary = $answer->{status};
    $summary .= " $answer->{headers}{'x-error'}" if defined $answer->{headers}{'x-error'};

    $summary .= ' to ' . target_of($answer) if defined $answer->{location};

    my ($cookie) = map { /^((?:(?!_login_)[^=])+)=./ } @{ $answer->{set_cookie} };
    $summary .= " with $cookie" if defined $cookie;
    $summary .= ' token' if $op->count('/token');
    return $summary;
}

# "provider", "callback" for the callback with a state alone, or else the location.
sub target_of {
    my ($answer) = @_;

    return 'provider' if $answer->{location} =~ m{/authorize\?};
    return 'callback' if $answer->{location} =~ m{/oidc_callback\?state=[^&]+$};
    return $answer->{headers}{location};
}

sub sentence {
    my ($text) = @_;

    return qr/oidc: \Q$text\E while handling the callback, provider "plain"/;
}

sub refused {
    my ($t, $what, $changes, $answer, $sentence) = @_;

    refused_url($t, $what, sub { changed(shift, %$changes) }, $answer, $sentence);
}

sub refused_url {
    my ($t, $what, $change, $answer, $sentence, $browser, $callback) = @_;

    ($browser, $callback) = begin_login('/page/', browser => $browser) unless defined $callback;
    $op->clear;
    log_mark($t);

    is(summary($browser->get($change->($callback))), $answer, $what);
    ok(log_has($t, sentence($sentence)), "$what, logged");
}

sub expected {
    my (%has) = @_;

    return '400 state_missing' unless $has{state};
    return '400 callback_issuer' unless $has{iss};
    return '400 callback_malformed' if $has{code} eq $has{error};
    return '403 provider_access_denied' if $has{error};
    return '302 to /page/ with NGX_OIDC_SESSION token';
}

# The responses to copies of a callback, all sent before the provider responds to the first; each to
# another of the workers, if given.
sub copies {
    my ($browser, $callback, $number, %how) = @_;

    $op->clear;
    $op->set(respond => {'/token' => {hold => 1, %{ $how{answer} || {} }}});

    my @workers = @{ $how{workers} || [] };
    halt($workers[1]) if @workers;
    my @requests = $browser->start($callback);
    $op->wait_for('/token', 1);

    halt($workers[0]) if @workers;
    kill 'CONT', $workers[1] if @workers;
    push @requests, $browser->start($callback) for 2 .. $number;
    browser()->get('/page/');    # nginx reads the copies first
    kill 'CONT', $workers[0] if @workers;

    $browser->abort(shift @requests) if $how{abort};
    browser()->get('/page/');
    $op->reset;
    return map { $browser->finish($_) } @requests;
}

