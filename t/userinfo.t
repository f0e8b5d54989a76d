#!/usr/bin/perl

# Tests for user info (OpenID Connect Core, 5.3): what is asked, whose answer is taken, and what becomes
# of an answer that is hostile, broken or somebody else's.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Keys;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $issuer = 'http://127.0.0.1:' . port(8081);
my $at = qq{ at "$issuer/userinfo"};

my $malformed = 'user info is malformed JSON';
my $deep = 'user info is JSON nested too deep';
my $twice = 'user info is JSON with a duplicate member';
my $three_parts = 'user info is not a JWS of three parts';
my $too_large = "provider sent too large an answer$at";
my $incomplete = "provider sent an incomplete answer$at";
my $unreachable = "provider could not be reached$at";

sub status { return "provider answered with status $_[0]" }
sub type { return qq{provider sent content type "$_[0]" instead of JSON} }

# name of the case, the answer, what the browser gets, log

my @refused_answers = (
    (map { ["a redirect, $_", { status => $_, headers => { Location => '/evil' } },
        '502 upstream_status', status($_)] } 300 .. 303, 305 .. 308),
    (map { ["status $_", { status => $_ }, '502 upstream_status', status($_)] }
        qw/ 201 204 206 400 401 403 404 429 500 503 /),
    ['401 with WWW-Authenticate', { status => 401, body => { error => 'invalid_token' },
        headers => { 'WWW-Authenticate' => 'Bearer error="invalid_token"' } },
        '502 upstream_status', status(401)],
    ['status 500 with a JWT', { status => 500, headers => { 'Content-Type' => 'application/jwt' } },
        '502 upstream_status', status(500)],

    ['HTML', { headers => { 'Content-Type' => 'text/html' }, body => '<html>' },
        '502 upstream_status', type('text/html')],
    ['the right claims as text/plain', { headers => { 'Content-Type' => 'text/plain' } },
        '502 upstream_status', type('text/plain')],
    ['no content type', { headers => { 'Content-Type' => undef } }, '502 upstream_status', type('')],

    ['an empty body', { body => '' }, '403 userinfo_malformed', $malformed],
    ['JSON cut short', { body => '{%%*%%' }, '403 userinfo_malformed', $malformed],
    ['an array', { body => '[{%%*%%}]' }, '403 userinfo_malformed',
        'user info is JSON that is not an object'],
    ['a member twice', { body => '{%%*%%,"sub":"eve"}' }, '403 userinfo_malformed', $twice],
    ['a member twice, once escaped', { body => '{%%*%%,"s\\u0075b":"eve"}' },
        '403 userinfo_malformed', $twice],
    ['a NUL in a claim', { body => '{%%*%%,"x":"a\\u0000b"}' }, '403 userinfo_malformed', $malformed],
    ['a NUL byte', { body => "{%%*%%,\"x\":\"a\0\"}" }, '403 userinfo_malformed', $malformed],
    ['no UTF-8', { body => "{%%*%%,\"x\":\"\xff\"}" }, '403 userinfo_malformed', $malformed],
    ['a number beyond all numbers', { body => '{%%*%%,"x":1e400}' },
        '403 userinfo_malformed', $malformed],
    ['nested 65 deep', { body => '{%%*%%,"x":' . '[' x 64 . ']' x 64 . '}' },
        '403 userinfo_malformed', $deep],
    ['nested 20,000 deep', { body => '{%%*%%,"x":' . '[' x 20_000 . ']' x 20_000 . '}' },
        '403 userinfo_malformed', $deep],
    ['nested 100,000 deep', { body => '[' x 100_000 }, '403 userinfo_malformed', $deep],

    ['4,000 members', { body => '{%%*%%' . join('', map { sprintf ',"%05x":0', $_ } 1 .. 4000) . '}' },
        '500 session_too_large', qr/session needs \d+ bytes of cookies/],
    ['more than 256 KB', { pad => 256 * 1024 + 1 }, '502 upstream_answer', $too_large],
    ['more than 256 KB, chunked', { pad => 256 * 1024 + 1, chunked => 8192 },
        '502 upstream_answer', $too_large],
    ['an answer without an end', { endless => 'body' }, '502 upstream_answer', $too_large],
    ['headers without an end', { endless => 'headers' }, '502 upstream_answer', $incomplete],
    ['interim answers without an end', { before => "HTTP/1.1 103 Early Hints\r\n\r\n" x 5000 },
        '502 upstream_answer', $incomplete],
    (map { ["compressed by $_", { headers => { 'Content-Encoding' => $_ } }, '502 upstream_answer',
        "provider sent a compressed answer, which was not asked for$at"] } qw/ gzip br deflate /),
    ['two lengths', { headers => { 'Content-Length' => [5, 6] } }, '502 upstream_answer',
        "provider sent a malformed Content-Length$at"],
    ['HTTP/0.9', { raw => '{"sub":"alice"}' }, '502 upstream_answer', "provider sent no HTTP answer$at"],
    ['closed before headers', { close => 'before_headers' }, '502 upstream_unreachable', $unreachable],
    ['closed in headers', { close => 'mid_headers' }, '502 upstream_answer', $incomplete],
    ['closed behind headers', { close => 'after_headers' }, '502 upstream_answer', $incomplete],
    ['closed in the body', { close => 'mid_body' }, '502 upstream_answer', $incomplete],
    ['reset in the body', { reset => 'mid_body' }, '502 upstream_answer', $incomplete],
);

