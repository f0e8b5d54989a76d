#!/usr/bin/perl

# Tests for "nginx -t": each wrong value is refused with a sentence, the file and the line; all right values
# load.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site qw/ http_conf /;

my $t = Test::Nginx->new()->has(qw/http map rewrite/)->plan(241);

my $key = '0123456789abcdef' x 4;

$t->write_file('secret', "secret-of-at-least-thirty-two-bytes\n");
$t->write_file('secret_crlf', "secret\r\n");
$t->write_file('empty', '');
$t->write_file('newlines', "\r\n\n");
$t->write_file('large', 'x' x (64 * 1024 + 1));
$t->write_file('key', "$key\n");
$t->write_file('keys', join "\r\n", $key, "  ", uc $key, ($key) x 14, '');
$t->write_file('keys_many', "$key\n" x 17);
$t->write_file('key_zeros', '0' x 64 . "\n");
$t->write_file('key_equal', "$key\n" . '5A' x 16 . '5a' x 16 . "\n");
$t->write_file('key_low', '0' x 62 . "01\n");
$t->write_file('key_short', "$key\n" . substr($key, 2) . "\n");
$t->write_file('key_long', "${key}00\n");
$t->write_file('key_words', 'not_hexadecimal_' x 4 . "\n");
$t->write_file('blank', "  \n\t\n");
mkdir $t->testdir . '/directory';

my $ca = certificate_authority($t, 'ca');
$ca->crl('ca.crl');
$ca->issue('client');

# Inside oidc_provider: a name, directives of which the last is wrong, the sentence about it. It names the
# file and line of that directive, or of the end of the block.

my $url = qr/it must be an https URL without query, or http on a loopback host/;
my $http = qr/it must be an https URL, or http on a loopback host or with "oidc_insecure_http on"/;
my $config_url = qr/it must be an https URL, or http on a loopback host/;
my $redirect = qr/it must be a path such as "\/oidc_callback", or an https URL without query/;
my $absent = qr/the file cannot be opened \(2: No such file or directory\)/;
my $hidden = qr/$absent; the name is not shown, because it may be the secret itself/;
my $directory = qr/the file cannot be read \(21: Is a directory\)/;
my $empty = qr/the file is empty/;
my $no_variables = qr/directive takes no variables, "auth_oidc \$variable" can choose among several providers/;
my $home = qr/it would replace the home page, use a path of its own/;
my $hex = qr/each line must be 64 hex digits, as "openssl rand -hex 32" prints them/;
my $equal = qr/a key of identical bytes is not secret, generate one with "openssl rand -hex 32"/;
my $keys = qr/it must contain 1 to 16 keys, one per line/;
my $args = qr/it must be form-urlencoded, such as "prompt=login"/;
my $long = qr/it must be longer than 0/;
my $cookie_word = qr/it contains a character not allowed in a cookie name/;
my $host_cookie = qr/a __Host- cookie requires cookie_path "\/" and no cookie_domain/;
my $domain = qr/it must be a domain such as "example.com"/;
my $cookie_path = qr/it must begin with "\/" and contain no ";"/;
my $algs = qr/use one of: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519, HS256, HS384, HS512/;

