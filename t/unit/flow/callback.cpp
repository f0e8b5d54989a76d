#include "flow/callback.h"

#include "core/encoding.h"
#include "support/sessions.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace oidc::test {
namespace {

using namespace std::string_literals;

using Asked = std::vector<std::string>;

constexpr auto session_cookie = "__Host-NGX_OIDC_SESSION";
constexpr auto rounds_cookie = "__Host-NGX_OIDC_SESSION_login_rounds";

// A login in progress: the browser is at the provider's login page.
class CallbackTest : public testing::Test {
public:
    CallbackTest() { play.gate("/page?a=%20b"); }

    bool has_session() const
    {
        return play.jar.cookies.count(session_cookie) > 0;
    }

    // An error sets nothing and sends no other request.
    void expect_refusal(
        const Finish& finish, const std::string& why, const Asked& asked = {})
    {
        EXPECT_EQ(complaint(finish), why);
        EXPECT_EQ(play.asked, asked);
        EXPECT_FALSE(has_session());
        EXPECT_TRUE(finish.result.empty());
    }

    // Logs the browser in.
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

// The proof of copies of a callback with the good code.
std::string proof()
{
    Play other;
    other.gate();
    return other.callback().result.front();
}

TEST_F(CallbackTest, SignsTheBrowserIn)
{
    auto end = play.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.location, "/page?a=%20b");
    EXPECT_EQ(play.asked, (Asked{"acquire", "token", "keys"}));
    EXPECT_EQ(end.page, Page::none);
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->claim("sub"), "user-1");
    EXPECT_EQ(end.session->access_token_expires(), noon + 3600s);
    EXPECT_TRUE(has_session());
    EXPECT_TRUE(cookie_of(end.cookies, session_cookie)
                    .ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"));

    auto header = play.jar.header();
    std::string_view lines[] = {header};
    auto session =
        accepted(first_held(lines, play.provider, true).session, play.provider);
    ASSERT_TRUE(session);
    EXPECT_EQ(session->handle(), end.session->handle());
}

TEST_F(CallbackTest, AcquiresTheStateForAsLongAsItLives)
{
    auto state = open_state(play.provider, play.sent.at("state"));
    play.now += 100s;
    auto end = play.callback();
    EXPECT_EQ(play.acquire.id, state->transaction.id);
    EXPECT_EQ(play.acquire.until, noon + 600s);
    EXPECT_EQ(play.acquire.purpose, Purpose::login);
    auto left = end.cookies;
    left.insert(left.begin(), proof());
    EXPECT_EQ(end.result, left);
    EXPECT_EQ(end.keep_result, 30s);
}

// A client that knows the state and planted its cookie does not know the code.
TEST_F(CallbackTest, GivesItsResultToAProvenCopyAlone)
{
    const auto state = "&state=" + play.sent.at("state");
    for (const auto& reply :
        {"code=other"s, "code=c0de1"s, "code=c0d"s, "code=C0DE"s}) {
        play.acquired[Purpose::login] = {Acquired::ended,
            {proof(), "__Host-NGX_OIDC_SESSION=of-the-first; Path=/"}};
        EXPECT_EQ(complaint(play.callback(reply + state)),
            "state_used: client sent a state that was used before")
            << reply;
        EXPECT_FALSE(has_session()) << reply;
    }
    for (const auto& result : {std::vector<std::string>{},
             {"__Host-NGX_OIDC_SESSION=of-the-first; Path=/"}, {""}}) {
        play.acquired[Purpose::login] = {Acquired::ended, result};
        EXPECT_EQ(complaint(play.callback()),
            "state_used: client sent a state that was used before");
    }
}

TEST_F(CallbackTest, LeavesNothingForCopiesWhereItFails)
{
    play.tokens = HttpResponse{500, "", "", ""};
    EXPECT_TRUE(play.callback().result.empty());
}

// A logout during the token request ends this session, too.
TEST_F(CallbackTest, BeginsTheSessionWhenItArrives)
{
    play.ahead = 250ms;
    EXPECT_EQ(play.callback().session->started(), noon + 250ms);
}

TEST_F(CallbackTest, AsksNoProviderWhereTheStoreHasNoTime)
{
    play.broken = {{"clock", Error{Errc::store_timeout, "store timed out"}}};
    EXPECT_EQ(complaint(play.callback()), "store_timeout: store timed out");
    EXPECT_EQ(play.asked, Asked{"acquire"});
}

TEST_F(CallbackTest, FailsWhereTheStateCannotBeAcquired)
{
    play.broken = {{"acquire", Error{Errc::store_timeout, "store timed out"}}};
    EXPECT_EQ(complaint(play.callback()), "store_timeout: store timed out");
    EXPECT_FALSE(has_session());
}

TEST_F(CallbackTest, SendsCodeAndVerifierToTheTokenEndpoint)
{
    play.callback();
    const auto& request = play.requests.at("token");
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
    play.now += 3600s;
    play.gate();
    EXPECT_FALSE(play.sent.count("code_challenge"));
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_FALSE(
        parameters(play.requests.at("token").body).count("code_verifier"));
}

TEST_F(CallbackTest, SendsNoVerifierWherePkceIsOff)
{
    auto client = example_client();
    client.pkce = Pkce::off;
    Play off(client);
    off.gate();
    EXPECT_EQ(complaint(off.callback()), "");
    EXPECT_FALSE(
        parameters(off.requests.at("token").body).count("code_verifier"));
}

TEST_F(CallbackTest, UsesWhatItKnows)
{
    play.callback();
    play.gate();
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.asked, (Asked{"acquire", "token"}));
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
        browser.jar = Jar(); // all start before the first response
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
    EXPECT_EQ(end.page, Page::logged_in);
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

// The host of the page is in the state, not in the callback's Host.
TEST_F(CallbackTest, TakesNothingFromItsOwnHost)
{
    play.origin = "https://evil.example";
    auto end = play.callback();
    EXPECT_EQ(end.location, "/page?a=%20b");
    EXPECT_EQ(parameters(play.requests.at("token").body).at("redirect_uri"),
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
            "callback_malformed: client sent unsupported method \""s + method +
                "\"");
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
            "callback_malformed: client sent parameter code longer than 4096 "
            "bytes"},
    };
    for (const auto& [query, why] : cases) {
        expect_refusal(play.callback(query), why);
    }
    EXPECT_EQ(complaint(play.callback()), "");
}

