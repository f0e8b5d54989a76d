package Test::OIDC::Browser;

# A browser without a screen: sends requests as navigations, keeps cookies, follows redirects one at a time.
# It connects to 127.0.0.1 whatever the host, since all servers of a test are there.
#
#   my $b = Test::OIDC::Browser->new(base => 'https://localhost:8443');
#   $res = $b->get('/path', headers => {Accept => '*/*', 'Sec-Fetch-Mode' => undef});
#   $res = $b->follow($res);           one redirect, the Refresh of a page, or the form of a form_post page
#   $res = $b->login('/path');         get, then follow to the end; $res->{hops} are all responses
#   $request = $b->start('/path');     sends only; $b->finish($request) reads the response, $b->abort closes;
#                                      start_form($res) sends the form of a page
#   $b->route(8080 => 8180)            connects to 8180 for port 8080, as a load balancer does for another
#                                      node; route(8080 => 8080) restores it; a path is a Unix socket
#                                      that of a Unix socket
#
# new() also accepts headers for all requests, as a proxy would add them; headers of a request override them.
#
# A response is { status, headers, body, location, refresh, set_cookie, head, url, error }. Names in headers
# are in lower case, repeated ones joined by ", "; set_cookie lists all of them; location and refresh (of a
# Refresh after 0 seconds) are absolute; without a response status is 0 and error the reason.

use warnings;
use strict;

use IO::Select ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use Time::HiRes qw/ time /;

use Test::Nginx qw//;
use Test::OIDC::Cookies;
use Test::OIDC::URL qw/ absolute html_unescape query_string split_url /;
use Test::OIDC::Wait;

use constant MAX_HOPS => 20;

my %navigation = (
    'Accept' => 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
    'Sec-Fetch-Dest' => 'document',
    'Sec-Fetch-Mode' => 'navigate',
    'User-Agent' => 'Mozilla/5.0 (test)',
);

my $tls_context;

sub new {
    my ($class, %options) = @_;

    return bless {
        base => $options{base} || 'http://localhost:' . Test::Nginx::port(8080),
        jar => $options{jar} || Test::OIDC::Cookies->new,
        headers => $options{headers} || {},
        routes => $options{routes} || {},
    }, $class;
}

sub get {
    my ($self, $url, %options) = @_;

    return $self->request('GET', $url, %options);
}

# Content is the bytes of a body, or a hash for a form.
sub post {
    my ($self, $url, $content, %options) = @_;

    return $self->request('POST', $url, content => $content, %options);
}

sub request {
    my ($self, $method, $url, %options) = @_;

    return $self->finish($self->start($url, method => $method, %options));
}

