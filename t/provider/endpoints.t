#!/usr/bin/perl

# Tests for endpoints set by the configuration instead of the metadata, and for the directive audience.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site;

my $metadata = '/.well-known/openid-configuration';
my $elsewhere = 'http://127.0.0.1:' . port(8082);
my $needed = join '; ', map { "$_->[0] http://127.0.0.1:8081/$_->[1]" }
    ['authorization_endpoint', 'authorize'], ['token_endpoint', 'token'], ['jwks_uri', 'jwks'];

# name of the oidc_provider, directives, number of requests of a login to /.well-known, /par, /authorize,
# /token, /jwks and /userinfo

my @static = (
    ['needed', $needed, '0 0 1 1 1 0'],
    ['userinfo', "$needed; userinfo on; userinfo_endpoint http://127.0.0.1:8081/userinfo", '0 0 1 1 1 1'],
    ['pushed', "$needed; pushed_authorization on;
        pushed_authorization_request_endpoint http://127.0.0.1:8081/par", '0 1 1 1 1 0'],
    ['unused', "$needed; userinfo_endpoint http://127.0.0.1:8081/userinfo", '0 0 1 1 1 0'],
    ['userinfo_discovered', "$needed; userinfo on", '1 0 1 1 1 1'],
    ['pushed_discovered', "$needed; pushed_authorization on", '1 1 1 1 1 0'],
    ['none', '', '1 0 1 1 1 0'],
);

# directive, path: an endpoint that the configuration sets in place of the one in the metadata

my @partial = (
    ['authorization_endpoint', '/authorize'],
    ['token_endpoint', '/token'],
    ['jwks_uri', '/jwks'],
    ['userinfo_endpoint', '/userinfo'],
    ['pushed_authorization_request_endpoint', '/par'],
);

# arguments of audience, aud of the ID token, log sentence after "id token is" if it is refused, azp if there is one

my @audiences = (
    ['', 'client'],
    ['', ['client']],
    ['', [qw/ client client /]],
    ['', 'other', 'for another audience, "\x22other\x22"'],
    ['', [qw/ client other /], 'also for an untrusted audience, "[\x22client\x22,\x22other\x22]"'],
    ['other', [qw/ client other /]],
    ['other', [qw/ other client /]],
    ['other', 'client'],
    ['other', ['client']],
    ['other', 'other', 'for another audience, "\x22other\x22"'],
    ['other', ['other'], 'for another audience, "[\x22other\x22]"'],
    ['other', [qw/ client other third /],
        'also for an untrusted audience, "[\x22client\x22,\x22other\x22,\x22third\x22]"'],
    ['other', [qw/ client Other /], 'also for an untrusted audience, "[\x22client\x22,\x22Other\x22]"'],
    ['other', ['client', 1], 'also for an untrusted audience, "[\x22client\x22,1]"'],
    ['other third', [qw/ third client other /]],
    ['other third', [qw/ client third /]],
    ['other third', [qw/ other third /], 'for another audience, "[\x22other\x22,\x22third\x22]"'],
    ['other third', 'other third', 'for another audience, "\x22other third\x22"'],
    ['https://api.example.com/', ['client', 'https://api.example.com/']],
    ['https://api.example.com/', ['client', 'https://api.example.com'],
        'also for an untrusted audience, "[\x22client\x22,\x22https://api.example.com\x22]"'],
    ['*', 'client'],
    ['*', ['client']],
    ['*', [qw/ other client third /], undef, 'client'],
    ['*', [qw/ client other /], without_azp('[\x22client\x22,\x22other\x22]')],
    ['*', [qw/ client other /], without_azp('[\x22client\x22,\x22other\x22]'), 'other'],
    ['*', [qw/ client other /], without_azp('[\x22client\x22,\x22other\x22]'), ['client']],
    ['*', [qw/ client * /], without_azp('[\x22client\x22,\x22*\x22]')],
    ['*', ['client', 1], 'also for an untrusted audience, "[\x22client\x22,1]"', 'client'],
    ['*', [qw/ other third /], 'for another audience, "[\x22other\x22,\x22third\x22]"', 'client'],
    ['*', '*', 'for another audience, "\x22*\x22"', 'client'],
);

sub without_azp { return qq{also for another audience, "$_[0]", without client_id as azp} }


my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)
    ->plan(3 * @static + 2 * @partial + 16 + 2 * @audiences + 2 * grep { defined $_->[2] } @audiences);

my $op = provider($t, 8081, metadata => {
    pushed_authorization_request_endpoint => 'http://127.0.0.1:' . port(8081) . '/par' });
my $other = provider($t, 8082);

