#include "flow/logout.h"
#include "flow/backchannel_logout.h"
#include "flow/frontchannel_logout.h"

#include "core/encoding.h"
#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

using Asked = std::vector<std::string>;

constexpr auto session_cookie = "__Host-NGX_OIDC_SESSION";
constexpr Seconds eight_hours = 8h;

// A browser logged in at noon; the provider's sid is "s-1".
class LogoutTest : public testing::Test {
public:
    LogoutTest() { configure(logout_client()); }

    static Client logout_client()
    {
        auto client = example_client();
        client.needs.access_token = client.needs.id_token = true;
        client.needs.refresh_token = true;
        client.needs_digest = digest_of_needs(client.needs);
        client.logout_uri = "/logout";
        return client;
    }

    void configure(const Client& client, bool has_endpoints = true)
    {
        play = Play(client);
        play.metadata = json_answer(object(
            has_endpoints ? metadata_with_logout() : example_metadata()));
        play.token_members = {{"refresh_token", R"("rt-1")"}};
        play.fetch_site = "same-origin";
        log_in();
    }

    void log_in()
    {
        play.claims = {{"sid", R"("s-1")"}};
        play.gate();
        EXPECT_EQ(complaint(play.callback()), "");
        session = play.current();
        play.claims.clear();
    }

    std::string mark(std::string_view kind, std::string_view value) const
    {
        return revocation_key(play.provider.client(), kind, value);
    }

    bool is_logged_in() { return play.current().has_value(); }
    bool has_cookie() { return play.jar.cookies.count(session_cookie) == 1; }

    // The same for a copy of its cookie.
    bool is_good(const Jar& jar)
    {
        auto before = std::exchange(play.jar, jar);
        auto good = is_logged_in();
        play.jar = before;
        return good;
    }

    Play play;
    std::optional<Session> session;
};

// Requested by the user, or not

TEST_F(LogoutTest, EndsTheSession)
{
    auto copy = play.jar;
    auto end = play.logout();
    EXPECT_EQ(complaint(end), "");
    EXPECT_FALSE(end.warning);
    EXPECT_EQ(end.page, Page::none);
    EXPECT_EQ(play.asked, Asked{"revoke"});
    EXPECT_FALSE(has_cookie());
    EXPECT_FALSE(is_good(copy));
    EXPECT_EQ(play.revoke.keys, std::vector{mark("session", session->id())});
    EXPECT_EQ(play.revoke.until, noon + eight_hours);
    EXPECT_TRUE(play.revoke.is_proven);
}

TEST_F(LogoutTest, EndsThisSessionAlone)
{
    auto other = play.jar;
    play.jar = Jar();
    log_in();
    play.logout();
    EXPECT_TRUE(is_good(other));
}

TEST_F(LogoutTest, TakesEffectAtOnceWhereItComesFromOurPages)
{
    for (auto method : {"GET", "POST"}) {
        for (auto site : {"same-origin", "same-site", "none"}) {
            configure(logout_client());
            play.method = method;
            play.fetch_site = site;
            play.source = "https://evil.example"; // ignored then
            EXPECT_EQ(complaint(play.logout()), "");
            EXPECT_FALSE(is_logged_in()) << site;
        }
    }
}

// Older browsers send Origin or Referer.
TEST_F(LogoutTest, TakesEffectAtOnceWhereItsSourceIsOurOrigin)
{
    play.fetch_site.clear();
    for (auto source : {"https://app.example", "https://app.example/page?a=b",
             "https://APP.example/", "https://app.example:443/"}) {
        log_in();
        play.source = source;
        EXPECT_EQ(complaint(play.logout()), "");
        EXPECT_FALSE(is_logged_in()) << source;
    }
}

TEST_F(LogoutTest, AsksTheUserWhereAnotherSiteLeadsHere)
{
    const std::pair<std::string, std::string> cases[] = {
        {"cross-site", ""},
        {"cross-site", "https://app.example/"},
        {"", ""},
        {"", "null"},
        {"", "https://evil.example/"},
        {"", "https://app.example.evil/"},
        {"", "https://evil.example/?https://app.example/"},
        {"", "https://sub.app.example/"},
        {"", "http://app.example/"},
        {"", "https://app.example:8443/"},
        {"", "app.example"},
        {"", "https://app.example@evil.example/"},
    };
    for (const auto& [site, source] : cases) {
        for (auto method : {"GET", "POST"}) {
            play.method = method;
            play.fetch_site = site;
            play.source = source;
            auto end = play.logout();
            EXPECT_EQ(complaint(end), "");
            EXPECT_EQ(end.page, Page::confirm_logout) << site << source;
            EXPECT_EQ(end.confirmation.size(), 22u);
            EXPECT_EQ(end.location, "");
            EXPECT_TRUE(end.cookies.empty());
            EXPECT_EQ(play.asked, Asked{});
            EXPECT_TRUE(is_logged_in());
        }
    }
}

TEST_F(LogoutTest, GoesOnWhereTheUserConfirms)
{
    play.fetch_site = "cross-site";
    auto confirmation = play.logout().confirmation;
    play.method = "POST";
    play.fetch_site.clear();
    auto end = play.logout("confirm=" + confirmation);
    EXPECT_EQ(end.page, Page::logging_out);
    EXPECT_EQ(play.asked, Asked{"revoke"});
    EXPECT_FALSE(is_logged_in());
}

