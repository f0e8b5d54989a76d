#include "oidc/session_claims.h"

#include "core/encoding.h"
#include "core/fields.h"
#include "support/sessions.h"

namespace oidc::test {
namespace {

TEST(SessionClaims, FindsClaimsByNamesInLowerCase)
{
    auto client = example_client();
    client.needs.claims = {"absent", "familyname", "groups", "null", "twice"};
    auto session = begin(provider_of(client),
        {{"familyName", "\"Doe\""}, {"groups", R"(["a","b"])"},
            {"null", "null"}, {"Twice", "1"}, {"TWICE", "2"}});
    EXPECT_EQ(session.claim("familyname"), "Doe");
    EXPECT_EQ(session.claim("groups"), "a,b");
    for (auto name : {"absent", "null", "twice", "familyName", "sub"}) {
        EXPECT_EQ(session.claim(name), std::nullopt) << name;
    }
}

TEST(SessionClaims, KeepsAllClaimsOnDemand)
{
    auto client = example_client();
    client.needs.all_claims = true;
    std::string longest(255, 'n');
    auto session = begin(provider_of(client),
        {{"familyName", "\"Doe\""}, {longest, "1"}, {longest + "n", "2"},
            {"bad", R"("a\nb")"}});
    EXPECT_EQ(session.claim("familyname"), "Doe");
    EXPECT_EQ(session.claim("iss"), "https://op.example");
    EXPECT_EQ(session.claim("exp"), date(noon + 300s));
    EXPECT_EQ(session.claim(longest), "1");
    EXPECT_EQ(session.claim(longest + "n"), std::nullopt);
    EXPECT_EQ(session.claim(""), std::nullopt);
    EXPECT_EQ(session.claim("bad"), std::nullopt);
}

std::string path(std::vector<std::string> names)
{
    return claim_path(names);
}

TEST(SessionClaims, KeepsNestedClaims)
{
    auto client = example_client();
    client.needs.claims = {path({"Groups"}), path({"a", "b"}), path({"a", "c"}),
        path({"d", "b"}), path({"groups"})};
    auto session = begin(provider_of(client),
        {{"a", R"({"b":["x,y","z"],"x":1})"}, {"d", R"("{\"b\":1}")"},
            {"groups", R"(["a"])"}});
    EXPECT_EQ(session.claim(path({"a", "b"})), "x%2Cy,z");
    EXPECT_EQ(session.claim(path({"a", "c"})), std::nullopt);
    EXPECT_EQ(session.claim(path({"d", "b"})), std::nullopt);
    EXPECT_EQ(session.claim(path({"groups"})), "a");
    EXPECT_EQ(session.claim(path({"Groups"})), std::nullopt);
    EXPECT_EQ(session.claim("a"), std::nullopt);
}

// It knows every claim at the top, but only the paths that were needed.
TEST(SessionClaims, DoesNotKnowOtherPathsWithAllClaims)
{
    auto client = example_client();
    client.needs.all_claims = true;
    client.needs.claims = {path({"a", "b"})};
    client.needs_digest = digest_of_needs(client.needs);
    auto provider = provider_of(client);
    auto value =
        sealed(provider, begin(provider, {{"a", R"({"b":1,"c":2})"}})).header();
    EXPECT_TRUE(opened(provider, value));

    client.needs.claims = {path({"a", "c"})};
    client.needs_digest = digest_of_needs(client.needs);
    EXPECT_FALSE(opened(provider_of(client), value));
}

// Another version of this module may write other fields.
TEST(SessionClaims, HasNoClaimOfAnEmptyField)
{
    auto provider = provider_of(example_client());
    FieldWriter fields;
    fields.text(2, provider.client().needs_digest);
    fields.number(3, to_seconds(noon + 1s));
    fields.number(12, to_milliseconds(noon));
    fields.number(13, to_seconds(noon));
    fields.text(6, "");
    auto value = base64url(provider.session_ring().seal(
        fields.take(), provider.session_seal_context(), random_bytes));
    auto session = accepted(value, provider);
    ASSERT_TRUE(session);
    EXPECT_EQ(session->claim(""), std::nullopt);
    EXPECT_EQ(session->claim("sub"), std::nullopt);
}

Session begin_with(const Provider& provider, const std::string& json,
    const Members& claims = {})
{
    return begin(
        provider, claims, {"", "at-1", "", 0s}, userinfo_of(provider, json));
}

TEST(SessionUserInfo, AddsItsClaims)
{
    auto client = example_client();
    client.needs.claims = {"email", "groups", "nickname", "sub"};
    auto provider = provider_of(client);
    auto session = begin_with(provider,
        R"({"sub":"user-1","NickName":"J","groups":["a","b"],"more":"x"})");
    EXPECT_EQ(session.claim("nickname"), "J");
    EXPECT_EQ(session.claim("groups"), "a,b");
    EXPECT_EQ(session.claim("email"), "jane@example.com");
    EXPECT_EQ(session.claim("more"), std::nullopt);
    EXPECT_EQ(session.userinfo(), std::nullopt);
}

TEST(SessionUserInfo, YieldsToTheIdToken)
{
    auto client = example_client();
    client.needs.claims = {"a", "b", "email", "name"};
    auto session = begin_with(provider_of(client),
        R"({"sub":"user-1","EMAIL":"x","Name":"y","a":"z","b":"u"})",
        {{"Name", "\"Jane\""}, {"a", "null"}, {"b", "\"\\n\""}});
    EXPECT_EQ(session.claim("email"), "jane@example.com");
    EXPECT_EQ(session.claim("name"), "Jane");
    // claims for which the ID token has no text
    EXPECT_EQ(session.claim("a"), "z");
    EXPECT_EQ(session.claim("b"), "u");
}

TEST(SessionUserInfo, IsKeptAsJsonIfNeeded)
{
    auto client = example_client();
    client.needs.userinfo = true;
    auto provider = provider_of(client);
    auto session =
        begin_with(provider, R"({ "sub": "user-1", "a": [1, {"b": null}] })");
    EXPECT_EQ(session.userinfo(), R"({"sub":"user-1","a":[1,{"b":null}]})");
    auto back = opened(provider, sealed(provider, session).header());
    ASSERT_TRUE(back);
    EXPECT_EQ(back->userinfo(), session.userinfo());

    // a session from before user info was requested
    auto without = begin(provider);
    EXPECT_EQ(without.userinfo(), std::nullopt);
}

TEST(SessionUserInfo, AddsAllItsClaimsOnDemand)
{
    auto client = example_client();
    client.needs.all_claims = true;
    auto session = begin_with(
        provider_of(client), R"({"sub":"user-1","extra":true,"email":"x"})");
    EXPECT_EQ(session.claim("extra"), "true");
    EXPECT_EQ(session.claim("iss"), "https://op.example");
    EXPECT_EQ(session.claim("email"), "jane@example.com");
}

}
}
