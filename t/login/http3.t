#!/usr/bin/perl

# Tests for HTTP/3, for an nginx that has it ("make http3"). Its requests name their host by :authority
# alone, and the port in there need not be the one that nginx listens at.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl http_v3 proxy rewrite socket_ssl/)->has_daemon('gtlsclient');

certificate_authority($t, 'ca')->issue('site');
provider($t, 8081);
my $port = port(8443, udp => 1);

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    error_log %%TESTDIR%%/error.log info;

    add_header X-Protocol "$http3 $server_protocol" always;

    oidc_provider my_idp {
        issuer          http://127.0.0.1:8081;
        client_id       client;
        client_secret   secret-of-at-least-thirty-two-bytes;
        logout_uri      /logout;
        post_logout_uri /bye;
    }

    oidc_provider based {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        redirect_uri  /based;
        cookie_name   based;
    }

    server {
        listen 127.0.0.1:%%PORT_8443_UDP%% quic default_server;
        ssl_reject_handshake on;
        return 444;
    }

    server {
        listen      127.0.0.1:%%PORT_8443_UDP%% quic;
        server_name app.example.com [::1] localhost;
        auth_oidc   my_idp;

        ssl_certificate     %%TESTDIR%%/site.crt;
        ssl_certificate_key %%TESTDIR%%/site.key;

        location /elsewhere {
            auth_oidc     based;
            oidc_base_url https://www.example.com;
        }
    }
}

EOF

# The authority, and whose login it is.
my @requests = (
    ["app.example.com:$port", "app.example.com:$port"],
    ['app.example.com:9443', 'app.example.com:9443'],
    ['app.example.com', 'app.example.com'],
    ['APP.example.com:9443', 'app.example.com:9443'],
    ['[::1]:9443', '[::1]:9443'],
    ['[::1]', '[::1]'],
    ['attacker.example', 'caught'],
    ["attacker.example:$port", 'caught'],
);

$t->plan(@requests + 2);
$t->run();

for my $case (@requests) {
    my ($authority, $expected) = @$case;
    is(whose(asked("https://$authority/page")), $expected, "HTTP/3, https://$authority");
}

my $answer = asked('https://app.example.com:9443/page');
is("$answer->{':status'} $answer->{'x-protocol'}", '302 h3 HTTP/3.0', 'by HTTP/3');

my $place = query(asked('https://app.example.com:9443/elsewhere')->{location})->{redirect_uri};
is($place, 'https://www.example.com/based', 'oidc_base_url goes first');

###############################################################################

# The headers of the answer. The client speaks to nginx's port, whatever the URL says, and names in TLS
# "localhost".
sub asked {
    my ($url) = @_;

    my @command = ('gtlsclient', '--no-quic-dump', '--no-http-dump', '--exit-on-all-streams-close',
        '--timeout=20s', '127.0.0.1', $port, $url);
    open(my $output, '-|', "@{[ map { quotemeta } @command ]} 2>&1") or die "gtlsclient: $!";
    local $/;
    my $said = <$output> // '';
    close $output;

    return { ':status' => 'no handshake' } if $said !~ /QUIC handshake has completed/;
    my ($received) = $said =~ /response headers started(.*)/s or return {};
    return { $received =~ /^http: stream 0x0 \[(:?[\w-]+): (.*)\]$/mg };
}

sub whose {
    my ($answer) = @_;

    my $status = $answer->{':status'} // return 'caught';
    return $status if $status != 302;
    my $uri = query($answer->{location})->{redirect_uri} // '';
    return lc($uri =~ m{^https://([^/]*)/oidc_callback$} ? $1 : 'nobody');
}

###############################################################################
