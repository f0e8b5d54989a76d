#include "oidc/claims.h"

#include "support/growth.h"

#include <gtest/gtest.h>

#include <random>

namespace oidc::test {
namespace {

using namespace std::string_literals;

std::optional<std::string> text_of(const std::string& value)
{
    auto json = Json::parse("{\"claim\":" + value + "}");
    EXPECT_TRUE(json) << value;
    return claim_text((*json)["claim"]);
}

TEST(ClaimText, ShowsAValue)
{
    constexpr struct {
        const char* json;
        const char* text;
    } cases[] = {
        {R"("text")", "text"},
        {R"("")", ""},
        {R"("a b, \u00e9 \"c\"")", "a b, \xc3\xa9 \"c\""},
        {"42", "42"},
        {"-1", "-1"},
        {"0.1", "0.1"},
        {"9007199254740993", "9007199254740993"},
        {"true", "true"},
        {"false", "false"},
        {"[]", ""},
        {R"(["a"])", "a"},
        {R"(["a","b","c"])", "a,b,c"},
        {R"(["a",1,true,0.5,null])", "a,1,true,0.5,null"},
        {R"(["",""])", ","},
        {R"(["users","CN=x,admin,OU=y"])", "users,CN=x%2Cadmin%2COU=y"},
        {R"(["100%","%2C"])", "100%25,%252C"},
        {R"(["a","b\r\n\u0001\u007f"])", "a,b%0D%0A%01%7F"},
        {R"(["a b","\u00e9+/\"\\"])", "a b,\xc3\xa9+/\"\\"},
        {R"([["a,b"],"c"])", R"([["a\u002cb"],"c"])"},
        {R"({"a,b":"c\\,d","e":["\",\""]})",
            R"({"a\u002cb":"c\\\u002cd","e":["\"\u002c\""]})"},
        {R"([["a"]])", R"([["a"]])"},
        {R"(["a",{"b":1}])", R"(["a",{"b":1}])"},
        {"{}", "{}"},
        {R"({"b":1,"a":["x"]})", R"({"b":1,"a":["x"]})"},
    };
    for (const auto& [json, text] : cases) {
        EXPECT_EQ(text_of(json), text) << json;
    }
}

TEST(ClaimText, IsNothingForNullAndAbsence)
{
    EXPECT_EQ(text_of("null"), std::nullopt);
    EXPECT_EQ(claim_text(JsonValue()), std::nullopt);
}

// Two users whose numbers round to the same one would look alike.
TEST(ClaimText, IsNothingForARoundedNumber)
{
    for (auto json : {"99999999999999999999", "-99999999999999999999",
             "9223372036854775808", "1e300", "[1,99999999999999999999]",
             R"({"a":{"b":[99999999999999999999]}})",
             R"([{"a":99999999999999999999}])"}) {
        EXPECT_EQ(text_of(json), std::nullopt) << json;
    }
    EXPECT_EQ(text_of("9223372036854775807"), "9223372036854775807");
    EXPECT_EQ(text_of("-9223372036854775808"), "-9223372036854775808");
    EXPECT_EQ(text_of(R"("99999999999999999999")"), "99999999999999999999");
}

// A header cannot hold them, and must not be split by them.
TEST(ClaimText, IsNothingWithControlCharacters)
{
    for (auto json :
        {R"("a\r\nX-Admin: 1")", R"("\n")", R"("a\tb")", R"("\u0001")",
            R"("\u001f")", R"("\u007f")", "{\"a\":\"\x7f\"}", "[[\"\x7f\"]]"}) {
        EXPECT_EQ(text_of(json), std::nullopt) << json;
    }
    // escaped within JSON, so harmless
    EXPECT_EQ(text_of(R"({"a":"\r\n"})"), R"({"a":"\r\n"})");
}

