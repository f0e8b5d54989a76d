#!/usr/bin/perl

# Tests for callbacks whose login cannot be finished, since it took too long or its cookie is gone: they
# begin none, and lead to the page, where its own gate and limits apply. A browser that brings no cookie
# is first asked for one, by a redirect to the callback with the state alone, and refused if it keeps none.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Time::HiRes qw/ sleep time /;

use Test::Nginx;
use Test::OIDC;
use Test::OIDC::Site;
use Test::OIDC::URL qw/ html_unescape query_string /;

select STDERR; $| = 1;
select STDOUT; $| = 1;

use constant COPIES => 50;

# Each is at /NAME/. What the callback's redirects have as status, and where its path is.
my %provider = (
    plain => '',
    pushing => 'pushed_authorization on',
    posts => 'response_mode form_post',
    fixed => '',
);
my %changes = (fixed => { redirect_uri => 'http://localhost:%%PORT_8080%%/callback/fixed' });
my @names = sort keys %provider;
my @limited = qw/ plain pushing posts /;

my $t = Test::Nginx->new()->has(qw/http limit_req proxy rewrite/)->plan(24 * @names + 4 * @limited + 13);

my $op = provider($t, 8081, metadata => {
    pushed_authorization_request_endpoint => 'http://127.0.0.1:' . port(8081) . '/par' });

my $locations = join "\n        ",
    (map { "location /$_/ { auth_oidc $_; proxy_pass http://127.0.0.1:8082; }" } @names, 'brief'),
    (map { "location /limited/$_/ { auth_oidc $_; limit_req zone=one; proxy_pass http://127.0.0.1:8082; }" } @limited);

$t->write_file_expand('nginx.conf', nginx_conf(
    '    limit_req_zone $uri zone=one:64k rate=1r/m;',
    (map { oidc_provider($_, $provider{$_}, %{ $changes{$_} || {} }) } @names),
    oidc_provider('brief', 'pre_auth_timeout 1s'), <<"EOF2"));
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

# The system's bundle of certificates, which every oidc_provider reads, is not needed.
$ENV{SSL_CERT_FILE} = '/dev/null';

$t->run();

my ($late, $late_callback) = begun('/brief/?a=b');
my $late_since = time;

lost($_) for @names;
limited($_) for @limited;
late();

# ------------------------------------------------------------------------------------------------------

