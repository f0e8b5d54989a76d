#include "flow/callback.h"

#include "core/encode.h"
#include "play.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace oidc::test {
namespace {

using namespace std::string_literals;

using Asked = std::vector<std::string>;

constexpr auto session_cookie = "NGX_OIDC_SESSION";

// A login under way: the browser stands at the provider's login page.
class CallbackTest : public testing::Test {
public:
    CallbackTest() { play.gate("/page?a=%20b"); }

    bool has_session() const
    {
        return play.jar.cookies.count(session_cookie) > 0;
    }

    // An error leaves nothing and asks for nothing but this.
    void expect_refusal(
        const Finish& finish, const std::string& why, const Asked& asked = {})
    {
        EXPECT_EQ(complaint(finish), why);
        EXPECT_EQ(play.asked, asked);
        EXPECT_FALSE(has_session());
        EXPECT_EQ(finish.claimed, "");
    }

    // Signs the browser in by a login of its own.
    Session sign_in()
    {
        auto before = play.sent;
        play.gate("/elsewhere");
        auto session = play.callback().session.value();
        play.sent = before;
        return session;
    }

    Play play;
};

TEST_F(CallbackTest, SignsTheBrowserIn)
{
    auto end = play.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.location, "/page?a=%20b");
    EXPECT_EQ(play.asked, (Asked{"claim", "token", "keys"}));
    EXPECT_FALSE(end.by_page);
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->claim("sub"), "user-1");
    EXPECT_EQ(end.session->access_token_expires(), noon + 3600);
    EXPECT_TRUE(has_session());
    EXPECT_TRUE(cookie_of(end.cookies, session_cookie)
                    .ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"));

    auto header = play.jar.header();
    std::string_view lines[] = {header};
    auto session = Session::open(lines, play.provider, noon);
    ASSERT_TRUE(session);
    EXPECT_EQ(session->handle(), end.session->handle());
}

TEST_F(CallbackTest, ClaimsTheStateForAsLongAsItLives)
{
    auto state = open_state(play.provider, play.sent.at("state"));
    play.now += 100;
    auto end = play.callback();
    EXPECT_EQ(play.claim.id, state->transaction.id);
    EXPECT_EQ(play.claim.until, noon + 600);
    EXPECT_EQ(end.claimed, state->transaction.id);
}

TEST_F(CallbackTest, SendsCodeAndVerifierToTheTokenEndpoint)
{
    play.callback();
    const auto& request = play.token_request;
    EXPECT_EQ(request.url, "https://op.example/token");
    EXPECT_TRUE(request.authorization.starts_with("Basic "));
    auto form = parameters(request.body);
    EXPECT_EQ(form.at("grant_type"), "authorization_code");
    EXPECT_EQ(form.at("code"), "c0de");
    EXPECT_EQ(form.at("redirect_uri"), play.sent.at("redirect_uri"));
    EXPECT_EQ(code_challenge(form.at("code_verifier")),
        play.sent.at("code_challenge"));
    EXPECT_EQ(form.size(), 4u);
}

TEST_F(CallbackTest, SendsNoVerifierWherePkceIsExcluded)
{
    play.metadata = json_answer(object(changed(
        example_metadata(), {{"code_challenge_methods_supported", "[]"}})));
    play.now += 3600;
    play.gate();
    EXPECT_FALSE(play.sent.count("code_challenge"));
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_FALSE(parameters(play.token_request.body).count("code_verifier"));
}

TEST_F(CallbackTest, SendsNoVerifierWherePkceIsOff)
{
    auto client = example_client();
    client.pkce = false;
    Play off(client);
    off.gate();
    EXPECT_EQ(complaint(off.callback()), "");
    EXPECT_FALSE(parameters(off.token_request.body).count("code_verifier"));
}

TEST_F(CallbackTest, UsesWhatItKnows)
{
    play.callback();
    play.gate();
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.asked, (Asked{"claim", "token"}));
}

