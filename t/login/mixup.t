#!/usr/bin/perl

# Tests for the mix-up of providers (RFC 9207): an evil one sends the browser on to an honest one, which
# answers to the callback that both share, so that its code would go to the evil one's token endpoint. Where
# two issuers share a callback in one server, each answer has to say whose it is.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Site;
use Test::OIDC::URL qw/ query_string /;

select STDERR; $| = 1;
select STDOUT; $| = 1;

# Who are the evil and the honest provider of each server, and where their callbacks are.
my %shared = (
    locations => [qw{ evil honest /callback }],
    inherited => [qw{ evil honest /callback }],
    nested => [qw{ evil honest /callback }],
    named => [qw{ evil honest /callback }],
    verified => [qw{ evil honest /callback }],
    variable => [qw{ evil honest /callback }],
    posted => [qw{ evil_posted honest_posted /posted }],
    absolute => [qw{ evil_absolute honest /callback }],    # of the honest one
);

# Servers where nothing is shared, and the providers there.
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

# The system's bundle of certificates, which every oidc_provider reads, is not needed.
$ENV{SSL_CERT_FILE} = '/dev/null';

my @servers = map { server($_, $server{$_}) } sort keys %server;
is(config_error($t, configuration(@servers)), '', 'two issuers at one callback are a configuration that loads');
$t->run();

is_shared($_, @{ $shared{$_} }) for sort keys %shared;
is_not_shared($_, @{ $alone{$_} }) for sort keys %alone;

# One provider for all servers, another one in a location of one.

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

    # The attack, at an honest provider that does not say who it is.
    begin();
    my $answer = attack(visitor($server));
    is(outcome($answer), '400 callback_issuer', "$server, a mix-up: is refused");
    ok(log_has($t, complaint($of_evil, $evil_name)), "$server, a mix-up: logged");
    is($evil->count('/token'), 0, "$server, a mix-up: the evil one gets no code");
    is($honest->count('/token'), 0, "$server, a mix-up: nor does anybody");
    is(scalar @{ $answer->{set_cookie} }, 0, "$server, a mix-up: nothing is kept");

    begin(error => 'access_denied');
    is(outcome(attack(visitor($server))), '400 callback_issuer', "$server, a mix-up with an error: is refused");
    ok(log_has($t, complaint($of_evil, $evil_name)), "$server, a mix-up with an error: logged");

    # At one that does.
    begin(callback => {});
    is(outcome(attack(visitor($server))), '400 callback_issuer', "$server, a mix-up at one that says who it is: is refused");
    ok(log_has($t, complaint($other, $evil_name)), "$server, a mix-up at one that says who it is: logged");
    is($evil->count('/token') + $honest->count('/token'), 0,
        "$server, a mix-up at one that says who it is: nobody gets a code");

    # Nobody's mix-up, and yet nothing tells.
    begin();
    is(outcome(visitor($server)->login('/honest')), '400 callback_issuer', "$server, a login without iss: is refused");
    ok(log_has($t, complaint(without_iss($path), $honest_name)), "$server, a login without iss: logged");
    is($honest->count('/token'), 0, "$server, a login without iss: its code is used by nobody");
    begin(callback => { iss => '' });
    is(outcome(visitor($server)->login('/honest')), '400 callback_issuer', "$server, a login with an empty iss: is refused");

    begin(callback => {});
    is(visitor($server)->login('/honest')->{body}, 'application', "$server, a login with iss: ends well");
    is(visitor($server)->login('/evil')->{body}, 'application', "$server, a login with iss at the other one: too");
    begin(callback => {}, error => 'access_denied');
    is(outcome(visitor($server)->login('/honest')), '403 provider_access_denied', "$server, an error with iss: is an error");
}

sub is_not_shared {
    my ($server, @names) = @_;

    for my $name (@names) {
        begin();
        is(visitor($server)->login("/$name")->{body}, 'application', "$server, $name, a login without iss: ends well");
        begin(error => 'access_denied');
        is(outcome(visitor($server)->login("/$name")), '403 provider_access_denied',
            "$server, $name, an error without iss: is an error");
    }
}

# Both providers as they are at first, but for these knobs of both.
sub begin {
    my (%knobs) = @_;

    $_->reset->clear->set(%knobs) for $honest, $evil;
    log_mark($t);
}

# A login at the evil provider, which sends the browser to the honest one, as the client that is known
# there, and with the state of its own login: the callback's answer.
sub attack {
    my ($victim) = @_;

    my $sent = $victim->get('/evil');
    my $asked = { %{ query($sent->{location}) }, client_id => 'honest' };
    my $at_honest = $honest->issuer . '/authorize?' . query_string($asked);
    return $victim->follow($victim->get($at_honest, from => $sent->{location}));
}

# By the redirect_uri of the one whose login it is.
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

# Browsers take the host of an absolute redirect_uri, and any below localhost, for as good as https.
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
