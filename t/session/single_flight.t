#!/usr/bin/perl

# Tests for the renewal of one session by many requests at once, in two workers: one request is sent to the provider,
# and all get its result, even if the renewing request is aborted or its worker is killed. nginx runs under the clock
# of the test.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;
use Test::OIDC::Workers;

# A killed worker logs an alert; other alerts are looked for at the end.
my $t = Test::Nginx->new()->has(qw/http http_ssl http_v2 proxy rewrite/)->todo_alerts();
my $clock = Test::OIDC::Clock->new($t);
$t->plan(78);

# An access token lives for 300 seconds and is renewed 60 seconds before it expires.
use constant { LIFE => 300, DUE => 245 };

use constant WORKERS => 2;

# The provider revokes all tokens of a login when a refresh token is used twice.
my $op = provider($t, 8081, refresh => { rotate => 1, fatal => 1 }, expires_in => LIFE);
$clock->follow($op);

certificate_authority($t, 'ca')->issue('nginx');

# The location /NAME/ needs a login with provider NAME, whose session cookie is NAME.
my %provider = (
    sealed => 'session_store cookie',
    stored => 'session_store sessions',
    brief => 'session_timeout 10m; token_refresh 10m',
);
my @names = qw/ sealed stored /;

my @providers = map { oidc_provider($_, join '; ', $provider{$_},
    "logout_uri /logout/$_; backchannel_logout_uri /backchannel/$_") } sort keys %provider;
my $locations = join "\n        ",
    map { "location /$_/ { auth_oidc $_; proxy_pass http://127.0.0.1:8082; }" } sort keys %provider;

my $server = <<'EOF' =~ s/LOCATIONS/$locations/r;
    oidc_session_store sessions { type memory; size 1m; }

    large_client_header_buffers 4 32k;
    proxy_set_header X-Access-Token $oidc_access_token;
    proxy_set_header X-Connection   $connection;

    server {
        listen       127.0.0.1:8080;
        listen       127.0.0.1:8443 ssl http2;
        server_name  localhost;

        ssl_certificate     nginx.crt;
        ssl_certificate_key nginx.key;

        add_header X-Worker $pid always;

        location /open { return 204; }

        LOCATIONS
    }

    server {
        listen       127.0.0.1:8082;
        server_name  localhost;

        return 200 "token=$http_x_access_token connection=$http_x_connection\n";
    }
EOF

my $processes = 'worker_processes ' . WORKERS . ';';
$t->write_file_expand('nginx.conf', nginx_conf(@providers, $server) =~ s/(?=^events)/$processes\n\n/mr);
$t->run();

my @workers = running($t);

# Many requests at once

for my $provider (@names) {
    my ($user, $first) = due($provider);
    my $old = $user->clone;
    hold();
    my @requests = many($user, $provider, 10);
    is($op->wait_for('/token refresh', 1), 1, "$provider: 20 requests at once send one refresh request");
    release();

    my @answers = map { $user->finish($_) } @requests;
    is(distinct(map { $_->{status} } @answers), 200, "$provider: all requests succeed");
    is(distinct(map { token_of($_) } @answers), issued(), "$provider: all requests get the new token");
    is(distinct(map { $_->{headers}{'x-worker'} } @answers), distinct(@workers), "$provider: both workers respond");
    if ($provider eq 'sealed') {
        is(distinct(map { cookie_of($_, $provider) } @answers), $user->cookie($provider),
            "$provider: all responses set the same new cookie");
        is(distinct(map { $_->{headers}{'cache-control'} } @answers), 'no-store',
            "$provider: Cache-Control of these responses is no-store");
    }

    is(token_of($_->get("/$provider/")), issued(), "$provider: later requests get the new token") for $user, $old;
    is($op->count('/token refresh'), 1, "$provider: one refresh request was sent in all");
}

for my $case (
    ['an outage', { status => 503 }, 200, qr/provider returned status 503/],
    ['a refusal', { status => 400, body => { error => 'invalid_grant' } }, 302,
        qr/provider returned error "invalid_grant"/])
{
    my ($name, $answer, $status, $sentence) = @$case;
    my ($user, $first) = due('sealed');
    hold(%$answer);
    my @requests = many($user, 'sealed', 3);
    $op->wait_for('/token refresh', 1);
    log_mark($t);
    $op->set(respond => { '/token refresh' => $answer });

    my @answers = map { $user->finish($_) } @requests;
    is(distinct(map { $_->{status} } @answers), $status, "$name: all requests get the same status");
    is($op->count('/token refresh'), 1, "$name: one refresh request is sent");
    is(scalar(error_log_lines($t, qr/oidc: $sentence while renewing a session, provider "sealed"/)), 1,
        "$name: logged once");
    is(distinct(map { token_of($_) } @answers), token_of($first), "$name: all requests get the old token") if $status == 200;
    release();
    $clock->advance(10);    # failure backoff of a worker
}

# Streams of one connection

