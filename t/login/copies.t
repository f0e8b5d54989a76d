#!/usr/bin/perl

# Tests for copies of a callback, sent at the same time as the first or later: a copy with the same code
# gets the session's cookies; one that has only the state and the login cookie, which can be planted, gets
# nothing.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site;
use Test::OIDC::URL qw/ query_string /;

my @names = qw/ cookie memory redis posted userinfo /;

# Not a copy: the difference, and how it changes the parameters of the callback.
my @no_copies = (
    ['another code', sub { $_[0]{code} = 'x' x length $_[0]{code} }],
    ['a code of another login', sub { $_[0]{code} = query(callback_of('cookie'))->{code} }],
    ['a code with a letter changed at its end', sub { substr($_[0]{code}, -1) =~ tr/AB-Za-z0-9_-/BA/ }],
    ['a code with a letter changed at its start', sub { substr($_[0]{code}, 0, 1) =~ tr/AB-Za-z0-9_-/BA/ }],
    ['a code in another case', sub { $_[0]{code} =~ tr/A-Za-z/a-zA-Z/ }],
    ['a code with a letter more', sub { $_[0]{code} .= 'A' }],
    ['a code with a letter less', sub { chop $_[0]{code} }],
    ['a code with a space behind it', sub { $_[0]{code} .= ' ' }],
    ['a code with a NUL behind it', sub { $_[0]{code} .= "\0" }],
    ['half the code', sub { substr($_[0]{code}, length($_[0]{code}) / 2) = '' }],
    ['an empty code', sub { $_[0]{code} = '' }],
    ['no code', sub { delete $_[0]{code} }],
    ['the code twice', sub { $_[0]{code} = [ ($_[0]{code}) x 2 ] }],
    ['an error in the place of the code', sub { delete $_[0]{code}; $_[0]{error} = 'access_denied' }],
    ['an error beside the code', sub { $_[0]{error} = 'access_denied' }],
    ['an error that is the code', sub { $_[0]{error} = delete $_[0]{code} }],
);

# A copy.
my @copies = (
    ['every parameter the same', sub { }],
    ['a parameter more', sub { $_[0]{session_state} = 'x' }],
);

