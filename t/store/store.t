#!/usr/bin/perl

# Tests for facts that hold for sessions in every store: one table, checked for "session_store cookie", a store of type
# memory and one of type redis. Then "session_store auto", and sessions that move when the configuration changes.
# nginx, the provider and Redis run under the clock of the test.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use List::Util qw/ max min sum uniq /;

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;
use Test::OIDC::Workers;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(115);

use constant { MINUTE => 60, HOUR => 3600 };

my @stores = qw/ cookie memory redis /;
my %key = map { $_ => "0123456789abcde$_" x 4 } qw/ a b /;
my $memory_size = 3 * 1024 * 1024;    # no other zone has this size
my $token_life = 5 * MINUTE;

my $op = provider($t, 8081);
$clock->follow($op);
my $redis = redis($t, 8379, clock => $clock);
$t->write_file('keys', "$key{a}\n");
chmod 0600, $t->testdir . '/keys';    # else nginx warns

my $workers = Test::OIDC::Workers->start($t, configuration());
log_mark($t);

# A fact has a name, what is seen, and steps. A step is a sub, called for each store, which returns what is
# seen there, if anything; or a number of seconds to advance the clock; or a reference to a sub, which is
# called once with $t. A page is seen as its user, or else as its status.

my @facts = (
    ['a login ends at the page', 'alice', logs_in()],
    ['a session continues', 'alice alice', logs_in(), 40 * MINUTE, sees()],
    ['claims are those of the provider', qq{alice Zo\xc3\xab|a,b|7|{"c":[1]}},
        logs_in(claims => { name => "Zo\xeb", list => [qw/ a b /], number => 7, object => { c => [1] } }),
        sub { $_[0]{answer}{headers}{'x-claims'} }],
    ['a claim of 20 KB', 'alice 20000 20000', logs_in(claims => { filler => 'x' x 20_000 }),
        map { sub { length get($_[0])->{headers}{'x-filler'} } } 1, 2],
    ['a small session replaces a large one', 'alice alice alice 1',
        logs_in(claims => { filler => 'x' x 20_000 }), HOUR, logs_in(), sees(), sub { scalar cookies($_[0]) }],
    ['a session sends nothing to the provider', 'alice alice alice alice 0', logs_in(), sub { $op->clear; () },
        sees(), sees(), sees(), sub { $op->count }],

    ['a session ends after session_timeout', 'alice alice 302', logs_in(), 55 * MINUTE, sees(), 6 * MINUTE, sees()],
    ['requests do not extend session_timeout', 'alice' . ' alice' x 5 . ' 302', logs_in(),
        map({ (10 * MINUTE, sees()) } 1 .. 5), 11 * MINUTE, sees()],
    ['a new login after session_timeout', 'alice 302 alice', logs_in(), 2 * HOUR, sees(), logs_in()],
    ['an idle session ends after session_idle_timeout', 'alice alice 302',
        at('idle'), logs_in(), 9 * MINUTE, sees(), 11 * MINUTE, sees()],
    ['a session in use outlives session_idle_timeout', 'alice' . ' alice' x 4,
        at('idle'), logs_in(), map { (8 * MINUTE, sees()) } 1 .. 4],
    ['a session in use ends after session_timeout', 'alice' . ' alice' x 7 . ' 302',
        at('idle'), logs_in(), map({ (8 * MINUTE, sees()) } 1 .. 7), 8 * MINUTE, sees()],

    ['two workers refresh tokens once', 'alice 1 refresh, 2 workers, 1 new token',
        \&grants_refresh, logs_in(), $token_life - 50, \&refresh_by_two_workers],
    ['the replaced cookie gets the new token for a while', 'alice refreshed alice new 0',
        \&grants_refresh, logs_in(), copies(), $token_life - 50, \&refresh, 2 * MINUTE,
        sub { $op->clear; () }, sees('copy'), \&which_token, sub { $op->count('/token refresh') }],
    ['a refresh extends the session', 'alice refreshed alice 302',
        \&grants_refresh, logs_in(), $token_life - 50, \&refresh, 58 * MINUTE, sees(), 61 * MINUTE, sees()],

    ['a logout ends the session', 'alice 302 302', logs_in(), logs_out(), sees()],
    ['a logout ends the session for a copied cookie', 'alice alice 302 302',
        logs_in(), copies(), sees('copy'), logs_out(), sees('copy')],
    ['a logout ends the session for good', 'alice 302 302', logs_in(), copies(), logs_out(), 55 * MINUTE, sees('copy')],
    ['a logout does not end other sessions of the user', 'alice alice 302 alice',
        logs_in(), logs_in(who => 'other'), logs_out(), sees('other')],
    ['a new login after a logout', 'alice 302 alice alice', logs_in(), logs_out(), logs_in(), sees()],

    ['two browsers have separate sessions', 'alice bob alice bob',
        logs_in(), logs_in(who => 'other', user => 'bob'), sees(), sees('other')],
    ['of two logins in a browser the later one is used', 'alice bob bob',
        \&begin_two_logins, ends(1), ends(2, user => 'bob'), sees()],

    ['a modified cookie is refused', 'alice 302', logs_in(), \&try_changed],
    ['a second cookie of the same name is ignored', 'alice alice alice', logs_in(), \&try_planted],
    ['a session of another oidc_provider is refused', 'alice 302', logs_in(),
        sub { with_cookie(page_of("twin_$_[0]{store}"), $_[0]{name}, cookie($_[0])) }],
    ['a reload keeps the session', 'alice alice', logs_in(), \sub { $workers->reload }, sees()],
    ['a new first key keeps the session', 'alice alice', logs_in(), uses_keys(qw/ b a /), sees()],
    ['a session of a removed key needs a new login', 'alice bob 302 bob alice',
        uses_keys(qw/ a /), logs_in(), uses_keys(qw/ b a /), logs_in(who => 'other', user => 'bob'),
        uses_keys(qw/ b /), sees(), sees('other'), logs_in()],
    ['a session sealed with another key is refused', 'alice 302', uses_keys(qw/ b /), logs_in(),
        uses_keys(qw/ a /), sees()],
);

