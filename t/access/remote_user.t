#!/usr/bin/perl

# Tests for auth_oidc_remote_user: $remote_user is a claim of the session in logs, in parameters of FastCGI and in
# every phase. A client cannot forge it by an Authorization header where the directive applies.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Socket::INET ();

use Test::OIDC;
use Test::OIDC::Site;

use MIME::Base64 qw/ encode_base64 /;

# Pages: what a user with a session sees as $remote_user, and what a client without one that forges the user
# "admin". "-" is an empty value.
my @pages = (
    ['a page', '/page', 'alice', '302'],
    ['verify', '/verify', 'alice', '-'],
    ['another claim', '/email', 'alice@example.com', '302'],
    ['a claim that the session does not have', '/absent', '-', '302'],
    ['a claim whose name has a colon', '/colon', 'user-7', '302'],
    ['the name of a claim in capitals', '/capitals', 'alice@example.com', '302'],
    ['set in the rewrite phase', '/set', 'alice', '-'],
    ['a condition', '/if', 'alice', '-'],
    ['a map that is volatile', '/map', 'mapped alice', 'mapped'],
    ['try_files to a named location', '/named', 'alice', '302'],
    ['try_files to a named location without auth_oidc', '/elsewhere', 'alice', '302'],
    ['error_page to a location without auth_oidc', '/failed', 'alice', '302'],
    ['an index', '/index/', 'alice', '302'],
    ['a subrequest', '/ssi.html', 'alice alice', '302'],
    ['auth_oidc_remote_user off', '/own', 'admin', '302'],
    ['auth_oidc off', '/off', 'admin', 'admin'],
    ['auth_oidc_mode off', '/mode_off', 'admin', 'admin'],
    ['satisfy any', '/any', 'alice', '-'],
    ['set at server level', '/server_set', 'alice', '-'],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite ssi fastcgi auth_basic access/);
$t->plan(2 * @pages + 18);

my $op = provider($t, 8081, user => {
    sub => 'alice', email => 'alice@example.com', 'cognito:username' => 'user-7' });

my $admin = 'Basic ' . encode_base64('admin:secret', '');
$t->write_file('users', 'admin:{PLAIN}secret');
mkdir $t->testdir . '/index';
$t->write_file('index/index.html', '<!--#echo var="remote_user" default="-" -->');
$t->write_file('ssi.html', '<!--#echo var="remote_user" default="-" --> <!--#include virtual="/part" -->');
$t->write_file('part', '<!--#echo var="remote_user" default="-" -->');

