#!/usr/bin/perl

# Tests for requests to logout_uri that the user did not make: prefetches and subresources. They end nothing, get 503,
# and log one line; navigations and posts by the user still log out.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Sessions qw/ logged_in /;
use Test::OIDC::Site;

# Headers of a prefetch: name, headers

my @prefetches = (
    (map { ["Sec-Purpose: $_", { 'Sec-Purpose' => $_ }] }
        'prefetch', 'prefetch;prerender', 'prefetch; prerender', 'prefetch;anonymous-client-ip', 'something-new'),
    ['Purpose: prefetch', { 'Purpose' => 'prefetch' }],
    ['X-Purpose: preview', { 'X-Purpose' => 'preview' }],
    ['X-Purpose: instant', { 'X-Purpose' => 'instant' }],
    ['X-Moz: prefetch', { 'X-Moz' => 'prefetch' }],
    ['Purpose and Sec-Purpose', { 'Purpose' => 'prefetch', 'Sec-Purpose' => 'prefetch;prerender' }],
    ['a prefetch without mode and destination',
        { 'Purpose' => 'prefetch', 'Sec-Fetch-Mode' => undef, 'Sec-Fetch-Dest' => undef }],
    ['a prefetch whose mode is no-cors',
        { 'Sec-Purpose' => 'prefetch', 'Sec-Fetch-Mode' => 'no-cors', 'Sec-Fetch-Dest' => 'empty' }],
);

# Headers of subresources: Sec-Fetch-Mode, Sec-Fetch-Dest; undef for an absent header

my @subresources = (
    (map { ['no-cors', $_] } qw/ image script style audio video track object embed empty report /),
    (map { ['cors', $_] } qw/ empty font image script manifest /),
    (map { ['same-origin', $_] } qw/ empty worker sharedworker serviceworker xslt /),
    (map { ['navigate', $_] } qw/ embed object image empty /),
    ['websocket', 'websocket'], ['no-cors', undef], ['cors', undef], [undef, 'image'], [undef, 'empty'],
    ['no-cors', 'document'], ['cors', 'iframe'],
);

# Headers of navigations by the user: name, headers

my $own = 'http://localhost:' . port(8080);
my @navigations = (
    ['a click', {}],
    ['a click, with Sec-Fetch-User', { 'Sec-Fetch-User' => '?1' }],
    ['a link in a frame', { 'Sec-Fetch-Dest' => 'iframe' }],
    ['a link in a frameset', { 'Sec-Fetch-Dest' => 'frame' }],
    ['a navigation without a destination', { 'Sec-Fetch-Dest' => undef }],
    ['a document without a mode', { 'Sec-Fetch-Mode' => undef }],
    ['an old browser', { 'Referer' => "$own/",
        map { $_ => undef } qw/ Sec-Fetch-Site Sec-Fetch-Mode Sec-Fetch-Dest / }],
    ['empty purposes', { map { $_ => '' } qw/ Sec-Purpose Purpose X-Purpose X-Moz / }],
);

# Posts of forms and scripts: name, headers

my @posts = (
    ['a form', {}],
    ['a form in a frame', { 'Sec-Fetch-Dest' => 'iframe' }],
    ['a script', { 'Sec-Fetch-Mode' => 'cors', 'Sec-Fetch-Dest' => 'empty', 'Sec-Fetch-Site' => 'same-origin' }],
    ['a script without CORS', { 'Sec-Fetch-Mode' => 'no-cors', 'Sec-Fetch-Dest' => 'empty' }],
    ['a form, with Sec-Purpose', { 'Sec-Purpose' => 'prefetch' }],
    ['a form, with Purpose', { 'Purpose' => 'prefetch' }],
);

my %from_elsewhere = ('Sec-Fetch-Site' => 'cross-site');

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server')
    ->plan(6 * (@prefetches + @subresources) + 2 * @navigations + 2 * @posts + 18);

my $op = provider($t, 8081, revocation => 1, refresh => {});
my $redis = redis($t, 8379);

$t->write_file_expand('nginx.conf', nginx_conf(
    <<'EOF',
    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }
EOF
    oidc_provider('plain', 'logout_uri /logout/plain; revoke_on_logout on'),
    oidc_provider('redis', 'logout_uri /logout/redis; session_store redis'),
    site('user $oidc_claim_sub', <<'EOF'),
        location /told { return 200 $oidc_error; }
EOF
    <<'EOF'));
    server {
        listen      127.0.0.1:8080;
        server_name pages.localhost;

        error_page 503 = @busy;
        location @busy { return 503 "own page: $oidc_error, $oidc_error_description"; }
        location /     { auth_oidc $arg_op; return 200; }
    }
EOF

# Do not read the system's certificates for every oidc_provider.
$ENV{SSL_CERT_FILE} = '/dev/null';

$t->run();

my $browser = logged_in('plain');

for my $case (@prefetches) {
    my ($name, $headers) = @$case;
    ends_nothing($name, $headers, 'client requested a logout in a prefetch while');
}