# Facts of sessions in a store

my @facts_of_stores = (
    ['the cookie is small', 'alice small', logs_in(claims => { filler => 'x' x 20_000 }),
        sub { length(cookie($_[0])) < 400 ? 'small' : length cookie($_[0]) }],
    ['a store holds no plain text', 'mallory 20 KB, none of them in plain text',
        logs_in(user => 'mallory', claims => { filler => 'filling' x 3000 }), \&search_store],
    ['a replaced session is deleted', 'alice alice bob 302',
        \&begin_two_logins, ends(1), copies(), sees('copy'), ends(2, user => 'bob'), sees('copy')],
);

holds($t, $_, @stores) for @facts;
holds($t, $_, qw/ memory redis /) for @facts_of_stores;

is(join("\n", error_log_lines($t, qr/\[(?:warn|error|crit)\]/)), '', 'no warning or error is logged');

# session_store auto

my $auto = browser();
is(login_of_size($auto, 1500), 'alice in cookies', 'auto: a session of 1.5 KB is in cookies');
$clock->advance(HOUR);
is(login_of_size($auto, 20_000), 'alice elsewhere', 'auto: a later session of 20 KB is in shared memory');
$clock->advance(HOUR);
is(login_of_size($auto, 1500), 'alice in cookies', 'auto: a small session after it is in cookies');

my @sizes = map { my $browser = browser(); login_of_size($browser, $_); sum(map { length } cookies_of($browser)) }
    map { 1900 + 50 * $_ } 0 .. 12;
cmp_ok(max(@sizes), '<=', 3584, 'auto: cookies are at most 3.5 KB');
cmp_ok(max(@sizes), '>', 3584 - 350, 'auto: cookies grow to nearly 3.5 KB');
cmp_ok($sizes[-1], '<', 500, 'auto: a larger session becomes a ticket');

