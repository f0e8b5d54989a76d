package Test::OIDC::URL;

# URLs, queries and forms, as a browser and a provider parse and write them.

use warnings;
use strict;

our @EXPORT_OK = qw/
    absolute escape html_escape html_unescape parse_query query_string split_url unescape
/;
use base qw/ Exporter /;

sub escape {
    my ($text) = @_;

    $text =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge;
    return $text;
}

# application/x-www-form-urlencoded: "+" is a space.
sub unescape {
    my ($text) = @_;

    $text =~ tr/+/ /;
    $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    return $text;
}

# The parameters of a query or form, and the name of one that is repeated.
sub parse_query {
    my ($query) = @_;

    my (%params, $duplicate);
    for my $pair (split /&/, $query // '') {
        my ($name, $value) = map { unescape($_) } split /=/, $pair, 2;
        $duplicate = $name if exists $params{$name};
        $params{$name} = $value // '';
    }

    return wantarray ? (\%params, $duplicate) : \%params;
}

# In the order of the names; an array is a repeated parameter.
sub query_string {
    my ($params) = @_;

    my @pairs;
    for my $name (sort keys %$params) {
        my $values = $params->{$name};
        push @pairs, escape($name) . '=' . escape($_) for ref $values ? @$values : $values;
    }

    return join '&', @pairs;
}

sub split_url {
    my ($url) = @_;

    my ($scheme, $host, $port, $target) = $url =~ m{^(https?)://([^/:?#]+)(?::(\d+))?([^#]*)}i
        or die "not a URL: \"$url\"";

    $target = "/$target" if $target !~ m{^/};
    return {
        scheme => lc $scheme, host => lc $host, target => $target,
        port => $port || (lc $scheme eq 'https' ? 443 : 80),
    };
}

# A reference, resolved against the URL of its page (without dot segments, which are not used).
sub absolute {
    my ($reference, $base) = @_;

    return $reference if $reference =~ m{^https?://}i;

    my ($origin, $scheme, $path) = $base =~ m{^((https?:)//[^/?#]+)([^?#]*)}i
        or die "not a URL: \"$base\"";

    return $scheme . $reference if $reference =~ m{^//};
    return $origin . $reference if $reference =~ m{^/};
    return $origin . ($path || '/') . $reference if $reference =~ m{^\?};
    return $origin . ($path =~ s{[^/]*$}{}r || '/') . $reference;
}

sub html_escape {
    my ($text) = @_;

    $text =~ s/([&<>"'])/sprintf '&#%d;', ord $1/ge;
    return $text;
}

sub html_unescape {
    my ($text) = @_;

    $text =~ s/&#(\d+);/chr $1/ge;
    $text =~ s/&(amp|lt|gt|quot);/{ amp => '&', lt => '<', gt => '>', quot => '"' }->{$1}/ge;
    return $text;
}

1;
