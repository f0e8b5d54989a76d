package Test::OIDC::Endpoints;

# The responses of the test provider's endpoints: a strict OpenID Provider without a login page, whose one
# user is always signed in. Each endpoint gets the provider, its current knobs and the request, and returns a
# response with a verdict for the record: "ok", or the reason of a refusal; about, more for the record; then,
# the effect on the provider's grants.

use warnings;
use strict;

use Digest::SHA qw/ sha256 /;
use MIME::Base64 qw/ decode_base64 encode_base64url /;

use Test::OIDC::JWT qw/ half_hash jwt_decode jwt_make jwt_verify with_changes /;
use Test::OIDC::Keys;
use Test::OIDC::URL qw/ html_escape parse_query query_string unescape /;

our %endpoint = (
    '/.well-known/openid-configuration' => \&metadata,
    '/jwks' => \&jwks,
    '/authorize' => \&authorize,
    '/par' => \&par,
    '/token' => \&token,
    '/token refresh' => \&token,
    '/revoke' => \&revoke,
    '/userinfo' => \&userinfo,
    '/end_session' => \&end_session,
);

my %alg_of = (
    'ec-256' => 'ES256', 'ec-256-2' => 'ES256', 'ec-384' => 'ES384', 'ec-521' => 'ES512',
    'ed25519' => 'EdDSA', 'ed25519-2' => 'EdDSA',
);

sub metadata {
    my ($op, $knobs) = @_;

    return ok(json => $knobs->{document}) if $knobs->{document};

    my $base = $op->{base};
    my %metadata = (
        issuer => $op->{issuer},
        authorization_endpoint => "$base/authorize",
        token_endpoint => "$base/token",
        userinfo_endpoint => "$base/userinfo",
        jwks_uri => "$base/jwks",
        end_session_endpoint => "$base/end_session",
        revocation_endpoint => $knobs->{revocation} ? "$base/revoke" : undef,
        scopes_supported => [qw/ openid profile email /, $knobs->{refresh} ? 'offline_access' : ()],
        response_types_supported => ['code'],
        response_modes_supported => [qw/ query form_post /],
        grant_types_supported => ['authorization_code', $knobs->{refresh} ? 'refresh_token' : ()],
        subject_types_supported => ['public'],
        id_token_signing_alg_values_supported =>
            [qw/ RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA /],
        token_endpoint_auth_methods_supported => $knobs->{client_auth},
        code_challenge_methods_supported => ['S256'],
        authorization_response_iss_parameter_supported => \1,
    );

    return ok(json => with_changes(\%metadata, $knobs->{metadata}));
}

sub jwks {
    my ($op, $knobs) = @_;

    return ok(json => { keys => [ map { published_key($_) } @{ $knobs->{jwks} } ] });
}

# A key is its id, or { key => id, member => value ... } with members changed.
sub published_key {
    my ($entry) = @_;

    my %changes = ref $entry ? %$entry : (key => $entry);
    my $kid = delete $changes{key};
    my $jwk = defined $kid ? Test::OIDC::Keys::public_jwk($kid) : {};

    $jwk->{alg} = $alg_of{$kid} if defined $kid && $alg_of{$kid};
    return with_changes($jwk, \%changes);
}