TEST_F(LogoutTest, IsConfirmedForThisSessionAlone)
{
    play.fetch_site = "cross-site";
    auto ours = play.logout().confirmation;
    auto jar = std::exchange(play.jar, Jar());
    log_in();
    auto others = play.logout().confirmation;
    EXPECT_NE(others, ours);

    play.jar = jar;
    play.method = "POST";
    for (const auto& form : {"confirm=" + others, "confirm="s, ""s, "confirm"s,
             "confirm=x"s, "confirm=" + ours + "&confirm=" + ours,
             "confirm=" + ours + "&confirm=", "Confirm=" + ours,
             "confirm=" + ours + "x", "confirm=" + ours.substr(1),
             "confirm=%zz&confirm=" + ours}) {
        EXPECT_EQ(play.logout(form).page, Page::confirm_logout) << form;
        EXPECT_TRUE(is_logged_in());
    }
    EXPECT_EQ(play.logout("a=b&confirm=" + ours).page, Page::logging_out);
}

// The page is from before a reload, or from another node.
TEST_F(LogoutTest, IsConfirmedByAnyOfOurKeys)
{
    play.fetch_site = "cross-site";
    auto confirmation = play.logout().confirmation;
    auto client = play.provider.client();
    Secret masters[] = {master_key(2), master_key(1)};
    play.provider = Provider(client, masters);
    EXPECT_NE(play.logout().confirmation, confirmation);
    EXPECT_EQ(play.logout("confirm=").page, Page::confirm_logout);
    EXPECT_NE(
        play.logout("confirm=" + confirmation).page, Page::confirm_logout);
    EXPECT_FALSE(is_logged_in());
}

TEST_F(LogoutTest, IsAGetOrAPost)
{
    for (auto method : {"HEAD", "PUT", "OPTIONS", "get", "DELETE"}) {
        play.method = method;
        EXPECT_EQ(complaint(play.logout()),
            "logout_malformed: client sent unsupported method \""s + method +
                "\"");
        EXPECT_TRUE(is_logged_in());
    }
}

// A GET that is no navigation, or a prefetch: from any page, with or without a
// session.
TEST_F(LogoutTest, ThatNobodyAskedForEndsNothing)
{
    auto prefetch = "in a prefetch"s;
    auto subresource = [](const std::string& mode, const std::string& to) {
        return "in a subresource request, Sec-Fetch-Mode " +
            oidc::quoted(mode) + ", Sec-Fetch-Dest " + oidc::quoted(to);
    };
    const struct {
        std::string purpose, mode, dest, why;
    } cases[] = {
        {"prefetch", "navigate", "document", prefetch},
        {"prefetch;prerender", "navigate", "document", prefetch},
        {"preview", "", "", prefetch},
        {"prefetch", "no-cors", "empty", prefetch},
        {"", "no-cors", "image", subresource("no-cors", "image")},
        {"", "cors", "empty", subresource("cors", "empty")},
        {"", "navigate", "embed", subresource("navigate", "embed")},
        {"", "navigate", "object", subresource("navigate", "object")},
        {"", "no-cors", "", subresource("no-cors", "")},
        {"", "", "image", subresource("", "image")},
    };
    auto jar = play.jar;
    for (const auto& [purpose, mode, dest, why] : cases) {
        for (auto site : {"same-origin", "cross-site", ""}) {
            play.purpose = purpose;
            play.fetch_mode = mode;
            play.fetch_dest = dest;
            play.fetch_site = site;
            play.jar = jar;
            auto end = play.logout();
            EXPECT_EQ(complaint(end),
                "logout_unasked: client requested a logout " + why);
            EXPECT_TRUE(end.cookies.empty());
            EXPECT_EQ(end.page, Page::none);
            EXPECT_EQ(play.asked, Asked{});
            EXPECT_TRUE(is_logged_in());

            play.jar = Jar();
            EXPECT_TRUE(complaint(play.logout()).starts_with("logout_unasked"));
        }
    }
}

// The store is not used for that, and the cookie stays.
TEST_F(LogoutTest, ThatNobodyAskedForEndsNothingWhereTheStoreIsDown)
{
    play.failure = Error{Errc::store_timeout, "store timed out"};
    play.purpose = "prefetch";
    EXPECT_TRUE(complaint(play.logout()).starts_with("logout_unasked: "));
    EXPECT_TRUE(has_cookie());
}

TEST_F(LogoutTest, IsANavigationOfAnyKind)
{
    const std::pair<const char*, const char*> cases[] = {
        {"navigate", "document"}, {"navigate", "iframe"}, {"navigate", "frame"},
        {"navigate", ""}, {"", "document"}, {"", ""}};
    for (const auto& [mode, dest] : cases) {
        configure(logout_client());
        play.fetch_mode = mode;
        play.fetch_dest = dest;
        EXPECT_EQ(complaint(play.logout()), "");
        EXPECT_FALSE(is_logged_in()) << mode << dest;
    }
}

