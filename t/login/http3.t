#!/usr/bin/perl

# Tests for HTTP/3, for an nginx that has it ("make http3"). Requests name their host in :authority alone,
# authority_of port may differ from the port that nginx listens on.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site qw/ default_provider http_conf oidc_provider /;

my $t = Test::Nginx->new()->has(qw/http http_ssl http_v3 proxy rewrite socket_ssl/)->has_daemon('gtlsclient');

certificate_authority($t, 'ca')->issue('site');
provider($t, 8081);
my $port = port(8443, udp => 1);

$t->write_file_expand('nginx.conf', http_conf(
    default_provider('my_idp', 'logout_uri /logout; post_logout_uri /bye'),
    oidc_provider('based', '', redirect_uri => '/based'),
    <<'EOF'));
    error_log %%TESTDIR%%/error.log info;

    add_header X-Protocol "$http3 $server_protocol" always;

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
EOF

# The authority, and the expected authority in redirect_uri, or "caught" by the default server.
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
    is(authority_of(response_to("https://$authority/page")), $expected, "HTTP/3, https://$authority");
}

my $answer = response_to('https://app.example.com:9443/page');
is("$answer->{':status'} $answer->{'x-protocol'}", '302 h3 HTTP/3.0', 'the protocol is HTTP/3');

my $redirect_uri = query(response_to('https://app.example.com:9443/elsewhere')->{location})->{redirect_uri};
is($redirect_uri, 'https://www.example.com/based', 'oidc_base_url takes precedence');

###############################################################################

# The response headers. The client connects to nginx's port, whatever the URL says, and sends "localhost" as
# the name in TLS.
sub response_to {
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

sub authority_of {
    my ($answer) = @_;

    my $status = $answer->{':status'} // return 'caught';
    return $status if $status != 302;
    my $uri = query($answer->{location})->{redirect_uri} // '';
    return lc($uri =~ m{^https://([^/]*)/oidc_callback$} ? $1 : 'nobody');
}

###############################################################################
