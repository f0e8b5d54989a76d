#!/usr/bin/perl

# Tests for frontchannel_logout_uri (Front-Channel Logout 1.0), requested in a frame with iss and sid, with sid alone as
# Entra ID sends it, or with the cookie alone: it ends the named sessions only, its response does not tell whether there was one, and a flood evicts
# no other logout.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Sessions qw/ logged_in /;
use Test::OIDC::Site;
use Test::OIDC::Workers;

my $issuer = 'http://127.0.0.1:' . port(8081);
my $frame = { 'Sec-Fetch-Dest' => 'iframe' };

# Parameters that name no session; %%sid%% is the sid of the browser's session.

my @unknown = (
    ['another issuer', { iss => 'https://evil.example.com', sid => '%%sid%%' }],
    ['an issuer with a slash added', { iss => "$issuer/", sid => '%%sid%%' }],
    ['an issuer in another case', { iss => uc $issuer, sid => '%%sid%%' }],
    ['an empty issuer', { iss => '', sid => '%%sid%%' }],
    ['an unknown sid', { iss => $issuer, sid => 'x' x 32 }],
    ['a shortened sid', { iss => $issuer, sid => 'cut %%sid%%' }],
    ['a lengthened sid', { iss => $issuer, sid => '%%sid%%x' }],
    ['an empty sid', { iss => $issuer, sid => '' }],
    ['a sid of 1 KB', { iss => $issuer, sid => 'x' x 1024 }],
    ['a sub as a sid', { iss => $issuer, sid => 'alice' }],
    ['a sid that is a key of Redis', { iss => $issuer, sid => '*' }],
    ['an unknown sid without iss', { sid => 'x' x 32 }],
    ['an empty sid without iss', { sid => '' }],
);

# Requests that are refused: name, query, log sentence

my $alone = 'client sent sid without iss to a frontchannel_logout_uri that oidc_providers share';
my $not_encoded = 'client sent a parameter that is not form-urlencoded';
my @refused = (
    ['iss alone', "iss=$issuer", 'client sent iss without sid'],
    ['sid twice, without iss', 'sid=%%sid%%&sid=%%sid%%', 'client sent parameter sid twice'],
    ['iss twice', "iss=$issuer&iss=$issuer&sid=%%sid%%", 'client sent parameter iss twice'],
    ['iss and another one', "iss=$issuer&iss=x&sid=%%sid%%", 'client sent parameter iss twice'],
    ['sid twice', "iss=$issuer&sid=%%sid%%&sid=%%sid%%", 'client sent parameter sid twice'],
    ['too long an iss', "iss=$issuer/" . 'x' x 1024 . '&sid=%%sid%%', 'client sent parameter iss longer than 1024 bytes'],
    ['too long a sid', "iss=$issuer&sid=" . 'x' x 1025, 'client sent parameter sid longer than 1024 bytes'],
    ['a broken escape', "iss=$issuer&sid=%zz", $not_encoded],
    ['a NUL', "iss=$issuer&sid=%%sid%%%00", $not_encoded],
    ['a broken escape in another parameter', "iss=$issuer&sid=%%sid%%&x=%a", $not_encoded],
);

my @methods = qw/ HEAD POST PUT DELETE OPTIONS /;

# Sec-Fetch-Dest of requests that are not frames
my @no_frames = qw/ document empty image script style object embed /;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)
    ->plan(2 * @unknown + 2 * @refused + 2 * @methods + 2 * @no_frames + 54);

my $op = provider($t, 8081, sid => 1);
my $second = provider($t, 8082, sid => 1);
my $without = provider($t, 8083);

my %second = (issuer => 'http://127.0.0.1:8082');