TEST_F(CallbackTest, ReplacesAnOlderSession)
{
    play.session = sign_in();
    auto before = play.jar.cookies.at(session_cookie);
    auto end = play.callback();
    ASSERT_TRUE(end.session);
    EXPECT_NE(end.session->handle(), play.session->handle());
    EXPECT_NE(play.jar.cookies.at(session_cookie), before);
}

TEST_F(CallbackTest, ServesManyTabsInAnyOrder)
{
    Play browser;
    Jar all;
    std::vector<std::map<std::string, std::string>> tabs;
    for (int i = 0; i < 20; i++) {
        browser.jar = Jar(); // all start before the first answer arrives
        all.take(browser.gate("/tab" + std::to_string(i)).cookies);
        tabs.push_back(browser.sent);
    }
    browser.jar = all;
    for (auto i : {19, 3, 7, 0, 11, 18, 5, 1, 14, 9, 2, 4, 6, 8, 10, 12, 13, 15,
             16, 17}) {
        browser.sent = tabs[static_cast<std::size_t>(i)];
        EXPECT_EQ(browser.callback().location, "/tab" + std::to_string(i));
    }
}

TEST_F(CallbackTest, ReturnsByAPageWhereCookiesAreStrict)
{
    auto client = example_client();
    client.cookie_same_site = "Strict";
    Play strict(client);
    strict.gate();
    auto end = strict.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_TRUE(end.by_page);
    EXPECT_NE(cookie_of(end.cookies, session_cookie).find("SameSite=Strict"),
        std::string::npos);
}

TEST_F(CallbackTest, ReturnsToTheOriginOfThePage)
{
    auto client = example_client();
    client.redirect_uri = "https://login.example.com/cb";
    client.cookie_domain = "example.com";
    Play shared(client);
    shared.origin = "https://app.example.com:8443";
    shared.gate("//evil.example/x");
    shared.origin = "https://login.example.com";
    EXPECT_EQ(shared.callback().location,
        "https://app.example.com:8443/evil.example/x");
}

// What the page's host was stands in the state, not in the callback's Host.
TEST_F(CallbackTest, TakesNothingFromItsOwnHost)
{
    play.origin = "https://evil.example";
    auto end = play.callback();
    EXPECT_EQ(end.location, "/page?a=%20b");
    EXPECT_EQ(parameters(play.token_request.body).at("redirect_uri"),
        "https://app.example/oidc_callback");
}

TEST_F(CallbackTest, NeverRedirectsElsewhere)
{
    for (auto target : {"//evil.example", "/\\evil.example", "/\t/evil.example",
             "https://evil.example", "", "\\\\evil"}) {
        play.gate(target);
        auto location = play.callback().location;
        EXPECT_TRUE(location.starts_with('/')) << location;
        EXPECT_FALSE(location.starts_with("//")) << location;
        EXPECT_FALSE(location.starts_with("/\\")) << location;
    }
}

// The request itself

TEST_F(CallbackTest, IsAGet)
{
    for (auto method : {"POST", "HEAD", "PUT", "OPTIONS", ""}) {
        play.method = method;
        expect_refusal(play.callback(),
            "callback_malformed: client sent method \""s + method + "\"");
    }
}

TEST_F(CallbackTest, OfBadFormIsRefused)
{
    auto state = "state=" + play.sent.at("state");
    const std::string cases[][2] = {
        {"", "state_missing: client sent no state"},
        {"code=a", "state_missing: client sent no state"},
        {"error=access_denied", "state_missing: client sent no state"},
        {state + "&code=a&code=a",
            "callback_malformed: client sent parameter code twice"},
        {state + "&" + state + "&code=a",
            "callback_malformed: client sent parameter state twice"},
        {state + "&code=%",
            "callback_malformed: client sent a parameter that is not "
            "form-urlencoded"},
        {state + "&code=" + std::string(4097, 'c'),
            "callback_malformed: client sent too long a parameter code"},
        {"code=a&state=x", "state_invalid: client sent a state not ours"},
        {state + "x&code=a", "state_invalid: client sent a state not ours"},
    };
    for (const auto& [query, why] : cases) {
        expect_refusal(play.callback(query), why);
    }
    EXPECT_EQ(complaint(play.callback()), "");
}

