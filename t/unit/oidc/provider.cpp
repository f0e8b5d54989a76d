#include "oidc/provider.h"

#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

TEST(Provider, SealsSessionsAndStatesWithDifferentKeys)
{
    Secret masters[] = {master_key(1)};
    Provider provider(example_client(), masters);
    auto sealed = provider.session_ring().seal("a", "b", random_bytes);
    EXPECT_TRUE(provider.session_ring().open(sealed, "b"));
    EXPECT_FALSE(provider.state_ring().open(sealed, "b"));
    EXPECT_NE(provider.session_seal_context(), provider.state_seal_context());
}

}
}
