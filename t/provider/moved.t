#!/usr/bin/perl

# Tests for metadata that name another jwks_uri: keys from the old one verify nothing any more, however fresh they are.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/);
my $clock = Test::OIDC::Clock->new($t);
$t->plan(8);

use constant MINUTE => 60;

# The documents of both are fresh for a minute, the keys of "fresh" for a day.
my %op = (fresh => provider($t, 8090), fetched => provider($t, 8091));
$op{fresh}->set(respond => { '/jwks' => { headers => { 'cache-control' => 'max-age=86400' } } });
$clock->follow(values %op);

configure($t);
$t->run();

# The keys are known and fresh.

is(login('/fresh/')->{status}, 204, 'fresh keys: a login before');
moves('fresh');
is(login('/fresh/')->{status}, 403, 'fresh keys: a token signed with one from the old jwks_uri is refused');

# The response from the old jwks_uri arrives after the new metadata, while a login waits for keys.

is(login('/fetched/')->{status}, 204, 'a fetch: a login before');
my $old = { respond => { '/jwks' => { hold => 1 } } };
$op{fetched}->clear->set(%$old);
$clock->advance(2 * MINUTE);
my $first = callback('fetched');
is($op{fetched}->wait_for('/jwks', 1), 1, 'a fetch: from the old jwks_uri, not answered yet');

moves('fetched', %$old);
my $waiting = callback('fetched');
is($op{fetched}->wait_for('/token', 2), 2, 'a fetch: a login under the new metadata waits');
$op{fetched}->set(respond => {});
$first->{browser}->finish($first);
is($waiting->{browser}->finish($waiting)->{status}, 403, 'a fetch: a token signed with a key from the old one is refused');
my (undef, $second) = $op{fetched}->requests('/jwks');
is($second->{query}, 'moved', 'a fetch: the keys come from the new jwks_uri');
is(login('/fetched/')->{status}, 403, 'a fetch: later ones are refused, too');

# The provider publishes other keys under another URL, and the metadata say so.
sub moves {
    my ($name, %knobs) = @_;

    my $op = $op{$name};
    $op->set(%knobs, jwks => ['rsa-2'], metadata => {
        authorization_endpoint => $op->issuer . '/authorize?moved', jwks_uri => $op->issuer . '/jwks?moved' });
    $clock->advance(2 * MINUTE);
    wait_until(sub { browser()->get("/$name/")->{location} =~ /\?moved&/ }) or die "the metadata of $name stay";
}

# The callback of a new browser, whose response is not read yet
sub callback {
    my ($name) = @_;

    my $browser = browser();
    my $url = $browser->follow($browser->get("/$name/"))->{location};
    return { %{ $browser->start($url) }, browser => $browser };
}

sub configure {
    my ($t) = @_;

    my $fresh = oidc_provider('fresh', '', issuer => 'http://127.0.0.1:8090');
    my $fetched = oidc_provider('fetched', '', issuer => 'http://127.0.0.1:8091');

    $t->write_file_expand('nginx.conf', nginx_conf(<<"EOC"));
$fresh
$fetched

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /fresh/ { auth_oidc fresh; proxy_pass http://127.0.0.1:8082; }
        location /fetched/ { auth_oidc fetched; proxy_pass http://127.0.0.1:8082; }
    }

    server {
        listen       127.0.0.1:8082;
        server_name  localhost;

        return 204;
    }
EOC
}
