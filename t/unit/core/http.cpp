#include "core/http.h"

#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

TEST(MediaType, IsComparedWithoutCaseAndParameters)
{
    for (auto value : {"application/json", "Application/JSON",
             "application/json;charset=utf-8", " application/json ; a=b"}) {
        EXPECT_TRUE(has_media_type({200, value, "", ""}, "application/json"))
            << value;
    }
    for (auto value :
        {"", ";", "application/jso", "application/jsonx", "text/json",
            "application/json, text/html", "application/jwk-set+json"}) {
        EXPECT_FALSE(has_media_type({200, value, "", ""}, "application/json"))
            << value;
    }
}

TEST(CacheLifetime, IsMaxAgeWithinBounds)
{
    constexpr struct {
        std::string_view cache_control;
        int lifetime;
    } cases[] = {
        {"", 3600},
        {"public", 3600},
        {"max-age=600", 600},
        {"public, max-age=600, must-revalidate", 600},
        {"MAX-AGE=600", 600},
        {" \tmax-age=600\t ", 600},
        {"max-age=60", 60},
        {"max-age=59", 60},
        {"max-age=0", 60},
        {"max-age=86400", 86400},
        {"max-age=86401", 86400},
        {"max-age=9223372036854775807", 86400},
        {"max-age=9223372036854775808", 3600},
        {"max-age=-1", 3600},
        {"max-age=", 3600},
        {"max-age", 3600},
        {"max-age=60s", 3600},
        {"max-age=\"600\"", 3600},
        {"s-maxage=600", 3600},
        {"xmax-age=600", 3600},
        {",,,max-age=600,", 600},
        {"no-store", 60},
        {"No-Cache", 60},
        {"no-cache, no-store, max-age=600", 60},
        {"private, no-store", 60},
        {"no-storex", 3600},
    };
    for (const auto& [cache_control, lifetime] : cases) {
        EXPECT_EQ(
            cache_lifetime(cache_control, 60s, 24h, 1h), Seconds(lifetime))
            << cache_control;
    }
}

// RFC 9111, 5.2: the order of directives does not matter.
TEST(CacheLifetime, IsTheLeastForNoStoreWhereverItStands)
{
    EXPECT_EQ(cache_lifetime("max-age=7200, no-store", 60s, 24h, 1h), 60s);
    EXPECT_EQ(cache_lifetime("max-age=7200, no-cache", 60s, 24h, 1h), 60s);
}

std::string shown(std::initializer_list<std::string_view> lines)
{
    std::string text;
    each_cookie({lines.begin(), lines.size()},
        [&](std::string_view name, std::string_view value) {
            text += "<" + std::string(name) + "|" + std::string(value) + ">";
            return false;
        });
    return text;
}

TEST(Cookies, AreReadInOrder)
{
    EXPECT_EQ(shown({}), "");
    EXPECT_EQ(shown({"a=1"}), "<a|1>");
    EXPECT_EQ(shown({"a=1; b=2;c=3"}), "<a|1><b|2><c|3>");
    EXPECT_EQ(shown({"a=1", "b=2; a=3"}), "<a|1><b|2><a|3>");
    EXPECT_EQ(shown({"a=b=c; d=\"e\""}), "<a|b=c><d|\"e\">");
}

TEST(Cookies, OfOddHeadersDoNoHarm)
{
    EXPECT_EQ(shown({""}), "");
    EXPECT_EQ(shown({"="}), "<|>");
    EXPECT_EQ(shown({";"}), "");
    EXPECT_EQ(shown({";;; ;\t;"}), "");
    EXPECT_EQ(shown({"a"}), "");
    EXPECT_EQ(shown({"a; b=2"}), "<b|2>");
    EXPECT_EQ(shown({" "}), "");
    EXPECT_EQ(shown({"=1; a="}), "<|1><a|>");
    EXPECT_EQ(shown({" =1"}), "<|1>");
    EXPECT_EQ(shown({"  a=1  ; \tb=2"}), "<a|1  ><b|2>");
    EXPECT_EQ(shown({"a=1;"}), "<a|1>");
    EXPECT_EQ(shown({"", "", "a=1", ""}), "<a|1>");
    EXPECT_EQ(shown({"a=\0b"s}), "<a|\0b>"s);
}

