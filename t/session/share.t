#!/usr/bin/perl

# Tests for the room that one user can take in shared memory: his logins and logouts do not keep others
# from logging out, and end all that he had where they are too many; his sessions do not push out those of
# others.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Pipeline;
use Test::OIDC::Site;
use Test::OIDC::Workers;

select STDERR; $| = 1;
select STDOUT; $| = 1;

# A zone of 64k holds less than 1,000 records of sessions that were ended, a store of 1m some 45 large
# sessions.
use constant { LOGOUTS => 1000, SIZE => 20_000, LARGE => 70 };

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(22);

my $op = provider($t, 8081, sid => 1);
$t->write_file('key', '0123456789abcdef' x 4 . "\n");
my $workers = Test::OIDC::Workers->start($t, configuration('64k'));
log_mark($t);

# Logins and logouts, as he wishes

my @early = map { user('cookie', 'alice') } 1 .. 3;
my $bystander = user('cookie', 'bob');
my @others = map { user('cookie', $_) } qw/ bob carol /;
my $made = 0;
while ($made < LOGOUTS) {
    user('cookie', 'alice')->get('/logout/cookie');
    $made++;
    last if $made % 25 == 0 && seen($early[0], 'cookie') ne 'alice';
}
is(join(' ', map { seen($_, 'cookie') } @early), '302 302 302',
    'many logouts: beyond his share all sessions end that the user had') or diag($made);
ends_well($_, 'many logouts') for @others;

is(seen(user('cookie', 'alice'), 'cookie'), 'alice', 'many logouts: a session that begins then lives');
my %answers;
for (1 .. 100) {
    my $user = user('cookie', 'alice');
    my $copy = $user->clone;
    my $status = $user->get('/logout/cookie')->{status};
    $answers{"$status, then " . seen($copy, 'cookie')}++;
}
is_deeply(\%answers, { '302, then 302' => 100 }, 'many logouts: each that comes then is a good one');
is(join(' ', map { seen($_, 'cookie') } @early), '302 302 302', 'many logouts: what has ended stays so');
ends_well(user('cookie', $_), 'many logouts') for qw/ bob dave /;
is(seen($bystander, 'cookie'), 'bob', q{many logouts: another user's session lives});
is($workers->each(sub { seen($early[1], 'cookie') }), '302 302', 'many logouts: that is so in every worker');
is(join("\n", complaints()), '', 'many logouts: nothing is an error');

# Logout tokens that name him, and a session each. The zone of another size is an empty one.

$workers->reload(configuration('80k'));
log_mark($t);
my ($ended, $lives) = map { user('cookie', 'erin') } 1, 2;
my $old = user('cookie', 'frank');
my @tokens = map { hs_logout_token($op, jti => "token-$_", sub => 'frank', sid => "session-$_") } 1 .. 2 * LOGOUTS;
my %status;
$status{$_}++ for pipelined([ map { post_of('/back/cookie', "logout_token=$_") } @tokens ]);
is_deeply(\%status, { 200 => 2 * LOGOUTS }, 'many logout tokens: all are taken');
is(seen($old, 'cookie'), '302', 'many logout tokens: beyond his share all sessions end that the user had');
ends_well($ended, 'many logout tokens');
is(seen($lives, 'cookie'), 'erin', q{many logout tokens: another user's session lives});
is(seen(user('cookie', 'frank'), 'cookie'), 'frank', 'many logout tokens: the user can log in');
is(join("\n", complaints()), '', 'many logout tokens: nothing is an error');

# Sessions in memory

log_mark($t);
my $first = user('memory', 'bob');
my @mine = map { user('memory', 'alice', SIZE) } 1 .. LARGE;
is(seen($first, 'memory'), 'bob', q{many large sessions: another user's stays, though it is older});
is(seen($mine[-1], 'memory'), 'alice', 'many large sessions: so does the last one');
is(seen($mine[0], 'memory'), '302', 'many large sessions: the first one is gone');
is(seen(user('memory', 'carol', SIZE), 'memory'), 'carol', 'many large sessions: others can log in');
is(join("\n", complaints()), '', 'many large sessions: nothing is an error');

# ------------------------------------------------------------------------------------------------------

# A browser with a session of that user, with so many bytes of claims.
sub user {
    my ($place, $sub, $size) = @_;

    $op->set(user => { sub => $sub, $size ? (filler => 'x' x $size) : () });
    my $browser = browser();
    $browser->login(page_of($place));
    return $browser;
}

sub seen {
    my ($browser, $place) = @_;

    my $answer = $browser->get(page_of($place));
    return $answer->{headers}{'x-user'} || outcome($answer);
}

# That one can log out, and a copy is worthless then.
sub ends_well {
    my ($browser, $name) = @_;

    my $who = seen($browser, 'cookie');
    my $copy = $browser->clone;
    is(outcome($browser->get('/logout/cookie')) . ' ' . seen($copy, 'cookie'), '302 302',
        "$name: $who logs out, and for good");
}

sub complaints { return error_log_lines($t, qr{\[(?:error|crit|alert)\] .*oidc:}) }

sub configuration {
    my ($size) = @_;

    return nginx_conf(<<"EOF",
    oidc_state_zone $size;
    oidc_session_store memory { type memory; size 1m; }
    keepalive_requests 10000;
EOF
        map({ oidc_provider($_, "logout_uri /logout/$_; backchannel_logout_uri /back/$_; id_token_alg RS256 HS256",
            session_key => 'key', session_claims => 'all', session_store => $_) } qw/ cookie memory /),
        site('page', <<'EOF'));
        add_header X-User $oidc_claim_sub;
EOF
}
