package Test::OIDC::Site;

# The parts of nginx.conf that tests share, so that a test writes only its own, and a site with a page for
# each oidc_provider.
#
#   http_conf(@blocks)                      an nginx.conf with these blocks in http
#   main_conf($directives, @blocks)         the same, with directives in the main context
#   nginx_conf(@blocks)                     the same as http_conf, without debug messages and oidc_limit
#   oidc_provider($name, $directives, %changes)    an oidc_provider block: a client of the provider at port
#                                           8081, with callback and cookie of its own name; issuer => '...'
#                                           replaces a default, client_secret => undef omits it. A slow
#                                           machine stays within its timeouts
#   default_provider($name, $directives, %changes)    the same, with the module's default callback and cookie
#   site($body, $directives)                a server at port 8080: every page needs a login with the
#                                           oidc_provider named by ?op= and returns this body. The
#                                           directives are added to the server
#   page_of($name)                          a page that needs a login with that oidc_provider
#   outcome($answer)                        its status, and $oidc_error if set
#   asked_by($op, $name, %knobs)            a login with that oidc_provider: its outcome, the token
#                                           request that the provider got, the whole answer

use warnings;
use strict;

use Test::OIDC qw/ login /;
use Test::OIDC::Wait qw/ MAX_WAIT /;

our @EXPORT = qw/
    asked_by default_provider http_conf main_conf nginx_conf oidc_provider outcome page_of site
/;
use base qw/ Exporter /;

sub main_conf {
    my ($directives, @blocks) = @_;

    my $blocks = join "\n", @blocks;
    return <<"EOF";

%%TEST_GLOBALS%%

daemon off;
$directives
events {
}

http {
    %%TEST_GLOBALS_HTTP%%

$blocks
}

EOF
}

sub http_conf { return main_conf('', @_) }

sub nginx_conf { return http_conf(<<'EOF', @_) }
    error_log %%TESTDIR%%/error.log info;
    oidc_limit off;
EOF

sub oidc_provider {
    my ($name, $directives, %changes) = @_;

    return default_provider($name, $directives, cookie_name => $name, redirect_uri => "/callback/$name", %changes);
}

sub default_provider {
    my ($name, $directives, %changes) = @_;

    my %value = (
        issuer => 'http://127.0.0.1:8081',
        client_id => 'client',
        client_secret => 'secret-of-at-least-thirty-two-bytes',
        %changes,
    );
    for my $timeout (qw/ connect_timeout read_timeout /) {
        $value{$timeout} //= MAX_WAIT . 's' unless ($directives // '') =~ /\b$timeout\b/;
    }
    my @lines = map { "$_ $value{$_};" } grep { defined $value{$_} } sort keys %value;
    push @lines, "$directives;" if length($directives // '');

    return join("\n        ", "    oidc_provider $name {", @lines) . "\n    }\n";
}

sub site {
    my ($body, $directives) = @_;

    $directives //= '';
    return <<"EOF";
    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        add_header X-Error \$oidc_error always;

        location / {
            auth_oidc  \$arg_op;
            proxy_pass http://127.0.0.1:8080/app;
        }

        location /app {
            return 200 "$body";
        }

$directives
    }
EOF
}

sub page_of { return "/?op=$_[0]" }

sub outcome {
    my ($answer) = @_;

    return join ' ', $answer->{status}, grep { defined } $answer->{headers}{'x-error'};
}

sub asked_by {
    my ($op, $name, %knobs) = @_;

    $op->reset->clear->set(%knobs);
    my $answer = login(page_of($name));
    my ($request) = $op->requests('/token');
    return (outcome($answer), $request, $answer);
}

1;
