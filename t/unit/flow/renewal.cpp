#include "flow/renewal.h"

#include "core/encoding.h"
#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

using Asked = std::vector<std::string>;
using Lines = std::vector<std::string>;
using Refresh = Renewal::Refresh;

constexpr auto session_cookie = "__Host-NGX_OIDC_SESSION";
constexpr Seconds eight_hours = 8h;

// Access tokens are valid for an hour and are refreshed in the last minute.
Client refreshing_client()
{
    auto client = example_client();
    client.needs.access_token = client.needs.id_token = true;
    client.needs.refresh_token = true;
    client.needs_digest = digest_of_needs(client.needs);
    client.token_refresh = 60s;
    return client;
}

HttpResponse refusal(const std::string& error)
{
    return {400, "application/json", "", R"({"error":")" + error + "\"}"};
}

// A browser that logged in at noon.
class RenewalTest : public testing::Test {
public:
    RenewalTest() { log_in(); }

    void log_in()
    {
        play.token_members = {{"refresh_token", R"("rt-1")"}};
        play.gate();
        EXPECT_EQ(complaint(play.callback()), "");
        first = play.current();
    }

    // A new session, with this configuration.
    void configure(const Client& client)
    {
        play = Play(client);
        log_in();
    }

    // At a time when the access token has less than a minute left.
    Finish renew_when_due()
    {
        play.now = due;
        return play.renewal();
    }

    std::string value() { return play.jar.cookies[session_cookie]; }

    // The refresh ended the session for this reason; copies of its cookie, too.
    void expect_end(const std::string& why, const Asked& asked)
    {
        auto copy = play.jar;
        auto end = renew_when_due();
        EXPECT_EQ(complaint(end), "");
        EXPECT_EQ(end.warning ? complaint(*end.warning) : "", why);
        EXPECT_EQ(play.asked, asked);
        EXPECT_FALSE(end.session);
        EXPECT_EQ(end.result, Lines{"-"});
        EXPECT_EQ(end.keep_result, 300s);
        EXPECT_EQ(play.jar.cookies.count(session_cookie), 0u);
        EXPECT_EQ(play.revoke.until, due + eight_hours);
        play.jar = copy;
        if (!play.broken.contains("revoke")) {
            EXPECT_FALSE(play.current());
        }
        play.jar = Jar();
    }

    // Not renewed for this reason, and still valid.
    void expect_kept(const std::string& why, const Asked& asked)
    {
        auto end = renew_when_due();
        EXPECT_EQ(complaint(end), "");
        EXPECT_EQ(end.warning ? complaint(*end.warning) : "", why);
        EXPECT_EQ(play.asked, asked);
        ASSERT_TRUE(end.session);
        EXPECT_EQ(end.session->access_token(), "at-1");
        EXPECT_EQ(end.session->refresh_token(), "rt-1");
        EXPECT_TRUE(end.cookies.empty());
        EXPECT_TRUE(end.result.empty());
        EXPECT_EQ(end.keep_result, 30s);
    }

    static constexpr Time due = noon + 3600s - 60s;

    Play play{refreshing_client()};
    std::optional<Session> first;
};

// Nothing to do

TEST_F(RenewalTest, WithoutASessionHasNone)
{
    play.jar = Jar();
    auto end = play.renewal();
    EXPECT_EQ(complaint(end), "");
    EXPECT_FALSE(end.session);
    EXPECT_FALSE(end.warning);
    EXPECT_EQ(play.asked, Asked{});
    EXPECT_TRUE(end.cookies.empty());
    EXPECT_TRUE(end.result.empty());
}

TEST_F(RenewalTest, BeforeItIsDuePassesTheSessionOn)
{
    for (auto now : {noon, due - 1s}) {
        play.now = now;
        auto end = play.renewal();
        EXPECT_EQ(complaint(end), "");
        ASSERT_TRUE(end.session);
        EXPECT_EQ(end.session->access_token(), "at-1");
        EXPECT_EQ(play.asked, Asked{});
        EXPECT_TRUE(end.cookies.empty());
        EXPECT_TRUE(end.result.empty());
    }
}

TEST_F(RenewalTest, ThatMayNotRefreshPassesTheSessionOn)
{
    play.now = noon + 3600s;
    auto end = play.renewal(Refresh::never);
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->access_token(), "at-1");
    EXPECT_EQ(play.asked, Asked{});
    EXPECT_TRUE(end.cookies.empty());
}

TEST_F(RenewalTest, IsDueWhereSomethingIsToBeDone)
{
    auto client = refreshing_client();
    EXPECT_FALSE(Renewal::is_due(client, *first, Refresh::asked_for, due - 1s));
    EXPECT_TRUE(Renewal::is_due(client, *first, Refresh::asked_for, due));
    EXPECT_TRUE(Renewal::is_due(client, *first, Refresh::by_others, due));
    EXPECT_FALSE(Renewal::is_due(client, *first, Refresh::never, due));

    auto idle = client;
    idle.session_idle_timeout = 600s;
    EXPECT_TRUE(Renewal::is_due(idle, *first, Refresh::never, noon));
    auto named = client;
    named.session_store = SessionStore::named;
    EXPECT_TRUE(Renewal::is_due(named, *first, Refresh::never, noon));
}

