#!/usr/bin/perl

# Tests for the variables: their values for claims, tokens and sessions, and where in a configuration they can be used.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site qw/ http_conf /;
use Test::OIDC::Wait qw/ reload /;

my $t = Test::Nginx->new()->has(qw/http map proxy rewrite ssi auth_request mirror/)->plan(100);

my $op = provider($t, 8081);

# The name after $oidc_claim_, the JSON of the claim, the value of the variable (undef: not found)
my @claims = (
    ['text', '"text":"plain text"', 'plain text'],
    ['empty', '"empty":""', undef],
    ['integer', '"integer":42', '42'],
    ['zero', '"zero":0', '0'],
    ['negative', '"negative":-7', '-7'],
    ['large', '"large":9007199254740993', '9007199254740993'],
    ['fraction', '"fraction":0.1', '0.1'],
    ['yes', '"yes":true', 'true'],
    ['no', '"no":false', 'false'],
    ['nothing', '"nothing":null', undef],
    ['list', '"list":["a","b c",3,true]', 'a,b c,3,true'],
    ['single', '"single":["a"]', 'a'],
    ['none', '"none":[]', undef],
    ['nested', '"nested":[["a"],"b"]', '[["a"],"b"]'],
    ['objects', '"objects":[{"a":1}]', '[{"a":1}]'],
    ['object', '"object":{"a":{"b":[1,2]}}', '{"a":{"b":[1,2]}}'],
    ['unicode', '"unicode":"J\u00fcrgen \ud83d\ude00"', "J\xc3\xbcrgen \xf0\x9f\x98\x80"],
    ['utf8', "\"utf8\":\"J\xc3\xbcrgen\"", "J\xc3\xbcrgen"],
    ['quotes', '"quotes":"a\"b\\\\c\/d"', 'a"b\c/d'],
    ['percent', '"percent":"%0d%0a$http_host"', '%0d%0a$http_host'],
    ['line_break', '"line_break":"a\nX-Evil: 1"', undef],
    ['return', '"return":"a\rb"', undef],
    ['tab', '"tab":"a\tb"', undef],
    ['delete', '"delete":"a\u007fb"', undef],
    ['in_list', '"in_list":["a","b\nc"]', 'a,b%0Ac'],
    ['commas', '"commas":["users","CN=x,admin,OU=y","100%"]', 'users,CN=x%2Cadmin%2COU=y,100%25'],
    ['in_nested', '"in_nested":[["x,admin"]]', '[["x\u002cadmin"]]'],
    ['in_name', '"in_name":{"x,y":"z"}', '{"x\u002cy":"z"}'],
    ['in_object', '"in_object":{"a":"b\nc"}', '{"a":"b\nc"}'],
    ['username', '"userName":"in camel case"', 'in camel case'],
    ['UPPER', '"UPPER":"in capitals"', 'in capitals'],
    ['exact', '"EXACT":"capitals","exact":"exact"', 'exact'],
    ['twofold', '"Twofold":"a","TWOFOLD":"b"', undef],
    ['2fa', '"2fa":"digits"', 'digits'],
    ['x509_v3', '"x509_v3":"digits"', 'digits'],
    ['_', '"_":"underscore"', 'underscore'],
    ['absent', '"other":"here"', undef],
);

my $sent = join "\n", map { "proxy_set_header X-C-$_ \${oidc_claim_$claims[$_][0]};" } 0 .. $#claims;
my $shown = join '', map { "$_=\$http_x_c_$_\n" } 0 .. $#claims;