my @in_provider = (
    ['issuer, empty', 'issuer "";', qr/oidc_provider "idp" has no "issuer", specify .*/],
    ['issuer, no URL', 'issuer op.example.com;', qr/invalid "issuer" "op.example.com", $url/],
    ['issuer, http', 'issuer http://op.example.com;',
        qr/invalid "issuer" "http:\/\/op.example.com", $http/],
    ['issuer, http on a host that looks like loopback', 'issuer http://127.0.0.1.example.com;',
        qr/invalid "issuer" "http:\/\/127.0.0.1.example.com", $http/],
    ['issuer, ftp', 'issuer ftp://op.example.com;', qr/invalid "issuer" "ftp:.*", $url/],
    ['issuer, query', 'issuer https://op.example.com/?a;', qr/invalid "issuer" ".*\?a", $url/],
    ['issuer, fragment', 'issuer https://op.example.com/#a;', qr/invalid "issuer" ".*#a", $url/],
    ['issuer, backslash', 'issuer "https://op.example.com\\\\a";', qr/invalid "issuer" ".*", $url/],

    ['client_id, empty', 'client_id "";', qr/oidc_provider "idp" has no "client_id", specify .*/],
    ['client_id, not ASCII', "client_id cli\xc3\xa9nt;",
        qr/invalid "client_id" "cli\\xC3\\xA9nt", it must be ASCII/],

    ['client_secret and client_secret_file', "client_secret a;\nclient_secret_file secret;",
        qr/oidc_provider "idp" has both "client_secret" and "client_secret_file", specify only one/],
    ['client_secret_file, absent', 'client_secret_file %%TESTDIR%%/absent;',
        qr/invalid "client_secret_file" "\S+\/absent", $absent/],
    ['client_secret_file, absent in a directory below the prefix', 'client_secret_file directory/absent;',
        qr/invalid "client_secret_file" "\S+\/directory\/absent", $absent/],
    ['client_secret_file, directory', 'client_secret_file directory;',
        qr/invalid "client_secret_file" "\S+directory", $directory/],
    ['client_secret_file, empty', 'client_secret_file empty;',
        qr/invalid "client_secret_file" "\S+empty", $empty/],
    ['client_secret_file, the secret itself', 'client_secret_file inline-secret;',
        qr/invalid "client_secret_file", $hidden/],
    ['client_secret_file, the secret itself, with slashes', 'client_secret_file /inline/secret+;',
        qr/invalid "client_secret_file", $hidden/],
    ['client_secret_file, the secret itself, with a dollar', q{client_secret_file 'inline$secret';},
        qr/"client_secret_file" $no_variables/],
    ['client_secret_file, nothing but line breaks', 'client_secret_file newlines;',
        qr/invalid "client_secret_file" "\S*newlines", .+/],
    ['client_secret_file, too large', 'client_secret_file large;',
        qr/invalid "client_secret_file" "\S+large", the file is larger than \w+/],

    ['config_url, no URL', 'config_url /config;', qr/invalid "config_url" "\/config", $config_url/],
    ['config_url, http', 'config_url http://op.example.com/;',
        qr/invalid "config_url" "http:.*", $http/],

    ['redirect_uri, a word', 'redirect_uri callback;',
        qr/invalid "redirect_uri" "callback", $redirect/],
    ['redirect_uri, a path with a query', 'redirect_uri /callback?a;',
        qr/invalid "redirect_uri" "\/callback\?a", .+/],
    ['redirect_uri, two slashes', 'redirect_uri //callback;',
        qr/invalid "redirect_uri" "\/\/callback", .+/],
    ['redirect_uri, a path with an escape, which no request shows', 'redirect_uri /caf%C3%A9;',
        qr/invalid "redirect_uri" "\/caf%C3%A9", .+/],
    ['redirect_uri, a path with dots, which no request shows', 'redirect_uri /a/../callback;',
        qr/invalid "redirect_uri" "\/a\/..\/callback", .+/],
    ['redirect_uri, http', 'redirect_uri http://app.example.com/callback;',
        qr/invalid "redirect_uri" "http:.*", $redirect/],
    ['redirect_uri, absolute with a query', 'redirect_uri https://app.example.com/callback?a;',
        qr/invalid "redirect_uri" "https:.*\?a", $redirect/],
    ['redirect_uri, fragment', 'redirect_uri https://app.example.com/callback#a;',
        qr/invalid "redirect_uri" "https:.*#a", $redirect/],

    ['scope, quote', q{scope profile 'e"mail';},
        qr/invalid "scope" "e\\x22mail", it contains a character not allowed in a scope/],
    ['extra_auth_args, broken escape', 'extra_auth_args prompt=%zz;',
        qr/invalid "extra_auth_args" "prompt=%zz", $args/],
    ['extra_auth_args, a reserved name', 'extra_auth_args prompt=login&nonce=x;',
        qr/invalid "extra_auth_args" "prompt=login&nonce=x", "nonce" is always set by the module/],
    ['extra_auth_args, a reserved name, escaped', 'extra_auth_args st%61te=x;',
        qr/invalid "extra_auth_args" "st%61te=x", "state" is always set by the module/],
    ['code_challenge_method, plain', 'code_challenge_method plain;',
        qr/invalid "code_challenge_method" "plain", it protects nothing, use S256, or "pkce off" if .*/],
    ['code_challenge_method, unknown', 'code_challenge_method S512;',
        qr/invalid "code_challenge_method" "S512", use S256/],
    ['redirect_uri, absolute, a path with an escape', 'redirect_uri https://app.example.com/caf%C3%A9;',
        qr/invalid "redirect_uri" "https:.*\/caf%C3%A9", .+/],
    ['pkce', 'pkce S256;', qr/invalid "pkce" value "S256", use one of: auto, on, off/],
    ['a value that is nearly right', 'client_auth client_secret_jtw;',
        qr/invalid "client_auth" value "client_secret_jtw", use one of: .*, the nearest is "client_secret_jwt"/],

    (map { ["redirect_uri, $_->[0]", "redirect_uri $_->[1];", qr/invalid "redirect_uri" "\S+", $home/] }
        ['the home page', '/'], ['the home page, absolute', 'https://app.example.com'],
        ['the home page, absolute with a slash', 'https://app.example.com/']),

    (map { my ($name) = /^(\w+)/; ["$name, a variable", "$_;", qr/"$name" $no_variables/] }
        'issuer https://$host', 'client_id $id', 'redirect_uri /$x', 'redirect_uri https://$host/callback', 'config_url $x',
        'scope openid $x', 'scopes $x', 'cookie_name $x', 'cookie_domain $host', 'cookie_path /$x',
        'authorization_endpoint https://$host/', 'token_endpoint $x', 'jwks_uri $x', 'end_session_endpoint $x',
        'logout_uri /$x', 'post_logout_uri https://$host/', 'frontchannel_logout_uri /$x', 'audience a $x',
        'session_store $x', 'session_claims $x', 'session_key $x', 'client_key $x', 'ssl_trusted_certificate $x',
        'code_challenge_method $x'),

    ['cookie_name, space', 'cookie_name "a b";', qr/invalid "cookie_name" "a b", $cookie_word/],
    ['cookie_name, equals sign', 'cookie_name a=b;', qr/invalid "cookie_name" "a=b", $cookie_word/],
    ['cookie_name, semicolon', 'cookie_name "a;b";', qr/invalid "cookie_name" "a;b", $cookie_word/],
    ['cookie_name, __Host- with a domain', "cookie_domain example.com;\ncookie_name __Host-sid;",
        qr/invalid "cookie_name" "__Host-sid", $host_cookie/],
    ['cookie_name, __Host- with a path',
        "cookie_path /app;\nredirect_uri /app/callback;\ncookie_name __Host-sid;",
        qr/invalid "cookie_name" "__Host-sid", $host_cookie/],
    ['cookie_domain, a URL', 'cookie_domain https://example.com;',
        qr/invalid "cookie_domain" "https:\/\/example.com", $domain/],
    ['cookie_domain, a port, with which no browser takes a cookie', 'cookie_domain example.com:8443;',
        qr/invalid "cookie_domain" "example.com:8443", $domain/],
    ['cookie_path, relative', 'cookie_path app;', qr/invalid "cookie_path" "app", $cookie_path/],
    ['cookie_path, semicolon', 'cookie_path "/;Secure";',
        qr/invalid "cookie_path" "\/;Secure", $cookie_path/],
    ['cookie_path, line break', "cookie_path \"/\nSet-Cookie: a\";",
        qr/invalid "cookie_path" "\/\\x0ASet-Cookie: a", $cookie_path/],
    ['cookie_path, the callback elsewhere', 'cookie_path /app;',
        qr/invalid "cookie_path" "\/app", redirect_uri "\/oidc_callback" is not below it/],
    ['cookie_path, the callback beside it', "redirect_uri /app2;\ncookie_path /app;",
        qr/invalid "cookie_path" "\/app", redirect_uri "\/app2" is not below it/],
    ['cookie_samesite', 'cookie_samesite yes;', qr/invalid "cookie_samesite" value "yes", use one of: lax, strict, none/],
    ['cookie_partitioned', 'cookie_partitioned yes;',
        qr/invalid value "yes" in "cookie_partitioned" directive, it must be "on" or "off"/],
    (map {
        ["cookie_partitioned, with cookie_samesite $_->[0]", "$_->[1]cookie_partitioned on;",
            qr/invalid "cookie_partitioned" "on", it needs cookie_samesite none/]
    } ['as it is', ''], ['lax', "cookie_samesite lax;\n"], ['strict', "cookie_samesite strict;\n"]),

    ['session_key, absent', 'session_key %%TESTDIR%%/absent;', qr/invalid "session_key" "\S+absent", $absent/],
    ['session_key, empty', 'session_key empty;', qr/invalid "session_key" "\S+empty", $empty/],
    ['session_key, the key itself', "session_key $key;", qr/invalid "session_key", $hidden/],
    ['client_key, the key itself', "client_key '-----BEGIN PRIVATE KEY-----\n$key\n-----END PRIVATE KEY-----';",
        qr/invalid "client_key", the file cannot be opened .*; the name is not shown, .*/],
    (map { ["client_certificate_key, $_->[0]", "client_certificate client.crt;\nclient_certificate_key '$_->[1]';",
        qr/invalid "client_certificate_key", .*; the name is not shown, .*/] }
        ['the key itself', "-----BEGIN PRIVATE KEY-----\n$key\n-----END PRIVATE KEY-----"],
        ['the key itself as data', "data:-----BEGIN PRIVATE KEY-----\n$key\n-----END PRIVATE KEY-----"],
        ['the key itself in one line', $key]),
    ['session_key, short', 'session_key key_short;', qr/invalid "session_key" "key_short", $hex/],
    ['session_key, long', 'session_key key_long;', qr/invalid "session_key" "key_long", $hex/],
    ['session_key, no hex digits', 'session_key key_words;',
        qr/invalid "session_key" "key_words", $hex/],
    ['session_key, zeros', 'session_key key_zeros;', qr/invalid "session_key" "key_zeros", $equal/],
    ['session_key, equal bytes in one of its lines', 'session_key key_equal;',
        qr/invalid "session_key" "key_equal", $equal/],
    ['session_key, seventeen', 'session_key keys_many;',
        qr/invalid "session_key" "keys_many", $keys/],
    ['session_key, blank lines only', 'session_key blank;', qr/invalid "session_key" "blank", $keys/],

    ['session_timeout, 0', 'session_timeout 0;',
        qr/invalid "session_timeout", $long; the session cookie ends with the browser session in any case/],
    (map {
        ["$_, over ten years", "$_ 3651d;", qr/invalid "$_", it must not exceed ten years/]
    } qw/ session_timeout session_idle_timeout session_max_lifetime /),
    ['pre_auth_timeout, 0', 'pre_auth_timeout 0s;', qr/invalid "pre_auth_timeout", $long/],
    ['clock_skew, too long', 'clock_skew 86401;', qr/invalid "clock_skew", it must not exceed one day/],
    ['clock_skew, negative', 'clock_skew -1;', qr/"clock_skew" directive invalid value/],
    ['connect_timeout, 0', 'connect_timeout 0;', qr/invalid "connect_timeout", $long/],
    ['read_timeout, 0', 'read_timeout 0ms;', qr/invalid "read_timeout", $long/],

    ['audience, all and one', 'audience * other;', qr/invalid "audience" "\*", it must be the only value/],
    ['audience, one and all', 'audience other *;', qr/invalid "audience" "\*", it must be the only value/],
    ['audience, all, with HMAC',
        "client_secret secret-of-at-least-thirty-two-bytes;\naudience *;\nid_token_alg RS256 HS256;",
        qr/invalid "audience" "\*", it cannot be used together with id_token_alg HS256/],

    ['id_token_alg, none', 'id_token_alg RS256 none;', qr/invalid "id_token_alg" "none", $algs/],
    ['id_token_alg, unknown', 'id_token_alg rs256;', qr/invalid "id_token_alg" "rs256", $algs/],
    ['id_token_alg, HS256 without a secret', 'id_token_alg HS256;',
        qr/invalid "id_token_alg" "HS256", it needs a client_secret of at least 32 bytes/],
    ['id_token_alg, HS512 with a short secret',
        "client_secret secret-of-at-least-thirty-two-bytes;\nid_token_alg HS256 HS512;",
        qr/invalid "id_token_alg" "HS512", it needs a client_secret of at least 64 bytes/],

    ['ssl_trusted_certificate, absent', 'ssl_trusted_certificate absent;',
        qr/invalid "ssl_trusted_certificate" "\S*absent", .+/],
    ['ssl_trusted_certificate, no certificate', 'ssl_trusted_certificate secret;',
        qr/invalid "ssl_trusted_certificate" "\S*secret", .+/],
    ['ssl_crl, absent', 'ssl_crl absent;', qr/invalid "ssl_crl" "\S*absent", .+/],
    ['ssl_crl, no list', 'ssl_crl secret;', qr/invalid "ssl_crl" "\S*secret", .+/],
    ['ssl_verify_depth, no number', 'ssl_verify_depth x;',
        qr/"ssl_verify_depth" directive invalid number/],

    ['an unknown directive', 'proxy_pass http://127.0.0.1;',
        qr/unknown directive "proxy_pass" in "oidc_provider"/],
    ['a block', 'scope {', qr/unexpected "\{"/],
    ['a value without its end', 'scope openid', qr/unexpected "\}"/],
);