# The cookie of the login is gone.
sub lost {
    my ($name) = @_;

    my $page = "/$name/?a=b";
    my ($browser, $callback) = begun($page);
    my ($binding) = grep { /^${name}_login_/ } map { $_->{name} } $browser->cookies;
    my $state = state_of($callback);
    my $stranger = browser();
    $op->clear;
    log_mark($t);

    my $answer = sent($stranger, $callback);
    is($answer->{status}, $name eq 'posts' ? 303 : 302, "$name, no cookie: leads on");
    like($answer->{location}, qr{^http://localhost:\d+/callback/$name\?state=\Q$state\E$},
        "$name, no cookie: to the callback with the state alone");
    is($answer->{headers}{'cache-control'}, 'no-store', "$name, no cookie: which no cache keeps");
    is_deeply([ map { /^([^;]*)/ } @{ $answer->{set_cookie} } ], ["${name}_login_rounds=1"],
        "$name, no cookie: counts a round, and sets no other cookie");

    my $keeping = $stranger->clone;
    my $asked = $keeping->follow($answer);
    is("$asked->{status} " . ($asked->{headers}{location} // ''), "302 $page", "$name, keeps a cookie: to the page");
    is($keeping->cookie("${name}_login_rounds") // '', 1, "$name, keeps a cookie: still one round");
    is($op->count, 0, "$name, keeps a cookie: nothing is asked of the provider");
    is(scalar(error_log_lines($t, qr/oidc:/)), 0, "$name, keeps a cookie: nothing is logged");
    is($keeping->login($page)->{body}, 'application', "$name, keeps a cookie: a login then ends well");

    $op->clear;
    my $refused = $stranger->clear->follow($answer);
    is(outcome($refused), '400 state_cookie', "$name, keeps no cookie: is refused");
    ok(log_has($t, qr/\[warn\] .*oidc: client sent a state without a login cookie while handling the callback, provider "$name"/),
        "$name, keeps no cookie: logged");
    is(scalar @{ $refused->{set_cookie} }, 0, "$name, keeps no cookie: is given none");
    is(outcome($stranger->get("/callback/$name?state=$state")), '400 state_cookie',
        "$name, keeps no cookie: whoever made the URL");
    is($op->count, 0, "$name, keeps no cookie: nothing is asked of the provider");

    # with another cookie of ours
    my $counted = browser()->set_cookie("${name}_login_rounds=2; Path=/" . attributes($name));
    $answer = sent($counted, $callback);
    like("$answer->{status} " . ($answer->{headers}{location} // ''), qr{^30[23] (?:http://localhost:\d+)?\Q$page\E$},
        "$name, a count of rounds: to the page at once");
    is($counted->cookie("${name}_login_rounds"), 3, "$name, a count of rounds: one more");

    my $other = browser();
    $other->get("/$name/");
    $op->clear;
    is(outcome(sent($other, $callback)), '400 state_foreign', "$name, the cookie of another login: is refused");

    # an error is as much a callback as a code
    my $error = browser();
    $answer = sent($error, with_error($callback));
    like($answer->{location} // '', qr{/callback/$name\?state=\Q$state\E$}, "$name, an error, no cookie: is asked for one");
    is($error->follow($answer)->{headers}{location} // '', $page, "$name, an error, keeps a cookie: to the page");

    # a state that nobody has sealed is no reason for a redirect
    is(outcome(browser()->get("/callback/$name?state=x")) =~ s/callback_malformed/state_invalid/r, '400 state_invalid',
        "$name, a state of nobody: is refused");
    is(outcome(browser()->get("/callback/$name?state=" . flipped($state))) =~ s/callback_malformed/state_invalid/r,
        '400 state_invalid', "$name, a state that was changed: is refused");
    is($op->count, 0, "$name: nothing is asked of the provider for all of these");

    ok($browser->cookie($binding), "$name: the browser that began it still has its cookie");
    like(outcome(sent($browser, $callback)), qr/^30[23]$/, "$name: and ends it");
}

# The same callback many times, by browsers that bring nothing, or a cookie of ours: the page's limit is theirs.
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

    # one more request a minute, on a machine that takes so long
    my $more = int((time - $began) / 60);
    cmp_ok($led // 0, '<=', $more, "$name, many copies: no state is made");
    cmp_ok($op->count, '<=', $more, "$name, many copies: nothing is asked of the provider");
    cmp_ok($ended{503} // 0, '>=', COPIES - $more, "$name, many copies: the page's limit refuses them");
    like(outcome(sent($first, $callback)), qr/^30[23]$/, "$name, many copies: the login itself ends well");
}

# The login took too long.
sub late {
    sleep 0.05 while time < $late_since + 1.1;

    my ($binding) = map { /^(brief_login_(?!rounds)[^;]*)/ } @{ $late->{challenge}{set_cookie} };
    my $page = '/brief/?a=b';
    $op->clear;
    log_mark($t);

    my $own = browser()->set_cookie("$binding; Path=/");
    my $answer = $own->get($late_callback);
    is("$answer->{status} $answer->{headers}{location}", "302 $page", 'too late, with its own cookie: to the page at once');
    is($own->cookie('brief_login_rounds'), 1, 'too late, with its own cookie: counts a round');

    my $none = browser();
    $answer = $none->get($late_callback);
    like($answer->{location}, qr{/callback/brief\?state=[^&]+$}, 'too late, no cookie: is asked for one');
    is($none->follow($answer)->{headers}{location}, $page, 'too late, keeps a cookie: to the page');
    is(outcome($none->clear->follow($answer)), '400 state_cookie', 'too late, keeps no cookie: is refused');

    my $third = browser()->set_cookie('brief_login_abcd=' . 'A' x 22 . '; Path=/');
    $answer = $third->get($late_callback);
    is("$answer->{status} $answer->{headers}{location}", "302 $page", 'too late, with the cookie of another login: to the page');

    my $alone = browser()->set_cookie("$binding; Path=/");
    $answer = $alone->get('/callback/brief?state=' . state_of($late_callback));
    is("$answer->{status} $answer->{headers}{location}", "302 $page", 'too late, the state alone: to the page');

    is($op->count, 0, 'too late: nothing is asked of the provider');
    is(scalar(error_log_lines($t, qr/oidc:/)), 1, 'too late: only the browser without cookies is logged');

    for my $round (2 .. 5) {
        $own->set_cookie('brief_login_rounds=' . ($round - 1) . '; Path=/');
        $own->get($late_callback);
    }
    is($own->cookie('brief_login_rounds'), 5, 'too late, five times: five rounds');
    $own->set_cookie('brief_login_rounds=5; Path=/');
    is(outcome($own->get($page)), '400 login_loop', 'too late, five times: the page begins no login');
    is($op->count, 0, 'too late, five times: nothing is asked of the provider');

    my $member = login($page)->{browser};
    is(outcome($member->get($late_callback)), '302', 'too late, and logged in: to the page');
}

# A browser, and the callback that the provider sends it to: a URL, or URL and form.
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

# The same with an error in the place of the code.
sub with_error {
    my ($callback) = @_;

    my %form = (%{ ref $callback ? $callback->{form} : query($callback) }, error => 'access_denied');
    delete $form{code};
    return { %$callback, form => \%form } if ref $callback;
    return $callback =~ s/\?.*//r . '?' . query_string(\%form);
}

sub flipped {
    my ($state) = @_;

    my $place = length($state) / 2;
    substr($state, $place, 1) = substr($state, $place, 1) eq 'A' ? 'B' : 'A';
    return $state;
}

# What a form from another site needs for a cookie to come along.
sub attributes { return $_[0] eq 'posts' ? '; SameSite=None; Secure' : '' }

sub leads_to_provider { return ($_[0]{location} // '') =~ m{/authorize\?} }
