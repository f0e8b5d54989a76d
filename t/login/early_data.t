#!/usr/bin/perl

# Tests for early data (0-RTT) of TLS 1.3, which whoever sees it pass can send to nginx once more, byte for
# byte: the replay of a callback exchanges nothing, that of a logout ends nothing but the session it was
# for, that of a page shows nobody anything. Also where the replay is there first.

use warnings;
use strict;

use IO::Select ();
use IO::Socket::INET ();
use Test::More;
use Time::HiRes qw/ sleep time /;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::H2;

select STDERR; $| = 1;
select STDOUT; $| = 1;

# nginx may have closed what a replay still talks to
$SIG{PIPE} = 'IGNORE';

use constant TIMEOUT => 10;

# The protocol of the early data, and for TLS.
my %alpn = ('HTTP/1.1' => 'http/1.1', 'HTTP/2.0' => 'h2');

# What encryption adds to a record of early data.
use constant SEAL => 17;

my $t = Test::Nginx->new()->has(qw/http http_ssl http_v2 proxy rewrite socket_ssl openssl:1.1.1/)
    ->has_daemon('openssl')->plan(2 * 22);

my $ca = certificate_authority($t, 'ca');
$ca->issue('site');
my $op = provider($t, 8081, userinfo => { claims => { department => 'Tea' } });

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    error_log %%TESTDIR%%/error.log info;

    # a replay is early for ever: nobody can finish its handshake
    log_format seen '$http_x_mark $server_protocol early=$ssl_early_data $status';
    log_format app '$http_x_mark';

    lingering_timeout   100ms;
    ssl_protocols       TLSv1.3;
    ssl_early_data      on;
    ssl_certificate     %%TESTDIR%%/site.crt;
    ssl_certificate_key %%TESTDIR%%/site.key;

    oidc_provider my_idp {
        issuer        http://127.0.0.1:8081;
        client_id     client;
        client_secret secret-of-at-least-thirty-two-bytes;
        userinfo      on;
        logout_uri    /logout;
    }

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

# The flight arrives, and then arrives again, twice.
sub replays_callback {
    my ($protocol) = @_;

    my $name = "$protocol, a callback";
    my ($browser, $callback) = at_callback();
    my ($flight, $said) = early($protocol, $browser, $callback, 'callback');
    like($said, qr/Early data was accepted/, "$name, early");
    is(seen($protocol, 'callback', 1), '302', "$name, logged in");

    replay($flight) for 1, 2;
    is(seen($protocol, 'callback', 3), '302, early 302, early 302', "$name, replayed");
    is($op->count('/token') . $op->count('/userinfo'), '11', "$name, exchanged once");

    # the answer came to the client of TLS: a copy of the callback brings it to the browser
    is($browser->get($callback)->{headers}{location}, '/page', "$name, to its page");
    is($browser->get('/page')->{body}, 'in', "$name, there");
    is($op->count('/token'), 1, "$name, exchanged once after all");
}

# Who holds the flight back delivers it alone, and the browser tries again without early data.
sub replays_withheld_callback {
    my ($protocol) = @_;

    my $name = "$protocol, a callback held back";
    my ($browser, $callback) = at_callback();
    my ($flight) = early($protocol, $browser, $callback, 'withheld', withhold => 1);
    is($op->count('/token'), 0, "$name, has not arrived");

    replay($flight);
    is(seen($protocol, 'withheld', 1), 'early 302', "$name, replayed");
    my $answer = $browser->get($callback);
    is($answer->{headers}{location}, '/page', "$name, tried again");
    is($browser->get('/page')->{body}, 'in', "$name, logged in");
    is($op->count('/token') . $op->count('/userinfo'), '11', "$name, exchanged once");
}

# A page with a session, and later, when that has ended.
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
    is(in_app('page'), $app, "$name, not asked of the application");
}

# The user is back when the logout comes once more.
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
    is($browser->get('/page')->{body}, 'in', "$name, who is back stays");

    my ($stranger) = logged_in();
    is($stranger->get('/page')->{body}, 'in', "$name, as others do");

    # without a cookie it is nobody's
    ($flight) = early($protocol, browser(base => $site), '/logout', 'nobody', headers => [%same_site]);
    seen($protocol, 'nobody', 1);
    replay($flight);
    is(seen($protocol, 'nobody', 2), '302, early 302', "$name of nobody, replayed");
    is($browser->get('/page')->{body}, 'in', "$name of nobody, nobody's");
}

###############################################################################

sub logged_in {
    my $browser = browser(base => $site);
    $browser->login('/page');
    return $browser;
}

# A browser that the provider has sent back, and where to.
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

# A first connection, for what later ones may resume.
sub ticket {
    my ($protocol) = @_;

    my $client = s_client($protocol, port(8443), '-sess_out', tickets($protocol));
    my $end = time + TIMEOUT;
    sleep 0.02 until -s tickets($protocol) || time > $end;
    sleep 0.02 until eval { ended_writing(tickets($protocol)) } || time > $end;
    end($client);
}

sub ended_writing { return $t->read_file($_[0] =~ s{.*/}{}r) =~ /-----END/ }

sub end {
    my ($client) = @_;

    kill 'KILL', $client->{pid};
    close $client->{output};
}

# A request as early data, with this mark in the log: its flight, and what the client of TLS has said in
# the end. Withheld it does not reach nginx.
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
    IO::Select->new($listen)->can_read(TIMEOUT) or die 's_client does not connect';
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

# The bytes of a client up to the end of its early data: whole records, of which those of type 23 hold it.
sub flight {
    my ($socket, $size) = @_;

    my ($bytes, $end, $wanted) = ('', time + TIMEOUT, $size);
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

# What the client says until it has been answered: until its end, or for HTTP/2, until nginx has logged it.
sub relayed {
    my ($client, $flight, $process, $mark) = @_;

    my $nginx = to_nginx($flight);
    my ($said, $end) = ('', time + TIMEOUT);
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

# The connection stays, as long as nginx likes it.
sub replay {
    my ($flight) = @_;

    push @open, to_nginx($flight);
}

# The answers to requests of that mark, once there are so many: to replays with "early" before them. The
# first is none, unless that was withheld; its handshake may be over when it is logged, or not yet.
sub seen {
    my ($protocol, $mark, $count) = @_;

    my ($end, @lines) = (time + TIMEOUT);
    while (time < $end) {
        @lines = $t->read_file('seen.log') =~ /^\Q$mark.$protocol $protocol\E (.*)$/mg;
        last if @lines >= $count;
        sleep 0.02;
    }
    s/^early=1 (?=\d)/early / || s/^early=\S+ // for @lines;
    s/^early // for $mark eq 'withheld' ? () : $lines[0] // ();
    return join ', ', @lines;
}

sub in_app {
    my ($mark) = @_;

    return scalar(() = $t->read_file('app.log') =~ /^\Q$mark\E\./mg);
}

###############################################################################
