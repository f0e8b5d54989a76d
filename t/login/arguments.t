#!/usr/bin/perl

# Tests for extra_auth_args of two providers in one request that begins at a callback of B and, by
# error_page, ends with a login at A: the arguments are those of A alone.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site;

# Provider A: name of its oidc_provider, its directives, its login_hint.
my @cases = (
    ['plain', '', ''],
    ['own', 'extra_auth_args "login_hint=of-a"', 'of-a'],
    ['claims', 'extra_auth_args "login_hint=$oidc_claim_sub"', ''],
);

# How a callback of B fails: name, knobs of the provider.
my @failures = (
    ['the provider denies', error => 'access_denied'],
    ['the ID token is of another issuer', id_token => { claims => { iss => 'https://evil.example.com' } }],
);

my $t = Test::Nginx->new()->has(qw/http proxy rewrite/)->plan(@cases * (2 + 3 * @failures));

my $op_a = provider($t, 8081, user => { sub => 'alice' });
my $op_b = provider($t, 8082, user => { sub => 'bob' });

$t->write_file_expand('nginx.conf', configuration());
$t->run();

for my $case (@cases) {
    my ($kind, undef, $hint) = @$case;
    my $base = "http://$kind.example.com:" . port(8080);
    my $user = browser(base => $base);
    is($user->login('/b/')->{status}, 200, "$kind: a login at B");
    is($user->get('/b/')->{status}, 200, "$kind: the session at B works");

    for my $failure (@failures) {
        my ($how, %knobs) = @$failure;
        my $browser = browser(base => $base);
        $op_b->set(%knobs);
        my $callback = $browser->follow($browser->get('/b/'))->{location};
        $browser->set_cookie("$_->{name}=$_->{value}; Path=/") for $user->cookies;

        my $answer = $browser->get($callback);
        $op_b->reset;
        like($answer->{location} // $answer->{status}, qr/^\Q@{[ $op_a->issuer ]}\E\/authorize\?/,
            "$kind, $how: the failed callback of B leads to A");
        is(hint($answer) // '', $hint, "$kind, $how: with the arguments of A alone");
        is(scalar(grep { $_ eq 'bob' } values %{ query($answer->{location}) }), 0, "$kind, $how: A does not learn the user of B");
    }
}

# ------------------------------------------------------------------------------------------------------

sub hint { return query($_[0]{location} // '')->{login_hint} }

sub configuration {
    my @blocks = map {
        my ($kind, $directives) = @$_;
        (oidc_provider("a_$kind", $directives),
            oidc_provider("b_$kind", 'extra_auth_args "login_hint=$oidc_claim_sub"', issuer => 'http://127.0.0.1:8082'),
            <<"EOF");
    server {
        listen      127.0.0.1:8080;
        server_name $kind.example.com;
        error_page  403 /a/;

        location /a/ { auth_oidc a_$kind; proxy_pass http://127.0.0.1:8085; }
        location /b/ { auth_oidc b_$kind; proxy_pass http://127.0.0.1:8085; }
    }
EOF
    } @cases;
    return nginx_conf(@blocks, <<'EOF');
    server {
        listen 127.0.0.1:8085;
        return 200 page;
    }
EOF
}
