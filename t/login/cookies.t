#!/usr/bin/perl

# Tests for Cookie headers of every form: malformed, large, in pieces, with cookies of the application and
# with cookies of our name that were planted.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site qw/ default_provider http_conf /;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(139);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', http_conf(default_provider('idp', 'session_claims all; session_store cookie'), <<'EOF'));
    server {
        listen      127.0.0.1:8080;
        server_name localhost;

        location / {
            auth_oidc idp;
            proxy_set_header X-User $oidc_claim_sub;
            proxy_pass       http://127.0.0.1:8082;
        }
    }

    server {
        listen      127.0.0.1:8080;
        server_name wide.localhost;

        large_client_header_buffers 40 8k;

        location / {
            auth_oidc idp;
            proxy_set_header Cookie "";
            proxy_set_header X-User $oidc_claim_sub;
            proxy_pass       http://127.0.0.1:8082;
        }
    }

    server {
        listen 127.0.0.1:8082;

        location / {
            return 200 "user=$http_x_user cookie=$http_cookie";
        }

        location /set {
            add_header Set-Cookie "application=new; Path=/";
            add_header Set-Cookie "second=2; Path=/";
            return 200;
        }
    }
EOF

$t->run();

my $name = 'NGX_OIDC_SESSION';
my $user = browser();
like($user->login('/page')->{body}, qr/^user=alice /, 'logged in');
my $session = $user->cookie($name);

$op->set(user => { sub => 'bob' });
my $bob = login('/page')->{browser}->cookie($name);
$op->reset;
$op->set(id_token => { claims => { filler => 'x' x 3500 } });
my $large = login('/page')->{browser};
$op->reset;

# Each header alone, and around a session cookie.

my @odd = (
    ['empty', ''],
    ['a space', ' '],
    ['no name', '=b'],
    ['neither name nor value', '='],
    ['nothing but a semicolon', ';'],
    ['semicolons', '; ;;;  ;'],
    ['no value', 'a'],
    ['one letter, no "="', 'a;b;c'],
    ['commas', 'a=b, c=d'],
    ['spaces', '  a  =  b  '],
    ['tabs', "\ta=b\t;\tc=d"],
    ['quotes', 'a="b; c"; d="'],
    ['equals signs', 'a=b=c==; ==; ===d'],
    ['RFC 2965', '$Version=1; a=b; $Path=/; $Domain=localhost'],
    ['bytes', "\xff\xfe=\x80; \xc3\xa9=\xc3\xa9"],
    ['escapes', '%4eGX_OIDC_SESSION=x; a=%00%0d%0a'],
    ['twice', 'a=1; a=2; a=3'],
    ['our name alone', $name],
    ['our name, empty', "$name="],
    ['our name, empty, twice', "$name=; $name="],
    ['our name, a space before "="', "$name =$session"],
    ['our name as a value', "a=$name; $name"],
    ['our name in lower case', lc($name) . "=$session"],
    ['our name and more', "${name}X=$session; X$name=$session"],
    ['chunks alone', "$name.1=x; $name.2=y; $name.9=z"],
    ['a chunk without number', "$name.=x; $name.01=y; $name.-1=z; $name.10=x"],
    ['very many chunks', "$name.999999999999=x"],
    ['a login\'s name, no value', "${name}_login_"],
    ['a login\'s name, empty', "${name}_login_="],
    ['a login\'s name, odd values', "${name}_login_abcd=x; ${name}_login_=" . 'A' x 22],
    ['a login\'s long name', "${name}_login_" . 'x' x 500 . '=' . 'A' x 22],
    ['a login\'s URL', "${name}_login_abcd_url=x; ${name}_login_abcd_url.1=y"],
    ['many', join '; ', map { "c$_=$_" } 1 .. 500],
    ['7 kB', 'a=' . 'b' x 7000],
    ['7 kB without "="', 'b' x 7000],
    ['7 kB of semicolons', ';' x 7000],
);

log_mark($t);

for (@odd) {
    my ($what, $header) = @$_;
    my $answer = get($header);
    is($answer->{status}, 302, "anonymous: $what");

    my @around = grep { length $_ < 7800 } "$header; $name=$session", "$name=$session; $header";
    is(join(' ', map { get($_)->{body} =~ /^(user=\w+)/ } @around), join(' ', ('user=alice') x @around),
        "logged in: $what");
    like(get($header, "$name=$session")->{body}, qr/^user=alice /, "logged in, on two lines: $what");
}

is(get(('a=b') x 300)->{status}, 302, 'anonymous: 300 lines');
like(get(('a=b') x 300, "$name=$session", ('c') x 10)->{body}, qr/^user=alice /, 'logged in: 300 lines');
is(get(map { "$name=$_" } 1 .. 300)->{status}, 302, 'anonymous: 300 lines of our name');
is(get(join '; ', ("$name=x") x 370)->{status}, 302, 'anonymous: 7 kB of our name');

