package Test::OIDC::Provider;

# A scriptable OpenID Provider: right in every point until a knob breaks one. Started by provider() of
# Test::OIDC; the knobs are listed there.

use warnings;
use strict;

use IO::Socket::INET ();

use Test::OIDC::Endpoints;
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

# $port is a real one. Options that are no knobs: host and path of the issuer, and tls, which is the
# pair of files that a Test::OIDC::CA has made. A provider of another shape has an issuer of its own,
# and endpoints: {'host/path' => which of ours it is}.
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

# Where an issuer with that path has its endpoints.
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

sub serve {
    my ($self, $socket) = @_;

    my $tls = $self->{tls};
    Test::OIDC::Server::serve($socket, sub { $self->answer(shift) },
        $tls ? (SSL_cert_file => $tls->{certificate}, SSL_key_file => $tls->{key}) : ());
}

sub answer {
    my ($self, $request) = @_;

    my $knobs = $self->current_knobs;
    my %place = defined $knobs->{tenant} ? place($self->{origin}, $knobs->{tenant}) : ();
    @$self{ keys %place } = values %place;

    my $kind = $self->kind_of($request);
    my $endpoint = $Test::OIDC::Endpoints::endpoint{$kind} || \&not_found;
    my $reply = $endpoint->($self, $knobs, $request);

    my $params = parse_query($request->{method} eq 'POST' ? $request->{body} : $request->{query});
    $self->record($kind, %$request, params => $params, verdict => $reply->{verdict});

    my $held = sub { $self->current_knobs->{respond}{$kind}{hold} };
    return reply_steps($reply, $self->breakage($kind, $knobs), $held);
}

# An endpoint is known by its path below the issuer's, or by host and path.
sub kind_of {
    my ($self, $request) = @_;

    my ($kind, $prefix) = ($request->{path}, $self->{prefix});
    return $kind =~ s/^\Q$prefix\E(?=\/)// ? $kind : '' unless $self->{endpoints};

    my $host = ($request->{headers}{host} // '') =~ s/:\d+$//r;
    return $self->{endpoints}{"$host$kind"} // '';
}

sub not_found { return Test::OIDC::Endpoints::page(404, 'no such endpoint') }

# The knob "respond" of this endpoint, unless it has had its number of times since the last set().
sub breakage {
    my ($self, $kind, $knobs) = @_;

    my $break = $knobs->{respond}{$kind} || {};
    my $times = $break->{times} or return $break;

    return $self->{used}{ $self->{generation} }{$kind}++ < $times ? $break : {};
}

1;