// A bookmark of the callback, or a restored page.
TEST_F(CallbackTest, OfBadFormGoesHomeWithASession)
{
    play.session = sign_in();
    auto jar = play.jar;
    auto state = "state=" + play.sent.at("state");
    auto expect_home = [&](const std::string& reply) {
        auto end = play.callback(reply);
        EXPECT_EQ(complaint(end), "");
        EXPECT_EQ(end.location, "/");
        EXPECT_EQ(play.asked, Asked{});
        EXPECT_FALSE(end.session);
        EXPECT_TRUE(end.cookies.empty());
    };
    for (const auto& reply : {""s, "code=a"s, "code=%"s, "code=a&state=x"s,
             state + "x&code=a", state + "&" + state}) {
        expect_home(reply);
    }
    play.method = "POST";
    expect_home(play.good_reply());
    EXPECT_EQ(play.jar.cookies, jar.cookies);
}

TEST_F(CallbackTest, OfNoStateOfOursIsRefused)
{
    auto tampered = play.good_reply();
    tampered.back() = tampered.back() == 'A' ? 'B' : 'A';
    for (const auto& bad :
        {"code=a&state=x"s, tampered, play.good_reply() + "x"}) {
        expect_refusal(
            play.callback(bad), "state_invalid: client sent an unknown state");
    }
}

// A response with a state sealed with other keys.
std::string reply_of_other_keys()
{
    Play other;
    Secret masters[] = {master_key(2)};
    other.provider = Provider(example_client(), masters);
    other.gate();
    return other.good_reply();
}

// The state was sealed before an upgrade, or by another node.
TEST_F(CallbackTest, OfOtherKeysBeginsAgainForABrowserWeKnow)
{
    auto end = play.callback(reply_of_other_keys());
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.location, "/");
    EXPECT_EQ(play.asked, Asked{});
    EXPECT_FALSE(end.session);
    EXPECT_TRUE(end.result.empty());
    EXPECT_EQ(end.cookies,
        std::vector<std::string>{rounds_cookie +
            "=1; Path=/; Max-Age=20; HttpOnly; SameSite=Lax; Secure"s});

    EXPECT_EQ(complaint(play.gate("/")), "");
    EXPECT_EQ(play.callback().location, "/");
    EXPECT_TRUE(has_session());
}

TEST_F(CallbackTest, OfOtherKeysBeginsAgainFiveTimes)
{
    auto reply = reply_of_other_keys();
    for (int i = 0; i < 5; i++) {
        EXPECT_EQ(play.callback(reply).location, "/") << i;
    }
    expect_refusal(
        play.callback(reply), "state_invalid: client sent an unknown state");
    play.jar.cookies.erase(rounds_cookie);
    EXPECT_EQ(play.callback(reply).location, "/");
}

