package Test::OIDC::Shape;

# A real provider, imitated by the scripted one: t/providers/NAME.json has its discovery document, token
# response, ID token and user info from its documentation. Hosts and paths stay its own; only the port is
# that of the test, and the certificate is valid for all its hosts.
#
#   my $shape = Test::OIDC::Shape->new('google');
#   my $op = $shape->provider($t, 8081, $ca, client_id => 'x');    like any other provider()
#   $shape->at_port($text)                                         https://host becomes https://host:port
#   $shape->hosts                                                  for a resolver() and a certificate
#   $shape->variant('overage')                                     knobs for $op->set
#
# The file: metadata; endpoints that metadata does not name; client_auth, if metadata has none; callback,
# parameters beside code and state; token, members of the token response; access_token; id_token, a recipe of
# Test::OIDC::JWT, whose claims are all but iss, aud, exp, iat, nonce, auth_time and at_hash, unless changed
# or removed; userinfo, its claims; variants, by name.

use warnings;
use strict;

use File::Basename qw/ dirname /;

use Test::Nginx qw//;
use Test::OIDC::JWT qw/ from_json /;
use Test::OIDC::Provider;

my $folder = dirname(__FILE__) . '/../../../providers';

my %endpoint = (
    authorization_endpoint => '/authorize', token_endpoint => '/token', jwks_uri => '/jwks',
    userinfo_endpoint => '/userinfo', end_session_endpoint => '/end_session',
);

sub new {
    my ($class, $name) = @_;

    open my $in, '<:raw', "$folder/$name.json" or die "$name: $!";
    local $/;
    my $self = bless { name => $name, text => <$in> }, $class;

    my $metadata = from_json($self->{text})->{metadata};
    my %host = map { (host_and_path($_))[0] => 1 }
        map { $metadata->{$_} } grep { defined $metadata->{$_} } 'issuer', keys %endpoint;

    $self->{hosts} = [ sort keys %host ];
    $self->{issuer} = $metadata->{issuer};
    return $self;
}

sub hosts { return @{ shift->{hosts} } }

sub provider {
    my ($self, $t, $port, $ca, %knobs) = @_;

    $self->{port} = Test::Nginx::port($port);
    my $shape = from_json($self->at_port($self->{text}));
    $self->{variants} = $shape->{variants};

    return Test::OIDC::Provider->new($t, $self->{port},
        tls => $ca->issue($self->{name}, names => $self->{hosts}),
        issuer => $shape->{metadata}{issuer},
        endpoints => { %{ endpoints($shape->{metadata}) }, %{ $shape->{endpoints} || {} } },
        document => $shape->{metadata},
        client_auth => $shape->{client_auth}
            || $shape->{metadata}{token_endpoint_auth_methods_supported},
        user => {},
        (map { $_ => $shape->{$_} } grep { defined $shape->{$_} } qw/ access_token callback token id_token /),
        userinfo => { claims => $shape->{userinfo} || {} },
        %knobs,
    );
}

sub variant {
    my ($self, $name) = @_;

    return %{ $self->{variants}{$name} || die "no variant \"$name\" of $self->{name}" };
}

sub at_port {
    my ($self, $text) = @_;

    my $hosts = join '|', map { quotemeta } @{ $self->{hosts} };
    return $text =~ s{(https://(?:$hosts))(?=[/"';\s])}{$1:$self->{port}}gr;
}

# Our endpoint for each host and path.
sub endpoints {
    my ($metadata) = @_;

    my %found = map { join('', host_and_path($metadata->{$_})) => $endpoint{$_} }
        grep { defined $metadata->{$_} } keys %endpoint;

    my $issuer = $metadata->{issuer} =~ s{/$}{}r;
    my $well_known = '/.well-known/openid-configuration';
    $found{ join '', host_and_path($issuer . $well_known) } = $well_known;
    return \%found;
}

sub host_and_path {
    my ($url) = @_;

    my @parts = $url =~ m{^https://([^/:]+)(?::\d+)?([^?]*)} or die "no https URL: \"$url\"";
    return @parts;
}

1;
