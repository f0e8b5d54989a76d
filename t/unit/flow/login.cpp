#include "flow/login.h"

#include "core/encoding.h"
#include "oidc/head.h"
#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

constexpr auto host_prefix = "__Host-NGX_OIDC_SESSION_login_";

struct Origins {
    std::string origin;
    std::string redirect_uri;
    std::string cookie_domain;
};

// The redirect URI, and the final Location of a login from /page.
std::string journey(const Origins& origins)
{
    auto client = example_client();
    client.redirect_uri = origins.redirect_uri;
    client.cookie_domain = origins.cookie_domain;
    Play play(client);
    play.origin = origins.origin;
    auto gate = play.gate("/page?a");
    if (gate.error) {
        return complaint(gate);
    }
    auto end = play.callback();
    return play.sent.at("redirect_uri") + " " + complaint(end) + end.location;
}

TEST(RedirectUri, ContinuesTheOriginOrShareItsCookies)
{
    const struct {
        Origins origins;
        const char* journey;
    } cases[] = {
        {{"https://app.example", "/cb", ""}, "https://app.example/cb /page?a"},
        {{"http://127.0.0.1:8080", "/cb", ""},
            "http://127.0.0.1:8080/cb /page?a"},
        {{"https://[::1]:8443", "/cb", ""}, "https://[::1]:8443/cb /page?a"},
        {{"https://App.Example:443", "/cb", ""},
            "https://app.example/cb /page?a"},
        {{"https://app.example", "https://app.example/cb", ""},
            "https://app.example/cb /page?a"},
        {{"https://app.example:8443", "https://app.example/cb", ""},
            "https://app.example/cb https://app.example:8443/page?a"},
        {{"https://a.example.com", "https://login.example.com/cb",
             "example.com"},
            "https://login.example.com/cb https://a.example.com/page?a"},
        {{"https://example.com", "https://a.example.com/cb", ".example.com"},
            "https://a.example.com/cb https://example.com/page?a"},
        // behind a proxy that terminates TLS
        {{"http://app.example", "https://app.example/cb", ""},
            "https://app.example/cb /page?a"},
        {{"http://a.example.com", "https://b.example.com/cb", "example.com"},
            "https://b.example.com/cb https://a.example.com/page?a"},
    };
    for (const auto& [origins, expected] : cases) {
        EXPECT_EQ(journey(origins), expected) << origins.origin;
    }
}

TEST(RedirectUri, OfAHostThatSharesNoCookieIsRefused)
{
    const Origins places[] = {
        {"https://other.example", "https://app.example/cb", ""},
        {"https://app.example.evil.example", "https://app.example/cb", ""},
        {"https://a.example.com", "https://b.example.com/cb", ""},
        {"https://a.example.com", "https://b.example.com/cb", "."},
        {"https://evilexample.com", "https://a.example.com/cb", "example.com"},
        {"https://a.example.com", "https://evilexample.com/cb", "example.com"},
        {"https://a.other.example", "https://b.other.example/cb",
            "example.com"},
    };
    for (const auto& origins : places) {
        EXPECT_EQ(journey(origins),
            "request_host: client requested host " +
                oidc::quoted(origins.origin) +
                ", which shares no cookies with redirect_uri " +
                oidc::quoted(origins.redirect_uri));
    }
}

// A proxy removes the path.
TEST(RedirectUri, IsBelowThePathOfTheBaseUrl)
{
    for (auto origin :
        {"https://app.example/a/b", "https://app.example/a/b/"}) {
        EXPECT_EQ(journey({origin, "/cb", ""}),
            "https://app.example/a/b/cb /a/b/page?a")
            << origin;
    }
    EXPECT_EQ(
        journey({"https://app.example/a", "https://app.example/a/cb", ""}),
        "https://app.example/a/cb /a/page?a");
}