// Each time with the login that follows, as in a browser.
TEST_F(CallbackTest, OfOtherKeysEndsItsLoop)
{
    auto reply = reply_of_other_keys();
    int rounds = 0;
    Finish finish;
    for (; rounds < 20 && !finish.error; rounds++) {
        finish = play.callback(reply);
        if (!finish.error) {
            finish = play.gate("/");
        }
    }
    EXPECT_EQ(rounds, 5);
    EXPECT_TRUE(complaint(finish).starts_with("login_loop: "));
}

TEST_F(CallbackTest, OfOtherKeysFromAStrangerIsRefused)
{
    auto reply = reply_of_other_keys();
    play.jar.cookies = {{rounds_cookie, "1"}, {"other", "x"}};
    expect_refusal(
        play.callback(reply), "state_invalid: client sent an unknown state");
}

TEST_F(CallbackTest, OfOtherKeysFromAnUnusableHostIsRefused)
{
    auto reply = reply_of_other_keys();
    play.origin = "";
    expect_refusal(
        play.callback(reply), "state_invalid: client sent an unknown state");
}

TEST_F(CallbackTest, OfOtherKeysGoesHomeWithASession)
{
    play.session = sign_in();
    auto end = play.callback(reply_of_other_keys());
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.location, "/");
    EXPECT_TRUE(end.cookies.empty());
}

// A user who logs in again keeps the cookies.
TEST_F(CallbackTest, CountsNoRoundWhereThereIsASession)
{
    auto first = play.callback();
    EXPECT_NE(cookie_of(first.cookies, rounds_cookie), "");
    play.session = first.session;
    play.jar.cookies.erase(rounds_cookie);
    play.gate();
    EXPECT_EQ(cookie_of(play.callback().cookies, rounds_cookie), "");
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
    shared.provider = Provider(client, masters);
    EXPECT_EQ(complaint(shared.callback()),
        "request_host: client requested host \"https://app.example.com\", "
        "which shares no cookies with redirect_uri "
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

// Goes to its page, without a session or a new login.
void expect_given_up(const Finish& end, const std::string& page)
{
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.location, page);
    EXPECT_EQ(end.page, Page::none);
    EXPECT_FALSE(end.session);
    EXPECT_TRUE(end.result.empty());
}

TEST_F(CallbackTest, LateBySecondsGoesToItsPage)
{
    play.now = noon + 599s;
    EXPECT_EQ(complaint(play.callback()), "");

    play.now = noon;
    play.gate("/page?a");
    play.now = noon + 600s;
    expect_given_up(play.callback(), "/page?a");
    EXPECT_EQ(play.asked, Asked{});
    EXPECT_EQ(play.jar.cookies.at(rounds_cookie), "2");
}

TEST_F(CallbackTest, LateForEverCountsItsRounds)
{
    int rounds = 0;
    Finish finish;
    for (; rounds < 20 && !finish.error; rounds++) {
        play.now += 600s;
        finish = play.callback(); // and no cookie of a login is left
    }
    EXPECT_EQ(rounds, 6);
    EXPECT_TRUE(complaint(finish).starts_with("login_loop: "));
}

// A page of the day before, after a new login has set a new login cookie.
TEST_F(CallbackTest, LateAndFromAnotherBindingGoesToItsPage)
{
    play.now += 86400s;
    play.jar = Jar();
    auto old = play.sent;
    play.gate("/new");
    play.sent = old;
    expect_given_up(play.callback(), "/page?a=%20b");
    EXPECT_EQ(play.asked, Asked{});
}

// A second request, with the state alone, shows whether it keeps cookies.
TEST_F(CallbackTest, WithoutCookiesIsTestedAndGoesToItsPage)
{
    play.jar = Jar();
    auto test = play.callback();
    expect_given_up(test, "?state=" + play.sent.at("state"));
    EXPECT_EQ(play.asked, Asked{});
    EXPECT_EQ(test.cookies.size(), 1u);
    EXPECT_EQ(play.jar.cookies.at(rounds_cookie), "1");

    expect_given_up(play.callback(test.location.substr(1)), "/page?a=%20b");
    EXPECT_EQ(play.asked, Asked{});
    EXPECT_EQ(play.jar.cookies.at(rounds_cookie), "1");
}

// A malformed response does not use up the state.
TEST_F(CallbackTest, WithAStateAloneLeavesItUnused)
{
    expect_refusal(play.callback("state=" + play.sent.at("state")),
        "callback_malformed: client sent neither code nor error");
    EXPECT_EQ(complaint(play.callback()), "");
}

TEST_F(CallbackTest, OfABrowserThatTakesNoCookiesIsRefused)
{
    play.jar = Jar();
    auto test = play.callback();
    play.jar = Jar();
    expect_refusal(play.callback(test.location.substr(1)),
        "state_cookie: client sent a state without a login cookie");
}

TEST_F(CallbackTest, ThatIsStaleGoesHomeWithASession)
{
    play.session = sign_in();
    auto jar = play.jar;
    play.now += 600s;
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

TEST_F(CallbackTest, ThatIsStaleAsksForNothing)
{
    Play down;
    down.gate();
    down.now += 2 * 86400s;
    down.metadata = Error{Errc::upstream_unreachable, "no provider"};
    expect_given_up(down.callback(), "/page");
    EXPECT_EQ(down.asked, Asked{});
    EXPECT_EQ(down.spent, std::vector<Work>{});
}

TEST_F(CallbackTest, ThatIsStaleGoesToALongPage)
{
    auto page = "/page?a=" + std::string(2000, 'x');
    play.gate(page);
    play.now += 600s;
    expect_given_up(play.callback(), page);
}

// A state serves one callback

TEST_F(CallbackTest, ThatWasUsedIsRefused)
{
    play.acquired[Purpose::login] = {Acquired::ended, {}};
    expect_refusal(play.callback(),
        "state_used: client sent a state that was used before", {"acquire"});
}

TEST_F(CallbackTest, ThatWasUsedGoesHomeWithASession)
{
    play.session = sign_in();
    play.acquired[Purpose::login] = {Acquired::ended, {}};
    auto end = play.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.location, "/page?a=%20b");
    EXPECT_EQ(play.asked, Asked{"acquire"});
    EXPECT_FALSE(end.session);
}

TEST_F(CallbackTest, ThatIsACopyTakesTheCookiesOfTheFirst)
{
    play.acquired[Purpose::login] = {Acquired::ended,
        {proof(), "__Host-NGX_OIDC_SESSION=of-the-first; Path=/"}};
    auto end = play.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.location, "/page?a=%20b");
    EXPECT_EQ(play.asked, Asked{"acquire"});
    EXPECT_EQ(play.jar.cookies.at(session_cookie), "of-the-first");
}

