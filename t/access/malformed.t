#!/usr/bin/perl

# Tests for malformed requests that an error_page sends to a protected location: nginx refuses them before
# the phase in which sessions are fetched from Redis, so "if" and "map" have seen no session. Such a request
# is refused with every session store, so it cannot bypass them.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site;

# The session store, the port of its server, and the responses to a malformed request of a guest and of staff.
my @cases = (
    ['cookie', 8080, '403', '200 page'],
    ['memory', 8083, '403', '200 page'],
    ['redis', 8084, '400 request_malformed', '400 request_malformed'],
);
my $sentence = qr/\[warn\] .* oidc: malformed request read session variables before the session /
    . qr/was available while loading a session, provider "redis"/;
my %group = (gus => 'guest', alice => 'staff');

# Header lines for which nginx refuses a request.
my @malformed = (
    ['two Host headers', "Host: localhost\r\nHost: localhost\r\n"],
    ['no Host header', ''],
    ['a broken Content-Length', "Host: localhost\r\nContent-Length: x\r\n"],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite map/)->has_daemon('redis-server')
    ->plan(@cases * (4 + 7 * @malformed));

my $op = provider($t, 8081);
my $redis = redis($t, 8379);

$t->write_file_expand('nginx.conf', configuration());
$t->run();

for my $case (@cases) {
    my ($store, $port, $guest, $staff) = @$case;
    my $base = 'http://localhost:' . port($port);
    my %user = map { $_ => logged_in($base, $_) } keys %group;
    is(seen($user{gus}->get('/app')), '403', "$store: a guest is denied");
    is(seen($user{alice}->get('/app')), '200 page', "$store: staff is not");
    is(seen($user{alice}->get('/open')), '200 open', "$store: an open location");
    is(browser(base => $base)->get('/app')->{status}, 302, "$store: no session: a login begins");

    for my $request (@malformed) {
        my ($what, $lines) = @$request;
        my $by = sub { malformed($_[0], $lines) };
        log_mark($t);
        is(seen($by->($user{gus})), $guest, "$store, $what: a guest is denied");
        is(scalar(error_log_lines($t, qr/oidc:/)), $store eq 'redis' ? 1 : 0, "$store, $what: lines of log");
        is(scalar(error_log_lines($t, $sentence)), $store eq 'redis' ? 1 : 0, "$store, $what: the lines name the reason");
        is(seen($by->($user{alice})), $staff, "$store, $what: staff");
        unlike($by->(browser(base => $base))->{body}, qr/page/, "$store, $what: no session");
        is(seen($user{gus}->get('/app')), '403', "$store, $what: a guest is denied after it");
        is(seen($user{alice}->get('/app')), '200 page', "$store, $what: staff is not after it");
    }
}

# ------------------------------------------------------------------------------------------------------

sub logged_in {
    my ($base, $sub) = @_;

    my $browser = browser(base => $base);
    $op->set(user => { sub => $sub, groups => [$group{$sub}] });
    $browser->login('/app');
    return $browser;
}

# nginx reads the Cookie header before it detects the fault.
sub malformed {
    my ($browser, $lines) = @_;

    my $cookies = join '; ', map { "$_->{name}=$_->{value}" } $browser->cookies;
    return $browser->raw("GET / HTTP/1.1\r\nCookie: $cookies\r\n${lines}Connection: close\r\n\r\n");
}

# Status, $oidc_error, and the body unless it is a page of nginx.
sub seen {
    my ($answer) = @_;

    return join ' ', outcome($answer), $answer->{body} =~ /</ ? () : grep { length } $answer->{body};
}

# The host of a malformed request is not used, so each server has a port of its own.
sub configuration {
    my @blocks = map {
        my ($store, $port) = @$_;
        (oidc_provider($store, "session_store $store; session_claims groups"), <<"EOF");
    server {
        listen      127.0.0.1:$port;
        server_name localhost;
        auth_oidc   $store;
        error_page  400 =200 /app;
        add_header  X-Error \$oidc_error always;

        location /open { auth_oidc off; return 200 open; }
        location /app  { if (\$denied) { return 403; } proxy_pass http://127.0.0.1:8085; }
    }
EOF
    } @cases;
    return nginx_conf(<<'EOF', @blocks);
    oidc_session_store memory { type memory; }
    oidc_session_store redis { type redis; hostname 127.0.0.1; port %%PORT_8379%%; }

    map $oidc_claim_groups $denied {
        default 0;
        ~guest  1;
    }

    server {
        listen 127.0.0.1:8085;
        return 200 page;
    }
EOF
}
