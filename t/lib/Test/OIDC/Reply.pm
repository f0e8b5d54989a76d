package Test::OIDC::Reply;

# Turns a response of the provider into the bytes and pauses that Test::OIDC::Server sends, broken as the
# knob "respond" says:
#
#   status => 503                    headers => {Name => 'value', Other => undef, Twice => [1, 2]}
#   body => 'text'                   %%*%% and %%name%% stand for the valid JSON members, as in a token
#   body => {error => 'x'}           sent as JSON
#   pad => bytes                     body extended to that size by white space at its end
#   chunked => n                     in chunks of n bytes; without it there is a Content-Length
#   before => 'bytes'                sent before the response, such as a 103 or junk
#   after => 'bytes'                 sent after it
#   raw => 'bytes'                   sent instead of it
#   delay => seconds                 nothing is sent for that long
#   hold => 1                        nothing is sent until the test removes this knob
#   drip => [bytes, seconds]         sent in pieces, with pauses between
#   close => 'before_headers'        closed there, or "mid_headers", "mid_body", "after_headers"
#   reset => 'mid_body'              the same by a TCP reset
#   endless => 'body'                or "headers": continues until the client gives up

use warnings;
use strict;

use Test::OIDC::JWT qw/ fill to_json /;

our @EXPORT_OK = qw/ reply_steps /;
use base qw/ Exporter /;

my %reason = (
    200 => 'OK', 201 => 'Created', 302 => 'Found', 400 => 'Bad Request', 401 => 'Unauthorized', 403 => 'Forbidden',
    404 => 'Not Found', 405 => 'Method Not Allowed', 500 => 'Internal Server Error',
    502 => 'Bad Gateway', 503 => 'Service Unavailable',
);

# $reply is { status, headers, body or json }; $held returns true while a held response has to wait.
sub reply_steps {
    my ($reply, $break, $held) = @_;

    my $body = body_of($reply, $break);
    my $head = head_of($reply, $break, $body);
    $body = chunked($body, $break->{chunked}) if $break->{chunked};

    my @steps = cut($head, $body, $break);
    @steps = ($break->{raw}) if defined $break->{raw};
    @steps = map { dripping($_, @{ $break->{drip} }) } @steps if $break->{drip};

    unshift @steps, $break->{before} if defined $break->{before};
    unshift @steps, { pause => $break->{delay} } if $break->{delay};
    unshift @steps, { until => sub { !$held->() } } if $break->{hold};
    return @steps;
}

sub body_of {
    my ($reply, $break) = @_;

    my $body = $break->{body};
    $body = to_json($body) if ref $body;
    $body = fill($body, $reply->{json}) if defined $body && $reply->{json};
    $body //= $reply->{json} ? to_json($reply->{json}) : $reply->{body} // '';

    my $missing = ($break->{pad} || 0) - length $body;
    return $missing > 0 ? $body . ' ' x $missing : $body;
}

sub head_of {
    my ($reply, $break, $body) = @_;

    my %headers = (
        'content-type' => $reply->{json} ? 'application/json' : 'text/plain',
        'cache-control' => 'no-store',
        'connection' => 'close',
    );

    $headers{'transfer-encoding'} = 'chunked' if $break->{chunked};
    $headers{'content-length'} = length $body unless $break->{chunked} || $break->{endless};

    for my $changes ($reply->{headers}, $break->{headers}) {
        $headers{ lc $_ } = $changes->{$_} for keys %{ $changes || {} };
    }

    my $status = $break->{status} || $reply->{status} || 200;
    my @lines = ("HTTP/1.1 $status " . ($reason{$status} || 'Status'));

    for my $name (sort grep { defined $headers{$_} } keys %headers) {
        my $values = $headers{$name};
        push @lines, map { "$name: $_" } ref $values ? @$values : $values;
    }

    return join "\r\n", @lines, '', '';
}

sub chunked {
    my ($body, $size) = @_;

    my $chunks = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } $body =~ /(.{1,$size})/gs;
    return $chunks . "0\r\n\r\n";
}

# The response up to the point where it is broken off.
sub cut {
    my ($head, $body, $break) = @_;

    return (substr($head, 0, -2), { endless => "x-filler: " . 'f' x 90 . "\r\n" })
        if ($break->{endless} || '') eq 'headers';
    return ($head . $body, { endless => ' ' x 4096 }) if $break->{endless};

    my $where = $break->{close} || $break->{reset};
    return ($head . $body . ($break->{after} // '')) unless $where;

    my %sent = (
        before_headers => '',
        mid_headers => substr($head, 0, -6),
        after_headers => $head,
        mid_body => $head . substr($body, 0, length($body) / 2),
    );

    my $bytes = $sent{$where} // die "no such place to break off: \"$where\"";
    return ($bytes, { abort => $break->{reset} ? 'reset' : 'cut' });
}

sub dripping {
    my ($step, $size, $seconds) = @_;

    return $step if ref $step;
    return map { ($_, { pause => $seconds }) } $step =~ /(.{1,$size})/gs;
}

1;
