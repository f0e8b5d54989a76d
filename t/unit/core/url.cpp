#include "core/url.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace oidc::test {
namespace {

using namespace std::string_literals;

constexpr struct {
    std::string_view text;
    std::string_view origin;
    std::string_view target;
} urls[] = {
    {"https://op.example", "https://op.example", "/"},
    {"HTTPS://OP.Example/A", "https://op.example", "/A"},
    {"https://op.example:443/", "https://op.example", "/"},
    {"http://op.example:80/", "http://op.example", "/"},
    {"https://op.example:/a", "https://op.example", "/a"},
    {"http://op.example:443/", "http://op.example:443", "/"},
    {"https://op.example:8443/a/b?c=d&e", "https://op.example:8443",
        "/a/b?c=d&e"},
    {"https://op.example?", "https://op.example", "/?"},
    {"https://op.example?a/b", "https://op.example", "/?a/b"},
    {"https://op.example/a?b?c", "https://op.example", "/a?b?c"},
    {"https://op.example/%2F/..", "https://op.example", "/%2F/.."},
    {"http://127.0.0.1:1/", "http://127.0.0.1:1", "/"},
    {"http://[::1]:8080/x", "http://[::1]:8080", "/x"},
    {"https://[2001:DB8::1]", "https://[2001:db8::1]", "/"},
    {"https://under_score.example:65535", "https://under_score.example:65535",
        "/"},
};

TEST(Url, ParsesAbsoluteUrls)
{
    for (const auto& [text, origin, target] : urls) {
        auto url = parse_url(text);
        ASSERT_TRUE(url) << text;
        EXPECT_EQ(url->origin(), origin);
        EXPECT_EQ(url->target(), target);
        EXPECT_NE(url->port, 0);
        EXPECT_EQ(url->secure(), origin.starts_with("https"));
    }
}

TEST(Url, RefusesWhatHasMoreThanOneReading)
{
    const std::string refused[] = {"", "op.example", "//op.example",
        "ftp://op.example", "https:/op.example", "https:op.example",
        "://op.example", "https://", "https:///a", "https://?a",
        "https://user@op.example", "https://user:pass@op.example",
        "https://op.example@evil.example", "https://op.example/#a",
        "https://op.example#a", "https://op.example/a b", " https://op.example",
        "https://op.example\t", "https://op.example\\@evil.example",
        "https://op.example/\\a", "https://op.example/\"",
        "https://op.example/<", "https://op.example/>",
        "https://op.example/\x7f", "https://op.example/\xc3\xa9",
        "https://\xc3\xa9.example", "https://op.example/\0"s,
        "https://op.example/\r\nX: y", "https://op.example:0",
        "https://op.example:65536", "https://op.example:99999999999",
        "https://op.example:+80", "https://op.example:-1",
        "https://op.example:8a", "https://op.example: 80",
        "https://op.example:80:80", "https://.example", "https://[::1",
        "https://[::1]x", "https://[::1]x80", "https://[]", "https://[1]",
        "https://[::g]", "https://[::1%25eth0]", "https://::1/",
        "https://op%2eexample", "https://op,example", "https://op;example",
        "https://" + std::string(256, 'a')};
    for (const auto& text : refused) {
        EXPECT_FALSE(parse_url(text)) << text;
    }
    EXPECT_TRUE(parse_url("https://" + std::string(255, 'a')));
}

TEST(Authority, TakesWhatAHostHeaderMayHold)
{
    EXPECT_EQ(parse_authority("App.Example"), "app.example");
    EXPECT_EQ(parse_authority("App.Example:8443"), "app.example:8443");
    EXPECT_EQ(parse_authority("app.example."), "app.example.");
    EXPECT_EQ(parse_authority("[::1]:80"), "[::1]:80");
    for (auto text : {"", ":80", "a b", "a/b", "a@b", "a:b", "a:80:80", "a?b",
             "a\\b", "a#b", "a\r\nb", "[::1]80", "<script>"}) {
        EXPECT_FALSE(parse_authority(text)) << text;
    }
}

TEST(Authority, GivesItsHost)
{
    EXPECT_EQ(host_of("app.example"), "app.example");
    EXPECT_EQ(host_of("app.example:80"), "app.example");
    EXPECT_EQ(host_of("[::1]:80"), "[::1]");
    EXPECT_EQ(host_of("[::1]"), "[::1]");
    EXPECT_EQ(host_of("[::1"), "[::1");
    EXPECT_EQ(host_of(""), "");
}

TEST(Authority, KnowsLoopback)
{
    for (auto host : {"localhost", "127.0.0.1", "127.1.2.3", "[::1]"}) {
        EXPECT_TRUE(is_loopback(host)) << host;
    }
    for (auto host : {"", "localhost.", "localhost.example", "alocalhost",
             "127.evil.example", "127.0.0.1.evil.example", "1127.0.0.1",
             "10.0.0.1", "[::2]", "::1", "0.0.0.0"}) {
        EXPECT_FALSE(is_loopback(host)) << host;
    }
}

// True if a browser on https://app.example stays there when it follows this
// Location: characters are stripped and slashes read as in the URL standard,
// 4.4 (basic URL parser, from its "relative" state).
bool stays(std::string location)
{
    auto control = [](char c) { return static_cast<unsigned char>(c) <= 0x20; };
    while (!location.empty() && control(location.front())) {
        location.erase(0, 1);
    }
    std::erase_if(
        location, [](char c) { return c == '\t' || c == '\n' || c == '\r'; });
    auto slash = [&](std::size_t i) {
        return i < location.size() &&
            (location[i] == '/' || location[i] == '\\');
    };
    return slash(0) && !slash(1);
}

// Stricter than stays(): the promised form.
bool is_safe(const std::string& location)
{
    auto visible = [](char c) {
        auto byte = static_cast<unsigned char>(c);
        return byte > 0x20 && byte != 0x7f;
    };
    return location.starts_with('/') &&
        (location.size() == 1 || (location[1] != '/' && location[1] != '\\')) &&
        std::all_of(location.begin(), location.end(), visible) &&
        stays(location);
}

TEST(ReturnTarget, NeverLeavesTheOrigin)
{
    const std::string hostile[] = {"", "/", "//", "///", "\\", "/\\", "\\/",
        "//evil.example", "///evil.example", "/\\evil.example",
        "\\\\evil.example", "/\\/evil.example", "//\\evil.example/a",
        "/\t/evil.example", "/\n/evil.example", "/\r/evil.example",
        "/\r\n/evil.example", "\t//evil.example", "/ /evil.example",
        "/\x0b/evil.example", "/\x01//evil.example", "/\0/evil.example"s,
        "/\x7f/evil.example", "//evil.example\\@app.example",
        "https://evil.example", "http:evil.example", "http:/evil.example",
        "http:\\\\evil.example", "javascript:alert(1)", "evil.example",
        "@evil.example", ".evil.example", ":80", "?//evil.example",
        "#//evil.example", "/\r\nSet-Cookie: a=b", "/a\r\nLocation: //evil",
        "\xe3\x80\x82"
        "evil",
        "/\xef\xbc\x8f/evil.example"};
    for (const auto& raw : hostile) {
        EXPECT_TRUE(is_safe(return_target(raw)))
            << raw << " -> " << return_target(raw);
    }
}

TEST(ReturnTarget, NeverLeavesTheOriginWhateverTheBytes)
{
    constexpr std::string_view letters("/\\\t\n\r .:@?#%a\x7f\x0b\0", 15);
    std::string raw = "/";

    for (std::size_t n = 0; n < 15 * 15 * 15 * 15; n++) {
        raw.resize(1);
        for (auto rest = n; rest > 0; rest /= letters.size()) {
            raw += letters[rest % letters.size()];
        }
        auto whole = return_target(raw + "e");
        auto tail = return_target(std::string_view(raw).substr(1));
        ASSERT_TRUE(is_safe(whole)) << raw << " -> " << whole;
        ASSERT_TRUE(is_safe(tail)) << raw << " -> " << tail;
    }
}

TEST(ReturnTarget, KeepsHonestTargetsByteForByte)
{
    for (auto raw : {"/", "/a", "/a?b=c%20d&e=%2F%2Fevil", "/%2F%2Fevil",
             "/%5Cevil", "/%09/evil", "/a//b\\c", "/a?next=//x.example/",
             "/\xc3\xa9?q=\xe2\x82\xac", "/.//a", "/a?\"<>{}|^`", "/a#b",
             "/http://x.example/", "/:80", "/@a"}) {
        EXPECT_EQ(return_target(raw), raw);
    }
}

TEST(ReturnTarget, EscapesWhatAHeaderCannotHold)
{
    EXPECT_EQ(return_target("/a b\tc\r\nd\x7f"), "/a%20b%09c%0D%0Ad%7F");
    EXPECT_EQ(return_target("/a\0b"s), "/a%00b");
    EXPECT_EQ(return_target("//a"), "/a");
    EXPECT_EQ(return_target("/\\/\\a"), "/a");
    EXPECT_EQ(return_target("/ a"), "/");
}

}
}
