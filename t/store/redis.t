#!/usr/bin/perl

# Tests for sessions in Redis: keys and records, connections, and failures: a slow, stopped, full or emptied Redis,
# refused credentials, and a server that is not Redis.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Select ();
use IO::Socket::INET ();
use POSIX ();
use Time::HiRes qw/ sleep time /;

use Test::OIDC;
use Test::OIDC::Sessions qw/ write_session_key /;
use Test::OIDC::Site;

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite socket_ssl/)->has_daemon('redis-server')
    ->plan(210);

use constant { CONNECT => 1, COMMAND => 2 };    # seconds

my $op = provider($t, 8081);
my ($ca, $other_ca) = map { certificate_authority($t, $_) } qw/ ca other_ca /;
$ENV{SSL_CERT_FILE} = $t->testdir . '/ca.crt';    # reading the system's is slow

# The rights that docs/operations.md gives the Redis user, and fewer
my $rights = documented_rights();
my $redis = redis($t, 8379, user => {
    default => 'nopass ~* &* +@all',
    nginx => ">secret $rights",
    without_select => '>secret ' . $rights =~ s/ \+select//r,
    reader => '>secret ' . $rights =~ s/ \+set\b//r,
    neighbour => '>secret ' . $rights =~ s/~oidc:/~other:/r,
});
my $tls_redis = redis($t, 8380, tls => $ca->issue('redis'), password => 'secret');
my $misnamed_redis = redis($t, 8381, tls => $ca->issue('misnamed', names => ['elsewhere.example.com']));

# A relay in front of Redis, which can send responses of its own.
my $orders = $t->testdir . '/orders';
run_relay($t, port(8382), port(8379), $orders);

my $trusting = 'hostname localhost; ssl on; ssl_trusted_certificate ca.crt;';
my %store = (
    main => [8379],
    relayed => [8382],
    prefix => [8379, 'prefix "site one:";'],

    documented => [8379, 'username without_select; password secret;'],
    database => [8379, 'username nginx; password secret; database 3;'],
    tls => [8380, "$trusting password secret;"],

    wrong_password => [8379, 'username nginx; password wrong;'],
    no_user => [8379, 'username nobody; password secret;'],
    no_password => [8380, $trusting],
    no_rights => [8379, 'username reader; password secret;'],
    no_keys => [8379, 'username neighbour; password secret;'],
    no_select => [8379, 'username without_select; password secret; database 3;'],
    no_database => [8379, 'database 999;'],
    other_ca => [8380, "$trusting password secret;" =~ s/ca.crt/other_ca.crt/r],
    other_name => [8381, $trusting],
    tls_to_plain => [8379, $trusting],
    plain_to_tls => [8380, 'password secret;'],
);

configure($t);
$t->run();

# What Redis stores

my %of = map { ($_ => signed_in('main', $_)) } qw/ alice bob /;
is(seen(main => $of{$_}), $_, "$_ is logged in") for qw/ alice bob /;
my @keys = $redis->key_names('oidc:session:*');
is(scalar(grep { /^oidc:session:[\w-]{22}$/ } @keys), 2, 'Redis has a key for each session');

my %is_known = map { $_ => 1 } @keys;
my $eve = signed_in('main', 'eve');
my ($key_of_eve) = grep { !$is_known{$_} } $redis->key_names('oidc:session:*');
log_mark($t);
$redis->command('COPY', $keys[0], $key_of_eve, 'REPLACE');
is(seen(main => $eve), '302', 'a record copied over another one is not its session');
$eve = signed_in('main', 'eve');
$redis->command('SETRANGE', $_, 30, 'xxx') for $redis->key_names('oidc:session:*');
is(seen(main => $eve), '302', 'a modified record is refused');
is(user_of($eve->login(page_of('main'))), 'alice', 'a new login replaces a modified record');
is(join("\n", complaints($t)), '', 'copied and modified records: nothing is logged');

$redis->command('FLUSHALL');
%of = map { ($_ => signed_in('main', $_)) } qw/ alice bob /;
is($of{bob}->get('/logout/main')->{status}, 302, 'a logout is redirected');
is(scalar(grep { /^oidc:revoked:[\w-]{22}$/ } $redis->key_names), 1, 'a logout stores a revocation record');
is(scalar(my @left = $redis->key_names('oidc:session:*')), 1, 'a logout deletes the session');
my ($life) = map { $redis->command('TTL', $_) } @left;
ok($life > 3500 && $life <= 3600, 'a session expires after session_timeout');
my ($noted) = map { $redis->command('TTL', $_) } $redis->key_names('oidc:revoked:*');
ok($noted > 3800 && $noted <= 3900, 'a revocation record expires five minutes later');

