#!/usr/bin/perl

# Tests for a provider's metadata (OpenID Connect Discovery 1.0): when it is requested, its required members, and
# malformed HTTP responses. Every case has its own oidc_provider without documents.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Time::HiRes qw/ time /;

use Test::OIDC;
use Test::OIDC::Hostile;
use Test::OIDC::JWT qw/ to_json /;
use Test::OIDC::Refusal;
use Test::OIDC::Site;

my $metadata = '/.well-known/openid-configuration';
my $issuer = 'http://127.0.0.1:' . port(8081);
my $at = qq{at "$issuer$metadata"};

my $document = to_json({
    issuer => $issuer,
    authorization_endpoint => "$issuer/authorize",
    token_endpoint => "$issuer/token",
    jwks_uri => "$issuer/jwks",
});
my $length = length $document;
my $chunk = sprintf "%x\r\n%s\r\n", $length, $document;

# The valid metadata with that many additional members
sub members {
    my ($number, $last) = @_;

    return '{%%*%%' . join('', map { sprintf ',"%x":0', $_ } 1 .. $number) . "$last}";
}

sub ok_with { return join "\r\n", 'HTTP/1.1 200 OK', 'Content-Type: application/json', @_ }
sub not_https { return "provider sent metadata whose $_[0] is not an https URL" }

my @incomplete = ('502 upstream_answer', "provider sent an incomplete response $at");
my @bad_length = ('502 upstream_answer', "provider sent a malformed Content-Length $at");
my @bad_header = ('502 upstream_answer', "provider sent a malformed header $at");
my @bad_chunks = ('502 upstream_answer', "provider sent malformed chunks $at");
my @bad_coding = ('502 upstream_answer', "provider sent an unknown Transfer-Encoding $at");
my @no_http = ('502 upstream_answer', "provider sent no HTTP response $at");
my @malformed = ('502 upstream_metadata', 'provider sent metadata that is malformed JSON');

# name of the case, members changed, log sentence; the browser gets 502 and upstream_metadata

my @refused_members = (
    ['issuer of another', { issuer => 'https://evil.example.com' },
        qq{provider sent metadata of another issuer, "https://evil.example.com" instead of "$issuer"}],
    ['issuer with a slash added', { issuer => "$issuer/" },
        qq{provider sent metadata of another issuer, "$issuer/" instead of "$issuer"}],
    ['issuer in another case', { issuer => uc $issuer },
        qq{provider sent metadata of another issuer, "@{[ uc $issuer ]}" instead of "$issuer"}],
    ['issuer with a suffix', { issuer => "$issuer.evil.example.com" },
        qq{provider sent metadata of another issuer, "$issuer.evil.example.com" instead of "$issuer"}],
    ['issuer missing', { issuer => undef },
        qq{provider sent metadata of another issuer, "" instead of "$issuer"}],
    ['issuer an array', { issuer => [$issuer] },
        qq{provider sent metadata of another issuer, "" instead of "$issuer"}],

    (map { ["$_ missing", { $_ => undef }, "provider sent metadata without $_"] }
        qw/ authorization_endpoint token_endpoint jwks_uri /),
    (map { ["$_ a number", { $_ => 1 }, "provider sent metadata without $_"] }
        qw/ authorization_endpoint token_endpoint jwks_uri /),
    (map { ["$_ a path", { $_ => '/x' }, not_https(qq{$_ "/x"})] }
        qw/ authorization_endpoint token_endpoint jwks_uri /),

    ['an endpoint of another scheme', { token_endpoint => 'file:///etc/passwd' },
        not_https('token_endpoint "file:///etc/passwd"')],
    ['an endpoint with a script', { authorization_endpoint => 'javascript:alert(1)' },
        not_https('authorization_endpoint "javascript:alert(1)"')],
    ['an endpoint with a fragment', { authorization_endpoint => "$issuer/authorize#x" },
        not_https(qq{authorization_endpoint "$issuer/authorize#x"})],
    ['an endpoint with a line break', { token_endpoint => "$issuer/token\r\nX: y" },
        not_https(qq{token_endpoint "$issuer/token\\x0D\\x0AX: y"})],
    ['an endpoint with a space', { jwks_uri => "$issuer/jwks HTTP/1.1" },
        not_https(qq{jwks_uri "$issuer/jwks HTTP/1.1"})],
    ['an endpoint with a password', { token_endpoint => "http://user:word\@127.0.0.1/token" },
        not_https('token_endpoint "http://user:word@127.0.0.1/token"')],
    ['an endpoint with a backslash', { token_endpoint => "$issuer\\\@evil.example.com/" },
        not_https(qq{token_endpoint "$issuer\\x5C\@evil.example.com/"})],
    ['an endpoint without a host', { token_endpoint => 'http:///token' },
        not_https('token_endpoint "http:///token"')],
    ['an endpoint with port 0', { token_endpoint => 'http://127.0.0.1:0/token' },
        not_https('token_endpoint "http://127.0.0.1:0/token"')],
    ['an endpoint with port 65536', { token_endpoint => 'http://127.0.0.1:65536/token' },
        not_https('token_endpoint "http://127.0.0.1:65536/token"')],
);