# In http, below an oidc_provider "idp"; the sentence names the line with "# here".

my $define = qr/, define it in "http"/;
my $base_url = qr/it must be a scheme, host and port such as "https:\/\/app.example.com", and a plain path if a proxy removes one/;
my $zone = qr/it must be at least 64k/;
my $same = qr/has the same "redirect_uri" and "cookie_name" as oidc_provider/;
my $twin = 'oidc_provider twin { issuer https://twin.example.com; client_id client; }';

my @in_http = (
    ['oidc_provider without issuer', 'oidc_provider a { client_id client; } # here',
        qr/oidc_provider "a" has no "issuer", specify the provider's issuer URL AT/],
    ['oidc_provider without client_id', 'oidc_provider a { issuer https://op.example.com; } # here',
        qr/oidc_provider "a" has no "client_id", specify the one registered at the provider AT/],
    ['oidc_provider without name', 'oidc_provider { } # here',
        qr/invalid number of arguments in "oidc_provider" directive AT/],
    ['oidc_provider without block', 'oidc_provider a; # here',
        qr/directive "oidc_provider" has no opening "\{" AT/],
    ['oidc_provider off', 'oidc_provider off { } # here',
        qr/invalid oidc_provider name "off", use a word other than "off" AT/],
    ['oidc_provider of no name', 'oidc_provider "" { } # here', qr/invalid oidc_provider name "".* AT/],
    ['oidc_provider named by a variable', 'oidc_provider $host { } # here',
        qr/invalid oidc_provider name "\$host".* AT/],
    ['duplicate oidc_provider', 'oidc_provider idp { } # here',
        qr/duplicate oidc_provider "idp" AT/],
    ['oidc_provider in server', "server {\noidc_provider a { } # here\n}",
        qr/"oidc_provider" directive is not allowed here AT/],

    ['auth_oidc without name', "server {\nauth_oidc; # here\n}",
        qr/invalid number of arguments in "auth_oidc" directive AT/],
    ['auth_oidc with two names', "server {\nauth_oidc idp off; # here\n}",
        qr/invalid number of arguments in "auth_oidc" directive AT/],
    ['auth_oidc of an empty name', "server {\nauth_oidc ''; # here\n}",
        qr/"auth_oidc" directive must name an oidc_provider, or "off" AT/],
    ['duplicate auth_oidc', "server {\nauth_oidc idp;\nauth_oidc off; # here\n}",
        qr/"auth_oidc" directive is duplicate AT/],
    ['auth_oidc in if', "server {\nlocation / { if (\$arg_a) {\nauth_oidc idp; # here\n} } }",
        qr/"auth_oidc" directive is not allowed here AT/],
    ['unknown provider in http', "auth_oidc other; # here\nserver { location / { } }",
        qr/unknown oidc_provider "other" in "auth_oidc" AT$define/],
    ['unknown provider in location', "server {\nlocation / {\nauth_oidc other; # here\n}\n}",
        qr/unknown oidc_provider "other" in "auth_oidc" AT$define/],
    ['unknown provider, in another letter case', "server {\nauth_oidc IDP; # here\n}",
        qr/unknown oidc_provider "IDP" in "auth_oidc" AT$define, the nearest is "idp"/],
    ['unknown provider, on', "server {\nauth_oidc on; # here\n}",
        qr/unknown oidc_provider "on" in "auth_oidc" AT$define, or name one such as "idp"/],

    ['oidc_claim_set without a name', 'oidc_claim_set $roles; # here',
        qr/invalid number of arguments in "oidc_claim_set" directive AT/],
    ['oidc_claim_set of no variable', 'oidc_claim_set roles roles; # here',
        qr/invalid "oidc_claim_set" "roles", it must be a variable such as "\$roles" AT/],
    ['oidc_claim_set of an empty name', 'oidc_claim_set $roles ""; # here',
        qr/invalid "oidc_claim_set" "", a claim has a name AT/],
    ['oidc_claim_set of a long name', 'oidc_claim_set $roles ' . 'x' x 255 . '; # here',
        qr/invalid "oidc_claim_set" "x+"\.\.\., the names of the claims are too long AT/],
    ['oidc_claim_set twice', "oidc_claim_set \$roles a;\noidc_claim_set \$roles b; # here",
        qr/the duplicate "roles" variable AT/],
    ['oidc_claim_set of a map', "map \$host \$roles { }\noidc_claim_set \$roles b; # here",
        qr/invalid "oidc_claim_set" "\$roles", another directive sets this variable AT/],
    ['oidc_claim_set in server', "server {\noidc_claim_set \$roles roles; # here\n}",
        qr/"oidc_claim_set" directive is not allowed here AT/],

    (map {
        my ($name, $value, $says) = @$_;
        ["auth_oidc_require, $name", "server {\nauth_oidc_require $value; # here\n}", qr/$says AT/]
    }
        ['no value', 'error=403', '"auth_oidc_require" directive needs a variable'],
        ['a word', 'admin', 'invalid "auth_oidc_require" "admin", use a variable, .*'],
        ['a comparison, which would always be true', '$roles=admin', 'invalid "auth_oidc_require" "\$roles=admin", use a variable, .*'],
        ['text before a variable', 'a$host', 'invalid "auth_oidc_require" "a\$host", use a variable, .*'],
        ['a dollar sign', '$', 'invalid "auth_oidc_require" "\$", use a variable, .*'],
        ['off and a variable', 'off $host', 'invalid "auth_oidc_require" "off", use a variable, .*'],
        (map { ["error=$_", "\$host error=$_", "invalid \"auth_oidc_require\" \"error=$_\", the status must be 400 to 599, .*"] }
            '', 'x', 200, 399, 600, '403x')),

    ['auth_oidc_mode', "server {\nauth_oidc_mode on; # here\n}", qr/invalid "auth_oidc_mode" value "on", use one of: require, verify, off AT/],
    ['oidc_state_zone too small', 'oidc_state_zone 63k; # here',
        qr/invalid "oidc_state_zone" size "63k", $zone AT/],
    ['oidc_state_zone, no size', 'oidc_state_zone large; # here',
        qr/invalid "oidc_state_zone" size "large", $zone AT/],
    ['duplicate oidc_state_zone', "oidc_state_zone 1m;\noidc_state_zone 1m; # here",
        qr/"oidc_state_zone" directive is duplicate AT/],
    ['oidc_state_zone in server', "server {\noidc_state_zone 1m; # here\n}",
        qr/"oidc_state_zone" directive is not allowed here AT/],
    (map {
        ["oidc_base_url $_", "server {\noidc_base_url '$_'; # here\n}",
            qr/invalid "oidc_base_url" "\Q$_\E", $base_url AT/]
    } 'app.example.com', 'ftp://app.example.com', 'https://app.example.com/a%2fb',
        'https://app.example.com?a', 'https://u@app.example.com', ''),

    ['two providers with one callback and cookie in a server',
        "$twin\nserver {\nlocation /a { auth_oidc idp; }\nlocation /b {\nauth_oidc twin; # here\n}\n}",
        qr/oidc_provider "twin" AT $same "idp" in the same server, change one of them/],
    ['the same, one of them inherited from http',
        "$twin\nauth_oidc idp;\nserver {\nlocation /b {\nauth_oidc twin; # here\n}\n}",
        qr/oidc_provider "twin" AT $same "idp" in the same server, change one of them/],
    ['two providers whose cookies have one name on https', ($twin =~ s/\}/cookie_name __Host-NGX_OIDC_SESSION; }/r)
        . "\nserver {\nlocation /a { auth_oidc idp; }\nlocation /b {\nauth_oidc twin; # here\n}\n}",
        qr/oidc_provider "twin" AT $same "idp" in the same server, change one of them/],
    ['the same, the longer name first', ($twin =~ s/\}/cookie_name __Host-NGX_OIDC_SESSION; }/r)
        . "\nserver {\nlocation /a { auth_oidc twin; }\nlocation /b {\nauth_oidc idp; # here\n}\n}",
        qr/oidc_provider "idp" AT $same "twin" in the same server, change one of them/],
);