my $site = signed_in('prefix');
is(seen(prefix => $site), 'alice', 'prefix: the session opens');
is(scalar(grep { /^site one:session:/ } $redis->key_names), 1, 'prefix: the keys begin with it');

# Connections

is(join(' ', map { seen(main => $of{alice}) } 1 .. 100), join(' ', ('alice') x 100), '100 requests succeed');
cmp_ok(connections(), '<=', 2, '100 requests: one connection');    # and one of "prefix"

$redis->stop;
my @requests = map { $of{alice}->start(page_of('main')) } 1 .. 50;
browser()->get('/app');    # served after them
$redis->continue;
is(scalar(grep { user_of($of{alice}->finish($_)) eq 'alice' } @requests), 50, '50 requests at once succeed');
my $kept = connections();
ok($kept > 10 && $kept <= 33, '50 requests at once: 32 connections are kept') or diag($kept);

log_mark($t);
$redis->command(qw/ CLIENT KILL TYPE normal SKIPME yes /);
is(seen(main => $of{alice}), 'alice', 'connections closed by Redis do no harm');
$redis->kill->start;
is(seen(main => $of{alice}), '302', 'a restart of Redis: the session is lost');
is(seen(main => signed_in('main')), 'alice', 'a restart of Redis: a new login succeeds');
is(join("\n", complaints($t)), '', 'a restart of Redis: nothing is logged');

$of{relayed} = signed_in('relayed');
answers_with('once', '');
is(seen(relayed => $of{relayed}), 'alice', 'a connection closed on use: the request is sent again on another one');
is(join("\n", error_log_lines($t, qr/oidc:/)), '', 'a connection closed on use: nothing is logged');

my $emptied = signed_in('main');
$redis->command('FLUSHALL');
log_mark($t);
is(seen(main => $emptied), '302', 'FLUSHALL: the session is lost');
is(user_of($emptied->login(page_of('main'))), 'alice', 'FLUSHALL: a new login succeeds');
is(join("\n", complaints($t)), '', 'FLUSHALL: nothing is logged');

# Redis is slow.

my $timeout = qr/store did not respond in time at "\S+:\d+"/;
my %user = map { $_ => signed_in($_) } qw/ main leaving cookies /;
my ($returning, $callback) = about_to_return('main');
my $copy_of_leaving = $user{leaving}->clone;

$redis->stop;
log_mark($t);
my $start = time;
my %request = (
    page => $user{main}->start(page_of('main')),
    callback => $returning->start($callback),
    logout => $user{leaving}->start('/logout/main'),
    verify => $user{main}->start('/verify'),
);
my %browser = (page => $user{main}, callback => $returning, logout => $user{leaving}, verify => $user{main});
my @others = map {
    (browser()->get('/app'), $user{cookies}->get(page_of('cookies')), browser()->get(page_of('main')),
        browser()->get('/verify'));
} 1 .. 5;
is(join(' ', map { $_->{status} } @others), join(' ', ('200 200 302 200') x 5),
    'slow: open pages, sessions in cookies and new logins are served');
my @answered = IO::Select->new(map { $_->{socket} } values %request)->can_read(0);
is(scalar(@answered), 0, 'slow: requests that need Redis wait meanwhile');

my %answer = map { $_ => $browser{$_}->finish($request{$_}) } sort keys %request;
took_at_most($start, CONNECT + COMMAND, 'slow: they wait no longer than the timeouts');