TEST_F(CallbackTest, ThatIsACopyLeavesANewerSessionAlone)
{
    play.session = sign_in();
    auto before = play.jar.cookies;
    play.acquired[Purpose::login] = {Acquired::ended,
        {proof(), "__Host-NGX_OIDC_SESSION=of-the-first; Path=/"}};
    EXPECT_EQ(play.callback().location, "/page?a=%20b");
    EXPECT_EQ(play.jar.cookies, before);
}

// Another user logged in, and the first copy's response was lost.
TEST_F(CallbackTest, ThatIsACopyReplacesAnOlderSession)
{
    play.session = sign_in();
    play.now += 1s;
    play.gate("/page?a=%20b");
    play.acquired[Purpose::login] = {Acquired::ended,
        {proof(), "__Host-NGX_OIDC_SESSION=of-the-first; Path=/"}};
    EXPECT_EQ(play.callback().location, "/page?a=%20b");
    EXPECT_EQ(play.jar.cookies.at(session_cookie), "of-the-first");
}

// A renewal does not make it a newer login.
TEST_F(CallbackTest, ThatIsACopyReplacesAnOlderSessionThatWasRenewed)
{
    auto older = sign_in();
    play.now += 1s;
    play.gate("/page?a=%20b");
    play.session =
        older.renew({}, {}, {}, play.provider.client(), play.now + 1s);
    play.acquired[Purpose::login] = {Acquired::ended,
        {proof(), "__Host-NGX_OIDC_SESSION=of-the-first; Path=/"}};
    EXPECT_EQ(play.callback().location, "/page?a=%20b");
    EXPECT_EQ(play.jar.cookies.at(session_cookie), "of-the-first");
}

// The client of the first copy left; its code may be spent.
TEST_F(CallbackTest, WhoseFirstCopyVanishedGoesToItsPage)
{
    play.acquired[Purpose::login] = {Acquired::vanished, {}};
    expect_given_up(play.callback(), "/page?a=%20b");
    EXPECT_EQ(play.asked, Asked{"acquire"});
}

TEST_F(CallbackTest, WhoseFirstCopyVanishedGoesHomeWithASession)
{
    play.session = sign_in();
    play.acquired[Purpose::login] = {Acquired::vanished, {}};
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
    play.now += 3600s;
    play.gate();
    expect_refusal(play.callback(),
        "callback_issuer: authorization response has no iss, although the "
        "metadata announces it");
    EXPECT_EQ(complaint(play.callback(
                  play.good_reply() + "&iss=https%3A%2F%2Fop.example")),
        "");
}

// RFC 9700, 4.4
TEST_F(CallbackTest, NamesItsIssuerWhereAnotherSharesThePath)
{
    play.shares_callback = true;
    auto why =
        "callback_issuer: authorization response has no iss to distinguish the "
        "issuers that share redirect_uri \"/oidc_callback\" in this server, "
        "give each oidc_provider its own redirect_uri";
    expect_refusal(play.callback(), why);
    expect_refusal(
        play.callback("error=access_denied&state=" + play.sent.at("state")),
        why);
    EXPECT_EQ(complaint(play.callback(
                  play.good_reply() + "&iss=https%3A%2F%2Fop.example")),
        "");
}