// From a script as from a form.
TEST_F(LogoutTest, ThatIsPostedIsAskedFor)
{
    for (auto purpose : {"", "prefetch"}) {
        configure(logout_client());
        play.method = "POST";
        play.fetch_mode = "cors";
        play.fetch_dest = "empty";
        play.purpose = purpose;
        EXPECT_EQ(complaint(play.logout()), "");
        EXPECT_FALSE(is_logged_in()) << purpose;
    }
}

// A page may forbid redirects of its forms to other origins (CSP, form-action).
TEST_F(LogoutTest, ThatIsPostedGoesOnFromAPage)
{
    play.method = "POST";
    auto end = play.logout();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.page, Page::logging_out);
    EXPECT_TRUE(end.location.starts_with("https://op.example/logout?"));
    EXPECT_FALSE(has_cookie());

    play.jar = Jar();
    EXPECT_EQ(play.logout().page, Page::logging_out); // without a session, too

    auto client = logout_client();
    client.post_logout_uri = "/bye";
    configure(client, false);
    play.method = "POST";
    end = play.logout();
    EXPECT_EQ(end.page, Page::logging_out);
    EXPECT_EQ(end.location, "https://app.example/bye");

    configure(logout_client(), false);
    play.method = "POST";
    EXPECT_EQ(play.logout().page, Page::logged_out);
}

// On https the browser may have a cookie of the plain name: from before an
// upgrade, or planted.
TEST_F(LogoutTest, DeletesTheCookiesOfBothNames)
{
    play.jar.cookies["NGX_OIDC_SESSION"] = "2.planted";
    play.jar.cookies["NGX_OIDC_SESSION.1"] = "planted";
    auto end = play.logout();
    EXPECT_EQ(complaint(end), "");
    for (auto name :
        {"__Host-NGX_OIDC_SESSION", "NGX_OIDC_SESSION", "NGX_OIDC_SESSION.1"}) {
        EXPECT_EQ(cookie_of(end.cookies, name),
            name + "=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"s);
    }
}

TEST_F(LogoutTest, NeedsASaneHost)
{
    play.origin = "https://a b";
    EXPECT_EQ(complaint(play.logout()),
        "request_host: request has no usable base URL, \"https://a b\"");
}

TEST_F(LogoutTest, WithoutASessionLogsOutAtTheProvider)
{
    play.jar = Jar();
    for (auto site : {"same-origin", "cross-site", ""}) {
        play.fetch_site = site;
        auto end = play.logout();
        EXPECT_EQ(complaint(end), "");
        EXPECT_EQ(play.asked, Asked{});
        EXPECT_TRUE(end.location.starts_with("https://op.example/logout?"));
        EXPECT_TRUE(end.cookies.empty());
    }
}

TEST_F(LogoutTest, DeletesACookieThatHoldsNoSessionAnyMore)
{
    play.now = noon + eight_hours;
    auto end = play.logout();
    EXPECT_EQ(complaint(end), "");
    EXPECT_FALSE(has_cookie());
}

TEST_F(LogoutTest, ForgetsTheRoundsOfLogins)
{
    ASSERT_EQ(
        play.jar.cookies.count("__Host-NGX_OIDC_SESSION_login_rounds"), 1u);
    play.logout();
    EXPECT_EQ(
        play.jar.cookies.count("__Host-NGX_OIDC_SESSION_login_rounds"), 0u);
}

// Where it ends

TEST_F(LogoutTest, GoesToTheProvider)
{
    auto end = play.logout();
    EXPECT_EQ(end.location.substr(0, end.location.find('?')),
        "https://op.example/logout");
    auto sent = parameters(end.location);
    EXPECT_EQ(sent.at("client_id"), "app");
    EXPECT_EQ(sent.at("state").size(), 22u);
    EXPECT_EQ(sent.size(), 2u);

    log_in();
    EXPECT_NE(parameters(play.logout().location).at("state"), sent.at("state"));
}

TEST_F(LogoutTest, SaysWhereToGoFromTheProvider)
{
    auto client = logout_client();
    const std::pair<const char*, const char*> cases[] = {
        {"/bye", "https://app.example/bye"},
        {"https://www.example/bye?a=b", "https://www.example/bye?a=b"},
    };
    for (const auto& [uri, absolute] : cases) {
        client.post_logout_uri = uri;
        configure(client);
        EXPECT_EQ(
            parameters(play.logout().location).at("post_logout_redirect_uri"),
            absolute);
    }
}

TEST_F(LogoutTest, ShowsTheProviderTheIdTokenOnDemand)
{
    auto client = logout_client();
    client.logout_token_hint = true;
    configure(client);
    auto hint = session->id_token().value();
    EXPECT_EQ(parameters(play.logout().location).at("id_token_hint"), hint);

    EXPECT_EQ(parameters(play.logout().location).count("id_token_hint"), 0u);
}

TEST_F(LogoutTest, WithoutAnEndSessionEndpointStaysHere)
{
    auto client = logout_client();
    configure(client, false);
    auto end = play.logout();
    EXPECT_EQ(complaint(end), "");
    EXPECT_FALSE(end.warning);
    EXPECT_EQ(end.page, Page::logged_out);
    EXPECT_EQ(end.location, "");
    EXPECT_FALSE(has_cookie());

    client.post_logout_uri = "/bye";
    configure(client, false);
    end = play.logout();
    EXPECT_EQ(end.page, Page::none);
    EXPECT_EQ(end.location, "https://app.example/bye");
}

