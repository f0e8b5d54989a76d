package Test::OIDC::Redis;

# A real redis-server for a test, in its directory, on its own port. It writes nothing to disk, so its data
# is lost when it is killed.
#
#   my $redis = redis($t, 8379);                           hostname 127.0.0.1; port %%PORT_8379%%;
#   my $redis = redis($t, 8379, password => 'secret');     of the default user
#   redis($t, 8379, user => {oidc => '>secret ~oidc:* +@all'})    ACL users, and no default user
#   redis($t, 8379, tls => $ca->issue('redis'))            TLS instead of plain TCP
#   redis($t, 8379, config => {maxmemory => '2mb'})        lines of redis.conf; it never evicts
#   redis($t, 8379, clock => $clock)                       under that Test::OIDC::Clock
#
#   $redis->stop; $redis->continue       stands still with its connections open; continues
#   $redis->kill; $redis->start          refuses connections; starts again, empty
#   $redis->command('GET', $key)         the response as redis-cli prints it: one text, or its lines
#   $redis->key_names('oidc:*')          its keys, as bytes
#   $redis->port  $redis->url
#
# command() and key_names() use a user "test" with all permissions. To leave a server no room:
# command(qw/ CONFIG SET maxmemory 1 /).

use warnings;
use strict;

use JSON::PP ();
use POSIX ();
use Scalar::Util qw/ weaken /;

use Test::OIDC::Wait;

my $password = 'of-the-test-itself';

sub new {
    my ($class, $t, $port, %options) = @_;

    my $self = bless {
        t => $t, owner => $$, port => $port, file => $t->testdir . "/redis-$port", %options,
    }, $class;

    weaken $self->{t};
    $t->write_file("redis-$port.conf", $self->configuration);
    return $self->start;
}

# A stopped process does not end when Test::Nginx sends a signal.
sub DESTROY {
    my ($self) = @_;

    $self->continue if $self->{owner} == $$;
}

sub port { return shift->{port} }

sub url {
    my ($self) = @_;

    return ($self->{tls} ? 'rediss' : 'redis') . "://127.0.0.1:$self->{port}";
}

sub configuration {
    my ($self) = @_;

    my ($port, $tls) = @$self{qw/ port tls /};
    my %lines = (
        bind => '127.0.0.1',
        dir => $self->{t}->testdir,
        logfile => "$self->{file}.log",
        save => '""',
        appendonly => 'no',
        'maxmemory-policy' => 'noeviction',
        port => $port,
        $tls ? (
            port => 0,
            'tls-port' => $port,
            'tls-cert-file' => $tls->{certificate},
            'tls-key-file' => $tls->{key},
            'tls-ca-cert-file' => $tls->{certificate},
            'tls-auth-clients' => 'no',
        ) : (),
        defined $self->{password} ? (requirepass => $self->{password}) : (),
        %{ $self->{config} || {} },
    );

    my %user = ($self->{user} ? (default => 'off', %{ $self->{user} }) : ());
    return join '', (map { "$_ $lines{$_}\n" } sort keys %lines),
        "user test on >$password ~* &* +\@all\n",
        map { "user $_ " . ($user{$_} eq 'off' ? 'off' : "on $user{$_}") . "\n" } sort keys %user;
}

# The kernel kills it with the process of the test, however that ends.
sub start {
    my ($self) = @_;

    pipe my $pid, my $tell or die "pipe: $!";
    $self->{t}->run_daemon(sub {
        syswrite $tell, "$$\n";
        close $tell;
        exec qw/ setpriv --pdeathsig KILL sh -c /, $self->script, "$self->{file}.conf"
            or POSIX::_exit(127);
    });

    close $tell;
    chomp($self->{pid} = <$pid> // die 'redis-server did not start');

    $self->wait_for_start or die 'redis-server did not start';
    return $self;
}

# Without a log there is an error in its configuration, which it prints on stderr.
sub wait_for_start {
    my ($self) = @_;

    my $t = $self->{t};
    return $t->waitforfile("$self->{file}.log", $self->{pid})
        && $t->waitforsocket("127.0.0.1:$self->{port}");
}

# Redis's own malloc reads the time while it starts, when libfaketime is not ready yet; the C library's
# malloc is used instead.
sub script {
    my ($self) = @_;

    my $exec = 'exec redis-server "$0"';
    return $exec unless $self->{clock};
    return $self->{clock}->variables . qq{LD_PRELOAD="\$LD_PRELOAD libc.so.6"\n$exec\n};
}

sub stop { return shift->signal('STOP') }
sub continue { return shift->signal('CONT') }

sub kill {
    my ($self) = @_;

    $self->signal('KILL');
    waitpid delete $self->{pid}, 0;
    return $self;
}

sub signal {
    my ($self, $name) = @_;

    CORE::kill($name, $self->{pid}) if $self->{pid};
    return $self;
}

sub command {
    my ($self, @words) = @_;

    my $text = $self->client(@words) =~ s/\n\z//r;
    return wantarray ? split(/\n/, $text) : $text;
}

# JSON, since a key may have any byte.
sub key_names {
    my ($self, $pattern) = @_;

    my $names = JSON::PP->new->decode($self->client('--json', 'KEYS', $pattern // '*'));
    return sort @$names;
}

sub client {
    my ($self, @arguments) = @_;

    my @tls = $self->{tls} ? qw/ --tls --insecure / : ();
    local @ENV{qw/ REDISCLI_AUTH LD_PRELOAD /} = ($password, '');

    open my $output, '-|', 'timeout', MAX_WAIT, 'redis-cli',
        '-p', $self->{port}, '--user', 'test', @tls, @arguments or die "redis-cli: $!";
    local $/;
    my $answer = <$output> // '';
    close $output or die "redis-cli: $answer";
    return $answer;
}

1;
