#include "core/encoding.h"

#include <gtest/gtest.h>

#include <cctype>
#include <string>

namespace oidc::test {
namespace {

using namespace std::string_literals;

// RFC 4648, 10, and RFC 7515, appendix C
constexpr struct {
    std::string_view plain;
    std::string_view url;
    std::string_view padded;
} base64_examples[] = {
    {"", "", ""},
    {"f", "Zg", "Zg=="},
    {"fo", "Zm8", "Zm8="},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg", "Zm9vYg=="},
    {"fooba", "Zm9vYmE", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
    {"\x03\xec\xff\xe0\xc1", "A-z_4ME", "A+z/4ME="},
};

TEST(Base64, EncodesTheExamples)
{
    for (const auto& example : base64_examples) {
        EXPECT_EQ(base64url(example.plain), example.url);
        EXPECT_EQ(base64(example.plain), example.padded);
    }
}

TEST(Base64, DecodesWhatItEncodes)
{
    std::string bytes;
    for (int i = 0; i < 600; i++) {
        EXPECT_EQ(base64url_decode(base64url(bytes)), bytes) << bytes.size();
        bytes += static_cast<char>(i * 167);
    }
}

TEST(Base64, DecodesStrictly)
{
    const std::string refused[] = {"A", "Zm9vY",
        "Zg==", "Zm8=", "Zm9v=", "====", "Zm9v ", " Zm9v", "Zm9v\n", "Zm+v",
        "Zm/v", "Zm9\0"s, "\0"s, "Zm9v\xc3\xa9", "\xff\xff\xff\xff", "Zm9v.Zg",
        "Zm9v%3D"};
    for (const auto& text : refused) {
        EXPECT_FALSE(base64url_decode(text)) << text;
    }
}

// Two texts for the same bytes would be two names of one token.
TEST(Base64, HasOneTextForEveryValue)
{
    constexpr std::string_view alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (auto start : {"", "Zm9v"}) {
        int two = 0, three = 0;
        for (char a : alphabet) {
            std::string text = start + "x"s + a;
            if (auto bytes = base64url_decode(text)) {
                EXPECT_EQ(base64url(*bytes), text);
                two++;
            }
            text += a;
            if (auto bytes = base64url_decode(text)) {
                EXPECT_EQ(base64url(*bytes), text);
                three++;
            }
        }
        EXPECT_EQ(two, 4);
        EXPECT_EQ(three, 16);
    }
}

TEST(Base64, RefusesEveryForeignByteAtEveryPlace)
{
    for (std::size_t size : {2, 3, 4, 6, 7, 8}) {
        for (std::size_t place = 0; place < size; place++) {
            for (int byte = 0; byte < 256; byte++) {
                auto c = static_cast<char>(byte);
                std::string text(size, 'A');
                text[place] = c;
                auto bytes = base64url_decode(text);
                auto digit =
                    (byte < 128 && isalnum(byte)) || c == '-' || c == '_';
                EXPECT_TRUE(digit || !bytes) << size << place << byte;
                EXPECT_TRUE(!bytes || base64url(*bytes) == text);
            }
        }
    }
}

TEST(PercentEncode, LeavesOnlyUnreservedCharacters)
{
    EXPECT_EQ(percent_encode("AZaz09-._~"), "AZaz09-._~");
    EXPECT_EQ(
        percent_encode("a b+c&d=e/f?g#h%"), "a%20b%2Bc%26d%3De%2Ff%3Fg%23h%25");
    EXPECT_EQ(percent_encode("\r\n\x7f\xc3\xbc"s + '\0'), "%0D%0A%7F%C3%BC%00");
}

std::string shown(std::string_view form)
{
    std::string why;
    auto parameters = parse_form(form, why);
    if (!parameters) {
        return why;
    }
    std::string text;
    for (const auto& parameter : *parameters) {
        text += "<" + parameter.name + "|" + parameter.value + ">";
    }
    return text;
}

TEST(Form, KeepsOrderAndDuplicates)
{
    EXPECT_EQ(shown(""), "");
    EXPECT_EQ(shown("a=1&b=2&a=3"), "<a|1><b|2><a|3>");
    EXPECT_EQ(shown("a&=b&c==d&e="), "<a|><|b><c|=d><e|>");
    EXPECT_EQ(shown("&&a=1&&"), "<a|1>");
    EXPECT_EQ(shown("A=1&%61=2"), "<A|1><a|2>");
}

// RFC 6749, appendix B
TEST(Form, DecodesTheExample)
{
    EXPECT_EQ(
        shown("+%25%26%2B%C2%A3%E2%82%AC"), "< %&+\xc2\xa3\xe2\x82\xac|>");
}

TEST(Form, RefusesBrokenEscapes)
{
    for (auto text : {"a=%", "a=%4", "a=%4g", "a=%g4", "%zz=1", "a=%%20",
             "a=%00", "%00=a", "a=1&b=%", "a=%-1", "a=% 1"}) {
        EXPECT_EQ(shown(text), "a parameter that is not form-urlencoded")
            << text;
    }
}

TEST(Form, BoundsTheNumberOfParameters)
{
    std::string form = "a=1";
    for (int i = 1; i < 64; i++) {
        form += "&a=1";
    }
    EXPECT_EQ(parse_form(form)->size(), 64u);
    EXPECT_EQ(shown(form + "&a=1"), "too many parameters");
}

TEST(Form, ReadsBackWhatItAppends)
{
    std::string form;
    append_parameter(form, "scope", "openid e-mail");
    append_parameter(form, "a&b=c", "%+\xff\r\n");
    EXPECT_EQ(form, "scope=openid%20e-mail&a%26b%3Dc=%25%2B%FF%0D%0A");
    EXPECT_EQ(shown(form), "<scope|openid e-mail><a&b=c|%+\xff\r\n>");
}

TEST(Quoted, LetsNothingOutOfTheQuotes)
{
    EXPECT_EQ(oidc::quoted("plain text ~"), "\"plain text ~\"");
    EXPECT_EQ(oidc::quoted("a\"b\\c\r\n\x7f\xc3\xa9"),
        R"("a\x22b\x5Cc\x0D\x0A\x7F\xC3\xA9")");
    EXPECT_EQ(oidc::quoted("<b>"), R"("\x3Cb\x3E")");
    EXPECT_EQ(oidc::quoted("\0"s), "\"\\x00\"");
    EXPECT_EQ(oidc::quoted(""), "\"\"");
}

TEST(Quoted, CutsAt128Characters)
{
    EXPECT_EQ(oidc::quoted(std::string(128, 'a')),
        "\"" + std::string(128, 'a') + "\"");
    EXPECT_EQ(oidc::quoted(std::string(129, 'a')),
        "\"" + std::string(128, 'a') + "\"...");
}

// A body may contain a NUL, a request line may not.
TEST(Form, RefusesANulHoweverItIsWritten)
{
    for (const auto& text :
        {"\0"s, "a=\0"s, "a\0=1"s, "a=b\0&c=d"s, "a=1&\0"s, "a=%00"s}) {
        EXPECT_EQ(shown(text), "a parameter that is not form-urlencoded");
    }
}

}
}