// A refresh

TEST_F(RenewalTest, GetsNewTokens)
{
    auto end = renew_when_due();
    EXPECT_EQ(complaint(end), "");
    EXPECT_FALSE(end.warning);
    EXPECT_EQ(play.asked, (Asked{"acquire", "token"}));
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->id(), first->id());
    EXPECT_EQ(end.session->access_token(), "at-2");
    EXPECT_EQ(end.session->refresh_token(), "rt-2");
    EXPECT_NE(end.session->id_token(), first->id_token());
    EXPECT_EQ(end.session->expires(), due + eight_hours);
    EXPECT_EQ(end.session->access_token_expires(), due + 3600s);

    auto now = play.current();
    ASSERT_TRUE(now);
    EXPECT_EQ(now->access_token(), "at-2");
    EXPECT_EQ(now->generation(), end.session->generation());
    EXPECT_TRUE(cookie_of(end.cookies, session_cookie)
                    .ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"));
}

TEST_F(RenewalTest, AsksTheTokenEndpointWithTheRefreshToken)
{
    renew_when_due();
    const auto& request = play.requests.at("token");
    EXPECT_EQ(request.url, "https://op.example/token");
    EXPECT_EQ(request.body, "grant_type=refresh_token&refresh_token=rt-1");
    EXPECT_TRUE(request.authorization.starts_with("Basic "));
}

TEST_F(RenewalTest, IsDoneOnceForAGeneration)
{
    auto end = renew_when_due();
    EXPECT_EQ(play.acquire.purpose, Purpose::renewal);
    EXPECT_EQ(play.acquire.id, first->generation());
    EXPECT_EQ(play.acquire.until, due + 300s);
    EXPECT_EQ(end.result, Lines{value()});
    EXPECT_EQ(end.keep_result, 300s);
}

TEST_F(RenewalTest, IsNotDoneAgainBeforeItIsDueAgain)
{
    renew_when_due();
    EXPECT_TRUE(play.renewal().session);
    EXPECT_EQ(play.asked, Asked{});

    play.now = due + 3600s - 60s;
    play.refresh_members = {
        {"access_token", R"("at-3")"}, {"refresh_token", R"("rt-3")"}};
    EXPECT_EQ(play.renewal().session->access_token(), "at-3");
    EXPECT_EQ(play.requests.at("token").body,
        "grant_type=refresh_token&refresh_token=rt-2");
    EXPECT_EQ(play.acquire.id.size(), 16u);
    EXPECT_NE(play.acquire.id, first->generation());
}

// Core, 12.2
TEST_F(RenewalTest, MayComeWithoutAnIdToken)
{
    play.refresh_members = {{"id_token", ""}};
    auto end = renew_when_due();
    EXPECT_FALSE(end.warning);
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->access_token(), "at-2");
    EXPECT_EQ(end.session->id_token(), first->id_token());
    EXPECT_EQ(end.session->claim("email"), "jane@example.com");
}

TEST_F(RenewalTest, MayComeWithoutARefreshToken)
{
    play.refresh_members = {{"refresh_token", ""}};
    EXPECT_EQ(renew_when_due().session->refresh_token(), "rt-1");
}

TEST_F(RenewalTest, BringsNewClaims)
{
    play.claims = {{"email", R"("new@example.com")"}};
    EXPECT_EQ(renew_when_due().session->claim("email"), "new@example.com");
    EXPECT_EQ(play.current()->claim("email"), "new@example.com");
}

TEST_F(RenewalTest, OnHttpSetsNoSecureCookie)
{
    play.origin = "http://127.0.0.1:8080";
    EXPECT_TRUE(cookie_of(renew_when_due().cookies, "NGX_OIDC_SESSION")
                    .ends_with("; Path=/; HttpOnly; SameSite=Lax"));
}

TEST_F(RenewalTest, NeedsNoSaneHost)
{
    play.origin = "https://";
    auto end = renew_when_due();
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->access_token(), "at-2");
}

// The ID token of a refresh

TEST_F(RenewalTest, WithTheTokenOfAnotherUserEndsTheSession)
{
    play.claims = {{"sub", R"("user-2")"}};
    expect_end(
        "id_token_subject: id token has a different sub than the session",
        {"acquire", "token", "revoke"});
}