TEST_F(LogoutTest, WithoutAProviderEndsTheSessionAllTheSame)
{
    auto client = logout_client();
    client.session_timeout = 30 * 86400s;
    client.revoke_on_logout = true;
    configure(client);
    play.now = noon + 3 * 86400s;
    play.metadata = Error{Errc::upstream_unreachable, "no provider"};
    auto copy = play.jar;
    auto end = play.logout();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(play.asked, (Asked{"revoke", "metadata"}));
    ASSERT_TRUE(end.warning);
    EXPECT_EQ(complaint(*end.warning), "upstream_unreachable: no provider");
    EXPECT_EQ(end.page, Page::logged_out);
    EXPECT_FALSE(has_cookie());
    EXPECT_FALSE(is_good(copy));
}

TEST_F(LogoutTest, DropsWhatTheStoreKeeps)
{
    auto client = logout_client();
    client.session_store = SessionStore::named;
    configure(client);
    ASSERT_EQ(play.store.size(), 1u);
    auto copy = play.jar;
    EXPECT_EQ(complaint(play.logout()), "");
    EXPECT_EQ(play.asked, (Asked{"drop", "revoke"}));
    EXPECT_TRUE(play.store.empty());
    EXPECT_FALSE(is_good(copy));
}

// No user is told of a logout that failed; but this browser is logged out.
TEST_F(LogoutTest, ThatFailsWithItsStoreTakesTheCookie)
{
    auto client = logout_client();
    client.session_store = SessionStore::named;
    for (auto step : {"revoke", "drop"}) {
        configure(client);
        play.broken = {{step, Error{Errc::store_timeout, "store timed out"}}};
        auto end = play.logout();
        EXPECT_EQ(complaint(end), "store_timeout: store timed out");
        EXPECT_EQ(end.page, Page::logged_out_here);
        EXPECT_FALSE(has_cookie());
    }
}

TEST_F(LogoutTest, WhereTheStoreDoesNotTellOfTheSessionTakesTheCookie)
{
    play.failure = Error{Errc::store_timeout, "store timed out"};
    auto end = play.logout();
    EXPECT_EQ(complaint(end), "store_timeout: store timed out");
    EXPECT_EQ(end.page, Page::logged_out_here);
    EXPECT_EQ(play.asked, Asked{});
    EXPECT_FALSE(has_cookie());
}

TEST_F(LogoutTest, OfAnotherSiteTakesNoCookieWhereTheStoreDoesNotTell)
{
    play.failure = Error{Errc::store_timeout, "store timed out"};
    play.fetch_site = "cross-site";
    EXPECT_EQ(complaint(play.logout()), "store_timeout: store timed out");
    EXPECT_TRUE(has_cookie());
}

// A record outlasts all sessions that it may have to end: of every provider
// block of this issuer and client, and from before a shorter session_timeout.
TEST_F(LogoutTest, IsRememberedAsLongAsTheLongestSession)
{
    auto client = logout_client();
    client.max_session_timeout = 3 * eight_hours;
    configure(client);
    play.logout();
    EXPECT_EQ(play.revoke.until, noon + 3 * eight_hours);

    configure(logout_client());
    client.max_session_timeout = client.session_timeout = 60s;
    play.configure(client);
    play.now = noon + 30s;
    play.logout();
    EXPECT_EQ(play.revoke.until, noon + eight_hours);
}

// Whatever the clock shows then.
TEST_F(LogoutTest, MeansTheSessionThatItEnds)
{
    play.logout();
    EXPECT_EQ(play.revoke.least, session->started());
}

TEST_F(LogoutTest, TakesTheShareOfItsSubject)
{
    play.logout();
    EXPECT_EQ(play.revoke.subject, mark("sub", "user-1"));
    EXPECT_TRUE(play.revoke.is_proven);
}

// revoke_on_logout

class RevokingLogout : public LogoutTest {
public:
    RevokingLogout()
    {
        client.revoke_on_logout = true;
        configure(client);
    }

    // The warning of a logout that continued despite the provider's response.
    std::string warning()
    {
        auto end = play.logout();
        EXPECT_EQ(complaint(end), "");
        EXPECT_TRUE(end.location.starts_with("https://op.example/logout?"));
        EXPECT_FALSE(is_logged_in());
        return end.warning ? complaint(*end.warning) : "";
    }

    Client client = logout_client();
};

TEST_F(RevokingLogout, RevokesTheRefreshToken)
{
    EXPECT_EQ(warning(), "");
    EXPECT_EQ(play.asked, (Asked{"revoke", "revoke"}));
    const auto& request = play.requests.at("revoke");
    EXPECT_EQ(request.url, "https://op.example/revoke");
    EXPECT_EQ(request.body, "token=rt-1&token_type_hint=refresh_token");
    EXPECT_TRUE(request.authorization.starts_with("Basic "));
}

TEST_F(RevokingLogout, RevokesTheAccessTokenWhereThereIsNoOther)
{
    play.token_members.clear();
    log_in();
    EXPECT_EQ(warning(), "");
    EXPECT_EQ(play.requests.at("revoke").body,
        "token=at-1&token_type_hint=access_token");
}

