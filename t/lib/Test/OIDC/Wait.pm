package Test::OIDC::Wait;

# Waits and bounds that do not depend on a fast machine. A test waits for an event, with a bound that only a
# failing test reaches. Lifetimes end by a Test::OIDC::Clock; timeouts that a test waits for are long enough for
# ten times the duration of every other response. Test::OIDC exports all of this except reload.
#
#   wait_until(sub { $op->count('/token') == 2 })       polls until it is true; the last value
#   oidc_provider('slow', SHORT_TIMEOUTS)               for a provider that is silent or slow in the test
#   took_at_most($start, SHORT_TOTAL, 'name')           passes if a request that began at $start took no longer
#                                                       than its timeouts, in seconds, and a margin
#   MAX_WAIT                                            the bound of every wait, in seconds
#   reload($t)                                          marks the error log and reloads nginx; returns when an
#                                                       old worker accepts no more connections

use warnings;
use strict;

use Test::More qw//;
use Time::HiRes qw/ sleep time /;

our @EXPORT = qw/ MAX_WAIT SHORT_TIMEOUTS SHORT_TOTAL took_at_most wait_until /;
our @EXPORT_OK = qw/ reload /;
use base qw/ Exporter /;

use constant MAX_WAIT => 60;
use constant { SHORT_TIMEOUTS => 'connect_timeout 500ms; read_timeout 2s', SHORT_TOTAL => 2.5 };

# The margin for everything except the timeouts. With SHORT_TOTAL it is less than the read_timeout of oidc_provider().
use constant SPARE => 8;

use constant POLL => 0.01;

sub wait_until {
    my ($is_so) = @_;

    my $end = time + MAX_WAIT;
    while (1) {
        my $value = $is_so->();
        return $value if $value || time > $end;
        sleep POLL;
    }
}

sub took_at_most {
    my ($start, $timeouts, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $took = time - $start;
    Test::More::cmp_ok($took, '<', $timeouts + SPARE, $name);
}

# Test::OIDC uses this module, so its functions are not imported here.
sub reload {
    my ($t) = @_;

    Test::OIDC::log_mark($t);
    $t->reload();
    return Test::OIDC::log_has($t, qr/gracefully shutting down/);
}

1;