my @providers = (
    (map { oidc_provider($_->[0], $_->[1]) } @static),
    (map { oidc_provider("only_$_->[0]", 'userinfo on; pushed_authorization on; '
        . "$_->[0] http://127.0.0.1:8082$_->[1]") } @partial),
    oidc_provider('https', $needed =~ s{http://127\.0\.0\.1:8081}{https://op.example.com:8443}gr,
        issuer => 'https://op.example.com'),
    (map { oidc_provider("audience$_", length $audiences[$_][0] ? "audience $audiences[$_][0]" : '') }
        0 .. $#audiences),
);

# Do not read the system's certificates for every oidc_provider.
$ENV{SSL_CERT_FILE} = '/dev/null';

# Errors of nginx -t

for my $directive (map { $_->[0] } @partial) {
    for my $case (['ftp://op', ''], ['http://op.example.com/', ' or with "oidc_insecure_http on"']) {
        my ($url, $hint) = @$case;
        my $error = config_error($t, nginx_conf(oidc_provider('idp', "$directive $url"), site('')));
        my $advice = "it must be an https URL, or http on a loopback host$hint";
        like($error, qr/^invalid "$directive" "\Q$url\E", $advice in \S+:\d+$/, "$directive $url");
    }
}

$t->write_file_expand('nginx.conf', nginx_conf(@providers, site('application')));
$t->run();

# With all needed endpoints configured, the metadata is not requested.

for my $case (@static) {
    my ($name, undef, $expected) = @$case;

    $op->reset->clear;
    $op->set(respond => { $metadata => { status => 404 } }) if $expected =~ /^0/;
    my $answer = login("/?op=$name");

    is("$answer->{status} $answer->{body}", '200 application', "$name: a login succeeds");
    is(requests_to($op), $expected, "$name: number of requests");
    is(login("/?op=$name")->{status}, 200, "$name: another login succeeds");
}

# Configured endpoints take precedence over the metadata.

for my $case (@partial) {
    my ($directive, $path) = @$case;

    $_->reset->clear for $op, $other;
    my $answer = browser()->get("/?op=only_$directive");
    my $asked = $path eq '/authorize' ? $answer->{location} =~ m{^\Q$elsewhere/authorize?\E}
        : $path eq '/par' ? $other->count('/par')
        : login_across($op, $other, "/?op=only_$directive", $path);

    is($asked, 1, "$directive: the configured endpoint is used");
    is($op->count($metadata) . $op->count($path) . $other->count($metadata), '100',
        "$directive: the endpoint in the metadata is not used");
}

# Metadata that is not requested is not checked.

$op->reset->clear->set(document => { issuer => 'https://evil.example.com' });
is(login('/?op=needed')->{status}, 200, 'metadata of another issuer, not requested');
my $sent = browser()->get('/?op=https');
like($sent->{location}, qr{^https://op\.example\.com:\d+/authorize\?}, 'https endpoints');

$op->reset;
$sent = query(browser()->get('/?op=needed')->{location});
is($sent->{code_challenge_method}, 'S256', 'PKCE without metadata');

$op->set(callback => { iss => undef });
is(login('/?op=needed')->{status}, 200, 'iss in the callback, not advertised');
$op->set(callback => { iss => 'https://evil.example.com' });
is(outcome(login('/?op=needed')), '400 callback_issuer', 'iss of another issuer');

# Additional audiences

for my $number (0 .. $#audiences) {
    my ($trusted, $aud, $sentence, $azp) = @{ $audiences[$number] };
    my ($names, $party) = map { ref $_ ? "[@$_]" : $_ } $aud, $azp;
    my $name = join ', ', qq{audience "$trusted"}, "aud $names", defined $party ? "azp $party" : ();

    $op->reset->clear->set(id_token => { claims => { aud => $aud, defined $azp ? (azp => $azp) : () } });
    log_mark($t);
    my $answer = login("/?op=audience$number");

    is(outcome($answer), defined $sentence ? '403 id_token_audience' : '200', $name);
    is(defined $answer->{browser}->cookie("audience$number") ? 'a session' : 'none',
        defined $sentence ? 'none' : 'a session', "$name: session");
    next unless defined $sentence;

    ok(log_has($t, qr/oidc: id token is \Q$sentence\E while handling the callback/), "$name: logged");
    is($op->count('/userinfo'), 0, "$name: no user info request");
}

like(config_error($t, nginx_conf(oidc_provider('idp', 'audience'), site(''))),
    qr/^invalid number of arguments in "audience" directive in \S+:\d+$/, 'audience without a value');

###############################################################################

sub requests_to {
    my ($op) = @_;

    return join ' ', map { $op->count($_) } $metadata, qw{ /par /authorize /token /jwks /userinfo };
}

# Starts a login that sends a request to that path of the other provider. Returns the number of requests.
sub login_across {
    my ($op, $other, $page, $path) = @_;

    login($page);
    return $other->count($path);
}

###############################################################################