# A reload of a running nginx reports the same as "nginx -t", and is faster.
$t->write_file_expand('nginx.conf', http_block(provider_block('')));
$t->run();

for my $case (@in_provider) {
    my ($name, $directives, $says) = @$case;
    refuses($t, $name, provider_block("$directives # here"), qr/$says AT/);
}

refuses($t, @$_) for map { [$_->[0], provider_block('') . $_->[1], $_->[2]] } @in_http;

# All directives, with valid values.

my %right = (
    issuer => ['https://op.example.com', '"https://op.example.com:8443/realms/a/"', 'http://127.0.0.1:1',
        'http://localhost', 'http://[::1]:1'],
    oidc_insecure_http => ['off', "on;\njwks_uri http://op.example.com/keys"],
    client_id => ['client', '"a client:with %"'],
    client_secret => ['secret', '"with \"quotes\" and $dollar"', '""'],
    client_secret_file => ['secret', '%%TESTDIR%%/secret_crlf'],
    config_url => ['https://config.example.com/x?y', 'http://localhost:1/'],
    redirect_uri => ['/callback', '/a/callback', '"https://app.example.com/callback"',
        'http://localhost:1/callback', 'https://app.example.com/c'],
    scope => ['openid', 'openid profile email', '"profile email"', 'https://example.com/scope?a'],
    extra_auth_args => ['prompt=login', '"display=page&prompt=login"', 'login_hint=$arg_hint', '""'],
    pkce => ['on', 'off', 'auto'],
    cookie_name => ['sid', '__Host-sid', '__Secure-sid', "a!#%&'*+-.^_`|~z"],
    cookie_domain => ['example.com', '.example.com', 'localhost'],
    cookie_path => ['/', '/oidc_callback'],
    cookie_samesite => ['lax', 'strict', 'none', 'Lax'],
    cookie_partitioned => ['off', "on;\ncookie_samesite none"],
    session_key => ['key', 'key_low', '%%TESTDIR%%/keys'],
    session_timeout => ['1', '8h', '30d', '3650d'],
    session_idle_timeout => ['3650d'],
    session_max_lifetime => ['3650d', 'off'],
    session_claims => ['auto', 'all', 'email Name', 'auto email'],
    pre_auth_timeout => ['1s', '10m'],
    clock_skew => ['0', '60s', '1d'],
    id_token_alg => ['ES256', 'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519'],
    ssl_trusted_certificate => ['ca.crt', '%%TESTDIR%%/ca.crt'],
    ssl_crl => ['ca.crl'],
    ssl_verify_depth => ['0', '9'],
    connect_timeout => ['1ms', '10s'],
    read_timeout => ['1ms', '10s'],
);

