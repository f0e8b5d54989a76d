#include "core/result.h"

#include <gtest/gtest.h>

#include <utility>

namespace oidc::test {
namespace {

constexpr Errc some_code{7};

TEST(Result, IsAValueOrAnError)
{
    Result<std::string> good(std::string("value"));
    ASSERT_TRUE(good);
    EXPECT_EQ(*good, "value");
    EXPECT_EQ(good->size(), 5u);
    EXPECT_EQ(*std::as_const(good), "value");
    EXPECT_EQ(std::as_const(good)->size(), 5u);
    EXPECT_EQ(std::string(*std::move(good)), "value");

    Result<std::string> bad(Error{some_code, "why"});
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().detail, "why");
    EXPECT_EQ(Error(std::move(bad).error()).code, some_code);
}

TEST(Result, GivesItsValueToTheNextStep)
{
    auto size = [](const std::string& text) -> Result<std::size_t> {
        return text.empty() ? Result<std::size_t>(Error{some_code, "empty"}) :
                              Result<std::size_t>(text.size());
    };
    EXPECT_EQ(*Result<std::string>("value").and_then(size), 5u);
    EXPECT_EQ(Result<std::string>("").and_then(size).error().detail, "empty");

    Result<std::string> bad(Error{some_code, "why"});
    EXPECT_EQ(std::move(bad).and_then(size).error().detail, "why");
}

}
}
