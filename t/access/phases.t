#!/usr/bin/perl

# Tests for the phases before the access phase: rewrite, if, set, map and limit_req see the same session in
# every store, at the cost of one read from Redis, without a renewal, and without an error if the read fails.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Monitor;
use Test::OIDC::Site;

my @stores = qw/ cookie memory redis /;

# An access token lives for 300 seconds and is renewed 60 seconds before its end.
use constant { LIFE => 300, DUE => 245, HOUR => 3600 };

# name, page, and the responses to alice (staff), gus (guest) and a browser without a session
my @facts = (
    ['if with a map, server', 'server', '/', '200 page', '403 denied gus', '302'],
    ['if with a map, location', 'location', '/denied', '200 page', '403 denied gus', '302'],
    ['if with a map, location, verify', 'location', '/denied_verify', '200 page', '403 denied gus', '200 page'],
    ['if with a map, location, auth_request', 'location', '/denied_by_request', '200 page', '403', '302'],
    ['set, server', 'set', '/who', '200 who alice', '200 who gus', '302'],
    ['set, location', 'location', '/set', '200 who alice', '200 who gus', '302'],
    ['return, server', 'return', '/', '200 sub alice 1', '200 sub gus 1', '200 sub  0'],
    ['return, location', 'location', '/return', '200 sub alice 1', '200 sub gus 1', '200 sub  0'],
    ['rewrite, server', 'rewrite', '/home', '200 alice', '200 others', '302'],
    ['rewrite, location', 'location', '/home', '200 alice', '200 others', '200 others'],
    ['rewrite with the claim in it', 'location', '/named', '200 alice', '200 gus', '404'],
    ['try_files with the claim', 'location', '/files', '200 alice', '200 gus', '302'],
    ['off, if with a map', 'location', '/off', '200 page', '200 page', '200 page'],
    ['another provider, if with a map', 'location', '/other', '200 page', '200 page', '200 page'],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite map limit_req ssi auth_request mirror/)
    ->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(@stores * (3 * @facts + 20) + 43);

my $op = provider($t, 8081, refresh => { rotate => 1 }, expires_in => 8 * HOUR);
my $redis = redis($t, 8379, clock => $clock);
$clock->follow($op);

$t->write_file_expand('nginx.conf', configuration());
for my $sub (qw/ alice gus /) {
    mkdir $t->testdir . "/$sub";
    $t->write_file("$sub/index.html", $sub);
}
mkdir $t->testdir . '/ssi';
$t->write_file('ssi/index.html', join ' ', ('<!--#include virtual="/part" -->') x 3);
$t->run();

my $monitor = Test::OIDC::Monitor->new($redis);

for my $store (@stores) {
    my %user = map { $_ => logged_in($store, $_) } qw/ alice gus /;
    $user{nobody} = browser();

    for my $fact (@facts) {
        my ($what, $kind, $page, @expected) = @$fact;
        is(seen($user{$_}, $store, $kind, $page), shift @expected, "$store: $what, $_") for qw/ alice gus nobody /;
    }

    limits($store, \%user);
    withdrawn($store);
    renews_nothing($store);
}
loads();
down();
stands_still();

# limit_req runs before the access phase; an empty key is not limited.
sub limits {
    my ($store, $user) = @_;

    my @seen = map { seen($user->{$_}, $store, 'location', '/limited') } qw/ alice alice gus gus nobody nobody /;
    is("@seen[0, 1]", '200 page 429', "$store: limit_req by sub, alice");
    is("@seen[2, 3]", '200 page 429', "$store: limit_req by sub, gus has a separate limit");
    is("@seen[4, 5]", '302 302', "$store: limit_req by sub, no limit without a session");
}