$t->write_file_expand('nginx.conf', http_conf(<<'EOF' =~ s/%%SENT%%/$sent/r =~ s/%%SHOWN%%/$shown/r));
    map $oidc_claim_sub $role {
        alice   admin;
        default nobody;
    }

    map $oidc_claim_groups $by_group {
        "~(^|,)admin(,|$)" admin;
        default            nobody;
    }

    map $oidc_authenticated $logged_in {
        1       1;
        default 0;
    }

    log_format user '$uri $status user=$oidc_claim_sub role=$role auth=$oidc_authenticated '
                    'provider=$oidc_provider session=$oidc_session_id error=$oidc_error '
                    'description="$oidc_error_description"';
    log_format mirror 'user=$http_x_user';
    access_log %%TESTDIR%%/user.log user;
    access_log %%TESTDIR%%/logged_in.log user if=$logged_in;

    oidc_provider idp {
        issuer         "http://127.0.0.1:8081";
        client_id      "client";
        client_secret  "secret-of-at-least-thirty-two-bytes";
        session_claims auto department;
    }

    oidc_provider other {
        issuer        "http://127.0.0.1:8081";
        client_id     "client";
        client_secret "secret-of-at-least-thirty-two-bytes";
        redirect_uri  /other_callback;
        cookie_name   other;
    }

    server {
        listen      127.0.0.1:8080;
        server_name localhost;

        error_page 400 403 /failed;

        location / {
            auth_oidc idp;
            %%SENT%%
            proxy_pass http://127.0.0.1:8083/claims;
        }

        location /session {
            auth_oidc idp;

            add_header X-Authenticated  "$oidc_authenticated" always;
            add_header X-Provider       "$oidc_provider" always;
            add_header X-Session-Id     "$oidc_session_id" always;
            add_header X-Expires        "$oidc_session_expires" always;
            add_header X-Access-Expires "$oidc_access_token_expires" always;
            add_header X-Auth-Time      "$oidc_auth_time" always;
            add_header X-Userinfo       "<$oidc_userinfo>" always;
            add_header X-Error          "<$oidc_error$oidc_error_description>" always;
        }

        location /tokens {
            auth_oidc idp;

            proxy_set_header X-Id-Token     $oidc_id_token;
            proxy_set_header X-Access-Token $oidc_access_token;
            proxy_pass http://127.0.0.1:8083;
        }

        location /map {
            auth_oidc idp;
            proxy_set_header X-User $role;
            proxy_pass http://127.0.0.1:8083/user;
        }

        location /by_group {
            auth_oidc idp;
            proxy_set_header X-User $by_group;
            proxy_pass http://127.0.0.1:8083/user;
        }

        location /set {
            auth_oidc idp;
            set $copy $oidc_claim_sub;
            proxy_set_header X-User $copy;
            proxy_pass http://127.0.0.1:8083/user;
        }

        location /if {
            auth_oidc idp;
            if ($oidc_claim_sub = alice) {
                rewrite ^ /if_alice last;
            }
            proxy_set_header X-User nobody;
            proxy_pass http://127.0.0.1:8083/user;
        }

        location = /if_alice {
            auth_oidc idp;
            proxy_set_header X-User if_$oidc_claim_sub;
            proxy_pass http://127.0.0.1:8083/user;
        }

        location /if_header {
            auth_oidc idp;
            if ($oidc_claim_sub = alice) {
                add_header X-If-User $oidc_claim_sub;
            }
        }

        location /ssi/ {
            auth_oidc idp;
            ssi on;
        }

        location /part {
            auth_oidc idp;
            proxy_set_header X-User $oidc_claim_sub;
            proxy_pass http://127.0.0.1:8083/user;
        }

        location /open_part {
            proxy_set_header X-User "in $oidc_claim_sub";
            proxy_pass http://127.0.0.1:8083/user;
        }

        location /checked {
            auth_oidc    idp;
            auth_request /check;
            auth_request_set $checked $upstream_http_x_user;

            add_header X-Checked $checked;
        }

        location /check {
            internal;
            auth_oidc idp;
            proxy_set_header X-User $oidc_claim_sub;
            proxy_pass http://127.0.0.1:8083/user;
        }

        location /mirrored {
            auth_oidc idp;
            mirror /mirror;
            proxy_pass http://127.0.0.1:8083/user;
        }

        location /mirror {
            internal;
            auth_oidc idp;
            proxy_set_header X-User $oidc_claim_sub;
            proxy_pass http://127.0.0.1:8083/mirror;
        }

        location /index/ {
            auth_oidc idp;
            add_header X-User "index $oidc_claim_sub";
        }

        location /try {
            auth_oidc idp;
            try_files /absent @named;
        }

        location @named {
            proxy_set_header X-User "named $oidc_claim_sub";
            proxy_pass http://127.0.0.1:8083;
        }

        location /absent {
            auth_oidc idp;
            error_page 404 /not_found;
            root %%TESTDIR%%/nowhere;
        }

        location /not_found {
            proxy_set_header X-User "not found $oidc_claim_sub";
            proxy_pass http://127.0.0.1:8083/user;
        }

        location /failed {
            internal;
            add_header X-Error "$oidc_error" always;
            add_header X-Description "$oidc_error_description" always;
            proxy_pass http://127.0.0.1:8083/user;
        }

        location /verify {
            auth_oidc      idp;
            auth_oidc_mode verify;
            add_header X-Authenticated $oidc_authenticated;
            add_header X-Provider $oidc_provider;
        }

        location /open {
            add_header X-Open "$oidc_authenticated<$oidc_claim_sub>$oidc_provider";
        }

        location /other {
            auth_oidc other;
            add_header X-Provider $oidc_provider;
            add_header X-User $oidc_claim_sub;
        }

        location /other_verify {
            auth_oidc other;
            auth_oidc_mode verify;
            add_header X-Provider "$oidc_provider <$oidc_claim_sub>";
        }
    }

    server {
        listen 127.0.0.1:8083;

        access_log %%TESTDIR%%/backend.log user;

        location /claims {
            return 200 "%%SHOWN%%";
        }

        location /tokens {
            return 200 "$http_x_id_token $http_x_access_token";
        }

        location / {
            add_header X-User $http_x_user;
            return 200 "user=$http_x_user";
        }

        location /mirror {
            access_log %%TESTDIR%%/mirror.log mirror;
            return 200;
        }
    }