for my $what (qw/ page callback logout /) {
    is(outcome($answer{$what}), '503 store_timeout', "slow, $what");
    like($answer{$what}{headers}{'retry-after'} // '', qr/^[1-9]\d*$/, "slow, $what: Retry-After");
    is($answer{$what}{headers}{'cache-control'}, 'no-store', "slow, $what: Cache-Control is no-store");
    is(join(' ', grep { !/; Max-Age=0;/ } @{ $answer{$what}{set_cookie} }), '', "slow, $what: no cookie is set");
}
is(user_of($answer{verify}), 'anonymous', 'slow: auth_oidc_mode verify sees an anonymous user');
is($user{leaving}->cookie('main'), undef, 'slow, logout: the cookie is deleted');
like($answer{logout}{body}, qr/Copies of your session/, 'slow, logout: the page says that copies may still work');
is(scalar(logged($t, "$timeout while loading a session", 'main', 2)), 2,
    'slow, a session: logged once for each request');
is(scalar(logged($t, "$timeout while handling the callback", 'main')), 1, 'slow, callback: logged');
is(scalar(logged($t, "$timeout while logging out", 'main')), 1, 'slow, logout: logged');
is(scalar(error_log_lines($t, qr/oidc:/)), 4, 'slow: nothing else is logged by the module');

$redis->continue;
$start = time;
is(seen(main => $user{main}), 'alice', 'after slowness: the session continues');
took_at_most($start, 0, 'after slowness: without delay');
is(user_of($returning->login(page_of('main'))), 'alice', 'after slowness: a new login succeeds');
is(seen(main => $copy_of_leaving), 'alice', 'after slowness: a copied cookie of the session still works');
is($copy_of_leaving->get('/logout/main')->{status}, 302, 'after slowness: a logout ends the session');

# Redis is down.

my $unreachable = qr/store could not be reached at "\S+:\d+"/;
($returning, $callback) = about_to_return('main');
$redis->kill;
log_mark($t);
is(outcome($user{main}->get(page_of('main'))), '503 store_unreachable', 'down, a page');
is(user_of($user{main}->get('/verify')), 'anonymous', 'down: auth_oidc_mode verify sees an anonymous user');
is(scalar(logged($t, "$unreachable while loading a session", 'main', 2)), 2, 'down, a page: logged');
is_deeply(fails_to_return($returning, $callback), ['503 store_unreachable', 5, undef],
    'down, a callback: 503 with Retry-After, no session');
is(scalar(logged($t, "$unreachable while handling the callback", 'main')), 1, 'down, a callback: logged');
is(seen(cookies => $user{cookies}), 'alice', 'down: sessions in cookies continue');

$redis->start;
log_mark($t);
is(seen(main => $user{main}), '302', 'up again and empty: the session is lost');
is(user_of($user{main}->login(page_of('main'))), 'alice', 'up again: a new login succeeds');
is(join("\n", complaints($t)), '', 'up again: nothing is logged');

# Redis is full.

($returning, $callback) = about_to_return('main');
my $number = $redis->command('DBSIZE');
$redis->command(qw/ CONFIG SET maxmemory 1 /);
log_mark($t);
is_deeply(fails_to_return($returning, $callback), ['503 store_answer', 5, undef],
    'full, a login: 503 with Retry-After, no session');
is(scalar(logged($t, refused('a command', 'OOM') . ' while handling the callback', 'main')), 1,
    'full, a login: logged');
is($redis->command('DBSIZE'), $number, 'full: nothing is added to Redis');
is(seen(main => $user{main}), 'alice', 'full: sessions continue');
my $copy_of_main = $user{main}->clone;
my $logout = $user{main}->get('/logout/main');
is(outcome($logout), '503 store_answer', 'full: a logout cannot be recorded');
is($user{main}->cookie('main'), undef, 'full, a logout: the cookie is deleted');
like($logout->{body}, qr/Copies of your session/, 'full, a logout: the page says that copies may still work');
is(scalar(logged($t, refused('a command', 'OOM') . ' while logging out', 'main')), 1, 'full, a logout: logged');
$redis->command(qw/ CONFIG SET maxmemory 0 /);
is(seen(main => $copy_of_main), '302', 'after fullness: the session has ended for copies of its cookie, too');
is(user_of($returning->login(page_of('main'))), 'alice', 'after fullness: a login succeeds');

# The server is not Redis. A request with a session sends four commands at once: for the session, and for
# three possible revocation records.

my $improper = qr/store sent an invalid response at "\S+:\d+"/;
my $nil = "\$-1\r\n";
my @nonsense = (
    ['HTTP', 'close', "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", $improper],
    ['HTTP without an end', 'hold', "HTTP/1.1 200 OK\r\n\r\n", $improper],
    ['a TLS alert', 'hold', "\x15\x03\x03\x00\x02\x02\x28", $improper],
    ['a huge text', 'hold', "\$999999\r\n" . 'x' x 999_999, $improper],
    ['a text that is not sent', 'hold', "\$999999999\r\nx", $timeout],
    ['a text of an impossible length', 'hold', "\$99999999999999999999\r\n", $improper],
    ['a text of a negative length', 'hold', "\$-7\r\n", $improper],
    ['a text longer than announced', 'hold', "\$1\r\nxxx", $improper],
    ['a list without an end', 'hold', "*999999\r\n" . $nil x 100, $improper],
    ['lists in lists', 'hold', "*1\r\n" x 20, $improper],
    ['a reply cut short', 'close', "\$100\r\nabc", $improper],
    ['three replies and EOF', 'close', $nil x 3, $improper],
    ['three replies and silence', 'hold', $nil x 3, $timeout],
    ['five replies', 'hold', $nil x 5, $improper],
    ['bytes after the replies', 'hold', $nil x 4 . 'x', $improper],
    ['EOF', 'close', '', $unreachable],
    ['silence', 'hold', '', $timeout],
    ['a byte now and then', 'drip', '+' . 'x' x 600, $timeout],
    ['errors', 'hold', "-ERR unknown command\r\n" x 4, refused('a command', 'ERR')],
    ['one error among the replies', 'hold', $nil x 3 . "-NOPERM no\r\n", refused('a command', 'NOPERM')],
    ['an error of odd bytes', 'hold', "-\"\x01\x7f x\r\n" x 4, refused('a command', '\\\\x22\\\\x01\\\\x7F')],
    ['a map of RESP3', 'hold', "%1\r\n+a\r\n+b\r\n" x 4, $improper],
    ['nulls of RESP3', 'hold', "_\r\n" x 4, $improper],
    ['truths of RESP3', 'hold', "#t\r\n" x 4, $improper],
    ['a push of RESP3', 'hold', ">1\r\n+x\r\n" . $nil x 4, $improper],
    ['numbers instead of texts', 'hold', ":1\r\n" x 4, $improper],
    ['lists instead of texts', 'hold', "*0\r\n" x 4, $improper],
    ['a status instead of texts', 'hold', "+OK\r\n" x 4, $improper],
);

$of{relayed} = signed_in('relayed');
my (@afterwards, @late);
for my $case (@nonsense) {
    my ($name, $how, $bytes, $sentence) = @$case;
    my $word = word_of($sentence);

    log_mark($t);
    answers_with($how, $bytes);
    $start = time;
    is(outcome($of{relayed}->get(page_of('relayed'))), "503 $word", $name);
    push @late, $name if time - $start > CONNECT + COMMAND + Test::OIDC::Wait::SPARE;
    ok(logged($t, "$sentence while loading a session", 'relayed'), "$name: logged");
    answers_with();
    push @afterwards, seen(relayed => $of{relayed});
}

my %improper = ('nothing' => $nil, 'a number' => ":1\r\n", 'a text' => "\$2\r\nOK\r\n", 'a status' => "+OK\r\n",
    'a list of one' => "*1\r\n\$1\r\n1\r\n", 'numbers' => "*2\r\n:1\r\n:2\r\n");
for (['the time is requested', 'TIME', sort keys %improper],
    ['a session is saved', 'SET', 'nothing', 'a number', 'a text', 'numbers'])
{
    my ($when, $command, @answers) = @$_;
    for my $what (@answers) {
        my @returning = about_to_return('relayed');
        log_mark($t);
        answers_with('hold', $improper{$what}, $command);
        is_deeply(fails_to_return(@returning), ['503 store_answer', 5, undef], "$when, the reply is $what");
        ok(logged($t, "$improper while handling the callback", 'relayed'), "$when, the reply is $what: logged");
        answers_with();
    }
}
for my $command (qw/ DEL EVAL /) {
    for my $what ('nothing', 'a text', 'a status', 'numbers') {
        my $leaving = signed_in('relayed');
        log_mark($t);
        answers_with('hold', $improper{$what}, $command);
        is(outcome($leaving->get('/logout/relayed')), '503 store_answer', "a logout, $command, the reply is $what");
        is($leaving->cookie('relayed'), undef, "a logout, $command, the reply is $what: the cookie is deleted");
        ok(logged($t, "$improper while logging out", 'relayed'), "a logout, $command, the reply is $what: logged");
        answers_with();
    }
}
is(join(', ', @late), '', 'no malformed reply takes longer than the timeouts');
is(join(' ', @afterwards), join(' ', ('alice') x @nonsense), 'the session continues after each malformed reply');

# Credentials and rights

is(whole_life($_), 'alice alice 302 302', "$_: login, page and logout work") for qw/ documented database tls /;
is($redis->command(qw/ -n 3 DBSIZE /), '1', 'database: the revocation record is in the database named');

for my $right ($rights =~ / \+(\w+)/g) {
    next if $right eq 'select';
    $redis->command(qw/ ACL SETUSER without_select /, "-$right");
    isnt(whole_life('documented'), 'alice alice 302 302', "documented: the rights do not suffice without \"$right\"");
    $redis->command(qw/ ACL SETUSER without_select /, "+$right");
}
is(whole_life('documented'), 'alice alice 302 302', 'documented: the documented rights suffice');

my @refusals = (
    ['a wrong password', 'wrong_password', refused('the connection', 'WRONGPASS')],
    ['an unknown user', 'no_user', refused('the connection', 'WRONGPASS')],
    ['no password', 'no_password', refused('a command', 'NOAUTH')],
    ['a command not allowed', 'no_rights', refused('a command', 'NOPERM')],
    ['keys not allowed', 'no_keys', refused('a command', 'NOPERM')],
    ['SELECT not allowed', 'no_select', refused('the connection', 'NOPERM')],
    ['a database that does not exist', 'no_database', refused('the connection', 'ERR')],
    ['a certificate of another CA', 'other_ca', $unreachable,
        qr/, its certificate was refused, (?:self-signed certificate|unable to )[a-z ]*/],
    ['a certificate of another name', 'other_name', $unreachable,
        ', its certificate was refused, it is for another name'],
    ['TLS to a plain server', 'tls_to_plain', $timeout],
    ['no TLS to a TLS server', 'plain_to_tls', $unreachable],
);
for my $case (@refusals) {
    my ($name, $store, $sentence, $reason) = @$case;
    $reason //= '';
    log_mark($t);
    is_deeply(fails_to_return(about_to_return($store)), ['503 ' . word_of($sentence), 5, undef], $name);
    ok(logged($t, "$sentence$reason while handling the callback", $store), "$name: logged");
}
my $log = $t->read_file('error.log') =~ s/^.*\[debug\].*\n//mgr;
unlike($log, qr/secret|password wrong/, 'no password is logged');

# ------------------------------------------------------------------------------------------------------

sub documented_rights {
    open my $page, '<', "$FindBin::Bin/../../docs/operations.md" or die "operations.md: $!";
    my ($rights) = map { /^user nginx on >\S+ (.*)$/ } <$page>;
    return $rights // die 'docs/operations.md names no rights';
}

sub word_of {
    my ($sentence) = @_;

    return $sentence eq $timeout ? 'store_timeout'
        : $sentence eq $unreachable ? 'store_unreachable' : 'store_answer';
}

sub refused {
    my ($what, $word) = @_;

    return qr/store "\S+:\d+" refused $what, "$word"/;
}

sub signed_in {
    my ($name, $user) = @_;

    my $browser = browser();
    $op->set(user => { sub => $user // 'alice' });
    $browser->login(page_of($name eq 'leaving' ? 'main' : $name));
    $op->reset;
    return $browser;
}

# A browser and the callback URL to which the provider redirects it
sub about_to_return {
    my ($name) = @_;

    my $browser = browser();
    return ($browser, $browser->follow($browser->get(page_of($name)))->{location});
}

# The outcome of the callback, its Retry-After and the session cookie, which must be absent
sub fails_to_return {
    my ($browser, $callback) = @_;

    my ($name) = $callback =~ m{/callback/(\w+)};
    my $answer = $browser->get($callback);
    return [outcome($answer), $answer->{headers}{'retry-after'}, $browser->cookie($name)];
}

sub user_of {
    my ($answer) = @_;

    return $answer->{headers}{'x-user'} || ($answer->{status} == 200 ? 'anonymous' : outcome($answer));
}

sub seen {
    my ($name, $browser) = @_;

    return user_of($browser->get(page_of($name)));
}

sub whole_life {
    my ($name) = @_;

    my $browser = browser();
    my @seen = (user_of($browser->login(page_of($name))), seen($name => $browser));
    my $copy = $browser->clone;
    return join ' ', @seen, outcome($browser->get("/logout/$name")), seen($name => $copy);
}

# Log lines with this sentence. Waits a moment for that many.
sub logged {
    my ($t, $sentence, $provider, $number) = @_;

    my $line = qr/\[error\] .* oidc: $sentence, provider "$provider"/;
    log_has($t, $line, $number);
    return error_log_lines($t, $line);
}

sub complaints {
    my ($t) = @_;

    return error_log_lines($t, qr/\[(?:warn|error|crit|alert)\]/);
}

sub connections {
    return scalar grep { !/ cmd=client/ } $redis->command(qw/ CLIENT LIST /);
}

# The relay now sends this response itself, to every request or to those with this command; without arguments
# Redis responds.
sub answers_with {
    my ($how, $bytes, $command) = @_;

    return unlink $orders unless defined $how;
    open my $file, '>:raw', "$orders.new" or die "orders: $!";
    print $file join ' ', $how, $command // '';
    print $file "\n$bytes";
    close $file;
    rename "$orders.new", $orders or die "rename: $!";
}

# Starts a process for each connection.
sub run_relay {
    my ($t, $port, $to, $orders) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 64, ReuseAddr => 1)
        or die "relay: $!";
    $t->run_daemon(sub {
        local $SIG{CHLD} = 'IGNORE';
        while (my $client = $listen->accept) {
            next if fork;
            relay($client, IO::Socket::INET->new("127.0.0.1:$to"), $orders);
            POSIX::_exit(0);
        }
    });
}

sub relay {
    my ($client, $server, $orders) = @_;

    my $both = IO::Select->new($client, $server // ());
    while (my @ready = $both->can_read) {
        for my $socket (@ready) {
            sysread $socket, my $bytes, 65536 or return;
            if ($socket != $client) {
                write_all($client, $bytes);
                next;
            }
            my ($how, $response) = order_for($orders, $bytes);
            return if $how eq 'once' && unlink $orders;
            write_all($server, $bytes) if $how eq '';
            drip($client, $response) if $how eq 'drip';
            write_all($client, $response) if $how =~ /hold|close/;
            return if $how eq 'close';
        }
    }
}

sub order_for {
    my ($orders, $request) = @_;

    open my $file, '<:raw', $orders or return ('', '');
    local $/;
    my ($how, $command, $response) = <$file> =~ /\A(\w+) (\w*)\n(.*)\z/s;
    return $command eq '' || $request =~ /\r\n$command\r\n/ ? ($how, $response) : ('', '');
}

sub write_all {
    my ($socket, $bytes) = @_;

    while (length $bytes) {
        my $n = syswrite $socket, $bytes or POSIX::_exit(0);
        substr($bytes, 0, $n) = '';
    }
}

sub drip {
    my ($socket, $bytes) = @_;

    for (split //, $bytes) {
        write_all($socket, $_);
        sleep 0.1;
    }
}

sub configure {
    my ($t) = @_;

    write_session_key($t);
    my ($connect, $command) = map { 1000 * $_ . 'ms' } CONNECT, COMMAND;
    my $stores = join '', map {
        my ($port, $directives) = (@{ $store{$_} }, '');
        my $host = $directives =~ /hostname/ ? '' : 'hostname 127.0.0.1;';
        "    oidc_session_store $_ { type redis; $host port %%PORT_$port%%; $directives "
            . "connect_timeout $connect; command_timeout $command; }\n";
    } sort keys %store;

    my %session = (session_key => 'key', session_timeout => '1h');
    my @providers = map {
        my @idle = /^(?:main|relayed)$/ ? () : (session_idle_timeout => '10m');
        oidc_provider($_, '', %session, session_store => $_, logout_uri => "/logout/$_", @idle);
    } sort keys %store;
    push @providers, oidc_provider('cookies', '', %session, session_store => 'cookie');

    $t->write_file_expand('nginx.conf', nginx_conf($stores, @providers, site('page', <<'EOF')));
        add_header X-User $oidc_claim_sub;

        location /verify {
            auth_oidc      main;
            auth_oidc_mode verify;
            proxy_pass     http://127.0.0.1:8080/app;
        }
EOF
}