# name of the case, response, what the browser gets, log sentence

my @refused_responses = (
    wrong_status(qw/ 201 203 204 206 304 400 401 404 500 503 999 /),
    ['a status of zeros', { raw => "HTTP/1.1 000 Zero\r\n\r\n" },
        '502 upstream_status', 'provider returned status 0'],
    wrong_type(),
    (map { [$_->[0], { body => $_->[1] }, '502 upstream_metadata',
        "provider sent metadata that is $_->[2]"] } broken_json()),
    ['the last of 10,000 members twice', { body => members(10_000, ',"2710":0') },
        '502 upstream_metadata', 'provider sent metadata that is JSON with a duplicate member'],
    ['arrays nested 100,000 deep', { body => '[' x 100_000 },
        '502 upstream_metadata', 'provider sent metadata that is JSON nested too deeply'],
    broken_http("$issuer$metadata", 1024 * 1024),

    # RFC 9112, 6.3: where a response ends

    ['cut before its last chunk', { raw => ok_with('Transfer-Encoding: chunked', '', $chunk) }, @incomplete],
    ['cut in the size of a chunk',
        { raw => ok_with('Transfer-Encoding: chunked', '', sprintf '%x', $length) }, @incomplete],
    ['a length too large', { headers => { 'Content-Length' => $length + 1 }, body => $document }, @incomplete],
    ['a length too small', { headers => { 'Content-Length' => $length - 1 }, body => $document }, @malformed],
    ['the length 0', { headers => { 'Content-Length' => 0 } }, @malformed],
    ['the same length twice', { headers => { 'Content-Length' => [$length, $length] } }, @bad_length],
    (map { ["the length \"$_\"", { headers => { 'Content-Length' => $_ } }, @bad_length] }
        '', 'x', '-1', '1 2', '5, 5', '99999999999999999999', "+$length", "$length.0", "$length;",
        "$length, $length", '1e3', sprintf '0x%x', $length),
    (map { ["the transfer coding \"$_\"", { raw => ok_with("Transfer-Encoding: $_", '', $chunk) },
        @bad_coding] } 'gzip, chunked', 'gzip', 'identity', 'chunked, chunked', 'chunkedx', ''),
    (map { ["compressed by $_", { headers => { 'Content-Encoding' => $_ } }, '502 upstream_answer',
        "provider sent an unsupported Content-Encoding $at"] } 'GZIP', 'identity, gzip'),
    (map { ["chunks $_->[0]", { raw => ok_with('Transfer-Encoding: chunked', '', $_->[1]) }, @bad_chunks] }
        ['with a negative size', "-1\r\n$document\r\n0\r\n\r\n"], ['without a size', "x\r\n$document"],
        ['with a size out of range', 'f' x 40 . "\r\n$document"],
        ['longer than their size', "5\r\n$document\r\n0\r\n\r\n"]),

    # RFC 9112, 4 and 5: the status line and headers

    (map { ["the status line \"$_\"", { raw => "$_\r\n\r\n$document" }, @no_http] }
        'HTTP/1.1', 'HTTP/1.1 OK', 'HTTP/1.1 20 OK', 'HTTP/1.1 2000 OK', 'HTTP/1.1 -200 OK', 'HTTP/x.1 200 OK',
        'ICY 200 OK', ' HTTP/1.1 200 OK'),
    ['a switch of protocols', { status => 101 }, @no_http],
    ['a length only in an interim response',
        { before => "HTTP/1.1 103 Early Hints\r\nContent-Length: $length\r\n\r\n", raw => $document },
        @no_http],
    ['a carriage return before a length', { raw => ok_with("X: a\rContent-Length: 5", '', $document) },
        @bad_header],
    ['a space before a colon', { raw => ok_with("Content-Length : $length", '', $document) }, @bad_header],
    ['a folded header', { raw => ok_with('X: a', ' b', '', $document) }, @bad_header],
    ['no colon in a header', { raw => ok_with("a \x01b", '', $document) }, @bad_header],
);

