#!/usr/bin/perl

# Tests for requests to logout_uri that nobody has made: a browser that loads a link ahead, and a picture,
# a frame's plugin or a script of some page. They end nothing, say so, and leave no trace but a line in
# the log; what a person does ends the session as ever.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Site;

select STDERR; $| = 1;
select STDOUT; $| = 1;

# What browsers send ahead of a click: name, headers.

my @prefetches = (
    (map { ["Sec-Purpose: $_", { 'Sec-Purpose' => $_ }] }
        'prefetch', 'prefetch;prerender', 'prefetch; prerender', 'prefetch;anonymous-client-ip', 'something-new'),
    ['Purpose: prefetch', { 'Purpose' => 'prefetch' }],
    ['X-Purpose: preview', { 'X-Purpose' => 'preview' }],
    ['X-Purpose: instant', { 'X-Purpose' => 'instant' }],
    ['X-Moz: prefetch', { 'X-Moz' => 'prefetch' }],
    ['Purpose and Sec-Purpose', { 'Purpose' => 'prefetch', 'Sec-Purpose' => 'prefetch;prerender' }],
    ['a prefetch of a browser that says nothing else',
        { 'Purpose' => 'prefetch', 'Sec-Fetch-Mode' => undef, 'Sec-Fetch-Dest' => undef }],
    ['a prefetch that is no navigation by its mode',
        { 'Sec-Purpose' => 'prefetch', 'Sec-Fetch-Mode' => 'no-cors', 'Sec-Fetch-Dest' => 'empty' }],
);

# What a page loads: Sec-Fetch-Mode, Sec-Fetch-Dest; undef where a header is not there.

my @subresources = (
    (map { ['no-cors', $_] } qw/ image script style audio video track object embed empty report /),
    (map { ['cors', $_] } qw/ empty font image script manifest /),
    (map { ['same-origin', $_] } qw/ empty worker sharedworker serviceworker xslt /),
    (map { ['navigate', $_] } qw/ embed object image empty /),
    ['websocket', 'websocket'], ['no-cors', undef], ['cors', undef], [undef, 'image'], [undef, 'empty'],
    ['no-cors', 'document'], ['cors', 'iframe'],
);

# What a person does: name, headers.

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
    ['purposes that say nothing', { map { $_ => '' } qw/ Sec-Purpose Purpose X-Purpose X-Moz / }],
);

# Forms and scripts that post: name, headers.

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

# The system's bundle of certificates, which every oidc_provider reads, is not needed.
$ENV{SSL_CERT_FILE} = '/dev/null';

$t->run();

my $browser = user('plain');

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