is(refused_values($t, \%right), '', 'every valid value of oidc_provider is accepted');

# One directive for each kind of setter.
is(not_refusing($t, qr/invalid number of arguments in "%s" directive/, qw/ issuer scope pkce /,
    'issuer https://op.example.com https://op.example.com', 'pkce on off'), '',
    'a directive of oidc_provider with too many values is refused');

is(not_refusing($t, qr/"%s" directive is duplicate/, map { "$_ $right{$_}[0];\n$_ $right{$_}[1]" }
    qw/ client_id scope extra_auth_args pkce cookie_samesite session_timeout ssl_verify_depth
        read_timeout /), '', 'no directive of oidc_provider comes twice');

# Angie's names for them.
loads($t, 'scopes, for scope', provider_block('scopes openid profile email;'));
loads($t, 'code_challenge_method, beside pkce', provider_block("pkce on;\ncode_challenge_method S256;"));

loads($t, 'HS256 with a secret that is long enough', provider_block(
    "client_secret_file secret;\nid_token_alg HS256;"));

$t->write_file('login.conf', "issuer https://op.example.com;\nclient_id client;\n");
loads($t, 'a file included inside the block', 'oidc_provider idp { include login.conf; }');

$t->write_file('wrong.conf', "issuer https://op.example.com;\nclient_idd client;\n");
like(config_error($t, http_block('oidc_provider idp { include wrong.conf; }')),
    qr/^unknown directive "client_idd" in "oidc_provider", the nearest is "client_id" in \S+\/wrong.conf:2$/,
    'a wrong value in a file included in the block: its file and line');

