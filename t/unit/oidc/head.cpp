#include "oidc/head.h"

#include "core/http.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

std::vector<std::string> deletions(std::size_t count)
{
    CookieScope scope;
    scope.name = "name";
    return std::vector<std::string>(count, clear_cookie(scope));
}

TEST(Head, HasLessRoomBesideALocationAndCookies)
{
    auto room = room_in_head("", {});
    EXPECT_GT(room, 3'400u);
    EXPECT_LT(room, max_head);
    auto location = std::string("/page");
    EXPECT_EQ(room_in_head(location, {}),
        room - std::string("Refresh: 0; url=/page\r\n").size());
    EXPECT_EQ(room_in_head("", {"a=b", "c=d"}),
        room - 2 * std::string("Set-Cookie: a=b\r\n").size());
    EXPECT_EQ(room_in_head(std::string(5'000, 'x'), {}), 0u);
}

TEST(Head, WaitsWithDeletionsThatDoNotFit)
{
    auto cookies = deletions(100);
    cookies.insert(cookies.begin() + 50, "session=value; Path=/; HttpOnly");
    fit_deletions("/page", cookies);
    EXPECT_GT(room_in_head("/page", cookies), 0u);
    EXPECT_LT(cookies.size(), 60u);
    EXPECT_GT(cookies.size(), 40u);
    auto few = deletions(10);
    fit_deletions("/page", few);
    EXPECT_EQ(few, deletions(10));
}

TEST(Head, DropsNothingWhereItDoesNotFitAnyway)
{
    std::vector<std::string> cookies(
        3, "session=" + std::string(3'800, 'x') + "; Path=/; Max-Age=600");
    cookies.push_back(deletions(1).front());
    auto expected = cookies;
    fit_deletions("", cookies);
    EXPECT_EQ(cookies, expected);
}

}
}