TEST_F(CallbackTest, IsForTheProviderThatSealedItsState)
{
    auto client = example_client();
    client.name = "other";
    Play other(client);
    EXPECT_TRUE(Callback::is_for(play.provider, play.good_reply()));
    EXPECT_FALSE(Callback::is_for(other.provider, play.good_reply()));
    for (auto query : {"", "code=a", "state=x", "state=%"}) {
        EXPECT_FALSE(Callback::is_for(play.provider, query));
    }
    auto twice = play.good_reply() + "&" + play.good_reply();
    EXPECT_FALSE(Callback::is_for(play.provider, twice));
}

TEST_F(CallbackTest, OfAHostThatLostItsCookiesIsRefused)
{
    auto client = example_client();
    client.redirect_uri = "https://login.example.com/cb";
    client.cookie_domain = "example.com";
    Play shared(client);
    shared.origin = "https://app.example.com";
    shared.gate();
    // meanwhile the operator changes the domain
    client.cookie_domain = "login.example.com";
    Secret masters[] = {master_key(1)};
    shared.provider.configure(client, masters);
    EXPECT_EQ(complaint(shared.callback()),
        "request_host: client asked for host \"https://app.example.com\", "
        "which shares no cookie with redirect_uri "
        "\"https://login.example.com/cb\"");
}

// The state and its browser

TEST_F(CallbackTest, FromAnotherBrowserIsRefused)
{
    Play victim;
    victim.gate();
    play.jar = victim.jar;
    expect_refusal(play.callback(),
        "state_foreign: client sent the state of another browser");
    play.jar.cookies.begin()->second = std::string(22, 'A');
    expect_refusal(play.callback(),
        "state_foreign: client sent the state of another browser");
}

TEST_F(CallbackTest, FromAnotherBrowserGoesHomeWithASession)
{
    Play victim;
    victim.gate();
    victim.session = victim.callback().session;
    auto jar = victim.jar;
    auto end = victim.callback(play.good_reply());
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.location, "/page?a=%20b");
    EXPECT_EQ(victim.asked, Asked{});
    EXPECT_FALSE(end.session);
    EXPECT_EQ(victim.jar.cookies, jar.cookies);
}

TEST_F(CallbackTest, LateBySecondsBeginsAgainOnce)
{
    play.now = noon + 599;
    EXPECT_EQ(complaint(play.callback()), "");

    play.now = noon;
    play.gate("/page?a");
    play.now = noon + 600;
    auto again = play.callback();
    EXPECT_EQ(complaint(again), "");
    EXPECT_EQ(play.asked, Asked{});
    EXPECT_TRUE(again.location.starts_with("https://op.example/authorize?"));
    EXPECT_FALSE(again.session);
    EXPECT_EQ(again.claimed, "");

    EXPECT_EQ(play.callback().location, "/page?a");
}

TEST_F(CallbackTest, LateTwiceIsRefused)
{
    play.now += 600;
    EXPECT_EQ(complaint(play.callback()), "");
    play.now += 600;
    expect_refusal(
        play.callback(), "state_expired: client sent a state that expired");
}

// The page of another day, while a new login has made a new binding.
TEST_F(CallbackTest, LateAndFromAnotherBindingBeginsAgain)
{
    play.now += 86400;
    play.jar = Jar();
    auto old = play.sent;
    play.gate("/new");
    play.sent = old;
    auto again = play.callback();
    EXPECT_EQ(complaint(again), "");
    EXPECT_TRUE(again.location.starts_with("https://op.example/authorize?"));
    EXPECT_EQ(play.callback().location, "/page?a=%20b");
}

