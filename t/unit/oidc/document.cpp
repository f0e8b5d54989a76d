#include "oidc/document.h"

#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

constexpr Time later = noon + 1h;

TEST(Document, IsFetchedWhereMetadataSay)
{
    Metadata metadata;
    metadata.jwks_uri = "https://op.example/keys";
    auto request = keys_request(metadata);
    EXPECT_EQ(request.url, "https://op.example/keys");
    EXPECT_EQ(request.body, "");
    EXPECT_EQ(request.limit, 1024u * 1024);
    EXPECT_EQ(request.accept, "application/jwk-set+json, application/json");
}

TEST(Document, OfKeysIsAKeySet)
{
    EXPECT_EQ(complaint(parse_keys("{}")),
        "upstream_keys: provider sent a key set without \"keys\"");
    EXPECT_TRUE(parse_keys(key_set({Signer::ed25519().jwk()})));
}

TEST(Document, IsFreshAsLongAsItsCacheControlSays)
{
    constexpr struct {
        const char* cache_control;
        Seconds seconds;
    } cases[] = {
        {"", 3600s},
        {"max-age=600", 600s},
        {"max-age=0", 60s},
        {"no-store", 60s},
        {"max-age=99999999", 86400s},
    };
    for (const auto& [cache_control, seconds] : cases) {
        auto response = json_answer("body");
        response.cache_control = cache_control;
        auto document = read_document(response, noon);
        ASSERT_EQ(complaint(document), "");
        EXPECT_EQ(document->fresh_until, noon + seconds) << cache_control;
        EXPECT_EQ(document->body.data(), response.body.data());
        EXPECT_EQ(document->body, "body");
    }
}

TEST(Document, IsAResponseOfStatus200InJson)
{
    auto refused = [](int status, const char* type) {
        return complaint(read_document({status, type, "", "{}"}, noon));
    };
    EXPECT_EQ(refused(500, "application/json"),
        "upstream_status: provider returned status 500");
    EXPECT_EQ(refused(301, "application/json"),
        "upstream_status: provider returned status 301");
    EXPECT_EQ(refused(200, "text/html"),
        "upstream_status: provider sent content type \"text/html\" instead of "
        "JSON");
}

TEST(Document, IsUsableToItsLastSecond)
{
    Document<std::string> document;
    EXPECT_EQ(document.get(Time()), nullptr);
    EXPECT_EQ(document.get(noon), nullptr);
    EXPECT_EQ(document.last(), nullptr);

    document.set("text", later);
    EXPECT_NE(document.get(later - 1s), nullptr);
    EXPECT_EQ(document.get(later), nullptr);
    document.prolong(later + 60s);
    EXPECT_EQ(*document.get(later + 59s), "text");
    EXPECT_EQ(document.get(later + 60s), nullptr);
    EXPECT_EQ(*document.last(), "text");

    document.reset();
    EXPECT_EQ(document.get(noon), nullptr);
    EXPECT_EQ(document.last(), nullptr);
}

TEST(Document, StaysAsItWasForThoseWhoHaveIt)
{
    Document<std::string> document;
    document.set("old", later);
    auto old = document.get(noon);
    document.set("new", later);
    EXPECT_EQ(*old, "old");
    EXPECT_EQ(*document.get(noon), "new");
    EXPECT_NE(document.get(noon), old);
}

}
}
