#!/usr/bin/perl

# Tests for sites that are shown in frames of other sites: with cookie_samesite none a whole login takes
# place there, and with cookie_partitioned its cookies belong to the site that shows the frame.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Site;
use Time::HiRes qw/ sleep time /;

select STDERR; $| = 1;
select STDOUT; $| = 1;

# The attributes of all cookies of an oidc_provider on https, but for Path and lifetime.

my $none = 'HttpOnly; SameSite=None; Secure';
my %attributes = (
    none => $none,
    partitioned => "$none; Partitioned",
    wide => "Domain=example.com; $none; Partitioned",
    posted => "$none; Partitioned",
    large => "$none; Partitioned",
    idle => "$none; Partitioned",
    without => $none,
);

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite socket_ssl/)->plan(9 * keys(%attributes) + 13);

my $op = provider($t, 8081);

certificate_authority($t, 'ca')->issue('nginx');
$ENV{SSL_CERT_FILE} = $t->testdir . '/ca.crt';    # the system's takes long to read, for each provider

my $partitioned = 'cookie_samesite none; cookie_partitioned on';
$t->write_file_expand('nginx.conf', nginx_conf(
    embedded('none', 'cookie_samesite none'),
    embedded('partitioned', $partitioned),
    embedded('wide', "$partitioned; cookie_domain example.com"),
    embedded('posted', "$partitioned; response_mode form_post"),
    embedded('large', "$partitioned; session_store cookie; session_claims all"),
    embedded('idle', "$partitioned; session_idle_timeout 20s"),
    embedded('without', 'cookie_samesite none; cookie_partitioned off'),
    embedded('lax', 'cookie_samesite lax'),
    embedded('strict', 'cookie_samesite strict'),
    <<'EOF'));
    server {
        listen       127.0.0.1:8443 ssl;
        server_name  app.example.com;

        ssl_certificate     nginx.crt;
        ssl_certificate_key nginx.key;

        add_header X-Error $oidc_error always;

        location / {
            auth_oidc        $arg_op;
            proxy_set_header X-User $oidc_claim_sub;
            proxy_pass       http://127.0.0.1:8082;
        }
    }

    server {
        listen 127.0.0.1:8082;
        large_client_header_buffers 4 64k;
        return 200 "user $http_x_user";
    }
EOF
$t->run();

my $app = 'https://app.example.com:' . port(8443);
my $portal = 'https://portal.example.net/';
my %in_frame = (top => $portal);

for my $provider (sort keys %attributes) {
    my $expected = $attributes{$provider};

    # A page so long that its URL travels in a cookie, seen for the first time, in a frame.
    my $page = page_of($provider) . '&x=' . 'x' x 1500;
    $op->set(id_token => { claims => { filler => 'x' x 3500 } }) if $provider eq 'large';
    my $browser = browser(base => $app);
    my $answer = $browser->login($page, from => $portal, %in_frame);
    $op->reset;
    is($answer->{body}, 'user alice', "$provider: a login in a frame");
    is_deeply([ attributes_of($answer) ], [$expected], "$provider: all cookies of the login and the session");
    my %made = map { $_ => 1 } map { /^([^=]*)=/ } map { @{ $_->{set_cookie} } } @{ $answer->{hops} };
    my $name = ($provider eq 'wide' ? '__Secure-' : '__Host-') . $provider;
    is(join(' ', grep { /_login_(?:rounds|target)$/ } sort keys %made), "${name}_login_rounds ${name}_login_target",
        "$provider: rounds and target among them");
    is($browser->get(page_of($provider), %in_frame)->{body}, 'user alice', "$provider: the session goes on in a frame");
    is(join(' ', map { $_->{name} } grep { $_->{name} =~ /_target/ } $browser->cookies), '',
        "$provider: the target is deleted when the login ends");

    # By a click in the frame.
    my $copy = $browser->clone;
    $answer = $browser->get("/logout/$provider", from => "$app/", headers => { 'Sec-Fetch-Site' => 'same-origin' },
        %in_frame);
    is($answer->{status}, 302, "$provider: a logout in a frame");
    is_deeply([ attributes_of({ hops => [$answer] }) ], [ twins($expected) ], "$provider: a deletion repeats all attributes");
    is(join(' ', grep { !/_login_[\w-]{4}$/ } map { $_->{name} } $browser->cookies), '', "$provider: no cookie is left");
    is($copy->get(page_of($provider))->{status}, 302, "$provider: the session has ended");
}

# A session of before cookie_partitioned goes, too.
sub twins { return $_[0] =~ /^(.*); Partitioned$/ ? ($1, $_[0]) : $_[0] }

# A cookie with Partitioned is another one than that of the same name without.
my $browser = browser(base => $app);
$browser->login(page_of('none'), %in_frame);
is(scalar(grep { $_->{partitioned} } $browser->cookies), 0, 'without cookie_partitioned no cookie is');
$browser = browser(base => $app);
$browser->login(page_of('partitioned'), %in_frame);
is(scalar(grep { !$_->{partitioned} } $browser->cookies), 0, 'with it all are');

# A cookie that is sealed anew is like the first one.
my $idle = browser(base => $app);
$idle->login(page_of('idle'), %in_frame);
my ($end, $again) = (time + 15);
until (time > $end || $again && @{ $again->{set_cookie} }) {
    sleep 0.2;
    $again = $idle->get(page_of('idle'), %in_frame);
}
is_deeply([ attributes_of({ hops => [$again] }) ], ["$none; Partitioned"], 'a cookie that is sealed anew: its attributes');
is($idle->get(page_of('idle'), %in_frame)->{body}, 'user alice', 'a cookie that is sealed anew: is a session');

# What leads to the logout from another site within a frame gets a page that may not be framed.
my $answer = $browser->get('/logout/partitioned', from => $portal, %in_frame);
like($answer->{body}, qr/name="confirm"/, q{a frame of another site at the logout: a page to confirm it});
is($answer->{headers}{'content-security-policy'}, q{frame-ancestors 'none'},
    q{a frame of another site at the logout: which may not be framed});
is($browser->get(page_of('partitioned'), %in_frame)->{body}, 'user alice',
    q{a frame of another site at the logout: ends nothing});

# With lax and strict the login's cookies are as ever, for the provider's redirect at the top; no login
# takes place in a frame.
for my $provider (qw/ lax strict /) {
    my @set = map { @{ $_->{set_cookie} } } @{ browser(base => $app)->login(page_of($provider))->{hops} };
    is(join(' ', grep { /_login_/ && !/; HttpOnly; SameSite=Lax; Secure$/ } @set), '',
        "$provider: the cookies of a login are lax");
    my ($session) = grep { /^__Host-$provider=/ } @set;
    like($session // '', qr/; HttpOnly; SameSite=\u$provider; Secure$/, "$provider: the session's is $provider");
    is(outcome(browser(base => $app)->login(page_of($provider), %in_frame)), '400 state_cookie',
        "$provider: no login in a frame");
}

# ------------------------------------------------------------------------------------------------------

sub embedded {
    my ($name, $directives) = @_;

    return oidc_provider($name, "logout_uri /logout/$name; $directives");
}

# Those of all cookies that an answer sets or deletes, each combination once.
sub attributes_of {
    my ($answer) = @_;

    my %seen = map { $_ => 1 } map { s/^[^;]*; //r =~ s/Path=[^;]*; //r =~ s/Max-Age=\d+; //r }
        map { @{ $_->{set_cookie} } } @{ $answer->{hops} };
    return sort keys %seen;
}
