#!/usr/bin/perl

# Tests for response_mode form_post (OAuth 2.0 Form Post Response Mode): the provider's page posts the
# callback as a form from another site. All encodings of a form body that HTTP allows are accepted, all
# other bodies are refused.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Select ();
use IO::Socket::INET ();

use Test::OIDC;
use Test::OIDC::Site;
use Test::OIDC::URL qw/ html_unescape query_string /;

my $form = 'application/x-www-form-urlencoded';
my $max_size = 32 * 1024;

# accepted: name, change of the request

my @accepted = (
    ['a charset behind the content type', { headers => { 'Content-Type' => "$form; charset=UTF-8" } }],
    ['a content type in capitals', { headers => { 'Content-Type' => uc $form } }],
    ['a form in chunks', { chunked => 16 }],
    ['a form in one chunk', { chunked => 1e6 }],
    ['a form buffered in a file', { fields => { pad => 'x' x 5000 } }],
    ['a form in chunks buffered in a file', { fields => { pad => 'x' x 5000 }, chunked => 700 }],
    ['a form of 32 KB', { size => $max_size }],
    ['a form of 32 KB in chunks', { size => $max_size, chunked => 4096 }],
    ['unknown parameters', { fields => { session_state => 'x', user => '{"name":{}}' } }],
    ['a query beside the form', { query => '?state=evil&code=evil' }],
    ['an origin of "null"', { headers => { 'Origin' => 'null' } }],
);

# refused: name, change of the request, outcome, log

my $no_state = ['400 state_missing', 'client sent no state'];
my $too_large = ['400 callback_malformed', 'client sent an oversized form'];
my $not_encoded = ['400 callback_malformed', 'client sent a parameter that is not form-urlencoded'];

my @refused = (
    (map { ["method $_", { method => $_ }, '400 callback_malformed', qq{client sent unsupported method "$_"}] }
        qw/ GET HEAD PUT DELETE OPTIONS /),
    ['a GET with the parameters in the query', { method => 'GET', as_query => 1 },
        '400 callback_malformed', 'client sent unsupported method "GET"'],
    ['a POST with the parameters in the query', { as_query => 1 }, @$no_state],

    (map { ["content type $_", { headers => { 'Content-Type' => $_ } }, @$no_state] }
        qw{ text/plain multipart/form-data application/json }, "${form}x", "x$form", ''),
    ['no content type', { headers => { 'Content-Type' => undef } }, @$no_state],
    ['no body', { content => '' }, @$no_state],
    ['a body of another form', { content => 'a=b' }, @$no_state],
    ['JSON as a form', { content => '{"state":"x","code":"x"}' }, @$no_state],
    ['a form with a broken escape', { content => 'state=%zz&code=x' }, @$not_encoded],
    ['a form with a NUL', { content => 'state=a%00b&code=x' }, @$not_encoded],

    ['one byte more than 32 KB', { size => $max_size + 1 }, @$too_large],
    ['one byte more than 32 KB in chunks', { size => $max_size + 1, chunked => 4096 }, @$too_large],
    ['a Content-Length of 200 KB without a body',
        { content => '', headers => { 'Content-Length' => 200_000 } }, @$too_large],

    (map { ["$_ twice", { fields => { $_ => ['x', 'x'] } }, '400 callback_malformed',
        "client sent parameter $_ twice"] } qw/ state code iss /),
    ['both code and error', { fields => { error => 'x' } }, '400 callback_malformed',
        'client sent both code and error'],
    ['no code', { fields => { code => undef } }, '400 callback_malformed',
        'client sent neither code nor error'],
    ['too long a code', { fields => { code => 'x' x 4097 } }, '400 callback_malformed',
        'client sent parameter code longer than 4096 bytes'],
    ['no state', { fields => { state => undef } }, @$no_state],
    ['an unknown state', { fields => { state => 'no state' } }, '400 state_invalid',
        'client sent an unknown state'],
    ['another issuer', { fields => { iss => 'https://evil.example.com' } }, '400 callback_issuer',
        'authorization response came from another issuer'],
    ['an unknown code', { fields => { code => 'guessed' } },
        '400 provider_invalid_grant', 'provider returned error "invalid_grant"'],
    ['an error', { fields => { code => undef, error => 'access_denied' } }, '403 provider_access_denied',
        'provider returned error "access_denied"'],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)
    ->plan(2 * @accepted + 4 * @refused + 44);

my $op = provider($t, 8081);
my $other = provider($t, 8082);

my $posts = 'response_mode form_post';
my @both = (redirect_uri => '/callback/both');