# Options: method, content, headers (undef removes one, an array repeats it); from, the URL of the page with
# the link, and top, that of the page with the frame, which decide about SameSite cookies; absolute (the
# request line has the whole URL, as for a proxy).
sub start {
    my ($self, $url, %options) = @_;

    $url = absolute($url, $self->{base});
    my $target = split_url($url);
    my $method = $options{method} || 'GET';

    my ($type, $content) = (undef, $options{content});
    ($type, $content) = ('application/x-www-form-urlencoded', query_string($content)) if ref $content;

    my ($cross_site, $framed)
        = map { defined $options{$_} && split_url($options{$_})->{host} ne $target->{host} } qw/ from top /;

    my $request_target = $target->{target};
    $request_target = "$target->{scheme}://" . authority($target) . $request_target if $options{absolute};
    my $head = join "\r\n", "$method $request_target HTTP/1.1", header_lines(
        'Host' => authority($target),
        %navigation,
        defined $options{top} ? ('Sec-Fetch-Dest' => 'iframe') : (),
        'Sec-Fetch-Site' => $cross_site ? 'cross-site' : defined $options{from} ? 'same-site' : 'none',
        'Cookie' => $self->{jar}->header($target,
            method => $method, cross_site => $cross_site, framed => $framed),
        'Content-Type' => $type,
        'Content-Length' => defined $content ? length $content : undef,
        %{ $self->{headers} },
        %{ $options{headers} || {} },
        'Connection' => 'close',
    ), '', '';

    return $self->send($url, $head . ($content // ''), method => $method);
}

# Reads the response and keeps its cookies.
sub finish {
    my ($self, $request) = @_;

    my $answer = receive($request);
    my $target = split_url($request->{url});
    $self->{jar}->store($_, $target) for @{ $answer->{set_cookie} };

    return $answer;
}

sub abort {
    my ($self, $request) = @_;

    close $request->{socket};
}

# Sends bytes unchanged to the base (or to another url); cookies are neither sent nor kept.
sub raw {
    my ($self, $bytes, %options) = @_;

    return receive($self->send(absolute($options{url} || '/', $self->{base}), $bytes));
}

sub follow {
    my ($self, $answer, %options) = @_;

    my $url = $answer->{location} // $answer->{refresh} // return $self->submit($answer, %options);
    my $keeps_method = $answer->{status} =~ /^30[78]$/;
    my $method = $keeps_method ? $answer->{method} : 'GET';
    return $self->request($method, $url, from => $answer->{url}, %options);
}

# Posts the form of a page, with its hidden fields.
sub submit {
    my ($self, $answer, %options) = @_;

    return $self->finish($self->start_form($answer, %options));
}

# The same, without reading the response.
sub start_form {
    my ($self, $answer, %options) = @_;

    my ($action) = $answer->{body} =~ /<form\b[^>]*\baction="([^"]*)"/ or die 'nothing to follow';
    my %fields = map { html_unescape($_) }
        $answer->{body} =~ /<input\b[^>]*\bname="([^"]*)"[^>]*\bvalue="([^"]*)"/g;

    my $url = absolute(html_unescape($action), $answer->{url});
    return $self->start($url, method => 'POST', content => \%fields, from => $answer->{url}, %options);
}

sub login {
    my ($self, $url, %options) = @_;

    my %everywhere = map { $_ => $options{$_} } grep { $_ eq 'top' } keys %options;
    my @hops = $self->get($url, %options);
    while (leads_on($hops[-1])) {
        die 'too many redirects' if @hops == MAX_HOPS;
        push @hops, $self->follow($hops[-1], %everywhere);
    }

    return { %{ $hops[-1] }, hops => \@hops };
}

sub leads_on {
    my ($answer) = @_;

    return $answer->{status} =~ /^30[12378]$/ && defined $answer->{location}
        || $answer->{status} == 200 && $answer->{body} =~ /onload="document\.forms\[0\]\.submit\(\)"/;
}

# All cookies, each { name, value, domain, host_only, path, expires, secure, httponly, samesite,
# partitioned }.
sub cookies { return shift->{jar}->all }

# The value of a cookie by name, or undef.
sub cookie {
    my ($self, $name) = @_;

    my ($found) = grep { $_->{name} eq $name } $self->cookies;
    return $found && $found->{value};
}

# As a Set-Cookie header of the base would: $b->set_cookie('name=value; Path=/').
sub set_cookie {
    my ($self, $set_cookie) = @_;

    $self->{jar}->store($set_cookie, split_url($self->{base}));
    return $self;
}

sub forget {
    my ($self, $name) = @_;

    $self->{jar}->remove($name);
    return $self;
}

sub clear {
    my ($self) = @_;

    $self->{jar} = Test::OIDC::Cookies->new;
    return $self;
}

# Another browser with a copy of these cookies: a thief, or this browser in an earlier state.
sub clone {
    my ($self) = @_;

    my $jar = Test::OIDC::Cookies->new;
    $jar->{made} = $self->{jar}{made};
    $jar->{cookies} = [ map { { %$_ } } @{ $self->{jar}{cookies} } ];
    return ref($self)->new(base => $self->{base}, jar => $jar, headers => $self->{headers});
}

# Of pairs with the same name the last is used; undef removes, an array repeats.
sub header_lines {
    my (@pairs) = @_;

    my (@names, %values);
    while (my ($name, $value) = splice @pairs, 0, 2) {
        push @names, $name unless exists $values{ lc $name };
        $values{ lc $name } = $value;
    }

    my @lines;
    for my $name (grep { defined $values{ lc $_ } } @names) {
        my $value = $values{ lc $name };
        push @lines, map { "$name: $_" } ref $value ? @$value : $value;
    }
    return @lines;
}

sub route {
    my ($self, $from, $to) = @_;

    $self->{routes}{ Test::Nginx::port($from) } = $to =~ m{^/} ? $to : Test::Nginx::port($to);
    return $self;
}

sub authority {
    my ($target) = @_;

    my $default = $target->{scheme} eq 'https' ? 443 : 80;
    return $target->{port} == $default ? $target->{host} : "$target->{host}:$target->{port}";
}

sub send {
    my ($self, $url, $bytes, %about) = @_;

    my $request = { url => $url, method => 'GET', %about };
    my $target = split_url($url);

    local $SIG{PIPE} = 'IGNORE';

    my $socket = connection($self->{routes}{ $target->{port} } // $target->{port})
        or return { %$request, error => "connect: $!" };
    $socket = start_tls($socket, $target->{host}) if $target->{scheme} eq 'https';
    return { %$request, error => 'TLS: ' . IO::Socket::SSL::errstr() } unless $socket;

    Test::Nginx::log_out($bytes);
    $socket->print($bytes);
    $socket->flush;
    return { %$request, socket => $socket };
}

sub connection {
    my ($to) = @_;

    return IO::Socket::UNIX->new(Peer => $to) if $to =~ m{^/};
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $to, Proto => 'tcp');
}

sub start_tls {
    my ($socket, $host) = @_;

    require IO::Socket::SSL;

    # created once: a context reads the system's whole CA bundle
    $tls_context ||= IO::Socket::SSL::SSL_Context->new(
        SSL_verify_mode => IO::Socket::SSL::SSL_VERIFY_NONE());

    return IO::Socket::SSL->start_SSL($socket, SSL_reuse_ctx => $tls_context, SSL_hostname => $host);
}

sub receive {
    my ($request) = @_;

    my ($bytes, $error) = $request->{socket} ? read_all($request->{socket}) : ('', $request->{error});
    Test::Nginx::log_in($bytes);

    my $answer = {
        url => $request->{url}, method => $request->{method}, status => 0,
        headers => {}, set_cookie => [], head => '', body => '', location => undef, refresh => undef,
        error => $error || 'closed without an answer',
    };

    my ($head, $body) = $bytes =~ /\A(.*?\r?\n)\r?\n(.*)\z/s or return $answer;
    my ($status) = $head =~ m{^HTTP/\S+ (\d+)} or return $answer;

    my ($headers, $set_cookie) = parse_headers($head);
    $body = unchunk($body) if ($headers->{'transfer-encoding'} || '') eq 'chunked';

    my ($refresh) = ($headers->{refresh} // '') =~ /^0; url=(.*)/;
    my ($location, $leads_to) = map { defined ? absolute($_, $request->{url}) =~ s/#.*//sr : undef }
        $headers->{location}, $refresh;

    return {
        %$answer, status => $status, headers => $headers, set_cookie => $set_cookie,
        head => $head, body => $body, location => $location, refresh => $leads_to, error => $error,
    };
}

sub read_all {
    my ($socket) = @_;

    my ($bytes, $end) = ('', time + MAX_WAIT);
    my $select = IO::Select->new($socket);

    while (1) {
        my $pending = $socket->can('pending') && $socket->pending;
        return ($bytes, 'timeout') unless $pending || $select->can_read($end - time);

        my $n = $socket->sysread($bytes, 65536, length $bytes);
        return ($bytes, undef) unless $n;
    }
}

sub parse_headers {
    my ($head) = @_;

    my (%headers, @set_cookie);
    for my $line (split /\r?\n/, $head) {
        my ($name, $value) = $line =~ /^([^:\s]+):[ \t]*(.*?)[ \t]*$/ or next;
        $name = lc $name;
        push @set_cookie, $value if $name eq 'set-cookie';
        $headers{$name} = defined $headers{$name} ? "$headers{$name}, $value" : $value;
    }

    return (\%headers, \@set_cookie);
}

sub unchunk {
    my ($chunks) = @_;

    my $body = '';
    while ($chunks =~ s/\A([0-9a-f]+)[^\r\n]*\r\n//i) {
        last unless hex $1;
        $body .= substr $chunks, 0, hex $1;
        substr($chunks, 0, hex($1) + 2) = '';
    }

    return $body;
}

1;
