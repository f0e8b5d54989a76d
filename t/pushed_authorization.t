#!/usr/bin/perl

# Tests for pushed authorization requests (RFC 9126): what is pushed, what the browser is sent with then,
# and what becomes of an answer that is hostile or broken.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use MIME::Base64 qw/ decode_base64 /;

use Test::Nginx;
use Test::OIDC;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $issuer = 'http://127.0.0.1:' . port(8081);
my $at = qq{ at "$issuer/par"};

my $uri = 'urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c';
my $no_uri = 'provider sent a pushed authorization response without a request_uri of sane length';
my $incomplete = "provider sent an incomplete answer$at";
my $unreachable = "provider could not be reached$at";
my $too_large = "provider sent too large an answer$at";

sub status { return "provider answered with status $_[0]" }
sub bad { return "provider sent a pushed authorization response that is $_[0]" }
sub json { return (headers => { 'Content-Type' => 'application/json' }, @_) }

# A right answer, broken in one place.
sub created { return { json(status => 201, body => qq({"request_uri":"$uri","expires_in":60})), @_ } }
sub body { return created(body => $_[0]) }

# name of the case, the answer, what the browser gets, log

my @refused = (
    (map { ["a redirect, $_", { status => $_, headers => { Location => '/evil' } },
        '502 upstream_status', status($_)] } 300 .. 303, 305 .. 308),
    (map { ["status $_", created(status => $_), '502 upstream_status', status($_)] }
        qw/ 202 204 403 404 405 413 429 500 503 /),

    (map { ["the error $_", { json(status => 400, body => { error => $_ }) },
        "400 provider_$_", qq{provider answered with error "$_"}] }
        qw/ invalid_request unauthorized_client invalid_scope /),
    ['the error invalid_client', { json(status => 401, body => { error => 'invalid_client' }) },
        '400 provider_invalid_client', 'provider answered with error "invalid_client"'],
    ['an error that is a number', { json(status => 400, body => { error => 1 }) },
        '502 upstream_status', status(400)],
    ['400 without JSON', { status => 400, body => 'no' }, '502 upstream_status', status(400)],

    ['an empty body', body(''), '502 upstream_pushed_authorization', bad('malformed JSON')],
    ['JSON cut short', body('{"request_uri":'), '502 upstream_pushed_authorization',
        bad('malformed JSON')],
    ['an array', body(qq(["$uri"])), '502 upstream_pushed_authorization',
        bad('JSON that is not an object')],
    ['request_uri twice', body(qq({"request_uri":"$uri","request_uri":"x"})),
        '502 upstream_pushed_authorization', bad('JSON with a duplicate member')],
    ['a NUL in it', body('{"request_uri":"urn:\\u0000"}'), '502 upstream_pushed_authorization',
        bad('malformed JSON')],
    ['no UTF-8', body("{\"request_uri\":\"\xff\"}"), '502 upstream_pushed_authorization',
        bad('malformed JSON')],
    ['nested 20,000 deep', body('{"x":' . '[' x 20_000 . ']' x 20_000 . '}'),
        '502 upstream_pushed_authorization', bad('JSON nested too deep')],
    (map { ["$_->[0]", body($_->[1]), '502 upstream_pushed_authorization', $no_uri] }
        ['no request_uri', '{"expires_in":60}'], ['an empty request_uri', '{"request_uri":""}'],
        ['request_uri a number', '{"request_uri":1}'], ['request_uri null', '{"request_uri":null}'],
        ['request_uri an array', qq({"request_uri":["$uri"]})],
        ['a request_uri of 20,000 characters', '{"request_uri":"' . 'u' x 20_000 . '"}']),

    ['too large', created(pad => 1_100_000), '502 upstream_answer', $too_large],
    ['an answer without an end', created(endless => 'body'), '502 upstream_answer', $too_large],
    ['headers without an end', created(endless => 'headers'), '502 upstream_answer', $incomplete],
    ['interim answers without an end', created(before => "HTTP/1.1 103 Early Hints\r\n\r\n" x 5000),
        '502 upstream_answer', $incomplete],
    ['compressed', created(headers => { 'Content-Encoding' => 'gzip' }), '502 upstream_answer',
        "provider sent a compressed answer, which was not asked for$at"],
    ['HTTP/0.9', created(raw => qq({"request_uri":"$uri"})), '502 upstream_answer',
        "provider sent no HTTP answer$at"],
    ['closed before headers', created(close => 'before_headers'), '502 upstream_unreachable',
        $unreachable],
    ['closed in the body', created(close => 'mid_body'), '502 upstream_answer', $incomplete],
    ['reset in the body', created(reset => 'mid_body'), '502 upstream_answer', $incomplete],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(4 * @refused + 44);

my $op = provider($t, 8081, metadata => { pushed_authorization_request_endpoint => "$issuer/par" });

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    error_log %%TESTDIR%%/error.log info;

    oidc_provider always {
        issuer               http://127.0.0.1:8081;
        client_id            client;
        client_secret        secret-of-at-least-thirty-two-bytes;
        pushed_authorization on;
        redirect_uri         /callback/always;
    }

    oidc_provider usual {
        issuer               http://127.0.0.1:8081;
        client_id            client;
        client_secret        secret-of-at-least-thirty-two-bytes;
        redirect_uri         /callback/usual;
    }

    oidc_provider demanded {
        issuer               http://127.0.0.1:8081;
        client_id            client;
        client_secret        secret-of-at-least-thirty-two-bytes;
        redirect_uri         /callback/demanded;
    }

    oidc_provider never {
        issuer               http://127.0.0.1:8081;
        client_id            client;
        client_secret        secret-of-at-least-thirty-two-bytes;
        pushed_authorization off;
        redirect_uri         /callback/never;
    }

    oidc_provider unable {
        issuer               http://127.0.0.1:8081;
        client_id            client;
        client_secret        secret-of-at-least-thirty-two-bytes;
        pushed_authorization on;
        redirect_uri         /callback/unable;
    }

    oidc_provider impatient {
        issuer               http://127.0.0.1:8081;
        client_id            client;
        client_secret        secret-of-at-least-thirty-two-bytes;
        pushed_authorization on;
        connect_timeout      300ms;
        read_timeout         300ms;
        redirect_uri         /callback/impatient;
    }

    oidc_provider signs {
        issuer               http://127.0.0.1:8081;
        client_id            client;
        client_secret        secret-of-at-least-thirty-two-bytes;
        client_auth          client_secret_jwt;
        pushed_authorization on;
        redirect_uri         /callback/signs;
    }

    oidc_provider posts {
        issuer               http://127.0.0.1:8081;
        client_id            client;
        client_secret        secret-of-at-least-thirty-two-bytes;
        client_auth          client_secret_post;
        pushed_authorization on;
        response_mode        form_post;
        redirect_uri         /callback/posts;
    }

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        add_header X-Error $oidc_error always;

        location / {
            auth_oidc  $arg_op;
            proxy_pass http://127.0.0.1:8080/app;
        }

        location /app {
            return 200 application;
        }
    }
}