my $workers = Test::OIDC::Workers->start($t, nginx_conf(
    <<'EOF',
    oidc_state_zone 64k;
    oidc_session_store memory { type memory; }
    keepalive_requests 10000;
EOF
    oidc_provider('front', 'frontchannel_logout_uri /frontchannel; logout_uri /logout; cookie_samesite none'),
    oidc_provider('lax', 'frontchannel_logout_uri /frontchannel/lax'),
    oidc_provider('stored', 'frontchannel_logout_uri /frontchannel/stored; session_store memory'),
    oidc_provider('one', 'frontchannel_logout_uri /frontchannel/both'),
    oidc_provider('other', 'frontchannel_logout_uri /frontchannel/both', %second),
    oidc_provider('without', 'frontchannel_logout_uri /frontchannel/without',
        issuer => 'http://127.0.0.1:8083'),
    site('user $oidc_claim_sub', <<'EOF')));
        location = /frontchannel      { deny all; return 404; }
        location = /frontchannel/lax  { auth_oidc lax; }
EOF
log_mark($t);

# iss and sid, with the cookie

my ($browser, $sid) = user('front');
my ($other) = user('front');
my $copy = $browser->clone;

my $answer = in_frame($browser, { iss => $issuer, sid => $sid });
is($answer->{status}, 200, 'iss and sid: 200');
is($answer->{headers}{'cache-control'}, 'no-store', 'iss and sid: the response is not stored');
is_deeply([ grep { /frame|security/ } keys %{ $answer->{headers} } ], [], 'iss and sid: the response can be framed');
is($answer->{headers}{'content-type'}, 'text/html', 'iss and sid: the response is HTML');
is_deeply([ grep { !/_login_/ } @{ $answer->{set_cookie} } ],
    ['front=; Path=/; Max-Age=0; HttpOnly; SameSite=None; Secure'], 'iss and sid: the cookie is deleted');
is($browser->get(page_of('front'))->{status}, 302, 'iss and sid: the session has ended');
is(in_every_worker($copy, 'front'), '302 302', 'iss and sid: every worker refuses a copied cookie');
is(in_every_worker($other, 'front'), '200 200', 'iss and sid: another session of the same user continues');
is($browser->login(page_of('front'))->{status}, 200, 'iss and sid: a later login succeeds');
is(scalar(error_log_lines($t, qr/oidc:/)), 0, 'iss and sid: nothing is logged');

# Without the cookie, as browsers block cookies in frames of other sites

for my $provider (qw/ lax stored /) {
    my ($user, $its_sid) = user($provider);
    my ($another) = user($provider);
    my $res = in_frame(browser(), { iss => $issuer, sid => $its_sid }, $provider);
    is("$res->{status} @{ $res->{set_cookie} }", '200 ', "$provider, no cookie: 200");
    is(in_every_worker($user, $provider), '302 302', "$provider, no cookie: the session has ended");
    is($another->get(page_of($provider))->{status}, 200, "$provider, no cookie: another session continues");
    is($user->login(page_of($provider))->{status}, 200, "$provider, no cookie: a later login succeeds");
}

($browser, $sid) = user('lax');
$copy = $browser->clone;
in_frame($browser, { iss => $issuer, sid => $sid, state => 'x', sub => 'y' }, 'lax');
is($browser->get(page_of('lax'))->{status}, 302, 'unknown parameters are ignored');

$op->set(sid => 'shared');
my @shared = map { (user('front'))[0] } 1 .. 3;
$op->set(sid => 1);
in_frame(browser(), { iss => $issuer, sid => 'shared' });
is(join(' ', map { $_->get(page_of('front'))->{status} } @shared), '302 302 302', 'all sessions with one sid end');

# sid without iss

for my $provider (qw/ lax stored /) {
    my ($user, $its_sid) = user($provider);
    my ($another) = user($provider);
    my $res = in_frame(browser(), { sid => $its_sid }, $provider);
    is("$res->{status} @{ $res->{set_cookie} }", '200 ', "$provider, sid alone: 200");
    is(in_every_worker($user, $provider), '302 302', "$provider, sid alone: the session has ended");
    is($another->get(page_of($provider))->{status}, 200, "$provider, sid alone: another session continues");
}

