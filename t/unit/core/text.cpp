#include "core/text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace oidc::test {
namespace {

TEST(LowerCase, FoldsAsciiAlone)
{
    EXPECT_EQ(lower_case("AZaz_09[@`{"), "azaz_09[@`{");
    EXPECT_EQ(lower_case("\xc3\x89\xdf"), "\xc3\x89\xdf");
    EXPECT_EQ(lower_case(""), "");
}

TEST(EqualIgnoringCase, FoldsAsciiAlone)
{
    EXPECT_TRUE(equal_ignoring_case("No-Store", "nO-sTORE"));
    EXPECT_TRUE(equal_ignoring_case("", ""));
    EXPECT_FALSE(equal_ignoring_case("no-store", "no-stor"));
    EXPECT_FALSE(equal_ignoring_case("no\x0dstore", "no-store"));
    EXPECT_FALSE(equal_ignoring_case("[", "{"));
    EXPECT_FALSE(equal_ignoring_case("\xc9", "\xe9"));
}

TEST(CharacterClasses, HoldNoByteOver0x7f)
{
    for (int byte = 0; byte < 256; byte++) {
        auto c = static_cast<char>(byte);
        EXPECT_EQ(is_digit(c), byte >= '0' && byte <= '9') << byte;
        EXPECT_EQ(is_letter(c),
            (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z'))
            << byte;
        EXPECT_EQ(is_control(c), byte < 0x20 || byte == 0x7f) << byte;
        EXPECT_EQ(is_printable(c), byte >= 0x20 && byte < 0x7f) << byte;
        EXPECT_EQ(is_printable(std::string{'a', c}), is_printable(c)) << byte;
    }
    EXPECT_TRUE(is_printable(""));
}

TEST(Trim, TakesSpacesAndTabsFromBothEnds)
{
    EXPECT_EQ(trim(" \t a \t b\t "), "a \t b");
    EXPECT_EQ(trim("a"), "a");
    EXPECT_EQ(trim("\na "), "\na");
    EXPECT_EQ(trim(" \t"), "");
    EXPECT_EQ(trim(""), "");
}

TEST(TakeUntil, LeavesWhatStandsBehindTheSeparator)
{
    std::string_view text = "a,,b";
    EXPECT_EQ(take_until(text, ','), "a");
    EXPECT_EQ(text, ",b");
    EXPECT_EQ(take_until(text, ','), "");
    EXPECT_EQ(take_until(text, ','), "b");
    EXPECT_EQ(text, "");
    EXPECT_EQ(take_until(text, ','), "");
}

TEST(Nearest, IsTheNameThatDiffersLeast)
{
    std::vector<std::string_view> names = {"client_id", "client_key", "scope"};
    EXPECT_EQ(nearest("client_idd", names), "client_id");
    EXPECT_EQ(nearest("CLIENT_KEY", names), "client_key");
    EXPECT_EQ(nearest("clientkey", names), "client_key");
    EXPECT_EQ(nearest("scop", names), "scope");
    EXPECT_EQ(nearest("s", names), "");
    EXPECT_EQ(nearest("issuer", names), "");
    EXPECT_EQ(nearest("", names), "");
    EXPECT_EQ(nearest("on", {}), "");
}

TEST(ParseNumber, ReadsTheWholeText)
{
    EXPECT_EQ(parse_number<std::int64_t>("0"), 0);
    EXPECT_EQ(parse_number<std::int64_t>("-17"), -17);
    EXPECT_EQ(parse_number<std::uint16_t>("65535"), 65535);
    EXPECT_EQ(parse_number<std::int64_t>("9223372036854775807"),
        std::numeric_limits<std::int64_t>::max());
    for (auto text : {"", " 1", "1 ", "+1", "1x", "0x1", "1.0", "-",
             "9223372036854775808"}) {
        EXPECT_FALSE(parse_number<std::int64_t>(text)) << text;
    }
    EXPECT_FALSE(parse_number<std::uint16_t>("65536"));
    EXPECT_FALSE(parse_number<std::uint16_t>("-1"));
}

TEST(Hex, DecodesWhatItEncodes)
{
    for (int byte = 0; byte < 256; byte++) {
        std::string digits;
        append_hex(digits, static_cast<char>(byte));
        EXPECT_EQ(hex_decode(digits), std::string(1, static_cast<char>(byte)));
        EXPECT_EQ(hex_decode(lower_case(digits)), hex_decode(digits));
    }
    std::string digits = "%";
    append_hex(digits, '\x0f');
    append_hex(digits, '\xa0');
    EXPECT_EQ(digits, "%0FA0");
}

TEST(Hex, DecodesPairsOfDigitsAlone)
{
    EXPECT_EQ(hex_decode(""), "");
    for (auto digits :
        {"0", "000", "0g", "g0", "0x", " 0", "-1", "@A", "`a", "0\xb0"}) {
        EXPECT_FALSE(hex_decode(digits)) << digits;
    }
}

}
}
