#include "flow/gate.h"

#include "core/encoding.h"
#include "flow/login.h"
#include "oidc/authorize.h"
#include "support/play.h"

#include <gtest/gtest.h>

#include <set>

namespace oidc::test {
namespace {

using Asked = std::vector<std::string>;

TEST(Gate, SendsTheBrowserToTheProvider)
{
    Play play;
    auto finish = play.gate("/page?a=b");
    EXPECT_EQ(complaint(finish), "");
    EXPECT_TRUE(finish.location.starts_with("https://op.example/authorize?"));
    EXPECT_EQ(play.sent.at("response_type"), "code");
    EXPECT_EQ(play.sent.at("client_id"), "app");
    EXPECT_EQ(play.sent.at("scope"), "openid");
    EXPECT_EQ(
        play.sent.at("redirect_uri"), "https://app.example/oidc_callback");
    EXPECT_EQ(play.sent.at("code_challenge_method"), "S256");
    EXPECT_EQ(play.sent.at("code_challenge").size(), 43u);
    EXPECT_FALSE(finish.session);
    EXPECT_EQ(finish.page, Page::none);
    EXPECT_TRUE(finish.result.empty());
}

TEST(Gate, LearnsTheMetadataWhenItMust)
{
    Play play;
    play.gate();
    EXPECT_EQ(play.asked, Asked{"metadata"});
    play.gate();
    EXPECT_EQ(play.asked, Asked{});
    play.now += 3600s;
    play.gate();
    EXPECT_EQ(play.asked, Asked{"metadata"});
}

TEST(Gate, FailsWhereTheMetadataCannotBeHad)
{
    Play play;
    play.metadata = Error{Errc::upstream_timeout, "provider timed out"};
    EXPECT_EQ(complaint(play.gate()), "upstream_timeout: provider timed out");
    play.metadata = json_answer("{}");
    EXPECT_EQ(complaint(play.gate()),
        "upstream_metadata: provider sent metadata of another issuer, \"\" "
        "instead of \"https://op.example\"");
}

TEST(Gate, GoesOnWithOldMetadataWhileTheProviderIsDown)
{
    Play play;
    play.gate();
    play.now += 3600s;
    play.metadata = Error{Errc::upstream_unreachable, "no provider"};
    EXPECT_EQ(complaint(play.gate()), "");
    EXPECT_EQ(play.asked, Asked{"metadata"});
}

// Its login would never end: the browser would not send the session cookie.
TEST(Gate, RefusesAPageOutsideTheScopeOfItsCookies)
{
    auto client = example_client();
    client.cookie_path = "/app";
    Play play(client);
    EXPECT_EQ(complaint(play.gate("/page?a")),
        "config_unusable: client requested page \"/page\", which is not below "
        "cookie_path \"/app\"");
    EXPECT_EQ(complaint(play.gate("/a%70p/")),
        "request_host: client requested page \"/a%70p/\", which is not below "
        "cookie_path \"/app\"");
    EXPECT_EQ(play.asked, Asked{});
    EXPECT_EQ(complaint(play.gate("/app?a")), "");
    EXPECT_EQ(complaint(play.gate("//app/")), "");

    client.cookie_domain = "app.example.com";
    Play other(client);
    EXPECT_EQ(complaint(other.gate("/app")),
        "request_host: client requested host \"app.example\", which is not in "
        "cookie_domain \"app.example.com\"");
}

TEST(Gate, MakesEverythingFreshForEveryLogin)
{
    Play play;
    for (auto name : {"state", "nonce", "code_challenge"}) {
        std::set<std::string> seen;
        for (int i = 0; i < 20; i++) {
            play.gate();
            seen.insert(play.sent.at(name));
        }
        EXPECT_EQ(seen.size(), 20u) << name;
    }
}

TEST(Gate, AddsTheExtraArguments)
{
    Play play;
    play.extra_args = "prompt=login&state=evil";
    play.gate();
    EXPECT_EQ(play.sent.at("prompt"), "login");
    EXPECT_NE(play.sent.at("state"), "evil");
}

TEST(Gate, PutsPageAndTimeIntoTheState)
{
    Play play;
    play.gate("/page?a=%20b");
    auto state = open_state(play.provider, play.sent.at("state"));
    ASSERT_TRUE(state);
    EXPECT_EQ(state->transaction.target, "/page?a=%20b");
    EXPECT_EQ(state->transaction.page, "https://app.example");
    EXPECT_EQ(state->transaction.started, noon);
    EXPECT_EQ(state->transaction.receipt, "");
    EXPECT_EQ(state->transaction.id.size(), 16u);
}

TEST(Gate, SaysWhatItIsDoing)
{
    Play play;
    auto view = play.view("/");
    EXPECT_EQ(Gate(play.provider, view).action(), "beginning a login");
}

// The provider is known from the configuration alone.
TEST(Gate, AsksForNoMetadataWhereTheEndpointsAreConfigured)
{
    auto client = example_client();
    client.endpoints = {"https://inside.example/authorize?a=b",
        "https://inside.example/token", "https://inside.example/keys", "", ""};
    Play play(client);
    play.metadata = Error{Errc::upstream_unreachable, "no provider"};
    auto finish = play.gate();
    EXPECT_EQ(complaint(finish), "");
    EXPECT_EQ(play.asked, Asked{});
    EXPECT_TRUE(finish.location.starts_with(
        "https://inside.example/authorize?a=b&response_type=code&"));
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.asked, (Asked{"acquire", "token", "keys"}));
    EXPECT_EQ(play.requests.at("token").url, "https://inside.example/token");
}

TEST(Gate, NeedsNoNewMetadataForADay)
{
    Play play;
    play.gate();
    play.metadata = Error{Errc::upstream_unreachable, "no provider"};
    play.now += 3600s + 86400s - 1s;
    EXPECT_EQ(complaint(play.gate()), "");
    play.now += 1s;
    EXPECT_EQ(complaint(play.gate()), "upstream_unreachable: no provider");
}

// RFC 9126

Client pushing_client()
{
    auto client = example_client();
    client.pushed_authorization = PushedAuthorization::on;
    return client;
}

TEST(PushingGate, PushesTheRequestAndSendsAReference)
{
    Play play(pushing_client());
    auto finish = play.gate("/page?a=b");
    EXPECT_EQ(complaint(finish), "");
    EXPECT_EQ(play.asked, (Asked{"metadata", "par"}));
    EXPECT_EQ(finish.location,
        "https://op.example/authorize?client_id=app"
        "&request_uri=urn%3Apushed%3A1");
    EXPECT_EQ(finish.cookies.size(), 1u);

    const auto& request = play.requests.at("par");
    EXPECT_EQ(request.url, "https://op.example/par");
    EXPECT_TRUE(request.authorization.starts_with("Basic "));
    auto pushed = parameters(request.body);
    for (auto name : {"response_type", "scope", "client_id", "redirect_uri",
             "state", "nonce", "code_challenge", "code_challenge_method"}) {
        EXPECT_EQ(pushed.count(name), 1u) << name;
    }
    EXPECT_EQ(pushed.size(), 8u);
    EXPECT_EQ(play.callback().location, "/page?a=b");
}

// The client authenticates as at the token endpoint (RFC 9126, 2), and no
// parameter is repeated (RFC 6749, 3.1), which parameters() checks.
TEST(PushingGate, ProvesTheClientByEveryMethod)
{
    auto client = pushing_client();
    std::string why;
    client.key = PrivateKey::parse(Signer::ed25519().pem(), why);
    for (auto auth :
        {ClientAuth::client_secret_basic, ClientAuth::client_secret_post,
            ClientAuth::client_secret_jwt, ClientAuth::private_key_jwt,
            ClientAuth::tls_client_auth, ClientAuth::none}) {
        client.client_auth = auth;
        Play play(client);
        std::map<std::string, std::string> pushed;
        EXPECT_NO_THROW({
            play.gate();
            pushed = parameters(play.requests.at("par").body);
        }) << static_cast<int>(auth);
        EXPECT_EQ(pushed["client_id"], "app");
        EXPECT_EQ(pushed.count("client_secret"),
            auth == ClientAuth::client_secret_post ? 1u : 0u);
        EXPECT_EQ(pushed.count("client_assertion"),
            auth == ClientAuth::client_secret_jwt ||
                    auth == ClientAuth::private_key_jwt ?
                1u :
                0u);
    }
}

TEST(PushingGate, PushesWhereTheMetadataRequireIt)
{
    auto client = example_client();
    const auto required = json_answer(object(changed(example_metadata(),
        {{"require_pushed_authorization_requests", "true"}})));
    Play play(client);
    play.metadata = required;
    play.gate();
    EXPECT_EQ(play.asked, (Asked{"metadata", "par"}));

    client.pushed_authorization = PushedAuthorization::off;
    Play off(client);
    off.metadata = required;
    off.gate();
    EXPECT_EQ(off.asked, Asked{"metadata"});
    EXPECT_EQ(off.sent.count("state"), 1u);
}

TEST(PushingGate, NeedsAnEndpoint)
{
    Play play;
    play.metadata = json_answer(object(changed(example_metadata(),
        {{"require_pushed_authorization_requests", "true"},
            {"pushed_authorization_request_endpoint", ""}})));
    EXPECT_EQ(complaint(play.gate()),
        "upstream_metadata: provider sent metadata without "
        "pushed_authorization_request_endpoint");

    Play on(pushing_client());
    on.metadata = play.metadata;
    EXPECT_EQ(complaint(on.gate()),
        "upstream_metadata: provider sent metadata without "
        "pushed_authorization_request_endpoint");
}

TEST(PushingGate, NeedsAWayToProveTheClient)
{
    Play play(pushing_client());
    play.metadata = json_answer(object(changed(example_metadata(),
        {{"token_endpoint_auth_methods_supported", "[]"}})));
    EXPECT_EQ(complaint(play.gate()),
        "config_unusable: provider accepts no authentication method that uses "
        "a client_secret");
    EXPECT_EQ(play.asked, Asked{"metadata"});
}

TEST(PushingGate, FailsWithTheEndpoint)
{
    const std::pair<Result<HttpResponse>, std::string> cases[] = {
        {Error{Errc::upstream_timeout, "provider timed out"},
            "upstream_timeout: provider timed out"},
        {HttpResponse{
             400, "application/json", "", R"({"error":"invalid_request_uri"})"},
            "provider_error: provider returned error \"invalid_request_uri\""},
        {HttpResponse{500, "text/html", "", ""},
            "upstream_status: provider returned status 500"},
        {HttpResponse{201, "application/json", "", "{}"},
            "upstream_pushed_authorization: provider sent a pushed "
            "authorization response without a request_uri of 1 to 1024 bytes"},
    };
    for (const auto& [answer, why] : cases) {
        Play play(pushing_client());
        play.pushed = answer;
        EXPECT_EQ(complaint(play.gate()), why);
        EXPECT_TRUE(play.jar.cookies.empty());
    }
}

// The login counter

constexpr auto rounds_cookie = "__Host-NGX_OIDC_SESSION_login_rounds";

TEST(Rounds, EndALoopThatNoSessionComesOutOf)
{
    Play play;
    int logins = 0;
    Finish gate;
    for (; logins < 100; logins++) {
        gate = play.gate();
        if (gate.error) {
            break;
        }
        EXPECT_EQ(complaint(play.callback()), "");
        play.jar.cookies.erase("__Host-NGX_OIDC_SESSION"); // is not sent back
        play.now += 19s;
    }
    EXPECT_EQ(logins, 5);
    EXPECT_EQ(complaint(gate),
        "login_loop: client made 5 login attempts without sending a session "
        "cookie");
    EXPECT_EQ(play.asked, Asked{});

    play.jar.cookies.erase(rounds_cookie); // it expires after 20 seconds
    EXPECT_EQ(complaint(play.gate()), "");
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.jar.cookies.at(rounds_cookie), "1");
}