EOF

$t->write_file($_, 'page') for qw/ session verify open other other_verify if_header checked /;
mkdir $t->testdir . "/$_" for qw/ ssi index /;
$t->write_file('index/index.html', 'page');
$t->write_file('ssi/echo.html', '<!--#echo var="oidc_claim_sub" -->,<!--#echo var="oidc_claim_department" -->,'
    . '<!--#echo var="oidc_claim_phone" -->');
$t->write_file('ssi/include.html', '<!--#include virtual="/part" --> <!--#include virtual="/open_part" -->');
$t->run();

# Claims

my $json = join ',', '{%%*%%', map { $_->[1] } @claims;
$op->set(id_token => { claims_json => "$json}" });

my $res = login('/page?a=b');
my $browser = $res->{browser};
my %got = $res->{body} =~ /^(\d+)=(.*)$/mg;

for my $i (0 .. $#claims) {
    my ($name, $text, $value) = @{ $claims[$i] };
    is($got{$i}, $value // '', "$name of {$text}");
}

# A group name that contains other group names does not match them.
for my $case (
    ['["users","admin"]', 'admin'],
    ['["admin"]', 'admin'],
    ['["users","CN=x,admin,OU=y"]', 'nobody'],
    ['["users",",admin"]', 'nobody'],
    ['["users%2Cadmin"]', 'nobody'],
    ['["users\u002cadmin"]', 'nobody'],
    ['[["users,admin"]]', 'nobody'],
    ['["users",{"a,admin,":",admin,"}]', 'nobody'],
    ['{"x":"\\\\",",admin,":"\\","}', 'nobody'],
) {
    my ($groups, $is) = @$case;

    $op->set(id_token => { claims_json => "{%%*%%,\"groups\":$groups}" });
    is(login('/by_group')->{body}, "user=$is", "groups $groups in a map");
}

unlike($browser->get('/')->{head}, qr/X-Evil/i, 'a claim cannot add a response header');

$op->set(id_token => { claims_json => '{%%*%%,"text":"a\u0000b"}' });
$res = login('/page');
is($res->{status}, 403, 'a NUL in a claim: the login fails');
ok(!defined $res->{browser}->cookie('NGX_OIDC_SESSION'), 'a NUL in a claim: no session cookie is set');
$op->reset;

# Session variables

my $before = time;
$browser = login('/session')->{browser};
my $headers = $browser->get('/session')->{headers};
is($headers->{'x-authenticated'}, '1', '$oidc_authenticated');
is($headers->{'x-provider'}, 'idp', '$oidc_provider');
near($headers->{'x-expires'}, $before + 8 * 3600, '$oidc_session_expires');
near($headers->{'x-access-expires'}, $before + 3600, '$oidc_access_token_expires');
near($headers->{'x-auth-time'}, $before, '$oidc_auth_time');
is($headers->{'x-userinfo'}, '<>', '$oidc_userinfo is empty');
is($headers->{'x-error'}, '<>', '$oidc_error is empty');

my $id = $headers->{'x-session-id'};
like($id, qr/^[\w-]{22}$/, '$oidc_session_id');
is($browser->get('/session')->{headers}{'x-session-id'}, $id, '$oidc_session_id is the same for the next request');
isnt(login('/session')->{headers}{'x-session-id'}, $id, '$oidc_session_id differs in another session');
is(index($browser->cookie('NGX_OIDC_SESSION'), $id), -1, '$oidc_session_id is not part of the cookie');

$op->set(id_token => { claims => { auth_time => undef } }, token => { expires_in => undef });
$headers = login('/session')->{headers};
ok(!exists $headers->{'x-auth-time'}, '$oidc_auth_time is empty without auth_time');
ok(!exists $headers->{'x-access-expires'}, '$oidc_access_token_expires is empty without expires_in');

$before = time;
$op->set(id_token => { claims => { auth_time => "$before" } }, token => { expires_in => '3600' });
$headers = login('/session')->{headers};
near($headers->{'x-auth-time'}, $before, '$oidc_auth_time of digits in a string');
near($headers->{'x-access-expires'}, $before + 3600, '$oidc_access_token_expires of digits in a string');
$op->reset;

# Tokens

$op->set(access_token => 'an.access~token');
$res = login('/tokens');
my ($id_token, $access_token) = split / /, $res->{body};
is(jwt_decode($id_token)->{claims}{sub}, 'alice', '$oidc_id_token');
is($access_token, 'an.access~token', '$oidc_access_token');
is($res->{browser}->get('/tokens')->{body}, $res->{body}, 'tokens are kept in the session');
$op->reset;

# Where variables can be used

$browser = browser();
$browser->login('/session');
is($browser->get('/map')->{body}, 'user=admin', 'in map');
is($browser->get('/set')->{body}, 'user=alice', 'in set');
is($browser->get('/if')->{body}, 'user=if_alice', 'in if with rewrite');
is($browser->get('/if_header')->{headers}{'x-if-user'}, 'alice', 'in add_header inside if');
is($browser->get('/ssi/echo.html')->{body}, 'alice,(none),(none)', 'in SSI, absent claims');

$op->set(user => { sub => 'alice', department => 'sales', phone => '1' });
my $clerk = login('/ssi/echo.html')->{browser};
is($clerk->get('/ssi/echo.html')->{body}, 'alice,sales,(none)',
    'in SSI, a claim named by session_claims and one not used');
$op->reset;

is($browser->get('/verify')->{headers}{'x-authenticated'}, '1', 'verify, logged in');
is(browser()->get('/verify')->{headers}{'x-authenticated'}, '0', 'verify, anonymous');
is(browser()->get('/verify')->{headers}{'x-provider'}, undef, 'verify, anonymous, $oidc_provider');
is($browser->get('/open')->{headers}{'x-open'}, '0<>', 'open, logged in');

# Another provider's session

is($browser->get('/other_verify')->{headers}{'x-provider'}, '<>',
    'the session of one provider does not show for another');
$op->set(user => { sub => 'bob' });
is($browser->login('/other')->{headers}{'x-user'}, 'bob', 'a second provider: login');
is($browser->get('/other')->{headers}{'x-provider'}, 'other', 'a second provider: $oidc_provider');
is($browser->get('/set')->{body}, 'user=alice', 'a second provider: the session of the first one continues');
$op->reset;

# Redirects and subrequests

is($browser->get('/index/')->{headers}{'x-user'}, 'index alice', 'after a redirect to an index');
is($browser->get('/try')->{body}, 'user=named alice', 'in a named location');
is($browser->get('/absent')->{body}, 'user=not found alice', 'in the location of an error_page');
is($browser->get('/ssi/include.html')->{body}, 'user=alice user=in alice', 'in an SSI include');
is($browser->get('/checked')->{headers}{'x-checked'}, 'alice', 'in an auth_request');
is($browser->get('/mirrored')->{status}, 200, 'beside a mirror');
is(line_of($t, 'mirror.log', qr/^/), 'user=alice', 'in a mirror');

# Logs

like(line_of($t, 'user.log', qr/^\/index\/index.html /),
    qr/ 200 user=alice role=admin auth=1 provider=idp session=[\w-]{22} error=- /, 'in the access log');
my @callbacks = lines_of($t, 'user.log', qr/^\/oidc_callback 302 /);
like($callbacks[-1], qr/ user=alice role=admin auth=1 provider=idp session=[\w-]{22} /,
    'in the access log, of the callback itself');

browser()->get('/map');
like(line_of($t, 'user.log', qr/^\/map 302 /), qr/ user=- role=nobody auth=0 provider=idp session=- error=- /,
    'in the access log, of a redirect to the provider');
is(scalar(grep { !/ auth=1 / } lines_of($t, 'logged_in.log', qr/./)), 0, 'in access_log if=');

# Failures

$op->set(error => 'access_denied', callback => { error_description => 'Not "you"' });
$res = login('/page');
is($res->{status}, 403, 'failure');
is($res->{headers}{'x-error'}, 'provider_access_denied', '$oidc_error in the location of error_page');
like($res->{headers}{'x-description'}, qr/^provider returned error "access_denied"/,
    '$oidc_error_description in the location of error_page');
like(line_of($t, 'user.log', qr/error=provider_/),
    qr/^\/failed 403 user=- .* error=provider_access_denied description="provider returned error /,
    'both in the access log');
$op->reset;

# Tokens are kept only if something uses them.

my $large = length login('/session')->{browser}->cookie('NGX_OIDC_SESSION');
my $conf = $t->read_file('nginx.conf');
$conf =~ s/ \$oidc_(?:id|access)_token;/ none;/g;
$t->write_file('nginx.conf', $conf);
reload($t);

$res = login('/session');
my $small = length $res->{browser}->cookie('NGX_OIDC_SESSION');
cmp_ok($small, '<', 800, 'a session cookie with dozens of claims is small');
cmp_ok($large - $small, '>', 700, 'tokens are kept only if something uses them');

$conf =~ s/ none;/ \$oidc_id_token;/;
$t->write_file('nginx.conf', $conf);
reload($t);

my $again = $res->{browser}->get('/session');
is($again->{status}, 302, 'a session without what the configuration now uses: a new login is needed');
is($res->{browser}->login('/tokens')->{body} =~ /^[\w-]+\.[\w-]+\.[\w-]+ /, 1,
    'a session without what the configuration now uses: the new login provides it');

# ------------------------------------------------------------------------------------------------------

sub near {
    my ($got, $expected, $name) = @_;

    ok(defined $got && $got =~ /^\d+$/ && $got >= $expected && $got <= $expected + MAX_WAIT, $name)
        or diag($got // 'undef', " is not about $expected");
}

# Lines of a log of nginx, which may be written after the response
sub lines_of {
    my ($t, $file, $re) = @_;

    my @lines;
    wait_until(sub { @lines = grep { /$re/ } split /\n/, $t->read_file($file) });
    return @lines;
}

sub line_of { return (lines_of(@_))[0] // '' }
