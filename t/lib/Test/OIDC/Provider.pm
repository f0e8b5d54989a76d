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
# pair of files that a Test::OIDC::CA has made.
sub new {
    my ($class, $t, $port, %knobs) = @_;

    my ($host, $path, $tls) = delete @knobs{qw/ host path tls /};
    my $issuer = ($tls ? 'https' : 'http') . '://' . ($host // '127.0.0.1') . ":$port" . ($path // '');

    return $class->SUPER::new($t, "provider-$port", { %default, %knobs },
        port => $port,
        tls => $tls,
        issuer => $issuer,
        base => $issuer =~ s{/$}{}r,
        prefix => ($path // '') =~ s{/$}{}r,
    );
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

# An endpoint is known by its path below the issuer's.
sub answer {
    my ($self, $request) = @_;

    my $kind = $request->{path};
    $kind = '' unless $kind =~ s/^\Q$self->{prefix}\E(?=\/)//;

    my $knobs = $self->current_knobs;
    my $endpoint = $Test::OIDC::Endpoints::endpoint{$kind} || \&not_found;
    my $reply = $endpoint->($self, $knobs, $request);

    my $params = parse_query($request->{method} eq 'POST' ? $request->{body} : $request->{query});
    $self->record($kind, %$request, params => $params, verdict => $reply->{verdict});

    my $held = sub { $self->current_knobs->{respond}{$kind}{hold} };
    return reply_steps($reply, $self->breakage($kind, $knobs), $held);
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
