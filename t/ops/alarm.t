#!/usr/bin/perl

# Tests for the level of log lines that a client can cause: what points to a mistake of the operator is in an error_log
# at error, as Debian's is, once a minute for each kind. nginx runs under the clock of the test.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/);
my $clock = Test::OIDC::Clock->new($t);
$t->plan(17);

use constant { SERIES => 10, MINUTE => 60 };

my $op = provider($t, 8081);
$clock->follow($op);

$t->write_file_expand('nginx.conf', main_conf('worker_processes 2;',
    oidc_provider('op'), oidc_provider('other'), <<'EOF', site('page')));
    error_log %%TESTDIR%%/errors.log error;
    error_log %%TESTDIR%%/error.log  info;
    oidc_limit off;
EOF

$t->run();
$clock->freeze;

# Errors that a mistake of the operator nearly always causes

cookie_lost('op') for 1 .. 3;
is(alarms('state_cookie'), 1, 'lost cookies: one line of three is at error');
is(warnings('state_cookie'), 2, 'lost cookies: the others are at warn');
cookie_lost('other');
is(alarms('state_cookie'), 2, 'lost cookies at another provider: a kind of its own');
$clock->advance(MINUTE + 1);
cookie_lost('op') for 1 .. 3;
is(alarms('state_cookie'), 3, 'lost cookies: one more line after a minute');

# A series of errors that single clients cause as well

callback('op') for 1 .. SERIES;
is(alarms('state_invalid'), 0, 'ten callbacks with unknown states: none is at error');
callback('op') for 1 .. 20;
is(alarms('state_invalid'), 1, 'a series: one line is at error');
is(warnings('state_invalid'), SERIES + 19, 'a series: the others are at warn');
callback('other') for 1 .. SERIES;
is(alarms('state_invalid'), 1, 'another provider: a kind of its own');
$clock->advance(MINUTE + 1);
callback('op') for 1 .. SERIES;
is(alarms('state_invalid'), 1, 'a minute later: no series any more');
callback('op');
is(alarms('state_invalid'), 2, 'a minute later: a second series');

$clock->advance(MINUTE + 1);
for (1 .. SERIES + 2) {
    browser()->get('/callback/op');
    is(alarms('state_missing'), 0, 'another error: a kind of its own') if $_ == 1;
}
is(alarms('state_missing'), 1, 'another error: one line is at error');
is(warnings('state_missing'), SERIES + 1, 'another error: the others are at warn');

# What a client's leaving or a denial causes is no exception, and an error of the provider is always at error.

$op->set(error => 'server_error');
login(page_of('op')) for 1 .. 3;
ok(log_has($t, qr/\[error\] .*oidc: provider returned error "server_error"/, 3), 'errors of the provider: each at error');

# The log at error has the lines, and nothing else of clients.

my $log = $t->read_file('errors.log');
is(scalar(() = $log =~ /oidc: client sent a state without a login cookie/g), 3, 'the log at error has the lost cookies');
is(scalar(() = $log =~ /oidc: client sent an unknown state/g), 2, 'the log at error has the series');
unlike($log, qr/\[warn\]/, 'the log at error has no warning');

###############################################################################

# A callback whose browser keeps no cookies: refused when it comes the second time.
sub cookie_lost {
    my ($name) = @_;

    my ($browser, $callback) = begin_login(page_of($name));
    my $answer = browser()->get($callback);
    browser()->get($answer->{location});
}

sub callback {
    my ($name) = @_;

    browser()->get("/callback/$name?state=x&code=y");
}

my %sentence;
BEGIN {
    %sentence = (
        state_cookie => 'client sent a state without a login cookie',
        state_invalid => 'client sent an unknown state',
        state_missing => 'client sent no state',
    );
}

sub lines_at {
    my ($level, $word) = @_;

    return scalar error_log_lines($t, qr/\[$level\] .*oidc: $sentence{$word} while/);
}

sub alarms { return lines_at('error', @_) }

sub warnings { return lines_at('warn', @_) }

###############################################################################