$t->write_file_expand('server.conf', "server {\nlisten 127.0.0.1:8080;\nauth_oidc other;\n}\n");
like(config_error($t, http_block(provider_block('') . 'include server.conf;')),
    qr/^unknown oidc_provider "other" in "auth_oidc" in \S+\/server.conf:3, /,
    'an unknown provider in an included file: its file and line');

loads($t, 'a provider defined below its use',
    "server { auth_oidc idp; location / { auth_oidc idp; } }\n" . provider_block(''));

loads($t, 'two providers with one callback and cookie in two servers',
    provider_block('') . "$twin\nserver { auth_oidc idp; }\nserver { auth_oidc twin; }\n");

loads($t, 'two providers with one callback in a server, each with its cookie',
    provider_block('cookie_name one;') . "$twin\n"
    . "server { location / { auth_oidc idp; } location /b { auth_oidc twin; } }\n");

# On https names get a prefix: two names that differ in nothing else are the same.
my $prefixed = $twin =~ s/\}/cookie_name __Host-sid; }/r;
my $both = "server { location / { auth_oidc idp; } location /b { auth_oidc twin; } }\n";
loads($t, 'two providers whose cookies differ by a prefix, each with its callback',
    provider_block("cookie_name sid;\nredirect_uri /callback;") . "$prefixed\n$both");

loads($t, 'two providers with one cookie in a server, each with its callback',
    provider_block('redirect_uri /callback;') . "$twin\n"
    . "server { location / { auth_oidc idp; } location /b { auth_oidc twin; } }\n");

loads($t, 'two providers with one callback and cookie, chosen by a variable',
    provider_block('') . "$twin\nmap \$host \$idp { a idp; b twin; default off; }\n"
    . "server { auth_oidc \$idp; }\n");

my $choice = provider_block('') . "$twin\nmap \$host \$idp { a idp; b twin; default off; }\n";
my $chosen = 'location /a { auth_oidc $idp; }';
my $constant = 'location /b { auth_oidc idp; }';
is(config_error($t, http_block("$choice server { $chosen\n$constant }")) eq '',
    config_error($t, http_block("$choice server { $constant\n$chosen }")) eq '',
    'a variable beside a constant name, in either order');

