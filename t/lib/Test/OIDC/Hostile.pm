package Test::OIDC::Hostile;

# Broken responses of a provider that do not depend on the request, so that the test of each endpoint can
# use all of them.
#
#   wrong_status(@statuses)        these, and redirects, which must not be followed
#   wrong_type()                   a content type other than JSON
#   broken_http($url, $max)       larger than $max bytes, cut short, compressed, malformed, no HTTP;
#                                  the log names the $url
#   too_slow($url)                 later than SHORT_TIMEOUTS allow: for a minute
#       each case: its name, a knob "respond", the outcome, the sentence in the log
#   broken_json()
#       each case: its name, a text in which %%*%% stands for the valid members, its name in the log

use warnings;
use strict;

our @EXPORT = qw/ broken_http broken_json too_slow wrong_status wrong_type /;
use base qw/ Exporter /;

sub wrong_status {
    my (@statuses) = @_;

    return (
        (map { ["a redirect, $_", { status => $_, headers => { Location => '/evil' } }, status($_)] }
            300 .. 303, 305 .. 308),
        (map { ["status $_", { status => $_ }, status($_)] } @statuses),
    );
}

sub status { return ('502 upstream_status', "provider returned status $_[0]") }

sub wrong_type {
    return (
        ['HTML', { headers => { 'Content-Type' => 'text/html' }, body => '<html>' }, type('text/html')],
        ['no content type', { headers => { 'Content-Type' => undef } }, type('')],
        map { ["the right answer as $_", { headers => { 'Content-Type' => $_ } }, type($_)] }
            qw{ text/plain application/jsonx application/x-www-form-urlencoded },
    );
}

sub type { return ('502 upstream_status', qq{provider sent content type "$_[0]" instead of JSON}) }

sub broken_http {
    my ($url, $max) = @_;

    return map { [$_->[0], $_->[1], "502 upstream_$_->[2]", qq{provider $_->[3] at "$url"}] }
        too_large($max), overlong_head(), cut_short(), wrong_coding(), malformed_head(), no_http();
}

sub too_large {
    my ($max) = @_;

    my @verdict = (answer => 'sent an oversized response');
    return (
        ['too large', { pad => $max + 1 }, @verdict],
        ['too large, chunked', { pad => $max + 1, chunked => 8192 }, @verdict],
        ['too large, without a length',
            { pad => $max + 1, headers => { 'Content-Length' => undef } }, @verdict],
        ['too large, as it says itself', { headers => { 'Content-Length' => $max + 1 } }, @verdict],
        ['an answer without an end', { endless => 'body' }, @verdict],
        ['a chunk without an end', { endless => 'body', body => "fffffffff\r\n",
            headers => { 'Transfer-Encoding' => 'chunked' } }, @verdict],
    );
}

sub overlong_head {
    my @verdict = (answer => 'sent an incomplete response');
    return (
        ['headers without an end', { endless => 'headers' }, @verdict],
        ['interim answers without an end', { before => "HTTP/1.1 103 Early Hints\r\n\r\n" x 5000 },
            @verdict],
        ['a header of 20,000 bytes', { headers => { X => 'x' x 20_000 } }, @verdict],
        ['a header of 64 KB', { headers => { X => 'x' x 65_536 } }, @verdict],
        ['a name of a header of 64 KB', { headers => { 'x' x 65_536 => 1 } }, @verdict],
        ['300 headers of 100 bytes', { headers => { X => [ ('x' x 97) x 300 ] } }, @verdict],
    );
}

sub cut_short {
    my %word = (close => 'closed', reset => 'reset');
    my %place = (mid_headers => 'in the headers', after_headers => 'behind the headers',
        mid_body => 'in the body');
    my @incomplete = (answer => 'sent an incomplete response');

    return (
        (map { ["$word{$_} before the headers", { $_ => 'before_headers' },
            unreachable => 'could not be reached'] } sort keys %word),
        (map { my $how = $_; map { ["$word{$how} $place{$_}", { $how => $_ }, @incomplete] }
            sort keys %place } sort keys %word),
        ['closed in a chunk', { close => 'mid_body', chunked => 100 }, @incomplete],
    );
}