TEST_F(RenewalTest, WithABadIdTokenEndsTheSession)
{
    const std::pair<Members, std::string> cases[] = {
        {{{"iss", R"("https://evil")"}},
            "id_token_issuer: id token has a wrong issuer \"https://evil\""},
        {{{"aud", R"("other")"}},
            "id_token_audience: id token is for another audience, "
            "\"\\x22other\\x22\""},
        {{{"exp", "1"}},
            "id_token_expired: id token expired " + date(due - 1s) +
                " seconds ago"},
        {{{"at_hash", R"("x")"}},
            "id_token_at_hash: id token does not belong to the access token, "
            "at_hash differs"},
        {{{"sub", ""}},
            "id_token_subject: id token has no sub of 1 to 255 ASCII "
            "characters"},
    };
    for (const auto& [claims, why] : cases) {
        configure(refreshing_client());
        play.claims = claims;
        expect_end(why, {"acquire", "token", "revoke"});
    }
}

TEST_F(RenewalTest, WithAForgedIdTokenEndsTheSession)
{
    play.header_members = ""; // without a kid
    auto forged = object(changed(example_claims(due), {}));
    auto token = Signer::ed25519().sign("EdDSA", forged);
    token.replace(token.rfind('.') + 1, std::string::npos,
        base64url(std::string(64, 'Z')));
    play.refresh_members = {{"id_token", "\"" + token + "\""}};
    expect_end("id_token_signature: id token has a bad signature",
        {"acquire", "token", "keys", "revoke"});
}

TEST_F(RenewalTest, WithANewKeyAsksForTheKeysOnce)
{
    play.signer = &Signer::ec("P-256");
    play.alg = "ES256";
    play.header_members = R"("kid":"k2")";
    play.keys = json_answer(
        key_set({Signer::ec("P-256").jwk(R"("kid":"k2","alg":"ES256")")}));
    auto end = renew_when_due();
    EXPECT_EQ(play.asked, (Asked{"acquire", "token", "keys"}));
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->access_token(), "at-2");
}

TEST_F(RenewalTest, WithAKeyThatIsNotThereEndsTheSession)
{
    play.header_members = R"("kid":"k2")";
    expect_end("id_token_key: id token names an unknown key \"k2\"",
        {"acquire", "token", "keys", "revoke"});
}

TEST_F(RenewalTest, WithAKeyThatCannotBeHadKeepsTheSession)
{
    play.header_members = R"("kid":"k2")";
    play.keys = Error{Errc::upstream_timeout, "provider timed out"};
    expect_kept("id_token_key: id token names an unknown key \"k2\"",
        {"acquire", "token", "keys"});
}

TEST_F(RenewalTest, TellsWhatItTolerated)
{
    play.refresh_members = {{"token_type", ""}};
    auto end = renew_when_due();
    EXPECT_EQ(end.session->access_token(), "at-2");
    EXPECT_EQ(end.notice,
        "provider sent a token response without token_type, Bearer is "
        "assumed");
}

// No new tokens

TEST_F(RenewalTest, ThatIsRefusedEndsTheSession)
{
    play.refreshed = refusal("invalid_grant");
    expect_end(
        "provider_invalid_grant: provider returned error \"invalid_grant\"",
        {"acquire", "token", "revoke"});
    EXPECT_EQ(play.revoke.keys.size(), 1u);
    EXPECT_EQ(play.revoke.keys.front(),
        first->revocation_keys(play.provider.client()).front());
    EXPECT_FALSE(play.renewal().session);
    EXPECT_EQ(play.asked, Asked{});
}

TEST_F(RenewalTest, ThatFailsOtherwiseKeepsTheSession)
{
    auto ours = [](const std::string& what) {
        return "upstream_token: provider sent a token response " + what;
    };
    const std::pair<Result<HttpResponse>, std::string> cases[] = {
        {Error{Errc::upstream_unreachable, "provider refused the connection"},
            "upstream_unreachable: provider refused the connection"},
        {Error{Errc::upstream_timeout, "provider timed out"},
            "upstream_timeout: provider timed out"},
        {HttpResponse{500, "", "", ""},
            "upstream_status: provider returned status 500"},
        {HttpResponse{
             503, "application/json", "", R"({"error":"invalid_grant"})"},
            "upstream_status: provider returned status 503"},
        {HttpResponse{200, "text/html", "", "<html>"},
            "upstream_status: provider sent content type \"text/html\" instead "
            "of JSON"},
        {refusal("invalid_client"),
            "provider_invalid_client: provider returned error "
            "\"invalid_client\""},
        {refusal("invalid_request"),
            "provider_invalid_request: provider returned error "
            "\"invalid_request\""},
        {refusal("temporarily_unavailable"),
            "provider_temporarily_unavailable: provider returned error "
            "\"temporarily_unavailable\""},
        {json_answer("{"), ours("that is malformed JSON")},
        {json_answer("{}"), ours("without a valid access token")},
        {json_answer(R"({"access_token":"a","token_type":"MAC"})"),
            ours("whose token type is not Bearer")},
    };
    for (const auto& [answer, why] : cases) {
        configure(refreshing_client());
        play.refreshed = answer;
        expect_kept(why, {"acquire", "token"});
    }
}

TEST_F(RenewalTest, ThatFailsIsTriedAgainAfterHalfAMinute)
{
    play.refreshed = HttpResponse{500, "", "", ""};
    expect_kept(
        "upstream_status: provider returned status 500", {"acquire", "token"});
    play.refreshed.reset();

    play.now = due + 29s;
    auto end = play.renewal();
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->access_token(), "at-1");
    EXPECT_FALSE(end.warning);
    EXPECT_EQ(play.asked, Asked{"acquire"});

    play.now = due + 30s;
    EXPECT_EQ(play.renewal().session->access_token(), "at-2");
}