# Why a login fails: knobs of the provider, the outcome.
my @failures = (
    ['a code that the provider refuses',
        { respond => { '/token' => { status => 400, body => { error => 'invalid_grant' } } } },
        '400 provider_invalid_grant'],
    ['a provider that fails', { respond => { '/token' => { status => 503 } } }, qr/^50\d /],
    ['an ID token that is refused', { id_token => { claims => { iss => 'https://evil.example.com' } } },
        '403 id_token_issuer'],
    ['no connection', { respond => { '/token' => { close => 'before_headers' } } }, qr/^50\d /],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->has_daemon('redis-server')
    ->plan(@names * (3 * @no_copies + 2 * @copies + 3 * @failures + 14) + 4);

my $op = provider($t, 8081);
my $redis = redis($t, 8379);

$t->write_file_expand('nginx.conf', nginx_conf(<<'EOF',
    oidc_session_store memory { type memory; }
    oidc_session_store redis {
        type     redis;
        hostname 127.0.0.1;
        port     %%PORT_8379%%;
    }

    large_client_header_buffers 4 32k;
EOF
    (map { oidc_provider($_, "session_store $_") } qw/ cookie memory redis /),
    oidc_provider('posted', 'response_mode form_post'),
    oidc_provider('userinfo', 'userinfo on'),
    oidc_provider('wide', 'cookie_domain example.com'),
    site('user $oidc_claim_sub', <<'EOF')));
        add_header X-User $oidc_claim_sub;
    }

    server {
        listen      127.0.0.1:8080;
        server_name app.example.com;

        location / {
            auth_oidc  wide;
            add_header X-User $oidc_claim_sub;
            proxy_pass http://127.0.0.1:8080/app;
        }
EOF
$t->run();

for my $name (@names) {
    afterwards($name);
    at_once($name);
    failed($name);
}
planted();

# Later

sub afterwards {
    my ($name) = @_;

    my ($browser, $callback) = begun($name);
    my $copy = $browser->clone;
    is(outcome(comes($browser, $callback)), leads_on($name), "$name: the callback");
    is(user($name, $browser), 'alice', "$name: the user is logged in");
    my $session = $browser->cookie($name);
    $op->clear;

    for my $case (@no_copies) {
        my ($what, $change) = @$case;
        my $visitor = $copy->clone;
        my $answer = comes($visitor, changed($callback, $change));
        like($answer->{status}, qr/^4\d\d$/, "$name, afterwards, $what: refused");
        is(session_in($name, $answer), '', "$name, afterwards, $what: no session");
    }

    for my $case (@copies) {
        my ($what, $change) = @$case;
        my $visitor = $copy->clone;
        my $answer = comes($visitor, changed($callback, $change));
        is(session_in($name, $answer), $session, "$name, afterwards, $what: the session");
    }
    is($op->count('/token'), 0, "$name, afterwards: no token request");
    is(user($name, $browser), 'alice', "$name, afterwards: the session remains");

    # any callback leaves the session of a logged-in user
    my $answer = comes($browser, changed($callback, $no_copies[0][1]));
    is(session_in($name, $answer), '', "$name, afterwards, another code with a session: no other session");
    is(user($name, $browser), 'alice', "$name, afterwards, another code with a session: it remains");

    my $stranger = browser();
    is(session_in($name, comes($stranger, $callback)), '',
        "$name, afterwards, the code without the login cookie: no session");
}

# While the first is in progress

sub at_once {
    my ($name) = @_;

    my ($browser, $callback) = begun($name);
    my @cases = (@no_copies, @copies);
    my @visitors = map { $browser->clone } @cases;

    $op->clear->set(respond => { '/token' => { hold => 1 } });
    my $first = starts($browser, $callback);
    $op->wait_for('/token', 1);
    my @requests = map { starts($visitors[$_], changed($callback, $cases[$_][1])) } 0 .. $#cases;
    browser()->get('/app');    # answered after the copies are read
    is($op->count('/token'), 1, "$name, at once: one token request");
    $op->reset;

    is(outcome($browser->finish($first)), leads_on($name), "$name, at once: the first");
    my $session = $browser->cookie($name);
    is(user($name, $browser), 'alice', "$name, at once: the user is logged in");

    for my $i (0 .. $#cases) {
        my $answer = $visitors[$i]->finish($requests[$i]);
        my $expected = $i < @no_copies ? '' : $session;
        is(session_in($name, $answer), $expected,
            "$name, at once, $cases[$i][0]: " . ($expected ? 'the session' : 'no session'));
    }

    # The first is a copy of nothing. The right code after it is not a copy of the first, either.
    ($browser, $callback) = begun($name);
    $op->clear->set(respond => { '/token' => { hold => 1 } });
    my $other = $browser->clone;
    $first = starts($other, changed($callback, $no_copies[0][1]));
    $op->wait_for('/token', 1);
    my $second = starts($browser, $callback);
    browser()->get('/app');
    $op->reset;
    is(session_in($name, $other->finish($first)), '', "$name, at once, another code first: no session");
    is(session_in($name, $browser->finish($second)), '',
        "$name, at once, another code first: no session for the right one after it");
    is($op->count('/token'), 1, "$name, at once, another code first: the state is used");
}

# After a failed login

sub failed {
    my ($name) = @_;

    for my $case (@failures) {
        my ($what, $knobs, $expected) = @$case;
        my ($browser, $callback) = begun($name);
        my $copy = $browser->clone;
        $op->clear->set(%$knobs);
        like(outcome(comes($browser, $callback)), ref $expected ? $expected : qr/^\Q$expected\E$/,
            "$name, $what: fails");
        $op->reset;
        is(outcome(comes($copy, $callback)), '400 state_used', "$name, $what: a copy fails too");
        is($copy->cookie($name) // '', '', "$name, $what: a copy gets no session");
    }
    is($op->count('/token'), 1, "$name, after a failure: no token request for a copy");
}

# An attacker plants the cookie of the attacker's own login for all hosts of a domain, and reads the state of
# the victim's login in a log or a Referer.
sub planted {
    my $attacker = browser(base => 'http://app.example.com:' . port(8080));
    $attacker->get('/');
    my @login = map { "$_->{name}=$_->{value}; Path=/; Domain=example.com" }
        grep { $_->{name} =~ /_login_/ } $attacker->cookies;

    my $victim = browser(base => 'http://app.example.com:' . port(8080));
    $victim->set_cookie($_) for @login;
    my $callback = $victim->follow($victim->get('/'))->{location};
    is($victim->login($callback)->{headers}{'x-user'}, 'alice', 'a planted cookie: the victim logs in');

    for my $i (0, 13) {
        my $answer = $attacker->clone->get(changed($callback, $no_copies[$i][1])->{url});
        is(session_in('wide', $answer), '', "a planted cookie, $no_copies[$i][0]: no session");
    }
    my $stranger = $attacker->clone;
    $stranger->get(changed($callback, $no_copies[0][1])->{url});
    is($stranger->get('/')->{status}, 302, 'a planted cookie: no session');
}

# ------------------------------------------------------------------------------------------------------

# A browser, and the callback of its login: a URL, or URL and form.
sub begun {
    my ($name) = @_;

    my $browser = browser();
    my $answer = $browser->follow($browser->get(page_of($name)));
    return ($browser, $answer->{location}) if $name ne 'posted';

    my ($action) = $answer->{body} =~ /action="([^"]*)"/;
    my %form = map { s/&#(\d+);/chr $1/ger } $answer->{body} =~ /name="([^"]*)" value="([^"]*)"/g;
    return ($browser, { url => $action =~ s/&#(\d+);/chr $1/ger, form => \%form });
}

sub callback_of { return (begun(@_))[1] }

# The callback with its parameters changed.
sub changed {
    my ($callback, $change) = @_;

    my $form = ref $callback ? { %{ $callback->{form} } } : query($callback);
    $change->($form);
    return { url => $callback->{url}, form => $form } if ref $callback;
    return { url => $callback =~ s/\?.*//r . '?' . query_string($form) };
}

sub starts {
    my ($browser, $callback) = @_;

    return $browser->start($callback) unless ref $callback;
    return $browser->start($callback->{url}) unless $callback->{form};
    return $browser->start($callback->{url}, method => 'POST', content => $callback->{form});
}

sub comes {
    my ($browser, $callback) = @_;

    return $browser->finish(starts($browser, $callback));
}

sub leads_on { return $_[0] eq 'posted' ? '303' : '302' }

# The session cookie that a response sets, or ''.
sub session_in {
    my ($name, $answer) = @_;

    my ($value) = map { /^$name=([^;]+)/ } @{ $answer->{set_cookie} };
    return $value // '';
}

sub user {
    my ($name, $browser) = @_;

    return $browser->get(page_of($name))->{headers}{'x-user'} // 'nobody';
}
