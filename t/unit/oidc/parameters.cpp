#include "oidc/parameters.h"

#include "support/complaint.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

constexpr ParameterLimit limits[] = {{"a", 3}, {"b", 1}};

auto read(std::string_view form)
{
    return read_parameters(form, limits, Errc::callback_malformed);
}

TEST(Parameters, AreInTheOrderOfTheirLimits)
{
    auto values = read("b=1&c=2&c=3&a=%20x+");
    ASSERT_EQ(complaint(values), "");
    EXPECT_EQ((*values)[0], " x ");
    EXPECT_EQ((*values)[1], "1");
}

TEST(Parameters, MayBeMissingOrEmpty)
{
    auto values = read("a=");
    ASSERT_EQ(complaint(values), "");
    EXPECT_EQ((*values)[0], "");
    EXPECT_EQ((*values)[1], std::nullopt);
}

TEST(Parameters, MayBeCut)
{
    constexpr ParameterLimit cut[] = {{"a", 3, true}};
    for (auto form : {"a=123", "a=1234", "a=123%34"}) {
        auto values = read_parameters(form, cut, Errc::callback_malformed);
        ASSERT_EQ(complaint(values), "") << form;
        EXPECT_EQ((*values)[0], "123");
    }
    EXPECT_EQ(
        complaint(read_parameters("a=1&a=2", cut, Errc::callback_malformed)),
        "callback_malformed: client sent parameter a twice");
}

TEST(Parameters, AreRefusedWithTheCodeOfTheCaller)
{
    const std::pair<const char*, std::string> cases[] = {
        {"a=1&b=2&a=1", "parameter a twice"},
        {"a=1234", "parameter a longer than 3 bytes"},
        {"b=%20%20", "parameter b longer than 1 bytes"},
        {"c=%", "a parameter that is not form-urlencoded"},
    };
    for (const auto& [form, why] : cases) {
        EXPECT_EQ(
            complaint(read(form)), "callback_malformed: client sent " + why);
    }
}

}
}
