#!/usr/bin/perl

# Tests for the callback: wherever the configuration has it, whatever the browser brings, however often
# it comes.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Workers;

use Time::HiRes qw/ sleep time /;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(271);

my $op = provider($t, 8081);

# What stands where the provider sends the browser back to.
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

my $conf = <<'EOF';

%%TEST_GLOBALS%%

daemon off;
worker_processes WORKERS;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    large_client_header_buffers 4 32k;
    lingering_timeout 100ms;

    oidc_provider plain {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
    }

    oidc_provider other {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        cookie_name   other;
        redirect_uri  /other_callback;
    }

    oidc_provider brief {
        issuer           http://127.0.0.1:8081;
        client_id        client;
        client_secret    secret-of-at-least-thirty-two-bytes;
        cookie_name      brief;
        pre_auth_timeout 1s;
    }

    oidc_provider no_pkce {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        cookie_name   no_pkce;
        pkce          off;
    }

    PROVIDERS

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
}

EOF

my $providers = join '', map { <<"EOF" } sort keys %location;
    oidc_provider $_ {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        redirect_uri  /callback/$_;
        cookie_name   $_;
    }
EOF

my $locations = join '', map { <<"EOF" } sort keys %location;
    location = /page/$_     { auth_oidc $_; }
    location = /callback/$_ { $location{$_} }
EOF

start_nginx($t, 1);

# wherever it is

for my $what (sort keys %location) {
    my ($browser, $callback) = begin("/page/$what");
    is(summary($browser->get($callback)), "302 to /page/$what with $what token",
        "location with $what");
}

my $closed = browser(base => 'http://closed.example.com:' . port(8080));
my ($browser, $callback) = begin('/page/', browser => $closed);
my $res;
is(summary($browser->get($callback)), '302 to /page/ with NGX_OIDC_SESSION token',
    'server with rewrite and deny');

my $stranger = browser(base => 'http://stranger.example.com:' . port(8080));
is($stranger->get('/oidc_callback?state=x')->{body}, 'no such page',
    'a server that does not use the provider');

# a login that takes too long, to be looked at again below

my ($late, $late_callback) = begin('/page/brief');
my $late_at = time + 1.1;

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

my %most = (state => 8192, code => 4096, error => 1024, error_description => 1024, iss => 1024);