TEST_F(CallbackTest, WithoutCookiesBeginsAgainOnce)
{
    play.jar = Jar();
    auto again = play.callback();
    EXPECT_EQ(complaint(again), "");
    EXPECT_TRUE(again.location.starts_with("https://op.example/authorize?"));

    play.jar = Jar(); // a browser that takes none
    expect_refusal(play.callback(),
        "state_cookie: client sent a state without the cookie of its login");
}

TEST_F(CallbackTest, WithoutCookiesBeginsAgainAndSucceeds)
{
    play.jar = Jar();
    play.callback();
    EXPECT_EQ(play.callback().location, "/page?a=%20b");
    EXPECT_TRUE(has_session());
}

TEST_F(CallbackTest, ThatIsStaleGoesHomeWithASession)
{
    play.session = sign_in();
    auto jar = play.jar;
    play.now += 600;
    auto end = play.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.location, "/page?a=%20b");
    EXPECT_EQ(play.asked, Asked{});
    EXPECT_FALSE(end.session);
    EXPECT_EQ(play.jar.cookies, jar.cookies);

    play.now = noon;
    play.jar.cookies = {{session_cookie, jar.cookies.at(session_cookie)}};
    EXPECT_EQ(play.callback().location, "/page?a=%20b");
    EXPECT_EQ(play.asked, Asked{});
}

TEST_F(CallbackTest, ThatIsStaleNeedsMetadataToBeginAgain)
{
    play.now += 3600;
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.asked, Asked{"metadata"});

    Play down;
    down.gate();
    Provider fresh;
    Secret masters[] = {master_key(1)};
    fresh.configure(example_client(), masters);
    down.provider = fresh;
    down.jar = Jar();
    down.metadata = Error{Errc::upstream_unreachable, "no provider"};
    EXPECT_EQ(complaint(down.callback()), "upstream_unreachable: no provider");
}

TEST_F(CallbackTest, BeginsALongPageAgain)
{
    auto page = "/page?a=" + std::string(2000, 'x');
    play.gate(page);
    play.now += 600;
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.callback().location, page);
}

// A state serves one callback

TEST_F(CallbackTest, ThatWasUsedIsRefused)
{
    play.claimed = {Claimed::ended, {}};
    expect_refusal(play.callback(),
        "state_used: client sent a state that was used before", {"claim"});
}

TEST_F(CallbackTest, ThatWasUsedGoesHomeWithASession)
{
    play.session = sign_in();
    play.claimed = {Claimed::ended, {}};
    auto end = play.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.location, "/page?a=%20b");
    EXPECT_EQ(play.asked, Asked{"claim"});
    EXPECT_FALSE(end.session);
}

TEST_F(CallbackTest, ThatIsACopyTakesTheCookiesOfTheFirst)
{
    play.claimed = {Claimed::ended, {"NGX_OIDC_SESSION=of-the-first; Path=/"}};
    auto end = play.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.location, "/page?a=%20b");
    EXPECT_EQ(play.asked, Asked{"claim"});
    EXPECT_EQ(play.jar.cookies.at(session_cookie), "of-the-first");
}

TEST_F(CallbackTest, ThatIsACopyLeavesANewerSessionAlone)
{
    play.session = sign_in();
    auto before = play.jar.cookies;
    play.claimed = {Claimed::ended, {"NGX_OIDC_SESSION=of-the-first; Path=/"}};
    EXPECT_EQ(play.callback().location, "/page?a=%20b");
    EXPECT_EQ(play.jar.cookies, before);
}

// Somebody else signed in anew, and the first copy's answer got lost.
TEST_F(CallbackTest, ThatIsACopyReplacesAnOlderSession)
{
    play.session = sign_in();
    play.now += 1;
    play.gate("/page?a=%20b");
    play.claimed = {Claimed::ended, {"NGX_OIDC_SESSION=of-the-first; Path=/"}};
    EXPECT_EQ(play.callback().location, "/page?a=%20b");
    EXPECT_EQ(play.jar.cookies.at(session_cookie), "of-the-first");
}

