package Test::OIDC;

# What a test of the module usually wants, on top of Test::Nginx (ours or upstream's): a provider whose
# knobs break one thing at a time, a browser, a name server, certificates, the error log.
#
#   my $op = provider($t, 8081, %knobs);        issuer http://127.0.0.1:8081, client "client"
#   my $op = provider($t, 8081, host => 'op.example.com', path => '/realms/a', tls => $ca->issue('op'));
#   $op->set(id_token => {claims => {exp => now(-3600)}});
#   my $res = login('/page');                   $res->{status}, $res->{browser}, $res->{hops}
#   $op->reset;                                 all knobs as they were at the start
#
# Knobs of a provider. set() replaces the one named; what is not named stays.
#
#   client_id => 'client'                       the only client it knows, and its secret
#   client_secret => '...'
#   client_auth => ['client_secret_basic']      methods it takes and advertises; undef: advertises none
#   client_key => 'rsa-2'                       the key whose assertions it takes, for private_key_jwt
#   user => {sub => 'alice', ...}               claims of the ID token and of user info; whoever was
#                                               granted a login stays who he is
#   sid => 1                                    a sid in ID tokens, each login's own; or the text given
#   metadata => {member => value}               replaced, or removed by undef
#   document => {...}                           the whole metadata, as it is
#   jwks => ['rsa', {key => 'ec-256', kid => 'x', use => undef}]    keys published, members changed
#   id_token => {recipe}                        see Test::OIDC::JWT: alg, key, secret, claims, header,
#                                               claims_json, header_json, signature, token
#   encrypt => {recipe}                         the ID token encrypted: see Test::OIDC::JWE
#   access_token => 'opaque'                    instead of a random one
#   token => {id_token => undef, x => 1}        members of the token response, likewise
#   expires_in => 3600                          of access tokens
#   refresh => {rotate => 1, strict => 1}       logins come with a refresh token, as they do without this
#                                               where offline_access is asked for. rotate: each refresh
#                                               brings a new one; strict: then a spent one is refused;
#                                               fatal: and ends the grant
#   refreshed => {token => {...}, id_token => {recipe}}    members and ID token of the answer to a refresh,
#                                               else made by the knob id_token, without a nonce
#   revocation => 1                             metadata names /revoke
#   userinfo => {claims => {sub => 'eve'}, jwt => {recipe}}    claims changed; with jwt a signed answer
#   error => 'access_denied'                    the authorization response is this error
#   callback => {state => 'x', iss => undef, code => ['a', 'b']}    its parameters: replaced, removed,
#                                               sent twice
#   tenant => '/b/'                             from now on it is the issuer with that path, until another
#   respond => {'/token' => {status => 503}}    answers broken on the way: see Test::OIDC::Reply, and
#                                               times => n for the first n requests after set(). With a
#                                               status of 400 and up the provider has not been reached: it
#                                               forgets no token and makes none; else its answer is lost
#
# Values are plain data: \1 and \0 are true and false, now(seconds) is that much from the time of the
# request. Endpoints are '/.well-known/openid-configuration', '/jwks', '/authorize', '/par',
# '/token', '/token refresh' (the same, asked for a refresh), '/userinfo', '/revoke' and '/end_session';
# metadata names '/par' only where a knob does.
#
#   $op->requests('/token')                     each { method, path, query, params, headers, head, body,
#                                               time, sni, verdict }; verdict is "ok" or what was refused;
#                                               of tokens also grant, its id; of issued ones sid, sub and
#                                               issued, the members of the answer
#   $op->count('/token')  $op->clear            how many; forget them
#   $op->wait_for('/token', 2)                  waits until there were two, and returns how many
#   $op->stop  $op->start                       refuses connections; comes back with all grants
#   $op->last_login                             the last of '/token' that was granted
#   $op->logout_token(recipe)                   for the last login, with its sub, and its sid if it has one;
#                                               claims, header and so on as in an ID token's recipe
#   $op->send_logout_token('/uri', $token)      posted to nginx as a provider does; the answer
#   $op->move_clock(3600)                       the provider's time is an hour later; reset() leaves it so
#   $op->issuer  $op->{port}

use warnings;
use strict;

use MIME::Base64 qw/ decode_base64url encode_base64url /;
use Time::HiRes qw/ sleep time /;

use Test::Nginx qw//;
use Test::OIDC::Browser;
use Test::OIDC::JWT qw/ jwt_decode jwt_make /;
use Test::OIDC::Provider;
use Test::OIDC::Redis;
use Test::OIDC::Resolver;
use Test::OIDC::URL qw/ escape parse_query unescape /;

our @EXPORT = qw/
    browser certificate_authority config_error decode_base64url encode_base64url error_log_lines escape
    jwt_decode jwt_make log_has log_mark login now provider query redis resolver unescape
/;
use base qw/ Exporter /;

my %mark;

# $port is a number as in nginx.conf's 127.0.0.1:8081, which port() maps to a free one.
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

# A new browser's login, from the page to where it ends.
sub login {
    my ($path, %options) = @_;

    my $browser = browser(%options);
    return { %{ $browser->login($path) }, browser => $browser };
}

sub now { return { '$now' => shift // 0 } }

# The parameters of a URL.
sub query {
    my ($url) = @_;

    my ($query) = ($url // '') =~ /\?([^#]*)/;
    return scalar parse_query($query);
}

# Lines of the error log since the last log_mark(), those of debug level left out; only those that match.
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

# Is there such a line since the mark? nginx may log after it has answered, so it gets half a second.
sub log_has {
    my ($t, $re) = @_;

    my $end = time + 0.5;
    while (1) {
        return 1 if error_log_lines($t, $re);
        return 0 if time > $end;
        sleep 0.02;
    }
}

# What nginx -t says against a configuration: "... in FILE:LINE", or '' when it has nothing against it.
sub config_error {
    my ($t, $conf) = @_;

    $t->write_file_expand('nginx.conf', $conf);
    my ($error) = $t->dump_config =~ /\[emerg\] (?:\d+#\d+: )?(.*)/;

    # nginx -T leaves an empty one, which a later run() would read
    my $pid = $t->testdir . '/nginx.pid';
    unlink $pid if -z $pid;
    return $error // '';
}

1;
