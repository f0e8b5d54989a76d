#!/usr/bin/perl

# Tests for login loops: a browser that loses the session cookie or the login cookie is redirected a few
# times, then gets a page that explains why, the module's or the operator's.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site;

my $own = 'http://localhost:' . port(8080);
my $title = 'The login keeps repeating';
my $sentence = q{client made 5 login attempts without sending a session cookie};

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(70);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', nginx_conf(
    oidc_provider('op'),
    oidc_provider('posts', 'response_mode form_post'),
    oidc_provider('area', 'cookie_path /area', redirect_uri => '/area/callback'),
    oidc_provider('domain', 'cookie_domain example.com'),
    <<'EOF'));

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        add_header X-Error $oidc_error always;

        location /       { auth_oidc op;    proxy_pass http://127.0.0.1:8080/app; }
        location /posts/ { auth_oidc posts; proxy_pass http://127.0.0.1:8080/app; }

        location /area   { auth_oidc area;   proxy_pass http://127.0.0.1:8080/app; }
        location /beyond { auth_oidc area;   proxy_pass http://127.0.0.1:8080/app; }
        location /domain { auth_oidc domain; proxy_pass http://127.0.0.1:8080/app; }

        location /own/ {
            auth_oidc  op;
            proxy_pass http://127.0.0.1:8080/app;
            error_page 400 /sorry;
        }

        location /coded/ {
            auth_oidc  op;
            proxy_pass http://127.0.0.1:8080/app;
            error_page 400 =403 /sorry;
        }

        location /others/ {
            auth_oidc  op;
            proxy_pass http://127.0.0.1:8080/app;
            error_page 403 500 502 /sorry;
        }

        location = /sorry {
            internal;
            return 200 "sorry: $oidc_error";
        }

        location /app {
            return 200 application;
        }
    }
EOF

$t->run();

# Five logins, each of which succeeds.

for my $name (qw/ op posts /) {
    my $page = $name eq 'op' ? '/page/' : '/posts/';
    my $browser = browser();
    my $sent = $browser->get($page);

    for my $round (1 .. 5) {
        my $answer = $browser->follow($browser->follow($sent));
        my ($counted) = grep { /^${name}_login_rounds=/ } @{ $answer->{set_cookie} };
        my %expected = (op => 'SameSite=Lax', posts => 'SameSite=None; Secure');

        is($answer->{headers}{location}, $page, "$name, login $round");
        is($counted, "${name}_login_rounds=$round; Path=/; Max-Age=20; HttpOnly; $expected{$name}",
            "$name, login $round is counted") if $round =~ /[15]/;

        $browser->forget($name);
        $sent = $browser->follow($answer) if $round < 5;
    }

    # The sixth.

    $op->clear;
    log_mark($t);
    my $answer = $browser->get($page);

    is(outcome($answer), '400 login_loop', "$name, the sixth");
    like($answer->{body}, qr{^<!DOCTYPE html>.*<title>\Q$title\E</title>.*cookies.*</html>\n$}s,
        "$name, a page that names the cause");
    is("$answer->{headers}{'content-type'} $answer->{headers}{'cache-control'}", 'text/html no-store',
        "$name, Content-Type and Cache-Control");
    is(scalar @{ $answer->{set_cookie} }, 0, "$name, no cookie");
    is(join(' ', map { $op->count($_) } qw{ /authorize /token }), '0 0', "$name, no request to the provider");
    ok(log_has($t, qr/\[error\] .*oidc: $sentence while beginning a login, provider "$name"/),
        "$name, logged at error");
    $browser->get($page) for 1 .. 5;
    ok(log_has($t, qr/\[warn\] .*oidc: $sentence while beginning a login, provider "$name"/, 5),
        "$name, then at warn for a minute");
}

my $circles = circling();

# error_page

my $answer = $circles->get('/own/');
is("$answer->{status} $answer->{body}", '400 sorry: login_loop', 'error_page replaces ours');
$answer = $circles->get('/coded/');
is("$answer->{status} $answer->{body}", '403 sorry: login_loop', 'error_page with a status of its own');
like($circles->get('/others/')->{body}, qr/\Q$title\E/, 'error_page of other statuses does not replace ours');
$answer = $circles->request('HEAD', '/page/');
is("$answer->{status} $answer->{body}", '400 ', 'HEAD has no body');

# Which requests are counted.

is($circles->get('/page/another')->{status}, 400, 'a loop: every page of that provider is refused');
is($circles->get('/app')->{body}, 'application', 'a loop: open pages are not');
is($circles->login('/posts/')->{body}, 'application', 'a loop: pages of another provider are not');
is($circles->forget('op_login_rounds')->login('/page/')->{body}, 'application',
    'a loop: a login succeeds after a while');
is($circles->get('/page/')->{body}, 'application', 'a loop: it ends when the session cookie is kept');

my $member = circling(4);
$member->login('/page/');
is(join(' ', map { $member->get('/page/')->{body} } 1 .. 6), join(' ', ('application') x 6),
    'a browser that keeps its session is not counted');

my $unlucky = circling(4);
$op->set(error => 'access_denied');
is($unlucky->login('/page/')->{headers}{'x-error'}, 'provider_access_denied', 'a login that fails');
$op->reset;
is($unlucky->login('/page/')->{body}, 'application', 'a login that fails is not counted');

# A login that never finishes, since its cookie is lost each time, is counted, too.

for my $name (qw/ op posts /) {
    my $browser = browser();
    my $answer = $browser->get($name eq 'op' ? '/page/' : '/posts/');
    my $begun = 0;
    for (1 .. 40) {
        last unless Test::OIDC::Browser::leads_on($answer);
        $begun++ if ($answer->{location} // '') =~ m{/authorize\?};
        $browser->forget($_) for grep { /_login_(?!rounds$)/ } map { $_->{name} } $browser->cookies;
        $answer = $browser->follow($answer);
    }
    is($begun, 5, "$name, login cookie lost each time: five logins");
    is(outcome($answer), '400 login_loop', "$name, login cookie lost each time: no sixth");
    like($answer->{url}, $name eq 'op' ? qr{/page/$} : qr{/posts/$},
        "$name, login cookie lost each time: the refusal is at the page");
}

# A page to which the browser would not send the session cookie is refused at once.

my $example = 'http://app.example.com:' . port(8080);
for my $case (
    ['a page outside cookie_path', '/beyond/page?a', '500 config_unusable', 'error',
        'client requested page "/beyond/page", which is not below cookie_path "/area"', 'area'],
    ['a page whose path begins like cookie_path', '/areal', '500 config_unusable', 'error',
        'client requested page "/areal", which is not below cookie_path "/area"', 'area'],
    ['a page below cookie_path with escapes', '/%61rea/', '400 request_host', undef,
        'client requested page "/%61rea/", which is not below cookie_path "/area"', 'area'],
    ['a host outside cookie_domain', '/domain', '400 request_host', undef,
        'client requested host "localhost", which is not in cookie_domain "example.com"', 'domain'],
    ['a host that ends like cookie_domain', '/domain', '400 request_host', undef,
        'client requested host "anexample.com", which is not in cookie_domain "example.com"', 'domain',
        'http://anexample.com:' . port(8080)])
{
    my ($name, $page, $expected, $level, $sentence, $provider, $base) = @$case;
    $level //= '(?:warn|error)';
    my $answer = browser(base => $base // $own)->get($page);
    is(outcome($answer), $expected, $name);
    is(scalar @{ $answer->{set_cookie} }, 0, "$name: no cookie");
    ok(log_has($t, qr/\[$level\] .*oidc: \Q$sentence\E while beginning a login, provider "$provider"/), "$name: logged");
}
is(login('/area?a')->{body}, 'application', 'the page that is cookie_path itself');
is(login("$own//area/page")->{body}, 'application', 'a page below cookie_path with two slashes');
is(login('/domain', base => $example)->{body}, 'application', 'a host within cookie_domain');

for my $value ('6', '55', '-1', 'x', '', '5x') {
    my $forger = browser()->set_cookie("op_login_rounds=$value; Path=/");
    is($forger->get('/page/')->{status}, $value eq '6' ? 400 : 302, qq{a count of "$value"});
}

###############################################################################

# A browser that has logged in so often and kept no session.
sub circling {
    my ($rounds) = @_;

    my $browser = browser();
    for (1 .. $rounds // 5) {
        $browser->follow($browser->follow($browser->get('/page/')));
        $browser->forget('op');
    }
    return $browser;
}

###############################################################################