TEST_F(CallbackTest, TellsWhatItTolerated)
{
    play.token_members = {{"token_type", ""}};
    auto end = play.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.notice,
        "provider sent a token response without token_type, Bearer is "
        "assumed");
}

TEST_F(CallbackTest, MayBeAnError)
{
    auto state = "&state=" + play.sent.at("state");
    const std::string cases[][2] = {
        {"error=access_denied",
            "provider_access_denied: provider returned error "
            "\"access_denied\""},
        {"error=server_error&error_description=out+of+%22order%22",
            "provider_server_error: provider returned error \"server_error\", "
            "\"out of \\x22order\\x22\""},
        {"error=whatever",
            "provider_error: provider returned error \"whatever\""},
        {"error=a&code=b",
            "callback_malformed: client sent both code and error"},
        {"code=", "callback_malformed: client sent neither code nor error"},
        {"a=b", "callback_malformed: client sent neither code nor error"},
    };
    for (const auto& [query, why] : cases) {
        expect_refusal(play.callback(query + state), why);
    }
}

TEST_F(CallbackTest, NeedsMetadata)
{
    auto client = example_client();
    client.pre_auth_timeout = 30 * 86400s;
    Play slow(client);
    slow.gate();
    slow.now += 3600s;
    EXPECT_EQ(complaint(slow.callback()), "");
    EXPECT_EQ(slow.asked, (Asked{"metadata", "acquire", "token", "keys"}));

    slow.gate();
    slow.now += 2 * 86400s;
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
    play.now += 3600s;
    play.gate();
    expect_refusal(play.callback(),
        "config_unusable: provider accepts no authentication method that uses "
        "a client_secret",
        {"acquire"});
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
            "provider_invalid_grant: provider returned error "
            "\"invalid_grant\""},
        {HttpResponse{500, "text/html", "", ""},
            "upstream_status: provider returned status 500"},
        {HttpResponse{302, "text/html", "", ""},
            "upstream_status: provider returned status 302"},
        {json_answer("{"),
            "upstream_token: provider sent a token response that is malformed "
            "JSON"},
        {json_answer(R"({"access_token":"a","token_type":"Bearer"})"),
            "id_token_missing: provider sent a token response without an id "
            "token"},
    };
    for (const auto& [answer, why] : cases) {
        play.tokens = answer;
        expect_refusal(play.callback(), why, {"acquire", "token"});
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
        expect_refusal(play.callback(), why, {"acquire", "token"});
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
        {"acquire", "token", "keys"});
}

TEST_F(CallbackTest, NeedsKeys)
{
    play.keys = Error{Errc::upstream_unreachable, "no provider"};
    expect_refusal(play.callback(), "upstream_unreachable: no provider",
        {"acquire", "token", "keys"});
    play.keys = json_answer(R"({"keys":[]})");
    expect_refusal(play.callback(),
        "upstream_keys: provider sent an empty key set",
        {"acquire", "token", "keys"});
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
    EXPECT_EQ(play.asked, (Asked{"acquire", "token", "keys"}));
    play.gate();
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.asked, (Asked{"acquire", "token"}));
}

TEST_F(CallbackTest, FollowsARotationUnderTheSameKid)
{
    play.callback();
    play.gate();
    play.signer = &Signer::rsa();
    play.alg = "RS256";
    play.keys = json_answer(key_set({Signer::rsa().jwk(R"("kid":"k1")")}));
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.asked, (Asked{"acquire", "token", "keys"}));
}

TEST_F(CallbackTest, AsksForNewKeysOnce)
{
    play.header_members = R"("kid":"k9")";
    expect_refusal(play.callback(),
        "id_token_key: id token names an unknown key \"k9\"",
        {"acquire", "token", "keys", "keys"});
    play.header_members = R"("kid":"k1")";
    play.signer = &Signer::other_rsa();
    play.alg = "RS256";
    play.keys = json_answer(key_set({Signer::rsa().jwk(R"("kid":"k1")")}));
    expect_refusal(play.callback(),
        "id_token_signature: id token has a bad signature",
        {"acquire", "token", "keys"});
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
    EXPECT_EQ(play.asked, (Asked{"acquire", "token"}));
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
        {"acquire", "token", "keys"});
    play.header_members = token;
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.asked, (Asked{"acquire", "token"}));
}

// The session

