#include "oidc/provider.h"

#include "play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

HttpResponse kept(HttpResponse response, std::string cache_control)
{
    response.cache_control = std::move(cache_control);
    return response;
}

class ProviderTest : public testing::Test {
public:
    ProviderTest()
    {
        Secret masters[] = {master_key(1)};
        provider.configure(example_client(), masters);
    }

    // The complaint of an answer at a time.
    std::string learn(
        Part part, Result<HttpResponse> response, std::int64_t now)
    {
        return complaint(provider.learn(part, std::move(response), now));
    }

    HttpResponse metadata(const Members& changes = {})
    {
        return json_answer(object(changed(example_metadata(), changes)));
    }

    HttpResponse keys = json_answer(key_set({Signer::ed25519().jwk()}));
    Error unreachable{Errc::upstream_unreachable, "no provider"};
    Provider provider;
};

TEST_F(ProviderTest, KnowsNothingAtFirst)
{
    EXPECT_EQ(provider.metadata(noon), nullptr);
    EXPECT_EQ(provider.keys(noon), nullptr);
    EXPECT_FALSE(provider.knows(Part::metadata, noon));
    EXPECT_FALSE(provider.knows(Part::keys, noon));
}

TEST_F(ProviderTest, AsksForItsParts)
{
    EXPECT_EQ(provider.request(Part::metadata).url,
        "https://op.example/.well-known/openid-configuration");
    EXPECT_EQ(learn(Part::metadata, metadata(), noon), "");
    auto request = provider.request(Part::keys);
    EXPECT_EQ(request.url, "https://op.example/keys");
    EXPECT_EQ(request.body, "");
    EXPECT_EQ(request.limit, 1024u * 1024);
}

TEST_F(ProviderTest, KeepsAPartAsLongAsItsCacheControlSays)
{
    constexpr struct {
        const char* cache_control;
        std::int64_t seconds;
    } cases[] = {
        {"", 3600},
        {"max-age=600", 600},
        {"max-age=0", 60},
        {"no-store", 60},
        {"max-age=99999999", 86400},
    };
    for (const auto& [cache_control, seconds] : cases) {
        EXPECT_EQ(
            learn(Part::metadata, kept(metadata(), cache_control), noon), "");
        EXPECT_EQ(learn(Part::keys, kept(keys, cache_control), noon), "");
        for (auto part : {Part::metadata, Part::keys}) {
            EXPECT_TRUE(provider.knows(part, noon));
            EXPECT_TRUE(provider.knows(part, noon + seconds - 1));
            EXPECT_FALSE(provider.knows(part, noon + seconds)) << seconds;
        }
    }
}

TEST_F(ProviderTest, StaysIgnorantAfterAFailure)
{
    auto html = HttpResponse{200, "text/html", "", "<html>"};
    EXPECT_EQ(learn(Part::metadata, unreachable, noon),
        "upstream_unreachable: no provider");
    EXPECT_EQ(learn(Part::keys, unreachable, noon),
        "upstream_unreachable: no provider");
    EXPECT_EQ(learn(Part::metadata, json_answer("{}"), noon),
        "upstream_metadata: provider sent metadata of another issuer, \"\" "
        "instead of \"https://op.example\"");
    EXPECT_EQ(learn(Part::keys, json_answer("{}"), noon),
        "upstream_keys: provider sent a key set without \"keys\"");
    EXPECT_EQ(learn(Part::keys, html, noon),
        "upstream_status: provider sent content type \"text/html\" instead of "
        "JSON");
    EXPECT_FALSE(provider.knows(Part::metadata, noon));
    EXPECT_FALSE(provider.knows(Part::keys, noon));
}

TEST_F(ProviderTest, KeepsWhatItKnewWhenARenewalFails)
{
    EXPECT_EQ(learn(Part::metadata, metadata(), noon), "");
    EXPECT_EQ(learn(Part::keys, keys, noon), "");
    auto later = noon + 3600;

    for (auto part : {Part::metadata, Part::keys}) {
        EXPECT_FALSE(provider.knows(part, later));
        EXPECT_NE(learn(part, unreachable, later), "");
        EXPECT_TRUE(provider.knows(part, later + 29));
        EXPECT_FALSE(provider.knows(part, later + 30));
        EXPECT_NE(learn(part, json_answer("{}"), later + 30), "");
        EXPECT_TRUE(provider.knows(part, later + 59));
    }
}

TEST_F(ProviderTest, DropsKeysOfAnotherJwksUri)
{
    EXPECT_EQ(learn(Part::metadata, metadata(), noon), "");
    EXPECT_EQ(learn(Part::keys, keys, noon), "");
    EXPECT_EQ(learn(Part::metadata, metadata(), noon + 1), "");
    EXPECT_TRUE(provider.knows(Part::keys, noon + 1));

    auto moved = metadata({{"jwks_uri", R"("https://op.example/new")"}});
    EXPECT_EQ(learn(Part::metadata, moved, noon + 2), "");
    EXPECT_FALSE(provider.knows(Part::keys, noon + 2));
    EXPECT_NE(learn(Part::keys, unreachable, noon + 2), "");
    EXPECT_FALSE(provider.knows(Part::keys, noon + 2));
}

TEST_F(ProviderTest, ForgetsKeysButFallsBackOnThem)
{
    EXPECT_EQ(learn(Part::keys, keys, noon), "");
    provider.forget_keys();
    EXPECT_FALSE(provider.knows(Part::keys, noon));
    EXPECT_NE(learn(Part::keys, unreachable, noon), "");
    EXPECT_TRUE(provider.knows(Part::keys, noon));
}

int renewals(Provider& provider, std::int64_t now)
{
    int count = 0;
    while (count < 100 && provider.may_renew_keys(now)) {
        count++;
    }
    return count;
}

TEST_F(ProviderTest, MayRenewKeysFourTimesAtOnce)
{
    EXPECT_EQ(renewals(provider, noon), 4);
    EXPECT_FALSE(provider.may_renew_keys(noon));
}

TEST_F(ProviderTest, MayRenewKeysOnceInFifteenSecondsThen)
{
    EXPECT_EQ(renewals(provider, noon), 4);
    int count = 0;
    for (auto now = noon; now < noon + 1500; now++) {
        count += provider.may_renew_keys(now);
    }
    EXPECT_EQ(count, 100);
}

TEST_F(ProviderTest, SavesUpNoMoreThanFourRenewals)
{
    EXPECT_EQ(renewals(provider, noon), 4);
    EXPECT_EQ(renewals(provider, noon + 60), 4);
    EXPECT_EQ(renewals(provider, noon + 90), 2);
    EXPECT_EQ(renewals(provider, noon + 86400), 4);
    EXPECT_EQ(renewals(provider, noon + 86400), 0);
}

TEST_F(ProviderTest, SealsSessionsAndStatesWithDifferentKeys)
{
    auto sealed = provider.session_ring().seal("a", "b", random_bytes);
    EXPECT_TRUE(provider.session_ring().open(sealed, "b"));
    EXPECT_FALSE(provider.state_ring().open(sealed, "b"));
    EXPECT_NE(provider.session_binding(), provider.state_binding());
}

}
}
