#!/usr/bin/perl

# Tests for auth_oidc_require and oidc_claim_set: which users a location lets in, and which claims a variable shows.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site;
use Test::OIDC::Wait qw/ reload /;

my $t = Test::Nginx->new()->has(qw/http access auth_request map proxy rewrite/)->plan(99);

my $op = provider($t, 8081);

# The arguments after the variable, the JSON of the claims, the value
my @claims = (
    ['realm_access roles', '"realm_access":{"roles":["user","admin"]}', 'user,admin'],
    ['address postal_code', '"address":{"postal_code":"10115"}', '10115'],
    ['a b c d', '"a":{"b":{"c":{"d":7}}}', '7'],
    ['a b', '"a":{"b":{"c":"x,y"}}', '{"c":"x\u002cy"}'],
    ['groups', '"groups":["a","b,c"]', 'a,b%2Cc'],
    ['cognito:groups', '"cognito:groups":["a"]', 'a'],
    ['https://example.com/roles', '"https://example.com/roles":["a"]', 'a'],
    ['"job title"', '"job title":"clerk"', 'clerk'],
    ['Groups', '"groups":["lower"],"Groups":["upper"]', 'upper'],
    ['Groups', '"groups":["lower"]', ''],
    ['realm_access Roles', '"realm_access":{"roles":["user"]}', ''],
    ['realm_access roles', '"realm_access":{"roles":[]}', ''],
    ['realm_access roles', '"realm_access":{"roles":null}', ''],
    ['realm_access roles', '"realm_access":{"roles":"a\nb"}', ''],
    ['realm_access roles', '"realm_access":"{\"roles\":[\"admin\"]}"', ''],
    ['realm_access roles', '"realm_access":["{\"roles\":[\"admin\"]}"]', ''],
    ['realm_access roles', '"realm_access":[{"roles":["admin"]}]', ''],
    ['realm_access roles', '"roles":["admin"]', ''],
);

configure($t);
$t->run();

# Claims

