#!/usr/bin/perl

# Tests for "nginx -t" and the directives of a logout: each wrong value is refused with a sentence, the file
# and the line; all right values load.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site qw/ http_conf /;

my $path = 'it must be a plain path without query, escapes or dot segments';
my $page = 'it must be a path such as "/logged_out", or an http or https URL';
my $endpoint = 'it must be an https URL, or http on a loopback host or with "oidc_insecure_http on"';

my @paths = qw/ logout_uri frontchannel_logout_uri backchannel_logout_uri /;

my @no_paths = (
    ['a word', 'logout'],
    ['a URL', 'https://app.example.com/logout'],
    ['a query', '/logout?a=b'],
    ['a fragment', '/logout#a'],
    ['an escape, which no request shows', '/log%20out'],
    ['dots, which no request shows', '/a/../logout'],
    ['two slashes', '//logout'],
    ['a backslash', '/\\\\logout'],
    ['a space', '"/log out"'],
);

# name, directives, the sentence

my @refused = (
    (map {
        my $directive = $_;
        map { ["$directive, $_->[0]", "$directive $_->[1];", invalid($directive, $_->[1], $path)] } @no_paths;
    } @paths),

    (map { ["post_logout_uri, $_->[0]", "post_logout_uri $_->[1];", invalid('post_logout_uri', $_->[1], $page)] }
        ['a word', 'goodbye'],
        ['another scheme', 'javascript:alert(1)'],
        ['no host', 'https:///goodbye'],
        ['a second fragment', '/goodbye#a#b'],
        ['a fragment with a space', '"/goodbye#a b"'],
        ['a fragment alone', '"#a"'],
        ['a path with a space', '"/good bye"'],
        ['a user', 'https://user@www.example.com/']),

    (map { ["$_, http", "$_ http://op.example.com/;", invalid($_, 'http://op.example.com/', $endpoint)] }
        qw/ end_session_endpoint revocation_endpoint /),

    (map { ["$_, neither on nor off", "$_ yes;",
        qr/invalid value "yes" in "$_" directive, it must be "on" or "off"/] }
        qw/ logout_token_hint revoke_on_logout /),

    (map { ["$_ without a value", "$_;", qr/invalid number of arguments in "$_" directive/] }
        @paths, qw/ post_logout_uri logout_token_hint revoke_on_logout /),

    (map { ["$_->[0] twice", "$_->[0] $_->[1];\n$_->[0] $_->[2];", qr/"$_->[0]" directive is duplicate/] }
        (map { [$_, '/one', '/two'] } @paths, 'post_logout_uri'),
        (map { [$_, 'on', 'off'] } qw/ logout_token_hint revoke_on_logout /)),

    both_mean('redirect_uri', @paths, 'post_logout_uri'),

    (map { ["$_, the home page", "$_ /;",
        invalid($_, '/', 'it would replace the home page, use a path of its own')] } @paths),

    ['the path of an absolute redirect_uri and a logout_uri',
        "redirect_uri https://app.example.com/one;\nlogout_uri /one;",
        qr/invalid "logout_uri" "\/one", it must differ from "redirect_uri"/],
    ['the default redirect_uri as a logout_uri', 'logout_uri /oidc_callback;',
        qr/invalid "logout_uri" "\/oidc_callback", it must differ from "redirect_uri"/],
    ['a post_logout_uri that is the logout_uri, with a query, and would go round in circles',
        "logout_uri /logout;\npost_logout_uri /logout?done;",
        qr/invalid "post_logout_uri" "\/logout\?done", it must differ from "logout_uri"/],
    ['the same with a fragment', "logout_uri /logout;\npost_logout_uri /logout#done;",
        qr/invalid "post_logout_uri" "\/logout#done", it must differ from "logout_uri"/],
);

# valid directives