TEST(RedirectUri, NeedsAUsableBaseUrl)
{
    for (auto origin : {"", "app.example", "https://", "https://a b",
             "https://app.example/a%70p", "https://app.example/a;b",
             "https://app.example/a/../b", "https://app.example//a",
             "https://app.example?a", "https://user@app.example",
             "ftp://app.example", "https://app.example\r\nX: y"}) {
        for (auto redirect_uri : {"/cb", "https://app.example/cb"}) {
            EXPECT_EQ(journey({origin, redirect_uri, ""}),
                "request_host: request has no usable base URL, " +
                    oidc::quoted(origin));
        }
    }
}

// The cookie of a request with these settings, without random name and value.
std::string login_cookie(const Client& client, const std::string& origin)
{
    constexpr std::size_t random = 4 + 1 + 22; // name = value
    Play play(client);
    play.origin = origin;
    auto cookies = play.gate("/app").cookies;
    EXPECT_EQ(cookies.size(), 1u);
    auto& cookie = cookies.front();
    return cookie.replace(cookie.find("_login_") + 7, random, "*=*");
}

TEST(BindingCookie, HasPrefixAndAttributes)
{
    auto client = example_client();
    auto cookie = [&](const std::string& scheme) {
        return login_cookie(client, scheme + "://app.example");
    };
    EXPECT_EQ(cookie("https"),
        "__Host-NGX_OIDC_SESSION_login_*=*; Path=/; Max-Age=600; HttpOnly; "
        "SameSite=Lax; Secure");
    EXPECT_EQ(cookie("http"),
        "NGX_OIDC_SESSION_login_*=*; Path=/; Max-Age=600; HttpOnly; "
        "SameSite=Lax");
    client.cookie_same_site = "Strict";
    client.cookie_path = "/app";
    client.pre_auth_timeout = 60s;
    EXPECT_EQ(cookie("https"),
        "__Secure-NGX_OIDC_SESSION_login_*=*; Path=/app; Max-Age=60; HttpOnly; "
        "SameSite=Lax; Secure");
    client.cookie_domain = "app.example";
    client.cookie_path = "/";
    EXPECT_EQ(cookie("https"),
        "__Secure-NGX_OIDC_SESSION_login_*=*; Path=/; Domain=app.example; "
        "Max-Age=60; HttpOnly; SameSite=Lax; Secure");
    client = example_client();
    client.cookie_same_site =
        "None"; // for frames, where browsers send no Lax cookie
    EXPECT_TRUE(cookie("https").ends_with("; HttpOnly; SameSite=None; Secure"));
    EXPECT_TRUE(cookie("http").ends_with("; HttpOnly; SameSite=None; Secure"));
    client.cookie_partitioned = true;
    EXPECT_TRUE(cookie("https").ends_with(
        "; HttpOnly; SameSite=None; Secure; Partitioned"));
    for (auto name : {"__Host-S", "__Secure-S"}) {
        client = example_client();
        client.cookie_name = name;
        EXPECT_TRUE(cookie("https").starts_with("__Host-S_login_*=*;"));
        EXPECT_TRUE(cookie("http").starts_with("S_login_*=*;"));
    }
}

TEST(BindingCookie, IsOneForLoginsOneAfterAnother)
{
    Play play;
    for (int i = 0; i < 100; i++) {
        play.gate("/page" + std::to_string(i));
    }
    EXPECT_EQ(play.jar.cookies.size(), 1u);
}

TEST(BindingCookie, IsItsOwnForEveryTabThatStartsAtOnce)
{
    Play play;
    Jar all;
    for (int i = 0; i < 20; i++) {
        play.jar = Jar();
        all.take(play.gate().cookies);
    }
    EXPECT_EQ(all.cookies.size(), 20u);
}

std::string many_login_cookies(int count)
{
    std::string header;
    for (int i = 100; i < 100 + count; i++) {
        header += host_prefix + ("B" + std::to_string(i)) + "=" +
            std::string(22, 'A') + "; ";
    }
    return header;
}

std::vector<std::string> deletions(const std::vector<std::string>& cookies)
{
    std::vector<std::string> names;
    for (const auto& cookie : cookies) {
        if (cookie.find("; Max-Age=0;") != cookie.npos) {
            names.push_back(cookie.substr(0, cookie.find('=')));
        }
    }
    return names;
}