($browser, $sid) = user('front');
$answer = in_frame($browser, { sid => $sid });
is($answer->{status} . ' ' . ($browser->cookie('front') // 'none'), '200 none',
    'sid alone, with the cookie: the cookie is deleted');

# The sid of another session, sent with a cookie

($browser, $sid) = user('front');
my ($victim, $others_sid) = user('front');
$answer = in_frame($browser, { iss => $issuer, sid => $others_sid });
is($victim->get(page_of('front'))->{status}, 302, 'the sid of another session: that session ends');
is_deeply($answer->{set_cookie}, [], 'the sid of another session: the cookie is kept');
is($browser->get(page_of('front'))->{status}, 200, q{the sid of another session: the browser's session continues});

# Parameters that name no session end none, and the response does not tell.

my $usual = page_summary(in_frame(browser(), { iss => $issuer, sid => (user('front'))[1] }));
for my $case (@unknown) {
    my ($name, $params) = @$case;
    my %params = map { $_ => $params->{$_} =~ s/%%sid%%/$sid/r =~ s/^cut (.*)./$1/r } keys %$params;
    my $res = in_frame($browser, \%params);
    is($browser->get(page_of('front'))->{status}, 200, "$name: the session continues");
    is(page_summary($res), $usual, "$name: the response is the same");
}

for my $case (@refused) {
    my ($name, $query, $sentence) = @$case;
    log_mark($t);
    my $res = $browser->get('/frontchannel?' . $query =~ s/%%sid%%/$sid/gr, headers => $frame);
    is(join(' ', outcome($res), $res->{headers}{'cache-control'}, $browser->get(page_of('front'))->{status}),
        '400 logout_malformed no-store 200', "$name: refused, the session continues");
    ok(log_has($t, complaint($sentence)), "$name: logged");
}

for my $method (@methods) {
    log_mark($t);
    my $query = form({ iss => $issuer, sid => $sid });
    my $res = $browser->request($method, "/frontchannel?$query", headers => $frame);
    is("$res->{status} " . $browser->get(page_of('front'))->{status}, '400 200',
        "method $method: refused, the session continues");
    ok(log_has($t, complaint(qq{client sent unsupported method "$method"})), "method $method: logged");
}

# The cookie alone ends a session only in a frame.

for my $destination (@no_frames) {
    my ($user) = user('front');
    my $res = $user->get('/frontchannel', from => "$issuer/", headers => { 'Sec-Fetch-Dest' => $destination });
    is(page_summary($res), $usual, "the cookie alone, as $destination: the response is the same");
    is($user->get(page_of('front'))->{status}, 200, "the cookie alone, as $destination: the session continues");
}
$answer = $browser->get('/frontchannel', from => "$issuer/", headers => { 'Sec-Fetch-Dest' => undef });
is($answer->{status}, 200, 'the cookie alone, an old browser: 200');
is($browser->get(page_of('front'))->{status}, 200, 'the cookie alone, an old browser: the session continues');

$copy = $browser->clone;
$answer = in_frame($browser, {});
is($answer->{status}, 200, 'the cookie alone, in a frame: 200');
is_deeply([ grep { /frame|security/ } keys %{ $answer->{headers} } ], [],
    'the cookie alone, in a frame: the response can be framed');
is($browser->cookie('front'), undef, 'the cookie alone, in a frame: the cookie is deleted');
is(in_every_worker($copy, 'front'), '302 302', 'the cookie alone, in a frame: the session has ended');
is($other->get(page_of('front'))->{status}, 200, 'the cookie alone, in a frame: another session continues');

is(page_summary(in_frame(browser(), {})), $usual, 'neither parameters nor a cookie: the response is the same');

($browser) = user('without');
in_frame($browser, { iss => $without->issuer, sid => '' }, 'without');
is($browser->get(page_of('without'))->{status}, 200, 'a session without a sid: an empty sid does not end it');

# Two providers with the same frontchannel_logout_uri, distinguished by iss

my ($ones, $ones_sid) = user('one');
my ($twos) = user('other');
my $twos_sid = $second->last_login->{sid};
in_frame(browser(), { iss => $second->issuer, sid => $ones_sid }, 'both');
is($ones->get(page_of('one'))->{status}, 200, 'one URI, a sid of the other provider: the session continues');
log_mark($t);
for my $its_sid ($ones_sid, $twos_sid) {
    is(outcome(in_frame(browser(), { sid => $its_sid }, 'both')), '400 logout_malformed',
        'one URI, a sid without iss: refused');
}
is($ones->get(page_of('one'))->{status} . ' ' . $twos->get(page_of('other'))->{status}, '200 200',
    'one URI, a sid without iss: the sessions continue');
ok(log_has($t, qr/\[warn\] .* oidc: \Q$alone\E while handling a front-channel logout/),
    'one URI, a sid without iss: logged');
in_frame(browser(), { iss => $second->issuer, sid => $twos_sid }, 'both');
is($twos->get(page_of('other'))->{status}, 302, 'one URI, the second provider: its session has ended');
in_frame(browser(), { iss => $issuer, sid => $ones_sid }, 'both');
is($ones->get(page_of('one'))->{status}, 302, 'one URI, the first provider: its session has ended');

# A flood of unknown sids: more than fit in the zone

my ($logged_out) = user('front');
my ($framed, $framed_sid) = user('front');
my ($named, $named_sid) = user('front');
my ($too_late, $too_late_sid) = user('front');
my @copies = map { $_->clone } $logged_out, $framed, $named, $too_late;

$logged_out->get('/logout');
in_frame($framed, {});
flood([$named_sid, $too_late_sid]);    # from elsewhere, then by their own browsers
in_frame($named, { iss => $issuer, sid => $named_sid });
$too_late->get('/logout');
is(flood([ map { "random-$_" } 1 .. 2000 ]), 2000, 'a flood of sids: each gets a response');

is(in_every_worker($copies[0], 'front'), '302 302', 'a flood: a logout is not evicted');
is(in_every_worker($copies[1], 'front'), '302 302', 'a flood: a front-channel logout by the cookie is not evicted');
is(in_every_worker($copies[2], 'front'), '302 302',
    'a flood: a front-channel logout by cookie and sid is not evicted');
is(in_every_worker($copies[3], 'front'), '302 302',
    'a flood: a logout of a session that a sid had ended is not evicted');
is($other->get(page_of('front'))->{status}, 200, 'a flood: another session continues');
is((user('front'))[0]->get(page_of('front'))->{status}, 200, 'a flood: a login succeeds');
($named, $named_sid) = user('front');
flood([$named_sid]);
is($named->get(page_of('front'))->{status}, 302, 'a flood: a later logout by sid ends its session');

# ------------------------------------------------------------------------------------------------------

# A browser that is logged in, and the sid of its session
sub user {
    my ($provider) = @_;

    $op->clear;
    my $browser = logged_in($provider);
    return ($browser, $op->last_login->{sid});
}

# Requests it like a frame in a page of the provider.
sub in_frame {
    my ($browser, $params, $name) = @_;

    my $path = '/frontchannel' . (defined $name ? "/$name" : '');
    return $browser->get("$path?" . form($params), from => "$issuer/logout", headers => $frame);
}

sub form {
    my ($params) = @_;

    return join '&', map { "$_=" . escape($params->{$_}) } sort keys %$params;
}

# Sends them over one connection. Returns how many responses are 200.
sub flood {
    my ($sids) = @_;

    my $requests = join '', map {
        my $connection = $_ eq $sids->[-1] ? 'close' : 'keep-alive';
        'GET /frontchannel?' . form({ iss => $issuer, sid => $_ }) . " HTTP/1.1\r\n"
            . "Host: localhost\r\nConnection: $connection\r\n\r\n";
    } @$sids;
    my $res = browser()->raw($requests);
    return scalar(() = "$res->{head}$res->{body}" =~ m{^HTTP/1\.1 200 }mg);
}

# A response without its date
sub page_summary {
    my ($res) = @_;

    return "$res->{head}$res->{body}" =~ s/^Date: .*\n//mr =~ s/\s+/ /gr;
}

sub complaint {
    my ($sentence) = @_;

    return qr/\[(?:warn|error)\] .* oidc: \Q$sentence\E while handling a front-channel logout, provider "front"/;
}

sub in_every_worker {
    my ($user, $provider) = @_;

    return $workers->each(sub { $user->get(page_of($provider))->{status} });
}
