package Test::Nginx;

# Runs nginx for a test: a directory, ports, nginx itself and daemons beside it, plain HTTP requests.
# At the end it adds two assertions: no alert in the error log, and no report of a sanitizer there or on
# stderr. The interface is that of nginx's own test suite, whose library can replace this one by "prove -I".
#
#   TEST_NGINX_BINARY        nginx, or a script that runs it; default: nginx of the PATH or /usr/sbin/nginx
#   TEST_NGINX_GLOBALS       more directives for the main context, such as load_module
#   TEST_NGINX_GLOBALS_HTTP  more directives for http
#   TEST_NGINX_VERBOSE       shows requests and responses
#   TEST_NGINX_LEAVE         keeps the directory
#   TEST_NGINX_CATLOG        shows the error log at the end
#   TEST_NGINX_UNSAFE        read by tests that may harm the machine, not here

use warnings;
use strict;

use Cwd qw//;
use File::Path qw/ rmtree /;
use File::Temp qw/ tempdir /;
use IO::Socket::INET ();
use POSIX qw/ WNOHANG /;
use Scalar::Util qw/ weaken /;
use Test::More qw//;
use Time::HiRes qw/ sleep time /;
use version qw//;

use base qw/ Exporter /;

our @EXPORT = qw/ http http_get http_head log_in log_out port /;
our @EXPORT_OK = qw/ http_content http_end http_start /;

# Bounds that only a failing test reaches, in seconds.
use constant START_TIMEOUT => 60;
use constant STOP_TIMEOUT => 60;
use constant DAEMON_TIMEOUT => 5;
use constant REPLY_TIMEOUT => 60;
use constant POLL => 0.01;