TEST_F(CallbackTest, RefusesASessionTooLarge)
{
    auto client = example_client();
    client.session_store = SessionStore::cookie;
    Play play(client);
    play.gate();
    play.cookie_room = 4096;
    play.claims = {{"email", "\"" + std::string(4096, 'x') + "\""}};
    auto end = play.callback();
    EXPECT_TRUE(complaint(end).starts_with("session_too_large: session needs "))
        << complaint(end);
    EXPECT_TRUE(complaint(end).ends_with(
        " bytes of cookies, but large_client_header_buffers and the limit of "
        "nine cookies allow 4096"));
    EXPECT_FALSE(play.current());
}

class StoredCallback : public testing::Test {
public:
    StoredCallback() { sign_in(); }

    static Client client_with_store()
    {
        auto client = example_client();
        client.session_store = SessionStore::named;
        return client;
    }

    Finish sign_in()
    {
        play.gate();
        return play.callback();
    }

    const Error failure{Errc::store_timeout, "store timed out"};
    Play play{client_with_store()};
};

TEST_F(StoredCallback, KeepsTheSessionInItsStore)
{
    EXPECT_EQ(play.asked, (Asked{"acquire", "token", "keys", "save"}));
    EXPECT_EQ(play.save->until, noon + 8 * 3600s);
    ASSERT_TRUE(play.opened().ticket);
    EXPECT_EQ(play.opened().ticket->key(), play.save->key);
    EXPECT_EQ(play.current()->claim("sub"), "user-1");
}

TEST_F(StoredCallback, DropsTheSessionThatItReplaces)
{
    play.session = play.current();
    auto end = sign_in();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(play.asked, (Asked{"acquire", "token", "save", "drop"}));
    EXPECT_EQ(play.store.size(), 1u);
    EXPECT_EQ(play.current()->handle(), end.session->handle());
}

TEST_F(StoredCallback, WarnsWhereThatCannotBeDropped)
{
    play.session = play.current();
    play.broken = {{"drop", failure}};
    auto end = sign_in();
    EXPECT_EQ(complaint(end), "");
    ASSERT_TRUE(end.warning);
    EXPECT_EQ(complaint(*end.warning), complaint(failure));
    EXPECT_EQ(play.current()->handle(), end.session->handle());
}

TEST_F(StoredCallback, FailsWithItsStore)
{
    play.broken = {{"save", failure}};
    auto before = play.jar.cookies.at(session_cookie);
    EXPECT_EQ(complaint(sign_in()), complaint(failure));
    EXPECT_EQ(play.jar.cookies.at(session_cookie), before);
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
    EXPECT_TRUE(cookie_of(end.cookies, "NGX_OIDC_SESSION")
                    .ends_with("; Path=/; HttpOnly; SameSite=Lax"));
}

// An attacker may have begun it for this browser, over http.
TEST_F(CallbackTest, OnHttpsTakesNoBindingThatHttpCanPlant)
{
    play.jar = Jar();
    play.origin = "http://app.example";
    play.gate();
    play.origin = "https://app.example";
    auto test = play.callback();
    expect_given_up(test, "?state=" + play.sent.at("state"));
    EXPECT_EQ(play.jar.cookies.at(rounds_cookie), "1");
    EXPECT_EQ(play.asked, Asked{});
}

TEST_F(CallbackTest, SaysWhatItIsDoing)
{
    auto view = play.view("/oidc_callback");
    EXPECT_EQ(Callback(play.provider, view, play.session).action(),
        "handling the callback");
}

// Work that any client can cause

using Spent = std::vector<Work>;
using Receipts = std::vector<std::string>;

TEST_F(CallbackTest, TakesATokenOfTheBucketAndGivesItBack)
{
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.spent, Spent{Work::login});
    EXPECT_EQ(play.given_back, Receipts{"receipt 1"});
}

TEST_F(CallbackTest, KeepsTheTokenOfALoginThatFails)
{
    play.tokens = Error{Errc::upstream_timeout, "provider timed out"};
    EXPECT_EQ(
        complaint(play.callback()), "upstream_timeout: provider timed out");
    EXPECT_EQ(play.spent, Spent{Work::login});
    EXPECT_EQ(play.given_back, Receipts{});
}

TEST_F(CallbackTest, BeyondTheLimitLeavesItsStateUnused)
{
    play.is_drained = true;
    expect_refusal(play.callback(), "login_limit: nothing is left");
    play.is_drained = false;
    EXPECT_EQ(complaint(play.callback()), "");
}

TEST_F(CallbackTest, ThatIsACopyGivesItsTokenBack)
{
    for (auto whose : {Acquired::ended, Acquired::vanished}) {
        play.spent.clear();
        play.given_back.clear();
        play.acquired[Purpose::login] = {whose, {proof()}};
        play.callback();
        EXPECT_EQ(play.spent, Spent{Work::login});
        EXPECT_EQ(play.given_back, Receipts{"receipt 1"});
    }
}