TEST_F(RenewalTest, GoesOnUntilTheSessionsOwnEnd)
{
    play.refreshed = Error{Errc::upstream_timeout, "provider timed out"};
    play.now = noon + eight_hours - 1s;
    EXPECT_TRUE(play.renewal().session);
    play.now = noon + eight_hours;
    EXPECT_FALSE(play.renewal().session);
    EXPECT_EQ(play.asked, Asked{});
}

TEST_F(RenewalTest, KeepsTheSessionWhereTheProviderIsNotKnown)
{
    auto client = refreshing_client();
    client.session_timeout = 30 * 86400s;
    configure(client);
    play.now = noon + 3 * 86400s; // longer than the documents are usable
    play.metadata = Error{Errc::upstream_unreachable, "no provider"};
    auto end = play.renewal();
    ASSERT_TRUE(end.session);
    EXPECT_EQ(complaint(*end.warning), "upstream_unreachable: no provider");
    EXPECT_EQ(play.asked, (Asked{"acquire", "metadata"}));
    EXPECT_EQ(end.keep_result, 30s);
}

TEST_F(RenewalTest, KeepsTheSessionWhereTheClientCannotProveItself)
{
    auto client = refreshing_client();
    client.client_auth = ClientAuth::private_key_jwt;
    play.configure(client);
    expect_kept("config_unusable: provider accepts no signature algorithm of "
                "client_key or client_secret",
        {"acquire", "metadata", "keys"});
}

// With rotation a refresh token works once: it must not be spent while its
// successor cannot be verified.
TEST_F(RenewalTest, SpendsNoRefreshTokenWhereTheKeysCannotBeHad)
{
    auto client = refreshing_client();
    client.session_timeout = 30 * 86400s;
    configure(client);
    play.now = noon + 3 * 86400s;
    play.keys = Error{Errc::upstream_unreachable, "no provider"};
    auto end = play.renewal();
    ASSERT_TRUE(end.session);
    EXPECT_EQ(complaint(*end.warning), "upstream_unreachable: no provider");

    auto spent = play.requests.count("token") == 1 &&
        play.requests.at("token").body.starts_with("grant_type=refresh");
    EXPECT_TRUE(!spent || play.current()->refresh_token() == "rt-2");
}

// The failure backoff applies only to a provider that cannot be reached.
TEST_F(RenewalTest, RestsWhereTheProviderIsOutOfReachAlone)
{
    const std::pair<Result<HttpResponse>, Seconds> cases[] = {
        {Error{Errc::upstream_unreachable, "no provider"}, 10s},
        {Error{Errc::upstream_timeout, "provider timed out"}, 10s},
        {Error{Errc::upstream_answer, "provider sent nonsense"}, 0s},
        {HttpResponse{500, "", "", ""}, 0s},
        {HttpResponse{501, "", "", ""}, 0s},
        {HttpResponse{502, "", "", ""}, 10s},
        {HttpResponse{503, "", "", ""}, 10s},
        {HttpResponse{504, "", "", ""}, 10s},
        {HttpResponse{505, "", "", ""}, 0s},
        {refusal("invalid_client"), 0s},
    };
    for (const auto& [answer, failure_backoff] : cases) {
        configure(refreshing_client());
        play.refreshed = answer;
        EXPECT_EQ(renew_when_due().failure_backoff, failure_backoff);
    }
    configure(refreshing_client());
    EXPECT_EQ(renew_when_due().failure_backoff, 0s);
}

TEST_F(RenewalTest, KeepsTheSessionWhereItsTurnCannotBeAcquired)
{
    play.broken = {{"acquire", Error{Errc::store_timeout, "store timed out"}}};
    expect_kept("store_timeout: store timed out", {"acquire"});
}

// Withdrawn claims

Client informed_client()
{
    auto client = refreshing_client();
    client.userinfo = client.needs.userinfo = true;
    client.needs.claims = {"department", "email", "nickname", "sub"};
    client.needs_digest = digest_of_needs(client.needs);
    return client;
}

class InformedRenewal : public RenewalTest {
public:
    InformedRenewal()
    {
        play.userinfo = json_answer(
            R"({"sub":"user-1","nickname":"Jane","department":"Tea"})");
        configure_informed();
    }

    void configure_informed()
    {
        auto answer = play.userinfo;
        play = Play(informed_client());
        play.userinfo = answer;
        log_in();
    }
};

TEST_F(InformedRenewal, AsksForUserInfoWithTheNewToken)
{
    play.userinfo = json_answer(R"({"sub":"user-1","nickname":"J"})");
    auto end = renew_when_due();
    EXPECT_EQ(play.asked, (Asked{"acquire", "token", "userinfo"}));
    EXPECT_EQ(play.requests.at("userinfo").authorization, "Bearer at-2");
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->claim("nickname"), "J");
    EXPECT_EQ(end.session->claim("department"), std::nullopt);
    EXPECT_EQ(end.session->userinfo(), R"({"sub":"user-1","nickname":"J"})");
    EXPECT_EQ(play.current()->claim("department"), std::nullopt);
}

