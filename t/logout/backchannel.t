#!/usr/bin/perl

# Tests for backchannel_logout_uri (Back-Channel Logout 1.0): a logout token ends the sessions that it names, in all
# workers and stores. Each refused token breaks one rule and ends nothing.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::JWT qw/ jwt_make /;
use Test::OIDC::Keys;
use Test::OIDC::Sessions qw/ logged_in /;
use Test::OIDC::Site;
use Test::OIDC::Workers;

my $issuer = 'http://127.0.0.1:' . port(8081);
my $secret = 'secret-of-at-least-thirty-two-bytes';
my $event = 'http://schemas.openid.net/event/backchannel-logout';
my $pem = Test::OIDC::Keys::public_pem('rsa');

# Accepted tokens: name, recipe

my @accepted = (
    ['by sid and sub', {}],
    ['by sid alone', { claims => { sub => undef } }],
    ['by sub alone', { claims => { sid => undef } }],
    ['no typ', { header => { typ => undef } }],
    ['typ JWT', { header => { typ => 'JWT' } }],
    ['typ in capitals', { header => { typ => 'LOGOUT+JWT' } }],
    ['typ in full', { header => { typ => 'application/logout+jwt' } }],
    ['ES256', { alg => 'ES256' }],
    ['EdDSA', { alg => 'EdDSA' }],
    ['Ed25519', { alg => 'Ed25519' }],
    ['no kid', { header => { kid => undef } }],
    ['aud an array', { claims => { aud => ['client'] } }],
    ['expired within clock_skew', { claims => { exp => now(-30) } }],
    ['issued in the future within clock_skew', { claims => { iat => now(30) } }],
    ['issued almost an hour ago', { claims => { iat => now(-3500) } }],
    ['no exp', { claims => { exp => undef } }],
    ['no exp, issued almost five minutes ago', { claims => { exp => undef, iat => now(-290) } }],
    ['an event with a member', { claims => { events => { $event => { reason => 'x' } } } }],
    ['another event beside it', { claims => { events => { $event => {}, 'https://example.com/e' => {} } } }],
    ['unknown claims', { claims => { trace => [1], sub_id => { format => 'opaque' } } }],
    ['a jti of 255 characters', { claims => { jti => 'x' x 255 } }],
    ['null for sub, nonce and nbf', { claims => { sub => undef },
        claims_json => '{%%*%%,"sub":null,"nonce":null,"nbf":null}' }],
    ['null for typ', { header => { typ => undef }, header_json => '{%%*%%,"typ":null}' }],
);

sub unlisted { return qq{is signed with "$_[0]", which id_token_alg does not list} }

# Refused tokens: name, recipe, error code after logout_token_, log sentence after "logout token "

my $bad_signature = 'has a bad signature';
my $no_event = 'has no back-channel logout event';
my $no_jti = 'has no jti of 1 to 255 ASCII characters';
my $odd_name = 'has a sub or sid that is not 1 to 255 ASCII characters';
my $expired = qr/expired \d+ seconds ago/;