# name of the case, response

my @accepted_responses = (
    ['in chunks of a byte', { chunked => 1 }],
    ['in chunks of a hundred bytes', { chunked => 100 }],
    ['in chunks with extensions and a trailer',
        { raw => ok_with('Transfer-Encoding: chunked', '', sprintf "%X;a=b\r\n%s\r\n0;c\r\nX: y\r\n\r\n",
            $length, $document) }],
    ['until the connection is closed', { headers => { 'Content-Length' => undef } }],
    ['HTTP/1.0', { raw => "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n$document" }],
    ['no reason phrase',
        { raw => "HTTP/1.1 200\r\nContent-Type: application/json\r\n\r\n$document" }],
    ['lines that end in LF',
        { raw => "HTTP/1.1 200 OK\nContent-Type: application/json\n\n$document" }],
    ['headers in lower case',
        { raw => join "\r\n", 'HTTP/1.1 200 OK', 'content-type:application/json',
            "content-length:$length", '', $document }],
    ['bytes after the end', { after => "HTTP/1.1 200 OK\r\n\r\n{}" }],
    ['bytes after the last chunk', { chunked => 100, after => 'x' }],
    ['an interim response 100', { before => "HTTP/1.1 100 Continue\r\n\r\n" }],
    ['ten interim responses 103 with headers',
        { before => "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 9\r\n\r\n" x 10 }],
    ['a charset', { headers => { 'Content-Type' => 'Application/JSON;charset=UTF-8' } }],
    ['identity', { headers => { 'Content-Encoding' => 'identity' } }],
    ['10,000 bytes of headers', { headers => { 'Set-Cookie' => [ ('a=' . 'x' x 950) x 10 ] } }],
    ['nearly 1 MB', { pad => 1024 * 1024 }],
    ['nearly 1 MB, chunked', { pad => 1024 * 1024, chunked => 4096 }],
    ['in small pieces', { drip => [100, 0.01] }],
    ['nested 64 deep', { body => '{%%*%%,"x":' . '[' x 63 . ']' x 63 . '}' }],
    ['unknown members', { body => '{%%*%%,"x":[1,"y",null,{}]}' }],
    ['integers beyond 64 bits', { body => '{%%*%%,"x":99999999999999999999,"y":[-' . '9' x 1000 . ']}' }],
    ['null for every member that may be absent', { body => '{' . join(',',
        (map { qq{"$_":%%$_%%} } qw/ issuer authorization_endpoint token_endpoint jwks_uri /),
        (map { qq{"$_":null} } qw/ userinfo_endpoint pushed_authorization_request_endpoint end_session_endpoint
            revocation_endpoint mtls_endpoint_aliases token_endpoint_auth_methods_supported
            token_endpoint_auth_signing_alg_values_supported code_challenge_methods_supported
            authorization_response_iss_parameter_supported require_pushed_authorization_requests x /)) . '}' }],
    ['300 headers', { headers => { X => [ ('x') x 300 ] } }],
    ['100,000 members', { body => members(100_000, '') }],
    ['100,000 methods', { body => '{' . join(',', map({ qq{"$_":%%$_%%} }
        qw/ issuer authorization_endpoint token_endpoint jwks_uri /),
        '"token_endpoint_auth_methods_supported":["client_secret_post"' . ',"x"' x 100_000 . ']}') }],
);