SKIP: {
    skip 'no curl with HTTP/2', 8 unless has_curl();

    for my $provider (@names) {
        my ($user) = due($provider);
        hold();
        my $curl = curl($user, map { "/$provider/?$_" } 1 .. 10);
        is($op->wait_for('/token refresh', 1), 1, "HTTP/2, $provider: the streams send one refresh request");
        release();
        my $shown = read_all($curl);
        my @tokens = $shown =~ /^token=(\S+)/mg;
        is(@tokens . ' ' . distinct(@tokens), '10 ' . issued(), "HTTP/2, $provider: all streams get the new token");
        like(distinct($shown =~ /connection=(\d+)/g), qr/^\d+$/, "HTTP/2, $provider: all streams use one connection");
        is($op->count('/token refresh'), 1, "HTTP/2, $provider: one refresh request was sent in all");
    }
}

# The client of the renewing request closes its connection.

for my $provider (@names) {
    my ($user) = due($provider);
    hold();
    my $asking = $user->start("/$provider/");
    $op->wait_for('/token refresh', 1);
    $user->abort($asking);
    my @waiting = many($user, $provider, 1);
    release();
    is(distinct(map { token_of($user->finish($_)) } @waiting), issued(),
        "$provider, the renewing client closes: others get the new token");
    is($op->count('/token refresh'), 1, "$provider, the renewing client closes: one refresh request is sent");
}

SKIP: {
    skip 'no curl with HTTP/2', 6 unless has_curl();

    for my $provider (@names) {
        my ($user) = due($provider);
        hold();
        my $curl = curl($user, "/$provider/");
        $op->wait_for('/token refresh', 1);
        kill 'KILL', $curl->{pid};
        read_all($curl);
        my @waiting = many($user, $provider, 1);
        release();
        my @answers = map { $user->finish($_) } @waiting;
        is(distinct(map { $_->{status} } @answers), 200,
            "HTTP/2, $provider, the renewing client closes: others get a response");
        is(distinct(map { token_of($_) } @answers), issued(),
            "HTTP/2, $provider, the renewing client closes: others get the new token");
        is($op->count('/token refresh'), 1,
            "HTTP/2, $provider, the renewing client closes: one refresh request is sent");
    }
}

# The client of a waiting request closes its connection.

my ($user) = due('sealed');
hold();
my $asking = $user->start('/sealed/');
$op->wait_for('/token refresh', 1);
my @waiting = many($user, 'sealed', 2);
$user->abort($_) for splice @waiting, 1, 2;
seen_by_all();
release();
is(distinct(map { token_of($user->finish($_)) } $asking, @waiting), issued(),
    'a waiting client closes: others get the new token');

# The worker of the renewing request is killed.

$op->set(refresh => { rotate => 1 });
for my $provider (@names) {
    my ($user) = due($provider);
    hold();
    my $asking = at_worker($workers[0], sub { $user->start("/$provider/") });
    $op->wait_for('/token refresh', 1);
    my $waiting = at_worker($workers[1], sub { $user->start("/$provider/") });

    @workers = kill_workers($t, $workers[0]);
    is($user->finish($asking)->{status}, 0, "$provider, the renewing worker is killed: its client gets no response");
    is($op->wait_for('/token refresh', 2), 2,
        "$provider, the renewing worker is killed: a waiting worker sends a refresh request");
    release();
    is(token_of($user->finish($waiting)), issued(),
        "$provider, the renewing worker is killed: waiting requests get the new token");
    is(token_of($user->get("/$provider/")), issued(),
        "$provider, the renewing worker is killed: the session continues");
    is($op->count('/token refresh'), 2,
        "$provider, the renewing worker is killed: no further refresh request is sent");

    ($user) = due($provider);
    hold();
    $asking = $user->start("/$provider/");
    $op->wait_for('/token refresh', 1);
    @workers = kill_workers($t, @workers);
    $user->finish($asking);
    release();
    is(token_of($user->get("/$provider/")), issued(), "$provider, all workers are killed: the next request renews");
    is($op->count('/token refresh'), 2, "$provider, all workers are killed: it sends one refresh request");
}
$op->reset;

# A reload

for my $provider (@names) {
    my ($user) = due($provider);
    hold();
    my @requests = at_worker($workers[0], sub { $user->start("/$provider/") });
    $op->wait_for('/token refresh', 1);
    push @requests, at_worker($workers[1], sub { $user->start("/$provider/") });

    my @old = @workers;
    log_mark($t);
    $t->reload();
    wait_until(sub { error_log_lines($t, qr/gracefully shutting down/) == WORKERS });
    @workers = (started($t))[-2, -1];
    push @requests, many($user, $provider, 1);
    release();

    my @answers = map { $user->finish($_) } @requests;
    is(distinct(map { token_of($_) } @answers), issued(), "$provider, reload: all requests get the new token");
    is(distinct(map { $_->{headers}{'x-worker'} } @answers), distinct(@old, @workers),
        "$provider, reload: old and new workers respond");
    is($op->count('/token refresh'), 1, "$provider, reload: one refresh request is sent");
    ok(wait_until(sub { error_log_lines($t, qr/exited with code 0/) == WORKERS }),
        "$provider, reload: the old workers exit");
}