std::string percent_decoded(std::string_view text)
{
    std::string plain;
    for (std::size_t i = 0; i < text.size(); i++) {
        if (text[i] == '%') {
            auto hex = std::string(text.substr(i + 1, 2));
            plain += static_cast<char>(std::stoi(hex, nullptr, 16));
            i += 2;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

std::vector<std::string> members_of(std::string_view text)
{
    std::vector<std::string> members(1);
    for (char c : text) {
        if (c == ',') {
            members.emplace_back();
        } else {
            members.back() += c;
        }
    }
    for (auto& member : members) {
        member = percent_decoded(member);
    }
    return members;
}

// No member passes for another one, or for two.
TEST(ClaimText, OfAListGivesTheListBack)
{
    const std::string_view pieces[] = {",", "%", "%2C", "%2c", "%25", "2C", "a",
        "admin", " ", "\"", "\\", "\n", "\r", "\t", "\x01", "\x1f", "\x7f",
        "\xc3\xa9", "\xf0\x9f\x98\x80", "[", "}", "="};
    std::mt19937 random(20261129);
    auto below = [&](std::size_t most) { return random() % most; };

    for (int round = 0; round < 2000; round++) {
        std::vector<std::string> list(1 + below(5));
        std::string json;
        for (auto& member : list) {
            for (auto count = below(6); count > 0; count--) {
                member += pieces[below(std::size(pieces))];
            }
            auto object = json_object({{"s", member}});
            json +=
                (json.empty() ? "" : ",") + object.substr(5, object.size() - 6);
        }
        auto text = text_of("[" + json + "]");
        ASSERT_TRUE(text) << json;
        EXPECT_EQ(members_of(*text), list) << json;
    }
}

std::optional<std::string> found(const char* claims, std::string_view name)
{
    auto json = Json::parse(claims);
    auto claims_of = claims_by_name(json->root());
    auto claim = claims_of.find(name);
    return claim == claims_of.end() ? std::nullopt : claim_text(claim->second);
}

TEST(ClaimsByName, PrefersTheExactName)
{
    EXPECT_EQ(found(R"({"email":"a"})", "email"), "a");
    EXPECT_EQ(found(R"({"Email":"b","email":"a","EMAIL":"c"})", "email"), "a");
}

// nginx keeps the names of variables in lower case.
TEST(ClaimsByName, TakesTheOnlyOneThatDiffersInCase)
{
    EXPECT_EQ(found(R"({"familyName":"a"})", "familyname"), "a");
    EXPECT_EQ(found(R"({"Email":"b","EMAIL":"c"})", "email"), std::nullopt);
    EXPECT_EQ(found(R"({"Email":null,"other":"c"})", "email"), std::nullopt);
    EXPECT_EQ(found(R"({"Email":"a","email":null})", "email"), "a");
    EXPECT_EQ(found(R"({"Email":"a","EMAIL":null})", "email"), "a");
    EXPECT_EQ(found(R"({"mail":"a","e-mail":"b"})", "email"), std::nullopt);
    EXPECT_EQ(found("{}", "email"), std::nullopt);
}

TEST(ClaimsByName, HoldsEveryClaimOnce)
{
    auto json = Json::parse(R"({"Sub":"a","groups":["b"],"GROUPS":1,"x":null,
        "Email":"c","EMAIL":"d"})");
    auto claims = claims_by_name(json->root());
    EXPECT_EQ(claims.size(), 3u);
    EXPECT_EQ(claim_text(claims.at("sub")), "a");
    EXPECT_EQ(claim_text(claims.at("groups")), "b");
    EXPECT_FALSE(claims.at("email").exists());
    EXPECT_TRUE(claims_by_name(JsonValue()).empty());
}

// The order of members must not matter.
TEST(ClaimsByName, PrefersTheExactNameWhereverItStands)
{
    for (auto claims : {R"({"a":1,"A":2})", R"({"A":2,"a":1})"}) {
        EXPECT_EQ(found(claims, "a"), "1") << claims;
    }
    EXPECT_EQ(found(R"({"AA":1,"aA":2,"Aa":3})", "aa"), std::nullopt);
    EXPECT_EQ(found(R"({"AA":1,"aA":2,"aa":3,"Aa":4})", "aa"), "3");
}

// A quadratic search would stop a worker for many seconds.
TEST(ClaimsByName, OfThirtyThousandClaimsTakesLinearTime)
{
    auto json_of = [](int number) {
        std::string text;
        for (int i = 0; i < number; i++) {
            text +=
                (i > 0 ? ",\"Claim" : "{\"Claim") + std::to_string(i) + "\":1";
        }
        return Json::parse(text + "}");
    };
    auto few = json_of(4'000);
    auto many = json_of(8 * 4'000);
    ASSERT_TRUE(few && many);
    auto ratio = growth(4'000, [&](int number) {
        auto& json = number == 4'000 ? few : many;
        EXPECT_EQ(claims_by_name(json->root()).size(), size_t(number));
    });
    EXPECT_LT(ratio, linear);
}

}
}
