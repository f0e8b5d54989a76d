#!/usr/bin/perl

# Tests for replays of early data (0-RTT) of TLS 1.3, which an observer can send to nginx again: the replay
# of a callback causes no token request, that of a logout ends only its own session, that of a page shows
# nothing. Also where the replay is the first to arrive.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Select ();
use IO::Socket::INET ();
use Time::HiRes qw/ time /;

use Test::OIDC;
use Test::OIDC::H2;
use Test::OIDC::Site qw/ default_provider http_conf /;

# nginx may have closed the connection of a replay
$SIG{PIPE} = 'IGNORE';

# The protocol of the early data, and its ALPN name.
my %alpn = ('HTTP/1.1' => 'http/1.1', 'HTTP/2.0' => 'h2');

# Bytes that encryption adds to a record of early data.
use constant SEAL => 17;

my $t = Test::Nginx->new()->has(qw/http http_ssl http_v2 proxy rewrite socket_ssl openssl:1.1.1/)
    ->has_daemon('openssl')->plan(2 * 22);

my $ca = certificate_authority($t, 'ca');
$ca->issue('site');
my $op = provider($t, 8081, userinfo => { claims => { department => 'Tea' } });

$t->write_file_expand('nginx.conf', http_conf(default_provider('my_idp', 'userinfo on; logout_uri /logout'), <<'EOC'));
    error_log %%TESTDIR%%/error.log info;

    # a replay stays early data: its handshake is never finished
    log_format seen '$http_x_mark $server_protocol early=$ssl_early_data $status';
    log_format app '$http_x_mark';

    lingering_timeout   100ms;
    ssl_protocols       TLSv1.3;
    ssl_early_data      on;
    ssl_certificate     %%TESTDIR%%/site.crt;
    ssl_certificate_key %%TESTDIR%%/site.key;

    server {
        listen      127.0.0.1:8443 ssl http2;
        server_name localhost;
        access_log  %%TESTDIR%%/seen.log seen;

        location / {
            auth_oidc  my_idp;
            proxy_pass http://127.0.0.1:8082;
        }
    }

    server {
        listen     127.0.0.1:8082;
        access_log %%TESTDIR%%/app.log app;
        return     200 in;
    }
EOC

$t->run();

my @open;    # connections of replays
my $site = 'https://localhost:' . port(8443);
my %same_site = ('Sec-Fetch-Site' => 'same-origin');

for my $protocol (sort keys %alpn) {
    ticket($protocol);
    replays_callback($protocol);
    replays_withheld_callback($protocol);
    replays_page($protocol);
    replays_logout($protocol);
}

@open = ();

# The flight arrives, and then twice more.
sub replays_callback {
    my ($protocol) = @_;

    my $name = "$protocol, a callback";
    my ($browser, $callback) = at_callback();
    my ($flight, $said) = early($protocol, $browser, $callback, 'callback');
    like($said, qr/Early data was accepted/, "$name, early");
    is(seen($protocol, 'callback', 1), '302', "$name, to the page");

    replay($flight) for 1, 2;
    is(seen($protocol, 'callback', 3), '302, early 302, early 302', "$name, replayed");
    is($op->count('/token') . $op->count('/userinfo'), '11', "$name, replayed: one token request");

    # s_client got the response; a copy of the callback brings the session to the browser
    is($browser->get($callback)->{headers}{location}, '/page', "$name, a copy: to the page");
    is($browser->get('/page')->{body}, 'in', "$name, a copy: logged in");
    is($op->count('/token'), 1, "$name, a copy: one token request in all");
}

# The attacker withholds the flight and sends it alone; the browser retries without early data.
sub replays_withheld_callback {
    my ($protocol) = @_;

    my $name = "$protocol, a callback held back";
    my ($browser, $callback) = at_callback();
    my ($flight) = early($protocol, $browser, $callback, 'withheld', withhold => 1);
    is($op->count('/token'), 0, "$name: no token request yet");

    replay($flight);
    is(seen($protocol, 'withheld', 1), 'early 302', "$name, replayed");
    my $answer = $browser->get($callback);
    is($answer->{headers}{location}, '/page', "$name, retried");
    is($browser->get('/page')->{body}, 'in', "$name, logged in");
    is($op->count('/token') . $op->count('/userinfo'), '11', "$name, one token request");
}