// A hundred restored tabs must not exceed nginx's header buffers for ever.
TEST(BindingCookie, BeyondTwentyIsDeleted)
{
    for (auto [sent, deleted] :
        {std::pair{20, 0}, {21, 1}, {45, 25}, {100, 25}}) {
        Play play;
        play.gate();
        auto header = many_login_cookies(sent);
        auto view = play.view("/page");
        view.cookies = {header};
        auto login = Login::at(play.provider, view);
        auto request =
            login->begin(*play.known_metadata(), "", {noon, random_bytes});
        auto names = deletions(request.cookies);
        EXPECT_EQ(names.size(), static_cast<std::size_t>(deleted)) << sent;
        EXPECT_EQ(login->clear({}).size(), names.size());
        if (!names.empty()) {
            EXPECT_EQ(names.front(), host_prefix + "B120"s);
        }
    }
}

TEST(BindingCookie, IsReusedOnlyIfItIsOne)
{
    const std::string value(22, 'A');
    const std::string refused[][2] = {
        {host_prefix + "AAAA"s, ""},
        {host_prefix + "AAAA"s, value + "A"},
        {host_prefix + "AAAA"s, value.substr(1)},
        {host_prefix + "AAAA"s, std::string(21, 'A') + "B"},
        {host_prefix + "AAAA"s, std::string(21, 'A') + "="},
        {host_prefix + "AAA"s, value},
        {host_prefix + "AAAAA"s, value},
        {host_prefix + "target"s, value},
        {host_prefix, value},
        {"NGX_OIDC_SESSION_login_AAAA", value},
        {"__Host-OTHER_login_AAAA", value},
        {"x" + (host_prefix + "AAAA"s), value},
    };
    Play play;
    for (const auto& [name, text] : refused) {
        play.jar.cookies = {{name, text}};
        auto finish = play.gate();
        EXPECT_EQ(cookie_of(finish.cookies, host_prefix + "AAAA"s), "") << name;
    }
    play.jar.cookies = {{host_prefix + "AAAA"s, value}};
    EXPECT_NE(cookie_of(play.gate().cookies, host_prefix + "AAAA"s), "");
}

// The name is sent back in a header.
TEST(BindingCookie, IsReusedOnlyUnderAPlainName)
{
    Play play;
    for (auto name :
        {"a\"b\\", "\x01\x02\x03\x04", "\xff\xfe\xfd\xfc", "a b,"}) {
        play.jar.cookies = {
            {host_prefix + std::string(name), std::string(22, 'A')}};
        auto finish = play.gate();
        EXPECT_EQ(
            cookie_of(finish.cookies, host_prefix + std::string(name)), "")
            << name;
    }
}

class Binding : public testing::Test {
public:
    Binding()
    {
        play.gate();
        state = *open_state(play.provider, play.sent.at("state"));
        name = play.jar.cookies.begin()->first;
        value = play.jar.cookies.begin()->second;
    }

    Bound bound(const std::map<std::string, std::string>& cookies)
    {
        play.jar.cookies = cookies;
        auto view = play.view("/oidc_callback");
        auto login = Login::of(play.provider, view, state.transaction);
        auto login_cookie = login->find_login_cookie(state.transaction);
        EXPECT_EQ(
            login_cookie.value, login_cookie.bound == Bound::ours ? value : "");
        return login_cookie.bound;
    }

    Play play;
    OpenedState state;
    std::string name;
    std::string value;
};

TEST_F(Binding, IsOursByNameAndValue)
{
    std::string other(22, 'A');
    EXPECT_EQ(bound({{name, value}}), Bound::ours);
    EXPECT_EQ(bound({}), Bound::none);
    EXPECT_EQ(bound({{"a", value}}), Bound::none);
    EXPECT_EQ(bound({{name, "x"}}), Bound::none);
    EXPECT_EQ(bound({{name, other}}), Bound::others);
    EXPECT_EQ(bound({{host_prefix + "AAAA"s, value}}), Bound::others);
    EXPECT_EQ(bound({{host_prefix + "----"s, other}, {name, value},
                  {host_prefix + "zzzz"s, other}}),
        Bound::ours);
}

