#!/usr/bin/perl

# Tests for how often a provider is asked for its keys again because of a key that nobody knows: forged
# logout tokens, which anybody can send, use up nothing of what logins have for it, and the other way round.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Time::HiRes qw/ sleep time /;

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Site;

select STDERR; $| = 1;
select STDOUT; $| = 1;

# Four at once, then one in so many seconds.
use constant { BUCKET => 4, PAUSE => 15 };

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(14);

# An oidc_provider for each case, with a provider of its own.
my @cases = qw/ logouts logins renewals /;
my %op = map { $cases[$_] => provider($t, 8081 + $_) } 0 .. $#cases;

$t->write_file_expand('nginx.conf', nginx_conf(
    (map { oidc_provider($cases[$_], "backchannel_logout_uri /back/$cases[$_]; token_refresh 10m; scope openid offline_access",
        issuer => 'http://127.0.0.1:' . (8081 + $_)) } 0 .. $#cases),
    site('page')));

# The system's bundle of certificates, which every oidc_provider reads, is not needed.
$ENV{SSL_CERT_FILE} = '/dev/null';

$t->run();

# Forged logout tokens, then a new key

my $name = 'logouts';
my ($op, $browser) = logged_in($name);
my $began = time;
is(join(' ', map { forged_logout($name) } 1 .. 6), join(' ', ('400 logout_token_key') x 6),
    'six logout tokens with unknown keys are refused');
cmp_ok($op->count('/jwks'), '<=', most_since($began), 'and the provider is not asked each time');
rotate($op);
is(login(page_of($name))->{status}, 200, 'a login with a new key, after them');
is(login(page_of($name))->{status}, 200, 'and another one');
is(login(page_of($name), base => 'http://127.0.0.1:' . port(8080))->{status}, 200, 'and one at another host');

# Logins with unknown keys, then a new one

$name = 'logins';
($op, $browser) = logged_in($name);
$began = time;
$op->set(id_token => { alg => 'RS256', key => 'rsa-1024', header => { kid => 'nobody' } });
is(join(' ', map { outcome(login(page_of($name))) } 1 .. 6), join(' ', ('403 id_token_key') x 6),
    'six logins with unknown keys are refused');
cmp_ok($op->count('/jwks'), '<=', most_since($began), 'and the provider is not asked each time');
rotate($op);
is(outcome($op->send_logout_token("/back/$name", $op->logout_token(key => 'rsa-2', claims => { sub => 'alice' }))), 200,
    'a logout token with a new key, after them');
is($browser->get(page_of($name))->{status}, 302, 'ends the session');
is(login(page_of($name))->{status}, 200, 'and the next login knows that key, too');

# Forged logout tokens, then a session whose tokens are renewed, in the second half of their life

$name = 'renewals';
$op{$name}->set(expires_in => 2);
($op, $browser) = logged_in($name);
$began = time;
forged_logout($name) for 1 .. 6;
rotate($op);
sleep 0.05 while time < $began + 1.5;
log_mark($t);
is($browser->get(page_of($name))->{status}, 200, 'a session that is renewed with a new key, after them, lives on');
is($op->count('/token refresh'), 1, 'and was renewed');
is(scalar(error_log_lines($t, qr/oidc: id token/)), 0, 'and its ID token was taken');
is(login(page_of($name))->{status}, 200, 'a login after that ends well');

# ------------------------------------------------------------------------------------------------------

sub logged_in {
    my ($name) = @_;

    my $answer = login(page_of($name));
    die "no login: $answer->{status} $answer->{body}" if $answer->{status} != 200;
    $op{$name}->clear;
    return ($op{$name}, $answer->{browser});
}

# By somebody who has no key, and names a new one each time.
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

# How often the provider may have been asked since then.
sub most_since {
    my ($began) = @_;

    return BUCKET + 1 + int((time - $began) / PAUSE);
}