# Checks the request, then redirects the browser back.
sub authorize {
    my ($op, $knobs, $request) = @_;

    my ($params, $duplicate) = parse_query($request->{query});
    return page(400, "duplicate $duplicate") if defined $duplicate;

    if (defined $params->{request_uri}) {
        return page(400, 'more than client_id and request_uri') if 2 != keys %$params;
        my $pushed = delete $op->{pushed}{ $params->{request_uri} };
        return page(400, 'unknown or used request_uri')
            if !$pushed || $pushed->{client_id} ne ($params->{client_id} // '');
        $params = $pushed;
    }

    my $wrong = wrong_authorization_request($knobs, $params);
    return page(400, $wrong) if $wrong;

    my $code = random_string();
    $op->{codes}{$code} = $params;

    my %callback = (code => $code, state => $params->{state}, iss => $op->{issuer});
    if (defined $knobs->{error}) {
        delete $callback{code};
        $callback{error} = $knobs->{error};
    }

    my $answer = with_changes(\%callback, $knobs->{callback});
    return form_post($params->{redirect_uri}, $answer)
        if ($params->{response_mode} // '') eq 'form_post';
    return redirect($params->{redirect_uri}, $answer);
}

# RFC 9126, 2: the parameters of an authorization request, from an authenticated client.
sub par {
    my ($op, $knobs, $request) = @_;

    my ($params, $refused) = client_request($op, $knobs, $request);
    return $refused if $refused;
    return token_error(400, 'invalid_request', 'a request_uri') if defined $params->{request_uri};

    my $wrong = wrong_authorization_request($knobs, $params);
    return token_error(400, 'invalid_request', $wrong) if $wrong;

    my $uri = 'urn:ietf:params:oauth:request_uri:' . random_string();
    $op->{pushed}{$uri} = $params;
    return ok(status => 201, json => { request_uri => $uri, expires_in => 60 });
}

sub wrong_authorization_request {
    my ($knobs, $params) = @_;

    return 'no redirect_uri' unless length($params->{redirect_uri} // '');
    return 'unknown client_id' if ($params->{client_id} // '') ne $knobs->{client_id};
    return 'response_type is not code' if ($params->{response_type} // '') ne 'code';
    return 'scope has no openid' if ($params->{scope} // '') !~ /(?:^| )openid(?: |$)/;

    return '' unless defined $params->{code_challenge};
    return 'code_challenge_method is not S256' if ($params->{code_challenge_method} // '') ne 'S256';
    return 'malformed code_challenge' if $params->{code_challenge} !~ /^[\w-]{43}$/;
    return '';
}

sub redirect {
    my ($uri, $params) = @_;

    my $query = query_string($params);
    my $location = length $query ? $uri . ($uri =~ /\?/ ? '&' : '?') . $query : $uri;
    return ok(status => 302, headers => { location => $location });
}

# OAuth 2.0 Form Post Response Mode: a page that posts itself to the client.
sub form_post {
    my ($uri, $params) = @_;

    my $inputs = '';
    for my $name (sort keys %$params) {
        for my $value (ref $params->{$name} ? @{ $params->{$name} } : $params->{$name}) {
            my @text = map { html_escape($_) } $name, $value;
            $inputs .= sprintf qq{<input type="hidden" name="%s" value="%s"/>\n}, @text;
        }
    }

    my $action = html_escape($uri);
    return ok(
        headers => { 'content-type' => 'text/html' },
        body => qq{<html><body onload="document.forms[0].submit()">\n}
            . qq{<form method="post" action="$action">\n$inputs</form></body></html>\n},
    );
}

sub token {
    my ($op, $knobs, $request) = @_;

    my ($params, $refused) = client_request($op, $knobs, $request);
    return $refused if $refused;

    my $type = $params->{grant_type} // '';
    return code_grant($op, $knobs, $params) if $type eq 'authorization_code';
    return refresh_grant($op, $knobs, $params) if $type eq 'refresh_token';
    return token_error(400, 'unsupported_grant_type', $type);
}

# The parameters of a form posted by our client, or the refusal of any other request.
sub client_request {
    my ($op, $knobs, $request) = @_;

    return (undef, token_error(405, 'invalid_request', 'not a POST')) if $request->{method} ne 'POST';

    my ($params, $duplicate) = parse_query($request->{body});
    return (undef, token_error(400, 'invalid_request', "duplicate $duplicate")) if defined $duplicate;

    my $stranger = wrong_client($op, $knobs, $request, $params);
    return (undef, token_error(401, 'invalid_client', $stranger)) if $stranger;
    return $params;
}

sub code_grant {
    my ($op, $knobs, $params) = @_;

    my $login = delete $op->{codes}{ $params->{code} // '' };
    my $wrong = wrong_code($login, $params);
    return token_error(400, 'invalid_grant', $wrong) if $wrong;

    my $sid = $knobs->{sid};
    my $grant = {
        id => random_string(),
        user => $knobs->{user},
        scope => $login->{scope},
        auth_time => $op->now,
        sid => ($sid // '') eq '1' ? random_string() : $sid,
    };

    my $lasts = $knobs->{refresh} || $login->{scope} =~ /(?:^| )offline_access(?: |$)/;
    my $access_token = $knobs->{access_token} // random_string();

    return issue($op, $grant, {
        access_token => $access_token,
        refresh_token => $lasts ? random_string() : undef,
        id_token => id_token($op, $knobs, $grant, $access_token, { nonce => $login->{nonce} }),
        expires_in => $knobs->{expires_in} // 3600,
    }, $knobs->{token});
}

# RFC 6749, 6. Only rotation returns a new refresh token; a used one remains valid, unless knobs say that it
# is refused, or that its use ends the grant.
sub refresh_grant {
    my ($op, $knobs, $params) = @_;

    my ($used, $policy) = ($params->{refresh_token}, $knobs->{refresh} || {});
    my $known = $op->{grants}->refresh_token($used);
    my $grant = $op->{grants}->of_token($used);

    my $spent = $known && $known->{spent} && ($policy->{strict} || $policy->{fatal});
    my $wrong = !$known ? 'unknown refresh token'
        : !$grant ? 'ended grant'
        : $spent ? 'spent refresh token' : '';
    return {
        %{ token_error(400, 'invalid_grant', $wrong) },
        about => $known && { grant => $known->{grant} },
        then => sub { $op->{grants}->end($known->{grant}) if $spent && $policy->{fatal} },
    } if $wrong;

    return token_error(400, 'invalid_scope', 'more than was granted')
        unless within($params->{scope} // '', $grant->{scope});

    my $access_token = random_string();
    return issue($op, $grant, {
        access_token => $access_token,
        refresh_token => $policy->{rotate} ? random_string() : undef,
        id_token => id_token($op, $knobs, $grant, $access_token, {}, $knobs->{refreshed}{id_token}),
        expires_in => $knobs->{expires_in} // 3600,
    }, $knobs->{refreshed}{token}, sub { $known->{spent} = 1 if $policy->{rotate} });
}

sub within {
    my ($requested, $granted) = @_;

    my %granted = map { $_ => 1 } split / /, $granted;
    return !grep { !$granted{$_} } split / /, $requested;
}

# The response with tokens, and its record: the grant, and the members sent.
sub issue {
    my ($op, $grant, $answer, $changes, $then) = @_;

    $answer = { token_type => 'Bearer', scope => $grant->{scope}, %$answer };
    my $sent = with_changes($answer, $changes);

    return ok(
        json => $sent,
        about => {
            grant => $grant->{id}, sid => $grant->{sid}, sub => $grant->{user}{sub}, issued => $sent,
        },
        then => sub {
            $op->{grants}->issue($grant, $sent);
            $then->() if $then;
        },
    );
}

# RFC 7009, 2.2: an unknown token counts as revoked.
sub revoke {
    my ($op, $knobs, $request) = @_;

    my ($params, $refused) = client_request($op, $knobs, $request);
    return $refused if $refused;

    my $token = $params->{token};
    return token_error(400, 'invalid_request', 'no token') unless length($token // '');

    my $grant = $op->{grants}->of_token($token);
    return ok(
        verdict => $grant ? 'ok' : 'unknown token',
        about => $grant && { grant => $grant->{id} },
        then => sub { $op->{grants}->revoke($token) },
    );
}

# RFC 6749, 2.3.1: exactly one method, and the parts of the Basic header are form-urlencoded.
sub wrong_client {
    my ($op, $knobs, $request, $params) = @_;

    my $authorization = $request->{headers}{authorization};
    my $assertion = $params->{client_assertion};
    my ($method, $id, $secret) = ('none', $params->{client_id}, undef);

    return 'two methods of authentication'
        if 1 < grep { defined } $authorization, $assertion, $params->{client_secret};

    if (defined $params->{client_secret}) {
        ($method, $secret) = ('client_secret_post', $params->{client_secret});
    }

    if (defined $authorization) {
        my ($pair) = $authorization =~ /^Basic ([\w+\/]+=*)$/i or return 'malformed Basic';
        ($id, $secret) = map { unescape($_) } split /:/, decode_base64($pair), 2;
        $method = 'client_secret_basic';
    }

    if (defined $assertion) {
        $method = defined $knobs->{client_key} ? 'private_key_jwt' : 'client_secret_jwt';
    }

    # OpenID Connect Discovery 1.0, 3: the default is client_secret_basic.
    my @accepted = @{ $knobs->{client_auth} || ['client_secret_basic'] };
    return "method $method" unless grep { $_ eq $method } @accepted;
    return 'unknown client_id' if ($id // '') ne $knobs->{client_id};
    return wrong_assertion($op, $knobs, $request, $params) if defined $assertion;
    return 'wrong client_secret' if defined $secret && $secret ne $knobs->{client_secret};
    return '';
}

# RFC 7523, 3; OpenID Connect Core, 9.
sub wrong_assertion {
    my ($op, $knobs, $request, $params) = @_;

    return 'wrong client_assertion_type' if ($params->{client_assertion_type} // '')
        ne 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

    my %key = defined $knobs->{client_key}
        ? (key => $knobs->{client_key}) : (secret => $knobs->{client_secret});
    my $jwt = jwt_verify($params->{client_assertion}, %key) or return 'wrong signature of the assertion';

    my $claims = $jwt->{claims};
    my $endpoint = ($op->{tls} ? 'https' : 'http') . "://$request->{headers}{host}$request->{path}";

    return 'wrong iss of the assertion' if ($claims->{iss} // '') ne $knobs->{client_id};
    return 'wrong sub of the assertion' if ($claims->{sub} // '') ne $knobs->{client_id};
    return 'wrong aud of the assertion' if ($claims->{aud} // '') ne $endpoint;
    return 'expired assertion' if ($claims->{exp} // 0) <= $op->now;
    return 'assertion without jti' unless length($claims->{jti} // '');
    return 'used assertion' if $op->{assertions}{ $claims->{jti} }++;
    return '';
}

sub wrong_code {
    my ($login, $params) = @_;

    return 'unknown or used code' unless $login;
    return 'redirect_uri differs' if ($params->{redirect_uri} // '') ne $login->{redirect_uri};

    my ($challenge, $verifier) = ($login->{code_challenge}, $params->{code_verifier});
    return '' if !defined $challenge && !defined $verifier;
    return 'code_verifier without code_challenge' unless defined $challenge;
    return 'no code_verifier' unless defined $verifier;

    # RFC 7636, 4.1 and 4.6
    return 'malformed code_verifier' if $verifier !~ /^[\w.~-]{43,128}$/;
    return 'wrong code_verifier' if encode_base64url(sha256($verifier)) ne $challenge;
    return '';
}

# By the given recipe, or by that of the knob.
sub id_token {
    my ($op, $knobs, $grant, $access_token, $more, $recipe) = @_;

    my %recipe = %{ $recipe || $knobs->{id_token} || {} };
    my $now = $op->now;

    my $claims = with_changes({
        %{ user_of($knobs, $grant) },
        iss => $op->{issuer},
        aud => $knobs->{client_id},
        iat => $now,
        exp => $now + 3600,
        auth_time => $grant->{auth_time},
        sid => $grant->{sid},
        at_hash => half_hash($access_token, $recipe{alg} || 'RS256'),
    }, $more);

    return sealed($knobs, $claims, %recipe);
}

# Signed by the recipe, and encrypted if the knob says so.
sub sealed {
    my ($knobs, $claims, %recipe) = @_;

    my $token = jwt_make($claims, secret => $knobs->{client_secret}, %recipe);
    return $token unless $knobs->{encrypt};

    require Test::OIDC::JWE;
    return Test::OIDC::JWE::jwe_make($token, secret => $knobs->{client_secret}, %{ $knobs->{encrypt} });
}

# The user of a grant, with current claims if the provider still has that user.
sub user_of {
    my ($knobs, $grant) = @_;

    my ($now, $then) = ($knobs->{user}, $grant->{user});
    return ($now->{sub} // '') eq ($then->{sub} // '') ? $now : $then;
}

sub userinfo {
    my ($op, $knobs, $request) = @_;

    my ($token) = ($request->{headers}{authorization} // '') =~ /^Bearer (\S+)$/i;
    my $grant = defined $token && $op->{grants}->of_access_token($token);
    return unauthorized() unless $grant;

    my $userinfo = $knobs->{userinfo} || {};
    my $claims = with_changes(user_of($knobs, $grant), $userinfo->{claims});
    return ok(json => $claims) unless $userinfo->{jwt};

    my $signed = { %$claims, iss => $op->{issuer}, aud => $knobs->{client_id} };
    return ok(
        headers => { 'content-type' => 'application/jwt' },
        body => jwt_make($signed, secret => $knobs->{client_secret}, %{ $userinfo->{jwt} }),
    );
}

sub end_session {
    my ($op, $knobs, $request) = @_;

    my $posted = $request->{method} eq 'POST';
    my ($params, $duplicate) = parse_query($posted ? $request->{body} : $request->{query});
    return page(400, "duplicate $duplicate") if defined $duplicate;

    my $wrong = wrong_logout_request($op, $knobs, $params);
    return page(400, $wrong) if $wrong;

    my $uri = $params->{post_logout_redirect_uri};
    return page(200, 'ok') unless defined $uri;
    return redirect($uri, { defined $params->{state} ? (state => $params->{state}) : () });
}

# RP-Initiated Logout 1.0, 2: a hint may have expired, but must be ours for that client.
sub wrong_logout_request {
    my ($op, $knobs, $params) = @_;

    my ($client_id, $hint) = @$params{qw/ client_id id_token_hint /};
    return 'unknown client_id' if defined $client_id && $client_id ne $knobs->{client_id};
    return 'a post_logout_redirect_uri without a client'
        if defined $params->{post_logout_redirect_uri} && !defined $client_id && !defined $hint;
    return '' unless defined $hint;

    my $kid = (jwt_decode($hint) || return 'malformed id_token_hint')->{header}{kid};
    my %by = defined $kid ? (key => $kid) : (secret => $knobs->{client_secret});
    my $jwt = eval { jwt_verify($hint, %by) } or return 'wrong signature of the id_token_hint';

    return 'wrong iss of the id_token_hint' if ($jwt->{claims}{iss} // '') ne $op->{issuer};

    my $aud = $jwt->{claims}{aud} // '';
    return 'wrong aud of the id_token_hint' unless grep { $_ eq $knobs->{client_id} } ref $aud ? @$aud : $aud;
    return '';
}

sub ok { return { status => 200, verdict => 'ok', @_ } }

sub page {
    my ($status, $verdict) = @_;

    return { status => $status, verdict => $verdict, body => "$verdict\n" };
}

sub token_error {
    my ($status, $error, $description) = @_;

    return {
        status => $status,
        verdict => "$error: $description",
        headers => $status == 401 ? { 'www-authenticate' => 'Basic realm="op"' } : {},
        json => { error => $error, error_description => $description },
    };
}

sub unauthorized {
    return {
        status => 401,
        verdict => 'invalid_token',
        headers => { 'www-authenticate' => 'Bearer error="invalid_token"' },
        json => { error => 'invalid_token' },
    };
}

sub random_string {
    open my $random, '<:raw', '/dev/urandom' or die "/dev/urandom: $!";
    sysread $random, my $bytes, 24;
    return encode_base64url($bytes);
}

1;