TEST_F(Binding, IsOursBehindOneOfTheSameName)
{
    auto header = name + "=" + std::string(22, 'A') + "; " + name + "=" + value;
    auto view = play.view("/oidc_callback");
    view.cookies = {header};
    auto login = Login::of(play.provider, view, state.transaction);
    EXPECT_EQ(login->find_login_cookie(state.transaction).bound, Bound::ours);
}

class LongTarget : public testing::Test {
public:
    // The cookies that hold the target.
    std::vector<std::string> carriers()
    {
        std::vector<std::string> names;
        for (const auto& [name, value] : play.jar.cookies) {
            if (name.find("_login_target") != name.npos) {
                names.push_back(name);
            }
        }
        return names;
    }

    std::string page(std::size_t size) const
    {
        return "/page?a=" + std::string(size - 8, 'x');
    }

    Play play;
};

TEST_F(LongTarget, OfAKilobyteStaysInTheState)
{
    play.gate(page(1024));
    EXPECT_TRUE(carriers().empty());
    EXPECT_EQ(play.callback().location, page(1024));
}

TEST_F(LongTarget, TravelsInACookieOfItsOwn)
{
    for (std::size_t size : {1025, 1500, 1800}) {
        auto gate = play.gate(page(size));
        EXPECT_EQ(carriers().size(), 1u);
        EXPECT_LT(play.sent.at("state").size(), 500u);
        for (const auto& cookie : gate.cookies) {
            EXPECT_NE(cookie.find("; Path=/; Max-Age=600; HttpOnly; "
                                  "SameSite=Lax; Secure"),
                cookie.npos);
        }
        EXPECT_EQ(play.callback().location, page(size));
        EXPECT_TRUE(carriers().empty()) << "the cookie must be deleted";
    }
}

TEST_F(LongTarget, WithoutItsCookieIsThePathAlone)
{
    play.gate(page(1800));
    play.jar.cookies.erase(carriers().at(0));
    EXPECT_EQ(play.callback().location, "/page");
}

TEST_F(LongTarget, WithATamperedCookieIsThePathAlone)
{
    for (auto value : {"", "x", "AAAA", "9.AAAA"}) {
        play.gate(page(1800));
        play.jar.cookies.at(carriers().at(0)) = value;
        EXPECT_EQ(play.callback().location, "/page") << value;
    }
}

TEST_F(LongTarget, OfAnotherLoginIsNotTaken)
{
    play.gate("/other?b=" + std::string(1800, 'y'));
    auto other = play.jar.cookies.at(carriers().at(0));
    play.gate(page(1800));
    play.jar.cookies.at(carriers().at(0)) = other;
    EXPECT_EQ(play.callback().location, "/page");
}

// Two logins of one browser, with a long and a short target: each keeps its
// own.
TEST_F(LongTarget, OutlivesAnotherLoginThatEnds)
{
    play.gate(page(1800));
    auto first = play.sent;
    play.gate("/short");
    EXPECT_EQ(play.callback().location, "/short");
    play.sent = first;
    EXPECT_EQ(play.callback().location, page(1800));
}

// nginx returns 400 for a header line that exceeds its buffers.
TEST_F(LongTarget, WithoutRoomForACookieIsThePathAlone)
{
    play.cookie_room = 1800;
    play.gate(page(1500));
    EXPECT_TRUE(carriers().empty());
    EXPECT_EQ(play.callback().location, "/page");

    play.jar = Jar();
    play.gate(page(1100));
    EXPECT_EQ(carriers().size(), 1u);
    play.jar.cookies = {{"app", std::string(1000, 'a')}};
    play.gate(page(1100));
    EXPECT_TRUE(carriers().empty());
    EXPECT_EQ(play.callback().location, "/page");
}

