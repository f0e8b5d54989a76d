package Test::OIDC::Cookies;

# A cookie jar that behaves as browsers do (RFC 6265bis): domain, path, expiry, Secure, SameSite,
# Partitioned, the __Host- and __Secure- prefixes, and at most 4096 bytes for name and value. Like Chromium
# and Firefox it treats a loopback host like https. All its pages belong to one top-level site, so there is
# one partition, whose cookies are separate from those without.

use warnings;
use strict;

use Time::Local qw/ timegm /;

my %month = map { (qw/ jan feb mar apr may jun jul aug sep oct nov dec /)[$_] => $_ } 0 .. 11;

sub new { return bless { cookies => [], made => 0 }, shift }

sub all {
    my ($self) = @_;

    my @live = grep { !expired($_) } @{ $self->{cookies} };
    return sort { length $b->{path} <=> length $a->{path} || $a->{made} <=> $b->{made} } @live;
}

# The value of the Cookie header of a request, or undef. $url is split; $how says whether the request is
# cross-site or in a cross-site frame, and its method.
sub header {
    my ($self, $url, %how) = @_;

    my @sent = grep { is_for($_, $url) && same_site_allows($_, %how) } $self->all;
    return undef unless @sent;
    return join '; ', map { length $_->{name} ? "$_->{name}=$_->{value}" : $_->{value} } @sent;
}

# Keeps the cookie of a Set-Cookie header, unless it is invalid.
sub store {
    my ($self, $set_cookie, $url) = @_;

    my $cookie = parse($set_cookie, $url) or return;
    return unless acceptable($cookie, $url);

    my ($old) = grep { same($_, $cookie) } @{ $self->{cookies} };
    $cookie->{made} = $old ? $old->{made} : ++$self->{made};
    $self->{cookies} = [ (grep { !same($_, $cookie) } @{ $self->{cookies} }), $cookie ];
}

sub remove {
    my ($self, $name) = @_;

    $self->{cookies} = [ grep { $_->{name} ne $name } @{ $self->{cookies} } ];
}

sub parse {
    my ($set_cookie, $url) = @_;

    my ($pair, @attributes) = split /;/, $set_cookie;
    my ($name, $value) = ($pair // '') =~ /=/ ? split(/=/, $pair, 2) : ('', $pair // '');

    my $cookie = {
        name => trim($name), value => trim($value), host_only => 1, domain => $url->{host},
        path => $url->{target} =~ m{^(/[^?]*)/} ? $1 : '/', samesite => 'lax',
    };

    for my $attribute (@attributes) {
        my ($key, $content) = map { trim($_ // '') } (split /=/, $attribute, 2)[0, 1];
        set_attribute($cookie, lc $key, $content);
    }

    return length "$cookie->{name}$cookie->{value}" ? $cookie : undef;
}

sub set_attribute {
    my ($cookie, $name, $value) = @_;

    if ($name eq 'domain' && length $value) {
        $cookie->{domain} = lc $value =~ s/^\.//r;
        $cookie->{host_only} = 0;

    } elsif ($name eq 'path') {
        $cookie->{path} = $value if $value =~ m{^/};
        $cookie->{has_path} = 1;

    } elsif ($name eq 'max-age' && $value =~ /^-?\d+$/) {
        $cookie->{expires} = $value > 0 ? time + $value : 0;
        $cookie->{max_age} = $value;

    } elsif ($name eq 'expires' && !defined $cookie->{max_age}) {
        $cookie->{expires} = http_time($value) // $cookie->{expires};

    } elsif ($name eq 'samesite' && $value =~ /^(?:strict|lax|none)$/i) {
        $cookie->{samesite} = lc $value;

    } elsif ($name =~ /^(?:secure|httponly|partitioned)$/) {
        $cookie->{$name} = 1;
    }
}

sub acceptable {
    my ($cookie, $url) = @_;

    return 0 if length("$cookie->{name}$cookie->{value}") > 4096;
    return 0 if "$cookie->{name}$cookie->{value}" =~ /[\x00-\x08\x0a-\x1f\x7f]/;
    return 0 if !domain_matches($cookie, $url->{host});
    return 0 if $cookie->{secure} && !trustworthy($url);
    return 0 if $cookie->{samesite} eq 'none' && !$cookie->{secure};
    return 0 if $cookie->{partitioned} && !$cookie->{secure};

    return $cookie->{secure} ? 1 : 0 if $cookie->{name} =~ /^__Secure-/i;
    return 1 if $cookie->{name} !~ /^__Host-/i;
    return $cookie->{secure} && $cookie->{host_only} && $cookie->{has_path} && $cookie->{path} eq '/';
}

sub is_for {
    my ($cookie, $url) = @_;

    my ($path) = $url->{target} =~ /^([^?]*)/;
    my $prefix = $cookie->{path} =~ s{/$}{}r;

    return domain_matches($cookie, $url->{host})
        && ($path eq $cookie->{path} || index($path, "$prefix/") == 0)
        && (!$cookie->{secure} || trustworthy($url));
}

# RFC 6265bis, 5.5: from another site "lax" is sent only with a navigation by a safe method, and never into
# its frames.
sub same_site_allows {
    my ($cookie, %how) = @_;

    return 1 if $cookie->{samesite} eq 'none';
    return 0 if $how{framed};
    return 1 if !$how{cross_site};
    return $cookie->{samesite} eq 'lax' && $how{method} =~ /^(?:GET|HEAD)$/;
}

sub domain_matches {
    my ($cookie, $host) = @_;

    return 1 if $host eq $cookie->{domain};
    return !$cookie->{host_only} && $host !~ /^[\d.]+$/ && $host =~ /\.\Q$cookie->{domain}\E$/;
}

sub trustworthy {
    my ($url) = @_;

    return $url->{scheme} eq 'https' || $url->{host} =~ /^(?:localhost|.*\.localhost|127\.[\d.]+)$/;
}

sub expired {
    my ($cookie) = @_;

    return defined $cookie->{expires} && $cookie->{expires} <= time;
}

sub same {
    my ($one, $other) = @_;

    return !grep { ($one->{$_} // '') ne ($other->{$_} // '') } qw/ name domain path partitioned /;
}

sub http_time {
    my ($text) = @_;

    my ($day, $month, $year, $hour, $minute, $second)
        = $text =~ /(\d+)[ -](\w{3})[ -](\d{4}|\d\d) (\d\d):(\d\d):(\d\d)/ or return undef;
    return timegm($second, $minute, $hour, $day, $month{ lc $month } // return undef, $year);
}

sub trim {
    my ($text) = @_;

    return $text =~ s/^[ \t]+|[ \t]+$//gr;
}

1;
