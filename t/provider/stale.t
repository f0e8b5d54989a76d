#!/usr/bin/perl

# Tests for metadata and keys that are no longer fresh: they are used for up to a day while requests try to renew them.
# nginx runs under the clock of the test.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Socket qw/ MSG_DONTWAIT MSG_PEEK /;
use Time::HiRes qw/ time /;

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;
use Test::OIDC::Workers;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/);
my $clock = Test::OIDC::Clock->new($t);
$t->plan(96);

use constant { MINUTE => 60, DAY => 24 * 3600, WORKERS => 3 };

# Seconds that the test itself may take between two steps.
use constant SPARE => 20;

my $discovery = '/.well-known/openid-configuration';
my %endpoint = (metadata => $discovery, keys => '/jwks');

# One provider for each oidc_provider; its documents are fresh for a minute by default.
my @names = qw/ lifetimes metadata keys failing_metadata failing_keys /;
my %op = map { $names[$_] => provider($t, 8090 + $_) } 0 .. $#names;
$clock->follow(values %op);

configure($t);
$t->run();

my $seen = browser()->get('/open')->{headers}{'x-time'};
cmp_ok(abs($seen - time), '<', SPARE, 'nginx starts with the real time');
$clock->advance(DAY);
$seen = browser()->get('/open')->{headers}{'x-time'};
cmp_ok(abs($seen - $clock->time), '<', SPARE, 'nginx follows the clock of the test');

# How long a document is fresh. When a browser has read to the end of its connection, the fetch in the
# background is complete.

my @lifetimes = (
    ['no Cache-Control', undef, 3600],
    ['no-store', 'no-store', MINUTE],
    ['max-age of a second', 'max-age=1', MINUTE],
    ['max-age of two hours', 'max-age=7200', 7200],
    ['max-age of a year', 'max-age=31536000', DAY],
);
for my $case (@lifetimes) {
    my ($name, $cache_control, $lifetime) = @$case;
    my $op = $op{lifetimes}->set(
        respond => { $discovery => { headers => { 'cache-control' => $cache_control } } });

    $clock->advance(3 * DAY);
    browser()->get('/lifetimes/');
    $op->clear;

    $clock->advance($lifetime - SPARE);
    browser()->get('/lifetimes/');
    is($op->count($discovery), 0, "$name: fresh for $lifetime seconds");

    $clock->advance(SPARE);
    browser()->get('/lifetimes/') for 1 .. 3;
    is($op->count($discovery), 1, "$name: then one request renews it");
}

# An endpoint that is ignored is logged once, not by every worker and at every renewal.

log_mark($t);
$op{lifetimes}->reset->clear->set(metadata => { end_session_endpoint => '/logout' });
for (1 .. 2 * WORKERS) {
    $clock->advance(2 * DAY);
    browser()->get('/lifetimes/');
}
is($op{lifetimes}->count($discovery), 2 * WORKERS, 'an endpoint that is ignored: the metadata is renewed');
is(scalar(error_log_lines($t, qr/the endpoint is ignored, provider "lifetimes"/)), 1,
    'an endpoint that is ignored: logged once');

# A stale document is used while it is fetched again.

my %renewed = (
    metadata => { metadata => { authorization_endpoint => $op{metadata}->issuer . '/authorize?renewed' } },
    keys => { jwks => ['rsa', 'rsa-2'] },
);
my %is_in_use = (
    metadata => sub { browser()->get('/metadata/')->{location} =~ /\?renewed&/ },
    keys => sub { login('/keys/')->{status} == 204 },
);