TEST(Cookies, StopWhereTheVisitorSaysSo)
{
    std::string_view lines[] = {"a=1; b=2", "c=3"};
    int visited = 0;
    EXPECT_TRUE(each_cookie(lines, [&](std::string_view name, auto) {
        visited++;
        return name == "b";
    }));
    EXPECT_EQ(visited, 2);
}

TEST(Cookies, AreFoundAmongHundreds)
{
    std::string header;
    for (int i = 0; i < 300; i++) {
        header += "name" + std::to_string(i) + "=" + std::to_string(i) + "; ";
    }
    std::string_view lines[] = {header};
    EXPECT_EQ(find_cookie(lines, "name299"), "299");
    EXPECT_EQ(find_cookie(lines, "name"), std::nullopt);
    EXPECT_EQ(find_cookie(lines, "NAME1"), std::nullopt);
    EXPECT_EQ(find_cookie({}, "name1"), std::nullopt);
}

TEST(Cookies, OfOneNameGiveTheFirst)
{
    std::string_view lines[] = {"ab=0; b=1; a=1; a=2"};
    EXPECT_EQ(find_cookie(lines, "a"), "1");
}

CookieScope named(std::string name)
{
    CookieScope scope;
    scope.name = std::move(name);
    return scope;
}

TEST(SetCookie, WritesEveryAttribute)
{
    auto scope = named("name");
    EXPECT_EQ(set_cookie(scope, "value"),
        "name=value; Path=/; HttpOnly; SameSite=Lax");
    EXPECT_EQ(set_cookie(scope, "", 600s),
        "name=; Path=/; Max-Age=600; HttpOnly; SameSite=Lax");

    CookieScope full{"name", "example.com", "/app", "Strict", true};
    EXPECT_EQ(set_cookie(full, "value", 0s),
        "name=value; Path=/app; Domain=example.com; Max-Age=0; HttpOnly; "
        "SameSite=Strict; Secure");
}

// CVE-2025-55162: without the attributes the deletion has no effect.
TEST(SetCookie, DeletesWithEveryAttribute)
{
    CookieScope full{"name", "example.com", "/app", "None", true};
    EXPECT_EQ(clear_cookie(full),
        "name=; Path=/app; Domain=example.com; Max-Age=0; HttpOnly; "
        "SameSite=None; Secure");
    full.partitioned = true;
    EXPECT_EQ(clear_cookie(full),
        "name=; Path=/app; Domain=example.com; Max-Age=0; HttpOnly; "
        "SameSite=None; Secure; Partitioned");
}

std::string pattern(std::size_t size)
{
    std::string value(size, ' ');
    for (std::size_t i = 0; i < size; i++) {
        value[i] = static_cast<char>('a' + i * i % 26);
    }
    return value;
}

std::optional<std::string> joined(std::string_view header)
{
    std::string_view lines[] = {header};
    auto head = find_cookie(lines, "s");
    return head ? ChunkedCookie(lines, "s").join(*head) : std::nullopt;
}

TEST(Chunks, ComeBackWhole)
{
    for (std::size_t size :
        {std::size_t{1}, cookie_chunk, cookie_chunk + 1, 2 * cookie_chunk,
            2 * cookie_chunk + 1, max_chunks * cookie_chunk}) {
        auto value = pattern(size);
        Jar jar;
        auto cookies = set_chunks(named("s"), value, {});
        EXPECT_EQ(cookies.size(), (size + cookie_chunk - 1) / cookie_chunk);
        jar.take(cookies);
        EXPECT_EQ(joined(jar.header()), value) << size;
    }
}

TEST(Chunks, CarryTheScope)
{
    CookieScope scope{"s", "example.com", "/app", "Lax", true};
    auto cookies = set_chunks(scope, pattern(cookie_chunk + 1), {}, 600s);
    ASSERT_EQ(cookies.size(), 2u);
    EXPECT_TRUE(cookies[0].starts_with("s=2."));
    EXPECT_EQ(cookies[1],
        "s.1=" + pattern(cookie_chunk + 1).substr(cookie_chunk) +
            "; Path=/app; Domain=example.com; Max-Age=600; HttpOnly; "
            "SameSite=Lax; Secure");
}