# A logout during a refresh

my %log_out = (
    logout => sub { my ($browser, $provider) = @_; $browser->get("/logout/$provider") },
    'back-channel logout' => sub {
        my ($browser, $provider, $token) = @_;
        $op->send_logout_token("/backchannel/$provider", $token);
    },
);
for my $provider (@names) {
    for my $how (sort keys %log_out) {
        my $user = login("/$provider/")->{browser};
        my $token = $op->logout_token(claims => { iat => now(DUE), exp => now(DUE + 100) });
        $clock->advance(DUE);
        $op->clear;
        hold();
        my @requests = many($user, $provider, 1);
        $op->wait_for('/token refresh', 1);
        like($log_out{$how}->($user->clone, $provider, $token)->{status}, qr/^(?:200|302)$/,
            "$provider, $how during a refresh: it succeeds");
        release();

        $user->finish($_) for @requests;
        is($user->get("/$provider/")->{status}, 302, "$provider, $how during a refresh: the new cookie is refused");
        is($op->count('/token refresh'), 1, "$provider, $how during a refresh: no further refresh request is sent");
    }
}

# The refresh would extend a session that has already ended.

($user) = due('brief');
hold();
my $request = $user->start('/brief/');
$op->wait_for('/token refresh', 1);
$user->clone->get('/logout/brief');
$clock->advance(20);
release();
$user->finish($request);
$clock->advance(590);
login('/sealed/');    # frees expired records
is($user->get('/brief/')->{status}, 302,
    'a logout during a refresh is remembered as long as the session could have lived');

my @alerts = grep { !/exited on signal 9/ } $t->read_file('error.log') =~ /.*\[alert\].*/g;
is(join("\n", @alerts), '', 'no alert except for killed workers');

# Logs in and advances the clock to the renewal. Returns the browser and the login response.
sub due {
    my ($provider) = @_;

    my $first = login("/$provider/");
    $clock->advance(DUE);
    $op->clear;
    return ($first->{browser}, $first);
}

sub hold { $op->set(respond => { '/token refresh' => { hold => 1, @_ } }) }
sub release { $op->set(respond => {}) }

# Starts that many requests in each worker.
sub many {
    my ($browser, $provider, $number) = @_;

    return map {
        at_worker($_, sub { map { $browser->start("/$provider/") } 1 .. $number })
    } @workers;
}

# Returns when all workers have received what was sent to them.
sub seen_by_all { at_worker($_, sub {}) for @workers }

# Only that worker receives what the callback sends: the others are stopped until it has returned.
sub at_worker {
    my ($worker, $do) = @_;

    my @others = grep { $_ != $worker } @workers;
    halt(@others);
    my @done = $do->();
    browser()->get('/open') for 1, 2;
    kill 'CONT', @others;
    return wantarray ? @done : $done[0];
}

sub started {
    my ($t) = @_;

    return $t->read_file('error.log') =~ /start worker process (\d+)/g;
}

# All workers, as soon as there are enough of them
sub running {
    my ($t) = @_;

    my @running;
    wait_until(sub { (@running = grep { kill 0, $_ } started($t)) == WORKERS });
    return @running;
}

# Kills these workers and waits for new ones.
sub kill_workers {
    my ($t, @killed) = @_;

    kill 'KILL', @killed;
    wait_until(sub { !grep { kill 0, $_ } @killed });
    return running($t);
}

# The distinct values
sub distinct {
    my %seen;
    return join ' ', sort grep { !$seen{$_}++ } map { $_ // 'none' } @_;
}

# The access token of the last refresh
sub issued {
    my ($last) = reverse $op->requests('/token refresh');
    return $last->{issued}{access_token};
}

sub token_of { return shift->{body} =~ s/^token=(\S*).*/$1/sr }

sub cookie_of {
    my ($answer, $name) = @_;

    my ($value) = map { /^$name=([^;]*)/ } @{ $answer->{set_cookie} };
    return $value;
}

sub has_curl { return `curl --version 2>/dev/null` =~ /^Features:.*\bHTTP2\b/m }

# Requests all paths over one https connection, where cookie names have a prefix. Its output can be read.
sub curl {
    my ($browser, @paths) = @_;

    my $cookies = join '; ', map { "__Host-$_->{name}=$_->{value}" } $browser->cookies;
    my $pid = open my $out, '-|', 'curl', qw/ --http2 --parallel --insecure --no-progress-meter /,
        '-H', "Cookie: $cookies", map { 'https://localhost:' . port(8443) . $_ } @paths;
    return { pid => $pid, out => $out };
}

sub read_all {
    my ($curl) = @_;

    local $/;
    my $shown = readline $curl->{out};
    close $curl->{out};
    return $shown;
}
