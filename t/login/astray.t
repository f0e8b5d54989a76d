#!/usr/bin/perl

# Tests for late callbacks: the login expired or its cookie is missing. They begin no login and redirect to
# the page, where its own gate and limits apply. A browser without cookies is first redirected to the
# callback with the state alone, to test whether it accepts a cookie, and is refused if it does not.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::Site;
use Test::OIDC::URL qw/ html_unescape query_string /;

use constant COPIES => 50;

# Each is at /NAME/: its directives.
my %provider = (
    plain => '',
    pushing => 'pushed_authorization on',
    posts => 'response_mode form_post',
    fixed => '',
);
my %changes = (fixed => { redirect_uri => 'http://localhost:%%PORT_8080%%/callback/fixed' });
my @names = sort keys %provider;
my @limited = qw/ plain pushing posts /;

my $t = Test::Nginx->new()->has(qw/http limit_req proxy rewrite/);
my $clock = Test::OIDC::Clock->new($t);
$t->plan(24 * @names + 4 * @limited + 13);

# Its metadata is not requested again when the clock is advanced.
my $op = provider($t, 8081,
    metadata => { pushed_authorization_request_endpoint => 'http://127.0.0.1:' . port(8081) . '/par' },
    respond => { '/.well-known/openid-configuration' => { headers => { 'Cache-Control' => 'max-age=3600' } } });
$clock->follow($op);

my $locations = join "\n        ",
    (map { "location /$_/ { auth_oidc $_; proxy_pass http://127.0.0.1:8082; }" } @names, 'brief'),
    (map { "location /limited/$_/ { auth_oidc $_; limit_req zone=one; proxy_pass http://127.0.0.1:8082; }" } @limited);

$t->write_file_expand('nginx.conf', nginx_conf(
    '    limit_req_zone $uri zone=one:64k rate=1r/m;',
    (map { oidc_provider($_, $provider{$_}, %{ $changes{$_} || {} }) } @names),
    oidc_provider('brief', 'pre_auth_timeout 1m'), <<"EOF2"));
    server {
        listen      127.0.0.1:8080;
        server_name localhost;

        add_header X-Error \$oidc_error always;

        $locations
    }

    server {
        listen      127.0.0.1:8082;
        server_name localhost;

        return 200 application;
    }
EOF2

$t->run();

lost($_) for @names;
limited($_) for @limited;
late();

# ------------------------------------------------------------------------------------------------------