// The first copy of this callback lost its client, its code may be spent.
TEST_F(CallbackTest, WhoseFirstCopyVanishedBeginsAgainOnce)
{
    play.claimed = {Claimed::vanished, {}};
    auto again = play.callback();
    EXPECT_EQ(complaint(again), "");
    EXPECT_EQ(play.asked, Asked{"claim"});
    EXPECT_TRUE(again.location.starts_with("https://op.example/authorize?"));
    EXPECT_FALSE(again.session);
    expect_refusal(play.callback(),
        "state_used: client sent a state that was used before", {"claim"});

    play.claimed = {Claimed::ours, {}};
    EXPECT_EQ(play.callback().location, "/page?a=%20b");
}

TEST_F(CallbackTest, WhoseFirstCopyVanishedGoesHomeWithASession)
{
    play.session = sign_in();
    play.claimed = {Claimed::vanished, {}};
    auto end = play.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.location, "/page?a=%20b");
    EXPECT_FALSE(end.session);
}

// The reply

TEST_F(CallbackTest, FromAnotherIssuerIsRefusedBeforeAnything)
{
    expect_refusal(play.callback(play.good_reply() + "&iss=https%3A%2F%2Fevil"),
        "callback_issuer: authorization response came from another issuer, "
        "\"https://evil\"");
    expect_refusal(play.callback("error=access_denied&iss=a&state=" +
                       play.sent.at("state")),
        "callback_issuer: authorization response came from another issuer, "
        "\"a\"");
    EXPECT_EQ(complaint(play.callback(
                  play.good_reply() + "&iss=https%3A%2F%2Fop.example")),
        "");
}

TEST_F(CallbackTest, HasTheIssuerThatTheMetadataPromises)
{
    play.metadata = json_answer(object(changed(example_metadata(),
        {{"authorization_response_iss_parameter_supported", "true"}})));
    play.now += 3600;
    play.gate();
    expect_refusal(play.callback(),
        "callback_issuer: authorization response has no iss, which the "
        "metadata promises");
    EXPECT_EQ(complaint(play.callback(
                  play.good_reply() + "&iss=https%3A%2F%2Fop.example")),
        "");
}

TEST_F(CallbackTest, MayBeAnError)
{
    auto state = "&state=" + play.sent.at("state");
    const std::string cases[][2] = {
        {"error=access_denied",
            "provider_access_denied: provider answered with error "
            "\"access_denied\""},
        {"error=server_error&error_description=out+of+%22order%22",
            "provider_server_error: provider answered with error "
            "\"server_error\", \"out of \\x22order\\x22\""},
        {"error=whatever",
            "provider_error: provider answered with error \"whatever\""},
        {"error=a&code=b",
            "callback_malformed: client sent both code and error"},
        {"code=", "callback_malformed: client sent neither code nor error"},
        {"a=b", "callback_malformed: client sent neither code nor error"},
    };
    for (const auto& [query, why] : cases) {
        expect_refusal(play.callback(query + state), why, {"claim"});
    }
}

TEST_F(CallbackTest, NeedsMetadata)
{
    auto client = example_client();
    client.pre_auth_timeout = 86400;
    Play slow(client);
    slow.gate();
    slow.now += 3600;
    EXPECT_EQ(complaint(slow.callback()), "");
    EXPECT_EQ(slow.asked, (Asked{"metadata", "claim", "token", "keys"}));

    Provider fresh;
    Secret masters[] = {master_key(1)};
    fresh.configure(client, masters);
    slow.gate();
    slow.provider = fresh;
    slow.metadata = Error{Errc::upstream_timeout, "provider timed out"};
    EXPECT_EQ(
        complaint(slow.callback()), "upstream_timeout: provider timed out");
    EXPECT_EQ(slow.asked, Asked{"metadata"});
}

