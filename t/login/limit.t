#!/usr/bin/perl

# Tests for oidc_limit: the number of logins and logouts that one client may have in progress or fail at.
# Each is charged a token, which is refunded when it succeeds. Tokens that take a minute to return are not
# awaited: each case has a client of its own, and is repeated if the machine was too slow.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Time::HiRes qw/ sleep time /;

use Test::OIDC;
use Test::OIDC::Keys;
use Test::OIDC::Pipeline;
use Test::OIDC::Site;
use Test::OIDC::Workers;

use constant { BOUND => 15, CLIENTS => 3000 };

my $one = 'oidc_limit login=1r/m logout=1r/m';

# The directives of each server, by name.
my %server = (
    default => '',
    one => "$one;",
    two => 'oidc_limit login=2r/m logout=2r/m;',
    three => 'oidc_limit login=3r/m logout=3r/m;',
    second => 'oidc_limit login=1r/s logout=1r/s;',
    off => 'oidc_limit off;',
    keyed => "$one key=\$http_x_key;",
    joined => "$one key=\$http_x_key\$http_x_other;",
    nested => "$one;
        location /off/      { oidc_limit off; auth_oidc pushed; proxy_pass http://127.0.0.1:8082; }
        location /inherits/ { auth_oidc pushed; proxy_pass http://127.0.0.1:8082; }",
    inner => "oidc_limit off;
        location /own/      { $one; auth_oidc pushed; proxy_pass http://127.0.0.1:8082; }",
    paged => "$one;
        error_page 429 /sorry;
        location = /sorry   { internal; return 200 \"sorry: \$oidc_error\"; }",
    recoded => "$one;
        error_page 429 =503 /sorry;
        location = /sorry   { internal; return 200 \"sorry: \$oidc_error\"; }",
    socket => "$one; listen unix:%%TESTDIR%%/socket;",
    trusted => "$one; listen unix:%%TESTDIR%%/trusted; set_real_ip_from unix:;",
);

# Why a login fails: knobs of the provider, the outcome.
my @failures = (
    ['a code that is refused', { respond => { '/token' => { status => 400, body => { error => 'invalid_grant' } } } },
        '400 provider_invalid_grant'],
    ['a provider that fails', { respond => { '/token' => { status => 503 } } }, '502 upstream_status'],
    ['no connection', { respond => { '/token' => { close => 'before_headers' } } }, '502 upstream_unreachable'],
    ['an ID token that is refused', { id_token => { claims => { iss => 'https://evil.example.com' } } },
        '403 id_token_issuer'],
);

# Two addresses, and whether they count as one client.
my @addresses = (
    ['192.0.2.1', '192.0.2.1', 1],
    ['192.0.2.2', '192.0.2.3', 0],
    ['2001:db8:0:1::1', '2001:db8:0:1:ffff:ffff:ffff:ffff', 1],
    ['2001:db8:0:2::1', '2001:db8:0:3::1', 0],
    ['::ffff:198.51.100.1', '::ffff:198.51.100.2', 0],
    ['::ffff:198.51.100.3', '198.51.100.3', 1],
);

# Rejected parameters, and the one that nginx -t names.
my @wrong = (
    (map { [$_, $_] } qw{ on 5 login login= login=0r/m login=-1r/m login=5 login=5r login=5r/h login=r/s login=1.5r/s
        login=1000001r/s login=99999999999999999999r/s login=5r/ms logout=0r/s logout=many Login=5r/m rate=5r/m
        key= key=name }, 'login=5r/s,logout=5r/s'),
    ['login=5r/s login=5r/s', 'login=5r/s'],
    ['login=5r/s logout=1r/m logout=2r/m', 'logout=2r/m'],
    ['login=5r/s key=$http_a key=$http_b', 'key=$http_b'],
    ['off login=5r/m', 'off'],
    ['login=5r/m off', 'off'],
    ['off off', 'off'],
);

my @right = ('off', 'login=200r/m logout=60r/m', 'login=1r/s logout=1000000r/s', 'logout=1r/m login=1000000r/m',
    'login=5r/m logout=5r/m key=$http_x_key', 'key=$binary_remote_addr login=5r/m logout=5r/m');

my $t = Test::Nginx->new()->has(qw/http proxy realip rewrite unix/)
    ->plan(@wrong + @right + 5 + @failures + @addresses + 90);

my $op = provider($t, 8081, metadata => {
    pushed_authorization_request_endpoint => 'http://127.0.0.1:' . port(8081) . '/par' });

$t->write_file('client.key', Test::OIDC::Keys::private_key('rsa-2')->export_key_pem('private'));

configurations();

my $clients = 0;
my $workers = Test::OIDC::Workers->start($t, configuration('', map { server($_, $server{$_}) } sort keys %server));

at_once();
refusal();
failures();
what_is_one_client();
no_limit();
not_charged();
copies();
pushed();
of_locations();
logouts();
all_workers();
default_limit();
many_clients();
in_time();
outer_level();

is(join("\n", error_log_lines($t, qr/\[(?:crit|alert|emerg)\]/)), '', 'no crit, alert or emerg in the log');

# ------------------------------------------------------------------------------------------------------

sub configurations {
    for my $case (@wrong) {
        my ($value, $parameter) = @$case;
        like(limit_error($value), qr/^invalid "oidc_limit" parameter "\Q$parameter\E", .+ in \S+:\d+$/,
            "oidc_limit $value");
    }
    is(limit_error($_), '', "oidc_limit $_") for @right;

    like(limit_error(''), qr/^invalid number of arguments in "oidc_limit" directive in \S+:\d+$/, 'no parameter');
    like(limit_error('login=5r/m logout=5r/m key=$nobody_knows'), qr/^unknown "nobody_knows" variable/, 'an unknown variable');
    like(limit_error('off; oidc_limit off'), qr/^"oidc_limit" directive is duplicate in \S+:\d+$/, 'twice');
    is(config_error($t, configuration('    oidc_limit off;', server('a', 'location /in/ { oidc_limit login=1r/s logout=1r/s; }'))),
        '', 'in http and location');
    like(config_error($t, "%%TEST_GLOBALS%%\noidc_limit off;\nevents {}\nhttp { %%TEST_GLOBALS_HTTP%% }\n"),
        qr/^"oidc_limit" directive is not allowed here/, 'outside of http');
}

sub limit_error {
    my ($value) = @_;

    return config_error($t, configuration('', server('a', "oidc_limit $value;")));
}

# As many logins at once as the limit allows.
sub at_once {
    for my $name (qw/ op posts userinfo /) {
        is(undisturbed(sub {
            my ($address) = @_;
            my @browsers = map { client('three', $address) } 1 .. 4;
            my @callbacks = map { callback_of($_, $name) } @browsers;
            $op->clear->set(respond => { '/token' => { hold => 1 } });
            my @requests = map { starts($browsers[$_], $callbacks[$_]) } 0 .. 2;
            $op->wait_for('/token', 3);
            my $refused = comes($browsers[3], $callbacks[3]);
            my $requested = $op->count('/token');
            $op->reset;
            my @ends = map { outcome($browsers[$_]->finish($requests[$_])) } 0 .. 2;
            my $end = outcome(comes($browsers[3], $callbacks[3]));
            return join ', ', outcome($refused), $requested, @ends, $end, map { $_->get(page_of($name))->{body} } @browsers;
        }), join(', ', '429 login_limit', 3, (($name eq 'posts' ? 303 : 302)) x 4, ('application') x 4), "$name: three logins at once, and the fourth later, by the same callback");
    }

    is(undisturbed(sub {
        my ($address) = @_;
        return join ' ', map { outcome(client('one', $address)->login(page_of('op'))) } 1 .. 5;
    }), '200 200 200 200 200', 'successful logins, one after the other');

    is(undisturbed(sub {
        my ($address) = @_;
        fails(client('one', $address));
        return outcome(client('one', $address)->login(page_of('posts')));
    }), '429 login_limit', 'a login that failed counts for all providers');
}

sub refusal {
    my ($refused, $kept);
    is(undisturbed(sub {
        my ($address) = @_;
        my $browser = client('one', $address);
        my $callback = callback_of($browser);
        fails(client('one', $address));
        $op->clear;
        log_mark($t);
        $refused = comes($browser, $callback);
        $kept = join ' ', scalar @{ $refused->{set_cookie} }, $op->count;
        return outcome($refused);
    }), '429 login_limit', 'no token left: 429');
    like($refused->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'no token left: Retry-After');
    is($refused->{headers}{'cache-control'}, 'no-store', 'no token left: Cache-Control');
    is($kept, '0 0', 'no token left: no cookie and no request to the provider');
    unlike($refused->{body}, qr/application/, 'no token left: no page');
    my @lines = error_log_lines($t, qr/oidc:/);
    is(scalar @lines, 1, 'no token left: one line in the log');
    like($lines[0] // '', qr/\[(?:warn|error)\] .*oidc: client exceeded the login limit while handling the callback, provider "op"/,
        'no token left: the line names the limit');
    unlike($lines[0] // '', qr/callback\/op\?/, 'no token left: the line has no query');

    for my $case (['paged', '429 sorry: login_limit'], ['recoded', '503 sorry: login_limit']) {
        my ($server, $expected) = @$case;
        is(undisturbed(sub {
            my ($address) = @_;
            fails(client($server, $address));
            my $answer = client($server, $address)->login(page_of('op'));
            return "$answer->{status} $answer->{body}";
        }), $expected, "$server: error_page replaces the response");
    }
}

sub failures {
    for my $case (@failures) {
        my ($name, $knobs, $expected) = @$case;
        is(undisturbed(sub {
            my ($address) = @_;
            my $failed = fails(client('one', $address), 'op', $knobs);
            return "$failed, " . outcome(client('one', $address)->login(page_of('op')));
        }), "$expected, 429 login_limit", "$name is charged");
    }

    is(undisturbed(sub {
        my ($address) = @_;
        return join ', ', map { fails(client('two', $address)) } 1 .. 3;
    }), '400 provider_invalid_grant, 400 provider_invalid_grant, 429 login_limit', 'two failed logins are charged twice');
}

sub what_is_one_client {
    for my $case (@addresses) {
        my ($first, $other, $same) = @$case;
        # fixed addresses, so these cannot be repeated
        my $failed = fails(client('one', $first));
        is("$failed, " . outcome(client('one', $other)->login(page_of('op'))),
            '400 provider_invalid_grant, ' . ($same ? '429 login_limit' : 200),
            "$first and $other are " . ($same ? 'one client' : 'two clients'));
    }

    my $long = 'x' x 2000;
    for my $case (['keyed', ['a'], ['a'], 1], ['keyed', ['a'], ['b'], 0], ['keyed', ["${long}1"], ["${long}2"], 0],
        ['keyed', ["${long}1"], ["${long}1"], 1], ['joined', ['a', 'b'], ['a', 'b'], 1], ['joined', ['a', 'b'], ['a', 'c'], 0])
    {
        my ($server, $first, $other, $same) = @$case;
        my $name = join ' ', map { length > 9 ? 'a long one ' . substr($_, -1) : $_ } @$first, 'and', @$other;
        is(undisturbed(sub {
            my ($address) = @_;
            my $case_id = ++$clients;    # each try has keys of its own
            my @clients = map { client($server, $address, 'X-Key' => "$case_id$_->[0]", 'X-Other' => $_->[1]) } $first, $other;
            fails($clients[0]);
            return outcome($clients[1]->login(page_of('op')));
        }), $same ? '429 login_limit' : 200, "key, $server, $name: " . ($same ? 'one client' : 'two clients'));
    }

    is(undisturbed(sub {
        my ($address) = @_;
        my $key = 'everywhere' . ++$clients;
        fails(client('keyed', $address, 'X-Key' => $key));
        return outcome(client('keyed', fresh_address(), 'X-Key' => $key)->login(page_of('op')));
    }), '429 login_limit', 'key: two addresses with the same key are one client');
}

# Clients without a limit.
sub no_limit {
    for my $case (
        ['off', sub { client('off', $_[0]) }],
        ['an empty key', sub { client('keyed', $_[0]) }],
        ['another empty key', sub { client('keyed', $_[0], 'X-Key' => '') }],
        ['a Unix socket', sub { over('socket', client('socket', $_[0])) }])
    {
        my ($name, $client) = @$case;
        is(undisturbed(sub {
            my ($address) = @_;
            my @failed = map { fails($client->($address)) } 1 .. 4;
            return join ', ', @failed, outcome($client->($address)->login(page_of('op')));
        }), join(', ', ('400 provider_invalid_grant') x 4, 200), "$name: no limit of logins");
        is(undisturbed(sub {
            my ($address) = @_;
            return join ' ', map { posts($client->($address), 'x') } 1 .. 4;
        }), join(' ', ('400 logout_token_malformed') x 4), "$name: no limit of logouts");
    }

    is(undisturbed(sub {
        my ($address) = @_;
        my $failed = fails(over('trusted', client('trusted', $address)));
        return join ', ', $failed, outcome(over('trusted', client('trusted', $address))->login(page_of('op'))),
            outcome(over('trusted', client('trusted', fresh_address()))->login(page_of('op')));
    }), '400 provider_invalid_grant, 429 login_limit, 200', 'a Unix socket with real client addresses: they are limited');
}

# Callbacks and requests that are not charged.
sub not_charged {
    my %callback = (
        'an error of the provider' => [sub { $_[0] =~ s/([?&])code=[^&]*/$1error=access_denied/r }, '403 provider_access_denied'],
        'no state' => [sub { $_[0] =~ s/([?&])state=[^&]*/$1x=y/r }, '400 state_missing'],
        'an unknown state' => [sub { $_[0] =~ s/([?&])state=[^&]*/$1state=x/r }, '400 state_invalid'],
        'two codes' => [sub { "$_[0]&code=x" }, '400 callback_malformed'],
        'another issuer' => [sub { $_[0] =~ s/([?&])iss=[^&]*/$1iss=x/r }, '400 callback_issuer'],
    );
    for my $name (sort keys %callback) {
        my ($change, $expected) = @{ $callback{$name} };
        is(undisturbed(sub {
            my ($address) = @_;
            my @ends;
            for (1 .. 3) {
                my $browser = client('one', $address);
                push @ends, outcome($browser->get($change->(callback_of($browser))));
            }
            return join ', ', @ends, outcome(client('one', $address)->login(page_of('op')));
        }), "$expected, $expected, $expected, 200", "$name is not charged");
    }

    is(undisturbed(sub {
        my ($address) = @_;
        my $browser = client('one', $address);
        fails(client('one', $address));
        return outcome($browser->get(callback_of($browser) =~ s/([?&])code=[^&]*/$1error=access_denied/r));
    }), '403 provider_access_denied', 'an error of the provider needs no token');

    is(undisturbed(sub {
        my ($address) = @_;
        my $callback = callback_of(client('one', $address));
        my @ends = map { outcome(client('one', $address)->get($callback)) } 1 .. 3;
        return join ', ', @ends, outcome(client('one', $address)->login(page_of('op')));
    }), '302, 302, 302, 200', 'callbacks without cookies are not charged');

    is(undisturbed(sub {
        my ($address) = @_;
        my @pages = map { outcome(client('one', $address)->get(page_of('op'))) } 1 .. 4;
        return join ', ', @pages, outcome(client('one', $address)->login(page_of('op')));
    }), '302, 302, 302, 302, 200', 'pages that lead to the provider are not charged');

    is(undisturbed(sub {
        my ($address) = @_;
        my $member = client('one', $address);
        $member->login(page_of('op'));
        fails(client('one', $address));
        posts(client('one', $address), 'x');
        return join ' ', map { outcome($member->get($_)) } page_of('op'), '/logout';
    }), '200 302', 'requests and logouts of a session need no token');
}

# Copies of one callback.
sub copies {
    is(undisturbed(sub {
        my ($address) = @_;
        my $browser = client('two', $address);
        my $callback = callback_of($browser);
        my $copy = $browser->clone;
        $op->clear->set(respond => { '/token' => { hold => 1 } });
        my @requests = (starts($browser, $callback), starts($copy, $callback));
        $op->wait_for('/token', 1);
        $op->reset;
        my @ends = map { outcome($_) } $browser->finish($requests[0]), $copy->finish($requests[1]);
        return join ', ', @ends, map { fails(client('two', $address)) } 1 .. 3;
    }), '302, 302, 400 provider_invalid_grant, 400 provider_invalid_grant, 429 login_limit',
        'a copy at the same time is refunded');

    is(undisturbed(sub {
        my ($address) = @_;
        my $browser = client('one', $address);
        my $callback = callback_of($browser);
        my @copies = map { $browser->clone } 1 .. 3;
        my @ends = map { outcome(comes($_, $callback)) } $browser, @copies;
        return join ', ', @ends, outcome(client('one', $address)->login(page_of('op')));
    }), '302, 302, 302, 302, 200', 'later copies are refunded');
}

# Pushed requests are charged at the gate.
sub pushed {
    is(undisturbed(sub {
        my ($address) = @_;
        return join ' ', map { outcome(client('one', $address)->login(page_of('pushed'))) } 1 .. 3;
    }), '200 200 200', 'pushed: successful logins, one after the other');

    my $refused;
    is(undisturbed(sub {
        my ($address) = @_;
        $op->clear;
        my $first = client('one', $address);
        my $begun = $first->get(page_of('pushed'));
        log_mark($t);
        $refused = client('one', $address)->get(page_of('pushed'));
        my $requested = $op->count('/par');
        my $end = outcome($first->follow($first->follow($begun)));
        return join ', ', outcome($begun), outcome($refused), $requested, $end,
            outcome(client('one', $address)->get(page_of('pushed')));
    }), '302, 429 login_limit, 1, 302, 302', 'pushed: one in progress has the only token and is refunded');
    like($refused->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'pushed: no token left, Retry-After');
    is($refused->{headers}{'cache-control'}, 'no-store', 'pushed: no token left, Cache-Control');
    is(scalar @{ $refused->{set_cookie} }, 0, 'pushed: no token left, no cookie');
    ok(log_has($t, qr/\[(?:warn|error)\] .*oidc: client exceeded the login limit while beginning a login, provider "pushed"/),
        'pushed: no token left, logged');

    is(undisturbed(sub {
        my ($address) = @_;
        my $failed = fails(client('one', $address), 'pushed');
        return "$failed, " . outcome(client('one', $address)->get(page_of('pushed')));
    }), '400 provider_invalid_grant, 429 login_limit', 'pushed: a failed login is charged');

    is(undisturbed(sub {
        my ($address) = @_;
        client('one', $address)->get(page_of('pushed'));
        return outcome(client('one', $address)->login(page_of('op')));
    }), '200', 'pushed: an abandoned login does not limit logins that are not pushed');

    is(undisturbed(sub {
        my ($address) = @_;
        my $browser = client('one', $address);
        my $callback = callback_of($browser, 'pushed');
        my @ends = map { outcome(comes($_, $callback)) } $browser->clone, $browser->clone, $browser;
        return join ', ', @ends, fails(client('one', $address)), fails(client('one', $address));
    }), '302, 302, 302, 400 provider_invalid_grant, 429 login_limit', 'pushed: copies of its callback are not refunded twice');
}

# The limit of the location applies.
sub of_locations {
    for my $case (
        ['nested', '/off/', '302 302 302', 'off in a location'],
        ['nested', '/inherits/', '302 429 login_limit 429 login_limit', 'inherited by a location'],
        ['inner', '/own/', '302 429 login_limit 429 login_limit', "a location's own"],
        ['inner', page_of('pushed'), '302 302 302', 'off beside a location'])
    {
        my ($server, $page, $expected, $name) = @$case;
        is(undisturbed(sub {
            my ($address) = @_;
            return join ' ', map { outcome(client($server, $address)->get($page)) } 1 .. 3;
        }), $expected, $name);
    }

    # A charge is refunded to the limit that it was taken from.
    is(undisturbed(sub {
        my ($address) = @_;
        return join ' ', map { outcome(client('inner', $address)->login('/own/')) } 1 .. 3;
    }), '200 200 200', "a login of a location is refunded to its bucket");
    is(undisturbed(sub {
        my ($address) = @_;
        my $failed = fails(client('nested', $address), 'pushed');
        my $good = outcome(client('nested', $address)->login('/off/'));
        return "$failed, $good, " . outcome(client('nested', $address)->get(page_of('pushed')));
    }), '400 provider_invalid_grant, 200, 429 login_limit', 'a login that was not charged is not refunded');

    # Subresources of other sites cause no request to the provider.
    is(undisturbed(sub {
        my ($address) = @_;
        my %picture = ('Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-Mode' => 'no-cors', 'Sec-Fetch-Dest' => 'image');
        $op->clear;
        my @ends = map { outcome(client('one', $address, %picture)->get(page_of('pushed'))) } 1 .. 3;
        return join ', ', @ends, $op->count('/par'), outcome(client('one', $address)->login(page_of('pushed')));
    }), '503 login_unasked, 503 login_unasked, 503 login_unasked, 0, 200', 'pushed: an image is not charged');
    is(undisturbed(sub {
        my ($address) = @_;
        my $answer = client('one', $address, 'Sec-Purpose' => 'prefetch')->get(page_of('pushed'));
        return outcome($answer) . ' ' . $answer->{headers}{'cache-control'};
    }), '503 login_unasked no-store', 'pushed: a prefetch is not charged');
}

sub logouts {
    my $refused;
    $op->set(encrypt => { key => 'rsa-2' });
    my $good = $op->logout_token(claims => { sub => 'nobody' });
    $op->set(encrypt => { key => 'rsa-2', parts => { tag => 'flip' } });
    my $forged = $op->logout_token(claims => { sub => 'nobody' });
    $op->reset;

    is(undisturbed(sub {
        my ($address) = @_;
        my @ends = map { posts(client('two', $address), $forged, '/back/sealed') } 1, 2;
        log_mark($t);
        push @ends, posts(client('two', $address), $forged, '/back/sealed');
        push @ends, posts(client('two', $address), $good, '/back/sealed');
        return join ', ', @ends;
    }), '400 logout_token_encryption, 400 logout_token_encryption, 429 logout_limit, 429 logout_limit',
        'two forged logout tokens are charged, then all are refused');
    is(scalar(error_log_lines($t, qr/oidc: logout token/)), 0, 'a refused logout token is not decrypted');
    is(scalar(my @lines = error_log_lines($t,
        qr/\[(?:warn|error)\] .*oidc: client exceeded the logout limit while handling a back-channel logout, provider "sealed"/)),
        2, 'a refused logout token is logged');
    is(posts(client('two', fresh_address()), $good, '/back/sealed'), 200, 'the good one is accepted from another client');

    is(undisturbed(sub {
        my ($address) = @_;
        posts(client('one', $address), 'x');
        $refused = sends(client('one', $address), 'x');
        return outcome($refused);
    }), '429 logout_limit', 'a malformed logout token is charged');
    like($refused->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'logout_limit: Retry-After');
    is($refused->{headers}{'cache-control'}, 'no-store', 'logout_limit: Cache-Control');

    is(undisturbed(sub {
        my ($address) = @_;
        my @good = map { posts(client('two', $address), $op->logout_token(claims => { sub => 'nobody' })) } 1 .. 5;
        return join ', ', @good, map { posts(client('two', $address), 'x') } 1 .. 3;
    }), '200, 200, 200, 200, 200, 400 logout_token_malformed, 400 logout_token_malformed, 429 logout_limit',
        'good logout tokens are refunded');

    is(undisturbed(sub {
        my ($address) = @_;
        my $token = $op->logout_token(claims => { sub => 'nobody' });
        return join ', ', map { posts(client('two', $address), $token) } 1 .. 4;
    }), '200, 400 logout_token_used, 400 logout_token_used, 429 logout_limit', 'a replayed logout token is charged');

    is(undisturbed(sub {
        my ($address) = @_;
        posts(client('one', $address), 'x');
        return outcome(client('one', $address)->login(page_of('op')));
    }), 200, 'a logout is not charged to logins');

    is(undisturbed(sub {
        my ($address) = @_;
        fails(client('one', $address));
        return posts(client('one', $address), $op->logout_token(claims => { sub => 'nobody' }));
    }), 200, 'a login is not charged to logouts');
}

sub all_workers {
    is(undisturbed(sub {
        my ($address) = @_;
        fails(client('one', $address));
        posts(client('one', $address), 'x');
        return $workers->each(sub {
            outcome(client('one', $address)->login(page_of('op'))) . ', ' . posts(client('one', $address), 'x') });
    }), '429 login_limit, 429 logout_limit 429 login_limit, 429 logout_limit', 'a limit applies in all workers');

    is(undisturbed(sub {
        my ($address) = @_;
        return $workers->each(sub { fails(client('two', $address)) }) . ' '
            . $workers->each(sub { fails(client('two', $address)) });
    }), '400 provider_invalid_grant 400 provider_invalid_grant 429 login_limit 429 login_limit', 'all workers charge one bucket');

    is(undisturbed(sub {
        my ($address) = @_;
        fails(client('one', $address));
        posts(client('one', $address), 'x');
        $workers->reload;
        return join ', ', outcome(client('one', $address)->login(page_of('op'))), posts(client('one', $address), 'x'),
            outcome(client('one', fresh_address())->login(page_of('op')));
    }), '429 login_limit, 429 logout_limit, 200', 'a limit outlives a reload');

    is(undisturbed(sub {
        my ($address) = @_;
        my $browser = client('one', $address);
        my $callback = callback_of($browser);
        $op->clear->set(respond => { '/token' => { hold => 1 } });
        my $request = starts($browser, $callback);
        $op->wait_for('/token', 1);
        $workers->reload;
        my $refused = outcome(client('one', $address)->login(page_of('op')));
        $op->reset;
        my $end = outcome($browser->finish($request));
        return join ', ', $refused, $end, outcome(client('one', $address)->login(page_of('op')));
    }), '429 login_limit, 302, 200', 'a login during a reload is refunded');
}

# The default: 200 logins and 60 logouts at once, and as many each minute.
sub default_limit {
    my $address = fresh_address();
    my ($began, $granted) = (time, 0);
    while ($granted < 600) {
        my $outcome = fails(client('default', $address));
        last if $outcome eq '429 login_limit';
        die "an unexpected end: $outcome" if $outcome ne '400 provider_invalid_grant';
        $granted++;
    }
    cmp_ok($granted, '>=', 200, 'by default 200 logins at once');
    cmp_ok($granted, '<=', 201 + (time - $began) * 200 / 60, 'by default not many more');

    ($began, $granted) = (time, 0);
    $granted++ while $granted < 200 && posts(client('default', $address), 'x') eq '400 logout_token_malformed';
    cmp_ok($granted, '>=', 60, 'by default 60 logouts at once');
    cmp_ok($granted, '<=', 61 + (time - $began), 'by default not many more');
    is(outcome(client('default', fresh_address())->login(page_of('op'))), 200, 'by default other clients are not affected');
}

# More clients than the zone may have room for.
sub many_clients {
    log_mark($t);
    my @requests = map {
        my ($head, $form) = @{ post_of('/back', 'logout_token=x') };
        [$head =~ s/Host: \S+/Host: keyed.localhost/r . "X-Key: many-$_\r\n", $form];
    } 1 .. CLIENTS;
    my %count;
    $count{$_}++ for map { pipelined([$_]) } @requests;
    is_deeply(\%count, { 400 => CLIENTS }, 'many clients: each has a token of its own');
    is(scalar(error_log_lines($t, qr/\[(?:error|crit|alert|emerg)\]/)), 0, 'many clients: no error in the log');
    is(undisturbed(sub {
        my ($address) = @_;
        fails(client('one', $address));
        return outcome(client('one', $address)->login(page_of('op')));
    }), '429 login_limit', 'many clients: the next one is known');
    is(outcome(client('one', fresh_address())->login(page_of('op'))), 200, 'many clients: a login');
}

# Tokens return with time.
sub in_time {
    my $address = fresh_address();
    fails(client('second', $address));
    posts(client('second', $address), 'x');
    sleep 1.2;
    is(outcome(client('second', $address)->login(page_of('op'))), 200, 'a second later: a login');
    is(posts(client('second', $address), 'x'), '400 logout_token_malformed', 'a second later: a logout');
}

# In http, inherited by servers without an oidc_limit.
sub outer_level {
    $workers->reload(configuration("    $one;", map { server($_, $server{$_}) } qw/ default two off inner /));
    for my $case (
        ['default', page_of('op'), '400 provider_invalid_grant, 429 login_limit, 429 login_limit', 'a server inherits it'],
        ['two', page_of('op'), '400 provider_invalid_grant, 400 provider_invalid_grant, 429 login_limit', 'a server has its own'],
        ['off', page_of('op'), join(', ', ('400 provider_invalid_grant') x 3), 'a server has none'])
    {
        my ($server, $page, $expected, $name) = @$case;
        is(undisturbed(sub {
            my ($address) = @_;
            return join ', ', map { fails(client($server, $address)) } 1 .. 3;
        }), $expected, "in http: $name");
    }
}

# ------------------------------------------------------------------------------------------------------

# The result of a case with a fresh client.
sub undisturbed {
    my ($case) = @_;

    for (1 .. 3) {
        my $began = time;
        my $said = $case->(fresh_address());
        $op->reset;
        return $said if time - $began < BOUND;
    }
    return 'the machine is too slow';
}

sub fresh_address { return sprintf '10.9.%d.%d', ++$clients / 250, $clients % 250 + 1 }

sub client {
    my ($server, $address, %headers) = @_;

    return browser(base => "http://$server.localhost:" . port(8080),
        headers => { 'X-Forwarded-For' => $address, %headers });
}

# Requests of this browser reach nginx through a Unix socket.
sub over {
    my ($socket, $browser) = @_;

    return $browser->route(8080 => $t->testdir . "/$socket");
}

# A failed login: its outcome.
sub fails {
    my ($browser, $name, $knobs) = @_;

    $op->set(%{ $knobs || $failures[0][1] });
    my $answer = $browser->login(page_of($name // 'op'));
    $op->reset;
    return outcome($answer);
}

# The provider's response, which leads to the callback: its URL, or a page with a form.
sub callback_of {
    my ($browser, $name) = @_;

    my $answer = $browser->follow($browser->get(page_of($name // 'op')));
    return $answer->{location} // $answer;
}

sub comes {
    my ($browser, $callback) = @_;

    return ref $callback ? $browser->submit($callback) : $browser->get($callback);
}

sub starts {
    my ($browser, $callback) = @_;

    return ref $callback ? $browser->start_form($callback) : $browser->start($callback);
}

# Sends a logout token from that client.
sub sends {
    my ($client, $token, $uri) = @_;

    return $op->send_logout_token($uri // '/back', $token, %$client{qw/ base headers routes /});
}

sub posts { return outcome(sends(@_)) }

sub configuration {
    my ($directives, @servers) = @_;

    my $posted = 'client_key client.key; client_auth client_secret_basic; id_token_encrypted_alg RSA-OAEP';
    my $conf = nginx_conf($directives, <<'EOF',
    set_real_ip_from 127.0.0.1;
    real_ip_header   X-Forwarded-For;

    keepalive_requests          10000;
    large_client_header_buffers 4 32k;
    server_names_hash_bucket_size 128;

    server {
        listen 127.0.0.1:8082;
        return 200 application;
    }
EOF
        oidc_provider('op', 'backchannel_logout_uri /back; logout_uri /logout; read_timeout 60s'),
        oidc_provider('posts', 'response_mode form_post; read_timeout 60s'),
        oidc_provider('userinfo', 'userinfo on; read_timeout 60s'),
        oidc_provider('pushed', 'pushed_authorization on; read_timeout 60s'),
        oidc_provider('sealed', "backchannel_logout_uri /back/sealed; $posted"),
        @servers);

    # without nginx_conf's own oidc_limit
    return $conf =~ s/^    oidc_limit off;\n//mr;
}

sub server {
    my ($name, $directives) = @_;

    return <<"EOF";
    server {
        listen      127.0.0.1:8080;
        server_name $name.localhost;

        add_header X-Error \$oidc_error always;

        $directives

        location / {
            auth_oidc  \$arg_op;
            proxy_pass http://127.0.0.1:8082;
        }
    }
EOF
}
