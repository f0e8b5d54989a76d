package Test::OIDC::Sessions;

# What tests of sessions in every store share: configuration, and what a page shows.
#
#   my @stores = session_stores();          qw/ cookie memory redis /
#   store_blocks()                          nginx.conf of the stores "memory" and "redis", at port 8379
#   in_every_store(\%directives, %common)   an oidc_provider KIND_STORE with session_key for each kind in %directives
#                                           and each store; %%NAME%% in the directives is KIND_STORE
#   write_session_key($t)                   the key file of session_key
#   user_of($answer)                        the user that a page shows in X-User, or else its outcome
#   seen($browser, $name)                   the same of a page that needs a login with that oidc_provider
#   logged_in($name, %options)              a browser after a login, which must succeed

use warnings;
use strict;

use Test::OIDC qw/ login /;
use Test::OIDC::Site;

our @EXPORT = qw/ in_every_store logged_in seen session_stores store_blocks user_of write_session_key /;
use base qw/ Exporter /;

sub session_stores { return qw/ cookie memory redis / }

sub store_blocks { return <<'EOF' }
    oidc_session_store memory { type memory; size 1m; }

    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }
EOF

sub in_every_store {
    my ($directives, %common) = @_;

    my @blocks;
    for my $store (session_stores()) {
        for my $kind (sort keys %$directives) {
            my $name = "${kind}_$store";
            push @blocks, oidc_provider($name, $directives->{$kind} =~ s/%%NAME%%/$name/gr,
                session_key => 'key', session_store => $store, %common);
        }
    }
    return @blocks;
}

sub write_session_key {
    my ($t) = @_;

    $t->write_file('key', '0123456789abcdef' x 4 . "\n");
    chmod 0600, $t->testdir . '/key';    # else nginx warns
}

sub user_of {
    my ($answer) = @_;

    return $answer->{headers}{'x-user'} || outcome($answer);
}

sub seen {
    my ($browser, $name) = @_;

    return user_of($browser->get(page_of($name)));
}

sub logged_in {
    my ($name, %options) = @_;

    my $answer = login(page_of($name), %options);
    die "no login: $answer->{status} $answer->{body}" if $answer->{status} != 200;
    return $answer->{browser};
}

1;