TEST_F(RevokingLogout, RevokesNothingWhereThereIsNothing)
{
    client.needs = example_client().needs;
    client.needs_digest = digest_of_needs(client.needs);
    configure(client);
    EXPECT_EQ(warning(), "");
    EXPECT_EQ(play.asked, Asked{"revoke"});
    EXPECT_EQ(play.requests.count("revoke"), 0u);
}

TEST_F(RevokingLogout, RevokesNothingWhereTheProviderCannot)
{
    configure(client, false);
    EXPECT_EQ(complaint(play.logout()), "");
    EXPECT_EQ(play.requests.count("revoke"), 0u);
}

TEST_F(RevokingLogout, RevokesNothingOfNoSession)
{
    play.jar = Jar();
    EXPECT_EQ(warning(), "");
    EXPECT_EQ(play.asked, Asked{});
}

TEST_F(RevokingLogout, RevokesNothingBeforeTheUserConfirms)
{
    play.fetch_site = "cross-site";
    play.logout();
    EXPECT_EQ(play.asked, Asked{});
}

TEST_F(RevokingLogout, WarnsOfAProviderThatFails)
{
    const std::pair<Result<HttpResponse>, std::string> cases[] = {
        {Error{Errc::upstream_timeout, "provider timed out"},
            "upstream_timeout: provider timed out"},
        {HttpResponse{503, "", "", ""},
            "upstream_status: provider returned status 503"},
        {HttpResponse{400, "application/json", "",
             R"({"error":"unsupported_token_type"})"},
            "provider_error: provider returned error "
            "\"unsupported_token_type\""},
    };
    for (const auto& [answer, why] : cases) {
        log_in();
        play.revoked = answer;
        EXPECT_EQ(warning(), why);
    }
}

TEST_F(RevokingLogout, WarnsWhereTheClientCannotProveItself)
{
    client.client_auth = ClientAuth::private_key_jwt;
    play.configure(client);
    EXPECT_EQ(warning(),
        "config_unusable: provider accepts no signature algorithm of "
        "client_key or client_secret");
}

TEST_F(LogoutTest, SaysWhatItIsDoing)
{
    auto view = play.view("/logout");
    EXPECT_EQ(Logout(play.provider, view, session, {}).action(), "logging out");
    EXPECT_EQ(FrontChannelLogout(play.provider, view, session, {}).action(),
        "handling a front-channel logout");
    EXPECT_EQ(BackChannelLogout(play.provider, view).action(),
        "handling a back-channel logout");
}

// Front-Channel Logout 1.0

class FrontChannelTest : public LogoutTest {
public:
    FrontChannelTest()
    {
        play.fetch_site = "cross-site";
        play.fetch_dest = "iframe";
    }

    // The page for every such request.
    Finish done(const std::string& query)
    {
        auto end = play.frontchannel_logout(query);
        EXPECT_EQ(complaint(end), "");
        EXPECT_EQ(end.page, Page::done);
        EXPECT_EQ(end.location, "");
        return end;
    }

    static constexpr auto named = "iss=https%3A%2F%2Fop.example&sid=s-1";
};

TEST_F(FrontChannelTest, EndsTheSessionThatIsNamed)
{
    auto copy = play.jar;
    done(named);
    EXPECT_EQ(play.asked, Asked{"revoke"});
    EXPECT_EQ(play.revoke.keys,
        (std::vector{mark("session", session->id()), mark("sid", "s-1")}));
    EXPECT_EQ(play.revoke.until, noon + eight_hours);
    EXPECT_TRUE(play.revoke.is_proven);
    EXPECT_FALSE(has_cookie());
    EXPECT_FALSE(is_good(copy));
}

// A browser that blocks third-party cookies sends none.
TEST_F(FrontChannelTest, EndsTheSessionOfABrowserThatSendsNoCookie)
{
    auto copy = std::exchange(play.jar, Jar());
    play.fetch_dest = "";
    auto end = done(named);
    EXPECT_TRUE(end.cookies.empty());
    EXPECT_EQ(play.asked, Asked{"revoke"});
    EXPECT_FALSE(play.revoke.is_proven);
    EXPECT_FALSE(is_good(copy));
}

TEST_F(FrontChannelTest, LeavesSessionsWithAnotherSidAlone)
{
    auto end = done("iss=https%3A%2F%2Fop.example&sid=s-2");
    EXPECT_EQ(play.asked, Asked{"revoke"});
    EXPECT_EQ(play.revoke.keys, std::vector{mark("sid", "s-2")});
    EXPECT_FALSE(play.revoke.is_proven);
    EXPECT_TRUE(end.cookies.empty());
    EXPECT_TRUE(is_logged_in());
}

TEST_F(FrontChannelTest, OfAnotherIssuerDoesNothing)
{
    for (const auto& query : {"iss=https%3A%2F%2Fevil&sid=s-1"s,
             "iss=&sid=s-1"s, "iss=https%3A%2F%2Fop.example%2F&sid=s-1"s}) {
        EXPECT_TRUE(done(query).cookies.empty());
        EXPECT_EQ(play.asked, Asked{});
        EXPECT_TRUE(is_logged_in());
    }
}

