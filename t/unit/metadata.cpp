#include "oidc/metadata.h"

#include "play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

Result<Metadata> parse(const Members& changes, const Client& client)
{
    return parse_metadata(
        json_answer(object(changed(example_metadata(), changes))), client);
}

Result<Metadata> parse(const Members& changes)
{
    return parse(changes, example_client());
}

TEST(MetadataRequest, GoesToTheWellKnownPlace)
{
    constexpr struct {
        const char* issuer;
        const char* url;
    } places[] = {
        {"https://op.example",
            "https://op.example/.well-known/openid-configuration"},
        {"https://op.example/",
            "https://op.example/.well-known/openid-configuration"},
        {"https://op.example/realm/a",
            "https://op.example/realm/a/.well-known/openid-configuration"},
        {"https://op.example/realm/a/",
            "https://op.example/realm/a/.well-known/openid-configuration"},
    };
    auto client = example_client();
    for (const auto& [issuer, url] : places) {
        client.issuer = issuer;
        auto request = metadata_request(client);
        EXPECT_EQ(request.url, url);
        EXPECT_EQ(request.body, "");
        EXPECT_EQ(request.authorization, "");
        EXPECT_EQ(request.limit, 1024u * 1024);
    }
    client.config_url = "https://other.example/config?a=b";
    EXPECT_EQ(metadata_request(client).url, client.config_url);
}