for my $n (0 .. $#claims) {
    my ($path, $json, $value) = @{ $claims[$n] };

    $op->set(id_token => { claims_json => "{%%*%%,$json}" });
    is(login('/claims')->{headers}{"x-$n"} // '', $value, "oidc_claim_set $path of {$json}");
}
$op->reset;

$op->set(userinfo => { claims => { realm_access => { roles => ['info'] } } });
is(login('/info')->{headers}{'x-0'}, 'info', 'a nested claim of user info');
$op->set(id_token => { claims_json => '{%%*%%,"realm_access":{"roles":["token"]}}' });
is(login('/info')->{headers}{'x-0'}, 'token', 'a nested claim of both: that of the ID token');
$op->reset;

# Who is let in

my $user = logged_in('user');
my $admin = logged_in('user', 'admin');

for my $case (
    ['/admin', 302, 403, 200, 'require: without a session a login begins, with one the role decides'],
    ['/wrong', 302, 403, 403, 'a value that is never true'],
    ['/zero', 302, 403, 403, 'a value of 0'],
    ['/hidden', 302, 404, 200, 'error=404'],
    ['/broken', 302, 503, 200, 'error=503'],
    ['/both', 302, 403, 403, 'two values: both are required'],
    ['/several', 302, 404, 403, 'several directives: the first that fails'],
    ['/either', 302, 200, 200, 'two variables in one value: one is enough'],
    ['/listed', 302, 200, 200, 'a list with a member'],
    ['/verify', 403, 403, 200, 'auth_oidc_mode verify: nobody is sent to the provider'],
    ['/open', 200, 200, 200, 'off'],
    ['/nested/', 302, 403, 200, 'inherited from server'],
    ['/nested/own', 302, 200, 200, 'a level with its own directive inherits none'],
    ['/address', 200, 200, 200, 'without auth_oidc: a true value'],
    ['/nobody', 403, 403, 403, 'without auth_oidc: a false value'],
    ['/subrequest', 302, 200, 200, 'a variable that auth_request sets'],
    ['/any', 302, 403, 200, 'satisfy any: a session is not enough'],
    ['/any_address', 200, 200, 200, 'satisfy any: an allowed address is enough'],
    ['/any_closed', 403, 403, 403, 'satisfy any: a true value alone is not enough'],
    ['/all_denied', 403, 403, 403, 'satisfy all: a denied address'],
) {
    my ($page, $nobody, $with_session, $with_role, $name) = @$case;

    is(browser()->get($page)->{status}, $nobody, "$name: no session");
    is($user->get($page)->{status}, $with_session, "$name: without the role");
    is($admin->get($page)->{status}, $with_role, "$name: with the role");
}

for my $case (['true', 200], ['1', 200], ['"yes"', 200], ['[false,true]', 200], ['false', 403], ['"false"', 403],
    ['0', 403], ['""', 403], ['null', 403], ['[]', 403], ['[false,0]', 403])
{
    my ($json, $status) = @$case;

    $op->set(id_token => { claims_json => qq({%%*%%,"staff":$json}) });
    is(login('/staff')->{status}, $status, "a claim of $json");
}
$op->reset;

is($user->get('/limited')->{status}, 200, 'limit_except: a method that is not limited');
is($user->request('DELETE', '/limited')->{status}, 403, 'limit_except: a limited method, without the role');

# The response and the log

log_mark($t);
my $res = $user->get('/admin');
is($res->{headers}{'x-error'}, 'forbidden', '$oidc_error');
like($res->{headers}{'cache-control'}, qr/no-store/, 'no cache keeps the response');
ok(log_has($t, qr/\[error\].*oidc: "\$is_admin" of "auth_oidc_require" is empty, "0" or "false" while authorizing a request, provider "idp"/),
    'the log names the value and the provider');
is($user->get('/own_page')->{body}, 'forbidden', 'an error_page');

# A session keeps what oidc_claim_set names.

my $conf = $t->read_file('nginx.conf');
$conf =~ s/(oidc_claim_set \$roles) realm_access roles;/$1 resource_access app roles;/ or die;
$t->write_file('nginx.conf', $conf);
$op->set(id_token => { claims_json => '{%%*%%,"resource_access":{"app":{"roles":["admin"]}}}' });
reload($t);
is($admin->get('/admin')->{status}, 302, 'a session without the claim of the new configuration: a login begins');
is($admin->login('/admin')->{status}, 200, 'the login provides it');

# ------------------------------------------------------------------------------------------------------

sub logged_in {
    my (@roles) = @_;

    my $json = join ',', map { qq{"$_"} } @roles;
    $op->set(id_token => { claims_json => "{%%*%%,\"realm_access\":{\"roles\":[$json]}}" });
    my $browser = login('/claims')->{browser};
    $op->reset;
    return $browser;
}

sub configure {
    my ($t) = @_;

    my @set = map { "oidc_claim_set \$claim_$_ $claims[$_][0];" } 0 .. $#claims;
    my @shown = map { "add_header X-$_ \$claim_$_;" } 0 .. $#claims;

    $t->write_file_expand('nginx.conf', nginx_conf(oidc_provider('idp'), oidc_provider('info', 'userinfo on'),
        join("\n", @set), <<'EOF' =~ s/%%SHOWN%%/join "\n", @shown/ger));
    oidc_claim_set $roles realm_access roles;

    map $roles $is_admin {
        "~(^|,)admin(,|$)" 1;
    }

    map $roles $zero {
        default 0;
    }

    map $remote_addr $is_local {
        127.0.0.1 1;
    }

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        auth_oidc idp;
        auth_oidc_require $is_admin;
        root %%TESTDIR%%;
        add_header X-Error $oidc_error always;

        location /claims     { auth_oidc_require off; %%SHOWN%% }
        location /info       { auth_oidc info; auth_oidc_require off; %%SHOWN%% }
        location /admin      { auth_oidc_require $is_admin; }
        location /wrong      { auth_oidc_require $arg_none; }
        location /zero       { auth_oidc_require $zero; }
        location /hidden     { auth_oidc_require $is_admin error=404; }
        location /broken     { auth_oidc_require $is_admin error=503; }
        location /both       { auth_oidc_require $is_admin ${arg_none}; }
        location /several    { auth_oidc_require $is_admin error=404; auth_oidc_require $arg_none; }
        location /either     { auth_oidc_require "$is_admin$is_local"; }
        location /staff      { auth_oidc_require $oidc_claim_staff; }
        location /listed     { auth_oidc_require $roles; }
        location /verify     { auth_oidc_mode verify; }
        location /open       { auth_oidc off; auth_oidc_require off; }
        location /address    { auth_oidc off; auth_oidc_require $is_local; }
        location /nobody     { auth_oidc off; auth_oidc_require $arg_none; }

        location /nested/ {
            location /nested/own { auth_oidc_require $is_local; }
        }

        location /subrequest {
            auth_request      /check;
            auth_request_set  $checked $upstream_http_x_checked;
            auth_oidc_require $checked;
        }

        location /check {
            internal;
            proxy_pass http://127.0.0.1:8083;
        }

        location /any {
            satisfy any;
            deny    all;
        }

        location /any_address {
            satisfy any;
            allow   127.0.0.1;
            deny    all;
            auth_oidc_require $arg_none;
        }

        location /any_closed {
            satisfy any;
            deny    all;
            auth_oidc off;
            auth_oidc_require $is_local;
        }

        location /all_denied {
            deny    all;
        }

        location /limited {
            auth_oidc_require off;
            limit_except GET { auth_oidc_require $is_admin; }
        }

        location /own_page {
            error_page 403 = @forbidden;
        }

        location @forbidden {
            auth_oidc off;
            auth_oidc_require off;
            return 200 $oidc_error;
        }
    }

    server {
        listen 127.0.0.1:8083;
        add_header X-Checked 1;
        return 204;
    }
EOF
    $t->write_file($_, 'page') for qw/ claims info admin wrong zero hidden broken both several either staff listed verify
        open address nobody subrequest any any_address any_closed all_denied limited own_page /;
    mkdir $t->testdir . '/nested';
    $t->write_file("nested/$_", 'page') for qw/ own index.html /;
}
