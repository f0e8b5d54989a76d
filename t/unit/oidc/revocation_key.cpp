#include "oidc/revocation_key.h"

#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

TEST(RevocationKey, StandsForOneNameAtOneProvider)
{
    auto client = example_client();
    auto key = revocation_key(client, "sid", "08a5019c");
    EXPECT_EQ(key.size(), 16u);
    EXPECT_EQ(key,
        digest(Hash::sha256,
            bind_fields(
                {"revocation", "sid", "https://op.example", "app", "08a5019c"}))
            .substr(0, 16));
    EXPECT_EQ(revocation_key(client, "sid", "08a5019c"), key);

    EXPECT_NE(revocation_key(client, "sub", "08a5019c"), key);
    EXPECT_NE(revocation_key(client, "sid", "08a5019d"), key);
    auto other = client;
    other.issuer = "https://other.example";
    EXPECT_NE(revocation_key(other, "sid", "08a5019c"), key);
    other = client;
    other.client_id = "other";
    EXPECT_NE(revocation_key(other, "sid", "08a5019c"), key);
    // blocks with the same registration share their keys
    other = client;
    other.name = "other";
    EXPECT_EQ(revocation_key(other, "sid", "08a5019c"), key);
}

}
}