TEST(Rounds, AreCountedFromTheFirstLoginOn)
{
    Play play;
    for (int i = 0; i < 20; i++) { // tabs that wait at the login page
        auto finish = play.gate();
        EXPECT_EQ(complaint(finish), "");
        EXPECT_EQ(cookie_of(finish.cookies, rounds_cookie), "");
    }
    auto end = play.callback();
    EXPECT_EQ(cookie_of(end.cookies, rounds_cookie),
        rounds_cookie +
            std::string("=1; Path=/; Max-Age=20; HttpOnly; SameSite=Lax; "
                        "Secure"));
    EXPECT_EQ(cookie_of(play.gate().cookies, rounds_cookie), "");
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.jar.cookies.at(rounds_cookie), "2");
}

TEST(Rounds, EndALoopOfPushedRequestsBeforeTheyArePushed)
{
    Play play(pushing_client());
    play.gate();
    play.jar.cookies[rounds_cookie] = "5";
    EXPECT_TRUE(complaint(play.gate()).starts_with("login_loop: "));
    EXPECT_EQ(play.asked, Asked{});
}

// Pushed requests

class PushedGate : public testing::Test {
public:
    static Client pushing_client()
    {
        auto client = example_client();
        client.pushed_authorization = PushedAuthorization::on;
        return client;
    }

