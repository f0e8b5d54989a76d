package Test::OIDC::Grants;

# The test provider's granted logins and their tokens. A grant is { id, user, scope, sid, auth_time }; all
# data is plain, so that a stopped provider can write it down and continue with it.

use warnings;
use strict;

sub new {
    my ($class, $remembered) = @_;

    return bless { grant => {}, access => {}, refresh => {}, %{ $remembered || {} } }, $class;
}

sub remembered { return { %{ shift() } } }

# Records the tokens; a token that is no string was broken on purpose.
sub issue {
    my ($self, $grant, $tokens) = @_;

    $self->{grant}{ $grant->{id} } = $grant;
    for my $kind (qw/ access refresh /) {
        my $token = $tokens->{"${kind}_token"};
        $self->{$kind}{$token} = { grant => $grant->{id} } if defined $token && !ref $token;
    }
}

# The record of a refresh token: { grant, spent }.
sub refresh_token { return $_[0]{refresh}{ $_[1] // '' } }

# The grant of a token of either kind, unless it has ended.
sub of_token {
    my ($self, $token) = @_;

    my $known = $self->{access}{ $token // '' } || $self->refresh_token($token) or return undef;
    return $self->{grant}{ $known->{grant} };
}

# The grant of an access token that is valid for user info.
sub of_access_token {
    my ($self, $token) = @_;

    return $self->{access}{$token} && $self->of_token($token);
}

sub end {
    my ($self, $id) = @_;

    delete $self->{grant}{$id};
}

# RFC 7009, 2.1: revoking a refresh token ends the whole grant.
sub revoke {
    my ($self, $token) = @_;

    my $refresh = $self->refresh_token($token);
    $self->end($refresh->{grant}) if $refresh;
    delete $self->{access}{$token};
}

1;
