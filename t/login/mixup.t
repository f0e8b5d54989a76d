#!/usr/bin/perl

# Tests for the mix-up attack (RFC 9207): an evil provider forwards the browser to an honest one, whose
# response comes to the callback that both share, so that the evil token endpoint would get its code. If two
# issuers share a callback in one server, each response must have an iss.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site;
use Test::OIDC::URL qw/ query_string /;

# The evil and the honest provider of each server, and their shared callback.
my %shared = (
    locations => [qw{ evil honest /callback }],
    inherited => [qw{ evil honest /callback }],
    nested => [qw{ evil honest /callback }],
    named => [qw{ evil honest /callback }],
    verified => [qw{ evil honest /callback }],
    variable => [qw{ evil honest /callback }],
    posted => [qw{ evil_posted honest_posted /posted }],
    absolute => [qw{ evil_absolute honest /callback }],    # the honest one's redirect_uri is a path
);

# Servers without a shared callback, and the providers there.
my %alone = (
    evil_alone => ['evil'],
    honest_alone => ['honest'],
    apart => [qw/ evil_apart honest_apart /],
    twins => [qw/ honest twin /],
    split => [qw/ evil honest_apart /],
);

my @silent = (
    metadata => { authorization_response_iss_parameter_supported => undef }, callback => { iss => undef });

my $t = Test::Nginx->new()->has(qw/http map proxy rewrite/)
    ->plan(1 + 17 * (1 + keys %shared) + 2 * map { @$_ } values %alone);

my $honest = provider($t, 8081, client_id => 'honest', @silent);
my $evil = provider($t, 8082, client_id => 'evil', @silent);

my %server = (
    locations => 'location /evil { auth_oidc evil; PASS } location /honest { auth_oidc honest; PASS }',
    inherited => 'auth_oidc evil; location /evil { PASS } location /honest { auth_oidc honest; PASS }',
    nested => 'location / { auth_oidc evil; PASS location /honest { auth_oidc honest; PASS } }',
    named => 'location /evil { auth_oidc evil; PASS }
        location /honest { try_files /nothing @honest; } location @honest { auth_oidc honest; PASS }',
    verified => 'auth_oidc honest; location /honest { PASS } location /evil { auth_oidc evil; PASS }
        location /open { auth_oidc_mode verify; PASS }',
    variable => 'location / { auth_oidc $provider; PASS }',
    posted => 'location /evil { auth_oidc evil_posted; PASS } location /honest { auth_oidc honest_posted; PASS }',
    absolute => 'location /evil { auth_oidc evil_absolute; PASS } location /honest { auth_oidc honest; PASS }',
    map { my $server = $_; $server => join ' ', map { "location /$_ { auth_oidc $_; PASS }" } @{ $alone{$server} } }
        keys %alone,
);

my %shares = (redirect_uri => '/callback');
my @providers = (
    evil('evil', '', %shares),
    evil('evil_apart', ''),
    evil('evil_posted', 'response_mode form_post', redirect_uri => '/posted'),
    evil('evil_absolute', '', redirect_uri => 'http://localhost:%%PORT_8080%%/callback'),
    honest('honest', '', %shares),
    honest('twin', '', %shares),
    honest('honest_apart', ''),
    honest('honest_posted', 'response_mode form_post', redirect_uri => '/posted'),
);

my @servers = map { server($_, $server{$_}) } sort keys %server;
is(config_error($t, configuration(@servers)), '', 'two issuers may share a callback');
$t->run();

is_shared($_, @{ $shared{$_} }) for sort keys %shared;
is_not_shared($_, @{ $alone{$_} }) for sort keys %alone;

# One provider in http, another one in a location of one server.

$t->stop;
$t->write_file_expand('nginx.conf', configuration('    auth_oidc evil;',
    server('http', 'location /evil { PASS } location /honest { auth_oidc honest; PASS }')));
$t->run();
is_shared('http', qw{ evil honest /callback });

# ------------------------------------------------------------------------------------------------------

