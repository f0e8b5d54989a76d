#!/usr/bin/perl

# Tests for logins over HTTP/3 by a browser, for an nginx that has it ("make http3"): behind a port that is
# mapped to nginx's own, and where the browser goes over to HTTP/3 at another port, as Alt-Svc told it to.

use warnings;
use strict;

use Digest::SHA qw/ sha256_base64 /;
use IO::Select ();
use IO::Socket::INET ();
use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::JWT qw/ from_json to_json /;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl http_v2 http_v3 proxy rewrite socket_ssl/)
    ->has_daemon('node')->has_daemon('openssl');
$ENV{CHROMIUM} ||= (grep { -x } map { "$_/chromium" } split /:/, $ENV{PATH})[0];
plan(skip_all => 'chromium not found') unless $ENV{CHROMIUM};
plan(skip_all => 'playwright-core not found')
    unless -d "$FindBin::Bin/../../build/node/node_modules/playwright-core";
$t->plan(24);

my $tls = certificate_authority($t, 'ca')->issue('site');
my $key = digest_of_key($tls->{certificate});
my $op = provider($t, 8081, user => { sub => 'alice', name => 'Alice' });

# Where nginx listens, and where browsers think that it does.
my $quic = port(8443, udp => 1);
my $mapped = port(8444, udp => 1);
my $tcp = port(8445);

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    error_log %%TESTDIR%%/error.log info;

    ssl_certificate     %%TESTDIR%%/site.crt;
    ssl_certificate_key %%TESTDIR%%/site.key;

    oidc_provider my_idp {
        issuer          http://127.0.0.1:8081;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        logout_uri      /logout;
        post_logout_uri /bye;
    }

    oidc_provider posts {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        response_mode form_post;
        redirect_uri  /posted;
        cookie_name   posts;
    }

    server {
        listen      127.0.0.1:%%PORT_8443_UDP%% quic;
        listen      127.0.0.1:8445 ssl;
        http2       on;
        server_name app.example.com;

        add_header Alt-Svc 'h3=":%%PORT_8443_UDP%%"; ma=86400' always;
        auth_oidc  my_idp;

        location /page {
            proxy_set_header X-User $oidc_claim_sub;
            proxy_pass       http://127.0.0.1:8082;
        }

        location /form {
            auth_oidc        posts;
            proxy_set_header X-User $oidc_claim_sub;
            proxy_pass       http://127.0.0.1:8082;
        }

        location /open {
            auth_oidc off;
            return    200 open;
        }

        # or browsers log in there
        location = /favicon.ico {
            auth_oidc off;
            return    204;
        }

        location /bye {
            auth_oidc off;
            return    200 bye;
        }
    }

    server {
        listen 127.0.0.1:8082;
        return 200 "$request_uri of $http_x_user";
    }
}

EOF

$t->run();
map_port($mapped => $quic);

# A port that is mapped to nginx's. The browser knows no other way in.

my $site = "https://app.example.com:$mapped";
my ($login, $again, $form, $logout, $anew) = visit("app.example.com:$mapped",
    { goto => "$site/page?a=b" },
    { goto => "$site/page" },
    { goto => "$site/form", ends => "$site/form" },
    { goto => "$site/logout" },
    { goto => "$site/page?anew" },
);

is(way_of($login), "h3 302 /page, HTTP/1.1 302 /authorize, h3 302 /oidc_callback, h3 200 /page",
    'a mapped port, by HTTP/3');
is(redirect_uri($login), "$site/oidc_callback", 'a mapped port, redirect_uri');
is($login->{url}, "$site/page?a=b", 'a mapped port, the end of a login');
is($login->{body}, '/page?a=b of alice', 'a mapped port, its page');
is(verdict(0), "ok $site/oidc_callback", 'a mapped port, the token request');
is(way_of($again), 'h3 200 /page', 'a mapped port, the session stays');

is($form->{body}, '/form of alice', 'a form posted by HTTP/3, its page');
is($form->{url}, "$site/form", 'a form posted by HTTP/3, the end of a login');
like(way_of($form), qr{h3 303 /posted, h3 200 /form$}, 'a form posted by HTTP/3, by HTTP/3');
is(verdict(1), "ok $site/posted", 'a form posted by HTTP/3, the token request');