// The token endpoint

TEST_F(CallbackTest, NeedsAWayToNameTheClient)
{
    play.metadata = json_answer(object(changed(example_metadata(),
        {{"token_endpoint_auth_methods_supported", "[]"}})));
    play.now += 3600;
    play.gate();
    expect_refusal(play.callback(),
        "config_unusable: provider takes neither client_secret_basic nor "
        "client_secret_post",
        {"claim"});
}

TEST_F(CallbackTest, FailsWithTheTokenEndpoint)
{
    const struct {
        Result<HttpResponse> answer;
        std::string why;
    } cases[] = {
        {Error{Errc::upstream_unreachable, "no provider"},
            "upstream_unreachable: no provider"},
        {HttpResponse{
             400, "application/json", "", R"({"error":"invalid_grant"})"},
            "provider_invalid_grant: provider answered with error "
            "\"invalid_grant\""},
        {HttpResponse{500, "text/html", "", ""},
            "upstream_status: provider answered with status 500"},
        {HttpResponse{302, "text/html", "", ""},
            "upstream_status: provider answered with status 302"},
        {json_answer("{"),
            "upstream_token: provider sent a token response that is malformed "
            "JSON"},
        {json_answer(R"({"access_token":"a","token_type":"Bearer"})"),
            "id_token_missing: provider sent a token response without an id "
            "token"},
    };
    for (const auto& [answer, why] : cases) {
        play.tokens = answer;
        expect_refusal(play.callback(), why, {"claim", "token"});
    }
}

// The ID token

TEST_F(CallbackTest, RefusesABadIdToken)
{
    const struct {
        Members claims;
        std::string why;
    } cases[] = {
        {{{"iss", R"("https://evil")"}},
            "id_token_issuer: id token has a wrong issuer \"https://evil\""},
        {{{"nonce", R"("other")"}},
            "id_token_nonce: id token has the nonce of another login"},
        {{{"nonce", ""}}, "id_token_nonce: id token has no nonce"},
        {{{"aud", R"("other")"}},
            "id_token_audience: id token is for another audience, "
            "\"\\x22other\\x22\""},
        {{{"exp", "1"}},
            "id_token_expired: id token expired 1699999999 seconds ago"},
        {{{"at_hash", R"("x")"}},
            "id_token_at_hash: id token does not belong to the access token, "
            "at_hash differs"},
    };
    play.callback();
    for (const auto& [claims, why] : cases) {
        play.jar = Jar();
        play.gate();
        play.claims = claims;
        expect_refusal(play.callback(), why, {"claim", "token"});
    }
}

// CVE-2024-10318: the token of an earlier login of the same user.
TEST_F(CallbackTest, RefusesTheTokenOfAnotherLogin)
{
    auto first = play.sent;
    play.gate();
    play.claims = {{"nonce", "\"" + first.at("nonce") + "\""}};
    expect_refusal(play.callback(),
        "id_token_nonce: id token has the nonce of another login",
        {"claim", "token", "keys"});
}

TEST_F(CallbackTest, NeedsKeys)
{
    play.keys = Error{Errc::upstream_unreachable, "no provider"};
    expect_refusal(play.callback(), "upstream_unreachable: no provider",
        {"claim", "token", "keys"});
    play.keys = json_answer(R"({"keys":[]})");
    expect_refusal(play.callback(),
        "upstream_keys: provider sent an empty key set",
        {"claim", "token", "keys"});
}

TEST_F(CallbackTest, FollowsARotationOfKeysAtOnce)
{
    play.callback();
    play.gate();
    play.signer = &Signer::rsa();
    play.alg = "RS256";
    play.header_members = R"("kid":"k2")";
    play.keys = json_answer(key_set({Signer::rsa().jwk(R"("kid":"k2")")}));
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.asked, (Asked{"claim", "token", "keys"}));
    play.gate();
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.asked, (Asked{"claim", "token"}));
}

