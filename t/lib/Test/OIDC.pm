package Test::OIDC;

# The head of every test: "use Test::OIDC;" brings strict, warnings, Test::More, Test::Nginx (ours or
# upstream's), Test::OIDC::Wait, unbuffered output and the functions below; with a list of names only these.
# They make a provider whose knobs break one thing at a time, a browser, a name server and certificates, and
# read the error log.
#
#   my $op = provider($t, 8081, %knobs);        issuer http://127.0.0.1:8081, client "client"
#   my $op = provider($t, 8081, host => 'op.example.com', path => '/realms/a', tls => $ca->issue('op'));
#   $op->set(id_token => {claims => {exp => now(-3600)}});
#   my $res = login('/page');                   $res->{status}, $res->{browser}, $res->{hops}
#   my ($browser, $callback) = begin_login('/page', browser => $browser);    up to the callback
#   $op->reset;                                 all knobs as they were at the start
#
# Knobs of a provider. set() replaces the named ones; the others stay.
#
#   client_id => 'client'                       the only registered client, and its secret
#   client_secret => '...'
#   client_auth => ['client_secret_basic']      methods it accepts and advertises; undef: advertises none
#   client_key => 'rsa-2'                       the key of the assertions it accepts, for private_key_jwt
#   user => {sub => 'alice', ...}               claims of the ID token and of user info; a grant keeps its
#                                               user
#   sid => 1                                    a sid in ID tokens, one for each login; or this text
#   metadata => {member => value}               replaced, or removed by undef
#   document => {...}                           the whole metadata, unchanged
#   jwks => ['rsa', {key => 'ec-256', kid => 'x', use => undef}]    keys published, members changed
#   id_token => {recipe}                        see Test::OIDC::JWT: alg, key, secret, claims, header,
#                                               claims_json, header_json, signature, token
#   encrypt => {recipe}                         the ID token encrypted: see Test::OIDC::JWE
#   access_token => 'opaque'                    instead of a random one
#   token => {id_token => undef, x => 1}        members of the token response, likewise
#   expires_in => 3600                          of access tokens
#   refresh => {rotate => 1, strict => 1}       logins get a refresh token; without this knob only with
#                                               offline_access. rotate: each refresh returns a new one;
#                                               strict: a used one is then refused; fatal: and ends the
#                                               grant
#   refreshed => {token => {...}, id_token => {recipe}}    members and ID token of the response to a refresh;
#                                               default: by the knob id_token, without a nonce
#   revocation => 1                             metadata names /revoke
#   userinfo => {claims => {sub => 'eve'}, jwt => {recipe}}    claims changed; jwt: a signed response
#   error => 'access_denied'                    the authorization response is this error
#   callback => {state => 'x', iss => undef, code => ['a', 'b']}    its parameters: replaced, removed,
#                                               sent twice
#   tenant => '/b/'                             becomes the issuer with that path, until another is set
#   respond => {'/token' => {status => 503}}    broken responses: see Test::OIDC::Reply, and times => n for
#                                               the first n requests after set(). With a status of 400 and
#                                               above the request has no effect on tokens, as if it had not
#                                               arrived; otherwise only the response is lost
#
# Values are plain data: \1 and \0 are true and false, now(seconds) is relative to the time of the request.
# Endpoints are '/.well-known/openid-configuration', '/jwks', '/authorize', '/par', '/token', '/token refresh'
# (the same, for a refresh), '/userinfo', '/revoke' and '/end_session'; metadata has '/par' only by a knob.
#
#   $op->requests('/token')                     each { method, path, query, params, headers, head, body,
#                                               time, sni, verdict }; verdict is "ok" or the reason of a
#                                               refusal; token requests also have the id of their grant and,
#                                               if granted, sid, sub and issued, the members of the response
#   $op->count('/token')  $op->clear            their number; forgets them
#   $op->wait_for('/token', 2)                  waits for two, and returns their number
#   $op->stop  $op->start                       refuses connections; continues with all grants
#   $op->last_login                             the last granted request of '/token'
#   $op->logout_token(recipe)                   for the last login, with its sub and its sid if any; recipe
#                                               as for an ID token
#   $op->send_logout_token('/uri', $token)      posts it to nginx as a provider does; the response
#   $op->move_clock(3600)                       sets the provider's clock an hour ahead; reset() keeps it
#   $op->issuer  $op->{port}

use warnings;
use strict;

use MIME::Base64 qw/ decode_base64url encode_base64url /;
use Scalar::Util qw/ weaken /;
use Test::More qw//;