$t->write_file_expand('nginx.conf', nginx_conf(
    oidc_provider('op', 'logout_uri /logout'),
    <<'EOF'));
    map $remote_user $mapped {
        volatile;
        default "mapped $remote_user";
    }

    map $remote_user $shown {
        volatile;
        ""      -;
        default $remote_user;
    }

    access_log %%TESTDIR%%/combined.log;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;
        root         %%TESTDIR%%;

        auth_oidc             op;
        auth_oidc_remote_user sub;

        set $early $remote_user;

        location /page     { proxy_set_header X-User $shown; proxy_pass http://127.0.0.1:8082; }
        location /verify   { auth_oidc_mode verify; proxy_set_header X-User $shown; proxy_pass http://127.0.0.1:8082; }
        location /email    {
            auth_oidc_remote_user email;
            proxy_set_header X-User $shown;
            proxy_pass http://127.0.0.1:8082;
        }
        location /absent   {
            auth_oidc_remote_user absent;
            proxy_set_header X-User $shown;
            proxy_pass http://127.0.0.1:8082;
        }
        location /colon    {
            auth_oidc_remote_user cognito:username;
            proxy_set_header X-User $shown;
            proxy_pass http://127.0.0.1:8082;
        }
        location /capitals {
            auth_oidc_remote_user EMAIL;
            proxy_set_header X-User $shown;
            proxy_pass http://127.0.0.1:8082;
        }
        location /set      {
            set $user $remote_user;
            return 200 $shown;
        }
        location /if       {
            if ($remote_user = admin) { return 200 admin; }
            return 200 $shown;
        }
        location /map      { return 200 $mapped; }
        location /named    { try_files /nothing @named; }
        location @named    { proxy_set_header X-User $shown; proxy_pass http://127.0.0.1:8082; }
        location /index/   { ssi on; }
        location /ssi.html { ssi on; }
        location /part     { ssi on; default_type text/html; }
        location /own      {
            auth_oidc_remote_user off;
            proxy_set_header X-User $shown;
            proxy_pass http://127.0.0.1:8082;
        }
        location /off      { auth_oidc off; proxy_set_header X-User $shown; proxy_pass http://127.0.0.1:8082; }
        location /mode_off { auth_oidc_mode off; proxy_set_header X-User $shown; proxy_pass http://127.0.0.1:8082; }
        location /any      {
            satisfy any;
            allow   127.0.0.1;
            deny    all;
            proxy_set_header X-User $shown;
            proxy_pass http://127.0.0.1:8082;
        }
        location /server_set {
            auth_oidc_mode verify;
            proxy_set_header X-User $early-;
            proxy_pass http://127.0.0.1:8082;
        }

        location /basic/   {
            auth_basic           basic;
            auth_basic_user_file %%TESTDIR%%/users;
            proxy_set_header     X-User $shown;
            proxy_pass           http://127.0.0.1:8082;
        }

        location /fastcgi  {
            fastcgi_param REMOTE_USER $remote_user;
            fastcgi_pass  127.0.0.1:8083;
        }
        location /fastcgi_open  {
            auth_oidc_mode verify;
            fastcgi_param REMOTE_USER $remote_user;
            fastcgi_pass  127.0.0.1:8083;
        }
    }

    server {
        listen       127.0.0.1:8080;
        server_name  own.localhost;
        root         %%TESTDIR%%;

        location /elsewhere {
            auth_oidc             op;
            auth_oidc_remote_user sub;
            try_files             /nothing @open;
        }
        location /failed {
            auth_oidc             op;
            auth_oidc_remote_user sub;
            error_page            404 = @open;
        }
        location @open { proxy_set_header X-User $shown; proxy_pass http://127.0.0.1:8082; }
    }

    server {
        listen       127.0.0.1:8082;
        server_name  application;

        location / { return 200 $http_x_user; }
    }
EOF

$t->run();

my %base = map { $_ => 'http://own.localhost:' . port(8080) } qw{ /elsewhere /failed };
my %user = map { $_ => login_at($_) } '', keys %base;

for my $case (@pages) {
    my ($name, $page, $with, $without) = @$case;
    my $base = $base{$page} // 'http://localhost:' . port(8080);
    is(seen(($user{$page} // $user{''})->get($page, headers => { Authorization => $admin })), $with,
        "$name: a user with a session");
    is(seen(browser(base => $base)->get($page, headers => { Authorization => $admin })), $without,
        "$name: a client that forges the user");
}

# auth_basic reads the Authorization header, not the session.

my $basic = { Authorization => $admin };
is(seen($user{''}->get('/basic/', headers => $basic)), 'alice', 'with auth_basic, which reads the Authorization header');
is($user{''}->get('/basic/')->{status}, 401, 'auth_basic asks for a password in spite of the session');
is($user{''}->get('/basic/', headers => { Authorization => 'Basic ' . encode_base64('alice:', '') })->{status}, 401,
    'auth_basic does not take the user of the session');

# The combined log

for my $case (
    ['the user', '/page?log', 'alice'], ['another claim', '/email?log', 'alice@example.com'],
    ['a value evaluated before the location', '/server_set?log', 'alice'],
    ['a part', '/ssi.html?log', 'alice'], ['auth_oidc off', '/off?log', 'admin'])
{
    my ($name, $page, $expected) = @$case;
    $user{''}->get($page, headers => $basic);
    is(logged($page), $expected, "combined log: $name");
}
browser()->get('/page?forged', headers => $basic);
is(logged('/page?forged'), '-', 'combined log: a client without a session that forges the user');
browser()->get('/verify?forged', headers => $basic);
is(logged('/verify?forged'), '-', 'combined log: the same where no session is required');
browser()->get('/server_set?forged', headers => $basic);
is(logged('/server_set?forged'), '-', 'combined log: the same, evaluated before the location');
$user{'/elsewhere'}->get('/elsewhere?log', headers => $basic);
is(logged('/elsewhere?log'), 'alice', 'combined log: a named location without auth_oidc');

# FastCGI

my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1:' . port(8083), Listen => 4, ReuseAddr => 1) or die $!;
like(parameters($user{''}, '/fastcgi'), qr/\x0b\x05REMOTE_USERalice/, 'fastcgi_param: the user');
like(parameters(browser(), '/fastcgi_open'), qr/\x0b\x00REMOTE_USER/, 'fastcgi_param: no user without a session');

# After a logout, and the configuration

$user{''}->get('/logout', headers => { 'Sec-Fetch-Site' => 'same-origin' });
is(seen($user{''}->get('/verify')), '-', 'no user after a logout');

for my $case (['$oidc_claim_sub', qr/it must be the name of a claim such as "email", without "\$"/],
    ['off', undef], ['a b', qr/invalid number of arguments/])
{
    my ($value, $expected) = @$case;
    my $error = config_error($t, nginx_conf("    auth_oidc_remote_user $value;"));
    defined $expected ? like($error, $expected, "refused: $value") : is($error, '', "accepted: $value");
}

###############################################################################

sub login_at {
    my ($page) = @_;

    my $browser = browser(base => $base{$page} // 'http://localhost:' . port(8080));
    $browser->login($page || '/page');
    return $browser;
}

sub seen {
    my ($answer) = @_;

    my $body = $answer->{body} =~ s/\s+$//r;
    return $answer->{status} == 200 ? $body =~ s/^(.+)-$/$1/r : $answer->{status};
}

# $remote_user in the line of the last request for this target
sub logged {
    my ($target) = @_;

    my $user;
    wait_until(sub {
        ($user) = reverse $t->read_file('combined.log') =~ /^\S+ - (.+) \[[^]]+\] "GET \Q$target\E /mg;
        return defined $user;
    });
    return $user;
}

# What a FastCGI server receives
sub parameters {
    my ($browser, $page) = @_;

    my $request = $browser->start($page, headers => $basic);
    my $connection = $listen->accept;
    sysread $connection, my $bytes, 65536;
    close $connection;
    $browser->finish($request);
    return $bytes;
}

###############################################################################