# What comes in such a header is quoted.
log_mark($t);
$browser->get('/logout/plain', headers => { 'Sec-Fetch-Mode' => 'x"<', 'Sec-Fetch-Dest' => 'y' x 500 });
ok(log_has($t, qr/Sec-Fetch-Mode "x\\x22\\x3C", Sec-Fetch-Dest "y{1,128}\S* while logging out/),
    'odd headers: are quoted and cut in the log');
is($browser->get(page_of('plain'))->{status}, 200, 'odd headers: end nothing');

# The browser has loaded the link ahead; then the user clicks.
is(outcome($browser->get('/logout/plain', headers => { 'Sec-Purpose' => 'prefetch;prerender' })),
    '503 logout_unasked', 'a prefetch of a link: nothing');
$op->clear;
is($browser->get('/logout/plain')->{status}, 302, 'and the click on it: a logout');
is($browser->get(page_of('plain'))->{status}, 302, 'and the click on it: the session has ended');
is($op->count('/revoke'), 1, 'and the click on it: its tokens are revoked');

for my $case (@navigations) {
    my ($name, $headers) = @$case;
    my $visitor = user('plain');
    is($visitor->get('/logout/plain', headers => $headers)->{status}, 302, "$name: a logout");
    is($visitor->get(page_of('plain'))->{status}, 302, "$name: the session has ended");
}

# Another site's navigation gets its page, as ever.
$browser = user('plain');
like($browser->get('/logout/plain', headers => { %from_elsewhere })->{body}, qr/name="confirm"/,
    'a link of another site: a page to confirm it');
is($browser->get(page_of('plain'))->{status}, 200, 'a link of another site: ends nothing');

for my $case (@posts) {
    my ($name, $headers) = @$case;
    my $visitor = user('plain');
    is($visitor->post('/logout/plain', {}, headers => $headers)->{status}, 200, "posted by $name: a logout");
    is($visitor->get(page_of('plain'))->{status}, 302, "posted by $name: the session has ended");
}
my $answer = $browser->post('/logout/plain', {},
    headers => { %from_elsewhere, 'Sec-Fetch-Mode' => 'no-cors', 'Sec-Fetch-Dest' => 'empty' });
like($answer->{body}, qr/name="confirm"/, 'posted by a script of another site: a page to confirm it');
is($browser->get(page_of('plain'))->{status}, 200, 'posted by a script of another site: ends nothing');

# The page is the operator's, where there is one.
$answer = $browser->get('http://pages.localhost:' . port(8080) . '/logout/plain',
    headers => { 'Sec-Purpose' => 'prefetch' });
is("$answer->{status} $answer->{body}", '503 own page: logout_unasked, client requested a logout in a prefetch',
    'an error_page: is shown, with the word and the sentence');
is($answer->{headers}{'cache-control'}, 'no-store', 'an error_page: is not stored');

# Where the store does not answer, the cookie stays too.
$browser = user('redis');
is(outcome($browser->get('/logout/redis', headers => { 'Sec-Purpose' => 'prefetch' })), '503 logout_unasked',
    'Redis: a prefetch');
is($browser->get(page_of('redis'))->{status}, 200, 'Redis: the session lives');
$redis->kill;
for my $headers ({ 'Sec-Purpose' => 'prefetch' }, { 'Sec-Fetch-Mode' => 'no-cors', 'Sec-Fetch-Dest' => 'image' }) {
    my $name = $headers->{'Sec-Purpose'} || 'picture';
    $answer = $browser->get('/logout/redis', headers => $headers);
    is(outcome($answer), '503 logout_unasked', "Redis down: a $name");
    is_deeply($answer->{set_cookie}, [], "Redis down: a $name deletes no cookie");
}
$redis->start;

# ------------------------------------------------------------------------------------------------------

sub user {
    my ($provider) = @_;

    my $answer = login(page_of($provider));
    die "no login: $answer->{status} $answer->{body}" if $answer->{status} != 200;
    return $answer->{browser};
}

# The same for a browser with a session and one without, from this site and from another.
sub ends_nothing {
    my ($name, $headers, $sentence) = @_;

    $op->clear;
    log_mark($t);
    my $answer = $browser->get('/logout/plain', headers => $headers);
    is(join(' ', outcome($answer), $answer->{headers}{'cache-control'} // ''), '503 logout_unasked no-store',
        "$name: refused");
    ok(log_has($t, qr/\[warn\] .* oidc: \Q$sentence\E.* logging out, provider "plain"/), "$name: logged");
    is(scalar(error_log_lines($t, qr/ oidc: /)), 1, "$name: by one line");

    my @all = ($answer, $browser->get('/logout/plain', headers => { %from_elsewhere, %$headers }),
        browser()->get('/logout/plain', headers => $headers),
        browser()->get('/logout/plain', headers => { %from_elsewhere, %$headers }));
    is(join(', ', map { outcome($_) } @all), join(', ', ('503 logout_unasked') x 4),
        "$name: from another site, and without a session, too");
    is_deeply([ map { @{ $_->{set_cookie} } } @all ], [], "$name: no cookie is deleted");
    is($browser->get(page_of('plain'))->{status} . ' ' . $op->count('/revoke'), '200 0',
        "$name: the session lives, and nothing is revoked");
    $browser = user('plain') unless defined $browser->cookie('plain');
}