EOF

$t->run();

# What is pushed.

$op->set(respond => { '/par' => created() });
my $res = browser()->get('/page?op=always');
is($res->{status}, 302, 'a login begins');
is_deeply(query($res->{location}), { client_id => 'client', request_uri => $uri },
    'the browser carries no more than client_id and request_uri');
like($res->{location}, qr{^\Q$issuer\E/authorize\?}, 'to the authorization endpoint');

my ($pushed) = $op->requests('/par');
my %params = %{ $pushed->{params} };
is("$pushed->{method} $pushed->{headers}{'content-type'}", 'POST application/x-www-form-urlencoded',
    'a POST of a form');
is(decode_base64($pushed->{headers}{authorization} =~ s/^Basic //r),
    'client:secret-of-at-least-thirty-two-bytes', 'by a client that proves who it is');
is($params{client_secret}, undef, 'whose secret is no parameter');
is(join(' ', grep { !length($params{$_} // '') } qw/ response_type scope redirect_uri state nonce
    code_challenge code_challenge_method /), '', 'with all that a login has');
is($params{request_uri}, undef, 'and no request_uri');
is($params{redirect_uri}, 'http://localhost:' . port(8080) . '/callback/always', 'redirect_uri');

$op->set(respond => { '/par' => body('{"request_uri":"urn:a b&state=evil#x"}') });
is_deeply(query(browser()->get('/page?op=always')->{location}),
    { client_id => 'client', request_uri => 'urn:a b&state=evil#x' }, 'request_uri is escaped');
$op->set(respond => { '/par' => created(status => 200) });
is(browser()->get('/page?op=always')->{status}, 302, 'status 200 instead of 201');

# When it is pushed.

$op->clear;
is(query(browser()->get('/page?op=usual')->{location})->{request_uri} // 'none', 'none',
    'not pushed unless the provider demands it');
$op->set(metadata => { pushed_authorization_request_endpoint => "$issuer/par",
    require_pushed_authorization_requests => \1 });
is(query(browser()->get('/page?op=never')->{location})->{request_uri} // 'none', 'none', 'nor when off');
is($op->count('/par'), 0, 'and nothing asked');
is(query(browser()->get('/page?op=demanded')->{location})->{request_uri}, $uri,
    'pushed where the provider demands it');

log_mark($t);
$op->set(metadata => {});
is(outcome(browser()->get('/page?op=unable')), '502 upstream_metadata', 'on, without an endpoint');
ok(log_has($t, qr/oidc: provider sent metadata without pushed_authorization_request_endpoint while/),
    'on, without an endpoint, logged');
$op->reset;

# Whole logins.

for my $case (['always', ['client_secret_basic'], 'redirect_uri state'],
    ['posts', ['client_secret_post'], 'client_secret redirect_uri response_mode state'],
    ['signs', ['client_secret_jwt'], 'client_assertion client_assertion_type redirect_uri state'])
{
    my ($name, $methods, $expected) = @$case;

    $op->reset->clear->set(client_auth => $methods);
    my $res = login("/page?op=$name");
    my ($pushed) = $op->requests('/par');
    my $params = $pushed->{params};

    is("$res->{status} $res->{body}", '200 application', "$methods->[0], a login");
    is($pushed->{verdict}, 'ok', "$methods->[0], taken by the endpoint");
    is(join(' ', sort grep { /^client_(?!id)|uri|response_mode|state/ } keys %$params), $expected,
        "$methods->[0], what is pushed");
    is(scalar(() = $pushed->{body} =~ /(?:^|&)client_id=/g), 1, "$methods->[0], client_id once");
    is(join(' ', sort keys %{ ($op->requests('/authorize'))[0]{params} }), 'client_id request_uri',
        "$methods->[0], what the browser carries");

    my @aud = map { jwt_decode($_->{params}{client_assertion})->{claims}{aud} }
        $name eq 'signs' ? ($pushed, $op->requests('/token')) : ();
    is("@aud", $name eq 'signs' ? "$issuer/par $issuer/token" : '',
        "$methods->[0], audience of the assertions");
}

$op->reset->clear;
my $browser = browser();
my $sent = $browser->follow($browser->get('/page?op=always'));
my $again = $browser->clear->follow($sent);
is(join(' ', sort keys %{ query($again->{location}) }), 'client_id request_uri',
    'a login that begins once more is pushed, too');
is($op->count('/par'), 2, 'which takes another push');
is($browser->follow($browser->follow($again))->{status}, 302, 'and succeeds');

# Answers that begin no login.

for my $case (@refused) {
    my ($name, $answer, $expected, $sentence) = @$case;

    $op->reset->clear->set(respond => { '/par' => $answer });
    log_mark($t);
    my $res = browser()->get('/page?op=always');

    is(outcome($res), $expected, $name);
    is($res->{headers}{'retry-after'} // 'none', $expected =~ /^50[24]/ ? 5 : 'none',
        "$name, Retry-After");
    ok(log_has($t, qr/oidc: \Q$sentence\E.* while beginning a login, provider "always"/), "$name, logged");
    is(join(' ', scalar @{ $res->{set_cookie} }, map { $op->count($_) } '/par', '/evil', '/authorize'),
        '0 1 0 0', "$name, no cookie and nothing else asked");
}

# Nobody waits for ever.

for my $case (['silent', created(delay => 3)], ['slow', created(drip => [10, 0.1])]) {
    $op->reset->set(respond => { '/par' => $case->[1] });
    log_mark($t);
    is(outcome(browser()->get('/page?op=impatient')), '504 upstream_timeout', "a provider that is $case->[0]");
    ok(log_has($t, qr/oidc: provider did not answer in time\Q$at\E while beginning a login/),
        "a provider that is $case->[0], logged");
}

$op->reset->set(respond => { '/par' => created() });
is(outcome(browser()->get('/page?op=impatient')), '302', 'a provider that speaks again');
is(outcome(browser()->get('/page?op=always')), '302', 'after all of these a login begins');

###############################################################################

# The status, and $oidc_error where there is one.
sub outcome {
    my ($answer) = @_;

    return join ' ', $answer->{status}, grep { defined } $answer->{headers}{'x-error'};
}

###############################################################################
