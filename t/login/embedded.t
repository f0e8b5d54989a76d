#!/usr/bin/perl

# Tests for sites embedded in frames of other sites: with cookie_samesite none a login works in the frame,
# and with cookie_partitioned its cookies belong to the embedding site.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;

# The attributes of all cookies of an oidc_provider on https, without Path and lifetime.

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

my $t = Test::Nginx->new()->has(qw/http http_ssl proxy rewrite socket_ssl/);
my $clock = Test::OIDC::Clock->new($t);
$t->plan(9 * keys(%attributes) + 13);

my $op = provider($t, 8081);

certificate_authority($t, 'ca')->issue('nginx');

my $partitioned = 'cookie_samesite none; cookie_partitioned on';
$t->write_file_expand('nginx.conf', nginx_conf(
    embedded('none', 'cookie_samesite none'),
    embedded('partitioned', $partitioned),
    embedded('wide', "$partitioned; cookie_domain example.com"),
    embedded('posted', "$partitioned; response_mode form_post"),
    embedded('large', "$partitioned; session_store cookie; session_claims all"),
    embedded('idle', "$partitioned; session_idle_timeout 20m"),
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

    # A URL long enough to be kept in a cookie, opened for the first time, in a frame.
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
        "$provider: the rounds and target cookies are set");
    is($browser->get(page_of($provider), %in_frame)->{body}, 'user alice', "$provider: the session remains in the frame");
    is(join(' ', map { $_->{name} } grep { $_->{name} =~ /_target/ } $browser->cookies), '',
        "$provider: the target is deleted when the login ends");

    # By a click in the frame.
    my $copy = $browser->clone;
    $answer = $browser->get("/logout/$provider", from => "$app/", headers => { 'Sec-Fetch-Site' => 'same-origin' },
        %in_frame);
    is($answer->{status}, 302, "$provider: a logout in a frame");
    is_deeply([ attributes_of({ hops => [$answer] }) ], [ twins($expected) ], "$provider: deleted cookies have all attributes");
    is(join(' ', grep { !/_login_[\w-]{4}$/ } map { $_->{name} } $browser->cookies), '', "$provider: no cookie is left");
    is($copy->get(page_of($provider))->{status}, 302, "$provider: the session has ended");
}

# A session cookie from before cookie_partitioned is deleted.
sub twins { return $_[0] =~ /^(.*); Partitioned$/ ? ($1, $_[0]) : $_[0] }

# A cookie with Partitioned differs from one of the same name without it.
my $browser = browser(base => $app);
$browser->login(page_of('none'), %in_frame);
is(scalar(grep { $_->{partitioned} } $browser->cookies), 0, 'without cookie_partitioned no cookie is partitioned');
$browser = browser(base => $app);
$browser->login(page_of('partitioned'), %in_frame);
is(scalar(grep { !$_->{partitioned} } $browser->cookies), 0, 'with cookie_partitioned all cookies are');

# A resealed cookie has the attributes of the first.
my $idle = browser(base => $app);
$idle->login(page_of('idle'), %in_frame);
$clock->advance(61);
my $again = $idle->get(page_of('idle'), %in_frame);
is_deeply([ attributes_of({ hops => [$again] }) ], ["$none; Partitioned"], 'a resealed cookie: its attributes');
is($idle->get(page_of('idle'), %in_frame)->{body}, 'user alice', 'a resealed cookie: the session remains');

# A cross-site navigation to the logout in a frame gets a page that must not be framed.
my $answer = $browser->get('/logout/partitioned', from => $portal, %in_frame);
like($answer->{body}, qr/name="confirm"/, q{a frame of another site at the logout: a page to confirm it});
is($answer->{headers}{'content-security-policy'}, q{frame-ancestors 'none'},
    q{a frame of another site at the logout: which may not be framed});
is($browser->get(page_of('partitioned'), %in_frame)->{body}, 'user alice',
    q{a frame of another site at the logout: ends nothing});

# With lax and strict, login cookies are lax for the provider's top-level redirect; a login in a frame is
# not possible.
for my $provider (qw/ lax strict /) {
    my @set = map { @{ $_->{set_cookie} } } @{ browser(base => $app)->login(page_of($provider))->{hops} };
    is(join(' ', grep { /_login_/ && !/; HttpOnly; SameSite=Lax; Secure$/ } @set), '',
        "$provider: the cookies of a login are lax");
    my ($session) = grep { /^__Host-$provider=/ } @set;
    like($session // '', qr/; HttpOnly; SameSite=\u$provider; Secure$/, "$provider: the session cookie is $provider");
    is(outcome(browser(base => $app)->login(page_of($provider), %in_frame)), '400 state_cookie',
        "$provider: no login in a frame");
}

# ------------------------------------------------------------------------------------------------------

sub embedded {
    my ($name, $directives) = @_;

    return oidc_provider($name, "logout_uri /logout/$name; $directives");
}

# The attributes of all cookies that a response sets or deletes, each combination once.
sub attributes_of {
    my ($answer) = @_;

    my %seen = map { $_ => 1 } map { s/^[^;]*; //r =~ s/Path=[^;]*; //r =~ s/Max-Age=\d+; //r }
        map { @{ $_->{set_cookie} } } @{ $answer->{hops} };
    return sort keys %seen;
}
