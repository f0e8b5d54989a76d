package Test::OIDC::Server;

# A small HTTP/1.1 server in one select() loop, over TCP or TLS: many concurrent connections, each of which
# may pause, stall or break off without delaying another. One request per connection.
#
# The response to a request is a list of steps, done one after the other; then the connection is closed:
#   'bytes'                 sent
#   { pause => seconds }    nothing is sent for that long
#   { until => sub {} }     nothing is sent until it returns true
#   { endless => 'bytes' }  sent repeatedly until the peer closes
#   { abort => 'cut' }      closed at once, without a TLS close notify
#   { abort => 'reset' }    closed by a TCP reset

use warnings;
use strict;

use IO::Select ();
use Socket qw/ SOL_SOCKET SO_LINGER /;
use Time::HiRes qw/ time /;

use constant POLL => 0.01;

# Serves until the process that started this one has ended. $answer->($request) returns the steps.
sub serve {
    my ($listen, $answer, %tls) = @_;

    local $SIG{PIPE} = 'IGNORE';

    my $context = %tls ? tls_context(%tls) : undef;
    my $parent = getppid;
    my @connections;

    $listen->blocking(0);

    while (getppid == $parent) {
        wait_for_event($listen, @connections);

        while (my $socket = $listen->accept) {
            push @connections, connection($socket, $answer, $context);
        }

        @connections = grep { progress($_) } @connections;
    }
}

sub tls_context {
    my (%tls) = @_;

    require IO::Socket::SSL;
    return IO::Socket::SSL::SSL_Context->new(SSL_server => 1, %tls)
        || die 'no TLS context: ' . IO::Socket::SSL::errstr();
}

sub wait_for_event {
    my ($listen, @connections) = @_;

    my $read = IO::Select->new($listen, sockets_that_want('read', @connections));
    my $write = IO::Select->new(sockets_that_want('write', @connections));

    my $timeout = 1;
    for my $wake (map { $_->{wake} } grep { $_->{wants} eq 'time' } @connections) {
        my $left = $wake - time;
        $timeout = $left > 0 ? $left : 0 if $left < $timeout;
    }

    IO::Select->select($read, $write, undef, $timeout);
}

sub sockets_that_want {
    my ($what, @connections) = @_;

    return map { $_->{socket} } grep { $_->{wants} eq $what } @connections;
}

sub connection {
    my ($socket, $answer, $context) = @_;

    $socket->blocking(0);
    my $c = {
        socket => $socket, answer => $answer, wants => 'read', in => '', out => '', wake => 0,
    };

    if ($context) {
        $c->{handshake} = 1;
        $c->{socket} = IO::Socket::SSL->start_SSL($socket,
            SSL_server => 1, SSL_reuse_ctx => $context, SSL_startHandshake => 0);
    }

    return $c;
}

# Proceeds as far as possible without waiting; false if the connection is finished.
sub progress {
    my ($c) = @_;

    return 1 if $c->{wants} eq 'time' && $c->{wake} > time;

    my $state = 'done';
    $state = handshake($c) if $c->{handshake};
    $state = read_request($c) if $state eq 'done' && !$c->{steps};
    $state = perform($c) if $state eq 'done';

    return 1 if $state eq 'wait';
    close_connection($c, $state);
    return 0;
}

sub waits {
    my ($c, $wants, $seconds) = @_;

    $c->{wants} = $wants;
    $c->{wake} = time + ($seconds || 0);
    return 'wait';
}

sub handshake {
    my ($c) = @_;

    if ($c->{socket}->accept_SSL) {
        $c->{handshake} = 0;
        return 'done';
    }

    my $error = $IO::Socket::SSL::SSL_ERROR;
    return waits($c, 'read') if $error == IO::Socket::SSL::SSL_WANT_READ();
    return waits($c, 'write') if $error == IO::Socket::SSL::SSL_WANT_WRITE();
    return 'cut';
}

sub read_request {
    my ($c) = @_;

    while (1) {
        my $n = $c->{socket}->sysread($c->{in}, 65536, length $c->{in});
        return waits($c, 'read') if !defined $n && $!{EAGAIN};
        return 'cut' unless $n;

        my $request = parse_request($c->{in}) or next;
        $request->{sni} = $c->{socket}->get_servername if $c->{socket}->can('get_servername');
        $c->{steps} = [ $c->{answer}->($request) ];
        return 'done';
    }
}

# The request, or undef while it is incomplete. Values of a repeated header are joined by commas.
sub parse_request {
    my ($bytes) = @_;

    my ($head, $rest) = $bytes =~ /\A(.*?\r?\n)\r?\n(.*)\z/s or return undef;
    my ($line, @fields) = split /\r?\n/, $head;

    my %headers;
    for my $field (@fields) {
        my ($name, $value) = $field =~ /^([^:]*):\s*(.*?)\s*$/ or next;
        $name = lc $name;
        $headers{$name} = defined $headers{$name} ? "$headers{$name}, $value" : $value;
    }

    my $length = $headers{'content-length'} || 0;
    return undef if length $rest < $length;

    my ($method, $target) = split / /, $line;
    my ($path, $query) = split /\?/, $target // '', 2;

    return {
        method => $method, target => $target, path => $path // '', query => $query // '',
        head => $head, headers => \%headers, body => substr($rest, 0, $length), time => time,
    };
}

sub perform {
    my ($c) = @_;

    while (1) {
        my $sent = flush($c);
        return $sent if $sent ne 'done';

        my $step = shift @{ $c->{steps} };
        return 'close' unless defined $step;

        if (!ref $step) {
            $c->{out} = $step;

        } elsif ($step->{endless}) {
            $c->{out} = $step->{endless};
            unshift @{ $c->{steps} }, $step;

        } elsif ($step->{pause}) {
            return waits($c, 'time', $step->{pause});

        } elsif ($step->{abort}) {
            return $step->{abort};

        } elsif (!$step->{until}->()) {
            unshift @{ $c->{steps} }, $step;
            return waits($c, 'time', POLL);
        }
    }
}

sub flush {
    my ($c) = @_;

    while (length $c->{out}) {
        my $n = $c->{socket}->syswrite($c->{out});
        return waits($c, 'write') if !defined $n && $!{EAGAIN};
        return 'cut' unless $n;
        substr($c->{out}, 0, $n) = '';
    }

    return 'done';
}

sub close_connection {
    my ($c, $how) = @_;

    my $socket = $c->{socket};
    setsockopt($socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0) if $how eq 'reset';

    return $socket->close if $how eq 'close' || !$socket->can('accept_SSL');
    $socket->close(SSL_no_shutdown => 1);
}

1;