# A page with a session, replayed when the session has ended.
sub replays_page {
    my ($protocol) = @_;

    my $name = "$protocol, a page";
    my $browser = logged_in();
    my ($flight) = early($protocol, $browser, '/page', 'page');
    is(seen($protocol, 'page', 1), '200', "$name, early");

    $browser->get('/logout', headers => \%same_site);
    my $app = in_app('page');
    replay($flight);
    is(seen($protocol, 'page', 2), '200, early 302', "$name, replayed after the logout");
    is(in_app('page'), $app, "$name, no request to the application");
}

# The user is logged in again when the logout is replayed.
sub replays_logout {
    my ($protocol) = @_;

    my $name = "$protocol, a logout";
    my $browser = logged_in();
    my $copy = $browser->clone;
    my ($flight) = early($protocol, $browser, '/logout', 'logout', headers => [%same_site]);
    is(seen($protocol, 'logout', 1), '302', "$name, early");
    is($copy->get('/page')->{status}, 302, "$name, the session has ended");

    $browser->login('/page');
    replay($flight);
    is(seen($protocol, 'logout', 2), '302, early 302', "$name, replayed");
    is($browser->get('/page')->{body}, 'in', "$name, the new session remains");

    my ($stranger) = logged_in();
    is($stranger->get('/page')->{body}, 'in', "$name, sessions of others remain");

    # without a cookie it ends no session
    ($flight) = early($protocol, browser(base => $site), '/logout', 'nobody', headers => [%same_site]);
    seen($protocol, 'nobody', 1);
    replay($flight);
    is(seen($protocol, 'nobody', 2), '302, early 302', "$name without a session, replayed");
    is($browser->get('/page')->{body}, 'in', "$name without a session: all sessions remain");
}

###############################################################################

sub logged_in {
    my $browser = browser(base => $site);
    $browser->login('/page');
    return $browser;
}

# A browser at the callback, and the callback's URL.
sub at_callback {
    my $browser = browser(base => $site);
    my $callback = $browser->follow($browser->get('/page'))->{location};
    $op->clear;
    return ($browser, $callback);
}

sub s_client {
    my ($protocol, $port, @options) = @_;

    my @command = ('openssl', 's_client', '-connect', "127.0.0.1:$port", '-servername', 'localhost',
        '-tls1_3', '-alpn', $alpn{$protocol}, '-ign_eof', @options);
    my $pid = open(my $output, '-|') // die "fork: $!";
    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }
    return { pid => $pid, output => $output };
}

sub tickets { return $t->testdir . '/ticket-' . $_[0] =~ tr{/.}{}dr }

# A first connection, whose TLS session later ones resume.
sub ticket {
    my ($protocol) = @_;

    my $client = s_client($protocol, port(8443), '-sess_out', tickets($protocol));
    wait_until(sub { -s tickets($protocol) && ended_writing(tickets($protocol)) });
    end($client);
}

sub ended_writing { return $t->read_file($_[0] =~ s{.*/}{}r) =~ /-----END/ }

sub end {
    my ($client) = @_;

    kill 'KILL', $client->{pid};
    close $client->{output};
}

# Sends a request as early data, with this X-Mark in the log: its flight, and the output of s_client.
# With "withhold" nginx does not get it.
sub early {
    my ($protocol, $browser, $url, $mark, %options) = @_;

    my @headers = ('X-Mark' => "$mark.$protocol", @{ $options{headers} || [] });
    my $bytes = $protocol eq 'HTTP/2.0' ? of_http2($browser, $url, @headers)
        : of_http1($browser, $url, @headers);
    $t->write_file('early', $bytes);

    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => port(8444), Listen => 1,
        ReuseAddr => 1) or die "listen: $!";
    my $client = s_client($protocol, port(8444), '-sess_in', tickets($protocol), '-early_data',
        $t->testdir . '/early');
    IO::Select->new($listen)->can_read(MAX_WAIT) or die 's_client does not connect';
    my $socket = $listen->accept;

    my $flight = flight($socket, length $bytes);
    my $said = $options{withhold} ? '' : relayed($socket, $flight, $client, "$mark.$protocol");
    close $socket;
    end($client);
    return ($flight, $said);
}