TEST_F(CallbackTest, ThatIsAnErrorTakesNoToken)
{
    play.callback("error=access_denied&state=" + play.sent.at("state"));
    EXPECT_EQ(play.spent, Spent{});
    EXPECT_EQ(play.given_back, Receipts{});
}

TEST_F(CallbackTest, OfAPushedRequestWasPaidAtTheGate)
{
    auto client = example_client();
    client.pushed_authorization = PushedAuthorization::on;
    Play pushing(client);
    pushing.gate();
    EXPECT_EQ(pushing.spent, Spent{Work::push});
    pushing.is_drained = true;
    EXPECT_EQ(complaint(pushing.callback()), "");
    EXPECT_EQ(pushing.given_back, Receipts{"receipt 1"});

    // the refund was of the gate's charge: a copy has none
    pushing.acquired[Purpose::login] = {Acquired::ended, {}};
    pushing.callback();
    EXPECT_EQ(pushing.given_back, Receipts{"receipt 1"});
}

TEST_F(CallbackTest, ProvesTheClientAtTheTokenEndpoint)
{
    auto client = example_client();
    client.client_auth = ClientAuth::private_key_jwt;
    std::string why;
    client.key = PrivateKey::parse(Signer::ec("P-256").pem(), why);
    Play keyed(client);
    keyed.gate();
    EXPECT_EQ(complaint(keyed.callback()), "");
    const auto& request = keyed.requests.at("token");
    EXPECT_EQ(request.authorization, "");
    auto form = parameters(request.body);
    EXPECT_EQ(form.size(), 7u);
    EXPECT_EQ(form.at("client_id"), "app");
    EXPECT_EQ(form.count("client_assertion"), 1u);
    EXPECT_EQ(form.count("client_secret"), 0u);
}

// response_mode form_post

class PostedCallback : public testing::Test {
public:
    static Client posting_client()
    {
        auto client = example_client();
        client.response_mode = ResponseMode::form_post;
        return client;
    }

    PostedCallback() : play(posting_client()) { play.gate("/page?a=%20b"); }

    Play play;
};

TEST_F(PostedCallback, SignsTheBrowserIn)
{
    EXPECT_EQ(play.sent.at("response_mode"), "form_post");
    auto end = play.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.location, "/page?a=%20b");
    EXPECT_TRUE(end.session);
    EXPECT_TRUE(cookie_of(end.cookies, session_cookie)
                    .ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"));
}

TEST_F(PostedCallback, IsAPost)
{
    for (auto method : {"GET", "HEAD", "PUT", "post", ""}) {
        play.method = method;
        EXPECT_EQ(complaint(play.callback()),
            "callback_malformed: client sent unsupported method \""s + method +
                "\"");
        EXPECT_EQ(play.asked, Asked{});
    }
}

TEST_F(PostedCallback, ThatIsStaleGoesToItsPage)
{
    play.now += 600s;
    expect_given_up(play.callback(), "/page?a=%20b");
}

TEST_F(PostedCallback, WithoutCookiesIsTestedByAGet)
{
    play.jar = Jar();
    auto test = play.callback();
    EXPECT_TRUE(test.location.starts_with("?state="));
    EXPECT_NE(test.cookies.front().find("; SameSite=None; Secure"),
        std::string::npos);
    play.method = "GET";
    expect_given_up(play.callback(test.location.substr(1)), "/page?a=%20b");
}

// User info

class UserInfoCallback : public testing::Test {
public:
    static Client curious_client()
    {
        auto client = example_client();
        client.userinfo = true;
        client.needs.claims = {"email", "nickname", "sub"};
        client.needs.userinfo = true;
        client.needs_digest = digest_of_needs(client.needs);
        return client;
    }

    UserInfoCallback() : play(curious_client()) { play.gate(); }

    static HttpResponse token(const Signer& signer, const char* alg,
        std::string_view header = R"("kid":"k1")")
    {
        return {200, "application/jwt", "",
            signer.sign(alg,
                R"({"iss":"https://op.example","aud":"app","sub":"user-1",)"
                R"("nickname":"Jane"})",
                header)};
    }

    void expect_refusal(const std::string& why, const Asked& asked)
    {
        auto end = play.callback();
        EXPECT_EQ(complaint(end), why);
        EXPECT_EQ(play.asked, asked);
        EXPECT_EQ(play.jar.cookies.count(session_cookie), 0u);
    }

    Play play;
};