$t->write_file_expand('nginx.conf', nginx_conf(
    oidc_provider('posts', $posts, redirect_uri => undef, cookie_name => undef),
    oidc_provider('strict', "$posts; cookie_samesite strict"),
    oidc_provider('first', $posts, @both),
    oidc_provider('second', $posts, @both, issuer => 'http://127.0.0.1:8082'),
    oidc_provider('queries', '', @both),
    <<'EOF'));

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        client_body_buffer_size 1k;
        lingering_timeout       300ms;
        add_header X-Error $oidc_error always;

        location /         { auth_oidc posts;   proxy_pass http://127.0.0.1:8080/app; }
        location /strict/  { auth_oidc strict;  proxy_pass http://127.0.0.1:8080/app; }
        location /first/   { auth_oidc first;   proxy_pass http://127.0.0.1:8080/app; }
        location /second/  { auth_oidc second;  proxy_pass http://127.0.0.1:8080/app; }
        location /queries/ { auth_oidc queries; proxy_pass http://127.0.0.1:8080/app; }

        location /app {
            return 200 application;
        }
    }
EOF

$t->run();

# A login.

my $browser = browser();
my $sent = $browser->get('/page/?a=b');
is(query($sent->{location})->{response_mode}, 'form_post', 'the authorization request has response_mode form_post');
is(attributes($_), 'HttpOnly SameSite=None Secure', 'cookie of the login: ' . s/=.*//sr)
    for grep { !/_rounds=/ } @{ $sent->{set_cookie} };

my $page = $browser->follow($sent);
my $answer = $browser->follow($page);
is($answer->{status}, 303, 'the callback: 303');
is($answer->{headers}{location}, '/page/?a=b', 'the callback leads to the page');
my ($session) = grep { /^NGX_OIDC_SESSION=/ } @{ $answer->{set_cookie} };
is(attributes($session), 'HttpOnly SameSite=Lax', 'attributes of the session cookie');
is($browser->follow($answer)->{body}, 'application', 'the session works');

is(summary($browser->submit($page)), '303 to /page/?a=b', 'the form again, logged in');
is(summary(browser()->get('/oidc_callback')), '400 callback_malformed', 'a bookmark of the callback');
is(summary($browser->get('/oidc_callback')), '302 to /', 'a bookmark of the callback, logged in');
is($op->count('/token'), 1, 'one token request for all of these');

# cookie_samesite applies to the session cookie only.

$browser = browser();
$answer = $browser->follow($browser->follow($browser->get('/strict/')));
is($answer->{status}, 200, 'cookie_samesite strict: the callback returns a page');
is($answer->{headers}{refresh}, '0; url=/strict/', 'cookie_samesite strict: it has a Refresh');
is($browser->get('/strict/')->{body}, 'application', 'cookie_samesite strict: the session works');

# Bodies of all kinds.

for my $case (@accepted) {
    my ($name, $change) = @$case;
    my ($browser, $page) = begin();
    my $answer = send_form($browser, $page, %$change);

    is(summary($answer), '303 to /page/', $name);
    is($browser->get('/page/')->{body}, 'application', "$name, a session");
}

for my $case (@refused) {
    my ($name, $change, $expected, $sentence) = @$case;
    my ($browser, $page) = begin();

    log_mark($t);
    $op->clear;
    my $answer = send_form($browser, $page, %$change);

    like(summary($answer), qr/^$expected\b/, $name);
    ok(log_has($t, qr/oidc: \Q$sentence\E.* while /), "$name, logged");
    is($browser->cookie('NGX_OIDC_SESSION'), undef, "$name, no session");
    cmp_ok($op->count('/token'), '<=', $expected =~ /invalid_grant/, "$name, no token request");
}

# The browser of the form.

(undef, $page) = begin();
my $stranger = browser();
$answer = $stranger->submit($page);
is($answer->{status}, 303, 'cookies lost: 303');
like($answer->{location}, qr{/oidc_callback\?state=[^&]+$}, 'cookies lost: to the callback with the state alone');
my $keeping = $stranger->clone;
is(summary($keeping->follow($answer)), '302 to /page/', 'cookies lost, the new one kept: to the page');
is(summary($keeping->submit($page)), '303 to /page/', 'cookies lost, the form again with the new one: to the page at once');
log_mark($t);
is(summary($stranger->clear->follow($answer)), '400 state_cookie', 'cookies lost, none kept: refused');
ok(log_has($t, qr/oidc: client sent a state without a login cookie while/), 'cookies lost, none kept: logged');

my ($victim) = begin();
log_mark($t);
is(summary($victim->submit($page)), '400 state_foreign', 'the form of another browser');
ok(log_has($t, qr/oidc: client sent the state of another browser while/),
    'the form of another browser, logged');
is($victim->cookie('NGX_OIDC_SESSION'), undef, 'the form of another browser, no session');

# The provider's error.

$op->set(error => 'login_required');
log_mark($t);
my $res = login('/page/');
is(summary($res), '400 provider_login_required', 'an error by form');
ok(log_has($t, qr/oidc: provider returned error "login_required" while/), 'an error by form, logged');
is($res->{browser}->cookie('NGX_OIDC_SESSION'), undef, 'an error by form, no session');
$op->reset;

# Several providers at one path.

for my $name (qw/ first second queries /) {
    $_->clear for $op, $other;
    my $res = login("/$name/");
    is("$res->{status} $res->{body}", '200 application', "three providers on one path, the $name one");
    is(join(' ', map { $_->count('/token') } $op, $other), $name eq 'second' ? '0 1' : '1 0',
        "three providers on one path, a request by the $name one");
    is(join(' ', grep { $res->{browser}->cookie($_) } qw/ first second queries /), $name,
        "three providers on one path, a session of the $name one");
}

$browser = browser();
my $callback = $browser->follow($browser->get('/queries/'))->{location};
my ($path, $query) = split /\?/, $callback, 2;
$answer = $browser->post($path, $query, headers => { 'Content-Type' => $form });
is(summary($answer), '400 callback_malformed', 'a form for the provider of mode query: refused');
is(summary($browser->get($callback)), '302 to /queries/', 'a form for the provider of mode query: the query is accepted afterwards');

# The connection is kept alive.

for my $case (['a form', {}], ['a form in a file', { fields => { pad => 'x' x 5000 } }],
    ['a form in chunks', { chunked => 100 }])
{
    my ($name, $change) = @$case;
    my ($browser, $page) = begin();
    my ($target, $headers, $body) = request_of($page, %$change);
    $headers->{'Content-Length'} //= length $body unless $change->{chunked};
    $headers->{Cookie} = join '; ', map { "$_->{name}=$_->{value}" } $browser->cookies;

    my $host = 'localhost:' . port(8080);
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port(8080)) or die "connect: $!";
    my $head = join "\r\n", "POST $target HTTP/1.1", "Host: $host",
        (map { "$_: $headers->{$_}" } grep { defined $headers->{$_} } sort keys %$headers), '', '';
    $socket->print($head . $body);
    my $first = read_until($socket, qr/<\/html>|0\r\n\r\n/);
    $socket->print("GET /app HTTP/1.1\r\nHost: $host\r\nConnection: close\r\n\r\n");
    my $second = read_until($socket, qr/application$/);

    like($first, qr{^HTTP/1\.1 303 .*Connection: keep-alive}s, "$name on a kept-alive connection");
    like($second, qr{^HTTP/1\.1 200 .*application$}s, "$name, the next request on it");
}

# An aborted form affects no one.

(my $gone, $page) = begin();
my ($target, $headers, $body) = request_of($page);
$gone->abort($gone->start($target, method => 'POST', content => substr($body, 0, 20),
    headers => { %$headers, 'Content-Length' => length $body }));
is(summary($gone->submit($page)), '303 to /page/', 'an aborted form, sent again');
is(login('/page/')->{body}, 'application', 'after all of these a login succeeds');

###############################################################################

# A browser, and the provider's page with the form.
sub begin {
    my $browser = browser();
    return ($browser, $browser->follow($browser->get('/page/')));
}

# The parts of the request that submits the form, changed.
sub request_of {
    my ($page, %change) = @_;

    my ($action) = $page->{body} =~ /<form\b[^>]*\baction="([^"]*)"/;
    my %fields = map { html_unescape($_) }
        $page->{body} =~ /<input\b[^>]*\bname="([^"]*)"[^>]*\bvalue="([^"]*)"/g;
    %fields = (%fields, %{ $change{fields} || {} });
    delete @fields{ grep { !defined $fields{$_} } keys %fields };

    my $target = html_unescape($action) =~ s{^https?://[^/]+}{}r . ($change{query} // '');
    my $content = $change{content} // query_string(\%fields);
    ($target, $content) = ("$target?$content", '') if $change{as_query};

    $content .= '&pad=' . 'x' x ($change{size} - 5 - length $content) if $change{size};

    my %headers = ('Content-Type' => $form, %{ $change{headers} || {} });
    if ($change{chunked}) {
        $content = join '', (map { sprintf "%x\r\n%s\r\n", length, $_ }
            unpack "(a$change{chunked})*", $content), "0\r\n\r\n";
        %headers = (%headers, 'Transfer-Encoding' => 'chunked', 'Content-Length' => undef);
    }
    return ($target, \%headers, $content);
}

sub send_form {
    my ($browser, $page, %change) = @_;

    my ($target, $headers, $content) = request_of($page, %change);
    return $browser->request($change{method} || 'POST', $target, content => $content,
        headers => $headers, from => $page->{url});
}

# The attributes of a cookie that restrict where it is sent.
sub attributes {
    my ($set_cookie) = @_;

    return join ' ', sort grep { /^(?:SameSite=.*|Secure|HttpOnly)$/ } split /; */, $set_cookie;
}

# The status, and the location or $oidc_error.
sub summary {
    my ($answer) = @_;

    my $location = $answer->{headers}{location};
    return "$answer->{status} to $location" if defined $location;
    return outcome($answer);
}

sub read_until {
    my ($socket, $end) = @_;

    my ($text, $select) = ('', IO::Select->new($socket));
    while ($text !~ $end && $select->can_read(MAX_WAIT)) {
        $socket->sysread($text, 65536, length $text) or last;
    }
    return $text;
}

###############################################################################