is(join("\n", error_log_lines($t, qr/\[(?:warn|error|crit|alert|emerg)\]/)), '', 'none of these is logged');

# Chunks may be in lines of their own, in any order.

my ($first, $second) = map { $large->cookie($_) } $name, "$name.1";
like(get("$name=$first", 'a=b', "$name.1=$second")->{body}, qr/^user=alice /, 'chunks on two lines');
like(get("$name.1=$second", "$name=$first")->{body}, qr/^user=alice /, 'chunks on two lines, in reverse order');
like(get("$name.1=$second; a; $name=$first")->{body}, qr/^user=alice /, 'chunks on one line, in reverse order');
is(get("$name=$first", "$name.1=x", "$name.1=$second")->{status}, 302, 'a planted chunk breaks a session');

# Planted cookies of our name

like(get("$name=planted; $name=$session")->{body}, qr/^user=alice /, 'a planted cookie before ours');
like(get("$name=$session; $name=planted")->{body}, qr/^user=alice /, 'a planted cookie behind ours');
like(get(join '; ', map { "$name=$_" } 'a', '', '2.x', $session)->{body}, qr/^user=alice /,
    'three planted before ours');

# An attacker who can set cookies for the site can set many. All are tried, as many as a request may have.
my $chunks = join '; ', map { "$name.$_=" . 'c' x 10 } 1 .. 8;
my @crowds = (
    ['100 short ones', join '; ', map { "$name=$_" } 1 .. 100],
    ['100 that announce chunks', join '; ', map { "$name=9.$_" } 1 .. 100],
    ['100 that announce chunks, which are there', join '; ', (map { "$name=9.$_" } 1 .. 100), $chunks],
    ['one on each of 300 lines', map { "$name=$_" } 1 .. 300],
    ['as many as three buffers hold', (join '; ', ("$name=x") x 370) x 3],
    ['copies that are a byte short', ("$name=" . substr $session, 1) x 15],
);
like(get(@$_[1 .. $#$_], "$name=$session")->{body}, qr/^user=alice /, "planted before ours: $_->[0]") for @crowds;

# 16 lines of nearly 8 KB, and more than 128 KB.
my @long = ("$name=" . 'x' x 7900) x 18;
like(get_wide(@long[0 .. 15], "$name=$session")->{body}, qr/^user=alice /, 'planted before ours: 124 KB');
is(get_wide(@long, "$name=$session")->{status}, 302, 'at most 128 KB of them are tried');

like(get("$name=$bob; $name=$session")->{body}, qr/^user=bob /, 'of two sessions the first is used');

# Cookies of the application

my $app = browser();
$app->set_cookie("$_; Path=/") for 'application=old', 'theme="dark; blue"', 'empty=', 'NGX_OIDC=x', 'session=y';
my $before = others($app);
my $res = $app->login('/page');
is(others($app), $before, 'a login changes no other cookies');
is(join(' ', grep { !/^$name(?:=|_login_)/ } map { @{ $_->{set_cookie} } } @{ $app->login('/page')->{hops} }), '',
    'a login sets only its own cookies');
like($res->{body}, qr/cookie=(?=.*application=old)(?=.*theme="dark)(?=.*empty=)(?=.*session=y)/,
    'the application gets its cookies');
like($res->{body}, qr/\b$name=[\w-]{100}/, 'the application gets our cookie, since nginx passes the header');

$res = $app->get('/set');
is(join('|', @{ $res->{set_cookie} }), 'application=new; Path=/|second=2; Path=/',
    'a response of the application has no cookie of ours');
is($app->get('/page')->{status}, 200, 'a response that sets cookies: the session remains');

# A login with other cookies present

my $odd = browser();
$odd->set_cookie("${name}_login_$_; Path=/") for 'abcd=short', 'toolong=' . 'A' x 22, 'efgh=' . 'A' x 21 . '+';
$odd->set_cookie("$name=planted; Path=/");
$odd->set_cookie("$name.1=planted; Path=/");
like($odd->login('/page')->{body}, qr/^user=alice /, 'a login with planted cookies succeeds');
is($odd->cookie("$name.1"), undef, 'a login with planted cookies deletes a planted chunk');

my $tabs = browser();
$tabs->get("/abandoned/$_") for 1 .. 20;
is(scalar(my @left = $tabs->cookies), 1, 'logins abandoned one after the other leave one cookie');

# ------------------------------------------------------------------------------------------------------

# A request with exactly these Cookie lines.
sub get { return request('localhost', @_) }
sub get_wide { return request('wide.localhost', @_) }

sub request {
    my ($host, @cookie) = @_;

    return browser()->raw(join "\r\n", 'GET /page HTTP/1.1', "Host: $host",
        (map { "Cookie: $_" } @cookie), 'Connection: close', '', '');
}

sub others {
    my ($browser) = @_;

    return join '; ', map { "$_->{name}=$_->{value}" } grep { $_->{name} !~ /^$name/ } $browser->cookies;
}