# name of the case, members changed, code_challenge_method in the authorization request

my @challenges = (
    ['S256 offered', { code_challenge_methods_supported => [qw/ plain S256 /] }, 'S256'],
    ['code_challenge_methods_supported absent', { code_challenge_methods_supported => undef }, 'S256'],
    ['only plain offered', { code_challenge_methods_supported => ['plain'] }, 'none'],
    ['no method offered', { code_challenge_methods_supported => [] }, 'none'],
);

# endpoint, directives that use it, other members of the metadata

my @used = (
    (map { [$_] } qw/ authorization_endpoint token_endpoint jwks_uri /),
    ['userinfo_endpoint', 'userinfo on'],
    ['pushed_authorization_request_endpoint', 'pushed_authorization on'],
    ['pushed_authorization_request_endpoint', '', { require_pushed_authorization_requests => \1 }],
    ['end_session_endpoint', 'logout_uri /logout'],
    ['revocation_endpoint', 'revoke_on_logout on'],
);

# endpoint that no directive uses, its value

my @unused = map { my $name = $_; map { [$name, $_] } 'http://op.example.com/x', '/x' }
    qw/ userinfo_endpoint pushed_authorization_request_endpoint end_session_endpoint revocation_endpoint /;

my $ignored = 'the endpoint is ignored, provider';
my $fresh = 0;

# name of the case, a response without an end, what the browser gets, log sentence

my @slow = (
    too_slow("$issuer$metadata"),
    map { [@$_, '504 upstream_timeout', "provider did not respond in time $at"] }
        ['slow in its chunks', { pad => 7000, chunked => 1, drip => [30, 0.05] }],
        ['slow in interim responses', { raw => "HTTP/1.1 103 Early Hints\r\n\r\n" x 1200, drip => [28, 0.05] }],
        ['slow in the extensions of a chunk', { drip => [20, 0.05],
            raw => ok_with('Transfer-Encoding: chunked', '', '5' . ';a=b' x 6000) }],
        ['slow in trailers', { drip => [60, 0.05],
            raw => ok_with('Transfer-Encoding: chunked', '', "${chunk}0\r\n" . "X: y\r\n" x 12_000) }],
);

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite sni socket_ssl_sni/)
    ->plan(CHALLENGE_TESTS * (@refused_members + @refused_responses + @slow) + @slow + @accepted_responses
        + 2 * @challenges + 2 * @used + 4 * @unused + 50);

my $op = provider($t, 8081);
my $realm = provider($t, 8082, path => '/realms/a');
my $slash = provider($t, 8083, path => '/realms/b/');

my $ca = certificate_authority($t, 'ca');
my $tls = provider($t, 8084, host => 'localhost', tls => $ca->issue('op'));

my $count = @refused_members + @refused_responses + @accepted_responses + @challenges + 30;

