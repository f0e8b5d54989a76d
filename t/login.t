#!/usr/bin/perl

# Tests for a login from end to end: the gate, the callback, the session.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::OIDC;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(4);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    log_format user '$status $oidc_claim_sub $request_uri';
    access_log %%TESTDIR%%/user.log user;

    oidc_provider my_idp {
        issuer        "http://127.0.0.1:8081";
        client_id     "client";
        client_secret "secret-of-at-least-thirty-two-bytes";
    }

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            auth_oidc my_idp;

            proxy_set_header username $oidc_claim_sub;
            proxy_pass       http://127.0.0.1:8080/open/;
        }

        location /open/ {
            return 200 "user=$http_username uri=$request_uri";
        }
    }
}

EOF

$t->run();

my $res = login('/page?a=b');
is($res->{status}, 200, 'logged in');
like($res->{body}, qr/user=alice/, 'the application knows the user');
is($op->count('/token'), 1, 'one token request');
is($res->{browser}->get('/other')->{status}, 200, 'second page');