TEST_F(InformedRenewal, KeepsTheOldOneWhereItIsNotToBeHad)
{
    const std::pair<Result<HttpResponse>, std::string> cases[] = {
        {Error{Errc::upstream_timeout, "provider timed out"},
            "upstream_timeout: provider timed out"},
        {HttpResponse{500, "", "", ""},
            "upstream_status: provider returned status 500"},
        {json_answer("{"), "userinfo_malformed: user info is malformed JSON"},
    };
    for (const auto& [answer, why] : cases) {
        configure_informed();
        play.userinfo = answer;
        auto end = renew_when_due();
        EXPECT_EQ(complaint(*end.warning), why);
        ASSERT_TRUE(end.session);
        EXPECT_EQ(end.session->access_token(), "at-2");
        EXPECT_EQ(end.session->claim("department"), "Tea");
        EXPECT_EQ(end.result, Lines{value()});
        EXPECT_EQ(end.keep_result, 300s);
        play.userinfo.reset();
        play.now = due + 3600s;
        EXPECT_EQ(play.renewal().session->claim("department"), std::nullopt);
        play.userinfo = json_answer(R"({"sub":"user-1","department":"Tea"})");
    }
}

// A client that leaves early keeps no claims by that: the next request fetches
// them.
TEST_F(InformedRenewal, ThatWasLeftIsDoneAgainByTheNext)
{
    auto jar = play.jar;
    auto answer = std::exchange(play.userinfo,
        Result<HttpResponse>(
            Error{Errc::request_aborted, "client closed the connection"}));
    auto end = renew_when_due();
    ASSERT_TRUE(end.session);
    EXPECT_TRUE(end.session->owes_userinfo());
    EXPECT_EQ(end.result, Lines{value()});

    // also a request with the old cookie, which gets the result
    play.userinfo = json_answer(R"({"sub":"user-1"})");
    play.jar = jar;
    end = play.renewal();
    EXPECT_EQ(
        play.asked, (Asked{"acquire", "load", "acquire", "token", "userinfo"}));
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->claim("department"), std::nullopt);
    EXPECT_FALSE(end.session->owes_userinfo());
    EXPECT_TRUE(play.renewal().session);
    EXPECT_EQ(play.asked, Asked{});
}

TEST_F(InformedRenewal, ThatWasLeftIsNotDoneByWhoMayNot)
{
    play.userinfo =
        Error{Errc::request_aborted, "client closed the connection"};
    renew_when_due();
    EXPECT_TRUE(play.renewal(Refresh::never).session);
    EXPECT_EQ(play.asked, Asked{});
}

TEST_F(InformedRenewal, EndsTheSessionWhereItIsRefused)
{
    for (int status : {401, 403}) {
        configure_informed();
        auto answer =
            std::exchange(play.userinfo, HttpResponse{status, "", "", ""});
        expect_end("userinfo_refused: provider refused user info with status " +
                std::to_string(status),
            {"acquire", "token", "userinfo", "revoke"});
        play.userinfo = answer;
    }
}

TEST_F(InformedRenewal, EndsTheSessionWhereItIsOfAnotherUser)
{
    play.userinfo = json_answer(R"({"sub":"user-2"})");
    expect_end(
        "userinfo_subject: user info has a different sub, \"\\x22user-2\\x22\"",
        {"acquire", "token", "userinfo", "revoke"});
}

// Results of other requests

TEST_F(RenewalTest, ThatAnotherRequestDidIsPickedUp)
{
    auto jar = play.jar;
    renew_when_due();
    auto renewed = play.jar;
    for (auto now : {due, due + 1s, due + 299s}) {
        play.now = now;
        play.jar = jar;
        auto end = play.renewal();
        EXPECT_EQ(complaint(end), "");
        EXPECT_EQ(play.asked, (Asked{"acquire", "load"}));
        ASSERT_TRUE(end.session);
        EXPECT_EQ(end.session->access_token(), "at-2");
        EXPECT_EQ(play.jar.cookies, renewed.cookies);
    }
}

TEST_F(RenewalTest, ThatEndedForAnotherRequestEndsForThisOne)
{
    play.now = due;
    auto old = *play.current(); // read before the other request ended it
    play.refreshed = refusal("invalid_grant");
    renew_when_due();
    play.refreshed.reset();
    auto view = play.view("/page");
    Renewal renewal(play.provider, view, old, Refresh::asked_for);
    auto end = play.run(renewal);
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(play.asked, Asked{"acquire"});
    EXPECT_FALSE(end.session);
    EXPECT_FALSE(end.warning);
}

// The provider has just failed another session.
TEST_F(RenewalTest, ThatIsLeftToOthersAsksNobody)
{
    play.now = due;
    auto end = play.renewal(Refresh::by_others);
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(play.asked, Asked{"acquire"});
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->access_token(), "at-1");
    EXPECT_TRUE(end.cookies.empty());
    EXPECT_TRUE(end.result.empty());
    EXPECT_EQ(end.keep_result, 10s);

    play.now = due + 9s;
    EXPECT_EQ(play.renewal().session->access_token(), "at-1");
    EXPECT_EQ(play.asked, Asked{"acquire"});
    play.now = due + 10s;
    EXPECT_EQ(play.renewal().session->access_token(), "at-2");
}

