package Test::OIDC::Provider;

# A scriptable OpenID Provider: correct in every point until a knob breaks one. Started by provider() of
# Test::OIDC, which lists the knobs.

use warnings;
use strict;

use IO::Socket::INET ();
use POSIX ();

use Test::OIDC::Browser;
use Test::OIDC::Endpoints;
use Test::OIDC::Grants;
use Test::OIDC::JWT qw/ from_json to_json with_changes /;
use Test::OIDC::Reply qw/ reply_steps /;
use Test::OIDC::Server;
use Test::OIDC::URL qw/ parse_query /;

use base qw/ Test::OIDC::Daemon /;

my %default = (
    client_id => 'client',
    client_secret => 'secret-of-at-least-thirty-two-bytes',
    client_auth => [qw/ client_secret_basic client_secret_post /],
    user => {
        sub => 'alice', name => 'Alice Liddell', preferred_username => 'alice',
        email => 'alice@example.com', email_verified => \1,
    },
    jwks => [qw/ rsa ec-256 ec-384 ec-521 ed25519 /],
);

# $port is a real one. Options beside knobs: host and path of the issuer, and tls, the files of a
# Test::OIDC::CA. A provider of another shape has an issuer of its own, and endpoints:
# {'host/path' => our endpoint}.
sub new {
    my ($class, $t, $port, %knobs) = @_;

    my ($host, $path, $tls, $issuer, $endpoints)
        = delete @knobs{qw/ host path tls issuer endpoints /};
    my $origin = ($tls ? 'https' : 'http') . '://' . ($host // '127.0.0.1') . ":$port";

    return $class->SUPER::new($t, "provider-$port", { %default, %knobs },
        port => $port,
        tls => $tls,
        origin => $origin,
        place($origin, $path // ''),
        endpoints => $endpoints,
        defined $issuer ? (issuer => $issuer) : (),
    );
}

# The base URL of the endpoints of an issuer with that path.
sub place {
    my ($origin, $path) = @_;

    my $prefix = $path =~ s{/$}{}r;
    return (issuer => "$origin$path", base => "$origin$prefix", prefix => $prefix);
}

sub issuer { return shift->{issuer} }

sub listen_socket {
    my ($self) = @_;

    return IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $self->{port}, Proto => 'tcp', Listen => 128,
        ReuseAddr => 1) || die "provider: cannot listen on port $self->{port}: $!";
}

# Its grants outlast stop() and start(), as in a provider's database.
sub serve {
    my ($self, $socket) = @_;

    $self->recall;
    local $SIG{TERM} = sub { $self->remember; POSIX::_exit(0) };

    my $tls = $self->{tls};
    Test::OIDC::Server::serve($socket, sub { $self->answer(shift) },
        $tls ? (SSL_cert_file => $tls->{certificate}, SSL_key_file => $tls->{key}) : ());
}

my @memory = qw/ assertions codes pushed /;

sub recall {
    my ($self) = @_;

    my $file = "$self->{record_file}.memory";
    my $memory = -e $file ? from_json(Test::OIDC::Daemon::read_bytes($file)) : {};

    @$self{@memory} = @$memory{@memory};
    $self->{grants} = Test::OIDC::Grants->new($memory->{grants});
}

sub remember {
    my ($self) = @_;

    my %memory = (grants => $self->{grants}->remembered, map { $_ => $self->{$_} } @memory);
    Test::OIDC::Daemon::write_bytes("$self->{record_file}.memory", '>', to_json(\%memory));
}

sub answer {
    my ($self, $request) = @_;

    my $knobs = $self->current_knobs;
    my %place = defined $knobs->{tenant} ? place($self->{origin}, $knobs->{tenant}) : ();
    @$self{ keys %place } = values %place;

    my $params = parse_query($request->{method} eq 'POST' ? $request->{body} : $request->{query});
    my $kind = $self->kind_of($request, $params);
    my $break = $self->breakage($kind, $knobs);

    my $endpoint = $Test::OIDC::Endpoints::endpoint{$kind} || \&not_found;
    my $reply = $endpoint->($self, $knobs, $request);

    # an error of "respond" is a gateway's: the request has not arrived at the provider
    $reply->{then}->() if $reply->{then} && ($break->{status} || 200) < 400;

    $self->record($kind, %$request,
        params => $params, verdict => $reply->{verdict}, %{ $reply->{about} || {} });

    my $held = sub { $self->current_knobs->{respond}{$kind}{hold} };
    return reply_steps($reply, $break, $held);
}

# An endpoint is known by its path below the issuer's, or by host and path; a refresh is a kind of its own.
sub kind_of {
    my ($self, $request, $params) = @_;

    my $kind = $self->endpoint_of($request);
    return $kind eq '/token' && ($params->{grant_type} // '') eq 'refresh_token' ? '/token refresh' : $kind;
}

sub endpoint_of {
    my ($self, $request) = @_;

    my ($kind, $prefix) = ($request->{path}, $self->{prefix});
    return $kind =~ s/^\Q$prefix\E(?=\/)// ? $kind : '' unless $self->{endpoints};

    my $host = ($request->{headers}{host} // '') =~ s/:\d+$//r;
    return $self->{endpoints}{"$host$kind"} // '';
}

sub not_found { return Test::OIDC::Endpoints::page(404, 'no such endpoint') }

# The knob "respond" of this endpoint, unless its number of times is reached since the last set().
sub breakage {
    my ($self, $kind, $knobs) = @_;

    my $break = $knobs->{respond}{$kind} || {};
    my $times = $break->{times} or return $break;

    return $self->{used}{ $self->{generation} }{$kind}++ < $times ? $break : {};
}

#
# Back-channel logout, called by the test
#

# The record of the last login: grant, sid, sub and the issued tokens.
sub last_login {
    my ($self) = @_;

    my @logins = grep { $_->{grant} } $self->requests('/token');
    return $logins[-1] || {};
}

# Back-Channel Logout 1.0, 2.4: a logout token for the last login, made by a recipe like an ID token.
sub logout_token {
    my ($self, %recipe) = @_;

    my ($knobs, $login, $now) = ($self->{knobs}, $self->last_login, $self->now);
    my $claims = with_changes({
        iss => $self->{issuer},
        aud => $knobs->{client_id},
        iat => $now,
        exp => $now + 120,
        jti => Test::OIDC::Endpoints::random_string(),
        events => { 'http://schemas.openid.net/event/backchannel-logout' => {} },
        sub => $login->{sub} // $knobs->{user}{sub},
        sid => $login->{sid},
    });

    my $made = $self->with_times(\%recipe);
    return Test::OIDC::Endpoints::sealed($knobs, $claims, %$made,
        header => { typ => 'logout+jwt', %{ $made->{header} || {} } });
}

# Posts a logout token to a URI of nginx as a provider does, not as a browser; options and response are those
# of Test::OIDC::Browser.
sub send_logout_token {
    my ($self, $uri, $token, %options) = @_;

    my @of_browsers = qw/ Accept User-Agent Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site /;
    return Test::OIDC::Browser->new(%options)->post($uri, { logout_token => $token },
        headers => { map { $_ => undef } @of_browsers });
}

1;