for my $name (sort keys %most) {
    refused($t, "a long $name", {$name => 'x' x ($most{$name} + 1)}, '400 callback_malformed',
        "client sent parameter $name longer than $most{$name} bytes");
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

($browser, $callback) = begin('/page/');
is(summary($browser->get($callback . '&session_state=x&foo=%C3%A4&bar&&')),
    '302 to /page/ with NGX_OIDC_SESSION token', 'what is not known is ignored');

# methods

for my $method (qw/ POST HEAD PUT OPTIONS DELETE /) {
    ($browser, $callback) = begin('/page/');
    $op->clear;
    log_mark($t);

    my $res = $browser->request($method, $callback);
    is(summary($res), '400 callback_malformed', "method $method");
    ok(log_has($t, sentence("client sent unsupported method \"$method\"")), 'is logged');
}

for my $case (
    ['without a body', {}, ''],
    ['with a form', {'Content-Length' => 3, 'Content-Type' => 'application/x-www-form-urlencoded'}, 'a=b'],
    ['with a large body', {'Content-Length' => 100_000}, 'x' x 100_000],
    ['in chunks', {'Content-Length' => undef, 'Transfer-Encoding' => 'chunked'},
        "3\r\na=b\r\n0\r\n\r\n"],
    ['with a body that does not come', {'Content-Length' => 10}, 'a'])
{
    my ($what, $headers, $content) = @$case;
    my %post = (method => 'POST', content => $content, headers => $headers);
    is(browser()->request('POST', '/oidc_callback', %post)->{status}, 400, "POST $what");
}

# the state

my ($victim, $attacker) = (browser(), browser());

refused($t, 'garbage', {state => 'garbage'}, '400 state_invalid', 'client sent an unknown state');
refused($t, 'no base64url', {state => '!*'}, '400 state_invalid', 'client sent an unknown state');

for my $place (8, 30, 100, -1) {
    refused_url($t, "byte $place of it changed", sub { tampered(shift, $place) },
        '400 state_invalid', 'client sent an unknown state');
}

refused_url($t, 'cut', sub { shift =~ s/(&state=.*)....(&|$)/$1$2/r },
    '400 state_invalid', 'client sent an unknown state');

my (undef, $others) = begin('/page/other');
refused($t, 'of another provider', {state => query($others)->{state}}, '400 state_invalid',
    'client sent an unknown state');

# Sealed with a key that is not ours, as a state of before an upgrade or of another node is: its browser
# may begin again, which other pages than the callback see to.

($browser, $callback) = begin('/page/');
$op->clear;
is(join(' ', map { summary($browser->get(tampered($callback, 0))) } 1 .. 5), join(' ', ('302 to /') x 5),
    'of other keys: to the start');
refused_url($t, 'of other keys, but not for ever', sub { tampered(shift, 0) }, '400 state_invalid',
    'client sent an unknown state', $browser, $callback);
log_mark($t);
is(summary($browser->get('/page/')), '400 login_loop', 'nor do its pages send it on');
ok(log_has($t, qr/oidc: client made 5 login attempts without sending a session cookie while beginning/),
    'is logged');

($browser, $callback) = begin('/page/');
refused_url($t, 'of other keys, without the cookie of a login', sub { tampered(shift, 0) },
    '400 state_invalid', 'client sent an unknown state', browser(), $callback);

(undef, my $foreign) = begin('/page/', browser => $attacker);
refused($t, 'of another browser', {state => query($foreign)->{state}}, '400 state_foreign',
    'client sent the state of another browser');

# a login of its own for each of two browsers

my ($alice, $alices) = begin('/page/alice');
my ($bob, $bobs) = begin('/page/bob');

is(summary($bob->get($alices)), '400 state_foreign', "Alice's callback is none of Bob's");
is(summary($alice->get($alices)), '302 to /page/alice with NGX_OIDC_SESSION token',
    'but still good for Alice');
$op->clear;
is(summary($bob->get($bobs)), '302 to /page/bob with NGX_OIDC_SESSION token', 'and for Bob his own');
$op->clear;
is(summary($bob->get($alices)), '302 to /page/alice', "now Alice's is a page for him, and no login");
isnt($bob->cookie('NGX_OIDC_SESSION'), $alice->cookie('NGX_OIDC_SESSION'), 'two sessions');

# a code of another login

(undef, my $stolen) = begin('/page/', browser => browser());
refused($t, 'a code of another login', {code => query($stolen)->{code}},
    '400 provider_invalid_grant token',
    'provider returned error "invalid_grant", "wrong code_verifier"');

my ($earlier, $spent) = begin('/page/');
$earlier->get($spent);
refused($t, 'a code used before', {code => query($spent)->{code}}, '400 provider_invalid_grant token',
    'provider returned error "invalid_grant", "unknown or used code"');

(undef, $stolen) = begin('/page/no_pkce');
($browser, $callback) = begin('/page/no_pkce');
$op->clear;
log_mark($t);
is(summary($browser->get(changed($callback, code => query($stolen)->{code}))),
    '403 id_token_nonce token', 'also without PKCE');
ok(log_has($t, qr/oidc: id token has .*nonce.* while handling the callback, provider "no_pkce"/),
    'is logged');

# used

($browser, $callback) = begin('/page/used');
my $copy = $browser->clone;
$browser->get($callback);
$op->clear;

$res = $browser->get($callback);
like(summary($res), qr{^302 to /page/used(?: with NGX_OIDC_SESSION)?$},
    'used, with its session: to the page');
is(summary($copy->get($callback)), '302 to /page/used with NGX_OIDC_SESSION',
    'used a moment ago, by this browser: the same session');
is($copy->cookie('NGX_OIDC_SESSION'), $browser->cookie('NGX_OIDC_SESSION'), 'and no new one');
is(summary(browser()->get($callback)), '302 to callback', 'by another: no session');

$op->set(id_token => {claims => {iss => 'http://evil'}});
($browser, $callback) = begin('/page/');
$op->clear;
is(summary($browser->get($callback)), '403 id_token_issuer token', 'refused');
$op->reset->clear;
log_mark($t);
is(summary($browser->get($callback)), '400 state_used', 'is used, too');
ok(log_has($t, sentence('client sent a state that was used before')), 'is logged');

$browser->login('/page/');
$op->clear;
is(summary($browser->get($callback)), '302 to /page/', 'unless logged in meanwhile');

# without the cookie of its login

($browser, $callback) = begin('/page/lost?a=b');
$browser->clear;
$op->clear;
$res = $browser->get($callback);
is(summary($res), '302 to callback', 'cookie lost: is asked for another one');
$res = $browser->follow($res);
is(summary($res), '302 to /page/lost?a=b', 'and goes to its page');
is($op->count, 0, 'which the provider knows nothing of');
is($browser->login($res->{location})->{hops}[-1]{url} =~ s{.*?(?=/page)}{}r, '/page/lost?a=b',
    'where a login begins');

$op->clear;
$copy = browser()->set_cookie('NGX_OIDC_SESSION=' . $browser->cookie('NGX_OIDC_SESSION') . '; Path=/');
(undef, $callback) = begin('/page/stale');
is(summary($copy->get($callback)), '302 to /page/stale', 'cookie lost, but logged in: to the page');

my $refusing = browser();
($browser, $callback) = begin('/page/', browser => $refusing);
$res = $refusing->clear->get($callback);
is(summary($res), '302 to callback', 'cookies refused: is asked for one');
log_mark($t);
is(summary($refusing->clear->follow($res)), '400 state_cookie', 'but not for ever');
ok(log_has($t, sentence('client sent a state without a login cookie')), 'is logged');

# expired

sleep $late_at - time if $late_at > time;
$op->clear;

my $in_time = $late->clone;
log_mark($t);
$res = $late->get($late_callback);
is(summary($res), '302 to callback', 'expired, and so is its cookie: is asked for another one');
$res = $late->follow($res);
is(summary($res), '302 to /page/brief', 'and goes to its page');

$callback = $late->follow($late->follow($res))->{location};
$op->clear;
sleep 1.1;
$late->set_cookie('brief_login_rounds=1; Path=/');    # as it is for 20 seconds
is(summary($late->get($callback)), '302 to /page/brief', 'expired once more: to its page at once');
is($op->count, 0, 'which the provider knows nothing of');
is(scalar(error_log_lines($t, qr/oidc:/)), 0, 'nor the log');
is($in_time->login('/page/brief')->{status}, 204, 'logged in meanwhile');
$op->clear;
is(summary($in_time->get($late_callback)), '302 to /page/brief', 'expired: to the page');

# bookmarks of a callback, pages that a browser restores: whoever is logged in goes on

(undef, my $strangers) = begin('/page/', browser => $attacker);

for my $case (
    ['nothing', sub { '/oidc_callback' }, '400 state_missing'],
    ['no code', sub { changed(shift, code => undef) }, '400 callback_malformed', '/page/'],
    ['a code alone', sub { '/oidc_callback?code=' . query(shift)->{code} }, '400 state_missing'],
    ['an error alone', sub { '/oidc_callback?error=login_required' }, '400 state_missing'],
    ['a state that is none', sub { changed(shift, state => 'x') }, '400 state_invalid'],
    ['a state that was changed', sub { tampered(shift, 30) }, '400 state_invalid'],
    ['a code twice', sub { changed(shift, code => ['x', 'x']) }, '400 callback_malformed'],
    ['too long a code', sub { changed(shift, code => 'x' x 5000) }, '400 callback_malformed'],
    ['a broken escape', sub { shift() . '%' }, '400 callback_malformed'],
    ['a callback of another browser', sub { $strangers }, '400 state_foreign', '/page/'])
{
    my ($what, $bookmark, $answer, $page) = @$case;

    ($browser, $callback) = begin('/page/');
    my $url = $bookmark->($callback);
    $op->clear;
    is(summary($browser->clone->get($url)), $answer, "a bookmark with $what");

    $browser->login('/page/');
    $op->clear;
    is(summary($browser->get($url)), '302 to ' . ($page || '/'), 'logged in: to a page');
}

($browser, $callback) = begin('/page/');
$browser->login($callback);
$op->clear;
is(summary($browser->request('POST', $callback, content => 'a=b')), '303 to /',
    'logged in: a callback by POST, too');
is($browser->get('/page/')->{status}, 204, 'still logged in');

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

my $markup = '<script>alert(1)</script>';
($browser, $callback) = begin('/page/');
$res = $browser->get(changed($callback, code => undef, error => 'access_denied',
    error_description => $markup, error_uri => $markup));
is($res->{status}, 403, 'markup in a description');
unlike($res->{head} . $res->{body}, qr/script|alert/, 'is not shown');

# every subset

for my $subset (0 .. 15) {
    my @names = qw/ code state iss error /;
    my %has = map { $names[$_] => $subset >> $_ & 1 } 0 .. 3;
    my %value = (error => 'access_denied');

    ($browser, $callback) = begin('/page/');
    $op->clear;

    my %changes = map { $_ => undef } grep { !$has{$_} } @names;
    $changes{error} = 'access_denied' if $has{error};

    is(summary($browser->get(changed($callback, %changes))), expected(%has),
        'parameters ' . (join(', ', grep { $has{$_} } @names) || 'none'));
}

# the same callback twice

($browser, $callback) = begin('/page/twice');
my @answers = copies($browser, $callback, 2);
is(summary($answers[0]), '302 to /page/twice with NGX_OIDC_SESSION token', 'first of two at once');
is(summary($answers[1]), '302 to /page/twice with NGX_OIDC_SESSION token', 'second of two at once');
is($op->count('/token'), 1, 'one token request');
is($answers[0]{set_cookie}[0], $answers[1]{set_cookie}[0], 'one session');
is($browser->get('/page/twice')->{status}, 204, 'logged in');

($browser, $callback) = begin('/page/three');
@answers = copies($browser, $callback, 3);
is(scalar(grep { summary($_) eq '302 to /page/three with NGX_OIDC_SESSION token' } @answers), 3,
    'three at once');
is($op->count('/token'), 1, 'one token request');

($browser, $callback) = begin('/page/aborted');
@answers = copies($browser, $callback, 2, abort => 1);
is(summary($answers[0]), '302 to /page/aborted with NGX_OIDC_SESSION token',
    'the first of two is aborted');
is($op->count('/token'), 1, 'one token request');

for my $case (
    [502, {status => 500}],
    [502, {close => 'mid_body'}],
    [400, {status => 400, body => {error => 'x'}}])
{
    my ($status, $answer) = @$case;
    ($browser, $callback) = begin('/page/');
    @answers = copies($browser, $callback, 2, answer => $answer);
    is($answers[0]{status}, $status, 'the first of two fails');
    is(summary($answers[1]), '400 state_used token', 'and the second is told');
    is($op->count('/token'), 1, 'one token request');
}

# and with two workers

$t->stop;
log_mark($t);
start_nginx($t, 2);
my @workers = wait_for_workers($t, 2);

($browser, $callback) = begin('/page/workers');
@answers = copies($browser, $callback, 2, workers => \@workers);
is(summary($answers[0]), '302 to /page/workers with NGX_OIDC_SESSION token', 'first worker of two');
is(summary($answers[1]), '302 to /page/workers with NGX_OIDC_SESSION token', 'second worker of two');
is($op->count('/token'), 1, 'one token request');
is($answers[0]{set_cookie}[0], $answers[1]{set_cookie}[0], 'one session');

$browser->get($callback) for 1 .. 4;
is($op->count('/token'), 1, 'and a used one is used in both');

# what nobody may read

my $logs = join "\n", $t->read_file('access.log'),
    grep { m{^\d{4}/} && !/\[debug\]/ } split /\n/, $t->read_file('error.log');
my ($code) = map { $_->{params}{code} } $op->requests('/token');
unlike($logs, qr/\Q$code\E|(?:code|state)=[\w-]{20}/, 'no code or state in logs');
like($logs, qr{GET /oidc_callback HTTP}, 'where the callback is');

sub start_nginx {
    my ($t, $workers) = @_;

    my %part = (WORKERS => $workers, PROVIDERS => $providers, LOCATIONS => $locations);
    $t->write_file_expand('nginx.conf', $conf =~ s/(WORKERS|PROVIDERS|LOCATIONS)/$part{$1}/gr);
    $t->run();
}

# The process ids of workers, once all of them are logged.
sub wait_for_workers {
    my ($t, $number) = @_;

    my $end = time + 5;
    sleep 0.01 while error_log_lines($t, qr/start worker process \d/) < $number && time < $end;
    return map { /process (\d+)$/ } error_log_lines($t, qr/start worker process \d/);
}

# A login up to the callback: the browser, and the URL that the provider sends it to.
sub begin {
    my ($path, %options) = @_;

    my $browser = $options{browser} || browser();
    return ($browser, $browser->follow($browser->get($path))->{location});
}

# A callback with parameters replaced, removed by undef, or repeated.
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
    my ($callback, $place) = @_;

    my $state = query($callback)->{state};
    substr($state, $place, 1) = substr($state, $place, 1) eq 'A' ? 'Q' : 'A';
    return changed($callback, state => $state);
}