// A proxy in front of nginx limits the head of a response.
TEST_F(LongTarget, IsShortenedUntilItsRedirectFits)
{
    std::size_t longest = 0;
    for (std::size_t size = 900; size < 4'200; size += 25) {
        play.jar = Jar();
        auto gate = play.gate(page(size));
        EXPECT_GT(room_in_head(gate.location, gate.cookies), 0u) << size;
        auto callback = play.callback();
        EXPECT_GT(room_in_head(callback.location, callback.cookies), 0u)
            << size;
        auto is_whole = callback.location == page(size);
        EXPECT_TRUE(is_whole || callback.location == "/page") << size;
        longest = is_whole ? size : longest;
    }
    EXPECT_GT(longest, 1'800u);
}

TEST_F(LongTarget, LeavesRoomForALongQueryOfTheConfiguration)
{
    play.extra_args = "claims=" + std::string(2'000, 'c');
    auto gate = play.gate(page(1'024));
    EXPECT_GT(room_in_head(gate.location, gate.cookies), 0u);
    EXPECT_EQ(play.callback().location, "/page");
}

TEST_F(LongTarget, WithALongPathIsTheRootOnceLost)
{
    auto path = "/" + std::string(1800, 'p');
    play.gate(path + "?q");
    EXPECT_EQ(play.callback().location, path + "?q");
    play.gate(path + "?q");
    play.jar.cookies.erase(carriers().at(0));
    EXPECT_EQ(play.callback().location, "/");
    play.gate("/" + std::string(5000, 'p'));
    EXPECT_EQ(play.callback().location, "/");
}

class RoundsCookie : public testing::Test {
public:
    unsigned rounds(const std::string& name, const std::string& value)
    {
        play.jar.cookies = {{name, value}};
        auto view = play.view("/page");
        return Login::at(play.provider, view)->login_count();
    }

    Play play;
};

TEST_F(RoundsCookie, IsOneDigit)
{
    const auto name = host_prefix + "rounds"s;
    for (unsigned i = 0; i < 10; i++) {
        EXPECT_EQ(rounds(name, std::to_string(i)), i);
    }
    for (auto value :
        {"", "10", "-1", "a", " ", "5 ", "\"5\"", "99999999999", "/", ":"}) {
        EXPECT_EQ(rounds(name, value), 0u) << value;
    }
    EXPECT_EQ(rounds("NGX_OIDC_SESSION_login_rounds", "5"), 0u);
    EXPECT_EQ(rounds(host_prefix + "round"s, "5"), 0u);
}

TEST_F(RoundsCookie, IsNoBinding)
{
    play.jar.cookies = {{host_prefix + "rounds"s, "1"},
        {host_prefix + "target"s, std::string(22, 'A')}};
    auto view = play.view("/page");
    EXPECT_FALSE(Login::at(play.provider, view)->knows_browser());
    play.jar.cookies[host_prefix + "AAAA"s] = std::string(22, 'A');
    view = play.view("/page");
    EXPECT_TRUE(Login::at(play.provider, view)->knows_browser());
}

// The provider's page posts from another site: browsers do not send Lax cookies
// then, and reject None without Secure.
TEST(FormPost, SetsCookiesThatACrossSitePostBrings)
{
    auto client = example_client();
    client.response_mode = ResponseMode::form_post;
    for (std::string scheme : {"https", "http"}) {
        Play play(client);
        play.origin = scheme + "://127.0.0.1:8080";
        auto gate = play.gate("/page?a=" + std::string(1500, 'x'));
        EXPECT_EQ(complaint(gate), "");
        EXPECT_EQ(gate.cookies.size(), 2u); // one of them holds the target
        for (const auto& cookie : gate.cookies) {
            EXPECT_TRUE(cookie.ends_with(
                "; Path=/; Max-Age=600; HttpOnly; SameSite=None; Secure"))
                << cookie;
        }
        for (const auto& cookie : play.callback().cookies) {
            EXPECT_EQ(cookie.find("_login_") != cookie.npos,
                cookie.find("; SameSite=None; Secure") != cookie.npos)
                << cookie;
        }
    }
}

}
}
