#!/usr/bin/perl

# Tests for oidc_insecure_http: http for issuer and endpoints off loopback hosts, as inside a cluster, where it is
# allowed; a warning at start where it is, and an error that names the directive where it is not.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site;

# The provider as the cluster knows it, and as browsers do
my $inside = 'http://op.example.com:' . port(8081);
my $outside = 'https://localhost:' . port(8082);
my $metadata = '/.well-known/openid-configuration';

# endpoint, its URL off loopback

my @endpoints = (
    ['issuer', $inside],
    ['config_url', "$inside$metadata"],
    ['authorization_endpoint', "$inside/authorize"],
    ['token_endpoint', "$inside/token"],
    ['jwks_uri', "$inside/jwks"],
    ['userinfo_endpoint', "$inside/userinfo"],
    ['pushed_authorization_request_endpoint', "$inside/par"],
    ['end_session_endpoint', "$inside/end_session"],
    ['revocation_endpoint', "$inside/revoke"],
);

my $advice = 'it must be an https URL, or http on a loopback host or with "oidc_insecure_http on"';

# values of another kind, which no directive allows

my @never = ('op.example.com', 'ftp://op.example.com/', 'http://user@op.example.com/', 'http://op.example.com/#a',
    'http:///');

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite sni socket_ssl_sni/)
    ->plan(5 * @endpoints + @never + 20);

my $op = provider($t, 8081, host => 'op.example.com');
my $ca = certificate_authority($t, 'ca');
my $tls = provider($t, 8082, host => 'localhost', tls => $ca->issue('op'));
my $dns = resolver($t, 8053, 'op.example.com' => '127.0.0.1');

# Do not read the system's certificates for every oidc_provider.
$ENV{SSL_CERT_FILE} = '/dev/null';

# What nginx -t says: the line of the URL if it is refused, that of the directive if it warns.

for my $case (@endpoints) {
    my ($name, $url) = @$case;

    for my $off ('', 'oidc_insecure_http off;') {
        like(error_of("$name $url; # here", $off), qr/^invalid "$name" "\Q$url", $advice\E in \S+nginx\.conf:#here$/,
            "$name with http, " . ($off || 'without the directive'));
    }
    is(error_of("$name $url;", 'oidc_insecure_http on;'), '', "$name with http, allowed below");
    is(error_of('oidc_insecure_http on;', "$name $url;"), '', "$name with http, allowed above");
    is(error_of("$name http://127.0.0.1:8081/;"), '', "$name with http on a loopback host");
}
for my $value (@never) {
    like(error_of("token_endpoint $value; # here", 'oidc_insecure_http on;'),
        qr/^invalid "token_endpoint" "\Q$value\E", it must be an https URL/, "token_endpoint $value, http allowed");
}
like(error_of('issuer http://op.example.com/?a; # here', 'oidc_insecure_http on;'),
    qr/^invalid "issuer" "\S+", it must be an https URL without query/, 'an issuer with a query, http allowed');
like(error_of('oidc_insecure_http maybe; # here'),
    qr/^invalid value "maybe" in "oidc_insecure_http" directive, it must be "on" or "off"/, 'neither on nor off');

my $warned = 'allows everybody on the network of oidc_provider "idp" to read its secrets and to forge logins';
my $warning = qr/\[warn\] .*"oidc_insecure_http" in \S+nginx\.conf:(\d+) $warned/;
my ($line) = said_of('oidc_insecure_http on; # here') =~ $warning;
is($line, line_here(), 'on: a warning');
unlike(said_of('oidc_insecure_http off;'), $warning, 'off: no warning');
unlike(said_of(''), $warning, 'without the directive: no warning');

# Logins

$t->write_file_expand('nginx.conf', nginx_conf(
    inside('inside', 'oidc_insecure_http on; userinfo on'),
    outside('endpoints', "oidc_insecure_http on; token_endpoint $inside/token; jwks_uri $inside/jwks"),
    outside('discovered', 'oidc_insecure_http on; userinfo on'),
    outside('refused', 'userinfo on'),
    outside('unused', ''),
    outside('secure', 'oidc_insecure_http on; userinfo on'),
    site('sub=$http_x_sub', <<'EOC')));
        resolver 127.0.0.1:%%PORT_8053_UDP%% ipv6=off;
        proxy_set_header X-Sub $oidc_claim_sub;
