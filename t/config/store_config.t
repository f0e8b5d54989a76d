#!/usr/bin/perl

# Tests for "nginx -t" with oidc_session_store and session_store: each wrong value is refused with a
# sentence, the file and the line; all right values load.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site qw/ http_conf /;

my $t = Test::Nginx->new()->has(qw/http rewrite/)->plan(66);

certificate_authority($t, 'ca');
$t->write_file('text', "no certificate\n");

# Inside oidc_session_store "kept": a name, directives of which the last is wrong, the sentence about it,
# which names the line of "# here" or the end of the block.

my $least = qr/it must be at least 256k/;
my $port = qr/it must be 1 to 65535/;
my $timeout = qr/oidc_session_store "kept" needs a "connect_timeout" and a "command_timeout" longer than 0/;

my $long_label = 'x' x 64;    # too long for DNS
my $redis = "type redis;\nhostname 127.0.0.1;";

my @in_store = (
    ['no type, which is memory', 'hostname 127.0.0.1;', unused('hostname')],
    ['type, unknown', 'type file;', qr/invalid "type" value "file", use one of: memory, redis/],
    ['type, twice', "type memory;\ntype memory;", qr/"type" directive is duplicate/],

    ['size, too small', "type memory;\nsize 255k;", qr/invalid "size" "255k", $least/],
    ['size, 0', "type memory;\nsize 0;", qr/invalid "size" "0", $least/],
    ['size, negative', "type memory;\nsize -1m;", qr/invalid "size" "-1m", $least/],
    ['size, no size', "type memory;\nsize large;", qr/invalid "size" "large", $least/],
    ['size, empty', qq{type memory;\nsize "";}, qr/invalid "size" "", $least/],
    ['size, twice', "type memory;\nsize 1m;\nsize 1m;", qr/"size" directive is duplicate/],
    ['size, of redis', "$redis\nsize 1m;", unused('size')],

    (map { my ($name) = /^(\w+)/; ["$name, of memory", "type memory;\n$_;", unused($name)] }
        'hostname 127.0.0.1', 'port 6379', 'database 0', 'username nginx', 'password secret', 'ssl off',
        'ssl_trusted_certificate ca.crt', 'connect_timeout 1s', 'command_timeout 1s'),

    ['memory_max_size, 0', 'memory_max_size 0;', qr/invalid "memory_max_size" "0", it must be at least 1/],
    ['memory_max_size, no number', 'memory_max_size 1m;', qr/"memory_max_size" directive invalid number/],
    ['memory_max_size, of redis', "$redis\nmemory_max_size 1;", unused('memory_max_size')],
    ['ttl, 0', 'ttl 0;', qr/invalid "ttl", it must be longer than 0/],
    ['ttl, no time', 'ttl soon;', qr/"ttl" directive invalid value/],

    (map { my ($name) = /^(\w+)/; ["$name, a variable", "type redis;\n$_;", qr/"$name" directive takes no variables, .*/] }
        'hostname $host', 'prefix $host', 'username $host'),
    ['hostname, a URL', "type redis;\nhostname redis://127.0.0.1;",
        qr/invalid .* in store ".*redis:\/\/127.0.0.1.*"/],
    ['hostname, one that cannot be', "type redis;\nhostname $long_label;",
        qr/host not found in store "$long_label:6379"/],
    ['port, 0', "$redis\nport 0;", qr/invalid "port" "0", $port/],
    ['port, too large', "$redis\nport 65536;", qr/invalid "port" "65536", $port/],
    ['port, no number', "$redis\nport redis;", qr/"port" directive invalid number/],
    ['database, negative', "$redis\ndatabase -1;", qr/"database" directive invalid number/],
    ['database, no number', "$redis\ndatabase sessions;", qr/"database" directive invalid number/],
    ['username, without a password', "$redis\nusername nginx;",
        qr/oidc_session_store "kept" has a "username" that needs a "password"/],
    ['prefix, not ASCII', "$redis\nprefix s\xc3\xa9;", qr/invalid "prefix" "s\\xC3\\xA9", it must be ASCII/],
    ['prefix, a line break', qq{$redis\nprefix "a\nb";}, qr/invalid "prefix" "a\\x0Ab", it must be ASCII/],
    ['connect_timeout, 0', "$redis\nconnect_timeout 0;", $timeout],
    ['command_timeout, 0', "$redis\ncommand_timeout 0ms;", $timeout],
    ['command_timeout, no time', "$redis\ncommand_timeout soon;", qr/"command_timeout" directive invalid value/],
    ['ssl, neither on nor off', "$redis\nssl yes;",
        qr/invalid value "yes" in "ssl" directive, it must be "on" or "off"/],
    ['ssl_trusted_certificate, absent', "$redis\nssl on;\nssl_trusted_certificate absent;",
        qr/invalid "ssl_trusted_certificate" "\S*absent", .+/],
    ['ssl_trusted_certificate, no certificate', "$redis\nssl on;\nssl_trusted_certificate text;",
        qr/invalid "ssl_trusted_certificate" "\S*text", .+/],

    ['a directive of oidc_provider', "type memory;\nissuer https://op.example.com;",
        qr/unknown directive "issuer" in "oidc_session_store"/],
    ['two values', "type memory redis;", qr/invalid number of arguments in "type" directive/],
    ['no value', "type memory;\nsize;", qr/invalid number of arguments in "size" directive/],
    ['a block in it', 'type {', qr/unexpected "\{"/],
);