my %browser = (small => browser(), large => browser());
login_of_size($browser{small}, 100);
login_of_size($browser{large}, 20_000);
log_mark($t);
$workers->reload;
is(seen($browser{$_}->get(page_of('auto'))), 'alice', "auto: a $_ session survives a reload") for qw/ small large /;

my $started = () = $workers->started;
$t->stop();
$t->run();
$workers->remember($started);
is(seen($browser{small}->get(page_of('auto'))), 'alice', 'auto: a small session survives a restart');
is(seen($browser{large}->get(page_of('auto'))), '302', 'auto: a large session does not survive a restart');
is(login_of_size($browser{large}, 20_000), 'alice elsewhere', 'auto: a new login after a restart succeeds');
is(join("\n", error_log_lines($t, qr/\[(?:warn|error|crit)\]/)), '', 'auto: nothing is logged');

# Sessions begun before the configuration named a store

my @stays = map { my $browser = browser(); login_of_size($browser, 1500); $browser } qw/ memory redis /;
for my $store (qw/ memory redis /) {
    my $browser = shift @stays;
    $workers->reload(configuration($store));
    is(seen($browser->get(page_of('auto'))), 'alice', "from cookies to $store: the session continues");
    cmp_ok(sum(map { length } cookies_of($browser)), '<', 400,
        "from cookies to $store: the session moves to the store");
    is(seen($browser->get(page_of('auto'))), 'alice', "from cookies to $store: the moved session opens");
    push @stays, $browser;
}
is(seen($stays[0]->get(page_of('auto'))), '302', 'from one store to another: the session is lost');
is(login_of_size($stays[0], 1500), 'alice elsewhere', 'from one store to another: a new login succeeds');
is(join("\n", error_log_lines($t, qr/\[(?:warn|error|crit)\]/)), '', 'changes of the store: nothing is logged');

# ------------------------------------------------------------------------------------------------------

sub holds {
    my ($t, $fact, @stores) = @_;

    my ($name, $expected, @steps) = @$fact;
    my @cases = map { { store => $_, name => $_, saw => [] } } @stores;

    $op->reset;
    for my $step (@steps) {
        if (ref $step eq 'REF') {
            $$step->($t);
        }
        elsif (!ref $step) {
            $clock->advance($step);
        }
        else {
            push @{ $_->{saw} }, $step->($_) for @cases;
        }
    }
    is(join(' ', @{ $_->{saw} }), $expected, "$_->{store}: $name") for @cases;
}

# The steps

sub at {
    my ($kind) = @_;

    return sub { $_[0]{name} = "${kind}_$_[0]{store}"; return };
}

