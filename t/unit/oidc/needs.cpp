#include "oidc/needs.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

TEST(Needs, HaveADigestOfTheirOwn)
{
    Needs needs{{"a", "b"}, false, false, false, false, false};
    EXPECT_EQ(digest_of_needs(needs).size(), 8u);
    EXPECT_EQ(digest_of_needs(needs),
        digest_of_needs({{"a", "b"}, false, false, false, false, false}));
    for (const auto& other : {Needs{{}, false, false, false, false, false},
             Needs{{"a"}, false, false, false, false, false},
             Needs{{"ab"}, false, false, false, false, false},
             Needs{{"a", "b"}, true, false, false, false, false},
             Needs{{"a", "b"}, false, true, false, false, false},
             Needs{{"a", "b"}, false, false, true, false, false},
             Needs{{"a", "b"}, false, false, false, true, false},
             Needs{{"a", "b"}, false, false, false, false, true}}) {
        EXPECT_NE(digest_of_needs(other), digest_of_needs(needs));
    }
}

TEST(ClaimPath, IsNoNameOfAClaim)
{
    std::vector<std::string> one = {"a"};
    std::vector<std::string> two = {"a", "b"};
    EXPECT_EQ(claim_path(one), std::string("a\0", 2));
    EXPECT_EQ(claim_path(two), std::string("a\0b\0", 4));
    EXPECT_TRUE(is_claim_path(claim_path(one)));
    EXPECT_FALSE(is_claim_path("a"));
}

}
}