my @refused = (
    ['typ of an access token', { header => { typ => 'at+jwt' } }, type => 'has a wrong type "at+jwt"'],
    ['typ of another event', { header => { typ => 'secevent+jwt' } }, type => 'has a wrong type "secevent+jwt"'],
    ['typ empty', { header => { typ => '' } }, type => 'has a wrong type ""'],
    ['typ a number', { header => { typ => 1 } }, type => qr/has a wrong type ".*"/],

    ['alg none', { alg => 'none' }, alg => unlisted('none')],
    ['alg HS256', { alg => 'HS256', header => { kid => undef } }, alg => unlisted('HS256')],
    ['alg HS256 with the public key', { alg => 'HS256', secret => $pem, header => { kid => 'rsa' } },
        alg => unlisted('HS256')],
    ['alg unknown', { header => { alg => 'RS1' } }, alg => unlisted('RS1')],
    ['a critical extension', { header => { crit => ['exp'] } }, crit => 'has a critical extension'],
    ['an algorithm without a key', { alg => 'ES384', header => { kid => undef } },
        key => 'is signed with ES384, for which the key set has no key'],
    ['a kid that is a number', { header => { kid => 7 } }, malformed => 'has a kid that is not a string of at most 1024 bytes'],
    ['a payload that is not encoded', { header => { b64 => \0 } },
        malformed => 'has a header of another kind of token'],
    ['no alg', { header => { alg => undef } }, malformed => 'has no alg'],

    ['a bit of the signature turned', { signature => 'flip' }, signature => $bad_signature],
    ['no signature', { signature => 'empty' }, signature => $bad_signature],
    ['a signature of zeros', { signature => 'zeros' }, signature => $bad_signature],
    ['another key', { key => 'rsa-2', header => { kid => 'rsa' } }, signature => $bad_signature],
    ['a key in the header', { key => 'rsa-2', header => { kid => 'rsa', jwk => Test::OIDC::Keys::public_jwk('rsa-2') } },
        signature => $bad_signature],

    ['no JWT', { token => 'x' }, malformed => 'is not a JWS of three parts'],
    ['an empty one', { token => '' }, malformed => 'is not a JWS of three parts'],
    ['two parts', { token => '%%header%%.%%claims%%' }, malformed => 'is not a JWS of three parts'],
    ['no base64url', { token => '%%header%%.%%claims%%=.%%signature%%' }, malformed => 'is not base64url'],
    ['encrypted garbage', { token => '%%header%%.x.x.x.x' }, malformed => 'is not a JWS of three parts'],
    ['a header that is no JSON', { header_json => 'x' }, malformed => 'has malformed JSON in its header'],
    ['claims that are no JSON', { claims_json => '{' }, malformed => 'has malformed JSON in its claims'],
    ['claims twice', { claims_json => '{%%*%%,"sub":"alice"}' },
        malformed => 'has JSON with a duplicate member in its claims'],

    ['iss of another provider', { claims => { iss => 'https://evil.example.com' } },
        issuer => 'has a wrong issuer "https://evil.example.com"'],
    ['iss missing', { claims => { iss => undef } }, issuer => 'has a wrong issuer ""'],
    ['iss with a slash more', { claims => { iss => "$issuer/" } }, issuer => qq{has a wrong issuer "$issuer/"}],

    ['aud of another client', { claims => { aud => 'other' } }, audience => 'is for another audience, "\x22other\x22"'],
    ['aud missing', { claims => { aud => undef } }, audience => 'is for another audience, ""'],
    ['aud with a second, untrusted one', { claims => { aud => [qw/ client other /] } },
        audience => 'is also for an untrusted audience, "[\x22client\x22,\x22other\x22]"'],

    ['exp missing, issued over six minutes ago', { claims => { exp => undef, iat => now(-370) } },
        expired => qr/without exp was issued \d+ seconds ago/],
    ['exp and iat missing', { claims => { exp => undef, iat => undef } }, issued_at => 'has no iat'],
    ['exp missing, iat in the future', { claims => { exp => undef, iat => now(90) } },
        issued_at => qr/was issued \d+ seconds in the future/],
    ['exp an object', { claims => { exp => {} } }, expired => 'has no exp'],
    ['exp a string', { claims => { exp => '99999999999' } }, expired => 'has no exp'],
    ['expired', { claims => { exp => now(-62) } }, expired => $expired],
    ['not valid yet', { claims => { nbf => now(90) } }, not_yet_valid => 'is not valid yet'],
    ['iat missing', { claims => { iat => undef } }, issued_at => 'has no iat'],
    ['iat in the future', { claims => { iat => now(90) } },
        issued_at => qr/was issued \d+ seconds in the future/],
    ['iat over an hour ago', { claims => { iat => now(-3662) } }, issued_at => qr/was issued \d+ seconds ago/],

    ['jti missing', { claims => { jti => undef } }, jti => $no_jti],
    ['jti empty', { claims => { jti => '' } }, jti => $no_jti],
    ['jti a number', { claims => { jti => 7 } }, jti => $no_jti],
    ['jti of 256 characters', { claims => { jti => 'x' x 256 } }, jti => $no_jti],

    ['events missing', { claims => { events => undef } }, events => $no_event],
    ['events empty', { claims => { events => {} } }, events => $no_event],
    ['another event', { claims => { events => { "${event}x" => {} } } }, events => $no_event],
    ['events a string', { claims => { events => $event } }, events => $no_event],
    ['events an array', { claims => { events => [$event] } }, events => $no_event],
    (map { ["the event $_->[0]", { claims => { events => { $event => $_->[1] } } }, events => $no_event] }
        ['an array', []], ['a string', ''], ['true', \1], ['a number', 1], ['null', undef]),

    ['a nonce', { claims => { nonce => 'n' } }, nonce => 'has a nonce'],

    ['neither sub nor sid', { claims => { sub => undef, sid => undef } }, subject => 'has neither sub nor sid'],
    ['sub a number', { claims => { sub => 1 } }, subject => $odd_name],
    ['sub empty', { claims => { sub => '' } }, subject => $odd_name],
    ['sid an array', { claims => { sid => ['x'] } }, subject => $odd_name],
    ['sid of 256 characters', { claims => { sid => 'x' x 256 } }, subject => $odd_name],
    ['sub and sid null', { claims => { sub => undef, sid => undef }, claims_json => '{%%*%%,"sub":null,"sid":null}' },
        subject => 'has neither sub nor sid'],
);