# A browser logs in, optionally as another user or with other claims.
sub logs_in {
    my (%how) = @_;

    return sub {
        my ($case) = @_;

        my $browser = $case->{ $how{who} // 'browser' } //= browser();
        return seen($case->{answer} = logged_in(
            sub { $browser->login(page_of($case->{name})) }, %how));
    };
}

sub logged_in {
    my ($log_in, %how) = @_;

    my $knobs = $op->{knobs};
    $op->set(user => { sub => $how{user} }) if $how{user};
    $op->set(id_token => { claims => $how{claims} }) if $how{claims};
    my $answer = $log_in->();
    $op->write_knobs($knobs);
    return $answer;
}

# Begins two logins in tabs of one browser that has no cookie yet.
sub begin_two_logins {
    my ($case) = @_;

    my $browser = $case->{browser} = browser();
    my @requests = map { $browser->start(page_of($case->{name})) } 1, 2;
    $case->{begun} = [ undef, map { $browser->finish($_) } @requests ];
    return;
}

sub ends {
    my ($number, %how) = @_;

    return sub {
        my ($case) = @_;

        my $answer = $case->{begun}[$number];
        return seen(logged_in(sub {
            $answer = $case->{browser}->follow($answer) while $answer->{status} == 302;
            return $answer;
        }, %how));
    };
}

sub copies { return sub { $_[0]{copy} = $_[0]{browser}->clone; return } }

sub sees {
    my ($who) = @_;

    return sub { seen(get($_[0], $who)) };
}

sub logs_out { return sub { $_[0]{browser}->get("/logout/$_[0]{name}")->{status} } }

sub uses_keys {
    my (@names) = @_;

    return \sub {
        my ($t) = @_;

        $t->write_file('keys', join '', map { "$key{$_}\n" } @names);
        $workers->reload;
    };
}

sub grants_refresh {
    $op->set(refresh => { rotate => 1, strict => 1 }, expires_in => $token_life);
    return;
}

sub refresh {
    my ($case) = @_;

    my $old = $case->{answer}{headers}{'x-token'};
    $op->clear;
    $case->{new} = get($case)->{headers}{'x-token'} // '';
    return $op->count('/token refresh') == 1 && $case->{new} ne $old ? 'refreshed' : 'not refreshed';
}

sub which_token {
    my ($case) = @_;

    return get($case, 'copy')->{headers}{'x-token'} eq $case->{new} ? 'new' : 'another';
}

# One worker waits for the result of the other.
sub refresh_by_two_workers {
    my ($case) = @_;

    my @requests;
    $op->clear->set(respond => { '/token refresh' => { hold => 1 } });
    $workers->each(sub {
        push @requests, map { $case->{browser}->start(page_of($case->{name})) } 1, 2;
        $op->wait_for('/token refresh', 1);
        browser()->get('/app');    # served after them
    });
    $op->set(respond => {});

    my @answers = map { $case->{browser}->finish($_)->{headers} } @requests;
    my $old = $case->{answer}{headers}{'x-token'};
    return sprintf '%d refresh, %d workers, %d new token', $op->count('/token refresh'),
        scalar(uniq(map { $_->{'x-worker'} } @answers)),
        scalar(grep { $_ ne $old } uniq(map { $_->{'x-token'} // $old } @answers));
}

# Modified cookies; all must have the same outcome.
sub try_changed {
    my ($case) = @_;

    my $value = cookie($case);
    my $bytes = decode_base64url($value);
    my @changed = map { my $other = $bytes; vec($other, $_ * 8, 1) ^= 1; encode_base64url($other) }
        0, 1, 3, 4, 11, 27, 28, 40, length($bytes) - 17, length($bytes) - 16, length($bytes) - 1;
    push @changed, '', 'A', 'A' x length $value, substr($value, 1), substr($value, 0, -2), "${value}AA",
        $value x 2, "2.$value", "$value=", scalar reverse $value;

    return join ' ', uniq(map { with_cookie(page_of($case->{name}), $case->{name}, $_) } @changed);
}

sub try_planted {
    my ($case) = @_;

    my ($name, $value) = ($case->{name}, cookie($case));
    my $planted = substr($value, 0, -4) . 'AAAA';
    return map { with_cookie(page_of($name), $name, $_) }
        "$planted; $name=$value", "$value; $name=$planted";
}

sub search_store {
    my ($case) = @_;

    my %memory = memory_of($case);
    my $headers = $case->{answer}{headers};
    my $issued = $op->last_login->{issued};
    my @secrets = (qw/ mallory filling /, $headers->{'x-token'}, $headers->{'x-session'},
        decode_base64url($headers->{'x-session'}), $issued->{id_token}, cookie($case),
        decode_base64url(cookie($case)));

    my $size = (() = $memory{store} =~ /[^\0]/sg) >= 21_000 ? '20 KB' : 'less';
    my @found = grep { index($memory{store}, $_) >= 0 } map { pieces($_) } @secrets;
    push @found, grep { index($memory{other}, $_) >= 0 } map { pieces($_) } @secrets[0 .. 2],
        $issued->{id_token};
    return "$size, " . (@found || 'none') . ' of them in plain text';
}

# Shared memory holds a text in blocks of at least 76 bytes, except at its ends: at least one of these pieces
# is not divided. A short text is searched as a whole.
sub pieces {
    my ($text) = @_;

    my $size = min(38, int(length($text) / 2));
    return $text if $size < 12;
    return grep { length == $size } unpack "(a$size)*", $text;
}

# All bytes of the store, and of the other shared memory
sub memory_of {
    my ($case) = @_;

    my @zones = zones(browser()->get('/app')->{headers}{'x-worker'});
    my ($memory) = grep { length == $memory_size } @zones;
    my $other = join '', grep { length != $memory_size } @zones;
    die 'the zones cannot be read' unless $other =~ /_endpoint"/ && defined $memory;

    return (store => $memory, other => $other) if $case->{store} eq 'memory';
    my @keys = $redis->key_names;
    return (store => join('', map { ($_, scalar $redis->command('GET', $_)) } @keys), other => $other);
}

# The shared memory of a worker
sub zones {
    my ($worker) = @_;

    open my $maps, '<', "/proc/$worker/maps" or die "maps: $!";
    no warnings 'portable';    # addresses of 64 bits
    my @ranges = map { /^(\w+)-(\w+) rw-s / ? [hex $1, hex $2] : () } <$maps>;
    open my $memory, '<:raw', "/proc/$worker/mem" or die "mem: $!";
    return map {
        my ($from, $to) = @$_;
        sysseek $memory, $from, 0;
        sysread $memory, my $bytes, $to - $from;
        $bytes;
    } @ranges;
}

# What is seen of a response
sub seen {
    my ($answer) = @_;

    return $answer->{headers}{'x-user'} || outcome($answer);
}

sub get {
    my ($case, $who) = @_;

    return $case->{ $who // 'browser' }->get(page_of($case->{name}));
}

sub with_cookie {
    my ($page, $name, $value) = @_;

    return seen(browser()->get($page, headers => { Cookie => "$name=$value" }));
}

sub cookies {
    my ($case) = @_;

    return grep { $_->{name} =~ /^$case->{name}(?:\.\d)?$/ } $case->{browser}->cookies;
}

sub cookie { return (cookies(@_))[0]{value} }

# The session cookies as sent in a request
sub cookies_of {
    my ($browser) = @_;

    return map { "$_->{name}=$_->{value}; " } grep { $_->{name} =~ /^auto(?:\.\d)?$/ } $browser->cookies;
}

sub login_of_size {
    my ($browser, $size) = @_;

    my $answer = logged_in(sub { $browser->login(page_of('auto')) }, claims => { filler => 'x' x $size });
    my $is_whole = length($answer->{headers}{'x-filler'} // '') == $size;
    my $where = sum(map { length } cookies_of($browser)) > $size ? 'in cookies' : 'elsewhere';
    return $is_whole ? seen($answer) . " $where" : 'not whole';
}

sub configuration {
    my ($chosen) = @_;

    my %session = (session_key => 'keys', session_claims => 'all', session_timeout => '1h');
    my @providers = map {
        my %kept = (%session, session_store => $_);
        (oidc_provider($_, '', %kept, logout_uri => "/logout/$_"),
            oidc_provider("twin_$_", '', %kept, cookie_name => $_),
            oidc_provider("idle_$_", '', %kept, session_idle_timeout => '10m'));
    } @stores;
    push @providers, oidc_provider('auto', '', %session, session_store => $chosen // 'auto');

    return nginx_conf(<<"EOF", @providers, site('page', <<'EOS'));
    large_client_header_buffers 4 64k;

    oidc_session_store memory {
        type memory;
        size $memory_size;
    }

    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }
EOF
        proxy_hide_header X-Worker;
        proxy_hide_header X-Claims;
        add_header X-Worker  $pid always;
        add_header X-User    $oidc_claim_sub;
        add_header X-Claims  "$oidc_claim_name|$oidc_claim_list|$oidc_claim_number|$oidc_claim_object";
        add_header X-Filler  $oidc_claim_filler;
        add_header X-Token   $oidc_access_token;
        add_header X-Session $oidc_session_id;
EOS
}
