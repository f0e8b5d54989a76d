#!/usr/bin/perl

# Tests for nginx behind another nginx with the default proxy_buffer_size: no response of the module has a head
# that the outer nginx refuses, whatever the size of the session, the page's URL or the ID token.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/);
my $clock = Test::OIDC::Clock->new($t);
$t->plan(41);

use constant LIFE => 300;

my $op = provider($t, 8081, refresh => { rotate => 1 }, expires_in => LIFE);
$clock->follow($op);

$t->write_file_expand('nginx.conf', nginx_conf(
    default_provider('op', 'logout_uri /logout; post_logout_uri /bye; logout_token_hint on'),
    oidc_provider('groups', 'session_claims groups; token_refresh 60s'),
    oidc_provider('many', 'session_store cookie; session_claims groups'),
    <<'EOF'));
    server {
        listen       127.0.0.1:8080;
        server_name  outer;

        proxy_buffer_size 4k;    # the default where a memory page has 4 KB

        location / {
            proxy_set_header Host $http_host;
            proxy_pass       http://127.0.0.1:8082;
        }
    }

    server {
        listen       127.0.0.1:8082;
        server_name  inner;

        large_client_header_buffers 4 32k;

        location /        { auth_oidc op;     proxy_pass http://127.0.0.1:8083; }
        location /groups/ { auth_oidc groups; proxy_pass http://127.0.0.1:8083; }
        location /many/   { auth_oidc many;   proxy_pass http://127.0.0.1:8083; }
        location = /bye   { return 200 bye; }
    }

    server {
        listen       127.0.0.1:8083;
        server_name  application;

        location / { return 200 "application"; }
    }
EOF

$t->run();

# Groups of 26 bytes

for my $number (29 .. 40) {
    $op->set(user => user_of($number));
    my $browser = browser();
    is($browser->login('/groups/')->{body}, 'application', "$number groups: a login");

    $op->set(refreshed => { id_token => { claims => { groups => groups($number + 1) } } });
    $clock->advance(LIFE - 30);
    is($browser->get('/groups/')->{body}, 'application', "$number groups: a renewal with one more");
}
$op->reset;
is($op->count('/token refresh'), 12, 'each of these sessions was renewed');

# Long URLs

my @wrong;
my $longest = 0;
for my $length (map { 150 * $_ } 4 .. 40) {
    my $url = '/page?' . 'x' x ($length - 6);
    my $location = returned($url);
    push @wrong, "$length: $location" if $location ne $url && $location ne '/page';
    $longest = $length if $location eq $url;
}
is(join("\n", @wrong), '', 'URLs of 600 to 6000 bytes come back whole or without the query');
cmp_ok($longest, '>=', 1800, 'URLs of 1800 bytes come back whole');
is(returned('/' . 'x' x 3000), '/', 'a path of 3000 bytes comes back as /');

for my $number (26 .. 30) {
    $op->set(user => user_of($number));
    my $url = '/groups/?' . 'x' x 1600;
    is(returned($url), $url, "a URL of 1600 bytes and a session with $number groups");
}
$op->reset;

# Large ID tokens

my %logouts = (sent => 0, 'left out' => 0, wrong => 0);
for my $size (map { 250 * $_ } 1 .. 16) {
    $op->set(id_token => { claims => { pad => 'x' x $size } });
    my $browser = login('/')->{browser};
    my $answer = $browser->get('/logout', headers => { 'Sec-Fetch-Site' => 'same-origin' });
    my $parameters = query($answer->{location});
    my $is_right = $answer->{status} == 302 && $parameters->{post_logout_redirect_uri};
    $logouts{ !$is_right ? 'wrong' : $parameters->{id_token_hint} ? 'sent' : 'left out' }++;
}
$op->reset;
is($logouts{wrong}, 0, 'a logout with an ID token of any size leads to the provider');
cmp_ok($logouts{sent}, '>', 5, 'small ID tokens are sent as id_token_hint');
cmp_ok($logouts{'left out'}, '>', 2, 'large ID tokens are left out');
is(scalar(error_log_lines($t, qr/oidc: id token of \d+ bytes was not sent as id_token_hint, .* while logging out, /)),
    $logouts{'left out'}, 'each with a line in the log');

# A browser with old cookies: those that the response has no room for are deleted later.

my $browser = browser();
$browser->set_cookie("groups.$_=x; Path=/") for 1 .. 8;
$browser->set_cookie("groups_login_AA$_=" . 'A' x 22 . '; Path=/') for 10 .. 50;
$op->set(user => user_of(28));
is($browser->login('/groups/')->{body}, 'application', 'a browser with many old cookies logs in');

is(join("\n", error_log_lines($t, qr/upstream sent too big header/)), '', 'the outer nginx refused no response');

# Not limited: session_store cookie

$op->set(user => user_of(100));
is(login('/many/')->{status}, 502, 'session_store cookie: a large session needs a larger proxy_buffer_size');
ok(log_has($t, qr/upstream sent too big header/), 'session_store cookie: logged by the outer nginx');

###############################################################################

sub groups {
    my ($number) = @_;

    return [map { sprintf 'group-of-twenty-six-byte%02d', $_ } 1 .. $number];
}

sub user_of {
    my ($number) = @_;

    return { sub => 'alice', groups => groups($number) };
}

# Where a login that began at this URL returns to
sub returned {
    my ($url) = @_;

    my ($browser, $callback) = begin_login($url);
    return $browser->get($callback)->{headers}{location} // 'nowhere';
}

###############################################################################