my @taken = (
    (map { my $directive = $_; map { "$directive $_;" } qw{ /logout /a/b.c/logout } } @paths),
    (map { "post_logout_uri $_;" } '/', '/goodbye', '/goodbye?a=b&c', '/good%20bye', 'https://www.example.com',
        '"https://www.example.com:8443/goodbye?a=b"', 'http://localhost:3000/', 'http://127.0.0.1/', 'http://www.example.com/goodbye', 'https://www.example.com/#/a?b',
        '/goodbye#a', 'http://www.example.com#a'),
    (map { my $directive = $_; map { "$directive $_;" } qw/ on off / } qw/ logout_token_hint revoke_on_logout /),
    (map { my $directive = $_; map { "$directive $_;" } 'https://op.example.com/end?a=b', 'http://[::1]:1/' }
        qw/ end_session_endpoint revocation_endpoint /),
    'logout_uri /out; frontchannel_logout_uri /front; backchannel_logout_uri /back; post_logout_uri /bye;',
);

my $t = Test::Nginx->new()->has(qw/http/)->plan(@refused + 5);

for my $case (@refused) {
    my ($name, $directives, $says) = @$case;
    my $error = config_error($t, http_block(provider_block("$directives # here")));

    # of the directive, or of the end of the block
    my $line = 1 + ($t->read_file('nginx.conf') =~ s/# here.*//sr) =~ tr/\n//;
    my $next = $line + 1;
    like($error, qr/^$says in \S+\/nginx\.conf:(?:$line|$next)$/, $name);
}

my $number = 0;
is(config_error($t, http_block(map { provider_block($_, 'idp' . $number++) } @taken)), '', 'valid directives are accepted');

my %shared = map { $_ => "/$_" } @paths;
my $shared = join ' ', map { "$_ $shared{$_};" } @paths;
is(config_error($t, http_block(
    provider_block("$shared cookie_name a; redirect_uri /a;", 'a'),
    provider_block("$shared cookie_name b; redirect_uri /b;", 'b'),
    "server {\nlocation /a { auth_oidc a; }\nlocation /b { auth_oidc b; }\n}\n")), '',
    'two providers of a server with the same logout paths');

is(config_error($t, http_block(
    provider_block('logout_uri /one; redirect_uri /two;', 'a'),
    provider_block('logout_uri /two; redirect_uri /one;', 'b'),
    "server { auth_oidc a; }\nserver { auth_oidc b; }\n")), '',
    'paths of different kinds in two servers');

like(config_error($t, http_block("server {\nlogout_uri /logout;\n}\n")),
    qr/^(?:"logout_uri" directive is not allowed here|unknown directive "logout_uri") in \S+:\d+$/,
    'logout_uri outside of an oidc_provider');

like(config_error($t, http_block(provider_block('logout_uri /logout;') . "server { auth_oidc idp; }\n")
    =~ s/\blogout_uri/logout_url/r), qr/^unknown directive "logout_url" in "oidc_provider", the nearest is "logout_uri" in \S+:\d+$/,
    'a misspelt directive');

# ------------------------------------------------------------------------------------------------------

sub invalid {
    my ($directive, $value, $advice) = @_;

    $value =~ s/^"(.*)"$/$1/;
    $value =~ s/\\\\/\\x5C/g;    # as in the log
    return qr/invalid "$directive" "\Q$value\E", \Q$advice\E/;
}

# Each two directives with the same path; the later one is refused.
sub both_mean {
    my (@directives) = @_;

    my @cases;
    while (defined(my $one = shift @directives)) {
        push @cases, map { ["one path for $one and $_", "$_ /one;\n$one /one;",
            qr/invalid "$_" "\/one", it must differ from "$one"/] } @directives;
    }
    return @cases;
}

sub http_block {
    return http_conf(map { s/\bserver \{/server { listen 127.0.0.1:8080;/gr } @_);
}

sub provider_block {
    my ($directives, $name) = @_;

    return join "\n", 'oidc_provider ' . ($name // 'idp') . ' {', 'issuer https://op.example.com;',
        'client_id client;', $directives, "}\n";
}
