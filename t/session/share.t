#!/usr/bin/perl

# Tests for the share of shared memory that one user can take: many logins and logouts of one user do not keep
# others from logging out, but end all earlier sessions of that user; many sessions of one user do not evict those of
# others.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Pipeline;
use Test::OIDC::Sessions;
use Test::OIDC::Site;
use Test::OIDC::Workers;

# A 64k zone holds fewer than 1,000 revocation records; a 1m store holds about 45 large sessions.
use constant { LOGOUTS => 1000, SIZE => 20_000, LARGE => 70 };

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(22);

my $op = provider($t, 8081, sid => 1);
write_session_key($t);
my $workers = Test::OIDC::Workers->start($t, configuration('64k'));
log_mark($t);

# Many logins and logouts of one user

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
    'many logouts: a user over the share loses all earlier sessions') or diag($made);
ends_well($_, 'many logouts') for @others;

is(seen(user('cookie', 'alice'), 'cookie'), 'alice', 'many logouts: a new session of that user is valid');
my %answers;
for (1 .. 100) {
    my $user = user('cookie', 'alice');
    my $copy = $user->clone;
    my $status = $user->get('/logout/cookie')->{status};
    $answers{"$status, then " . seen($copy, 'cookie')}++;
}
is_deeply(\%answers, { '302, then 302' => 100 }, 'many logouts: each further logout ends its session');
is(join(' ', map { seen($_, 'cookie') } @early), '302 302 302', 'many logouts: ended sessions stay ended');
ends_well(user('cookie', $_), 'many logouts') for qw/ bob dave /;
is(seen($bystander, 'cookie'), 'bob', 'many logouts: a session of another user continues');
is($workers->each(sub { seen($early[1], 'cookie') }), '302 302',
    'many logouts: every worker refuses an ended session');
is(join("\n", complaints()), '', 'many logouts: no error is logged');

# Logout tokens that name the user and one session each. Changing the zone size gives an empty zone.

$workers->reload(configuration('80k'));
log_mark($t);
my ($ended, $lives) = map { user('cookie', 'erin') } 1, 2;
my $old = user('cookie', 'frank');
my @tokens = map { hs_logout_token($op, jti => "token-$_", sub => 'frank', sid => "session-$_") } 1 .. 2 * LOGOUTS;
my %status;
$status{$_}++ for pipelined([ map { post_of('/back/cookie', "logout_token=$_") } @tokens ]);
is_deeply(\%status, { 200 => 2 * LOGOUTS }, 'many logout tokens: all are accepted');
is(seen($old, 'cookie'), '302', 'many logout tokens: a user over the share loses all earlier sessions');
ends_well($ended, 'many logout tokens');
is(seen($lives, 'cookie'), 'erin', 'many logout tokens: a session of another user continues');
is(seen(user('cookie', 'frank'), 'cookie'), 'frank', 'many logout tokens: the user can log in again');
is(join("\n", complaints()), '', 'many logout tokens: no error is logged');

# Sessions in memory

log_mark($t);
my $first = user('memory', 'bob');
my @mine = map { user('memory', 'alice', SIZE) } 1 .. LARGE;
is(seen($first, 'memory'), 'bob', 'many large sessions: an older session of another user is kept');
is(seen($mine[-1], 'memory'), 'alice', 'many large sessions: the latest session is kept');
is(seen($mine[0], 'memory'), '302', 'many large sessions: the first session is evicted');
is(seen(user('memory', 'carol', SIZE), 'memory'), 'carol', 'many large sessions: another user can log in');
is(join("\n", complaints()), '', 'many large sessions: no error is logged');

# ------------------------------------------------------------------------------------------------------

# A browser logged in as that user, with that many bytes of claims
sub user {
    my ($provider, $sub, $size) = @_;

    $op->set(user => { sub => $sub, $size ? (filler => 'x' x $size) : () });
    my $browser = browser();
    $browser->login(page_of($provider));
    return $browser;
}

# Checks that a logout succeeds and that a copy of the cookie is refused after it.
sub ends_well {
    my ($browser, $name) = @_;

    my $who = seen($browser, 'cookie');
    my $copy = $browser->clone;
    is(outcome($browser->get('/logout/cookie')) . ' ' . seen($copy, 'cookie'), '302 302',
        "$name: after a logout of $who the cookie is refused");
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