for my $case (@subresources) {
    my ($mode, $destination) = @$case;
    my $name = 'Sec-Fetch-Mode ' . ($mode // 'absent') . ', Sec-Fetch-Dest ' . ($destination // 'absent');
    my $is_told = defined $mode && defined $destination;
    ends_nothing($name, { 'Sec-Fetch-Mode' => $mode, 'Sec-Fetch-Dest' => $destination },
        'client requested a logout in a subresource request'
        . ($is_told ? qq{, Sec-Fetch-Mode "$mode", Sec-Fetch-Dest "$destination" while} : ''));
}

# Header values are quoted in the log.
log_mark($t);
$browser->get('/logout/plain', headers => { 'Sec-Fetch-Mode' => 'x"<', 'Sec-Fetch-Dest' => 'y' x 500 });
ok(log_has($t, qr/Sec-Fetch-Mode "x\\x22\\x3C", Sec-Fetch-Dest "y{1,128}\S* while logging out/),
    'odd headers: they are quoted and shortened in the log');
is($browser->get(page_of('plain'))->{status}, 200, 'odd headers: the session continues');

# The browser prefetches the link; then the user clicks.
is(outcome($browser->get('/logout/plain', headers => { 'Sec-Purpose' => 'prefetch;prerender' })),
    '503 logout_unasked', 'a prefetch of a link is refused');
$op->clear;
is($browser->get('/logout/plain')->{status}, 302, 'a click after the prefetch: a logout');
is($browser->get(page_of('plain'))->{status}, 302, 'a click after the prefetch: the session has ended');
is($op->count('/revoke'), 1, 'a click after the prefetch: its tokens are revoked');

for my $case (@navigations) {
    my ($name, $headers) = @$case;
    my $user = logged_in('plain');
    is($user->get('/logout/plain', headers => $headers)->{status}, 302, "$name: a logout");
    is($user->get(page_of('plain'))->{status}, 302, "$name: the session has ended");
}

# Another site's navigation gets a confirmation page.
$browser = logged_in('plain');
like($browser->get('/logout/plain', headers => { %from_elsewhere })->{body}, qr/name="confirm"/,
    'a link of another site: a confirmation page');
is($browser->get(page_of('plain'))->{status}, 200, 'a link of another site: the session continues');

for my $case (@posts) {
    my ($name, $headers) = @$case;
    my $user = logged_in('plain');
    is($user->post('/logout/plain', {}, headers => $headers)->{status}, 200, "posted by $name: a logout");
    is($user->get(page_of('plain'))->{status}, 302, "posted by $name: the session has ended");
}
my $answer = $browser->post('/logout/plain', {},
    headers => { %from_elsewhere, 'Sec-Fetch-Mode' => 'no-cors', 'Sec-Fetch-Dest' => 'empty' });
like($answer->{body}, qr/name="confirm"/, 'posted by a script of another site: a confirmation page');
is($browser->get(page_of('plain'))->{status}, 200, 'posted by a script of another site: the session continues');

# An error_page replaces the response.
$answer = $browser->get('http://pages.localhost:' . port(8080) . '/logout/plain',
    headers => { 'Sec-Purpose' => 'prefetch' });
is("$answer->{status} $answer->{body}", '503 own page: logout_unasked, client requested a logout in a prefetch',
    'an error_page is shown, with error code and description');
is($answer->{headers}{'cache-control'}, 'no-store', 'an error_page is not stored');

# If the store does not respond, the cookie is kept, too.
$browser = logged_in('redis');
is(outcome($browser->get('/logout/redis', headers => { 'Sec-Purpose' => 'prefetch' })), '503 logout_unasked',
    'Redis: a prefetch is refused');
is($browser->get(page_of('redis'))->{status}, 200, 'Redis: the session continues');
$redis->kill;
for my $headers ({ 'Sec-Purpose' => 'prefetch' }, { 'Sec-Fetch-Mode' => 'no-cors', 'Sec-Fetch-Dest' => 'image' }) {
    my $name = $headers->{'Sec-Purpose'} || 'picture';
    $answer = $browser->get('/logout/redis', headers => $headers);
    is(outcome($answer), '503 logout_unasked', "Redis down: a $name is refused");
    is_deeply($answer->{set_cookie}, [], "Redis down: a $name deletes no cookie");
}
$redis->start;

# ------------------------------------------------------------------------------------------------------

# Sends the request with and without a session, from this site and from another.
sub ends_nothing {
    my ($name, $headers, $sentence) = @_;

    $op->clear;
    log_mark($t);
    my $answer = $browser->get('/logout/plain', headers => $headers);
    is(join(' ', outcome($answer), $answer->{headers}{'cache-control'} // ''), '503 logout_unasked no-store',
        "$name: refused");
    ok(log_has($t, qr/\[(?:warn|error)\] .* oidc: \Q$sentence\E.* logging out, provider "plain"/), "$name: logged");
    is(scalar(error_log_lines($t, qr/ oidc: /)), 1, "$name: one log line");

    my @all = ($answer, $browser->get('/logout/plain', headers => { %from_elsewhere, %$headers }),
        browser()->get('/logout/plain', headers => $headers),
        browser()->get('/logout/plain', headers => { %from_elsewhere, %$headers }));
    is(join(', ', map { outcome($_) } @all), join(', ', ('503 logout_unasked') x 4),
        "$name: refused from another site and without a session, too");
    is_deeply([ map { @{ $_->{set_cookie} } } @all ], [], "$name: no cookie is deleted");
    is($browser->get(page_of('plain'))->{status} . ' ' . $op->count('/revoke'), '200 0',
        "$name: the session continues and no token is revoked");
    $browser = logged_in('plain') unless defined $browser->cookie('plain');
}