$t->write_file('metadata.json', $document);
$t->write_file_expand('nginx.conf', nginx_conf(
    (map { oidc_provider("p$_") } 1 .. $count),
    (map { oidc_provider($_->[0], join('; ', 'ssl_trusted_certificate %%TESTDIR%%/ca.crt', $_->[1] || ()),
        issuer => 'https://localhost:%%PORT_8084%%') }
        ['tls'], (map { ["used_$_", $used[$_ - 1][1]] } 1 .. @used), map { ["unused_$_"] } 1 .. @unused),
    (map { oidc_provider("hasty$_", SHORT_TIMEOUTS) } 1 .. @slow),
    oidc_provider('realm', '', issuer => 'http://127.0.0.1:8082/realms/a'),
    oidc_provider('slash', '', issuer => 'http://127.0.0.1:8083/realms/b/'),
    oidc_provider('elsewhere', 'config_url http://127.0.0.1:8080/metadata.json?policy=b2c'),
    oidc_provider('plain', 'pkce off'),
    oidc_provider('impatient', SHORT_TIMEOUTS),
    site('in', <<'EOF'),
        location /tight/ {
            auth_oidc  $arg_op;
            proxy_pass http://127.0.0.1:8080/app;

            client_body_buffer_size       1k;
            client_max_body_size          200k;
            subrequest_output_buffer_size 1k;
        }

        location = /metadata.json {
            default_type application/json;
            add_header   X-Query $args always;
        }
EOF
));

# Do not read the system's certificates for every oidc_provider.
$ENV{SSL_CERT_FILE} = '/dev/null';

# Metadata is requested for the first login, so nginx starts without the provider.

$op->stop;
$t->run();

is(browser()->get('/app')->{status}, 200, 'provider down: an open page is served');
log_mark($t);
my $path = fresh();
my $res = browser()->get($path);
is(outcome($res), '502 upstream_unreachable', 'provider down: a protected page is refused');
ok($res->{headers}{'retry-after'}, 'provider down: Retry-After');
ok(log_has($t, qr/oidc: provider could not be reached \Q$at\E while beginning a login, provider "p1"/),
    'provider down: logged');

$op->start;
is($op->count($metadata), 0, 'provider up: no metadata request yet');
is(browser()->get('/app')->{status} . $op->count($metadata), 2000,
    'provider up: an open page sends no metadata request');
is(outcome(login($path)), '200', 'provider up: a login succeeds');
is($op->count($metadata), 1, 'provider up: the metadata is requested once');
is(outcome(login($path)), '200', 'provider up: another login succeeds');
is($op->count($metadata), 1, 'provider up: the metadata is kept in spite of no-store');

# A failure is not kept.

$op->clear->set(respond => { $metadata => { status => 503, times => 1 } });
$path = fresh();
is(outcome(browser()->get($path)), '502 upstream_status', 'a failed request: the first login fails');
is(outcome(login($path)), '200', 'a failed request: the second login succeeds');
is($op->count($metadata), 2, 'a failed request: two metadata requests');

# Members of the metadata

for my $case (@refused_members) {
    my ($name, $members, $sentence) = @$case;
    begins_no_login($t, $op, fresh_name(), $name, { metadata => $members }, '502 upstream_metadata', $sentence);
}

