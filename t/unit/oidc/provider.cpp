#include "oidc/provider.h"

#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

constexpr Time later = noon + 3600s;

class ProviderTest : public testing::Test {
public:
    ProviderTest() { configure(example_client()); }

    void configure(Client client)
    {
        Secret masters[] = {master_key(1)};
        provider.configure(std::move(client), masters);
    }

    std::string adopt(Part part, const std::string& body)
    {
        return complaint(provider.adopt(part, body, later));
    }

    std::string metadata(const Members& changes = {})
    {
        return object(changed(example_metadata(), changes));
    }

    std::string keys = key_set({Signer::ed25519().jwk()});
    Provider provider;
};

TEST_F(ProviderTest, KnowsNothingAtFirst)
{
    EXPECT_EQ(provider.metadata(noon), nullptr);
    EXPECT_EQ(provider.keys(noon), nullptr);
    for (auto part : {Part::metadata, Part::keys}) {
        EXPECT_FALSE(provider.knows(part, noon));
        EXPECT_FALSE(provider.knows(part, Time()));
        EXPECT_FALSE(provider.is_configured(part));
    }
}

TEST_F(ProviderTest, AsksForItsParts)
{
    EXPECT_EQ(provider.request(Part::metadata).url,
        "https://op.example/.well-known/openid-configuration");
    EXPECT_EQ(adopt(Part::metadata, metadata()), "");
    auto request = provider.request(Part::keys);
    EXPECT_EQ(request.url, "https://op.example/keys");
    EXPECT_EQ(request.body, "");
    EXPECT_EQ(request.limit, 1024u * 1024);
}

TEST_F(ProviderTest, KeepsADocumentAsLongAsItsCacheControlSays)
{
    constexpr struct {
        const char* cache_control;
        Seconds life;
    } cases[] = {
        {"", 3600s},
        {"max-age=600", 600s},
        {"max-age=0", 60s},
        {"no-store", 60s},
        {"max-age=99999999", 86400s},
    };
    for (const auto& [cache_control, life] : cases) {
        auto answer = json_answer("body");
        answer.cache_control = cache_control;
        auto document = Provider::judge(answer, noon);
        ASSERT_EQ(complaint(document), "");
        EXPECT_EQ(document->fresh_until, noon + life) << cache_control;
        EXPECT_EQ(document->body.data(), answer.body.data());
        EXPECT_EQ(document->body, "body");
    }
}

TEST_F(ProviderTest, TakesNoAnswerButJson)
{
    auto refused = [](int status, const char* type) {
        return complaint(Provider::judge({status, type, "", "{}"}, noon));
    };
    EXPECT_EQ(refused(500, "application/json"),
        "upstream_status: provider returned status 500");
    EXPECT_EQ(refused(301, "application/json"),
        "upstream_status: provider returned status 301");
    EXPECT_EQ(refused(200, "text/html"),
        "upstream_status: provider sent content type \"text/html\" instead of "
        "JSON");
}

TEST_F(ProviderTest, KnowsAPartToItsLastSecond)
{
    EXPECT_EQ(adopt(Part::metadata, metadata()), "");
    EXPECT_EQ(adopt(Part::keys, keys), "");
    for (auto part : {Part::metadata, Part::keys}) {
        EXPECT_TRUE(provider.knows(part, noon));
        EXPECT_TRUE(provider.knows(part, later - 1s));
        EXPECT_FALSE(provider.knows(part, later));
        provider.prolong(part, later + 60s);
        EXPECT_TRUE(provider.knows(part, later + 59s));
        EXPECT_FALSE(provider.knows(part, later + 60s));
        EXPECT_FALSE(provider.is_configured(part));
    }
    EXPECT_NE(provider.metadata(later), nullptr);
    EXPECT_NE(provider.keys(later), nullptr);
    EXPECT_EQ(provider.metadata(later + 60s), nullptr);
    EXPECT_EQ(provider.keys(later + 60s), nullptr);
}

TEST_F(ProviderTest, StaysIgnorantAfterABadDocument)
{
    EXPECT_EQ(adopt(Part::metadata, "{}"),
        "upstream_metadata: provider sent metadata of another issuer, \"\" "
        "instead of \"https://op.example\"");
    EXPECT_EQ(adopt(Part::keys, "{}"),
        "upstream_keys: provider sent a key set without \"keys\"");
    EXPECT_FALSE(provider.knows(Part::metadata, noon));
    EXPECT_FALSE(provider.knows(Part::keys, noon));
}

TEST_F(ProviderTest, KeepsWhatItKnewWhenABadDocumentComes)
{
    EXPECT_EQ(adopt(Part::metadata, metadata()), "");
    EXPECT_EQ(adopt(Part::keys, keys), "");
    for (auto part : {Part::metadata, Part::keys}) {
        EXPECT_NE(complaint(provider.adopt(part, "{}", later + 3600s)), "");
        EXPECT_TRUE(provider.knows(part, later - 1s));
        EXPECT_FALSE(provider.knows(part, later));
    }
}

TEST_F(ProviderTest, DropsKeysOfAnotherJwksUri)
{
    EXPECT_EQ(adopt(Part::metadata, metadata()), "");
    EXPECT_EQ(adopt(Part::keys, keys), "");
    EXPECT_EQ(adopt(Part::metadata, metadata()), "");
    EXPECT_TRUE(provider.knows(Part::keys, noon));

    EXPECT_EQ(adopt(Part::metadata,
                  metadata({{"jwks_uri", R"("https://op.example/new")"}})),
        "");
    EXPECT_FALSE(provider.knows(Part::keys, noon));
    EXPECT_EQ(provider.request(Part::keys).url, "https://op.example/new");
}

// Without discovery there are only keys to ask for.
TEST_F(ProviderTest, MayBeConfiguredWhole)
{
    auto client = example_client();
    client.endpoints.authorization_endpoint = "https://op.example/a";
    client.endpoints.token_endpoint = "https://op.example/t";
    client.endpoints.jwks_uri = "https://op.example/k";
    configure(client);
    EXPECT_TRUE(provider.is_configured(Part::metadata));
    EXPECT_FALSE(provider.is_configured(Part::keys));
    for (Time now : {Time(), noon, noon + 10000 * 24h}) {
        ASSERT_TRUE(provider.knows(Part::metadata, now));
        EXPECT_EQ(
            provider.metadata(now)->token_endpoint, "https://op.example/t");
        EXPECT_FALSE(provider.knows(Part::keys, now));
    }
    EXPECT_EQ(provider.request(Part::keys).url, "https://op.example/k");

    client.endpoints.jwks_uri.clear(); // a reload
    configure(client);
    EXPECT_FALSE(provider.is_configured(Part::metadata));
    EXPECT_FALSE(provider.knows(Part::metadata, noon));
}

TEST_F(ProviderTest, SealsSessionsAndStatesWithDifferentKeys)
{
    auto sealed = provider.session_ring().seal("a", "b", random_bytes);
    EXPECT_TRUE(provider.session_ring().open(sealed, "b"));
    EXPECT_FALSE(provider.state_ring().open(sealed, "b"));
    EXPECT_NE(provider.session_seal_context(), provider.state_seal_context());
}

}
}