use Test::Nginx qw//;
use Test::OIDC::Browser;
use Test::OIDC::JWT qw/ jwt_decode jwt_make /;
use Test::OIDC::Provider;
use Test::OIDC::Redis;
use Test::OIDC::Resolver;
use Test::OIDC::URL qw/ escape parse_query unescape /;
use Test::OIDC::Wait;

our @EXPORT = (qw/
    begin_login browser certificate_authority config_error decode_base64url encode_base64url error_log_lines escape
    jwt_decode jwt_make log_has log_mark login now provider query redis resolver unescape
/, @Test::OIDC::Wait::EXPORT);
use base qw/ Exporter /;

my %mark;

# The library of nginx's own tests makes its last assertions when its object is destroyed: too late for
# Test::More if a function of the test uses the object.
my @objects;

unless (Test::Nginx->can('finish')) {
    no warnings 'redefine';
    my $new = \&Test::Nginx::new;
    *Test::Nginx::new = sub {
        my $object = $new->(@_);
        push @objects, $object;
        weaken($objects[-1]);
        return $object;
    };
}

END {
    for my $object (grep { defined } @objects) {
        $object->DESTROY;
        bless $object, 'Test::OIDC::Destroyed';
    }
}

sub import {
    my ($class, @names) = @_;

    return $class->export_to_level(1, $class, @names) if @names;

    $_->import for qw/ strict warnings /;
    $_->export_to_level(1, $_) for qw/ Test::More Test::Nginx /, $class;
    $_->autoflush(1) for *STDERR, *STDOUT;

    # Every oidc_provider without ssl_trusted_certificate reads the system's CA bundle, which is slow.
    $ENV{SSL_CERT_FILE} = '/dev/null';
}

# $port is a nominal port as in nginx.conf's 127.0.0.1:8081, which port() maps to a free one.
sub provider {
    my ($t, $port, %knobs) = @_;

    return Test::OIDC::Provider->new($t, Test::Nginx::port($port), %knobs);
}

sub resolver {
    my ($t, $port, %names) = @_;

    return Test::OIDC::Resolver->new($t, Test::Nginx::port($port, udp => 1), %names);
}

sub redis {
    my ($t, $port, %options) = @_;

    return Test::OIDC::Redis->new($t, Test::Nginx::port($port), %options);
}

sub certificate_authority {
    my ($t, $name) = @_;

    require Test::OIDC::CA;
    return Test::OIDC::CA->new($t, $name);
}

sub browser { return Test::OIDC::Browser->new(@_) }

# A new browser's login, from the page to the last response.
sub login {
    my ($path, %options) = @_;

    my $browser = browser(%options);
    return { %{ $browser->login($path) }, browser => $browser };
}

# A login up to the callback: the browser, a new one unless given, and the URL that the provider sends it to.
sub begin_login {
    my ($path, %options) = @_;

    my $browser = $options{browser} || browser();
    return ($browser, $browser->follow($browser->get($path))->{location});
}

sub now { return { '$now' => shift // 0 } }

# The parameters of a URL.
sub query {
    my ($url) = @_;

    my ($query) = ($url // '') =~ /\?([^#]*)/;
    return scalar parse_query($query);
}

# Lines of the error log since the last log_mark() that match, without those of debug level.
sub error_log_lines {
    my ($t, $re) = @_;

    open my $log, '<', $t->testdir . '/error.log' or die "error.log: $!";
    seek $log, $mark{ $t->testdir } || 0, 0;
    chomp(my @lines = grep { !/\[debug\]/ && (!defined $re || $_ =~ $re) } <$log>);
    return @lines;
}

sub log_mark {
    my ($t) = @_;

    $mark{ $t->testdir } = -s $t->testdir . '/error.log';
}

# Waits until so many lines since the mark match, one by default: nginx may log after its response.
sub log_has {
    my ($t, $re, $number) = @_;

    return wait_until(sub { error_log_lines($t, $re) >= ($number // 1) }) ? 1 : 0;
}

# The error of nginx -t for a configuration: "... in FILE:LINE", or ''.
sub config_error {
    my ($t, $conf) = @_;

    $t->write_file_expand('nginx.conf', $conf);
    my ($error) = $t->dump_config =~ /\[emerg\] (?:\d+#\d+: )?(.*)/;

    # nginx -T leaves an empty pid file, which a later run() would read
    my $pid = $t->testdir . '/nginx.pid';
    unlink $pid if -z $pid;
    return $error // '';
}

1;