# Malformed requests, in which %%token%% is a valid token: name, method, content, headers, log sentence

my $none = 'client sent no logout_token';
my %form = ('Content-Type' => 'application/x-www-form-urlencoded');
my @malformed = (
    ['no body', 'POST', '', {%form}, $none],
    ['another parameter', 'POST', 'token=%%token%%', {%form}, $none],
    ['the token twice', 'POST', 'logout_token=%%token%%&logout_token=%%token%%', {%form},
        'client sent parameter logout_token twice'],
    ['a broken escape', 'POST', 'logout_token=%%token%%&x=%zz', {%form},
        'client sent a parameter that is not form-urlencoded'],
    ['JSON', 'POST', '{"logout_token":"%%token%%"}', { 'Content-Type' => 'application/json' }, $none],
    ['the token alone', 'POST', '%%token%%', { 'Content-Type' => 'application/logout+jwt' }, $none],
    ['a form of another type', 'POST', 'logout_token=%%token%%', { 'Content-Type' => 'text/plain' }, $none],
    ['no type', 'POST', 'logout_token=%%token%%', {}, $none],
    ['a form of 100 KB', 'POST', 'logout_token=%%token%%&x=' . 'x' x 100_000, {%form}, 'client sent an oversized form'],
    ['a token of 100 KB', 'POST', 'logout_token=%%token%%' . 'x' x 100_000, {%form}, 'client sent an oversized form'],
    (map { ["method $_", $_, undef, {}, qq{client sent unsupported method "$_"}] } qw/ GET HEAD /),
    (map { ["method $_", $_, 'logout_token=%%token%%', {%form}, qq{client sent unsupported method "$_"}] } qw/ PUT DELETE PATCH /),
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)
    ->plan(3 * @accepted + 2 * @refused + 2 * @malformed + 85);

my $op = provider($t, 8081, sid => 1);
my $plain = provider($t, 8082);
my $cold = provider($t, 8083);
my $gone = provider($t, 8084);

my %plain = (issuer => 'http://127.0.0.1:8082');
my %cold = (issuer => 'http://127.0.0.1:8083');

$t->write_file('client.key', Test::OIDC::Keys::private_key('rsa-2')->export_key_pem('private'));

my $conf = nginx_conf(
    <<'EOF',
    oidc_state_zone 128k;
    oidc_session_store memory { type memory; }
    keepalive_requests 10000;
    lingering_timeout  300ms;
EOF
    oidc_provider('back', 'backchannel_logout_uri /back'),
    oidc_provider('stored', 'backchannel_logout_uri /back/stored; session_store memory'),
    oidc_provider('strict', 'backchannel_logout_uri /back/strict; id_token_alg RS256'),
    oidc_provider('hs', 'backchannel_logout_uri /back/hs; id_token_alg RS256 HS256'),
    oidc_provider('sealed', 'backchannel_logout_uri /back/sealed; client_key client.key; '
        . 'client_auth client_secret_basic; id_token_encrypted_alg RSA-OAEP'),
    oidc_provider('plain', 'backchannel_logout_uri /back/plain', %plain),
    oidc_provider('cold', 'backchannel_logout_uri /back/cold; ' . SHORT_TIMEOUTS, %cold),
    oidc_provider('gone', 'backchannel_logout_uri /back/gone', issuer => 'http://127.0.0.1:8084'),
    oidc_provider('one', 'backchannel_logout_uri /back/both'),
    oidc_provider('other', 'backchannel_logout_uri /back/both', %plain),
    site('user $oidc_claim_sub', <<'EOF'));
        location = /back        { deny all; return 404; }
        location = /back/stored { auth_oidc stored; }
EOF