TEST(Metadata, HoldsTheEndpoints)
{
    auto metadata =
        parse({{"token_endpoint", R"("https://other.example/t?a=b")"},
            {"unknown", "{\"a\":[1]}"}});
    ASSERT_EQ(complaint(metadata), "");
    EXPECT_EQ(metadata->authorization_endpoint, "https://op.example/authorize");
    EXPECT_EQ(metadata->token_endpoint, "https://other.example/t?a=b");
    EXPECT_EQ(metadata->jwks_uri, "https://op.example/keys");
}

// RFC 8414, 2; RFC 7636; RFC 9207, 3
TEST(Metadata, DefaultsToWhatTheSpecificationsSay)
{
    auto metadata = parse({});
    EXPECT_TRUE(metadata->basic_auth);
    EXPECT_FALSE(metadata->post_auth);
    EXPECT_TRUE(metadata->s256);
    EXPECT_FALSE(metadata->promises_iss);
}

TEST(Metadata, KnowsHowAClientNamesItself)
{
    constexpr struct {
        const char* methods;
        bool basic;
        bool post;
    } cases[] = {
        {R"(["client_secret_basic"])", true, false},
        {R"(["client_secret_post"])", false, true},
        {R"(["private_key_jwt","client_secret_post","client_secret_basic"])",
            true, true},
        {R"(["private_key_jwt"])", false, false},
        {"[]", false, false},
        {R"("client_secret_post")", true, false},
        {"null", true, false},
    };
    for (const auto& [methods, basic, post] : cases) {
        auto metadata =
            parse({{"token_endpoint_auth_methods_supported", methods}});
        EXPECT_EQ(metadata->basic_auth, basic) << methods;
        EXPECT_EQ(metadata->post_auth, post) << methods;
    }
}

TEST(Metadata, ExcludesPkceOnlyByAListWithoutS256)
{
    auto s256 = [](const char* methods) {
        return parse({{"code_challenge_methods_supported", methods}})->s256;
    };
    EXPECT_TRUE(s256(R"(["plain","S256"])"));
    EXPECT_TRUE(s256("null"));
    EXPECT_FALSE(s256(R"(["plain"])"));
    EXPECT_FALSE(s256("[]"));
    EXPECT_FALSE(s256(R"(["s256"])"));
}

TEST(Metadata, PromisesIssOnlyByTrue)
{
    for (auto [value, promised] : {std::pair{"true", true}, {"false", false},
             {"null", false}, {"\"true\"", false}, {"1", false}}) {
        EXPECT_EQ(
            parse({{"authorization_response_iss_parameter_supported", value}})
                ->promises_iss,
            promised)
            << value;
    }
}

// Discovery, 4.3
TEST(Metadata, OfAnotherIssuerIsRefused)
{
    for (std::string issuer :
        {"https://op.example/", "https://OP.example", "http://op.example",
            "https://op.example:443", "https://evil.example", ""}) {
        EXPECT_EQ(complaint(parse({{"issuer", "\"" + issuer + "\""}})),
            "upstream_metadata: provider sent metadata of another issuer, \"" +
                issuer + "\" instead of \"https://op.example\"");
    }
    for (auto issuer : {"", "null", "1", R"(["https://op.example"])"}) {
        EXPECT_EQ(complaint(parse({{"issuer", issuer}})),
            "upstream_metadata: provider sent metadata of another issuer, \"\" "
            "instead of \"https://op.example\"");
    }
}

TEST(Metadata, NeedsEveryEndpointOnHttps)
{
    for (std::string name :
        {"authorization_endpoint", "token_endpoint", "jwks_uri"}) {
        for (auto value : {"", "null", "1", "[]"}) {
            EXPECT_EQ(complaint(parse({{name, value}})),
                "upstream_metadata: provider sent metadata without " + name);
        }
        for (std::string url : {"", "http://op.example/a", "/authorize",
                 "https://user@op.example/", "https://op.example/#a",
                 "https://op.example/a b", "ftp://op.example",
                 "javascript:alert(1)"}) {
            EXPECT_EQ(complaint(parse({{name, "\"" + url + "\""}})),
                "upstream_metadata: provider sent metadata whose " + name +
                    " \"" + url + "\" is no https URL");
        }
    }
}

TEST(Metadata, MayBeHttpWhereTheIssuerIs)
{
    auto client = example_client();
    client.issuer = "http://127.0.0.1:9000";
    EXPECT_EQ(complaint(parse({{"issuer", R"("http://127.0.0.1:9000")"},
                                  {"jwks_uri", R"("http://127.0.0.1:9000/k")"}},
                  client)),
        "");
    EXPECT_TRUE(is_endpoint("http://op.example/", true));
    EXPECT_FALSE(is_endpoint("http://op.example/", false));
    EXPECT_FALSE(is_endpoint("ftp://op.example/", true));
}

TEST(Metadata, IsOneJsonObject)
{
    auto refused = [](std::string body) {
        return complaint(parse_metadata(json_answer(body), example_client()));
    };
    EXPECT_EQ(refused("<html>"),
        "upstream_metadata: provider sent metadata that is malformed JSON");
    EXPECT_EQ(refused("[]"),
        "upstream_metadata: provider sent metadata that is JSON that is not "
        "an object");
    EXPECT_EQ(refused(R"({"issuer":"a","issuer":"https://op.example"})"),
        "upstream_metadata: provider sent metadata that is JSON with a "
        "duplicate member");
    EXPECT_EQ(refused("{\"a\":" + std::string(100'000, '[')),
        "upstream_metadata: provider sent metadata that is JSON nested too "
        "deep");
}

TEST(Metadata, ComesWith200AndJson)
{
    auto refused = [](int status, std::string type) {
        auto answer = json_answer(object(example_metadata()));
        answer.status = status;
        answer.content_type = std::move(type);
        return complaint(parse_metadata(answer, example_client()));
    };
    EXPECT_EQ(refused(200, "application/json; charset=utf-8"), "");
    EXPECT_EQ(refused(200, "application/jwk-set+json"), "");
    for (int status : {0, 201, 204, 301, 302, 400, 404, 500, 503}) {
        EXPECT_EQ(refused(status, "application/json"),
            "upstream_status: provider answered with status " +
                std::to_string(status));
    }
    EXPECT_EQ(refused(200, "text/html"),
        "upstream_status: provider sent content type \"text/html\" instead of "
        "JSON");
    EXPECT_EQ(refused(200, ""),
        "upstream_status: provider sent content type \"\" instead of JSON");
}

}
}
