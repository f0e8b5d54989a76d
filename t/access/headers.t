#!/usr/bin/perl

# Tests for identity headers: the application gets values of the session or none, whatever the client sends
# under the same name; and nothing that the client sends reaches the provider.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Socket::INET;

use Test::OIDC;
use Test::OIDC::Site qw/ default_provider http_conf /;

my $t = Test::Nginx->new()->has(qw/http access map proxy rewrite/)->plan(60);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', http_conf(default_provider('idp'), <<'EOF'));
    map $oidc_claim_sub $role {
        alice   admin;
        default "";
    }

    proxy_set_header X-User  $oidc_claim_sub;
    proxy_set_header X-Email $oidc_claim_email;
    proxy_set_header X-Phone $oidc_claim_phone;
    proxy_set_header X-Role  $role;
    proxy_set_header X-Auth  $oidc_authenticated;
    proxy_set_header Host    backend;

    server {
        listen      127.0.0.1:8080;
        server_name localhost;

        location / {
            auth_oidc idp;
            proxy_pass http://127.0.0.1:8082;
        }

        location /verify {
            auth_oidc      idp;
            auth_oidc_mode verify;
            proxy_pass http://127.0.0.1:8082;
        }

        location /mode_off {
            auth_oidc      idp;
            auth_oidc_mode off;
            proxy_pass http://127.0.0.1:8082;
        }

        location /open {
            proxy_pass http://127.0.0.1:8082;
        }

        location /any {
            satisfy   any;
            allow     127.0.0.1;
            deny      all;
            auth_oidc idp;
            proxy_pass http://127.0.0.1:8082;
        }

        location /named {
            auth_oidc idp;
            try_files /absent @backend;
        }

        location @backend {
            proxy_pass http://127.0.0.1:8082;
        }
    }

    server {
        listen      127.0.0.1:8080;
        server_name underscores.localhost;

        underscores_in_headers on;

        location / {
            auth_oidc idp;
            proxy_pass http://127.0.0.1:8082;
        }
    }
EOF

# The application returns the header fields that it got.
$t->run_daemon(sub { echo(@_) }, port(8082));
$t->waitforsocket('127.0.0.1:' . port(8082)) or die 'no application';
$t->run();

my %forged = map { $_ => 'mallory' } qw/ X-User X-Email X-Phone X-Role X-Auth /;

# [location, with a session?, the header fields that the application gets]
my $user = { 'x-user' => 'alice', 'x-email' => 'alice@example.com', 'x-role' => 'admin', 'x-auth' => '1' };
my $nobody = { 'x-auth' => '0' };

my @cases = (
    ['protected', '/page', 1, $user],
    ['verify, logged in', '/verify', 1, $user],
    ['verify, anonymous', '/verify', 0, $nobody],
    ['mode off, logged in', '/mode_off', 1, $nobody],
    ['mode off, anonymous', '/mode_off', 0, $nobody],
    ['open, logged in', '/open', 1, $nobody],
    ['open, anonymous', '/open', 0, $nobody],
    ['satisfy any, logged in', '/any', 1, $user],
    ['satisfy any, anonymous', '/any', 0, $nobody],
    ['named location, logged in', '/named', 1, $user],
);

my $alice = browser();
is($alice->login('/page')->{status}, 200, 'logged in');

for (@cases) {
    my ($name, $path, $logged_in, $expected) = @$_;

    my $browser = $logged_in ? $alice : browser();
    is_deeply(identity($browser->get($path)), $expected, $name);
    is_deeply(identity($browser->get($path, headers => \%forged)), $expected, "$name, forged");
    is_deeply(identity($browser->get($path, headers => { map { lc($_) => [('mallory') x 3] } keys %forged })),
        $expected, "$name, forged three times, in lower case");
    is_deeply(identity($browser->get($path, headers => { map { $_ => '' } keys %forged })),
        $expected, "$name, forged empty");
    is_deeply(identity($browser->get($path, headers => { map { tr/-/_/r => 'mallory' } keys %forged })),
        $expected, "$name, forged with underscores, which nginx drops");
}

# With underscores_in_headers the client's X_User arrives unchanged beside ours.
my $lax = browser(base => 'http://underscores.localhost:' . port(8080));
$lax->login('/page');
my $res = $lax->get('/page', headers => { X_User => 'mallory' });
is_deeply(identity($res), $user, 'underscores_in_headers');
like($res->{body}, qr/^X_User: mallory$/m, 'underscores_in_headers, the field of the client');

# Claims that are unusable or missing do not let the client's field through.
for (['email', "line\nbreak"], ['email', undef], ['sub', 'mallory@example.com']) {
    my ($claim, $value) = @$_;
    $op->set(user => { sub => 'alice', email => 'x', $claim => $value });
    my $body = login('/page', headers => \%forged)->{browser}->get('/page', headers => \%forged);
    is(identity($body)->{ $claim eq 'sub' ? 'x-user' : 'x-email' }, $claim eq 'sub' ? $value : undef,
        "claim $claim " . ($value // 'absent') =~ s/\n/\\n/r);
}
$op->reset;

# Nothing of the client reaches the provider.

my $browser = browser();
my %private = (
    'Authorization' => 'Bearer private', 'Referer' => 'http://private/', 'Range' => 'bytes=0-1',
    'X-Private' => 'private', 'Accept-Language' => 'private', 'Origin' => 'http://private',
    'X-Forwarded-For' => 'private', 'Accept-Encoding' => 'gzip', 'Via' => '1.1 private',
);
$browser->set_cookie('private=private; Path=/');
my $callback = $browser->follow($browser->get('/page'))->{location};
$op->clear;
is($browser->get($callback, headers => \%private)->{status}, 302, 'logged in with private headers');

my ($token) = $op->requests('/token');
is(join(' ', sort keys %{ $token->{headers} }),
    'accept accept-encoding authorization connection content-length content-type host user-agent',
    'header fields of the token request');
unlike("$token->{head} $token->{body}", qr/private|Mozilla/, 'header values of the token request');

$alice->get('/page', headers => \%private);
is($op->count, 1, 'a logged-in request with private headers makes no request to the provider');

# ------------------------------------------------------------------------------------------------------

# The identity fields that the application got, with their number.
sub identity {
    my ($answer) = @_;

    my %got;
    for my $field ($answer->{body} =~ /^(X-(?:User|Email|Phone|Role|Auth): .*)$/mgi) {
        my ($name, $value) = $field =~ /^(.*?): (.*)$/;
        $got{ lc $name } = join ' and ', grep { defined } $got{ lc $name }, $value;
    }
    return \%got;
}

sub echo {
    my ($port) = @_;

    my $server = IO::Socket::INET->new(
        Proto => 'tcp', LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 10, Reuse => 1)
        or die "Can't listen on $port: $!\n";

    local $SIG{PIPE} = 'IGNORE';

    while (my $client = $server->accept()) {
        $client->autoflush(1);

        my $head = '';
        while (defined(my $line = <$client>)) {
            last if $line =~ /^\x0d?\x0a$/;
            $head .= $line =~ s/\x0d//r;
        }

        print $client "HTTP/1.1 200 OK\x0d\x0aConnection: close\x0d\x0aContent-Length: ", length $head,
            "\x0d\x0a\x0d\x0a", $head;
        close $client;
    }
}
