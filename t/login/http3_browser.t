#!/usr/bin/perl

# Tests for logins of a browser over HTTP/3, for an nginx that has it ("make http3"): behind a port mapped to
# nginx's own, and where Alt-Svc moves the browser to HTTP/3 at another port.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Digest::SHA qw/ sha256_base64 /;
use IO::Select ();
use IO::Socket::INET ();

use Test::OIDC;
use Test::OIDC::JWT qw/ from_json to_json /;
use Test::OIDC::Site qw/ default_provider http_conf oidc_provider /;

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

# The port of nginx, and the ports in the browsers' URLs.
my $quic = port(8443, udp => 1);
my $mapped = port(8444, udp => 1);
my $tcp = port(8445);

$t->write_file_expand('nginx.conf', http_conf(
    default_provider('my_idp', 'logout_uri /logout; post_logout_uri /bye'),
    oidc_provider('posts', 'response_mode form_post', redirect_uri => '/posted'),
    <<'EOF'));
    error_log %%TESTDIR%%/error.log info;

    ssl_certificate     %%TESTDIR%%/site.crt;
    ssl_certificate_key %%TESTDIR%%/site.key;

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

        # or browsers begin a login for it
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
EOF

$t->run();
map_port($mapped => $quic);

# A port mapped to nginx's; the browser knows no other.

my $site = "https://app.example.com:$mapped";
my ($login, $again, $form, $logout, $relogin) = browse("app.example.com:$mapped",
    { goto => "$site/page?a=b" },
    { goto => "$site/page" },
    { goto => "$site/form", ends => "$site/form" },
    { goto => "$site/logout" },
    { goto => "$site/page?again" },
);

is(hops_of($login), "h3 302 /page, HTTP/1.1 302 /authorize, h3 302 /oidc_callback, h3 200 /page",
    'a mapped port, by HTTP/3');
is(redirect_uri($login), "$site/oidc_callback", 'a mapped port, redirect_uri');
is($login->{url}, "$site/page?a=b", 'a mapped port, the final URL');
is($login->{body}, '/page?a=b of alice', 'a mapped port, its page');
is(verdict(0), "ok $site/oidc_callback", 'a mapped port, the token request');
is(hops_of($again), 'h3 200 /page', 'a mapped port, the session remains');

is($form->{body}, '/form of alice', 'a form posted by HTTP/3, its page');
is($form->{url}, "$site/form", 'a form posted by HTTP/3, the final URL');
like(hops_of($form), qr{h3 303 /posted, h3 200 /form$}, 'a form posted by HTTP/3, the protocols');
is(verdict(1), "ok $site/posted", 'a form posted by HTTP/3, the token request');

like(hops_of($logout), qr{^h3 302 /logout, HTTP/1\.1 302 /end_session, h3 200 /bye$}, 'a logout by HTTP/3');
is($logout->{url} =~ s/\?.*//r, "$site/bye", 'a logout by HTTP/3, the final URL');
is($relogin->{body}, '/page?again of alice', 'a login after the logout');
is($op->count('/token'), 3, 'a login after the logout is a new one');

# A browser that knows the site by HTTP/2 switches to HTTP/3, at another port.

$op->clear;
$site = "https://app.example.com:$tcp";
my ($before, $over, $after) = browse('app.example.com:1',
    { goto => "$site/open" },
    { goto => "$site/open", until => 'h3' },
    { goto => "$site/page" },
);

is(hops_of($before), 'HTTP/2.0 200 /open', 'another port, first by HTTP/2');
is(hops_of($over), 'h3 200 /open', 'another port, then by HTTP/3');
is(hops_of($after), "h3 302 /page, HTTP/1.1 302 /authorize, h3 302 /oidc_callback, h3 200 /page",
    'another port, a login');
is(redirect_uri($after), "$site/oidc_callback", 'another port, redirect_uri');
is($after->{url} . ' ' . $after->{body}, "$site/page /page of alice", 'another port, its page');
is(verdict(0), "ok $site/oidc_callback", 'another port, the token request');

# Sessions are independent of the protocol.

$op->clear;
($before, $after) = browse('app.example.com:1',
    { goto => "$site/page" },
    { goto => "$site/page", until => 'h3' },
);

is($before->{body}, '/page of alice', 'a login by HTTP/2');
is(hops_of($after), 'h3 200 /page', 'its session by HTTP/3');
is($after->{body}, '/page of alice', 'its session by HTTP/3: the page');
is($op->count('/token'), 1, 'its session by HTTP/3: no other login');

###############################################################################

my $profiles = 0;

sub browse {
    my ($force, @steps) = @_;

    my $what = to_json({ directory => $t->testdir . '/profile-' . ++$profiles, host => 'app.example.com',
        force => $force, key => $key, steps => \@steps });
    open(my $output, '-|', 'node', "$FindBin::Bin/../http3/chromium.mjs", $what) or die "node: $!";
    local $/;
    my $seen = <$output>;
    close $output;

    log_in($seen);
    return @{ from_json($seen || '[]') };
}

# The navigation to a page: protocol, status and path of each hop.
sub hops_of {
    my ($seen) = @_;

    return join ', ', (map { "$_->{protocol} $_->{status} " . $_->{url} =~ s{^https?://[^/]*|\?.*}{}gr }
        @{ $seen->{hops} }), $seen->{error} // ();
}

sub redirect_uri { return query($_[0]{hops}[0]{location})->{redirect_uri} }

# The provider's verdict on a token request, and the redirect_uri in it.
sub verdict {
    my ($n) = @_;

    my $request = ($op->requests('/token'))[$n];
    return ($request->{verdict} // 'none') . ' ' . ($request->{params}{redirect_uri} // '');
}

# Forwards UDP from one port to another, and back; each client has its own port towards nginx.
sub map_port {
    my ($from, $to) = @_;

    my $listen = IO::Socket::INET->new(Proto => 'udp', LocalAddr => "127.0.0.1:$from") or die "udp: $!";
    $t->run_daemon(sub {
        my ($all, %client_of, %hops_of) = (IO::Select->new($listen));
        while (my @ready = $all->can_read) {
            for my $socket (@ready) {
                my $client = recv $socket, my $bytes, 65536, 0;
                next if !defined $client;    # an ICMP error
                if ($socket != $listen) {
                    send $listen, $bytes, 0, $client_of{$socket};
                    next;
                }
                if (!$hops_of{$client}) {
                    $hops_of{$client} = IO::Socket::INET->new(Proto => 'udp', PeerAddr => "127.0.0.1:$to")
                        or next;
                    $client_of{ $hops_of{$client} } = $client;
                    $all->add($hops_of{$client});
                }
                send $hops_of{$client}, $bytes, 0;
            }
        }
    });
}

# The SHA-256 of a certificate's key, as browsers expect it.
sub digest_of_key {
    my ($file) = @_;

    my $der = `openssl x509 -in $file -pubkey -noout | openssl pkey -pubin -outform der`;
    my $digest = sha256_base64($der);
    return $digest . '=' x (-length($digest) % 4);
}

###############################################################################