sub of_http1 {
    my ($browser, $url, @headers) = @_;

    my $cookies = join '; ', map { "$_->{name}=$_->{value}" } $browser->cookies;
    my @lines = ('GET ' . $url =~ s{^\Q$site\E}{}r . ' HTTP/1.1', 'Host: ' . $site =~ s{.*/}{}r,
        length $cookies ? "Cookie: $cookies" : ());
    while (my ($name, $value) = splice @headers, 0, 2) {
        push @lines, "$name: $value";
    }
    return join "\r\n", @lines, 'Connection: close', '', '';
}

sub of_http2 {
    my ($browser, $url, @headers) = @_;

    return h2_bytes($site . $url =~ s{^\Q$site\E}{}r, $browser, authority => $site =~ s{.*/}{}r,
        headers => [ map { /^[A-Z]/ ? lc : $_ } @headers ]);
}

# The bytes of a client up to the end of its early data: whole records; those of type 23 carry it.
sub flight {
    my ($socket, $size) = @_;

    my ($bytes, $end, $wanted) = ('', time + MAX_WAIT, $size);
    my $position = 0;
    while (1) {
        while (length $bytes >= $position + 5) {
            my ($type, undef, $length) = unpack 'Cnn', substr $bytes, $position, 5;
            last if length $bytes < $position + 5 + $length;
            $position += 5 + $length;
            $wanted -= $length - SEAL if $type == 23;
            return $bytes if $wanted <= 0;
        }
        IO::Select->new($socket)->can_read($end - time) or die 'no early data';
        sysread $socket, $bytes, 65536, length $bytes or die 'no early data';
    }
}

# Relays until nginx has answered (HTTP/2: until nginx has logged the request): the output of s_client.
sub relayed {
    my ($client, $flight, $process, $mark) = @_;

    my $nginx = to_nginx($flight);
    my ($said, $end) = ('', time + MAX_WAIT);
    my $all = IO::Select->new($client, $nginx, $process->{output});
    while (time < $end) {
        for my $socket ($all->can_read(0.05)) {
            my $n = sysread $socket, my $bytes, 65536;
            if (!$n) {
                $all->remove($socket);
                shutdown $client, 1 if $socket == $nginx;
            }
            elsif ($socket == $process->{output}) {
                $said .= $bytes;
            }
            else {
                syswrite $socket == $client ? $nginx : $client, $bytes;
            }
        }
        last if $said =~ /Early data was/ && $t->read_file('seen.log') =~ /^\Q$mark\E /m;
    }
    return $said;
}

sub to_nginx {
    my ($bytes) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => port(8443)) or die "connect: $!";
    $socket->autoflush(1);
    print $socket $bytes;
    return $socket;
}

# The connection stays open until nginx closes it.
sub replay {
    my ($flight) = @_;

    push @open, to_nginx($flight);
}

# The log lines of requests with that X-Mark, once there are so many, with "early" for replays. "early" is
# dropped from the first line unless it was withheld: its handshake may or may not be finished when logged.
sub seen {
    my ($protocol, $mark, $count) = @_;

    my @lines;
    wait_until(sub {
        @lines = $t->read_file('seen.log') =~ /^\Q$mark.$protocol $protocol\E (.*)$/mg;
        return @lines >= $count;
    });
    s/^early=1 (?=\d)/early / || s/^early=\S+ // for @lines;
    s/^early // for $mark eq 'withheld' ? () : $lines[0] // ();
    return join ', ', @lines;
}

sub in_app {
    my ($mark) = @_;

    return scalar(() = $t->read_file('app.log') =~ /^\Q$mark\E\./mg);
}

###############################################################################