TEST_F(CallbackTest, FollowsARotationUnderTheSameKid)
{
    play.callback();
    play.gate();
    play.signer = &Signer::rsa();
    play.alg = "RS256";
    play.keys = json_answer(key_set({Signer::rsa().jwk(R"("kid":"k1")")}));
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.asked, (Asked{"claim", "token", "keys"}));
}

TEST_F(CallbackTest, AsksForNewKeysOnce)
{
    play.header_members = R"("kid":"k9")";
    expect_refusal(play.callback(),
        "id_token_key: id token names an unknown key \"k9\"",
        {"claim", "token", "keys", "keys"});
    play.header_members = R"("kid":"k1")";
    play.signer = &Signer::other_rsa();
    play.alg = "RS256";
    play.keys = json_answer(key_set({Signer::rsa().jwk(R"("kid":"k1")")}));
    expect_refusal(play.callback(),
        "id_token_signature: id token has a bad signature",
        {"claim", "token", "keys"});
}

TEST_F(CallbackTest, AsksForNewKeysNoMoreThanTheBucketAllows)
{
    auto token = play.header_members;
    play.callback();
    play.jar = Jar();
    play.gate();
    play.header_members = R"("kid":"k9")";
    std::vector<std::size_t> asked;
    for (int i = 0; i < 6; i++) {
        EXPECT_FALSE(play.callback().session);
        asked.push_back(play.asked.size());
    }
    EXPECT_EQ(asked, (std::vector<std::size_t>{3, 3, 3, 3, 2, 2}));

    play.header_members = token;
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.asked, (Asked{"claim", "token"}));
}

TEST_F(CallbackTest, KeepsOldKeysWhenNewOnesCannotBeHad)
{
    auto token = play.header_members;
    play.callback();
    play.jar = Jar();
    play.gate();
    play.keys = Error{Errc::upstream_unreachable, "no provider"};
    play.header_members = R"("kid":"k9")";
    expect_refusal(play.callback(),
        "id_token_key: id token names an unknown key \"k9\"",
        {"claim", "token", "keys"});
    play.header_members = token;
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.asked, (Asked{"claim", "token"}));
}

// The session

TEST_F(CallbackTest, RefusesASessionTooLarge)
{
    play.cookie_room = 4096;
    play.claims = {{"email", "\"" + std::string(4096, 'x') + "\""}};
    auto end = play.callback();
    EXPECT_TRUE(complaint(end).starts_with("session_too_large: session needs "))
        << complaint(end);
    EXPECT_TRUE(complaint(end).ends_with(
        " bytes of cookies, of which large_client_header_buffers or nine "
        "cookies leave 4096"));
    EXPECT_FALSE(has_session());
}

TEST_F(CallbackTest, DeletesLeftoversOfALargerSession)
{
    play.jar.cookies[session_cookie] = "3.x";
    play.jar.cookies[session_cookie + ".1"s] = "x";
    play.jar.cookies[session_cookie + ".2"s] = "x";
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.jar.cookies.count(session_cookie + ".1"s), 0u);
    EXPECT_EQ(play.jar.cookies.count(session_cookie + ".2"s), 0u);
    EXPECT_TRUE(has_session());
}

TEST_F(CallbackTest, OnHttpSetsNoSecureCookie)
{
    play.origin = "http://127.0.0.1:8080";
    play.gate();
    auto end = play.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_TRUE(cookie_of(end.cookies, session_cookie)
                    .ends_with("; Path=/; HttpOnly; SameSite=Lax"));
}

TEST_F(CallbackTest, SaysWhatItIsDoing)
{
    auto visit = play.visit("/oidc_callback");
    EXPECT_EQ(Callback(play.provider, visit, play.session).doing(),
        "handling the callback");
}

}
}