# Do not read the system's certificates for every oidc_provider.
$ENV{SSL_CERT_FILE} = '/dev/null';

my $workers = Test::OIDC::Workers->start($t, $conf);
log_mark($t);

# A token ends the sessions that it names, and no others.

my $browser = user('back');
for my $case (@accepted) {
    my ($name, $recipe) = @$case;
    is(summary(send_token(logout_token(%$recipe))), '200 no-store', "$name: 200, not stored");
    is($browser->get(page_of('back'))->{status}, 302, "$name: the session has ended");

    $op->clear;
    $browser->forget('back_login_rounds');    # repeated logins would be a loop
    is($browser->login(page_of('back'))->{status}, 200, "$name: a new login succeeds");
}
is(scalar(error_log_lines($t, qr/oidc:/)), 0, 'accepted tokens: nothing is logged');

my ($first, $second, $third) = map { user('back') } 1 .. 3;
my $copy = $third->clone;
my $answer = send_token(logout_token());
is_deeply($answer->{set_cookie}, [], 'sid and sub: no cookie is set');
is(in_every_worker($copy, 'back'), '302 302', 'sid and sub: the session has ended in every worker');
is(in_every_worker($first, 'back'), '200 200', 'sid and sub: other sessions of the user continue');

user('back');
send_token(logout_token(claims => { sub => undef }));
is(in_every_worker($second, 'back'), '200 200', 'sid alone: other sessions continue');

send_token(logout_token(claims => { sub => 'mallory', sid => undef }));
is(in_every_worker($second, 'back'), '200 200', 'sub of another user: all sessions continue');