TEST_F(UserInfoCallback, AddsTheUserInfoToTheSession)
{
    auto end = play.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(play.asked, (Asked{"acquire", "token", "keys", "userinfo"}));
    ASSERT_TRUE(end.session);
    EXPECT_EQ(end.session->claim("nickname"), "Jane");
    EXPECT_EQ(end.session->claim("email"), "jane@example.com");
    EXPECT_EQ(end.session->userinfo(), R"({"sub":"user-1","nickname":"Jane"})");

    const auto& request = play.requests.at("userinfo");
    EXPECT_EQ(request.url, "https://op.example/userinfo");
    EXPECT_EQ(request.authorization, "Bearer at-1");
    EXPECT_EQ(request.body, "");
}

TEST_F(UserInfoCallback, AsksOnceTheIdTokenHolds)
{
    play.claims = {{"nonce", R"("other")"}};
    expect_refusal("id_token_nonce: id token has the nonce of another login",
        {"acquire", "token", "keys"});
}

TEST_F(UserInfoCallback, FailsWithTheUserInfo)
{
    const std::pair<Result<HttpResponse>, std::string> cases[] = {
        {Error{Errc::upstream_timeout, "provider timed out"},
            "upstream_timeout: provider timed out"},
        {HttpResponse{401, "application/json", "", "{}"},
            "upstream_status: provider returned status 401"},
        {json_answer("{"), "userinfo_malformed: user info is malformed JSON"},
        {json_answer(R"({"sub":"user-2"})"),
            "userinfo_subject: user info has a different sub, "
            "\"\\x22user-2\\x22\""},
        {json_answer(R"({"nickname":"Jane"})"),
            "userinfo_subject: user info has a different sub, \"\""},
    };
    play.callback();
    for (const auto& [answer, why] : cases) {
        play.jar = Jar();
        play.gate();
        play.userinfo = answer;
        expect_refusal(why, {"acquire", "token", "userinfo"});
    }
}

TEST_F(UserInfoCallback, MayBeSigned)
{
    play.userinfo = token(Signer::ed25519(), "EdDSA");
    auto end = play.callback();
    EXPECT_EQ(complaint(end), "");
    EXPECT_EQ(end.session->claim("nickname"), "Jane");
}

TEST_F(UserInfoCallback, FollowsARotationOfKeys)
{
    play.callback();
    play.gate();
    play.keys = json_answer(key_set({Signer::ed25519().jwk(R"("kid":"k1")"),
        Signer::rsa().jwk(R"("kid":"k2")")}));
    play.userinfo = token(Signer::rsa(), "RS256", R"("kid":"k2")");
    EXPECT_EQ(complaint(play.callback()), "");
    EXPECT_EQ(play.asked, (Asked{"acquire", "token", "userinfo", "keys"}));
}

// For ID token and user info together.
TEST_F(UserInfoCallback, AsksForNewKeysOnce)
{
    play.callback();
    play.jar = Jar();
    play.gate();
    play.userinfo = token(Signer::rsa(), "RS256", R"("kid":"k9")");
    expect_refusal("userinfo_key: user info names an unknown key \"k9\"",
        {"acquire", "token", "userinfo", "keys"});

    play.signer = &Signer::rsa();
    play.alg = "RS256";
    play.header_members = R"("kid":"k2")";
    play.keys = json_answer(key_set({Signer::rsa().jwk(R"("kid":"k2")")}));
    expect_refusal("userinfo_key: user info names an unknown key \"k9\"",
        {"acquire", "token", "keys", "userinfo"});
}

TEST_F(UserInfoCallback, KeepsItsDoubtWhereNewKeysCannotBeHad)
{
    play.callback();
    play.jar = Jar();
    play.gate();
    play.keys = Error{Errc::upstream_unreachable, "no provider"};
    play.userinfo = token(Signer::other_rsa(), "RS256", "");
    expect_refusal("userinfo_key: user info is signed with RS256, for which "
                   "the key set has no key",
        {"acquire", "token", "userinfo", "keys"});
}

TEST_F(UserInfoCallback, NeedsAnEndpoint)
{
    Play without(curious_client());
    without.metadata = json_answer(
        object(changed(example_metadata(), {{"userinfo_endpoint", ""}})));
    EXPECT_EQ(complaint(without.gate()),
        "upstream_metadata: provider sent metadata without userinfo_endpoint");
}

TEST_F(CallbackTest, TakesATokenForTrustedAudiences)
{
    play.claims = {{"aud", R"(["app","api"])"}};
    expect_refusal(play.callback(),
        "id_token_audience: id token is also for an untrusted audience, "
        "\"[\\x22app\\x22,\\x22api\\x22]\"",
        {"acquire", "token", "keys"});

    auto client = example_client();
    client.audiences = {"api"};
    Play trusting(client);
    trusting.gate();
    trusting.claims = play.claims;
    EXPECT_EQ(complaint(trusting.callback()), "");
}

}
}