our $NGINX = $ENV{TEST_NGINX_BINARY}
    || (grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin')[0];

my (@running, %port);

sub new {
    my ($class) = @_;

    Test::More::BAIL_OUT('no nginx binary found') unless defined $NGINX && -x $NGINX;

    my $self = bless {
        owner => $$,
        testdir => Cwd::realpath(tempdir('nginx-test-XXXXXXXXXX', TMPDIR => 1)),
        daemons => [],
    }, $class;

    # workers of a master that runs as root run as nobody
    umask 022;
    chmod 0755, $self->{testdir};

    # so that END stops nginx and daemons if the test is interrupted
    $SIG{INT} = $SIG{TERM} = sub { exit 1 };

    push @running, $self;
    weaken $running[-1];
    return $self;
}

sub DESTROY { shift->finish }

# Runs before Test::More counts, even if a closure keeps the object alive.
END { $_ && $_->finish for @running }

sub finish {
    my ($self) = @_;

    return if $self->{owner} != $$ || $self->{finished}++;

    local $?;
    $self->stop;
    $self->stop_daemons;

    $self->check_logs if Test::More->builder->expected_tests;
    print $self->log_text('error.log') if $ENV{TEST_NGINX_CATLOG};
    rmtree($self->{testdir}) unless $ENV{TEST_NGINX_LEAVE};
}

sub check_logs {
    my ($self) = @_;

    my $error_log = $self->log_text('error.log');
    my $test = Test::More->builder;

    $test->todo_start('alerts') if $self->{todo_alerts};
    Test::More::is(join("\n", grep { /\[alert\]/ } split /\n/, $error_log), '', 'no alerts');
    $test->todo_end if $self->{todo_alerts};

    my $said = $error_log . $self->log_text('stderr.log');
    my @reports = grep { /Sanitizer|:\d+:\d+: runtime error: / } split /\n/, $said;
    Test::More::is(join("\n", @reports), '', 'no sanitizer errors')
        || Test::More::diag(grep { !m{^\d{4}/\d\d/\d\d } } $said =~ /.*\n/g);
}

sub log_text {
    my ($self, $name) = @_;

    return -e "$self->{testdir}/$name" ? $self->read_file($name) : '';
}

sub testdir { return shift->{testdir} }

sub plan {
    my ($self, $number) = @_;

    Test::More::plan(tests => $number + 2);
    return $self;
}

sub todo_alerts {
    my ($self) = @_;

    $self->{todo_alerts} = 1;
    return $self;
}

#
# What this nginx and this machine can do
#

# HTTP modules that exist unless configured without.
my %standard = map { $_ => 1 } qw/
    access auth_basic autoindex browser charset empty_gif fastcgi geo grpc gzip limit_conn limit_req map
    memcached mirror proxy referer rewrite scgi split_clients ssi upstream_hash upstream_ip_hash
    upstream_keepalive upstream_least_conn upstream_random upstream_zone userid uwsgi
/;

# Dynamic modules, as nginx -V reports them; TEST_NGINX_GLOBALS has to load them.
my %loadable = (
    http_geoip => 'ngx_http_geoip_module',
    image_filter => 'ngx_http_image_filter_module',
    mail => 'ngx_mail_module',
    perl => 'ngx_http_perl_module',
    stream => 'ngx_stream_module',
    stream_geoip => 'ngx_stream_geoip_module',
    xslt => 'ngx_http_xslt_filter_module',
);

sub has {
    my ($self, @features) = @_;

    for my $feature (@features) {
        next if $self->has_module($feature) || $self->has_feature($feature);
        Test::More::plan(skip_all => "no $feature available");
    }

    return $self;
}

sub has_module {
    my ($self, $feature) = @_;

    my $built = $self->build_info;

    return $built !~ /--without-http_\Q$feature\E_module/ if $standard{$feature};
    return $built !~ /--without-http(?!\S)/ if $feature eq 'http';
    return $built !~ /--without-http-cache/ if $feature eq 'cache';
    return $built !~ /--without-pcre/ if $feature eq 'pcre';
    return $built =~ /TLS SNI support enabled/ if $feature eq 'sni';

    if (my $module = $loadable{$feature}) {
        return 1 if ($ENV{TEST_NGINX_GLOBALS} || '') =~ /\bload_module\s[^;]*\b$module\b/;
        return $built =~ /--with-(?:http_)?$feature(?:_module)?(?![\w=])/;
    }

    return $built =~ /$feature/;
}

sub has_feature {
    my ($self, $feature) = @_;

    return 1 if $feature =~ /^(?:symlink|udp|unix)$/;
    return eval { require IO::Socket::SSL; 1 }
        if $feature =~ /^socket_ssl(?:_sni|_alpn|_sslversion|_reused)?$/;
    return eval { require CryptX; 1 } if $feature eq 'cryptx';

    my ($library, $version) = $feature =~ /^(openssl|libressl):([\d.]+)/ or return 0;
    return $self->build_info =~ /with $library ([\d.]+)/i && at_least($1, $version);
}

sub has_version {
    my ($self, $version) = @_;

    return $self->build_info =~ m{nginx version: nginx/([\d.]+)} && at_least($1, $version);
}

sub has_daemon {
    my ($self, $daemon) = @_;

    Test::More::plan(skip_all => "$daemon not found")
        unless grep { -x "$_/$daemon" } split /:/, $ENV{PATH};
    return $self;
}

sub build_info {
    my ($self) = @_;

    return $self->{build_info} //= `$NGINX -V 2>&1`;
}

sub at_least {
    my ($have, $need) = @_;

    return version->parse("v$have") >= version->parse("v$need");
}

#
# Files
#

sub read_file {
    my ($self, $name) = @_;

    open my $file, '<', "$self->{testdir}/$name" or die "Can't open $name: $!";
    local $/;
    return <$file> // '';
}

sub write_file {
    my ($self, $name, $content) = @_;

    open my $file, '>:raw', "$self->{testdir}/$name" or die "Can't create $name: $!";
    print $file $content;
    close $file or die "Can't write $name: $!";
    return $self;
}

# Adds the directives that every test needs, and replaces nominal ports by real ones.
sub write_file_expand {
    my ($self, $name, $content) = @_;

    $content =~ s/%%TEST_GLOBALS%%/$self->test_globals/ge;
    $content =~ s/%%TEST_GLOBALS_HTTP%%/$self->test_globals_http/ge;
    $content =~ s/%%TESTDIR%%/$self->{testdir}/g;
    $content =~ s/127\.0\.0\.1:(8\d\d\d)/'127.0.0.1:' . port($1)/ge;
    $content =~ s/%%PORT_(\d+)%%/port($1)/ge;
    $content =~ s/%%PORT_(\d+)_UDP%%/port($1, udp => 1)/ge;

    return $self->write_file($name, $content);
}

sub test_globals {
    my ($self) = @_;

    $self->{globals_written} = 1;
    return "pid $self->{testdir}/nginx.pid;\n"
        . "error_log $self->{testdir}/error.log debug;\n"
        . ($ENV{TEST_NGINX_GLOBALS} || '');
}

sub test_globals_http {
    my ($self) = @_;

    my $dir = $self->{testdir};
    my @temporary = ('client_body', grep { $self->has_module($_) } qw/ fastcgi proxy scgi uwsgi /);

    return join '', "root $dir;\n", "access_log $dir/access.log;\n",
        (map { "${_}_temp_path $dir/${_}_temp;\n" } @temporary),
        $ENV{TEST_NGINX_GLOBALS_HTTP} || '';
}

#
# Ports
#

# A free port: the nominal one, or one of the same five hundred. A socket of the other protocol holds it, so
# that no concurrent test takes it.
sub port {
    my ($nominal, %options) = @_;

    $port{$nominal} ||= free_port($nominal, $options{udp} ? ('udp', 'tcp') : ('tcp', 'udp'));
    return $port{$nominal}{ $options{socket} ? 'lock' : 'number' };
}

sub free_port {
    my ($nominal, $protocol, $lock_protocol) = @_;

    my $base = $nominal - $nominal % 500;

    for my $number ($nominal, map { $base + int rand 500 } 1 .. 50) {
        my $lock = bound($lock_protocol, $number) or next;
        return { number => $number, lock => $lock } if bound($protocol, $number);
    }

    die "No free port near $nominal";
}

sub bound {
    my ($protocol, $number) = @_;

    return IO::Socket::INET->new(
        Proto => $protocol, LocalAddr => '127.0.0.1', LocalPort => $number,
        $protocol eq 'tcp' ? (Listen => 1, ReuseAddr => 1) : ());
}

#
# nginx
#

# Without %%TEST_GLOBALS%% in the configuration, nginx is told about its files here.
sub arguments {
    my ($self) = @_;

    my $dir = $self->{testdir};
    my @globals = $self->{globals_written} ? ()
        : ('-g', "pid $dir/nginx.pid; error_log $dir/error.log debug;");

    return ('-p', "$dir/", '-c', 'nginx.conf', '-e', 'error.log', @globals);
}

sub run {
    my ($self) = @_;

    my $dir = $self->{testdir};
    unlink "$dir/nginx.pid";    # of a killed nginx

    my $pid = fork // die "Can't fork: $!";

    if ($pid == 0) {
        # until nginx opens its log; a sanitizer may report here
        open STDERR, '>>', "$dir/stderr.log" or die "stderr.log: $!";
        exec $NGINX, $self->arguments or POSIX::_exit(127);
    }

    $self->waitforfile("$dir/nginx.pid", $pid)
        or die "Can't start nginx:\n" . $self->log_text('stderr.log');

    $self->{pid} = $pid;
    $self->wait_for_workers;
    return $self;
}

# A master process sleeps through a signal that comes before it starts workers.
sub wait_for_workers {
    my ($self) = @_;

    my $master = $self->master;
    return wait_until(START_TIMEOUT, sub { !kill(0, $master) || has_child($master) });
}

sub has_child {
    my ($pid) = @_;

    for my $file (glob '/proc/[0-9]*/stat') {
        open my $stat, '<', $file or next;
        return 1 if (readline($stat) // '') =~ /\) \S $pid /;
    }
    return 0;
}

# For a configuration that other versions of nginx may reject.
sub try_run {
    my ($self, $message) = @_;

    return $self if eval { $self->run };

    log_core($self->log_text('error.log'));
    Test::More::plan(skip_all => $message);
}

sub dump_config {
    my ($self) = @_;

    my $pid = open(my $output, '-|') // die "Can't fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        exec $NGINX, '-T', $self->arguments or POSIX::_exit(127);
    }

    local $/;
    return <$output>;
}

sub reload {
    my ($self) = @_;

    kill 'HUP', $self->master if $self->{pid};
    return $self;
}

# Stops nginx gracefully, or after STOP_TIMEOUT by force.
sub stop {
    my ($self) = @_;

    return $self unless $self->{pid};

    my $master = $self->master;
    kill 'QUIT', $master;

    if (!ended($master, STOP_TIMEOUT)) {
        kill 'TERM', $master;
        waitpid $master, 0;
    }

    delete $self->{pid};
    return $self;
}

# Not the process that was started, once a test has upgraded the binary.
sub master {
    my ($self) = @_;

    return $self->log_text('nginx.pid') =~ /(\d+)/ ? $1 : $self->{pid};
}

sub ended {
    my ($pid, $timeout) = @_;

    return wait_until($timeout, sub { waitpid($pid, WNOHANG) != 0 });
}

sub wait_until {
    my ($timeout, $done) = @_;

    my $end = time + $timeout;
    while (time < $end) {
        return 1 if $done->();
        sleep POLL;
    }

    return undef;
}

#
# Daemons
#

sub run_daemon {
    my ($self, $code, @arguments) = @_;

    my $pid = fork // die "Can't fork: $!";

    if ($pid == 0) {
        $SIG{INT} = $SIG{TERM} = 'DEFAULT';
        exec $code, @arguments or POSIX::_exit(127) unless ref $code;
        $code->(@arguments);
        exit 0;
    }

    push @{ $self->{daemons} }, $pid;
    return $self;
}

sub stop_daemons {
    my ($self) = @_;

    my @daemons = splice @{ $self->{daemons} };
    kill 'TERM', @daemons;
    kill 'CONT', @daemons;    # a daemon that a test has stopped ends, too

    for my $pid (@daemons) {
        next if ended($pid, DAEMON_TIMEOUT);
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }

    return $self;
}

# Waits until the file exists; 0 if the process that creates it has ended.
sub waitforfile {
    my ($self, $file, $pid) = @_;

    my $gone;
    wait_until(START_TIMEOUT, sub {
        return 1 if -e $file;
        return $gone = 1 if $pid && waitpid($pid, WNOHANG) != 0;
    });

    return -e $file ? 1 : $gone ? 0 : undef;
}

sub waitforsocket {
    my ($self, $peer) = @_;

    return wait_until(START_TIMEOUT, sub {
        return IO::Socket::INET->new(Proto => 'tcp', PeerAddr => $peer);
    });
}

#
# HTTP
#

sub http_get {
    my ($uri, %extra) = @_;

    return http("GET $uri HTTP/1.0\r\nHost: localhost\r\n\r\n", %extra);
}

sub http_head {
    my ($uri, %extra) = @_;

    return http("HEAD $uri HTTP/1.0\r\nHost: localhost\r\n\r\n", %extra);
}

# Sends the bytes to port 8080, or to 8443 with SSL, and returns the whole response. Extra: start (returns
# the socket after sending), sleep and body (sent after the pause), socket (a connected one), SSL, and
# options for the socket.
sub http {
    my ($request, %extra) = @_;

    my $socket = http_start($request, %extra);
    return $socket if $extra{start} || !$socket;
    return http_end($socket);
}

sub http_start {
    my ($request, %extra) = @_;

    return in_time(sub {
        my $socket = $extra{socket} || connected(%extra);
        $socket = with_tls($socket, %extra) if $extra{SSL};

        log_out($request);
        $socket->print($request);

        sleep $extra{sleep} if $extra{sleep};

        if ($extra{body}) {
            log_out($extra{body});
            $socket->print($extra{body});
        }

        return $socket;
    });
}

sub http_end {
    my ($socket) = @_;

    my $reply = in_time(sub {
        local $/;
        my $bytes = $socket->getline;
        $socket->close;
        return $bytes;
    });

    log_in($reply);
    return $reply;
}

sub connected {
    my (%extra) = @_;

    return IO::Socket::INET->new(
        Proto => 'tcp', PeerAddr => '127.0.0.1:' . port($extra{SSL} ? 8443 : 8080), %extra)
        || die "Can't connect to nginx: $!\n";
}

sub with_tls {
    my ($socket, %extra) = @_;

    require IO::Socket::SSL;
    return IO::Socket::SSL->start_SSL(
        $socket, SSL_verify_mode => IO::Socket::SSL::SSL_VERIFY_NONE(), %extra)
        || die IO::Socket::SSL::errstr() . "\n";
}

# The result, or undef if the code dies or takes too long.
sub in_time {
    my ($code) = @_;

    my $result = eval {
        local $SIG{ALRM} = sub { die "timeout\n" };
        local $SIG{PIPE} = sub { die "sigpipe\n" };
        alarm REPLY_TIMEOUT;
        my $value = $code->();
        alarm 0;
        $value;
    };

    alarm 0;
    log_in("died: $@") if $@;
    return $result;
}

# The body of a response, with chunks joined.
sub http_content {
    my ($answer) = @_;

    my ($headers, $body) = ($answer // '') =~ /\A(.*?)\r?\n\r?\n(.*)\z/s or return undef;
    return $body if $headers !~ /^transfer-encoding:\s*chunked/mi;

    my $content = '';
    while ($body =~ /\G(?:\r\n)?([0-9a-f]+)[^\r\n]*\r\n/gci) {
        my $size = hex $1 or return $content;
        $content .= substr $body, pos $body, $size;
        pos($body) += $size;
    }

    return $content . '[no-last-chunk]';
}

sub log_in { log_core('<<', @_) }
sub log_out { log_core('>>', @_) }

# One text, or a prefix for each of its lines and the text.
sub log_core {
    my ($text, $mark) = reverse @_;

    return unless $ENV{TEST_NGINX_VERBOSE} && defined $text;

    $text = substr($text, 0, 2048) . '(...)' if length $text > 2048;
    $text =~ s/([^\n\x20-\x7e])/sprintf '\\x%02x', ord $1/ge;
    $text =~ s/^/defined $mark ? "# $mark " : '# '/gme;
    print "$text\n";
}

1;