# name of the case, claims, what is logged; the browser gets 403 userinfo_subject

my @refused_subjects = (
    ['another sub', { sub => 'eve' }, '"eve"'],
    ['no sub', { sub => undef }, ''],
    ['an empty sub', { sub => '' }, '""'],
    ['sub in another case', { sub => 'Alice' }, '"Alice"'],
    ['sub with a space behind', { sub => 'alice ' }, '"alice "'],
    ['sub an array', { sub => ['alice'] }, '["alice"]'],
    ['sub a number', { sub => 42 }, '42'],
);

# name of the case, recipe of the JWT, $oidc_error, log; the browser gets 403

my $public = Test::OIDC::Keys::public_pem('rsa');

my @refused_tokens = (
    ['two parts', { token => '%%header%%.%%claims%%' }, userinfo_malformed => $three_parts],
    ['five parts', { token => '%%header%%.a.b.c.%%signature%%' }, userinfo_malformed => $three_parts],
    ['JSON as a JWT', { token => '{"sub":"alice"}' }, userinfo_malformed => $three_parts],
    ['an empty JWT', { token => '' }, userinfo_malformed => $three_parts],
    ['claims that are no JSON', { claims_json => 'sub=alice' }, userinfo_malformed => $malformed],
    ['a claim twice', { claims_json => '{%%*%%,"sub":"eve"}' }, userinfo_malformed => $twice],
    ['claims nested 20,000 deep', { claims_json => '[' x 20_000 }, userinfo_malformed => $deep],
    ['alg none', { alg => 'none' },
        userinfo_alg => 'user info is signed with "none", which id_token_alg does not list'],
    ['HMAC with the public key', { alg => 'HS256', secret => $public, header => { kid => 'rsa' } },
        userinfo_alg => 'user info is signed with "HS256", which id_token_alg does not list'],
    ['a critical extension', { header => { crit => ['x'], x => 1 } },
        userinfo_crit => qr/user info .*critical extension/],
    ['an unknown key', { key => 'rsa-2' },
        userinfo_key => 'user info names an unknown key "rsa-2"'],
    ['another key', { key => 'rsa-2', header => { kid => 'rsa' } },
        userinfo_signature => 'user info has a bad signature'],
    ['one bit turned', { signature => 'flip' }, userinfo_signature => 'user info has a bad signature'],
    ['no signature', { signature => 'empty' }, userinfo_signature => 'user info has a bad signature'],
    ['another issuer', { claims => { iss => 'https://evil.example.com' } },
        userinfo_issuer => 'user info has a wrong issuer "https://evil.example.com"'],
    ['no issuer', { claims => { iss => undef } }, userinfo_issuer => 'user info has a wrong issuer ""'],
    ['another audience', { claims => { aud => 'other' } },
        userinfo_audience => qr/user info is for another audience, .*other/],
    ['no audience', { claims => { aud => undef } },
        userinfo_audience => 'user info is for another audience, ""'],
    ['another sub', { claims => { sub => 'eve' } },
        userinfo_subject => qr/user info is of another sub, .*eve/],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)
    ->plan(4 * (@refused_answers + @refused_subjects + @refused_tokens) + 23);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    error_log %%TESTDIR%%/error.log info;

    oidc_provider op {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        userinfo      on;
    }

    oidc_provider impatient {
        issuer          http://127.0.0.1:8081;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        userinfo        on;
        connect_timeout 300ms;
        read_timeout    300ms;
        redirect_uri    /callback/impatient;
    }

    oidc_provider rotating {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        userinfo      on;
        redirect_uri  /callback/rotating;
    }

    oidc_provider without {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        userinfo      on;
        redirect_uri  /callback/without;
    }

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        add_header X-Error $oidc_error always;

        location / {
            auth_oidc  op;
            proxy_pass http://127.0.0.1:8080/app;

            proxy_set_header X-Name     $oidc_claim_name;
            proxy_set_header X-Nickname $oidc_claim_nickname;
            proxy_set_header X-Userinfo $oidc_userinfo;
        }

        location /impatient {
            auth_oidc  impatient;
            proxy_pass http://127.0.0.1:8080/app;
        }

        location /rotating {
            auth_oidc  rotating;
            proxy_pass http://127.0.0.1:8080/app;
        }

        location /without {
            auth_oidc  without;
            proxy_pass http://127.0.0.1:8080/app;
        }

        location /app {
            return 200 "name=$http_x_name nickname=$http_x_nickname userinfo=$http_x_userinfo";
        }
    }
}

EOF

$t->run();

# What is asked, and what becomes of it.