sub wrong_coding {
    return (
        (map { ["compressed by $_", { headers => { 'Content-Encoding' => $_ } },
            answer => 'sent an unsupported Content-Encoding'] } qw/ gzip br deflate zstd /),
        ['chunked and compressed for transfer', { headers => { 'Transfer-Encoding' => 'gzip, chunked' } },
            answer => 'sent an unknown Transfer-Encoding'],
        ['chunked and with a length', { chunked => 100, headers => { 'Content-Length' => 5 } },
            answer => 'sent both Content-Length and Transfer-Encoding'],
        ['two lengths', { headers => { 'Content-Length' => [5, 6] } },
            answer => 'sent a malformed Content-Length'],
        ['chunks of no size', { headers => { 'Transfer-Encoding' => 'chunked', 'Content-Length' => undef } },
            answer => 'sent malformed chunks'],
    );
}

sub malformed_head {
    my @verdict = (answer => 'sent a malformed header');
    return (
        ['a NUL in a header', { headers => { A => "a\0b" } }, @verdict],
        ['a carriage return in a header', { headers => { A => "a\rb" } }, @verdict],
    );
}

sub no_http {
    my @verdict = (answer => 'sent no HTTP response');
    return (
        ['a body without headers, as in HTTP/0.9', { raw => '{}' }, @verdict],
        ['the greeting of another protocol', { raw => "* OK IMAP4rev1\r\n" }, @verdict],
        ['the greeting of HTTP/2', { raw => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" }, @verdict],
        ['the frames of HTTP/2', { raw => "\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64" }, @verdict],
        ['a TLS alert', { raw => "\x15\x03\x03\x00\x02\x02\x28" }, @verdict],
        ['bytes ahead', { before => 'x' }, @verdict],
    );
}

sub too_slow {
    my ($url) = @_;

    return map { [@$_, '504 upstream_timeout', qq{provider did not respond in time at "$url"}] }
        ['silent', { hold => 1 }],
        ['slow in its headers', { headers => { X => 'x' x 12_000 }, drip => [10, 0.05] }],
        ['slow in its body', { headers => { X => 'x' x 300 }, pad => 36_000, drip => [30, 0.05] }];
}

sub broken_json {
    my $malformed = 'malformed JSON';
    my $twice = 'JSON with a duplicate member';
    my $deep = 'JSON nested too deeply';

    return (
        ['no JSON', 'sub=alice', $malformed],
        ['nothing', '', $malformed],
        ['JSON cut short', '{%%*%%', $malformed],
        ['bytes behind the JSON', '{%%*%%}x', $malformed],
        ['two objects', '{%%*%%}{}', $malformed],
        ['a byte order mark', "\xef\xbb\xbf{%%*%%}", $malformed],
        ['UTF-16', "{\0\"\0i\0\"\0:\0001\0}\0", $malformed],
        ['an array', '[{%%*%%}]', 'JSON other than an object'],
        (map { ["JSON that is $_", $_, $malformed] } '"x"', 'null'),

        ['every member twice', '{%%*%%,%%*%%}', $twice],
        ['a member twice, once escaped', '{%%*%%,"xy":1,"x\\u0079":2}', $twice],
        ['a nested member twice', '{%%*%%,"x":{"y":1,"y":2}}', $twice],

        ['a NUL in a value', '{%%*%%,"x":"a\\u0000b"}', $malformed],
        ['a NUL in a name', '{%%*%%,"x\\u0000":1}', $malformed],
        ['a NUL byte', "{%%*%%,\"x\":\"a\0b\"}", $malformed],
        ['a NUL byte behind', "{%%*%%}\0", $malformed],
        (map { ['bytes that are no UTF-8, ' . unpack('H*', $_), "{%%*%%,\"x\":\"$_\"}", $malformed] }
            "\xff", "\xc0\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"),
        (map { ["a lone surrogate, $_", qq({%%*%%,"x":"\\u$_"}), $malformed] } qw/ d800 dc00 /),
        ['a number beyond all numbers', '{%%*%%,"x":1e400}', $malformed],
        ['an integer beyond 64 bits with a zero before it', '{%%*%%,"x":099999999999999999999}', $malformed],
        ['an integer beyond 64 bits and a member twice', '{%%*%%,"x":99999999999999999999,"x":1}', $twice],
        ['not a number', '{%%*%%,"x":NaN}', $malformed],

        ['arrays nested 65 deep', '{%%*%%,"x":' . '[' x 64 . ']' x 64 . '}', $deep],
        ['arrays nested 20,000 deep', '{%%*%%,"x":' . '[' x 20_000 . ']' x 20_000 . '}', $deep],
        ['arrays nested 40,000 deep, without an end', '[' x 40_000, $deep],
        ['objects nested 6,000 deep', '{"x":' x 6_000 . '1' . '}' x 6_000, $deep],
    );
}

1;
