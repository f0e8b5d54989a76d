#include "oidc/cookies.h"

#include "support/play.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace oidc::test {
namespace {

TEST(SessionCookie, HasTheAttributesOfTheClient)
{
    auto client = example_client();
    auto cookie = [&](bool secure) {
        return session_cookies(client, "v", {}, secure).front();
    };
    EXPECT_EQ(
        cookie(false), "NGX_OIDC_SESSION=v; Path=/; HttpOnly; SameSite=Lax");
    EXPECT_EQ(cookie(true),
        "__Host-NGX_OIDC_SESSION=v; Path=/; HttpOnly; SameSite=Lax; Secure");
    client.cookie_domain = "example.com";
    client.cookie_path = "/app";
    client.cookie_same_site = "Strict";
    EXPECT_EQ(cookie(true),
        "__Secure-NGX_OIDC_SESSION=v; Path=/app; Domain=example.com; HttpOnly; "
        "SameSite=Strict; Secure");
    client.cookie_same_site = "None"; // browsers refuse it without Secure
    EXPECT_TRUE(cookie(false).starts_with("NGX_OIDC_SESSION=v; "));
    EXPECT_TRUE(cookie(false).ends_with("; SameSite=None; Secure"));
    client.cookie_partitioned = true;
    for (auto secure : {true, false}) {
        EXPECT_TRUE(
            cookie(secure).ends_with("; SameSite=None; Secure; Partitioned"));
    }
}

TEST(SessionCookie, HasThePrefixThatItsPathAndDomainAllow)
{
    auto name = [](const char* cookie_name, const char* path,
                    const char* domain, bool secure) {
        auto client = example_client();
        client.cookie_name = cookie_name;
        client.cookie_path = path;
        client.cookie_domain = domain;
        auto cookie = session_cookies(client, "v", {}, secure).front();
        return cookie.substr(0, cookie.find('=')) +
            (cookie.ends_with("; Secure") ? " Secure" : "");
    };
    EXPECT_EQ(name("sid", "/", "", true), "__Host-sid Secure");
    EXPECT_EQ(name("sid", "/app", "", true), "__Secure-sid Secure");
    EXPECT_EQ(name("sid", "/", "example.com", true), "__Secure-sid Secure");
    EXPECT_EQ(name("sid", "/", "", false), "sid");
    EXPECT_EQ(name("sid", "/app", "example.com", false), "sid");
    for (auto secure : {true, false}) { // as it is written
        EXPECT_EQ(name("__Host-sid", "/", "", secure), "__Host-sid Secure");
        EXPECT_EQ(name("__Secure-sid", "/", "", secure), "__Secure-sid Secure");
        EXPECT_EQ(
            name("__Secure-sid", "/app", "", secure), "__Secure-sid Secure");
    }
}

std::vector<std::string> names_of(const std::vector<std::string>& cookies)
{
    std::vector<std::string> names;
    for (const auto& cookie : cookies) {
        auto deletes = cookie.find("; Max-Age=0; ") != cookie.npos;
        names.push_back(
            (deletes ? "-" : "") + cookie.substr(0, cookie.find('=')));
    }
    std::sort(names.begin(), names.end());
    return names;
}

using Names = std::vector<std::string>;

// On https those of the plain name go, of before an upgrade or planted.
TEST(SessionCookie, ReplacesThoseOfThePlainName)
{
    auto client = example_client();
    client.cookie_name = "S";
    std::string_view lines[] = {
        "S=2.x; S.1=x; other=1", "S.9=x; SS=x; S.x=x; __Host-S.3=x"};
    EXPECT_EQ(names_of(session_cookies(client, "v", lines, true)),
        (Names{"-S", "-S.1", "-__Host-S.3", "__Host-S"}));
    EXPECT_EQ(
        names_of(session_cookies(client, "v", {}, true)), Names{"__Host-S"});

    std::string_view all[] = {"S=x; __Host-S=2.x; __Host-S.1=x; S.1=x"};
    EXPECT_EQ(names_of(clear_session(client, all, true)),
        (Names{"-S", "-S.1", "-__Host-S", "-__Host-S.1"}));
    for (const auto& cookie : clear_session(client, all, true)) {
        EXPECT_TRUE(cookie.ends_with(
            "=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"))
            << cookie;
    }
    EXPECT_TRUE(clear_session(client, {}, true).empty());

    client.cookie_name = "__Host-S"; // which has one name
    EXPECT_EQ(names_of(clear_session(client, all, true)),
        (Names{"-__Host-S", "-__Host-S.1"}));
}

}

// A page below a path that a proxy removes: the browser sees the path.
TEST(Cookies, ArePutBelowThePathThatAProxyRemoves)
{
    auto client = example_client();
    auto set = [&](bool secure) {
        return session_cookies(client, "v", {}, Site(secure, "/app")).front();
    };
    EXPECT_TRUE(set(true).starts_with(
        "__Secure-" + client.cookie_name + "=v; Path=/app; "));
    EXPECT_TRUE(set(false).starts_with(client.cookie_name + "=v; Path=/app; "));
    client.cookie_path = "/area/";
    EXPECT_TRUE(set(true).starts_with(
        "__Secure-" + client.cookie_name + "=v; Path=/app/area/; "));
}

}
