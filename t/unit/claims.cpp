#include "oidc/claims.h"

#include <gtest/gtest.h>

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

// A header cannot hold them, and must not be split by them.
TEST(ClaimText, IsNothingWithControlCharacters)
{
    for (auto json : {R"("a\r\nX-Admin: 1")", R"("\n")", R"("a\tb")",
             R"("\u0001")", R"("\u001f")", R"("\u007f")", R"(["a","b\n"])",
             "{\"a\":\"\x7f\"}"}) {
        EXPECT_EQ(text_of(json), std::nullopt) << json;
    }
    // escaped within JSON, so harmless
    EXPECT_EQ(text_of(R"({"a":"\r\n"})"), R"({"a":"\r\n"})");
}

std::optional<std::string> found(const char* claims, std::string_view name)
{
    auto json = Json::parse(claims);
    return claim_text(find_claim(json->root(), name));
}

TEST(FindClaim, PrefersTheExactName)
{
    EXPECT_EQ(found(R"({"email":"a"})", "email"), "a");
    EXPECT_EQ(found(R"({"Email":"b","email":"a","EMAIL":"c"})", "email"), "a");
}

// nginx keeps the names of variables in lower case.
TEST(FindClaim, TakesTheOnlyOneThatDiffersInCase)
{
    EXPECT_EQ(found(R"({"familyName":"a"})", "familyname"), "a");
    EXPECT_EQ(found(R"({"Email":"b","EMAIL":"c"})", "email"), std::nullopt);
    EXPECT_EQ(found(R"({"Email":null,"other":"c"})", "email"), std::nullopt);
    EXPECT_EQ(found(R"({"mail":"a","e-mail":"b"})", "email"), std::nullopt);
    EXPECT_EQ(found("{}", "email"), std::nullopt);
}

TEST(LowerCase, FoldsAsciiAlone)
{
    EXPECT_EQ(lower_case("AZaz_09[@`{"), "azaz_09[@`{");
    EXPECT_EQ(lower_case("\xc3\x89\xdf"), "\xc3\x89\xdf");
}

}
}