sub is_shared {
    my ($server, $evil_name, $honest_name, $path) = @_;

    my $of_evil = without_iss($server eq 'absolute' ? 'http://localhost:' . port(8080) . $path : $path);
    my $other = 'authorization response came from another issuer, "' . $honest->issuer . '"';

    # The attack, with an honest provider that sends no iss.
    begin();
    my $answer = attack(visitor($server));
    is(outcome($answer), '400 callback_issuer', "$server, a mix-up: refused");
    ok(log_has($t, complaint($of_evil, $evil_name)), "$server, a mix-up: logged");
    is($evil->count('/token'), 0, "$server, a mix-up: no token request to the evil provider");
    is($honest->count('/token'), 0, "$server, a mix-up: no token request to the honest provider");
    is(scalar @{ $answer->{set_cookie} }, 0, "$server, a mix-up: no cookie");

    begin(error => 'access_denied');
    is(outcome(attack(visitor($server))), '400 callback_issuer', "$server, a mix-up with an error: refused");
    ok(log_has($t, complaint($of_evil, $evil_name)), "$server, a mix-up with an error: logged");

    # With an honest provider that sends its iss.
    begin(callback => {});
    is(outcome(attack(visitor($server))), '400 callback_issuer', "$server, a mix-up with iss: refused");
    ok(log_has($t, complaint($other, $evil_name)), "$server, a mix-up with iss: logged");
    is($evil->count('/token') + $honest->count('/token'), 0,
        "$server, a mix-up with iss: no token request");

    # An honest login without iss cannot be told from a mix-up.
    begin();
    is(outcome(visitor($server)->login('/honest')), '400 callback_issuer', "$server, a login without iss: refused");
    ok(log_has($t, complaint(without_iss($path), $honest_name)), "$server, a login without iss: logged");
    is($honest->count('/token'), 0, "$server, a login without iss: no token request");
    begin(callback => { iss => '' });
    is(outcome(visitor($server)->login('/honest')), '400 callback_issuer', "$server, a login with an empty iss: refused");

    begin(callback => {});
    is(visitor($server)->login('/honest')->{body}, 'application', "$server, a login with iss: succeeds");
    is(visitor($server)->login('/evil')->{body}, 'application', "$server, a login with iss at the evil provider: succeeds");
    begin(callback => {}, error => 'access_denied');
    is(outcome(visitor($server)->login('/honest')), '403 provider_access_denied', "$server, an error with iss: accepted");
}

sub is_not_shared {
    my ($server, @names) = @_;

    for my $name (@names) {
        begin();
        is(visitor($server)->login("/$name")->{body}, 'application', "$server, $name, a login without iss: succeeds");
        begin(error => 'access_denied');
        is(outcome(visitor($server)->login("/$name")), '403 provider_access_denied',
            "$server, $name, an error without iss: accepted");
    }
}

# Resets both providers, then sets these knobs of both.
sub begin {
    my (%knobs) = @_;

    $_->reset->clear->set(%knobs) for $honest, $evil;
    log_mark($t);
}

# A login at the evil provider, which forwards the browser to the honest one with the client_id known there
# and the state of its own login: the response to the callback.
sub attack {
    my ($victim) = @_;

    my $sent = $victim->get('/evil');
    my $params = { %{ query($sent->{location}) }, client_id => 'honest' };
    my $at_honest = $honest->issuer . '/authorize?' . query_string($params);
    return $victim->follow($victim->get($at_honest, from => $sent->{location}));
}

# The log sentence, with the redirect_uri of the provider of the login.
sub without_iss {
    my ($uri) = @_;

    return 'authorization response has no iss to distinguish the issuers that share redirect_uri '
        . qq{"$uri" in this server, give each oidc_provider its own redirect_uri};
}

sub complaint {
    my ($sentence, $name) = @_;

    return qr/\[error\] .*oidc: \Q$sentence\E while handling the callback, provider "$name"/;
}

sub visitor { return browser(base => 'http://' . host_of($_[0]) . ':' . port(8080)) }

# Browsers treat localhost, and hosts below it, like https.
sub host_of { return $_[0] eq 'absolute' ? 'localhost' : "$_[0].localhost" }

sub honest {
    my ($name, $directives, %changes) = @_;

    return oidc_provider($name, $directives, client_id => 'honest', %changes);
}

sub evil {
    my ($name, $directives, %changes) = @_;

    return oidc_provider($name, $directives, client_id => 'evil', issuer => 'http://127.0.0.1:8082', %changes);
}

sub configuration {
    my (@blocks) = @_;

    return nginx_conf(@providers, <<'EOF', @blocks);
    map $uri $provider {
        ~^/(?<named>\w+) $named;
    }

    server {
        listen 127.0.0.1:8083;
        auth_oidc off;
        return 200 application;
    }
EOF
}

sub server {
    my ($name, $directives) = @_;

    my $host = host_of($name);
    $directives =~ s/PASS/proxy_pass http:\/\/127.0.0.1:8083;/g;
    return <<"EOF";
    server {
        listen      127.0.0.1:8080;
        server_name $host;

        add_header X-Error \$oidc_error always;

        $directives
    }
EOF
}
