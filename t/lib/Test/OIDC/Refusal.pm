package Test::OIDC::Refusal;

# What every failure of a provider has to cause: the browser gets the right response and keeps nothing, the
# log has the reason, no further request is sent, and a login succeeds as soon as the provider works again.
# The oidc_provider is one of a Test::OIDC::Site.
#
#   begins_no_login($t, $op, $provider, $name, $knobs, $outcome, $sentence)
#                                           CHALLENGE_TESTS assertions about a page that should have
#                                           redirected to the provider
#   ends_in_no_session($t, $op, $provider, $name, $knobs, $outcome, $sentence, %requests)
#                                           CALLBACK_TESTS assertions about a callback; %requests: endpoints
#                                           and their number of requests, default one to the token endpoint
#
#   refused_token($word)                    outcome of an ID token or user info refused with that word
#
# Knobs may be a sub that returns them for the nonce of the login, the sentence may be a pattern.

use warnings;
use strict;

use Test::More;

use Test::OIDC qw/ browser log_has log_mark now query /;
use Test::OIDC::Site;

use constant CHALLENGE_TESTS => 5;
use constant CALLBACK_TESTS => 6;

our @EXPORT = qw/ CALLBACK_TESTS CHALLENGE_TESTS begins_no_login ends_in_no_session refused_token /;
use base qw/ Exporter /;

sub begins_no_login {
    my ($t, $op, $provider, $name, $knobs, $outcome, $sentence) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $op->reset->clear->set(%$knobs);
    log_mark($t);
    my $answer = browser()->get(page_of($provider));

    is(outcome($answer), $outcome, $name);
    is(retry_after($answer), expected_retry_after($outcome), "$name, Retry-After");
    ok(log_has($t, logged($sentence, 'beginning a login', $provider)), "$name, logged");
    is(@{ $answer->{set_cookie} } . ' ' . $op->count, '0 1', "$name, no cookie and no other request");

    $op->reset;
    is(outcome(browser()->get(page_of($provider))), '302', "$name, the next login begins");
}

sub ends_in_no_session {
    my ($t, $op, $provider, $name, $knobs, $outcome, $sentence, %requests) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($browser, $page) = (browser(), page_of($provider));
    log_mark($t);

    $op->reset->clear;
    $op->set(%$knobs) unless ref $knobs eq 'CODE';
    my $challenge = $browser->get($page);
    $op->set(%{ $knobs->(query($challenge->{location})->{nonce}) }) if ref $knobs eq 'CODE';
    my $sent = $browser->follow($challenge);
    my $answer = $browser->follow($sent);

    is(outcome($answer), $outcome, $name);
    is(retry_after($answer), expected_retry_after($outcome), "$name, Retry-After");
    ok(log_has($t, logged($sentence, 'handling the callback', $provider)), "$name, logged");

    # neither by a repeated callback nor by the cookies that the browser has now
    my $again = $browser->follow($sent);
    my $later = $browser->get($page);
    my $sessions = grep { $_->{name} !~ /_login_/ } $browser->cookies;
    is("$again->{status} $later->{status} $sessions", '400 302 0', "$name, nothing kept");

    %requests = ('/token' => 1, '/userinfo' => 0, '/evil' => 0, %requests);
    my %count = map { $_ => 0 } keys %requests;
    $count{ $_->{kind} }++ for grep { exists $requests{ $_->{kind} } } $op->requests;
    is_deeply(\%count, \%requests, "$name, no other request");

    $op->reset;
    is(outcome($browser->login($page)), '200', "$name, the next login succeeds");
}

# A fault of the operator or of the provider rings an alarm on 5xx.
sub refused_token {
    my ($word) = @_;

    my $status = $word =~ /_(?:key|signature|encryption|expired|not_yet_valid|issued_at)$/ ? 502 : 403;
    return "$status $word";
}

sub retry_after { return shift->{headers}{'retry-after'} // 'none' }
sub expected_retry_after { return shift =~ /^50[24]/ ? 5 : 'none' }

sub logged {
    my ($sentence, $while, $provider) = @_;

    $sentence = quotemeta $sentence unless ref $sentence;
    return qr/oidc: $sentence while $while, provider "\Q$provider\E"/;
}

1;