TEST_F(FrontChannelTest, ByTheCookieAloneEndsItsSession)
{
    auto copy = play.jar;
    done("");
    EXPECT_EQ(play.revoke.keys, std::vector{mark("session", session->id())});
    EXPECT_TRUE(play.revoke.is_proven);
    EXPECT_FALSE(has_cookie());
    EXPECT_FALSE(is_good(copy));
}

TEST_F(FrontChannelTest, ByTheCookieAloneEndsItsSessionInAnyFrame)
{
    play.fetch_dest = "frame";
    done("");
    EXPECT_FALSE(has_cookie());
}

TEST_F(FrontChannelTest, ByTheCookieAloneEndsNothingOutsideOfAFrame)
{
    for (auto dest : {"", "document", "empty", "image", "script", "embed",
             "IFRAME", "iframes"}) {
        play.fetch_dest = dest;
        EXPECT_TRUE(done("").cookies.empty());
        EXPECT_EQ(play.asked, Asked{});
        EXPECT_TRUE(is_logged_in()) << dest;
    }
    play.fetch_dest = "iframe";
    play.jar = Jar();
    EXPECT_TRUE(done("").cookies.empty());
    EXPECT_EQ(play.asked, Asked{});
}

TEST_F(FrontChannelTest, DropsWhatTheStoreKeeps)
{
    auto client = logout_client();
    client.session_store = SessionStore::named;
    for (const auto& query : {named, ""}) {
        configure(client);
        play.fetch_dest = "iframe";
        done(query);
        EXPECT_EQ(play.asked, (Asked{"revoke", "drop"}));
        EXPECT_TRUE(play.store.empty());
        EXPECT_FALSE(has_cookie());
    }
    configure(client);
    done("iss=https%3A%2F%2Fop.example&sid=s-2");
    EXPECT_EQ(play.asked, Asked{"revoke"});
    EXPECT_EQ(play.store.size(), 1u);
}

TEST_F(FrontChannelTest, FailsWithItsStore)
{
    auto client = logout_client();
    client.session_store = SessionStore::named;
    configure(client);
    for (auto step : {"revoke", "drop"}) {
        configure(client);
        play.broken = {{step, Error{Errc::store_timeout, "store timed out"}}};
        EXPECT_EQ(complaint(play.frontchannel_logout(named)),
            "store_timeout: store timed out");
        EXPECT_FALSE(has_cookie());
    }
    configure(client);
    play.failure = Error{Errc::store_timeout, "store timed out"};
    EXPECT_EQ(complaint(play.frontchannel_logout(named)),
        "store_timeout: store timed out");
    EXPECT_TRUE(has_cookie());
}

TEST_F(FrontChannelTest, OfAnybodyTakesTheShareOfTheAddress)
{
    play.address = "\x7f\0\0\1"s;
    done("iss=https%3A%2F%2Fop.example&sid=s-2");
    EXPECT_FALSE(play.revoke.is_proven);
    EXPECT_EQ(play.revoke.address, play.address);
    EXPECT_EQ(play.revoke.subject, "");
    done(named);
    EXPECT_TRUE(play.revoke.is_proven);
    EXPECT_EQ(play.revoke.subject, mark("sub", "user-1"));
}

// As Entra ID sends it: the path tells the issuer.
TEST_F(FrontChannelTest, MayNameTheSidAlone)
{
    done("sid=s-2");
    EXPECT_EQ(play.asked, Asked{"revoke"});
    EXPECT_EQ(play.revoke.keys, std::vector{mark("sid", "s-2")});
    EXPECT_FALSE(play.revoke.is_proven);
    EXPECT_TRUE(is_logged_in());
    done("sid=s-1");
    EXPECT_TRUE(play.revoke.is_proven);
    EXPECT_FALSE(is_logged_in());
}

TEST_F(FrontChannelTest, NeedsTheIssuerWhereProvidersShareThePath)
{
    play.shares_frontchannel_logout = true;
    EXPECT_EQ(complaint(play.frontchannel_logout("sid=s-1")),
        "logout_malformed: client sent sid without iss to a "
        "frontchannel_logout_uri that oidc_providers share");
    EXPECT_TRUE(is_logged_in());
    done(named);
    EXPECT_FALSE(is_logged_in());
}

TEST_F(FrontChannelTest, IsAGetWithASidOrNoIssuer)
{
    EXPECT_EQ(
        complaint(play.frontchannel_logout("iss=https%3A%2F%2Fop.example")),
        "logout_malformed: client sent iss without sid");
    for (auto method : {"POST", "HEAD", "PUT"}) {
        play.method = method;
        EXPECT_EQ(complaint(play.frontchannel_logout(named)),
            "logout_malformed: client sent unsupported method \""s + method +
                "\"");
    }
    EXPECT_TRUE(is_logged_in());
}

TEST_F(FrontChannelTest, NamesItsProvider)
{
    EXPECT_TRUE(FrontChannelLogout::is_for(play.provider, named));
    for (auto query : {"", "sid=s-1", "iss=https%3A%2F%2Fother&sid=s-1",
             "iss=https%3A%2F%2Fop.example&iss=https%3A%2F%2Fop.example"}) {
        EXPECT_FALSE(FrontChannelLogout::is_for(play.provider, query));
    }
}

// Back-Channel Logout 1.0