$op->set(userinfo => { claims => { name => 'somebody', nickname => 'al' } });
my $res = login('/');
like($res->{body}, qr/ nickname=al /, 'a claim of user info alone');
unlike($res->{body}, qr/^name=somebody /, 'a claim of both is the ID token\'s');
like($res->{body}, qr/userinfo=\{.*"nickname":"al".*\}$/, '$oidc_userinfo');

my ($asked) = $op->requests('/userinfo');
is("$asked->{method} $asked->{body}", 'GET ', 'a GET');
like($asked->{headers}{authorization}, qr/^Bearer \S+$/, 'with the access token');
is($asked->{query}, '', 'and nowhere else');
is($asked->{headers}{accept}, 'application/json, application/jwt', 'Accept');
is($asked->{verdict}, 'ok', 'which the provider takes');

$op->reset->set(userinfo => { claims => { nickname => 'al' }, jwt => {} });
like(login('/')->{body}, qr/ nickname=al /, 'a signed answer');
$op->set(userinfo => { jwt => { alg => 'ES256' } });
is(login('/')->{status}, 200, 'signed by another key');
$op->set(userinfo => { jwt => { claims => { aud => [qw/ other client /] } } });
is(login('/')->{status}, 200, 'signed for several');

for my $case (
    ['exactly 256 KB', { pad => 256 * 1024 }],
    ['in chunks', { chunked => 7 }])
{
    $op->reset->set(respond => { '/userinfo' => $case->[1] });
    my $answer = login('/');
    is($answer->{status} . ($answer->{headers}{'x-error'} // ''), 200, "an answer, $case->[0]");
}

# Keys that change between the ID token and user info.

$op->reset->clear;
login('/rotating');
$op->set(jwks => [qw/ rsa rsa-2 /], userinfo => { jwt => { key => 'rsa-2' } });
is(login('/rotating')->{status}, 200, 'signed by a key that came after the ID token\'s');
is($op->count('/jwks'), 2, 'for which the keys are asked for once');

# Nobody asks too early, or in vain.

$op->reset->clear->set(id_token => { signature => 'flip' });
is(login('/')->{headers}{'x-error'}, 'id_token_signature', 'a bad ID token');
is($op->count('/userinfo'), 0, 'is followed by no question');

$op->reset->clear->set(metadata => { userinfo_endpoint => undef });
log_mark($t);
$res = browser()->get('/without');
is("$res->{status} $res->{headers}{'x-error'}", '502 upstream_metadata', 'metadata without the endpoint');
ok(log_has($t, qr/oidc: provider sent metadata without userinfo_endpoint while/),
    'metadata without the endpoint, logged');

# Answers that end in no session.

refused($t, $op, "an answer, $_->[0]", { respond => { '/userinfo' => $_->[1] } }, @$_[2, 3])
    for @refused_answers;

refused($t, $op, $_->[0], { userinfo => { claims => $_->[1] } }, '403 userinfo_subject',
    'user info is of another sub, "' . $_->[2] =~ s/"/\\x22/gr . '"') for @refused_subjects;

for my $case (@refused_tokens) {
    my ($name, $recipe, $word, $sentence) = @$case;
    refused($t, $op, "signed, $name", { userinfo => { jwt => $recipe } }, "403 $word", $sentence);
}

# Nobody waits for ever.

$op->reset->set(respond => { '/userinfo' => { delay => 3 } });
log_mark($t);
$res = login('/impatient');
is("$res->{status} " . ($res->{headers}{'x-error'} // ''), '504 upstream_timeout', 'a silent provider');
ok(log_has($t, qr/oidc: provider did not answer in time\Q$at\E while handling the callback/),
    'a silent provider, logged');
$op->reset;
is(login('/impatient')->{status}, 200, 'a provider that speaks again');
is(login('/')->{status}, 200, 'after all of these a login succeeds');

###############################################################################

sub refused {
    my ($t, $op, $name, $knobs, $expected, $sentence) = @_;

    $op->reset->clear->set(%$knobs);
    log_mark($t);

    my $browser = browser();
    my $sent = $browser->follow($browser->get('/'));
    my $answer = $browser->follow($sent);

    is("$answer->{status} " . ($answer->{headers}{'x-error'} // ''), $expected, $name);
    is($answer->{headers}{'retry-after'} // 'none', $expected =~ /^50[24]/ ? 5 : 'none',
        "$name, Retry-After");

    $sentence = quotemeta $sentence unless ref $sentence;
    ok(log_has($t, qr/oidc: $sentence.* while handling the callback, provider "op"/), "$name, logged");

    # neither by the same callback once more nor by what the browser holds now
    my $again = $browser->follow($sent);
    my $page = $browser->get('/');
    my $sessions = grep { $_->{name} !~ /_login_/ } $browser->cookies;
    my $counts = join ' ', map { $op->count($_) } '/token', '/userinfo', '/evil';
    is("$again->{status} $page->{status} $sessions $counts", '400 302 0 1 1 0', "$name, nothing kept");
}

###############################################################################
