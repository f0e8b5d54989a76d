package Test::OIDC::Grants;

# What the test provider remembers of the logins it has granted, and which tokens belong to which. A
# grant is { id, user, scope, sid, auth_time }; all of them are plain data, so that a provider that was
# stopped can write them down and go on with them.

use warnings;
use strict;

sub new {
    my ($class, $remembered) = @_;

    return bless { grant => {}, access => {}, refresh => {}, %{ $remembered || {} } }, $class;
}

sub remembered { return { %{ shift() } } }

# The tokens are known from now on; what is no string was broken on purpose.
sub issue {
    my ($self, $grant, $tokens) = @_;

    $self->{grant}{ $grant->{id} } = $grant;
    for my $kind (qw/ access refresh /) {
        my $token = $tokens->{"${kind}_token"};
        $self->{$kind}{$token} = { grant => $grant->{id} } if defined $token && !ref $token;
    }
}

# What is known of a refresh token: { grant, spent }.
sub refresh_token { return $_[0]{refresh}{ $_[1] // '' } }

# The grant that a token of either kind belongs to, unless it has ended.
sub of_token {
    my ($self, $token) = @_;

    my $known = $self->{access}{ $token // '' } || $self->refresh_token($token) or return undef;
    return $self->{grant}{ $known->{grant} };
}

# The grant of an access token that is good for user info.
sub of_access_token {
    my ($self, $token) = @_;

    return $self->{access}{$token} && $self->of_token($token);
}

sub end {
    my ($self, $id) = @_;

    delete $self->{grant}{$id};
}

# RFC 7009, 2.1: with a refresh token the whole grant goes.
sub revoke {
    my ($self, $token) = @_;

    my $refresh = $self->refresh_token($token);
    $self->end($refresh->{grant}) if $refresh;
    delete $self->{access}{$token};
}

1;