class BackChannelTest : public LogoutTest {
public:
    BackChannelTest() { play.fetch_site.clear(); }

    std::string form(const Members& changes = {},
        const std::string& header = R"("kid":"k1","typ":"logout+jwt")") const
    {
        Members claims{{"iss", R"("https://op.example")"}, {"aud", R"("app")"},
            {"iat", date(play.now)}, {"exp", date(play.now + 120s)},
            {"jti", R"("j-1")"}, {"sub", R"("user-1")"}, {"sid", R"("s-1")"},
            {"events",
                R"({"http://schemas.openid.net/event/backchannel-logout":{}})"}};
        return "logout_token=" +
            play.signer->sign(
                play.alg, object(changed(claims, changes)), header);
    }

    void expect_done(const std::string& form, const Asked& asked)
    {
        auto end = play.backchannel_logout(form);
        EXPECT_EQ(complaint(end), "");
        EXPECT_EQ(end.page, Page::done);
        EXPECT_TRUE(end.cookies.empty());
        EXPECT_TRUE(end.result.empty());
        EXPECT_EQ(play.asked, asked);
    }

    void expect_refusal(const std::string& form, const std::string& why,
        const Asked& asked = {})
    {
        EXPECT_EQ(complaint(play.backchannel_logout(form)), why);
        EXPECT_EQ(play.asked, asked);
        EXPECT_TRUE(is_logged_in());
    }
};

TEST_F(BackChannelTest, EndsTheSession)
{
    expect_done(form(), {"acquire", "revoke"});
    EXPECT_FALSE(is_logged_in());
    EXPECT_EQ(play.revoke.until, noon + eight_hours);
    EXPECT_TRUE(play.revoke.is_proven);
}

// 2.6: the token names the sessions that end.
TEST_F(BackChannelTest, EndsTheSessionsThatItNames)
{
    expect_done(form({{"sub", ""}}), {"acquire", "revoke"});
    EXPECT_EQ(play.revoke.keys, std::vector{mark("sid", "s-1")});
    EXPECT_FALSE(is_logged_in());

    play.now += 1s;
    log_in();
    expect_done(
        form({{"sid", ""}, {"jti", R"("j-2")"}}), {"acquire", "revoke"});
    EXPECT_EQ(play.revoke.keys, std::vector{mark("sub", "user-1")});
    EXPECT_FALSE(is_logged_in());

    play.now += 1s;
    log_in();
    expect_done(form({{"jti", R"("j-3")"}}), {"acquire", "revoke"});
    EXPECT_EQ(play.revoke.keys,
        (std::vector{mark("sid", "s-1"), mark("sub without sid", "user-1")}));
    EXPECT_FALSE(is_logged_in());
}

TEST_F(BackChannelTest, LeavesOtherSessionsAlone)
{
    const Members others[] = {
        {{"sid", R"("s-2")"}},                         // the same user
        {{"sid", R"("s-2")"}, {"sub", ""}},            //
        {{"sid", ""}, {"sub", R"("user-2")"}},         //
        {{"sid", R"("user-1")"}, {"sub", R"("s-1")"}}, // swapped
    };
    int i = 0;
    for (auto changes : others) {
        changes["jti"] = "\"j-" + std::to_string(++i) + "\"";
        expect_done(form(changes), {"acquire", "revoke"});
        EXPECT_TRUE(is_logged_in()) << i;
    }
}

// A provider that has a sid in logout tokens alone.
TEST_F(BackChannelTest, EndsSessionsOfTheUserThatHaveNoSid)
{
    play.jar = Jar();
    play.gate();
    play.callback();
    ASSERT_EQ(play.current()->sid(), std::nullopt);
    expect_done(form({{"sid", R"("s-7")"}}), {"acquire", "revoke"});
    EXPECT_FALSE(is_logged_in());
}

TEST_F(BackChannelTest, EndsNoSessionThatBeginsLater)
{
    expect_done(form(), {"acquire", "revoke"});
    log_in(); // in the same millisecond
    EXPECT_FALSE(is_logged_in());
    play.ahead = 1ms;
    log_in();
    EXPECT_TRUE(is_logged_in());
}

TEST_F(BackChannelTest, ServesOnce)
{
    auto posted = form();
    expect_done(posted, {"acquire", "revoke"});
    EXPECT_EQ(play.acquire.purpose, Purpose::logout);
    EXPECT_EQ(play.acquire.id, mark("jti", "j-1"));
    EXPECT_EQ(play.acquire.until, noon + 180s);

    play.now = noon + 179s;
    log_in();
    expect_refusal(
        posted, "logout_token_used: logout token was used before", {"acquire"});
    play.now = noon + 180s; // it has expired
    expect_refusal(
        posted, "logout_token_expired: logout token expired 60 seconds ago");
}

TEST_F(BackChannelTest, IsTakenAgainWhereTheFirstOneVanished)
{
    play.acquired[Purpose::logout] = {Acquired::vanished, {}};
    expect_done(form(), {"acquire", "revoke"});
    EXPECT_FALSE(is_logged_in());
}

// The provider may then try again with the same token.
TEST_F(BackChannelTest, FailsWithItsStore)
{
    play.broken = {{"revoke", Error{Errc::store_full, "zone is full"}}};
    expect_refusal(form(), "store_full: zone is full", {"acquire", "revoke"});
    play.broken.clear();
    expect_done(form(), {"acquire", "revoke"});
    EXPECT_FALSE(is_logged_in());
}

TEST_F(BackChannelTest, IsAPostOfALogoutToken)
{
    for (auto method : {"GET", "HEAD", "PUT"}) {
        play.method = method;
        expect_refusal(form(),
            "logout_malformed: client sent unsupported method \""s + method +
                "\"");
    }
    play.method.reset();
    expect_refusal("", "logout_malformed: client sent no logout_token");
    expect_refusal(form() + "&logout_token=x",
        "logout_malformed: client sent parameter logout_token twice");
}

TEST_F(BackChannelTest, IsRefusedForEveryRuleByACodeOfItsOwn)
{
    const std::pair<Members, std::string> cases[] = {
        {{{"iss", R"("https://evil")"}}, "logout_token_issuer"},
        {{{"aud", R"("other")"}}, "logout_token_audience"},
        {{{"exp", "1"}}, "logout_token_expired"},
        {{{"nbf", "9999999999"}}, "logout_token_not_yet_valid"},
        {{{"iat", ""}}, "logout_token_issued_at"},
        {{{"jti", ""}}, "logout_token_jti"},
        {{{"events", "{}"}}, "logout_token_events"},
        {{{"nonce", R"("n")"}}, "logout_token_nonce"},
        {{{"sub", ""}, {"sid", ""}}, "logout_token_subject"},
    };
    for (const auto& [changes, word] : cases) {
        auto why = complaint(play.backchannel_logout(form(changes)));
        EXPECT_EQ(why.substr(0, why.find(':')), word);
        EXPECT_EQ(play.asked, Asked{}) << word;
    }
    const std::pair<const char*, std::string> headers[] = {
        {R"("kid":"k1","typ":"at+jwt")", "logout_token_type"},
        {R"("kid":"k1","crit":["exp"])", "logout_token_crit"},
        {R"("kid":1)", "logout_token_malformed"},
    };
    for (const auto& [header, word] : headers) {
        auto why = complaint(play.backchannel_logout(form({}, header)));
        EXPECT_EQ(why.substr(0, why.find(':')), word);
    }
    expect_refusal("logout_token=a.b",
        "logout_token_malformed: logout token is not a JWS of three parts");
    play.alg = "HS256";
    auto secret = Signer::secret("a secret of more than 32 bytes, see");
    play.signer = &secret;
    expect_refusal(form(),
        "logout_token_alg: logout token is signed with \"HS256\", which "
        "id_token_alg does not list");
}

TEST_F(BackChannelTest, IsNoIdToken)
{
    expect_refusal("logout_token=" + std::string(*session->id_token()),
        "logout_token_events: logout token has no back-channel logout event");
}

TEST_F(BackChannelTest, WithANewKeyAsksForTheKeysOnce)
{
    play.signer = &Signer::ec("P-256");
    play.alg = "ES256";
    play.keys = json_answer(
        key_set({Signer::ec("P-256").jwk(R"("kid":"k2","alg":"ES256")")}));
    expect_done(form({}, R"("kid":"k2")"), {"keys", "acquire", "revoke"});
    EXPECT_FALSE(is_logged_in());
}

TEST_F(BackChannelTest, WithAKeyThatIsNotThereIsRefused)
{
    const auto why =
        "logout_token_key: logout token names an unknown key \"k2\""s;
    expect_refusal(form({}, R"("kid":"k2")"), why, {"keys"});
    play.keys = Error{Errc::upstream_timeout, "provider timed out"};
    expect_refusal(form({}, R"("kid":"k2")"), why, {"keys"});
    for (int i = 0; i < 4; i++) {
        play.backchannel_logout(form({}, R"("kid":"k2")"));
    }
    expect_refusal(form({}, R"("kid":"k2")"), why); // not fetched any more
}

TEST_F(BackChannelTest, ForgedIsRefused)
{
    auto posted = form();
    posted.replace(posted.rfind('.') + 1, std::string::npos,
        base64url(std::string(64, 'Z')));
    expect_refusal(posted,
        "logout_token_signature: logout token has a bad signature", {"keys"});
}

TEST_F(BackChannelTest, NeedsTheProvidersKeys)
{
    play.now = noon + 3 * 86400s;
    play.keys = Error{Errc::upstream_unreachable, "no keys"};
    EXPECT_EQ(complaint(play.backchannel_logout(form())),
        "upstream_unreachable: no keys");
    play.now += 86400 * 3s;
    play.metadata = Error{Errc::upstream_unreachable, "no metadata"};
    EXPECT_EQ(complaint(play.backchannel_logout(form())),
        "upstream_unreachable: no metadata");
}

TEST_F(BackChannelTest, NamesItsProvider)
{
    EXPECT_TRUE(BackChannelLogout::is_for(play.provider, form()));
    EXPECT_FALSE(BackChannelLogout::is_for(
        play.provider, form({{"iss", R"("https://other")"}})));
    for (const auto& other :
        {""s, "logout_token=a.b.c"s, "logout_token="s, form() + "&" + form()}) {
        EXPECT_FALSE(BackChannelLogout::is_for(play.provider, other));
    }
}

}
}