loads($t, 'every directive of http, server and location', provider_block('') . <<'EOC');
    oidc_state_zone 64k;
    auth_oidc       idp;
    auth_oidc_mode  verify;
    oidc_base_url   https://app.example.com:8443;

    server {
        auth_oidc      off;
        auth_oidc_mode require;
        oidc_base_url  $scheme://$http_host;

        location / {
            auth_oidc      "$arg_idp";
            auth_oidc_mode off;
            oidc_base_url  "http://[::1]:8080/";
        }
    }
EOC

# These load, and protect nothing, or only a location further in.

my $nothing = qr/protects only locations with their own "auth_oidc_mode", because "auth_oidc_mode off" is inherited$/m;
for my $case (
    ['auth_oidc in location, mode in server', "server {\nauth_oidc_mode off;\nlocation / {\nauth_oidc idp; # here\n}\n}"],
    ['auth_oidc in server, mode in http', "auth_oidc_mode off;\nserver {\nauth_oidc idp; # here\nlocation / { }\n}"],
    ['auth_oidc in location, mode in http', "auth_oidc_mode off;\nserver { location / {\nauth_oidc idp; # here\n} }"],
    ['auth_oidc in a nested location', "server { location / { auth_oidc_mode off;\nlocation /a {\nauth_oidc idp; # here\n} } }"],
    ['auth_oidc above the mode', "server {\nlocation / {\nauth_oidc idp; # here\n}\nauth_oidc_mode off;\n}"],
    ['auth_oidc by a variable', "auth_oidc_mode off;\nserver {\nauth_oidc \$host; # here\n}"],
    ['auth_oidc that replaces another one', "auth_oidc idp;\nserver {\nauth_oidc_mode off;\nlocation / {\n"
        . "auth_oidc idp; # here\n} }"],
    ['auth_oidc with a mode in its inner locations', "auth_oidc_mode off;\nserver {\nauth_oidc idp; # here\n"
        . "location / { auth_oidc_mode require; } }"],
    ['both in one block', 'server { auth_oidc idp; auth_oidc_mode off; location / { } }'],
    ['both inherited', 'auth_oidc idp; auth_oidc_mode off; server { location / { if ($arg_a) { return 403; } } }'],
    ['auth_oidc inherited', 'auth_oidc idp; server { auth_oidc_mode off; location / { } }'],
    ['auth_oidc off', 'auth_oidc_mode off; server { auth_oidc off; }'],
    ['mode require beside it', 'auth_oidc_mode off; server { auth_oidc idp; auth_oidc_mode require; }'],
    ['mode verify inherited', 'auth_oidc_mode verify; server { auth_oidc idp; }'],
    ['mode require in between', 'auth_oidc_mode off; server { auth_oidc_mode require; location / { auth_oidc idp; } }'],
) {
    my ($name, $http) = @$case;
    my @lines = warned_lines($t, provider_block('') . $http, $nothing);
    my @expected = $http =~ /# here/ ? 1 + ($t->read_file('nginx.conf') =~ s/# here.*//sr) =~ tr/\n// : ();
    is("@lines", "@expected", "mode off: $name");
}

loads($t, 'no provider at all', "oidc_state_zone 1m;\nserver { auth_oidc off; }\n");

# Secrets that other users can read.

my %secret = (client_secret_file => 'secret', session_key => 'key', client_key => 'client.key',
    client_certificate_key => 'client.key');
my $with_secrets = provider_block(join "\n", 'client_certificate client.crt;',
    map { "$_ $secret{$_};" } sort keys %secret);

for my $mode (0644, 0604) {
    is_deeply([ warnings($t, $mode, $with_secrets) ], [ map { public($_, $secret{$_}) } sort keys %secret ],
        sprintf 'secrets with the mode %o: one warning for each', $mode);
}
for my $mode (0600, 0640, 0400, 0601) {
    is_deeply([ warnings($t, $mode, $with_secrets) ], [], sprintf 'secrets with the mode %o: none', $mode);
}
is_deeply([ warnings($t, 0644, provider_block("ssl_trusted_certificate ca.crt;\nssl_crl ca.crl;")) ], [],
    'files without secrets: no warning');