for my $part (qw/ metadata keys /) {
    my ($op, $endpoint) = ($op{$part}, $endpoint{$part});

    login("/$part/");
    $clock->advance(2 * MINUTE);
    my @users = users($part, 12);
    $op->clear->set(respond => { $endpoint => { hold => 1 } }, %{ $renewed{$part} });

    my $first = request(shift @users);
    my $worker = worker_of($first);
    ok($worker, "stale $part: used at once");
    is($op->wait_for($endpoint, 1), 1, "stale $part: fetched in the background");

    halt($worker) if $worker;
    my @others = map { request($_) } @users;
    my @workers = map { worker_of($_) } @others;
    kill 'CONT', $worker if $worker;
    is(scalar(grep { $_ && $_ != $worker } @workers), 11, "stale $part: used by other workers meanwhile");
    is($op->count($endpoint), 1, "stale $part: fetched once");

    $op->set(respond => {});
    $_->{browser}->finish($_) for $first, @others;
    $op->set(id_token => { key => 'rsa-2' }) if $part eq 'keys';
    ok($is_in_use{$part}->(), "stale $part: replaced by the new document");
    is($op->count($endpoint), 1, "stale $part: the new document is fresh");

    $clock->advance(2 * MINUTE);
    my ($user) = users($part, 1);
    $op->clear->set(respond => { $endpoint => { hold => 1 } });
    my @fresh = reloaded($t);
    my $request = request($user);
    $worker = worker_of($request);
    ok(scalar(grep { $_ == $worker } @fresh), "stale $part: used at once after a reload");
    is($op->wait_for($endpoint, 1), 1, "stale $part: fetched in the background after a reload");
    $op->set(respond => {});
    is($request->{browser}->finish($request)->{error}, undef, "stale $part: the connection ends after the fetch");
}

# The client of the request that fetches the document closes its connection after its response.

$op{metadata}->clear->set(respond => { $discovery => { hold => 1 } }, metadata => {});
$clock->advance(2 * MINUTE);
my $gone = request(users('metadata', 1));
worker_of($gone);
$op{metadata}->wait_for($discovery, 1);
$gone->{browser}->abort($gone);
browser()->get('/open') for 1 .. 10;
$op{metadata}->set(respond => {});
ok(wait_until(sub { !$is_in_use{metadata}->() }), 'a client that closes: the document is renewed');
is($op{metadata}->count($discovery), 1, 'a client that closes: one request is sent');

# A failed fetch leaves the old document in use and is logged. It is tried again once a minute.

my @always = (
    ['a status', { respond => { status => 503 } }, 'provider returned status 503'],
    ['silence', { respond => { hold => 1 } }, 'provider did not respond in time at "\S+"'],
    ['an answer cut off', { respond => { close => 'mid_body' } }, 'provider sent an incomplete response at "\S+"'],
);
my %failures = (
    metadata => [@always,
        ['no JSON', { respond => { body => '{' } }, 'provider sent metadata that is malformed JSON'],
        ['another issuer', { metadata => { issuer => 'https://example.com' } }, 'provider sent metadata of another issuer'],
    ],
    keys => [@always,
        ['no JSON', { respond => { body => '{' } }, 'provider sent a key set that is malformed JSON'],
        ['no keys', { jwks => [] }, 'provider sent an empty key set'],
    ],
);

my %alice = map { $_ => login("/failing_$_/")->{browser} } keys %endpoint;

for my $part (qw/ metadata keys /) {
    my ($op, $endpoint, $provider) = ($op{"failing_$part"}, $endpoint{$part}, "failing_$part");
    my $renewing = qr/ while updating $part, provider "$provider"/;

    served($part);
    for my $failure (@{ $failures{$part} }) {
        my ($case, $knobs, $sentence) = @$failure;
        fails($op, $endpoint, %$knobs);
        $clock->advance(2 * MINUTE);
        log_mark($t);
        is(served($part), 1, "$part, $case: the old document is used");
        is($op->count($endpoint), 1, "$part, $case: one request was sent");
        is(scalar(error_log_lines($t, qr/\[error\] .* oidc: $sentence.*$renewing/)), 1, "$part, $case: logged");
    }

    $op->reset->clear;
    $clock->advance(2 * MINUTE);
    served($part) for 1 .. 3;
    is($op->count($endpoint), 1, "$part: fresh again when the provider has recovered");

    fails($op, $endpoint, respond => { status => 503 });
    log_mark($t);
    for (1 .. 10) {
        $clock->advance(MINUTE + 1);
        served($part);
    }
    is($op->count($endpoint), 10, "$part, failure backoff: at most a minute");
    is(scalar(grep { served($part) } 1 .. 5), 5, "$part, failure backoff: the old document is used");
    $clock->advance(MINUTE - SPARE);
    served($part);
    is($op->count($endpoint), 10, "$part, failure backoff: a minute after so many failures");
    is(scalar(error_log_lines($t, $renewing)), 10, "$part, failure backoff: each failure is logged");

    # The document is used for a day after it was fresh, and no longer.

    $op->reset;
    $clock->advance(2 * MINUTE);
    served($part);
    fails($op, $endpoint, respond => { status => 503 });
    $clock->advance(MINUTE + DAY - SPARE);
    is(served($part), 1, "$part, old: used for a day");

    $clock->advance(SPARE);
    refused($part, 502, 'upstream_status');
    fails($op, $endpoint, respond => { hold => 1 });
    $clock->advance(MINUTE);
    refused($part, 504, 'upstream_timeout');
    is($alice{$part}->get("/$provider/")->{status}, 204, "$part, too old: a session continues");

    $op->reset;
    $clock->advance(MINUTE);
    is(served($part), 1, "$part, too old: a login succeeds when the provider has recovered");
}