like(way_of($logout), qr{^h3 302 /logout, HTTP/1\.1 302 /end_session, h3 200 /bye$}, 'a logout by HTTP/3');
is($logout->{url} =~ s/\?.*//r, "$site/bye", 'a logout by HTTP/3, its end');
is($anew->{body}, '/page?anew of alice', 'a login after that');
is($op->count('/token'), 3, 'is a new one');

# A browser that has met the site by HTTP/2 goes over to HTTP/3, at another port.

$op->clear;
$site = "https://app.example.com:$tcp";
my ($before, $over, $after) = visit('app.example.com:1',
    { goto => "$site/open" },
    { goto => "$site/open", until => 'h3' },
    { goto => "$site/page" },
);

is(way_of($before), 'HTTP/2.0 200 /open', 'another port, first by HTTP/2');
is(way_of($over), 'h3 200 /open', 'another port, then by HTTP/3');
is(way_of($after), "h3 302 /page, HTTP/1.1 302 /authorize, h3 302 /oidc_callback, h3 200 /page",
    'another port, a login');
is(redirect_uri($after), "$site/oidc_callback", 'another port, redirect_uri');
is($after->{url} . ' ' . $after->{body}, "$site/page /page of alice", 'another port, its page');
is(verdict(0), "ok $site/oidc_callback", 'another port, the token request');

# Sessions do not mind.

$op->clear;
($before, $after) = visit('app.example.com:1',
    { goto => "$site/page" },
    { goto => "$site/page", until => 'h3' },
);

is($before->{body}, '/page of alice', 'a login by HTTP/2');
is(way_of($after), 'h3 200 /page', 'its session by HTTP/3');
is($after->{body}, '/page of alice', 'is the same');
is($op->count('/token'), 1, 'without another login');

###############################################################################

my $profiles = 0;

sub visit {
    my ($force, @steps) = @_;

    my $what = to_json({ directory => $t->testdir . '/profile-' . ++$profiles, host => 'app.example.com',
        force => $force, key => $key, steps => \@steps });
    open(my $output, '-|', 'node', "$FindBin::Bin/../http3/visit.mjs", $what) or die "node: $!";
    local $/;
    my $seen = <$output>;
    close $output;

    log_in($seen);
    return @{ from_json($seen || '[]') };
}

# How a page was come by.
sub way_of {
    my ($seen) = @_;

    return join ', ', (map { "$_->{protocol} $_->{status} " . $_->{url} =~ s{^https?://[^/]*|\?.*}{}gr }
        @{ $seen->{hops} }), $seen->{error} // ();
}

sub redirect_uri { return query($_[0]{hops}[0]{location})->{redirect_uri} }

# What the provider says of a token request, and the redirect_uri in it.
sub verdict {
    my ($n) = @_;

    my $request = ($op->requests('/token'))[$n];
    return ($request->{verdict} // 'none') . ' ' . ($request->{params}{redirect_uri} // '');
}

# What comes for one port of UDP goes to another one, and back: for each client from a port of its own.
sub map_port {
    my ($from, $to) = @_;

    my $listen = IO::Socket::INET->new(Proto => 'udp', LocalAddr => "127.0.0.1:$from") or die "udp: $!";
    $t->run_daemon(sub {
        my ($all, %client_of, %way_of) = (IO::Select->new($listen));
        while (my @ready = $all->can_read) {
            for my $socket (@ready) {
                my $client = recv $socket, my $bytes, 65536, 0;
                next if !defined $client;    # an ICMP error
                if ($socket != $listen) {
                    send $listen, $bytes, 0, $client_of{$socket};
                    next;
                }
                if (!$way_of{$client}) {
                    $way_of{$client} = IO::Socket::INET->new(Proto => 'udp', PeerAddr => "127.0.0.1:$to")
                        or next;
                    $client_of{ $way_of{$client} } = $client;
                    $all->add($way_of{$client});
                }
                send $way_of{$client}, $bytes, 0;
            }
        }
    });
}

# The SHA-256 of a certificate's key, as browsers name it.
sub digest_of_key {
    my ($file) = @_;

    my $der = `openssl x509 -in $file -pubkey -noout | openssl pkey -pubin -outform der`;
    my $digest = sha256_base64($der);
    return $digest . '=' x (-length($digest) % 4);
}

###############################################################################