is_deeply([ map { /^("\w+" file "\S+?")/ } warnings($t, 0644, provider_block('session_key key;', 'a')
        . provider_block("session_key key;\nclient_secret_file secret;", 'b')
        . provider_block("session_key keys;\nclient_secret_file secret;", 'c')) ],
    [ map { s{ }{ file "@{[ $t->testdir ]}/}r } '"client_secret_file" secret"', '"session_key" key"', '"session_key" keys"' ],
    'a file shared by several providers: one warning');

# Mistakes that load with a warning: directives, and what is said of the oidc_provider.

for my $case (
    ['issuer https://op.example.com/.well-known/openid-configuration', qr/"issuer" "\S+" is the URL of a document, which .*/],
    (map { ["issuer https://login.microsoftonline.com/$_/v2.0", qr/"issuer" "\S+" names no single tenant, .*/] }
        'common', 'organizations', 'consumers', '{tenantid}'),
    (map { ["client_secret $_", qr/"client_secret" looks like the name of a file, use "client_secret_file" .*/] }
        '/etc/nginx/secret', './secret', '../secret'),
    ['client_secret a$b', qr/"\$" in "client_secret" stands for itself, the directive takes no variables/],
    (map { ["scope $_", qr/"scope" "\S+" is one scope, separate scopes by spaces/] } 'profile,email', 'openid+email'),
    ['post_logout_uri /bye', qr/"post_logout_uri" has no effect without "logout_uri"/],
) {
    my ($directive, $says) = @$case;
    my $quoted = $directive =~ s/(\S+) (.*)/$1 "$2"/r;
    my @said = warnings($t, 0600, provider_block("$quoted;"));
    ok(@said == 1 && $said[0] =~ /^(?:oidc_provider "idp": )?$says in \S+nginx\.conf:\d+$/, "warning: $directive") or diag("@said");
    unlike("@said", qr/etc|a\$b/, "warning without the secret: $directive") if $directive =~ /^client_secret/;
}
for my $directives ('issuer https://op.example.com/commons', 'client_secret abc/def', 'scope https://example.com/a,b',
    'logout_uri /logout; post_logout_uri /bye', 'client_secret_file secret') {
    is_deeply([ warnings($t, 0600, provider_block("$directives;")) ], [], "no warning: $directives");
}

my $redis = 'oidc_session_store redis { type redis; }';
like(join('', warnings($t, 0600, $redis . provider_block('session_store redis;'))),
    qr/^"session_store" in \S+:\d+ keeps sessions in Redis, but without a "session_key" they end on restart/,
    'warning: Redis without session_key');
is_deeply([ warnings($t, 0600, $redis . provider_block("session_store redis;\nsession_key key;")) ], [],
    'no warning: Redis with session_key');

chmod 0644, $t->testdir . '/key';
is(reload_error($t, http_block(provider_block('session_key key;'))), '', 'a key that other users can read is accepted');
is(scalar(my @warned = error_log_lines($t, qr/\[warn\].*"session_key" file/)), 1, 'a key that other users can read is logged once');

my $said = $t->read_file('error.log');
like($said, qr/invalid "session_key"/, 'the errors are logged');
unlike($said, qr/$key|\Q${\ substr $key, 2 }\E|not_hexadecimal|thirty-two|inline/,
    'no key or secret in the log');

# ------------------------------------------------------------------------------------------------------

sub http_block {
    return http_conf(map { s/\bserver \{/server { listen 127.0.0.1:8080;/gr } @_);
}

# An oidc_provider that is valid except for these directives.
sub provider_block {
    my ($directives, $name) = @_;

    my %right = (issuer => 'https://op.example.com', client_id => 'client');
    my @right = map { "$_ $right{$_};\n" } grep { $directives !~ /^$_\b/m } sort keys %right;

    return join '', 'oidc_provider ', $name || 'idp', " {\n", @right, "$directives\n}\n";
}

sub refuses {
    my ($t, $name, $http, $says) = @_;

    my $error = reload_error($t, http_block($http));
    my $line = 1 + ($t->read_file('nginx.conf') =~ s/# here.*//sr) =~ tr/\n//;
    my $next = $line + 1;

    $says =~ s/AT/in \\S+\\\/nginx.conf:(?:$line|$next)(?!\\d)/g;
    like($error, qr/^$says$/, $name);
}

# The error of a reload with this configuration, or ''.
sub reload_error {
    my ($t, $conf) = @_;

    $t->write_file_expand('nginx.conf', $conf);
    log_mark($t);
    $t->reload;

    my $said;
    wait_until(sub {
        ($said) = map { s/.*?\[emerg\] \d+#\d+: //r } error_log_lines($t, qr/\[emerg\]|gracefully shut/);
        return defined $said;
    });
    return $said =~ /gracefully shut/ ? '' : $said if defined $said;

    # A master that has died leaves its worker, which would keep our stdout open.
    kill 'TERM', $t->read_file('error.log') =~ /start worker process (\d+)/g;
    die 'nginx did not reload';
}

sub loads {
    my ($t, $name, $http) = @_;

    is(config_error($t, http_block($http)), '', $name);
}

# The warnings of nginx -t, with secrets of that mode.
sub warnings {
    my ($t, $mode, $http) = @_;

    chmod $mode, map { $t->testdir . "/$_" } values %secret;
    $t->write_file_expand('nginx.conf', http_block($http));
    return sort $t->dump_config =~ /\[warn\] (?:\d+#\d+: )?(.*)/g;
}

sub public {
    my ($directive, $file) = @_;

    my $dir = $t->testdir;
    my $line = 1 + ($t->read_file('nginx.conf') =~ s/^oidc_provider .*?\K^\}.*//msr) =~ tr/\n//;
    return qq{"$directive" file "$dir/$file" is readable by all users, set its mode to 600}
        . " in $dir/nginx.conf:$line";
}

# The lines of auth_oidc for which nginx -t has a warning with these words.
sub warned_lines {
    my ($t, $http, $words) = @_;

    $t->write_file_expand('nginx.conf', http_block($http));
    return $t->dump_config =~ /\[warn\] (?:\d+#\d+: )?"auth_oidc" in \S+\/nginx\.conf:(\d+) $words\n/g;
}

# All in one configuration, since each needs a provider of its own.
sub refused_values {
    my ($t, $right) = @_;

    my ($http, $number) = ('', 0);
    for my $directive (sort keys %$right) {
        $http .= provider_block("$directive $_;", 'idp' . ++$number) for @{ $right->{$directive} };
    }

    return config_error($t, http_block($http));
}

# The directives for which nginx -t does not report the sentence.
sub not_refusing {
    my ($t, $says, @directives) = @_;

    return join ' ', grep {
        my $sentence = sprintf $says, /^(\w+)/;
        reload_error($t, http_block(provider_block("$_;"))) !~ /^$sentence in \S+:\d+$/;
    } @directives;
}