for my $case (@in_store) {
    my ($name, $directives, $says) = @$case;
    refuses($t, $name, "oidc_session_store kept {\n$directives # here\n}\n", qr/$says AT/);
}

# In http.

my $memory = "oidc_session_store kept { type memory; }\n";
my $names = qr/use a word other than "off", "auto" and "cookie"/;

refuses($t, @$_) for (
    ['a store without a name', 'oidc_session_store { } # here',
        qr/invalid number of arguments in "oidc_session_store" directive AT/],
    ['a store without a block', 'oidc_session_store kept; # here',
        qr/directive "oidc_session_store" has no opening "\{" AT/],
    (map {
        ["a store named $_", "oidc_session_store $_ { type memory; } # here",
            qr/invalid oidc_session_store name "\Q${\ s{"}{}gr }\E", $names AT/]
    } qw/ auto cookie off $host "" /, '"two words"'),
    ['two stores of one name', "$memory oidc_session_store kept { type memory; } # here",
        qr/duplicate oidc_session_store "kept" AT/],
    ['a store in server', "server {\noidc_session_store kept { type memory; } # here\n}",
        qr/"oidc_session_store" directive is not allowed here AT/],

    ['session_store, unknown', provider_block("\nsession_store lost; # here"),
        qr/unknown oidc_session_store "lost" in "session_store" AT, define it in "http"/],
    ['session_store, in another letter case', $memory . provider_block("\nsession_store Kept; # here"),
        qr/unknown oidc_session_store "Kept" in "session_store" AT, define it in "http", the nearest is "kept"/],
    ['session_store, two', $memory . provider_block("\nsession_store auto kept; # here"),
        qr/invalid number of arguments in "session_store" directive AT/],
    ['session_store, twice', $memory . provider_block("session_store auto;\nsession_store kept; # here"),
        qr/"session_store" directive is duplicate AT/],
    ['session_store in http', "session_store auto; # here", qr/unknown directive "session_store" AT/],
);

$t->write_file('wrong.conf', "type redis;\nhostnam 127.0.0.1;\n");
like(config_error($t, http_block('oidc_session_store kept { include wrong.conf; }')),
    qr/^unknown directive "hostnam" in "oidc_session_store", the nearest is "hostname" in \S+\/wrong.conf:2$/,
    'a wrong value in a file included in the block: its file and line');

# Valid configurations.

my @right = (
    '', 'size 1m;', 'ttl 3600;', 'memory_max_size 1000;', 'type memory; prefix "oidc:session:";',
    'type redis;', 'type redis; hostname "";', 'type redis; ttl 1h; prefix "oidc:session:";',
    'type memory;', 'type Memory; size 256k;', 'type memory; size 1m;', $redis,
    'type redis; hostname localhost; port 65535; database 15; connect_timeout 1ms; command_timeout 1m;',
    'type redis; hostname "[::1]"; password "with \"quotes\" and $dollar"; prefix "";',
    'type redis; hostname ::1; port 1; username nginx; password secret; ssl off;',
    "$redis ssl on; ssl_trusted_certificate ca.crt;", "$redis ssl on;", "$redis prefix 'a b:{c}';",
);
is(config_error($t, http_block(join '', map { "oidc_session_store kept_$_ { $right[$_] }\n" } 0 .. $#right)),
    '', 'every valid value of oidc_session_store is accepted');

is(config_error($t, http_block(provider_block('session_store kept;')
    . "$memory oidc_session_store unused { type memory; }" . provider_block('session_store kept;', 'second')
    . provider_block('session_store cookie;', 'third') . provider_block('session_store auto;', 'fourth')
    . 'server { auth_oidc idp; }')),
    '', 'a store may be defined below its use, and be used by two providers or none');

$t->write_file('store.conf', "type redis;\nhostname 127.0.0.1;\npassword secret;\n");
is(config_error($t, http_block('oidc_session_store kept { include store.conf; }')), '',
    'a valid file included in the block');

# ------------------------------------------------------------------------------------------------------

sub unused {
    my ($directive) = @_;

    return qr/oidc_session_store "kept" has a "$directive", which its "type" does not use/;
}

sub refuses {
    my ($t, $name, $http, $says) = @_;

    my $error = config_error($t, http_block($http));
    my $line = 1 + ($t->read_file('nginx.conf') =~ s/# here.*//sr) =~ tr/\n//;
    my $next = $line + 1;

    $says =~ s/AT/in \\S+\\\/nginx.conf:(?:$line|$next)(?!\\d)/g;
    like($error, qr/^$says$/, $name);
}

# An oidc_provider that is valid except for these directives.
sub provider_block {
    my ($directives, $name) = @_;

    $name //= 'idp';
    return "oidc_provider $name { issuer https://op.example.com; client_id client; $directives\n}\n";
}

sub http_block {
    return http_conf(map { s/\bserver \{/server { listen 127.0.0.1:8080;/gr } @_);
}