# Makes the provider fail requests for the document.
sub fails {
    my ($op, $endpoint, %knobs) = @_;

    $knobs{respond} = { $endpoint => $knobs{respond} } if $knobs{respond};
    $op->reset->clear->set(%knobs);
}

# That many browsers, each with the URL of a request that needs only that document
sub users {
    my ($part, $number) = @_;

    return map { { browser => browser(), url => "/$part/" } } 1 .. $number if $part =~ /metadata/;
    return map {
        my $browser = browser();
        { browser => $browser, url => $browser->follow($browser->get("/$part/"))->{location} };
    } 1 .. $number;
}

sub request {
    my ($user) = @_;

    return { %{ $user->{browser}->start($user->{url}) }, browser => $user->{browser} };
}

# The worker that sent the redirect, as soon as the whole response has arrived; the response stays unread. The
# connection of the request that fetches the document stays open until the fetch is complete.
sub worker_of {
    my ($request) = @_;

    my $bytes = '';
    wait_until(sub {
        recv $request->{socket}, $bytes, 65536, MSG_PEEK | MSG_DONTWAIT;
        my ($head, $body) = $bytes =~ /\A(.*?\r\n)\r\n(.*)\z/s or return 0;
        return $head =~ /^content-length: (\d+)\r$/mi && length $body >= $1;
    }) or return 0;
    return $bytes =~ m{\AHTTP/1.1 302 .*^X-Worker: (\d+)}ms ? $1 : 0;
}

# The new workers, which alone accept connections
sub reloaded {
    my ($t) = @_;

    log_mark($t);
    $t->reload();
    wait_until(sub { error_log_lines($t, qr/gracefully shutting down/) == WORKERS });
    return map { /start worker process (\d+)/ } error_log_lines($t);
}

# Whether the request that needs the document succeeded
sub served {
    my ($part) = @_;

    return (browser()->get('/failing_metadata/')->{location} // '') =~ m{/authorize\?} ? 1 : 0
        if $part eq 'metadata';
    return login('/failing_keys/')->{status} == 204 ? 1 : 0;
}

sub refused {
    my ($part, $status, $word) = @_;

    my $answer = login("/failing_$part/");
    my $case = "$part, too old: $word";
    is($answer->{status}, $status, $case);
    is($answer->{headers}{'x-error'}, $word, "$case: \$oidc_error");
    like($answer->{headers}{'retry-after'} // '', qr/^[1-9]\d*$/, "$case: Retry-After");
    is($answer->{browser}->cookie("failing_$part"), undef, "$case: no session");
}

sub configure {
    my ($t) = @_;

    my @providers = map {
        oidc_provider($names[$_], $names[$_] =~ /^failing/ ? SHORT_TIMEOUTS : '', session_timeout => '30d',
            issuer => 'http://127.0.0.1:' . (8090 + $_));
    } 0 .. $#names;
    my $locations = join '', map { "location /$_/ { auth_oidc $_; proxy_pass http://127.0.0.1:8082; }\n" } @names;

    $t->write_file_expand('nginx.conf', main_conf('worker_processes ' . WORKERS . ';', <<"EOC"));
    error_log %%TESTDIR%%/error.log info;

@providers

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        add_header X-Error  \$oidc_error always;
        add_header X-Worker \$pid always;
        add_header X-Time   \$msec always;

        location /open { return 204; }

        $locations
    }

    server {
        listen       127.0.0.1:8082;
        server_name  localhost;

        return 204;
    }
EOC
}