TEST(Chunks, MissingOneGiveNothing)
{
    Jar whole;
    whole.take(set_chunks(named("s"), pattern(4 * cookie_chunk), {}));
    ASSERT_EQ(whole.cookies.size(), 4u);
    for (auto name : {"s", "s.1", "s.2", "s.3"}) {
        auto jar = whole;
        jar.cookies.erase(name);
        EXPECT_FALSE(joined(jar.header())) << name;
    }
}

// CVE-2024-24814: a number from the client must not bound a loop.
TEST(Chunks, AreCountedByOneDigit)
{
    EXPECT_EQ(joined("s=1.a; s.1=b"), "1.a");
    EXPECT_EQ(joined("s=0.a"), "0.a");
    EXPECT_EQ(joined("s=10.a; s.1=b"), "10.a");
    EXPECT_EQ(joined("s=99999999999.a"), "99999999999.a");
    EXPECT_EQ(joined("s=-2.a; s.1=b"), "-2.a");
    EXPECT_EQ(joined("s=:.a"), ":.a");
    EXPECT_EQ(joined("s=2"), "2");
    EXPECT_EQ(joined("s="), "");
    EXPECT_EQ(joined("s=2.; s.1=b"), "b");
    EXPECT_EQ(joined("s=2.a; s.1=b; s.2=c"), "ab");
    EXPECT_EQ(joined("s=3.a; s.1=b; s.2=c"), "abc");
    EXPECT_EQ(joined("s=9.a; s.1=b"), std::nullopt);
}

TEST(Chunks, LeftFromALargerValueAreDeleted)
{
    std::string_view lines[] = {"s=3.a; s.1=b; s.2=c; s.8=d; s.9=e; other=f"};
    auto deletion = [](std::string name) {
        return name + "=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax";
    };
    EXPECT_EQ(set_chunks(named("s"), "value", lines),
        (std::vector<std::string>{"s=value; Path=/; HttpOnly; SameSite=Lax",
            deletion("s.1"), deletion("s.2"), deletion("s.8")}));
    EXPECT_EQ(clear_chunks(named("s"), lines),
        (std::vector<std::string>{
            deletion("s"), deletion("s.1"), deletion("s.2"), deletion("s.8")}));
    EXPECT_TRUE(clear_chunks(named("t"), lines).empty());
}

// Only ASCII letters have a case: 0x0f must not equal "/" (0x2f).
// RFC 6265, 5.1.3 and 5.1.4
TEST(CookieScope, MatchesTheDomainAndItsSubdomains)
{
    for (auto domain : {"example.com", ".example.com", "EXAMPLE.com"}) {
        EXPECT_TRUE(domain_matches("example.com", domain)) << domain;
        EXPECT_TRUE(domain_matches("a.b.example.com", domain)) << domain;
        for (auto host : {"anexample.com", "com", "example.com.", "",
                 "xample.com", "example.org"}) {
            EXPECT_FALSE(domain_matches(host, domain)) << host;
        }
    }
    EXPECT_FALSE(domain_matches("example.com", ""));
}

TEST(CookieScope, MatchesThePathAndWhatIsBelow)
{
    for (auto path : {"/app", "/app/", "/app/a", "/app//"}) {
        EXPECT_TRUE(path_matches(path, "/app")) << path;
        EXPECT_TRUE(path_matches(path, "/")) << path;
    }
    for (auto path : {"/", "/ap", "/apps", "/App", "/%61pp"}) {
        EXPECT_FALSE(path_matches(path, "/app")) << path;
    }
    EXPECT_FALSE(path_matches("/app", "/app/"));
    EXPECT_TRUE(path_matches("/app/", "/app/"));
}

TEST(MediaType, HasNoCaseInControlCharacters)
{
    for (const auto& value : {"application\x0fjson"s, "APPLICATION\x0fJSON"s,
             "application/json\0"s}) {
        EXPECT_FALSE(has_media_type({200, value, "", ""}, "application/json"));
    }
    EXPECT_FALSE(has_media_type({200, "application/jwk-set\x0bjson", "", ""},
        "application/jwk-set+json"));
    EXPECT_EQ(cache_lifetime("no\x0dstore", 60s, 24h, 1h), 3600s);
}

TEST(HttpRequest, AsksForJson)
{
    HttpRequest request;
    EXPECT_EQ(request.accept, "application/json");
    EXPECT_EQ(request.limit, 64u * 1024);
}

}
}