# Ended sessions are invalid in the phases before the gate, too.
sub withdrawn {
    my ($store) = @_;

    for my $case (['a back-channel logout', sub { $op->send_logout_token("/backchannel/$store", $op->logout_token) }],
        ['a logout by a copy', sub { $_[0]->clone->get(page_at($store, 'location', "/logout/$store")) }],
        ['the end of session_timeout', sub { $clock->advance(9 * HOUR) }])
    {
        my ($what, $withdraw) = @$case;
        my $gus = logged_in($store, 'gus');
        is(seen($gus, $store, 'return', '/'), '200 sub gus 1', "$store: $what, before it");
        $withdraw->($gus);
        is(seen($gus, $store, 'return', '/'), '200 sub  0', "$store: $what, after it, server");
        is(seen($gus, $store, 'location', '/denied_verify'), '200 page', "$store: $what, after it, location");
    }
}

# A session due for renewal is seen unchanged; the gate renews it.
sub renews_nothing {
    my ($store) = @_;

    $op->set(expires_in => LIFE);
    my $gus = logged_in($store, 'gus');
    $clock->advance(DUE);
    $op->clear;

    is(seen($gus, $store, 'return', '/'), '200 sub gus 1', "$store: due for a renewal, return, server");
    is(seen($gus, $store, 'server', '/'), '403 denied gus', "$store: due for a renewal, if with a map, server");
    is(seen($gus, $store, 'location', '/return'), '200 sub gus 1', "$store: due for a renewal, return, location");
    is(seen($gus, $store, 'location', '/off'), '200 page', "$store: due for a renewal, off");
    is(seen($gus, $store, 'location', '/open'), '200 page', "$store: due for a renewal, open");
    is($op->count, 0, "$store: due for a renewal: no token request before the gate");
    is(seen($gus, $store, 'location', '/set'), '200 who gus', "$store: due for a renewal, the gate");
    is($op->count('/token refresh'), 1, "$store: due for a renewal: the gate makes a token request");
    $op->reset;
}

# How often a session is read from Redis

sub loads {
    my $alice = logged_in('redis', 'alice');
    $op->set(user => { sub => 'bob' });
    $alice->login(page_at('redis', 'location', '/second'));
    $op->reset;
    my $same = sub { my ($kind, $page) = @_; return sub { $alice->get(page_at('redis', $kind, $page)) } };

    for my $case (
        ['a page', 'location', '/set'], ['if, map and the gate', 'location', '/denied'],
        ['set at server level', 'set', '/who'], ['if at server level', 'server', '/'],
        ['limit_req', 'location', '/limited'], ['return', 'location', '/return'],
        ['subrequests, SSI', 'location', '/ssi/'], ['a subrequest, auth_request', 'location', '/denied_by_request'],
        ['a subrequest to another provider', 'location', '/second_by_request'],
        ['a subrequest, mirror', 'location', '/mirrored'], ['internal redirects', 'location', '/files'],
        ['rewrites', 'location', '/home'], ['verify', 'location', '/denied_verify'])
    {
        my ($what, $kind, $page) = @$case;
        my %times;
        $times{$_}++ for map { /(\S+:session:\S+)/ } $monitor->loads($same->($kind, $page));
        like("@times{sort keys %times}", $page eq '/second_by_request' ? qr/^1 1$/ : qr/^1(?: 1)?$/,
            "Redis, $what: a session is loaded once");
    }

    is(scalar(my @both = $monitor->loads($same->('location', '/return'))), 2,
        'Redis, a server of two providers: the sessions of both are loaded');
    is(scalar($monitor->loads(sub { browser()->get(page_at('redis', 'location', '/denied')) })), 0,
        'Redis, no session: nothing is loaded');
    is(scalar($monitor->during($same->('plain', '/'))), 0, 'Redis, a server without the provider: nothing is loaded');
    my $stranger = browser()->set_cookie('redis=' . 'A' x length($alice->cookie('redis')) . '; Path=/');
    is(scalar($monitor->during(sub { $stranger->get(page_at('redis', 'location', '/return')) })), 0,
        'Redis, an invalid cookie: nothing is loaded');
}

# Redis is unavailable