EOC
log_mark($t);
$t->run();

my @warned = map { /"oidc_insecure_http" in .* oidc_provider "(\w+)"/ } error_log_lines($t, qr/\[warn\]/);
is("@warned", 'inside endpoints discovered secure', 'a warning for each at start');

is(login(page_of('inside'))->{body}, 'sub=alice', 'an issuer with http: a login succeeds');
is(join(' ', map { $op->count($_) } $metadata, qw{ /authorize /token /jwks /userinfo }), '1 1 1 1 1',
    'an issuer with http: all requests');
$op->set(id_token => { signature => 'flip' });
is(outcome(login(page_of('inside'))), '502 id_token_signature', 'an issuer with http: tokens are verified');
$op->set(id_token => { claims => { iss => 'http://evil.example.com' } });
is(outcome(login(page_of('inside'))), '403 id_token_issuer', 'an issuer with http: tokens of another are refused');
$op->reset->clear->set(document => { issuer => 'https://op.example.com' });

# Endpoints inside, a site outside: the codes of one are those of the other only if both share them, so only the request
# is of interest here.

login(page_of('endpoints'));
is($op->count('/token') . $tls->count('/token'), '10', 'a token_endpoint with http: the request goes there');
is($op->count($metadata) . $tls->count($metadata), '01', 'a token_endpoint with http: metadata by https');

$op->reset->clear;
$tls->reset->clear->set(metadata => { userinfo_endpoint => "$inside/userinfo" });
login(page_of('discovered'));
is($op->count('/userinfo'), 1, 'metadata with an http endpoint, allowed: the request goes there');

log_mark($t);
$op->clear;
is(outcome(login(page_of('refused'))), '502 upstream_metadata', 'metadata with an http endpoint, not allowed: refused');
ok(log_has($t, qr/provider sent metadata whose userinfo_endpoint "\Q$inside\E\/userinfo" is not an https URL while/),
    'metadata with an http endpoint, not allowed: logged');
is(login(page_of('unused'))->{body}, 'sub=alice', 'metadata with an http endpoint that is not used: a login succeeds');
is($op->count, 0, 'metadata with an http endpoint, not allowed or not used: no request');

$tls->reset->clear->set(metadata => { token_endpoint => 'ftp://op.example.com/' });
is(outcome(login(page_of('secure'))), '502 upstream_metadata', 'metadata with an endpoint of another scheme');
$tls->reset->clear;
is(login(page_of('secure'))->{body}, 'sub=alice', 'allowed, but all endpoints with https: a login succeeds');
is(join(' ', error_log_lines($t, qr/secret-of-at-least/)), '', 'no secret is logged');

###############################################################################

sub inside { return oidc_provider($_[0], $_[1], issuer => $inside) }

sub outside {
    my ($name, $directives) = @_;

    return oidc_provider($name, join('; ', 'ssl_trusted_certificate %%TESTDIR%%/ca.crt', $directives || ()),
        issuer => $outside);
}

sub configure_idp {
    my (@lines) = @_;

    my %right = (issuer => 'https://op.example.com', client_id => 'client');
    my @right = map { "$_ $right{$_};" } grep { my $name = $_; !grep { /^$name / } @lines } sort keys %right;
    return http_conf(join "\n", 'oidc_provider idp {', @right, @lines, '}');
}

# The error of nginx -t; "#here" for the line with that mark
sub error_of {
    my (@lines) = @_;

    my $error = config_error($t, configure_idp(@lines));
    my $here = line_here() // 0;
    return $error =~ s/:$here$/:#here/r;
}

# All that nginx -t says
sub said_of {
    my (@lines) = @_;

    $t->write_file_expand('nginx.conf', configure_idp(@lines));
    return $t->dump_config;
}

sub line_here {
    my ($above) = $t->read_file('nginx.conf') =~ /\A(.*)# here/s or return undef;
    return 1 + ($above =~ tr/\n//);
}

###############################################################################
