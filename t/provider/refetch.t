#!/usr/bin/perl

# Tests for how often the key set is fetched again because of unknown keys: forged logout tokens, which anybody can
# send, do not use up the attempts of logins, nor the other way round.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Time::HiRes qw/ sleep time /;

use Test::OIDC;
use Test::OIDC::Site;

# Four at once, then one in so many seconds.
use constant { BUCKET => 4, PAUSE => 15 };

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(14);

# An oidc_provider for each case, with its own provider
my @cases = qw/ logouts logins renewals /;
my %op = map { $cases[$_] => provider($t, 8081 + $_) } 0 .. $#cases;

$t->write_file_expand('nginx.conf', nginx_conf(
    (map { oidc_provider($cases[$_], "backchannel_logout_uri /back/$cases[$_]; token_refresh 10m; scope openid offline_access",
        issuer => 'http://127.0.0.1:' . (8081 + $_)) } 0 .. $#cases),
    site('page')));

# Do not read the system's certificates for every oidc_provider.
$ENV{SSL_CERT_FILE} = '/dev/null';

$t->run();

# Forged logout tokens, then a new key

my $name = 'logouts';
my ($op, $browser) = logged_in($name);
my $began = time;
is(join(' ', map { forged_logout($name) } 1 .. 6), join(' ', ('400 logout_token_key') x 6),
    'six logout tokens with unknown keys are refused');
cmp_ok($op->count('/jwks'), '<=', max_since($began),
    'six logout tokens with unknown keys: the key set is not requested each time');
rotate($op);
is(login(page_of($name))->{status}, 200, 'a login with a new key after them succeeds');
is(login(page_of($name))->{status}, 200, 'another login with the new key succeeds');
is(login(page_of($name), base => 'http://127.0.0.1:' . port(8080))->{status}, 200,
    'a login with the new key at another host succeeds');

# Logins with unknown keys, then a new key

$name = 'logins';
($op, $browser) = logged_in($name);
$began = time;
$op->set(id_token => { alg => 'RS256', key => 'rsa-1024', header => { kid => 'nobody' } });
is(join(' ', map { outcome(login(page_of($name))) } 1 .. 6), join(' ', ('502 id_token_key') x 6),
    'six logins with unknown keys are refused');
cmp_ok($op->count('/jwks'), '<=', max_since($began),
    'six logins with unknown keys: the key set is not requested each time');
rotate($op);
is(outcome($op->send_logout_token("/back/$name", $op->logout_token(key => 'rsa-2', claims => { sub => 'alice' }))), 200,
    'a logout token with a new key after them is accepted');
is($browser->get(page_of($name))->{status}, 302, 'a logout token with a new key ends the session');
is(login(page_of($name))->{status}, 200, 'the next login with the new key succeeds');

# Forged logout tokens, then a renewal in the second half of the tokens' life

$name = 'renewals';
$op{$name}->set(expires_in => 2);
($op, $browser) = logged_in($name);
$began = time;
forged_logout($name) for 1 .. 6;
rotate($op);
sleep 0.05 while time < $began + 1.5;
log_mark($t);
is($browser->get(page_of($name))->{status}, 200, 'a session that is renewed with a new key after them continues');
is($op->count('/token refresh'), 1, 'the session was renewed');
is(scalar(error_log_lines($t, qr/oidc: id token/)), 0, 'the ID token of the renewal was accepted');
is(login(page_of($name))->{status}, 200, 'a login after the renewal succeeds');

# ------------------------------------------------------------------------------------------------------

sub logged_in {
    my ($name) = @_;

    my $answer = login(page_of($name));
    die "no login: $answer->{status} $answer->{body}" if $answer->{status} != 200;
    $op{$name}->clear;
    return ($op{$name}, $answer->{browser});
}

# Sends a logout token signed with an unknown key, with a new kid each time.
sub forged_logout {
    my ($name) = @_;

    my $op = $op{$name};
    my $token = $op->logout_token(key => 'rsa-1024', header => { kid => 'nobody-' . rand });
    return outcome($op->send_logout_token("/back/$name", $token));
}

sub rotate {
    my ($op) = @_;

    $op->set(jwks => ['rsa-2'], id_token => { key => 'rsa-2' });
}

# The maximum number of key set requests since then
sub max_since {
    my ($began) = @_;

    return BUCKET + 1 + int((time - $began) / PAUSE);
}