sub down {
    my $gus = logged_in('redis', 'gus');
    $redis->kill;
    complains($gus, 'Redis down');

    $redis->start;
    log_mark($t);
    is(seen($gus, 'redis', 'return', '/'), '200 sub  0', 'Redis up again, but empty: no session');
    is(scalar(my @lines = error_log_lines($t, qr/oidc:/)), 0, 'Redis up again, but empty: nothing is logged');
}

sub stands_still {
    my $gus = logged_in('redis', 'gus');
    $redis->stop;
    complains($gus, 'Redis stands still');
    $redis->continue;
}

sub complains {
    my ($gus, $what) = @_;

    for my $case (
        ['an open location', 'location', '/open', '200 page', 0], ['off', 'location', '/off', '200 page', 0],
        ['return, server', 'return', '/', '200 sub  0', 0],
        ['return, location', 'location', '/return', '200 sub  0', 0],
        ['a protected location', 'location', '/set', '503', 1],
        ['verify', 'location', '/denied_verify', '200 page', 1])
    {
        my ($where, $kind, $page, $seen, $number) = @$case;
        log_mark($t);
        is(seen($gus, 'redis', $kind, $page), $seen, "$what, $where");
        my @lines = error_log_lines($t, $number ? qr/oidc:/ : qr/\[(?:warn|error|crit)\]/);
        is(scalar(@lines), $number, "$what, $where: lines of log") or diag(@lines);
    }
}

# ------------------------------------------------------------------------------------------------------

sub page_at {
    my ($store, $kind, $page) = @_;

    return "http://$kind-$store.localhost.example.com:" . port(8080) . $page;
}

# Cookies are valid for the whole domain, since the servers differ by host.
sub logged_in {
    my ($store, $sub) = @_;

    my $browser = browser();
    my $knobs = $op->{knobs};
    $op->set(user => { sub => $sub, groups => [$sub eq 'gus' ? 'guest' : 'staff'] })->clear;
    my $answer = $browser->login(page_at($store, 'location', '/protected'));
    die "no login: $answer->{status} $answer->{body}" if $answer->{status} != 200;
    $op->write_knobs($knobs);
    return $browser;
}

# Status, and the body unless it is a page of nginx.
sub seen {
    my ($browser, $store, $kind, $page) = @_;

    my $answer = $browser->get(page_at($store, $kind, $page));
    return join ' ', $answer->{status}, $answer->{body} =~ /</ ? () : grep { length } $answer->{body};
}