# "status word" of a refusal, "302 to where" of a redirect, the session cookie set and whether the
# token endpoint was asked since the last clear().
sub summary {
    my ($answer) = @_;

    my $summary = $answer->{status};
    $summary .= " $answer->{headers}{'x-error'}" if defined $answer->{headers}{'x-error'};

    $summary .= ' to ' . place_of($answer) if defined $answer->{location};

    my ($cookie) = map { /^((?:(?!_login_)[^=])+)=./ } @{ $answer->{set_cookie} };
    $summary .= " with $cookie" if defined $cookie;
    $summary .= ' token' if $op->count('/token');
    return $summary;
}

# The provider, the callback with a state alone, or else the location.
sub place_of {
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

    ($browser, $callback) = begin('/page/', browser => $browser) unless defined $callback;
    $op->clear;
    log_mark($t);

    is(summary($browser->get($change->($callback))), $answer, $what);
    ok(log_has($t, sentence($sentence)), 'is logged');
}

sub expected {
    my (%has) = @_;

    return '400 state_missing' unless $has{state};
    return '400 callback_issuer' unless $has{iss};
    return '400 callback_malformed' if $has{code} eq $has{error};
    return '403 provider_access_denied' if $has{error};
    return '302 to /page/ with NGX_OIDC_SESSION token';
}

# Answers to copies of a callback, all sent before the provider answers the first of them; with workers
# given, each in another one.
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
    browser()->get('/page/');    # nginx has read the copies before it answers this
    kill 'CONT', $workers[0] if @workers;

    $browser->abort(shift @requests) if $how{abort};
    browser()->get('/page/');
    $op->reset;
    return map { $browser->finish($_) } @requests;
}

