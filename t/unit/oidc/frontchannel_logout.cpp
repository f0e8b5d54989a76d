#include "oidc/frontchannel_logout.h"

#include "support/complaint.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

// Front-Channel Logout, 3
TEST(FrontChannelLogout, NamesIssuerAndSession)
{
    auto both =
        parse_front_channel("iss=https%3A%2F%2Fop.example&sid=08a5+0&x");
    ASSERT_EQ(complaint(both), "");
    EXPECT_EQ(both->iss, "https://op.example");
    EXPECT_EQ(both->sid, "08a5 0");

    for (auto query : {"", "&", "a=b&a=c", "ISS=a", "state=s"}) {
        auto neither = parse_front_channel(query);
        ASSERT_EQ(complaint(neither), "") << query;
        EXPECT_EQ(neither->iss, std::nullopt);
        EXPECT_EQ(neither->sid, std::nullopt);
    }
    auto alone = parse_front_channel("sid=08a5&x"); // of Entra ID
    ASSERT_EQ(complaint(alone), "");
    EXPECT_EQ(alone->iss, std::nullopt);
    EXPECT_EQ(alone->sid, "08a5");

    auto empty = parse_front_channel("iss=&sid");
    EXPECT_EQ(empty->iss, "");
    EXPECT_EQ(empty->sid, "");
}

TEST(FrontChannelLogout, ThatIsMalformedIsRefused)
{
    const auto without = "iss without sid"s;
    std::string many;
    for (int i = 0; i < 65; i++) {
        many += "&a=b";
    }
    const std::pair<std::string, std::string> cases[] = {
        {"iss=a", without},
        {"iss=a&Sid=b", without},
        {"iss=a&sid=b&iss=a", "parameter iss twice"},
        {"sid=a&iss=b&sid=", "parameter sid twice"},
        {"iss=" + std::string(1025, 'a') + "&sid=b",
            "parameter iss longer than 1024 bytes"},
        {"iss=a&sid=" + std::string(1025, 'b'),
            "parameter sid longer than 1024 bytes"},
        {"iss=a&sid=%", "a parameter that is not form-urlencoded"},
        {"iss=a&sid=b%00", "a parameter that is not form-urlencoded"},
        {many, "too many parameters"},
    };
    for (const auto& [query, what] : cases) {
        EXPECT_EQ(complaint(parse_front_channel(query)),
            "logout_malformed: client sent " + what);
    }
    EXPECT_TRUE(parse_front_channel(
        "iss=" + std::string(1024, 'a') + "&sid=" + std::string(1024, 'b')));
}

}
}
