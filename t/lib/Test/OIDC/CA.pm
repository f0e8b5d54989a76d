package Test::OIDC::CA;

# Certificates for a test, created in its directory: an authority, valid and invalid server certificates,
# revocation lists.
#
#   my $ca = Test::OIDC::CA->new($t, 'ca');                  %%TESTDIR%%/ca.crt
#   my $tls = $ca->issue('op');                              %%TESTDIR%%/op.crt and op.key
#   $ca->issue('old', expired => 1);                         or not_yet => 1
#   $ca->issue('wrong', names => ['elsewhere.example.com']); its names and addresses
#   $ca->crl('ca.crl', 'op');                                %%TESTDIR%%/ca.crl, which revokes op
#   my $sub = $ca->intermediate('sub');                      certificates it issues include its own

use warnings;
use strict;

use IO::Socket::SSL::Utils qw/ CERT_create KEY_create_ec PEM_cert2string PEM_key2string /;
use Net::SSLeay ();

use constant DAY => 86400;

my @names = qw/ localhost op.example.com app.example.com 127.0.0.1 /;
my $serial = 1000;

sub new {
    my ($class, $t, $name) = @_;

    return bless({ dir => $t->testdir, chain => '' }, $class)->certify($name);
}

sub intermediate {
    my ($self, $name) = @_;

    my $sub = bless({ dir => $self->{dir} }, ref $self)->certify($name, $self);
    $sub->{chain} = PEM_cert2string($sub->{pair}[0]) . $self->{chain};
    return $sub;
}

sub certify {
    my ($self, $name, $issuer) = @_;

    my @pair = CERT_create(
        CA => 1, purpose => { cRLSign => 1 }, key => KEY_create_ec(), serial => ++$serial,
        subject => { commonName => "test authority $name" }, not_before => time - 2 * DAY,
        $issuer ? (issuer => $issuer->{pair}) : (),
    );

    $self->{pair} = \@pair;
    $self->{certificate} = $self->write("$name.crt", PEM_cert2string($pair[0]));
    return $self;
}

# The files, in the form of provider()'s tls.
sub issue {
    my ($self, $name, %options) = @_;

    my @names = @{ $options{names} || \@names };
    my ($from, $to) = $options{expired} ? (-2, -1) : $options{not_yet} ? (1, 2) : (-1, 30);

    my ($certificate, $key) = CERT_create(
        purpose => 'server', key => KEY_create_ec(), serial => ++$serial, issuer => $self->{pair},
        subject => { commonName => $names[0] },
        subjectAltNames => [ map { [ /^[\d.]+$/ ? 'IP' : 'DNS', $_ ] } @names ],
        not_before => time + $from * DAY, not_after => time + $to * DAY,
    );

    $self->{serials}{$name} = $serial;
    return {
        certificate => $self->write("$name.crt", PEM_cert2string($certificate) . $self->{chain}),
        key => $self->write("$name.key", PEM_key2string($key)),
    };
}

sub crl {
    my ($self, $file, @revoked) = @_;

    my ($certificate, $key) = @{ $self->{pair} };
    my $crl = Net::SSLeay::X509_CRL_new();

    Net::SSLeay::X509_CRL_set_version($crl, 1);
    Net::SSLeay::X509_CRL_set_issuer_name($crl, Net::SSLeay::X509_get_subject_name($certificate));
    Net::SSLeay::X509_CRL_set_lastUpdate($crl, asn1_time(time - DAY));
    Net::SSLeay::X509_CRL_set_nextUpdate($crl, asn1_time(time + DAY));

    for my $name (@revoked) {
        Net::SSLeay::P_X509_CRL_add_revoked_serial_hex(
            $crl, sprintf('%x', $self->{serials}{$name}), asn1_time(time - DAY), 0, 0);
    }

    Net::SSLeay::X509_CRL_sign($crl, $key, Net::SSLeay::EVP_get_digestbyname('sha256'));
    return $self->write($file, Net::SSLeay::PEM_get_string_X509_CRL($crl));
}

sub asn1_time {
    my ($time) = @_;

    my $asn1 = Net::SSLeay::ASN1_TIME_new();
    Net::SSLeay::ASN1_TIME_set($asn1, $time);
    return $asn1;
}

sub write {
    my ($self, $name, $text) = @_;

    my $file = "$self->{dir}/$name";
    open my $handle, '>', $file or die "$file: $!";
    print $handle $text;
    close $handle or die "$file: $!";
    return $file;
}

1;