TEST_F(RenewalTest, ThatIsLeftToOthersPicksUpWhatTheyGot)
{
    auto jar = play.jar;
    renew_when_due();
    play.jar = jar;
    auto end = play.renewal(Refresh::by_others);
    EXPECT_EQ(play.asked, (Asked{"acquire", "load"}));
    EXPECT_EQ(end.session->access_token(), "at-2");
    EXPECT_EQ(play.current()->access_token(), "at-2");
}

TEST_F(RenewalTest, ThatVanishedLeavesTheSessionAsItIs)
{
    play.acquired[Purpose::renewal] = {Acquired::vanished, {}};
    auto end = renew_when_due();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(play.asked, Asked{"acquire"});
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->access_token(), "at-1");
    EXPECT_TRUE(end.cookies.empty());
}

TEST_F(RenewalTest, TakesNothingButThisSessionFromOthers)
{
    auto jar = std::exchange(play.jar, Jar());
    log_in();
    auto others = value();
    for (const auto& result :
        {"junk"s, ""s, "+"s, std::string(5000, 'A'), others}) {
        play.jar = jar;
        play.acquired[Purpose::renewal] = {Acquired::ended, {result}};
        auto end = renew_when_due();
        EXPECT_EQ(complaint(end), "");
        EXPECT_FALSE(end.session) << result;
        EXPECT_TRUE(end.cookies.empty());
    }
}

// An attacker who can write to the store cannot insert a session, nor another
// user's without its ticket.
TEST_F(RenewalTest, TakesNoTicketOfAnotherSessionFromOthers)
{
    auto client = refreshing_client();
    client.session_store = SessionStore::named;
    configure(client);
    auto jar = std::exchange(play.jar, Jar());
    log_in();
    auto others = value();
    play.jar = jar;
    play.acquired[Purpose::renewal] = {Acquired::ended, {others}};
    auto end = renew_when_due();
    EXPECT_EQ(complaint(end), "");
    EXPECT_FALSE(end.session);
    EXPECT_TRUE(end.cookies.empty());
}

// Idle timeout

TEST_F(RenewalTest, SealsAnIdleSessionOnceInATwentieth)
{
    auto client = refreshing_client();
    client.session_idle_timeout = 600s;
    configure(client);
    auto before = value();
    play.now = noon + 29s;
    EXPECT_TRUE(play.renewal().cookies.empty());

    play.now = noon + 30s;
    auto end = play.renewal(Refresh::never);
    EXPECT_EQ(play.asked, Asked{});
    ASSERT_TRUE(end.session);
    EXPECT_NE(value(), before);
    EXPECT_EQ(end.session->expires(), noon + eight_hours);
    EXPECT_TRUE(play.renewal().cookies.empty());

    play.now = noon + 629s;
    EXPECT_TRUE(play.renewal().session);
    play.now = noon + 629s + 600s;
    EXPECT_FALSE(play.renewal().session);
}

// A session in use every minute is not idle, whatever the provider does.
TEST_F(RenewalTest, SealsAnIdleSessionWhereTheProviderIsDown)
{
    auto client = refreshing_client();
    client.session_idle_timeout = 600s;
    configure(client);
    play.refreshed = Error{Errc::upstream_timeout, "provider timed out"};
    auto end = noon + 2 * 3600s;
    for (play.now = noon; play.now < end; play.now += 60s) {
        ASSERT_TRUE(play.renewal().session) << play.now - noon;
    }
}

TEST_F(RenewalTest, ThatIsPickedUpWasSeenByNow)
{
    auto client = refreshing_client();
    client.session_idle_timeout = 600s;
    configure(client);
    for (play.now = noon; play.now < due - 60s; play.now += 60s) {
        play.renewal();
    }
    auto jar = play.jar;
    renew_when_due();
    play.jar = jar;
    play.now = due + 60s;
    auto end = play.renewal();
    EXPECT_EQ(play.asked, (Asked{"acquire", "load"}));
    EXPECT_EQ(end.session->access_token(), "at-2");
    EXPECT_FALSE(end.session->wants_seal(client, play.now));
    EXPECT_FALSE(play.current()->wants_seal(client, play.now));
}

// Sessions in a store

class StoredRenewal : public RenewalTest {
public:
    StoredRenewal()
    {
        named.session_store = SessionStore::named;
        configure(named);
        EXPECT_EQ(play.store.size(), 1u);
        ticket = play.opened().ticket;
    }

    Client named = refreshing_client();
    std::optional<Ticket> ticket;
};

TEST_F(StoredRenewal, FetchesTheSession)
{
    auto end = play.renewal();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(play.asked, Asked{"load"});
    EXPECT_EQ(play.load.key, ticket->key());
    EXPECT_EQ(play.load.revocation_keys, first->revocation_keys(named));
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->id(), first->id());
    EXPECT_TRUE(end.cookies.empty());
    EXPECT_TRUE(end.result.empty());
}