    PushedGate() : play(pushing_client()) { play.gate(); }

    Play play;
};

TEST_F(PushedGate, TakesATokenAndSealsItsReceipt)
{
    EXPECT_EQ(complaint(play.gate()), "");
    EXPECT_EQ(play.spent.back(), Work::push);
    auto form = parameters(play.requests.at("par").body);
    auto state = open_state(play.provider, form.at("state"));
    ASSERT_TRUE(state);
    EXPECT_EQ(state->transaction.receipt, "receipt 2");
    EXPECT_TRUE(play.given_back.empty());
}

TEST_F(PushedGate, PushesNothingWhereNoTokenIsLeft)
{
    play.is_drained = true;
    EXPECT_EQ(complaint(play.gate()), "login_limit: nothing is left");
    EXPECT_EQ(play.asked, Asked{});
}

TEST_F(PushedGate, PushesNothingThatNoPersonAskedFor)
{
    struct Case {
        const char* purpose;
        const char* site;
        const char* mode;
        const char* dest;
        const char* why;
    };
    const Case cases[] = {
        {"prefetch", "none", "navigate", "document", "a prefetch"},
        {"", "cross-site", "no-cors", "image",
            "a subresource request, Sec-Fetch-Mode \"no-cors\", Sec-Fetch-Dest "
            "\"image\""},
        {"", "same-origin", "cors", "empty",
            "a subresource request, Sec-Fetch-Mode \"cors\", Sec-Fetch-Dest "
            "\"empty\""},
        {"", "same-origin", "navigate", "object",
            "a subresource request, Sec-Fetch-Mode \"navigate\", "
            "Sec-Fetch-Dest \"object\""},
        {"", "cross-site", "navigate", "iframe", "a cross-site frame"},
    };
    for (const auto& [purpose, site, mode, dest, why] : cases) {
        play.purpose = purpose;
        play.fetch_site = site;
        play.fetch_mode = mode;
        play.fetch_dest = dest;
        EXPECT_EQ(complaint(play.gate()),
            std::string("login_unasked: client requested a login in ") + why);
        EXPECT_EQ(play.asked, Asked{});
    }
    EXPECT_EQ(play.spent.size(), 1u);
    play.purpose = "";
    play.fetch_dest = "document";
    EXPECT_EQ(complaint(play.gate()), "") << "another site's link";
}

TEST_F(PushedGate, PushesInAFrameWhereCookiesAreForThat)
{
    auto client = pushing_client();
    client.cookie_same_site = "None";
    Play framed(client);
    framed.fetch_site = "cross-site";
    framed.fetch_mode = "navigate";
    framed.fetch_dest = "iframe";
    EXPECT_EQ(complaint(framed.gate()), "");
}

}
}