for my $case (@challenges) {
    my ($name, $members, $method) = @$case;

    $op->reset->clear->set(metadata => $members);
    my $answer = login(fresh());
    my $asked = query($answer->{hops}[0]{location});
    is($asked->{code_challenge_method} // 'none', $method, $name);
    is(outcome($answer), '200', "$name: a login succeeds");
}

$op->reset->clear;
$res = login('/?op=plain');
is(query($res->{hops}[0]{location})->{code_challenge}, undef, 'pkce off: no code_challenge');
is(outcome($res), '200', 'pkce off: a login succeeds');
is(($op->requests('/token'))[0]{params}{code_verifier}, undef, 'pkce off: no code_verifier');

# RFC 6749, 3.1: the query of an authorization_endpoint is kept.

for my $query ('', 'tenant=a%20b&v=2', 'tenant=a&') {
    $op->reset->clear->set(metadata => { authorization_endpoint => "$issuer/authorize?$query" });
    $path = fresh();
    is(outcome(login($path)), '200', "authorization_endpoint with ?$query: a login succeeds");

    my $kept = $query =~ s/[^&]\K$/&/r;
    my $location = browser()->get($path)->{location};
    like($location, qr{/authorize\?\Q$kept\Eresponse_type=code&}, "authorization_endpoint with ?$query");
}

# The path of the issuer

is(outcome(login('/?op=realm')), '200', 'an issuer with a path');
is(($realm->requests($metadata))[0]{path}, "/realms/a$metadata", 'an issuer with a path: the path of its metadata');
is(outcome(login('/?op=slash')), '200', 'an issuer with a trailing slash');
is(($slash->requests($metadata))[0]{path}, "/realms/b$metadata",
    'an issuer with a trailing slash: the path of its metadata');

$op->reset->clear;
is(outcome(login('/?op=elsewhere')), '200', 'config_url');
is($op->count($metadata), 0, 'config_url: the default URL is not requested');
like($t->read_file('access.log'), qr{"GET /metadata\.json\?policy=b2c HTTP/1\.1" 200},
    'config_url: its query is sent');

# An https issuer has no http endpoints that the configuration uses.

my $plain = 'http://127.0.0.1:' . port(8081) . '/x';

for my $number (1 .. @used) {
    my ($name, undef, $members) = @{ $used[$number - 1] };

    log_mark($t);
    $tls->reset->set(metadata => { %{ $members || {} }, $name => $plain });
    is(outcome(browser()->get("/?op=used_$number")), '502 upstream_metadata', "$name with http, issuer with https");
    ok(log_has($t, qr/oidc: \Q@{[ not_https(qq{$name "$plain"}) ]}\E while beginning a login/),
        "$name with http, issuer with https: logged");
}

$tls->reset;
is(outcome(login('/?op=tls')), '200', 'all endpoints with https');

# An unusable one that it does not use is as good as absent.

for my $number (1 .. @unused) {
    my ($name, $value) = @{ $unused[$number - 1] };

    log_mark($t);
    $tls->reset->set(metadata => { $name => $value });
    is(outcome(login("/?op=unused_$number")), '200', "$name $value, not used: a login succeeds");
    is(outcome(login("/?op=unused_$number")), '200', "$name $value, not used: another login succeeds");
    ok(log_has($t, qr/\[warn\] .* oidc: \Q@{[ not_https(qq{$name "$value"}) ]}, $ignored "unused_$number"/),
        "$name $value, not used: logged");
    is(scalar(error_log_lines($t, qr/oidc:/)), 1, "$name $value, not used: logged once");
}

# The HTTP response

for my $case (@refused_responses) {
    my ($name, $answer, @verdict) = @$case;
    begins_no_login($t, $op, fresh_name(), "a response, $name",
        { respond => { $metadata => $answer } }, @verdict);
}

for my $case (@accepted_responses) {
    my ($name, $answer) = @$case;

    $op->reset->set(respond => { $metadata => $answer });
    is(outcome(browser()->get(fresh())), '302', "a response, $name");
}

# A response ends with its length or its last chunk, not with the connection.

for my $coding ('a length', 'chunks') {
    $op->reset->set(respond => { $metadata => {
        drip => [60_000, MAX_WAIT], $coding eq 'chunks' ? (chunked => 100) : () } });
    my $began = time;
    is(outcome(browser()->get(fresh())), '302', "a response with $coding: accepted on an open connection");
    took_at_most($began, 0, "a response with $coding: accepted before the connection ends");
}

# Concurrent requests share one metadata request and its response.

$op->reset->clear->set(respond => { $metadata => { hold => 1 } });
is_deeply([ at_once($op, 20, fresh()) ], [ ('302') x 20 ], 'twenty concurrent requests succeed');
is($op->count($metadata), 1, 'twenty concurrent requests: one metadata request');

$op->clear->set(respond => { $metadata => { hold => 1, status => 500 } });
is_deeply([ at_once($op, 20, fresh()) ], [ ('502 upstream_status') x 20 ],
    'twenty concurrent requests, a failure: all fail');
is($op->count($metadata), 1, 'twenty concurrent requests, a failure: one metadata request');

$op->set(respond => { $metadata => { hold => 1 } });
is_deeply([ at_once($op, 5, fresh(), 0) ], [ ('302') x 4 ],
    'the first of five concurrent requests closes: the others succeed');

$op->set(respond => { $metadata => { hold => 1 } });
is_deeply([ at_once($op, 5, fresh(), 1, 3) ], [ ('302') x 3 ],
    'two of five concurrent requests close: the others succeed');

$op->set(respond => { $metadata => { hold => 1 } });
$path = fresh();
at_once($op, 5, $path, 0 .. 4);
is(outcome(browser()->get($path)), '302', 'all of five concurrent requests close: a sixth request succeeds');

# No request waits longer than the timeouts, and other requests do not wait.

$op->clear->set(respond => { $metadata => { hold => 1 } });
my @waiting = map { my $b = browser(); [ $b, $b->start('/?op=impatient') ] } 1 .. 5;
$op->wait_for($metadata, 1);
is(browser()->get('/app')->{status}, 200, 'a silent provider: an open page is served meanwhile');

my $start = time;
log_mark($t);
is_deeply([ map { outcome($_->[0]->finish($_->[1])) } @waiting ], [ ('504 upstream_timeout') x 5 ],
    'a silent provider: all logins fail');
took_at_most($start, SHORT_TOTAL, 'a silent provider: within the timeout');
ok(log_has($t, qr/oidc: provider did not respond in time \Q$at\E while beginning a login/),
    'a silent provider: logged');

$op->reset;
is(outcome(browser()->get('/?op=impatient')), '302', 'a provider that has recovered');

# A response that never ends is bounded by the timeouts, too.

for my $number (1 .. @slow) {
    my ($name, $answer, @verdict) = @{ $slow[$number - 1] };

    my $began = time;
    begins_no_login($t, $op, "hasty$number", "a response, $name",
        { respond => { $metadata => $answer } }, @verdict);
    took_at_most($began, SHORT_TOTAL, "a response, $name: within the timeouts");
}

# Settings and body of the first request do not affect the metadata request.

$op->clear->set(respond => { $metadata => { pad => 100_000 }, '/jwks' => { pad => 100_000 } });
$path = '/tight' . fresh();
is(outcome(browser()->post($path, 'x' x 100_000)), '302',
    'the first request is a large POST: a redirect to the provider');
is(($op->requests($metadata))[0]{body}, '',
    'the first request is a large POST: its body is not sent to the provider');
is(outcome(login($path)), '200', 'the first request is a large POST: a login succeeds');
is(outcome(login('/tight' . fresh())), '200', 'small buffers in the location: a login succeeds');

###############################################################################

# An oidc_provider that no case has used, and a page that needs a login with it
sub fresh_name { return 'p' . ++$fresh }
sub fresh { return page_of(fresh_name()) }

# Requests of several browsers that wait for one response; those in @leaving close their connections.
sub at_once {
    my ($op, $number, $path, @leaving) = @_;

    my @waiting;
    my $asked = $op->count($metadata);
    for (1 .. $number) {
        my $browser = browser();
        push @waiting, [ $browser, $browser->start($path) ];
        $op->wait_for($metadata, $asked + 1);
    }
    browser()->get('/app');    # nginx has read all of them then

    for my $gone (reverse @leaving) {
        my ($browser, $request) = @{ splice @waiting, $gone, 1 };
        $browser->abort($request);
    }
    browser()->get('/app');

    $op->reset;
    return map { outcome($_->[0]->finish($_->[1])) } @waiting;
}

###############################################################################