TEST_F(StoredRenewal, HasNoneThatTheStoreLost)
{
    play.store.clear();
    auto end = play.renewal();
    EXPECT_EQ(complaint(end), "");
    EXPECT_FALSE(end.session);
    EXPECT_EQ(play.asked, Asked{"load"});
    EXPECT_TRUE(end.cookies.empty());
}

TEST_F(StoredRenewal, HasNoneThatTheStoreSpoilt)
{
    for (auto& [key, stored] : play.store) {
        stored.blob.back() ^= 1;
    }
    EXPECT_FALSE(play.renewal().session);
}

TEST_F(StoredRenewal, HasNoneThatWasRevoked)
{
    const auto marks = first->revocation_keys(named);
    ASSERT_EQ(marks.size(), 3u);
    for (const auto& mark : marks) {
        play.revocations = {{mark, first->started()}};
        EXPECT_FALSE(play.renewal().session);
        play.revocations = {{mark, first->started() - 1ms}};
        EXPECT_TRUE(play.renewal().session);
    }
    play.revocations = {{"another", noon + 24h}};
    EXPECT_TRUE(play.renewal().session);
}

TEST_F(StoredRenewal, FailsWithItsStore)
{
    for (const auto& error : {Error{Errc::store_unreachable, "no store"},
             Error{Errc::store_timeout, "store timed out"},
             Error{Errc::store_answer, "store sent nonsense"}}) {
        play.broken = {{"load", error}};
        EXPECT_EQ(complaint(play.renewal()), complaint(error));
    }
    play.broken.clear();
    EXPECT_TRUE(play.renewal().session);
}

TEST_F(StoredRenewal, KeepsTheNewTokensThere)
{
    auto end = renew_when_due();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(play.asked, (Asked{"load", "acquire", "token", "save"}));
    EXPECT_EQ(play.save->key, ticket->key());
    EXPECT_EQ(play.save->until, due + eight_hours);
    EXPECT_EQ(end.result, Lines{"+"});
    EXPECT_EQ(end.keep_result, 300s);
    EXPECT_EQ(play.opened().ticket->key(), ticket->key());
    EXPECT_EQ(play.current()->access_token(), "at-2");
    EXPECT_EQ(play.store.size(), 1u);
}

TEST_F(StoredRenewal, IsThereForAnOlderCopyOfTheTicket)
{
    auto jar = play.jar;
    renew_when_due();
    play.jar = jar;
    auto end = play.renewal();
    EXPECT_EQ(play.asked, Asked{"load"});
    EXPECT_EQ(end.session->access_token(), "at-2");
}

// Its blob was read before the other request saved the new one.
TEST_F(StoredRenewal, ThatAnotherRequestDidIsFetchedAnew)
{
    play.now = due;
    auto old = *play.current();
    auto view = play.view("/page");
    Renewal slow(play.provider, view, old, Refresh::asked_for);
    auto result = play.renewal().result;

    Environment env{due, random_bytes};
    auto step = slow.start(env);
    ASSERT_TRUE(std::holds_alternative<Acquire>(step));
    step =
        slow.resume(env, Result<Acquired>(Acquired{Acquired::ended, result}));
    ASSERT_TRUE(std::holds_alternative<Load>(step));
    EXPECT_EQ(std::get<Load>(step).key, ticket->key());
    EXPECT_EQ(std::get<Load>(step).revocation_keys.size(), 3u);
    auto renewed = play.store.begin()->second.blob;
    step = slow.resume(env, Result<Loaded>(Loaded{renewed, {}}));
    ASSERT_TRUE(std::holds_alternative<Finish>(step));
    EXPECT_EQ(std::get<Finish>(step).session->access_token(), "at-2");
}

TEST_F(StoredRenewal, FailsWhereTheNewTokensCannotBeKept)
{
    play.broken = {{"save", Error{Errc::store_full, "store is full"}}};
    auto end = renew_when_due();
    EXPECT_EQ(complaint(end), "store_full: store is full");
    EXPECT_EQ(play.asked, (Asked{"load", "acquire", "token", "save"}));
    EXPECT_TRUE(end.result.empty());

    // the logout is not confirmed
    play.broken.clear();
    EXPECT_EQ(play.renewal().session->access_token(), "at-2");
    EXPECT_EQ(play.asked, (Asked{"load", "acquire", "token", "save"}));
}

TEST_F(StoredRenewal, ThatIsRefusedDropsTheSession)
{
    play.refreshed = refusal("invalid_grant");
    expect_end(
        "provider_invalid_grant: provider returned error \"invalid_grant\"",
        {"load", "acquire", "token", "revoke", "drop"});
    EXPECT_TRUE(play.store.empty());
}

TEST_F(StoredRenewal, ThatIsRefusedEndsTheSessionWhateverTheStoreSays)
{
    for (auto step : {"revoke", "drop"}) {
        configure(named);
        play.refreshed = refusal("invalid_grant");
        play.broken = {{step, Error{Errc::store_timeout, "store timed out"}}};
        expect_end("provider_invalid_grant: provider returned error "
                   "\"invalid_grant\", and store timed out",
            {"load", "acquire", "token", "revoke", "drop"});
    }
}

