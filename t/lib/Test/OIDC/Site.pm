package Test::OIDC::Site;

# The site of a test that has many an oidc_provider and one server: what stands the same in every
# nginx.conf of that kind, so that a test writes down only what is its own.
#
#   nginx_conf(@blocks)                     an nginx.conf whose http block holds these, and where one client
#                                           may fail as often as a test does
#   oidc_provider($name, $directives, %changes)    a client of the provider at port 8081, with callback
#                                           and cookie by its name; issuer => '...' and the like replace
#                                           what is usual, client_secret => undef leaves it out
#   site($body, $directives)                a server at port 8080: every page needs a login with the
#                                           oidc_provider that ?op= names, and then has this body. The
#                                           directives are further ones of the server
#   page_of($name)                          a page that needs a login with that oidc_provider
#   outcome($answer)                        its status, and $oidc_error where there is one
#   asked_by($op, $name, %knobs)            a login with that oidc_provider: its outcome, the token
#                                           request that the provider got, the whole answer

use warnings;
use strict;

use Test::OIDC;

our @EXPORT = qw/ asked_by nginx_conf oidc_provider outcome page_of site /;
use base qw/ Exporter /;

sub nginx_conf {
    my (@blocks) = @_;

    my $blocks = join "\n", @blocks;
    return <<"EOF";

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    error_log %%TESTDIR%%/error.log info;
    oidc_limit off;

$blocks
}

EOF
}

sub oidc_provider {
    my ($name, $directives, %changes) = @_;

    my %usual = (
        issuer => 'http://127.0.0.1:8081',
        client_id => 'client',
        client_secret => 'secret-of-at-least-thirty-two-bytes',
        cookie_name => $name,
        redirect_uri => "/callback/$name",
        %changes,
    );
    my @lines = map { "$_ $usual{$_};" } grep { defined $usual{$_} } sort keys %usual;
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