# The login cookie is missing.
sub lost {
    my ($name) = @_;

    my $page = "/$name/?a=b";
    my ($browser, $callback) = begun($page);
    my ($login_cookie) = grep { /^${name}_login_/ } map { $_->{name} } $browser->cookies;
    my $state = state_of($callback);
    my $stranger = browser();
    $op->clear;
    log_mark($t);

    my $answer = sent($stranger, $callback);
    is($answer->{status}, $name eq 'posts' ? 303 : 302, "$name, no cookie: redirect");
    like($answer->{location}, qr{^http://localhost:\d+/callback/$name\?state=\Q$state\E$},
        "$name, no cookie: to the callback with the state alone");
    is($answer->{headers}{'cache-control'}, 'no-store', "$name, no cookie: Cache-Control: no-store");
    is_deeply([ map { /^([^;]*)/ } @{ $answer->{set_cookie} } ], ["${name}_login_rounds=1"],
        "$name, no cookie: the rounds cookie and no other is set");

    my $keeping = $stranger->clone;
    my $tested = $keeping->follow($answer);
    is("$tested->{status} " . ($tested->{headers}{location} // ''), "302 $page", "$name, cookie kept: to the page");
    is($keeping->cookie("${name}_login_rounds") // '', 1, "$name, cookie kept: still one round");
    is($op->count, 0, "$name, cookie kept: no request to the provider");
    is(scalar(error_log_lines($t, qr/oidc:/)), 0, "$name, cookie kept: nothing is logged");
    is($keeping->login($page)->{body}, 'application', "$name, cookie kept: a later login succeeds");

    $op->clear;
    my $refused = $stranger->clear->follow($answer);
    is(outcome($refused), '400 state_cookie', "$name, cookie not kept: refused");
    ok(log_has($t, qr/\[error\] .*oidc: client sent a state without a login cookie while handling the callback, provider "$name"/),
        "$name, cookie not kept: logged");
    is(scalar @{ $refused->{set_cookie} }, 0, "$name, cookie not kept: none is set");
    is(outcome($stranger->get("/callback/$name?state=$state")), '400 state_cookie',
        "$name, a handmade URL with the state alone: refused");
    is($op->count, 0, "$name, cookie not kept: no request to the provider");

    # with another cookie of the module
    my $counted = browser()->set_cookie("${name}_login_rounds=2; Path=/" . attributes($name));
    $answer = sent($counted, $callback);
    like("$answer->{status} " . ($answer->{headers}{location} // ''), qr{^30[23] (?:http://localhost:\d+)?\Q$page\E$},
        "$name, with a rounds cookie: to the page at once");
    is($counted->cookie("${name}_login_rounds"), 3, "$name, with a rounds cookie: one more round");

    my $other = browser();
    $other->get("/$name/");
    $op->clear;
    is(outcome(sent($other, $callback)), '400 state_foreign', "$name, the cookie of another login: refused");

    # an error response is handled like a code
    my $error = browser();
    $answer = sent($error, with_error($callback));
    like($answer->{location} // '', qr{/callback/$name\?state=\Q$state\E$}, "$name, an error, no cookie: to the callback with the state alone");
    is($error->follow($answer)->{headers}{location} // '', $page, "$name, an error, cookie kept: to the page");

    # an invalid state causes no redirect
    is(outcome(browser()->get("/callback/$name?state=x")) =~ s/callback_malformed/state_invalid/r, '400 state_invalid',
        "$name, an unknown state: refused");
    is(outcome(browser()->get("/callback/$name?state=" . flipped($state))) =~ s/callback_malformed/state_invalid/r,
        '400 state_invalid', "$name, a changed state: refused");
    is($op->count, 0, "$name: no request to the provider for any of these");

    ok($browser->cookie($login_cookie), "$name: the browser of the login still has its cookie");
    like(outcome(sent($browser, $callback)), qr/^30[23]$/, "$name: it finishes its login");
}

# Many copies of a callback, without cookies or with a rounds cookie: the page's limit_req applies to them.
sub limited {
    my ($name) = @_;

    my $page = "/limited/$name/";
    my ($first, $callback) = begun($page);
    my $began = time;
    $op->clear;

    my (%ended, $led);
    for my $number (1 .. COPIES) {
        my $browser = browser();
        $browser->set_cookie("${name}_login_rounds=1; Path=/" . attributes($name)) if $number % 2;
        my $answer = sent($browser, $callback);
        for (1 .. 5) {
            last if $answer->{status} !~ /^30/ || leads_to_provider($answer);
            $answer = $browser->follow($answer);
        }
        $led++ if leads_to_provider($answer);
        $ended{ $answer->{status} }++;
    }

    # the page's limit lets one more pass each minute
    my $more = int((time - $began) / 60);
    cmp_ok($led // 0, '<=', $more, "$name, many copies: no login begins");
    cmp_ok($op->count, '<=', $more, "$name, many copies: no request to the provider");
    cmp_ok($ended{503} // 0, '>=', COPIES - $more, "$name, many copies: the page's limit refuses them");
    like(outcome(sent($first, $callback)), qr/^30[23]$/, "$name, many copies: the login itself succeeds");
}

# The login has expired.
sub late {
    my ($late, $late_callback) = begun('/brief/?a=b');
    $clock->advance(61);

    my ($login_cookie) = map { /^(brief_login_(?!rounds)[^;]*)/ } @{ $late->{challenge}{set_cookie} };
    my $page = '/brief/?a=b';
    $op->clear;
    log_mark($t);

    my $own = browser()->set_cookie("$login_cookie; Path=/");
    my $answer = $own->get($late_callback);
    is("$answer->{status} $answer->{headers}{location}", "302 $page", 'expired, with its own cookie: to the page at once');
    is($own->cookie('brief_login_rounds'), 1, 'expired, with its own cookie: one round');

    my $none = browser();
    $answer = $none->get($late_callback);
    like($answer->{location}, qr{/callback/brief\?state=[^&]+$}, 'expired, no cookie: to the callback with the state alone');
    is($none->follow($answer)->{headers}{location}, $page, 'expired, cookie kept: to the page');
    is(outcome($none->clear->follow($answer)), '400 state_cookie', 'expired, cookie not kept: refused');

    my $third = browser()->set_cookie('brief_login_abcd=' . 'A' x 22 . '; Path=/');
    $answer = $third->get($late_callback);
    is("$answer->{status} $answer->{headers}{location}", "302 $page", 'expired, with the cookie of another login: to the page');

    my $alone = browser()->set_cookie("$login_cookie; Path=/");
    $answer = $alone->get('/callback/brief?state=' . state_of($late_callback));
    is("$answer->{status} $answer->{headers}{location}", "302 $page", 'expired, the state alone: to the page');

    is($op->count, 0, 'expired: no request to the provider');
    is(scalar(error_log_lines($t, qr/oidc:/)), 1, 'expired: only the browser without cookies is logged');

    for my $round (2 .. 5) {
        $own->set_cookie('brief_login_rounds=' . ($round - 1) . '; Path=/');
        $own->get($late_callback);
    }
    is($own->cookie('brief_login_rounds'), 5, 'expired, five times: five rounds');
    $own->set_cookie('brief_login_rounds=5; Path=/');
    is(outcome($own->get($page)), '400 login_loop', 'expired, five times: the page begins no login');
    is($op->count, 0, 'expired, five times: no request to the provider');

    my $member = login($page)->{browser};
    is(outcome($member->get($late_callback)), '302', 'expired, but logged in: to the page');
}

# A browser, and the callback of its login: a URL, or URL and form.
sub begun {
    my ($page) = @_;

    my $browser = browser();
    $browser->{challenge} = $browser->get($page);
    my $answer = $browser->follow($browser->{challenge});
    return ($browser, $answer->{location}) if defined $answer->{location};

    my ($action) = $answer->{body} =~ /action="([^"]*)"/;
    my %form = map { html_unescape($_) } $answer->{body} =~ /name="([^"]*)" value="([^"]*)"/g;
    return ($browser, { url => html_unescape($action), form => \%form });
}

sub sent {
    my ($browser, $callback) = @_;

    my $from = $op->issuer . '/authorize';
    return $browser->get($callback, from => $from) unless ref $callback;
    return $browser->post($callback->{url}, $callback->{form}, from => $from);
}

sub state_of { return (ref $_[0] ? $_[0]{form} : query($_[0]))->{state} }

# The same with an error instead of the code.
sub with_error {
    my ($callback) = @_;

    my %form = (%{ ref $callback ? $callback->{form} : query($callback) }, error => 'access_denied');
    delete $form{code};
    return { %$callback, form => \%form } if ref $callback;
    return $callback =~ s/\?.*//r . '?' . query_string(\%form);
}

sub flipped {
    my ($state) = @_;

    my $middle = length($state) / 2;
    substr($state, $middle, 1) = substr($state, $middle, 1) eq 'A' ? 'B' : 'A';
    return $state;
}

# Attributes that a browser needs to send the cookie with a form from another site.
sub attributes { return $_[0] eq 'posts' ? '; SameSite=None; Secure' : '' }

sub leads_to_provider { return ($_[0]{location} // '') =~ m{/authorize\?} }
