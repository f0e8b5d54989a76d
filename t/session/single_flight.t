#!/usr/bin/perl

# Tests for the renewal of one session by many requests at once, in two workers: the provider is asked
# once, and all get what comes of it, whatever happens meanwhile to the one who asks. nginx runs under a
# clock of its own.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Time::HiRes qw/ sleep time /;

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;
use Test::OIDC::Workers;

select STDERR; $| = 1;
select STDOUT; $| = 1;

# That a worker was killed is an alert: the others are looked for at the end.
my $t = Test::Nginx->new()->has(qw/http http_ssl http_v2 proxy rewrite/)->todo_alerts();
my $clock = Test::OIDC::Clock->new($t);
$t->plan(78);

# An access token lives for 300 seconds, and is renewed 60 seconds ahead of its end.
use constant { LIFE => 300, DUE => 245 };

use constant WORKERS => 2;

# A refresh token that is used twice ends all that came of its login.
my $op = provider($t, 8081, refresh => { rotate => 1, fatal => 1 }, expires_in => LIFE);
$clock->follow($op);

certificate_authority($t, 'ca')->issue('nginx');

# Each is at /NAME/, with a cookie NAME.
my %provider = (
    sealed => 'session_store cookie',
    stored => 'session_store sessions',
    brief => 'session_timeout 10m; token_refresh 10m',
);
my @places = qw/ sealed stored /;

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

# Many at once

for my $place (@places) {
    my ($user, $first) = due($place);
    my $old = $user->clone;
    hold();
    my @requests = many($user, $place, 10);
    is($op->wait_for('/token refresh', 1), 1, "$place: 20 requests at once ask");
    release();

    my @answers = map { $user->finish($_) } @requests;
    is(distinct(map { $_->{status} } @answers), 200, "$place: all are answered");
    is(distinct(map { token_of($_) } @answers), issued(), "$place: with the new token");
    is(distinct(map { $_->{headers}{'x-worker'} } @answers), distinct(@workers), "$place: in both workers");
    if ($place eq 'sealed') {
        is(distinct(map { cookie_of($_, $place) } @answers), $user->cookie($place), "$place: and the new cookie");
        is(distinct(map { $_->{headers}{'cache-control'} } @answers), 'no-store', "$place: which is not kept by caches");
    }

    is(token_of($_->get("/$place/")), issued(), "$place: so do those that come later") for $user, $old;
    is($op->count('/token refresh'), 1, "$place: the provider was asked once");
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
    is(distinct(map { $_->{status} } @answers), $status, "$name: all are told");
    is($op->count('/token refresh'), 1, "$name: the provider was asked once");
    is(scalar(error_log_lines($t, qr/oidc: $sentence while renewing a session, provider "sealed"/)), 1,
        "$name: logged once");
    is(distinct(map { token_of($_) } @answers), token_of($first), "$name: and have the old token") if $status == 200;
    release();
    $clock->advance(10);    # a worker asks no more so soon after a failure
}

# Streams of one connection

SKIP: {
    skip 'no curl with HTTP/2', 8 unless has_curl();

    for my $place (@places) {
        my ($user) = due($place);
        hold();
        my $curl = curl($user, map { "/$place/?$_" } 1 .. 10);
        is($op->wait_for('/token refresh', 1), 1, "HTTP/2, $place: streams ask");
        release();
        my $shown = read_all($curl);
        my @tokens = $shown =~ /^token=(\S+)/mg;
        is(@tokens . ' ' . distinct(@tokens), '10 ' . issued(), "HTTP/2, $place: all get the new token");
        like(distinct($shown =~ /connection=(\d+)/g), qr/^\d+$/, "HTTP/2, $place: by one connection");
        is($op->count('/token refresh'), 1, "HTTP/2, $place: the provider was asked once");
    }
}

# The one who asks goes

for my $place (@places) {
    my ($user) = due($place);
    hold();
    my $asking = $user->start("/$place/");
    $op->wait_for('/token refresh', 1);
    $user->abort($asking);
    my @waiting = many($user, $place, 1);
    release();
    is(distinct(map { token_of($user->finish($_)) } @waiting), issued(), "$place, who asks closes: others get the new token");
    is($op->count('/token refresh'), 1, "$place, who asks closes: the provider was asked once");
}

SKIP: {
    skip 'no curl with HTTP/2', 6 unless has_curl();

    for my $place (@places) {
        my ($user) = due($place);
        hold();
        my $curl = curl($user, "/$place/");
        $op->wait_for('/token refresh', 1);
        kill 'KILL', $curl->{pid};
        read_all($curl);
        my @waiting = many($user, $place, 1);
        release();
        my @answers = map { $user->finish($_) } @waiting;
        is(distinct(map { $_->{status} } @answers), 200, "HTTP/2, $place, who asks closes: others are answered");
        is(distinct(map { token_of($_) } @answers), issued(), "HTTP/2, $place, who asks closes: with the new token");
        is($op->count('/token refresh'), 1, "HTTP/2, $place, who asks closes: the provider was asked once");
    }
}

# One who waits goes

my ($user) = due('sealed');
hold();
my $asking = $user->start('/sealed/');
$op->wait_for('/token refresh', 1);
my @waiting = many($user, 'sealed', 2);
$user->abort($_) for splice @waiting, 1, 2;
settle();
release();
is(distinct(map { token_of($user->finish($_)) } $asking, @waiting), issued(), 'who waits closes: others get the new token');

# The worker of the one who asks is killed

