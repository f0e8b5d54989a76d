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

}
}