$op->set(user => { sub => 'bob' });
my $bob = user('back');
$op->set(user => { sub => 'alice' });
is(summary(send_token(logout_token(claims => { sub => 'alice', sid => undef }))), '200 no-store', 'sub alone: 200');
is(in_every_worker($first, 'back'), '302 302', 'sub alone: a session has ended');
is(in_every_worker($second, 'back'), '302 302', q{sub alone: the user's other session has ended});
is(in_every_worker($bob, 'back'), '200 200', 'sub alone: a session of another user continues');
$first->login(page_of('back'));
is(in_every_worker($first, 'back'), '200 200', 'sub alone: a later login is valid in every worker');

is(summary(send_token(logout_token(claims => { sid => 'unknown', sub => undef }))), '200 no-store',
    'an unknown sid: 200');
send_token(logout_token(claims => { sid => 'unknown', sub => 'bob' }));
is(in_every_worker($bob, 'back'), '200 200', 'sub with an unknown sid: a session with a sid continues');
send_token(logout_token(claims => { sid => 'bob', sub => undef }));
send_token(logout_token(claims => { sid => undef, sub => $op->last_login->{sid} }));
is(in_every_worker($bob, 'back'), '200 200', 'sub as sid, sid as sub: the session continues');

# Sessions without a sid, and sessions in a store

my @alices = map { user('plain') } 1, 2;
$plain->set(user => { sub => 'bob' });
my $other = user('plain');
is(send_token($plain->logout_token(claims => { sid => 'x', sub => 'alice' }), 'plain')->{status}, 200,
    'sessions without a sid: a token with a sid is accepted');
is(join(' ', map { in_every_worker($_, 'plain') } @alices, $other), '302 302 302 302 200 200',
    'sessions without a sid: all sessions of the user have ended');

my ($kept, $ended) = (user('stored'), user('stored'));
send_token(logout_token(), 'stored');
is(in_every_worker($ended, 'stored'), '302 302', 'a stored session has ended');
is(in_every_worker($kept, 'stored'), '200 200', 'another stored session continues');
$workers->reload;
is(in_every_worker($ended, 'stored'), '302 302', 'after a reload: the stored session has ended');
is(in_every_worker($copy, 'back'), '302 302', 'after a reload: the session in a cookie has ended');
is(in_every_worker($kept, 'stored') . ' ' . in_every_worker($bob, 'back'), '200 200 200 200',
    'after a reload: other sessions continue');

# Unknown keys: each token causes one request for the key set; at most four in a burst.

$browser = user('back');
$op->clear;
log_mark($t);
my $began = time;
$answer = send_token(logout_token_of($browser, key => 'rsa-2'));
is(summary($answer), '400 logout_token_key no-store', 'an unknown key');
is($op->count('/jwks'), 1, 'an unknown key: the key set is requested once');
ok(log_has($t, complaint('logout token names an unknown key "rsa-2"')), 'an unknown key: logged');
is($browser->get(page_of('back'))->{status}, 200, 'an unknown key: the session continues');

$op->set(jwks => [qw/ rsa rsa-2 ec-256 /]);
is(summary(send_token(logout_token_of($browser, key => 'rsa-2'))), '200 no-store',
    'a new key: the token is accepted');
is($op->count('/jwks'), 2, 'a new key: the key set is requested once');
is($browser->get(page_of('back'))->{status}, 302, 'a new key: the session has ended');

$op->clear->set(jwks => [qw/ rsa ec-256 ed25519 /]);
send_token(logout_token_of($browser, key => 'rsa-1024', header => { kid => "unknown-$_" })) for 1 .. 6;
cmp_ok($op->count('/jwks'), '<=', 2 + (time - $began) / 15,
    'many unknown keys: the key set is not requested each time');

# Invalid logout tokens end nothing.

$browser = user('back');
for my $case (@refused) {
    my ($name, $recipe, $word, $sentence) = @$case;
    $sentence = quotemeta $sentence unless ref $sentence;
    my $token = logout_token_of($browser, %$recipe);
    log_mark($t);
    is(summary(send_token($token)) . ' ' . $browser->get(page_of('back'))->{status},
        "400 logout_token_$word no-store 200", "$name: refused, the session continues");
    ok(log_has($t, complaint(qr/logout token $sentence/)), "$name: logged");
}

my $id_token = $browser->{login}{issued}{id_token};
is(summary(send_token($id_token)), '400 logout_token_events no-store', 'an ID token is refused');
is(summary(send_token($browser->{login}{issued}{access_token})), '400 logout_token_malformed no-store',
    'an access token is refused');
is($browser->get(page_of('back'))->{status}, 200, 'an ID token and an access token end nothing');

for my $case (@malformed) {
    my ($name, $method, $content, $headers, $sentence) = @$case;
    my $token = logout_token_of($browser);
    $content =~ s/%%token%%/$token/g if defined $content;
    my $uri = '/back' . ($method =~ /GET|HEAD/ ? "?logout_token=$token" : '');
    log_mark($t);
    my $res = browser()->request($method, $uri, content => $content, headers => $headers);
    is(summary($res) =~ s/^400 (?=no-store)/400 logout_malformed /r . ' '
        . $browser->get(page_of('back'))->{status}, '400 logout_malformed no-store 200',
        "$name: refused, the session continues");
    ok(log_has($t, complaint($sentence)), "$name: logged");
}

is(summary(browser()->post('/back?logout_token=' . logout_token_of($browser), {})), '400 logout_malformed no-store',
    'a token in the query of a POST is ignored');
is(summary(browser()->post('/back', 'logout_token=' . logout_token_of($browser),
    headers => { 'Content-Type' => "$form{'Content-Type'}; charset=utf-8" })), '200 no-store',
    'a charset in the content type of the form is accepted');
is($browser->get(page_of('back'))->{status}, 302, 'a charset in the content type of the form: the session has ended');

# A token is accepted once, by all workers together, even if it arrives many times at once.

$browser = user('back');
my $token = logout_token_of($browser);
is(send_token($token)->{status}, 200, 'a token is accepted');
$browser->login(page_of('back'));
log_mark($t);
is($workers->each(sub { summary(send_token($token)) }), join(' ', ('400 logout_token_used no-store') x 2),
    'a used token is refused by every worker');
ok(log_has($t, complaint('logout token was used before')), 'a used token: logged');
my $jti = jwt_decode($token)->{claims}{jti};
is(send_token(logout_token_of($browser, claims => { sub => undef, jti => $jti }))->{status}, 400,
    'another token with the same jti is refused');
is($browser->get(page_of('back'))->{status}, 200, 'a used token: a later session continues');
$workers->reload;
is(summary(send_token($token)), '400 logout_token_used no-store', 'a used token is refused after a reload');

$token = logout_token_of($browser, claims => { exp => undef });
is(send_token($token)->{status}, 200, 'a token without exp is accepted');
is($workers->each(sub { summary(send_token($token)) }), join(' ', ('400 logout_token_used no-store') x 2),
    'a used token without exp is refused by every worker');

$browser->login(page_of('back'));
$token = logout_token_of($browser);
my @requests = map { browser() } 1 .. 6;
my @posts = map { $_->start('/back', method => 'POST', content => { logout_token => $token }) } @requests;
my @statuses = sort map { $requests[$_]->finish($posts[$_])->{status} } 0 .. $#posts;
is("@statuses", '200 400 400 400 400 400', 'a token that arrives six times at once is accepted once');

# Algorithms and encryption follow the configuration.

$browser = user('strict');
is(summary(send_token(logout_token_of($browser, alg => 'ES256'), 'strict')), '400 logout_token_alg no-store',
    'id_token_alg: a token with another algorithm is refused');
is(summary(send_token(logout_token_of($browser), 'strict')), '200 no-store',
    'id_token_alg: a token with a listed algorithm is accepted');

$browser = user('hs');
is(summary(send_token(logout_token_of($browser, alg => 'HS256', secret => $pem, header => { kid => 'rsa' }), 'hs')),
    '400 logout_token_signature no-store', 'HS256 with the public key as secret is refused');
is($browser->get(page_of('hs'))->{status}, 200, 'HS256 with the public key as secret: the session continues');
is(summary(send_token(logout_token_of($browser, alg => 'HS256', secret => $secret), 'hs')), '200 no-store',
    'HS256 with the client secret is accepted');

my %to_us = (encrypt => { key => 'rsa-2' });
$op->set(%to_us);
$browser = user('sealed');
is(summary(send_token(logout_token_of($browser), 'sealed')), '200 no-store', 'an encrypted token is accepted');
is($browser->get(page_of('sealed'))->{status}, 302, 'an encrypted token: the session has ended');
$browser->login(page_of('sealed'));
my @sealed = (
    ['modified', { encrypt => { key => 'rsa-2', parts => { tag => 'flip' } } }, 'cannot be decrypted'],
    ['for another key', { encrypt => { key => 'rsa' } }, 'cannot be decrypted'],
    ['garbage', { encrypt => { key => 'rsa-2', token => 'a.b.c.d.e' } }, qr/.+/],
    ['not a JWT inside', { encrypt => { key => 'rsa-2', plain => 'x' } }, undef],
    ['not encrypted', { encrypt => undef }, 'is not encrypted, although id_token_encrypted_alg requires it'],
);
for my $case (@sealed) {
    my ($name, $knobs, $sentence) = @$case;
    my $word = defined $sentence ? 'encryption' : 'malformed';
    $sentence //= 'is not a JWS of three parts';
    $sentence = quotemeta $sentence unless ref $sentence;
    $op->set(%$knobs);
    log_mark($t);
    is(summary(send_token(logout_token_of($browser), 'sealed')), "400 logout_token_$word no-store",
        "encryption, $name: refused");
    ok(log_has($t, complaint(qr/logout token $sentence/, 'sealed')), "encryption, $name: logged");
}
is($browser->get(page_of('sealed'))->{status}, 200, 'encryption: the session continues after refused tokens');
$op->reset->set(encrypt => undef);

# A logout token is not accepted as an ID token.

for my $recipe ({ header => { typ => 'logout+jwt' } }, { claims => { events => { $event => {} } } }) {
    my $name = join '', keys %$recipe;
    $op->set(id_token => $recipe);
    is(outcome(login(page_of('back'))), '403 id_token_malformed',
        "a logout token as ID token is refused by its $name");
}
$op->set(id_token => { token => logout_token() });
is(outcome(login(page_of('back'))) =~ s/ .*//r, 403, 'a logout token as ID token is refused');
$op->reset;

# Two providers with the same backchannel_logout_uri

my ($one, $twin) = (user('one'), user('other'));
is(send_token($plain->logout_token, 'both')->{status}, 200, 'one URI: a token of the second provider is accepted');
is($one->get(page_of('one'))->{status} . ' ' . $twin->get(page_of('other'))->{status}, '200 302',
    'one URI: the session of the second provider has ended');
is(send_token(logout_token_of($one), 'both')->{status}, 200, 'one URI: a token of the first provider is accepted');
is($one->get(page_of('one'))->{status}, 302, 'one URI: the session of the first provider has ended');

# Without the provider's keys a token cannot be verified; it is accepted as soon as they are available.

$token = $cold->logout_token;
for my $case (
    [{ '/.well-known/openid-configuration' => { status => 503 } },
        '502 upstream_status', 'provider returned status 503'],
    [{ '/jwks' => { hold => 1 } }, '504 upstream_timeout', qr/provider did not respond in time at "\S+\/jwks"/],
) {
    my ($respond, $outcome, $sentence) = @$case;
    my ($what) = keys %$respond;
    $cold->set(respond => $respond);
    log_mark($t);
    my $res = send_token($token, 'cold');
    is(summary($res), "$outcome no-store", "$what fails: $outcome");
    is($res->{headers}{'retry-after'}, 5, "$what fails: Retry-After");
    ok(log_has($t, complaint($sentence, 'cold')), "$what fails: logged");
}
$cold->reset;
is(summary(send_token($token, 'cold')), '200 no-store', 'the same token is accepted when the keys are available');

$gone->stop;
log_mark($t);
is(summary(send_token($gone->logout_token, 'gone')), '502 upstream_unreachable no-store', 'provider down: 502');
ok(log_has($t, complaint(qr/provider could not be reached at "\S+"/, 'gone')), 'provider down: logged');

# More logouts than fit in the zone: earlier ones are not evicted.

$browser = user('hs');
$copy = $browser->clone;
send_token(logout_token_of($browser, alg => 'HS256'), 'hs');
$kept = user('hs');
my ($logouts, %count) = (0, 503 => 0);
until ($count{503} || $logouts == 4000) {
    post_all(\%count, map { hs_token('sid-' . $logouts++) } 1 .. 200);
}
cmp_ok($count{200}, '>', 500, 'zone full: many logouts fit');
is($count{200} + $count{503}, $logouts, 'zone full: then 503');
ok(log_has($t, complaint('oidc_state_zone has no room for another revocation', 'hs')),
    'zone full: logged');
is(summary(send_token(hs_token('one more'), 'hs')), '503 store_full no-store', 'zone full: one more logout is 503');
is(in_every_worker($copy, 'hs'), '302 302', 'zone full: no logout is evicted');
is(in_every_worker($kept, 'hs'), '200 200', 'zone full: another session continues');
is(login(page_of('hs'))->{status}, 200, 'zone full: a login succeeds');

# ------------------------------------------------------------------------------------------------------

# A browser that is logged in
sub user {
    my ($provider) = @_;

    $op->clear;
    my $browser = logged_in($provider);
    $browser->{login} = $op->last_login;
    return $browser;
}

sub logout_token { return $op->logout_token(@_) }

# A logout token for the session of that browser, even if another login followed
sub logout_token_of {
    my ($browser, %recipe) = @_;

    my %claims = (sid => $browser->{login}{sid}, sub => $browser->{login}{sub}, %{ $recipe{claims} || {} });
    return $op->logout_token(%recipe, claims => \%claims);
}

sub send_token {
    my ($token, $provider) = @_;

    return $op->send_logout_token('/back' . (defined $provider ? "/$provider" : ''), $token);
}

sub summary {
    my ($res) = @_;

    return join ' ', outcome($res), $res->{headers}{'cache-control'} // 'stored';
}

sub complaint {
    my ($sentence, $provider) = @_;

    $sentence = quotemeta $sentence unless ref $sentence;
    $provider //= 'back';
    return qr/\[(?:warn|error)\] .* oidc: $sentence while handling a back-channel logout, provider "$provider"/;
}

sub in_every_worker {
    my ($browser, $provider) = @_;

    return $workers->each(sub { $browser->get(page_of($provider))->{status} });
}

# A logout token with HS256, which is fast to sign
sub hs_token {
    my ($sid) = @_;

    my $now = int time;
    return jwt_make({
        iss => $issuer, aud => 'client', iat => $now, exp => $now + 600, jti => $sid, sid => $sid,
        events => { $event => {} },
    }, alg => 'HS256', secret => $secret);
}

# Posts the tokens over one connection and counts the responses of each status.
sub post_all {
    my ($count, @tokens) = @_;

    my $requests = join '', map {
        my $content = "logout_token=$_";
        my $connection = $_ eq $tokens[-1] ? 'close' : 'keep-alive';
        join "\r\n", 'POST /back/hs HTTP/1.1', 'Host: localhost', "Connection: $connection",
            "Content-Type: $form{'Content-Type'}", 'Content-Length: ' . length $content, '', $content;
    } @tokens;
    my $res = browser()->raw($requests);

    $count->{$_}++ for "$res->{head}\r\n$res->{body}" =~ m{HTTP/1\.1 (\d+) }g;
}