$op->set(refresh => { rotate => 1 });
for my $place (@places) {
    my ($user) = due($place);
    hold();
    my $asking = at_worker($workers[0], sub { $user->start("/$place/") });
    $op->wait_for('/token refresh', 1);
    my $waiting = at_worker($workers[1], sub { $user->start("/$place/") });

    @workers = kill_workers($t, $workers[0]);
    is($user->finish($asking)->{status}, 0, "$place: who asks is killed");
    is($op->wait_for('/token refresh', 2), 2, "$place: who waits asks");
    release();
    is(token_of($user->finish($waiting)), issued(), "$place: and gets a new token");
    is(token_of($user->get("/$place/")), issued(), "$place: the session lives");
    is($op->count('/token refresh'), 2, "$place: and asks no more");

    ($user) = due($place);
    hold();
    $asking = $user->start("/$place/");
    $op->wait_for('/token refresh', 1);
    @workers = kill_workers($t, @workers);
    $user->finish($asking);
    release();
    is(token_of($user->get("/$place/")), issued(), "$place, all are killed: the next request refreshes by itself");
    is($op->count('/token refresh'), 2, "$place, all are killed: by one call");
}
$op->reset;

# A reload

for my $place (@places) {
    my ($user) = due($place);
    hold();
    my @requests = at_worker($workers[0], sub { $user->start("/$place/") });
    $op->wait_for('/token refresh', 1);
    push @requests, at_worker($workers[1], sub { $user->start("/$place/") });

    my @old = @workers;
    log_mark($t);
    $t->reload();
    until_true(sub { error_log_lines($t, qr/gracefully shutting down/) == WORKERS });
    @workers = (started($t))[-2, -1];
    push @requests, many($user, $place, 1);
    release();

    my @answers = map { $user->finish($_) } @requests;
    is(distinct(map { token_of($_) } @answers), issued(), "$place, reload: all get the new token");
    is(distinct(map { $_->{headers}{'x-worker'} } @answers), distinct(@old, @workers), "$place, reload: of old and new workers");
    is($op->count('/token refresh'), 1, "$place, reload: the provider was asked once");
    ok(until_true(sub { error_log_lines($t, qr/exited with code 0/) == WORKERS }), "$place, reload: the old workers end");
}

# A logout meanwhile

my %log_out = (
    logout => sub { my ($browser, $place) = @_; $browser->get("/logout/$place") },
    'back-channel logout' => sub { my ($browser, $place, $token) = @_; $op->send_logout_token("/backchannel/$place", $token) },
);
for my $place (@places) {
    for my $how (sort keys %log_out) {
        my $user = login("/$place/")->{browser};
        my $token = $op->logout_token(claims => { iat => now(DUE), exp => now(DUE + 100) });
        $clock->advance(DUE);
        $op->clear;
        hold();
        my @requests = many($user, $place, 1);
        $op->wait_for('/token refresh', 1);
        like($log_out{$how}->($user->clone, $place, $token)->{status}, qr/^(?:200|302)$/, "$place, $how during a refresh");
        release();

        $user->finish($_) for @requests;
        is($user->get("/$place/")->{status}, 302, "$place, $how during a refresh: the new cookie is of no use");
        is($op->count('/token refresh'), 1, "$place, $how during a refresh: nor is it tried");
    }
}

# The answer moves the end of a session on that has ended already.

($user) = due('brief');
hold();
my $request = $user->start('/brief/');
$op->wait_for('/token refresh', 1);
$user->clone->get('/logout/brief');
$clock->advance(20);
release();
$user->finish($request);
$clock->advance(590);
login('/sealed/');    # makes room of what is over
is($user->get('/brief/')->{status}, 302, 'a logout during a refresh is known as long as the session could live');

my @alerts = grep { !/exited on signal 9/ } $t->read_file('error.log') =~ /.*\[alert\].*/g;
is(join("\n", @alerts), '', 'no alert but for workers that were killed');

# A browser whose session is in need of a refresh, and what it saw at its login.
sub due {
    my ($place) = @_;

    my $first = login("/$place/");
    $clock->advance(DUE);
    $op->clear;
    return ($first->{browser}, $first);
}

sub hold { $op->set(respond => { '/token refresh' => { hold => 1, @_ } }) }
sub release { $op->set(respond => {}) }

# So many requests in each worker.
sub many {
    my ($browser, $place, $number) = @_;

    return map {
        at_worker($_, sub { map { $browser->start("/$place/") } 1 .. $number })
    } @workers;
}

# All workers have seen what was sent to them.
sub settle { at_worker($_, sub {}) for @workers }

# What is done here that worker alone sees, for the others sleep until it has.
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

# All workers, as soon as there are as many as there should be.
sub running {
    my ($t) = @_;

    my @running;
    until_true(sub { (@running = grep { kill 0, $_ } started($t)) == WORKERS });
    return @running;
}

# These workers give way to new ones.
sub kill_workers {
    my ($t, @killed) = @_;

    kill 'KILL', @killed;
    until_true(sub { !grep { kill 0, $_ } @killed });
    return running($t);
}

sub until_true {
    my ($is_so) = @_;

    my $end = time + 5;
    until ($is_so->()) {
        return 0 if time > $end;
        sleep 0.01;
    }
    return 1;
}

# The different ones among them.
sub distinct {
    my %seen;
    return join ' ', sort grep { !$seen{$_}++ } map { $_ // 'none' } @_;
}

# The access token of the last refresh.
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

# Asks for all these by one connection on https, where names have a prefix; what it gets can be read.
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