sub configuration {
    my @providers = map {
        oidc_provider($_, join '; ', "session_store $_", 'cookie_domain example.com', "logout_uri /logout/$_",
            "backchannel_logout_uri /backchannel/$_", 'session_timeout 8h', 'token_refresh 1m');
    } @stores;
    my $zones = join "\n    ", map { "limit_req_zone \$oidc_claim_sub zone=$_:1m rate=1r/m;" } @stores;

    return nginx_conf(<<"EOF", @providers, <<'EOF', map { servers($_) } @stores);
    oidc_session_store memory { type memory; }
    oidc_session_store redis {
        type            redis;
        hostname        127.0.0.1;
        port            %%PORT_8379%%;
        connect_timeout 1s;
        command_timeout 1s;
    }

    large_client_header_buffers 4 32k;
    server_names_hash_bucket_size 128;
    $zones
EOF
    oidc_provider second {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        redirect_uri  /callback/second;
        cookie_name   second;
        cookie_domain example.com;
        session_store redis;
    }

    map $oidc_claim_groups $denied {
        default 0;
        ~guest  1;
    }

    server {
        listen      127.0.0.1:8080;
        server_name localhost;

        location /cookie { auth_oidc cookie; }
        location /memory { auth_oidc memory; }
        location /redis  { auth_oidc redis; }
    }

    server {
        listen 127.0.0.1:8085;
        return 200 $http_x_page;
    }

    server {
        listen      127.0.0.1:8080;
        server_name plain-redis.localhost.example.com;
        location / { proxy_set_header X-Page page; proxy_pass http://127.0.0.1:8085; }
    }
EOF
}

sub servers {
    my ($store) = @_;

    my %directives = (
        server => 'auth_oidc STORE; set $who $oidc_claim_sub; if ($denied) { return 403 "denied $who"; }',
        set => 'auth_oidc STORE; set $who $oidc_claim_sub;',
        return => 'auth_oidc STORE; return 200 "sub $oidc_claim_sub $oidc_authenticated";',
        rewrite => 'auth_oidc STORE; if ($oidc_claim_sub = alice) { rewrite ^/home$ /alice/index.html; }',
        location => locations(),
    );
    return map { <<"EOF" =~ s/STORE/$store/gr } sort keys %directives;
    server {
        listen      127.0.0.1:8080;
        server_name $_-STORE.localhost.example.com;
        proxy_set_header X-Page page;

        $directives{$_}
@{[ $_ =~ /location|return/ ? '' : <<'EOS' ]}
        location /       { proxy_pass http://127.0.0.1:8085; }
        location /who    { proxy_set_header X-Page "who $who"; proxy_pass http://127.0.0.1:8085; }
        location = /home { proxy_set_header X-Page others; proxy_pass http://127.0.0.1:8085; }
        location /alice/ { }
EOS
    }
EOF
}

sub locations {
    return <<'EOF';
        location /protected     { auth_oidc STORE; proxy_pass http://127.0.0.1:8085; }
        location /open          { proxy_pass http://127.0.0.1:8085; }
        location /denied {
            auth_oidc STORE;
            if ($denied) { return 403 "denied $oidc_claim_sub"; }
            proxy_pass http://127.0.0.1:8085;
        }
        location /denied_verify {
            auth_oidc      STORE;
            auth_oidc_mode verify;
            if ($denied) { return 403 "denied $oidc_claim_sub"; }
            proxy_pass     http://127.0.0.1:8085;
        }
        location /denied_by_request { auth_oidc STORE; auth_request /check; proxy_pass http://127.0.0.1:8085; }
        location /check         { auth_oidc STORE; if ($denied) { return 403; } return 204; }
        location /second        { auth_oidc second; proxy_pass http://127.0.0.1:8085; }
        location /second_by_request { auth_oidc STORE; auth_request /second_check; proxy_pass http://127.0.0.1:8085; }
        location /second_check  { auth_oidc second; set $read $oidc_claim_sub; return 204; }
        location /set {
            auth_oidc        STORE;
            set              $who $oidc_claim_sub;
            proxy_set_header X-Page "who $who";
            proxy_pass       http://127.0.0.1:8085;
        }
        location /return        { auth_oidc STORE; return 200 "sub $oidc_claim_sub $oidc_authenticated"; }
        location = /home {
            auth_oidc STORE;
            if ($oidc_claim_sub = alice) { rewrite ^ /alice/index.html last; }
            return 200 others;
        }
        location /alice/        { auth_oidc STORE; }
        location /gus/          { auth_oidc STORE; }
        location /named         { auth_oidc STORE; set $who $oidc_claim_sub; rewrite ^ /$who/index.html last; }
        location /files         { auth_oidc STORE; try_files /$oidc_claim_sub/index.html =404; }
        location /off           { auth_oidc off; if ($denied) { return 403; } proxy_pass http://127.0.0.1:8085; }
        location /other {
            auth_oidc      second;
            auth_oidc_mode verify;
            if ($denied) { return 403; }
            proxy_pass     http://127.0.0.1:8085;
        }
        location /limited {
            auth_oidc        STORE;
            limit_req        zone=STORE;
            limit_req_status 429;
            proxy_pass       http://127.0.0.1:8085;
        }
        location /ssi/          { auth_oidc STORE; ssi on; }
        location /part {
            auth_oidc        STORE;
            set              $who $oidc_claim_sub;
            proxy_set_header X-Page $who;
            proxy_pass       http://127.0.0.1:8085;
        }
        location /mirrored      { auth_oidc STORE; mirror /part; proxy_pass http://127.0.0.1:8085; }
EOF
}