TEST_F(StoredRenewal, LivesOnInItsStoreWithoutNewCookies)
{
    named.session_idle_timeout = 600s;
    configure(named);
    for (play.now = noon; play.now < due; play.now += 599s) {
        auto end = play.renewal();
        ASSERT_TRUE(end.session) << play.now - noon;
        EXPECT_EQ(play.asked, Asked{"load"});
        EXPECT_TRUE(end.cookies.empty());
    }
    play.now += 601s;
    EXPECT_FALSE(play.renewal().session);
}

// Sessions from before the configuration named a store

class Migration : public RenewalTest {
public:
    Migration()
    {
        auto client = refreshing_client();
        client.session_store = SessionStore::named;
        play.configure(client);
    }
};

TEST_F(Migration, MovesASessionIntoTheStore)
{
    auto end = play.renewal(Refresh::never);
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(play.asked, (Asked{"load", "save"}));
    EXPECT_EQ(play.load.key, "");
    EXPECT_EQ(play.load.revocation_keys,
        first->revocation_keys(play.provider.client()));
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->id(), first->id());

    auto opened = play.opened();
    EXPECT_FALSE(opened.session);
    ASSERT_TRUE(opened.ticket);
    EXPECT_EQ(play.save->key, opened.ticket->key());
    EXPECT_EQ(play.save->until, noon + eight_hours);
    EXPECT_EQ(play.current()->access_token(), "at-1");

    EXPECT_TRUE(play.renewal().session);
    EXPECT_EQ(play.asked, Asked{"load"});
}

TEST_F(Migration, ComesBeforeARefresh)
{
    auto end = renew_when_due();
    EXPECT_EQ(play.asked, (Asked{"load", "save"}));
    EXPECT_EQ(end.session->access_token(), "at-1");
    end = play.renewal();
    EXPECT_EQ(play.asked,
        (Asked{"load", "acquire", "metadata", "keys", "token", "save"}));
    EXPECT_EQ(end.session->access_token(), "at-2");
}

TEST_F(Migration, MovesNoSessionThatWasRevoked)
{
    play.revocations[first->revocation_keys(play.provider.client()).front()] =
        noon;
    auto end = play.renewal();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(play.asked, (Asked{"load", "pin"}));
    EXPECT_FALSE(end.session);
    EXPECT_TRUE(play.store.empty());
}

TEST_F(Migration, FailsWithItsStore)
{
    for (auto step : {"load", "save"}) {
        play.broken = {{step, Error{Errc::store_timeout, "store timed out"}}};
        EXPECT_EQ(complaint(play.renewal()), "store_timeout: store timed out");
    }
    play.broken.clear();
    EXPECT_TRUE(play.renewal().session);
}

// Sessions that outgrow their cookies

TEST_F(RenewalTest, MovesWhatHasOutgrownItsCookie)
{
    auto jar = play.jar;
    play.refresh_members = {
        {"access_token", "\"" + std::string(4000, 'a') + "\""}};
    auto end = renew_when_due();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(play.asked, (Asked{"acquire", "token", "save"}));
    EXPECT_TRUE(play.opened().ticket);
    EXPECT_EQ(play.current()->access_token()->size(), 4000u);
    EXPECT_EQ(end.result, Lines{value()});

    // where requests with the same cookie find it
    play.jar = jar;
    end = play.renewal();
    EXPECT_EQ(play.asked, (Asked{"acquire", "load"}));
    EXPECT_EQ(end.session->access_token()->size(), 4000u);
    EXPECT_TRUE(play.opened().ticket);

    // unless it has been revoked
    play.jar = jar;
    auto old = *play.current();
    auto keys = first->revocation_keys(play.provider.client());
    play.revocations[keys.front()] = due;
    auto view = play.view("/page");
    Renewal renewal(play.provider, view, old, Refresh::asked_for);
    EXPECT_FALSE(play.run(renewal).session);
    EXPECT_EQ(play.asked, (Asked{"acquire", "load", "pin"}));
    EXPECT_EQ(play.pin.keys, keys);
    EXPECT_EQ(play.pin.subject, keys[1]);
}

TEST_F(RenewalTest, EndsWhatHasOutgrownAllItsCookies)
{
    auto client = refreshing_client();
    client.session_store = SessionStore::cookie;
    configure(client);
    play.refresh_members = {
        {"access_token", "\"" + std::string(9000, 'a') + "\""}};
    auto end = renew_when_due();
    EXPECT_EQ(complaint(end), "");
    EXPECT_FALSE(end.session);
    EXPECT_TRUE(
        complaint(*end.warning).starts_with("session_too_large: session needs"))
        << complaint(*end.warning);
    EXPECT_EQ(play.jar.cookies.count(session_cookie), 0u);
}

TEST_F(RenewalTest, SaysWhatItIsDoing)
{
    auto view = play.view("/page");
    Renewal renewal(play.provider, view, *first, Refresh::asked_for);
    EXPECT_EQ(renewal.action(), "extending a session");
    renewal.start({due, random_bytes});
    EXPECT_EQ(renewal.action(), "renewing a session");
    EXPECT_EQ(Restore(play.provider, {}).action(), "loading a session");
}

}
}
