#include "core/json.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

std::string why_not(std::string_view text)
{
    std::string why;
    auto parsed = Json::parse(text, why).has_value();
    EXPECT_EQ(parsed, why.empty());
    EXPECT_EQ(parsed, Json::parse(text).has_value());
    return why;
}

TEST(Json, RefusesWhatIsNotRfc8259)
{
    const std::string refused[] = {"", " ", "{", "}", "{]", "{\"a\"}",
        "{\"a\":}", "{a:1}", "{'a':1}", "{\"a\":1,}", "{\"a\":01}",
        "{\"a\":+1}", "{\"a\":.5}", "{\"a\":NaN}", "{\"a\":Infinity}",
        "{\"a\":0x1}", "{\"a\":True}", "{\"a\":1}{}", "{\"a\":1} x",
        "{\"a\":1}\0"s, "\xef\xbb\xbf{}", "{\"a\":\"\n\"}", "{\"a\":\"\t\"}",
        "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"", "{\"a\":\"\\",
        "{//\n}", "{\"a\":1e400}", "{\"a\":-1e400}", "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc0\x80\"}", "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\\ud800\"}", "{\"\xff\":1}"};
    for (const auto& text : refused) {
        EXPECT_EQ(why_not(text), "malformed JSON") << text;
    }
}

const std::string large = "99999999999999999999";

TEST(Json, MayHaveIntegersBeyond64Bits)
{
    for (const auto& number :
        {large, "-" + large, "9223372036854775808"s, "-9223372036854775809"s,
            std::string(309, '9'), "-" + std::string(100'000, '1')}) {
        auto json = Json::parse("{\"a\":" + number +
            ",\"b\":9007199254740993,\"c\":[-9223372036854775808,0.1," +
            number + "],\"d\":\"" + large + "\"}");
        ASSERT_TRUE(json) << number.substr(0, 30);
        for (auto value : {(*json)["a"], (*json)["c"].at(2)}) {
            EXPECT_TRUE(value.exists() && value.is_rounded());
            EXPECT_FALSE(value.string() || value.integer() || value.date() ||
                value.seconds() || value.boolean() || value.is_object());
        }
        EXPECT_EQ((*json)["b"].integer(), 9007199254740993);
        EXPECT_EQ((*json)["c"].at(0).text(), "-9223372036854775808");
        EXPECT_EQ((*json)["c"].at(1).text(), "0.1");
        EXPECT_EQ((*json)["d"].string(), large);
        EXPECT_TRUE((*json)["c"].is_rounded());
        EXPECT_FALSE((*json)["b"].is_rounded());
        EXPECT_FALSE((*json)["c"].at(0).is_rounded());
        EXPECT_FALSE((*json)["d"].is_rounded());
    }
}

TEST(Json, IsNoLessStrictWithIntegersBeyond64Bits)
{
    const auto refused = {"0" + large, "-0" + large, "+" + large, large + "x",
        large + "-1", large + "e", large + "e+", large + ".",
        large + " " + large, large + "\"\"", "\"\"" + large, "--" + large,
        large + ",\"b\":1e400", "1e400,\"b\":" + large,
        large + ",\"b\":\"\\u0000\"", large + ",}"};
    for (const auto& value : refused) {
        EXPECT_EQ(why_not("{\"a\":" + value + "}"), "malformed JSON") << value;
    }
    EXPECT_EQ(why_not("{\"a\":" + large), "malformed JSON");
    EXPECT_EQ(why_not("{" + large + ":1}"), "malformed JSON");
    EXPECT_EQ(why_not("[" + large + "]"), "JSON other than an object");
    EXPECT_EQ(why_not("{\"a\":" + large + ",\"a\":1}"),
        "JSON with a duplicate member");
    EXPECT_EQ(why_not("{\"a\":\"\\\"" + large + "\",\"b\":" + large + "}"), "");
}

// Two parsers might truncate such a string differently.
TEST(Json, RefusesNulInStringsAndNames)
{
    for (const auto& text : {"{\"a\":\"\\u0000\"}"s, "{\"a\":\"x\\u0000y\"}"s,
             "{\"a\\u0000b\":1}"s, "{\"a\":\"\0\"}"s}) {
        EXPECT_EQ(why_not(text), "malformed JSON") << text;
    }
}

TEST(Json, RefusesDuplicateMembers)
{
    for (auto text : {R"({"a":1,"a":1})", R"({"a":1,"\u0061":2})",
             R"({"x":{"a":1,"b":2,"a":3}})", R"({"x":[{"":1,"":1}]})"}) {
        EXPECT_EQ(why_not(text), "JSON with a duplicate member");
    }
    EXPECT_EQ(why_not(R"({"a":{"a":1},"A":2})"), "");
}

TEST(Json, RefusesWhatIsNoObject)
{
    EXPECT_EQ(why_not("[]"), "JSON other than an object");
    EXPECT_EQ(why_not("[{}]"), "JSON other than an object");
    for (auto text : {"1", "null", "\"a\"", "true"}) {
        EXPECT_NE(why_not(text), "") << text;
    }
}

std::string nested(std::size_t depth, char open, char close)
{
    return "{\"a\":" + std::string(depth - 1, open) +
        std::string(depth - 1, close) + "}";
}

TEST(Json, Goes64LevelsDeep)
{
    EXPECT_EQ(why_not(nested(64, '[', ']')), "");
    for (std::size_t depth : {65, 66, 2048, 20'000, 100'000}) {
        EXPECT_EQ(why_not(nested(depth, '[', ']')), "JSON nested too deeply");
        EXPECT_EQ(why_not(nested(depth, '{', '}')), "JSON nested too deeply");
        EXPECT_EQ(why_not(std::string(depth, '[')), "JSON nested too deeply");
    }
}

TEST(Json, CountsNoBracketsInStrings)
{
    auto brackets = std::string(100, '[') + std::string(100, '{');
    EXPECT_EQ(why_not("{\"a\":\"" + brackets + "\"}"), "");
    EXPECT_EQ(why_not("{\"a\":\"\\\"" + brackets + "\\\\\",\"b\":[]}"), "");
    EXPECT_EQ(why_not("{\"a\":\"\\\\\",\"b\":" + brackets + "}"),
        "JSON nested too deeply");
}

Json document()
{
    return std::move(*Json::parse(R"({
        "string":"text", "empty":"", "unicode":"\u00e9\ud83d\ude00",
        "integer":42, "negative":-7, "big":9007199254740993, "real":0.1,
        "whole":3.0, "tiny":1e-7, "huge":1e300,
        "true":true, "false":false, "null":null,
        "array":["a","b",1,null,["a"]], "object":{"b":1,"a":{"c":"d"}},
        "none":[]
    })"));
}

TEST(JsonValue, GivesNothingOfAnotherType)
{
    auto json = document();
    EXPECT_EQ(json["string"].string(), "text");
    EXPECT_EQ(json["empty"].string(), "");
    EXPECT_EQ(json["unicode"].string(), "\xc3\xa9\xf0\x9f\x98\x80");
    EXPECT_EQ(json["integer"].integer(), 42);
    EXPECT_EQ(json["negative"].integer(), -7);
    EXPECT_EQ(json["big"].integer(), 9007199254740993);
    EXPECT_EQ(json["true"].boolean(), true);
    EXPECT_EQ(json["false"].boolean(), false);

    EXPECT_FALSE(json["integer"].string());
    EXPECT_FALSE(json["null"].string());
    EXPECT_FALSE(json["array"].string());
    EXPECT_FALSE(json["string"].integer());
    EXPECT_FALSE(json["real"].integer());
    EXPECT_FALSE(json["true"].integer());
    EXPECT_FALSE(json["integer"].boolean());
    EXPECT_FALSE(json["string"].boolean());
}

TEST(JsonValue, KnowsItsKind)
{
    auto json = document();
    EXPECT_TRUE(json.root().is_object());
    EXPECT_TRUE(json["object"].is_object());
    EXPECT_TRUE(json["array"].is_array());
    EXPECT_FALSE(json["array"].is_object());
    EXPECT_FALSE(json["object"].is_array());
}

TEST(JsonValue, MayBeAbsent)
{
    auto json = document();
    for (auto absent : {json["absent"], json["string"]["a"],
             json["array"].at(5), json["object"].at(0), JsonValue()}) {
        EXPECT_FALSE(absent.exists());
        EXPECT_FALSE(absent.is_object());
        EXPECT_FALSE(absent.is_array());
        EXPECT_FALSE(absent.string());
        EXPECT_FALSE(absent.integer());
        EXPECT_FALSE(absent.boolean());
        EXPECT_FALSE(absent.date());
        EXPECT_FALSE(absent.seconds_or_digits());
        EXPECT_FALSE(absent.has_string(""));
        EXPECT_FALSE(absent["a"].exists());
        EXPECT_EQ(absent.size(), 0u);
        EXPECT_TRUE(absent.names().empty());
        EXPECT_EQ(absent.text(), "");
        EXPECT_EQ(absent.dump(), "");
    }
}

TEST(JsonValue, IsAbsentIfItIsANullMember)
{
    auto json = document();
    EXPECT_FALSE(json["null"].exists());
    EXPECT_TRUE(json.mentions("null"));
    EXPECT_TRUE(json.mentions("none"));
    EXPECT_FALSE(json.mentions("absent"));
    EXPECT_FALSE(JsonValue().mentions("null"));

    auto nested = Json::parse(R"({"b":null,"a":{"y":null,"x":1},"c":[null]})");
    EXPECT_EQ(nested->root().names(), (std::vector<std::string>{"a", "c"}));
    EXPECT_EQ((*nested)["a"].names(), std::vector<std::string>{"x"});
    EXPECT_TRUE((*nested)["c"].at(0).exists());
    EXPECT_EQ((*nested)["c"].at(0).text(), "null");
    EXPECT_EQ((*nested)["a"].dump(), R"({"y":null,"x":1})");
}

TEST(JsonValue, ReadsDates)
{
    constexpr struct {
        const char* text;
        std::int64_t seconds; // negative: none
    } dates[] = {
        {"0", 0},
        {"1700000000", 1700000000},
        {"1700000000.9", 1700000000},
        {"1.7e9", 1700000000},
        {"253402300799", 253402300799},
        {"253402300800", -1},
        {"9223372036854775807", -1},
        {"99999999999999999999", -1},
        {"-99999999999999999999", -1},
        {"1e300", -1},
        {"-1", -1},
        {"-0.5", -1},
        {"\"1700000000\"", -1},
        {"true", -1},
        {"null", -1},
        {"[1700000000]", -1},
        {"{}", -1},
    };
    for (const auto& [text, seconds] : dates) {
        auto json = Json::parse("{\"exp\":" + std::string(text) + "}");
        EXPECT_EQ(
            (*json)["exp"].date().value_or(Time(-1s)), from_seconds(seconds))
            << text;
    }
}

TEST(JsonValue, ReadsSecondsFromDigits)
{
    constexpr struct {
        const char* text;
        std::int64_t seconds; // negative: none
    } cases[] = {
        {"3600", 3600},
        {"3600.9", 3600},
        {"\"3600\"", 3600},
        {"\"0\"", 0},
        {"\"007\"", 7},
        {"\"253402300799\"", 253402300799},
        {"\"253402300800\"", -1},
        {"\"99999999999999999999\"", -1},
        {"\"\"", -1},
        {"\"-1\"", -1},
        {"\"+1\"", -1},
        {"\" 1\"", -1},
        {"\"1 \"", -1},
        {"\"1.5\"", -1},
        {"\"1e3\"", -1},
        {"\"0x10\"", -1},
        {"\"soon\"", -1},
        {"true", -1},
        {"null", -1},
        {"[\"3600\"]", -1},
        {"{}", -1},
    };
    for (const auto& [text, seconds] : cases) {
        auto json = Json::parse("{\"a\":" + std::string(text) + "}");
        EXPECT_EQ(
            (*json)["a"].seconds_or_digits().value_or(-1s).count(), seconds)
            << text;
    }
}

TEST(JsonValue, ShowsItselfAsText)
{
    constexpr struct {
        const char* name;
        const char* text;
    } texts[] = {
        {"string", "text"},
        {"empty", ""},
        {"integer", "42"},
        {"negative", "-7"},
        {"big", "9007199254740993"},
        {"real", "0.1"},
        {"tiny", "1e-07"},
        {"huge", "1e+300"},
        {"true", "true"},
        {"false", "false"},
        {"null", ""},
        {"none", "[]"},
        {"array", R"(["a","b",1,null,["a"]])"},
        {"object", R"({"b":1,"a":{"c":"d"}})"},
    };
    auto json = document();
    for (const auto& [name, text] : texts) {
        EXPECT_EQ(json[name].text(), text);
    }
    EXPECT_EQ(json["string"].dump(), "\"text\"");
}

TEST(JsonValue, ListsMembersAndElements)
{
    auto json = document();
    EXPECT_EQ(json["object"].names(), (std::vector<std::string>{"b", "a"}));
    EXPECT_EQ(json["object"].size(), 2u);
    EXPECT_EQ(json["array"].size(), 5u);
    EXPECT_EQ(json["string"].size(), 0u);
    EXPECT_TRUE(json["string"].names().empty());
    EXPECT_EQ(json["array"].at(1).string(), "b");
    EXPECT_EQ(json["object"]["a"]["c"].string(), "d");
}

TEST(JsonValue, FindsAStringInAnArrayAlone)
{
    auto json = document();
    EXPECT_TRUE(json["array"].has_string("b"));
    EXPECT_FALSE(json["array"].has_string("c"));
    EXPECT_FALSE(json["array"].has_string("1"));
    EXPECT_FALSE(json["string"].has_string("text"));
    EXPECT_FALSE(json["object"].has_string("b"));
}

TEST(JsonObject, HoldsItsMembersInOrder)
{
    EXPECT_EQ(json_object({}), "{}");
    EXPECT_EQ(json_object({{"b", "text"}, {"a", from_seconds(1'700'000'000)},
                  {"c", Time(-1s)}}),
        R"({"b":"text","a":1700000000,"c":-1})");
}

TEST(JsonObject, LetsNothingOutOfItsStrings)
{
    std::string_view text = "a\"b\\c\r\n\x01</script>\xc3\xa9";
    auto json = Json::parse(json_object({{"a", text}, {"b", ""}}));
    ASSERT_TRUE(json);
    EXPECT_EQ((*json)["a"].string(), text);
    EXPECT_EQ((*json)["b"].string(), "");
    EXPECT_EQ(json->root().size(), 2u);
}

}
}
