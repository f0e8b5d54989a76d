#include "oidc/metadata.h"

#include "core/encoding.h"
#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

using Strings = std::vector<std::string>;

Result<Metadata> parse(const Members& changes, const Client& client)
{
    return parse_metadata(object(changed(example_metadata(), changes)), client);
}

Result<Metadata> parse(const Members& changes)
{
    return parse(changes, example_client());
}

TEST(MetadataRequest, GoesToTheWellKnownUrl)
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
        EXPECT_EQ(request.accept, "application/json");
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
TEST(Metadata, HasTheDefaultsOfTheSpecifications)
{
    auto metadata = parse({});
    EXPECT_EQ(metadata->client_auth_methods, Strings{"client_secret_basic"});
    EXPECT_EQ(metadata->client_auth_algs, Strings{});
    EXPECT_TRUE(metadata->s256);
    EXPECT_FALSE(metadata->promises_iss);
    EXPECT_FALSE(metadata->requires_pushed_authorization);
}

TEST(Metadata, HasTheMethodsOfClientAuthentication)
{
    const struct {
        const char* list;
        std::optional<Strings> strings; // nothing where it is no list
    } cases[] = {
        {R"(["client_secret_post"])", Strings{"client_secret_post"}},
        {R"(["b","a"])", Strings{"b", "a"}},
        {R"([1,"a",null,["b"]])", Strings{"a"}},
        {"[]", Strings{}},
        {R"("client_secret_post")", {}},
        {R"({"a":"b"})", {}},
        {"null", {}},
    };
    for (const auto& [list, strings] : cases) {
        auto metadata = parse({{"token_endpoint_auth_methods_supported", list},
            {"token_endpoint_auth_signing_alg_values_supported", list}});
        EXPECT_EQ(metadata->client_auth_methods,
            strings.value_or(Strings{"client_secret_basic"}))
            << list;
        EXPECT_EQ(metadata->client_auth_algs, strings.value_or(Strings{}))
            << list;
    }
}

TEST(Metadata, ReadsThirtyTwoWordsOfAList)
{
    std::string list = "\"0\"";
    for (int i = 1; i < 100; i++) {
        list += ",\"" + std::to_string(i) + "\"";
    }
    auto metadata =
        parse({{"token_endpoint_auth_methods_supported", "[" + list + "]"}});
    EXPECT_EQ(metadata->client_auth_methods.size(), 32u);
    EXPECT_EQ(metadata->client_auth_methods.back(), "31");
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
                    " \"" + url + "\" is not an https URL");
        }
    }
}

TEST(Metadata, MayBeHttpIfTheIssuerIs)
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

TEST(Metadata, MayBeHttpIfTheClientAllowsIt)
{
    auto client = example_client();
    const Members http = {{"jwks_uri", R"("http://op:8080/k")"},
        {"userinfo_endpoint", R"("http://op:8080/u")"}};
    client.insecure_http = true;
    auto metadata = parse(http, client);
    ASSERT_EQ(complaint(metadata), "");
    EXPECT_EQ(metadata->jwks_uri, "http://op:8080/k");
    EXPECT_EQ(metadata->userinfo_endpoint, "http://op:8080/u");
    for (auto url : {"ftp://op.example/", "/jwks", "http://user@op/"}) {
        EXPECT_NE(complaint(parse(
                      {{"jwks_uri", "\"" + std::string(url) + "\""}}, client)),
            "");
    }
}

TEST(Metadata, IsOneJsonObject)
{
    auto refused = [](std::string body) {
        return complaint(parse_metadata(body, example_client()));
    };
    EXPECT_EQ(refused("<html>"),
        "upstream_metadata: provider sent metadata that is malformed JSON");
    EXPECT_EQ(refused("[]"),
        "upstream_metadata: provider sent metadata that is JSON other than an "
        "object");
    EXPECT_EQ(refused(R"({"issuer":"a","issuer":"https://op.example"})"),
        "upstream_metadata: provider sent metadata that is JSON with a "
        "duplicate member");
    EXPECT_EQ(refused("{\"a\":" + std::string(100'000, '[')),
        "upstream_metadata: provider sent metadata that is JSON nested too "
        "deeply");
}

TEST(Document, ComesWith200AndJson)
{
    auto refused = [](int status, std::string type) {
        return refuse_document({status, std::move(type), "", "{}"});
    };
    EXPECT_EQ(refused(200, "application/json"), "");
    EXPECT_EQ(refused(200, "application/json; charset=utf-8"), "");
    EXPECT_EQ(refused(200, "application/jwk-set+json"), "");
    for (int status : {0, 201, 204, 301, 302, 400, 404, 500, 503}) {
        EXPECT_EQ(refused(status, "application/json"),
            "returned status " + std::to_string(status));
    }
    for (std::string type :
        {"", "text/html", "application/jwt", "application/jso\x0e"}) {
        EXPECT_EQ(refused(200, type),
            "sent content type " + oidc::quoted(type) + " instead of JSON");
    }
}

TEST(Metadata, RequiresPushedRequestsOnlyByTrue)
{
    for (auto [value, required] : {std::pair{"true", true}, {"false", false},
             {"null", false}, {"\"true\"", false}, {"1", false}}) {
        EXPECT_EQ(parse({{"require_pushed_authorization_requests", value}})
                      ->requires_pushed_authorization,
            required)
            << value;
    }
}

TEST(Metadata, NeedsTheEndpointsThatTheClientUses)
{
    auto client = example_client();
    const std::string userinfo = "userinfo_endpoint";
    const std::string pushed = "pushed_authorization_request_endpoint";
    auto without = [&](const std::string& name) {
        return complaint(parse({{name, ""}}, client));
    };
    EXPECT_EQ(without(userinfo), "");
    EXPECT_EQ(without(pushed), "");
    client.pushed_authorization = PushedAuthorization::off;
    EXPECT_EQ(without(pushed), "");

    client.userinfo = true;
    client.pushed_authorization = PushedAuthorization::on;
    for (const auto& name : {userinfo, pushed}) {
        EXPECT_EQ(without(name),
            "upstream_metadata: provider sent metadata without " + name);
        EXPECT_EQ(complaint(parse({{name, "1"}}, client)),
            "upstream_metadata: provider sent metadata without " + name);
        EXPECT_EQ(complaint(parse({{name, R"("http://op.example/")"}}, client)),
            "upstream_metadata: provider sent metadata whose " + name +
                " \"http://op.example/\" is not an https URL");
    }
    auto metadata = parse({}, client);
    ASSERT_EQ(complaint(metadata), "");
    EXPECT_EQ(metadata->userinfo_endpoint, "https://op.example/userinfo");
    EXPECT_EQ(metadata->pushed_authorization_request_endpoint,
        "https://op.example/par");
}

TEST(Metadata, AreReplacedByConfiguredEndpoints)
{
    auto client = example_client();
    client.endpoints.token_endpoint = "https://inside.example/t";
    client.endpoints.userinfo_endpoint = "https://inside.example/u";
    for (auto value : {R"("https://op.example/token")", "", "1",
             R"("http://op.example/token")"}) {
        auto metadata = parse(
            {{"token_endpoint", value}, {"userinfo_endpoint", value}}, client);
        ASSERT_EQ(complaint(metadata), "") << value;
        EXPECT_EQ(metadata->token_endpoint, "https://inside.example/t");
        EXPECT_EQ(metadata->userinfo_endpoint, "https://inside.example/u");
        EXPECT_EQ(metadata->jwks_uri, "https://op.example/keys");
    }
}

TEST(Metadata, MayHoldTheEndpointsOfALogout)
{
    auto none = parse({});
    EXPECT_EQ(none->end_session_endpoint, "");
    EXPECT_EQ(none->revocation_endpoint, "");

    const Members both = {
        {"end_session_endpoint", R"("https://op.example/logout?a=b")"},
        {"revocation_endpoint", R"("https://op.example/revoke")"}};
    auto metadata = parse(both);
    ASSERT_EQ(complaint(metadata), "");
    EXPECT_EQ(metadata->end_session_endpoint, "https://op.example/logout?a=b");
    EXPECT_EQ(metadata->revocation_endpoint, "https://op.example/revoke");

    auto client = example_client();
    client.endpoints.end_session_endpoint = "https://inside.example/l";
    client.endpoints.revocation_endpoint = "https://inside.example/r";
    for (const auto& changes : {Members{}, both}) {
        metadata = parse(changes, client);
        EXPECT_EQ(metadata->end_session_endpoint, "https://inside.example/l");
        EXPECT_EQ(metadata->revocation_endpoint, "https://inside.example/r");
    }
    for (const auto& [name, url] : both) {
        for (auto odd : {"null", "1", "[]", "\"\""}) {
            metadata = parse({{name, odd}});
            EXPECT_EQ(complaint(metadata), "") << name << odd;
            EXPECT_EQ(metadata->ignored, Strings{}) << name << odd;
        }
    }
}

const std::string unusable[] = {"http://op.example/a", "/logout", "logout",
    "//op.example/", "ftp://op.example/", "javascript:alert(1)",
    "https://op.example/#a", "https://user@op.example/", "https://"};

std::string not_https(const std::string& name, const std::string& url)
{
    return "provider sent metadata whose " + name + " \"" + url +
        "\" is not an https URL";
}

TEST(Metadata, MayHaveAnUnusableEndpointThatTheClientDoesNotUse)
{
    constexpr std::pair<const char*, std::string Endpoints::*> unused[] = {
        {"userinfo_endpoint", &Endpoints::userinfo_endpoint},
        {"pushed_authorization_request_endpoint",
            &Endpoints::pushed_authorization_request_endpoint},
        {"end_session_endpoint", &Endpoints::end_session_endpoint},
        {"revocation_endpoint", &Endpoints::revocation_endpoint}};
    EXPECT_EQ(parse({})->ignored, Strings{});
    for (const auto& [name, endpoint] : unused) {
        for (const auto& url : unusable) {
            auto metadata = parse({{name, "\"" + url + "\""}});
            ASSERT_EQ(complaint(metadata), "") << name << " " << url;
            EXPECT_EQ((*metadata).*endpoint, "");
            EXPECT_EQ(metadata->ignored, Strings{not_https(name, url)});
        }
    }
    auto all = parse({{"end_session_endpoint", "\"/logout\""},
        {"revocation_endpoint", "\"/revoke\""}});
    EXPECT_EQ(all->ignored,
        (Strings{not_https("end_session_endpoint", "/logout"),
            not_https("revocation_endpoint", "/revoke")}));
}

TEST(Metadata, MayHaveNoUnusableEndpointThatTheClientUses)
{
    auto refused = [](const std::string& name, const Client& client,
                       Members changes = {}) {
        for (const auto& url : unusable) {
            changes[name] = "\"" + url + "\"";
            EXPECT_EQ(complaint(parse(changes, client)),
                "upstream_metadata: " + not_https(name, url));
        }
    };
    auto client = example_client();
    client.logout_uri = "/logout";
    refused("end_session_endpoint", client);

    client = example_client();
    client.revoke_on_logout = true;
    refused("revocation_endpoint", client);

    // RFC 9126, 5
    client = example_client();
    const std::string pushed = "pushed_authorization_request_endpoint";
    const Members required = {
        {"require_pushed_authorization_requests", "true"}};
    refused(pushed, client, required);
    client.pushed_authorization = PushedAuthorization::off;
    auto metadata = parse(changed(required, {{pushed, "\"/par\""}}), client);
    EXPECT_EQ(complaint(metadata), "");
    EXPECT_EQ(metadata->ignored, Strings{not_https(pushed, "/par")});
}

// RFC 6749, 3.1
TEST(Endpoint, KeepsItsOwnQuery)
{
    const std::pair<const char*, const char*> urls[] = {
        {"https://a", "https://a?x=y"},
        {"https://a/b?", "https://a/b?x=y"},
        {"https://a/b?c=d", "https://a/b?c=d&x=y"},
        {"https://a/b?c=d&", "https://a/b?c=d&x=y"},
    };
    for (const auto& [endpoint, url] : urls) {
        EXPECT_EQ(with_parameters(endpoint, "x=y"), url);
    }
}

// RFC 8705, 5
TEST(Metadata, HoldTheAliasesForAClientWithACertificate)
{
    const Members aliases = {{"mtls_endpoint_aliases",
        R"({"token_endpoint":"https://mtls.example/t",)"
        R"("userinfo_endpoint":"https://mtls.example/u",)"
        R"("pushed_authorization_request_endpoint":"https://mtls.example/p",)"
        R"("end_session_endpoint":"https://mtls.example/l",)"
        R"("revocation_endpoint":"https://mtls.example/r"})"}};
    auto client = example_client();
    for (auto auth : {ClientAuth::tls_client_auth,
             ClientAuth::self_signed_tls_client_auth}) {
        client.client_auth = auth;
        auto metadata = parse(aliases, client);
        ASSERT_EQ(complaint(metadata), "");
        EXPECT_EQ(metadata->token_endpoint, "https://mtls.example/t");
        EXPECT_EQ(metadata->userinfo_endpoint, "https://mtls.example/u");
        EXPECT_EQ(metadata->pushed_authorization_request_endpoint,
            "https://mtls.example/p");
        EXPECT_EQ(metadata->revocation_endpoint, "https://mtls.example/r");
        EXPECT_EQ(metadata->end_session_endpoint, "");
        EXPECT_EQ(metadata->jwks_uri, "https://op.example/keys");
        EXPECT_EQ(
            metadata->authorization_endpoint, "https://op.example/authorize");

        EXPECT_EQ(
            parse({}, client)->token_endpoint, "https://op.example/token");
        EXPECT_EQ(
            complaint(parse({{"mtls_endpoint_aliases",
                                R"({"token_endpoint":"http://a.example/"})"}},
                client)),
            "upstream_metadata: provider sent metadata whose token_endpoint "
            "\"http://a.example/\" is not an https URL");
        for (auto odd : {"null", "[]", "1", "\"https://a.example/\"",
                 R"({"token_endpoint":null})"}) {
            EXPECT_EQ(
                parse({{"mtls_endpoint_aliases", odd}}, client)->token_endpoint,
                "https://op.example/token");
        }
    }
    for (auto auth : {ClientAuth::client_secret_basic, ClientAuth::none,
             ClientAuth::private_key_jwt}) {
        client.client_auth = auth;
        EXPECT_EQ(
            parse(aliases, client)->token_endpoint, "https://op.example/token");
    }
    // the certificate is all that can be chosen
    client.client_auth = ClientAuth::automatic;
    client.has_certificate = true;
    EXPECT_EQ(
        parse(aliases, client)->token_endpoint, "https://op.example/token");
    client.client_secret = Secret();
    EXPECT_EQ(parse(aliases, client)->token_endpoint, "https://mtls.example/t");
    client.has_certificate = false;
    EXPECT_EQ(
        parse(aliases, client)->token_endpoint, "https://op.example/token");

    client.client_auth = ClientAuth::tls_client_auth;
    client.endpoints.token_endpoint = "https://inside.example/t";
    EXPECT_EQ(
        parse(aliases, client)->token_endpoint, "https://inside.example/t");
}

TEST(ConfiguredMetadata, NeedEveryNeededEndpoint)
{
    auto client = example_client();
    EXPECT_FALSE(configured_metadata(client));

    client.endpoints = {"https://a", "https://t", "https://k", "", ""};
    for (auto endpoint : {&Endpoints::authorization_endpoint,
             &Endpoints::token_endpoint, &Endpoints::jwks_uri}) {
        auto less = client;
        (less.endpoints.*endpoint).clear();
        EXPECT_FALSE(configured_metadata(less));
    }
    auto metadata = configured_metadata(client);
    ASSERT_TRUE(metadata);
    EXPECT_EQ(metadata->authorization_endpoint, "https://a");
    EXPECT_EQ(metadata->token_endpoint, "https://t");
    EXPECT_EQ(metadata->jwks_uri, "https://k");
    EXPECT_EQ(metadata->userinfo_endpoint, "");
    EXPECT_EQ(metadata->end_session_endpoint, "");
    EXPECT_EQ(metadata->revocation_endpoint, "");
    EXPECT_EQ(metadata->client_auth_methods, Strings{"client_secret_basic"});
    EXPECT_TRUE(metadata->s256);
    EXPECT_FALSE(metadata->promises_iss);
    EXPECT_FALSE(metadata->requires_pushed_authorization);
}

TEST(ConfiguredMetadata, HaveTheConfiguredEndpointsOfALogout)
{
    auto client = example_client();
    client.endpoints = {"https://a", "https://t", "https://k", "", ""};
    client.endpoints.end_session_endpoint = "https://l";
    client.endpoints.revocation_endpoint = "https://r";
    auto metadata = configured_metadata(client);
    ASSERT_TRUE(metadata);
    EXPECT_EQ(metadata->end_session_endpoint, "https://l");
    EXPECT_EQ(metadata->revocation_endpoint, "https://r");
}

TEST(ConfiguredMetadata, NeedWhatTheClientUses)
{
    auto client = example_client();
    client.endpoints = {"https://a", "https://t", "https://k", "", ""};
    client.userinfo = true;
    EXPECT_FALSE(configured_metadata(client));
    client.endpoints.userinfo_endpoint = "https://u";
    EXPECT_EQ(configured_metadata(client)->userinfo_endpoint, "https://u");

    client.pushed_authorization = PushedAuthorization::on;
    EXPECT_FALSE(configured_metadata(client));
    client.endpoints.pushed_authorization_request_endpoint = "https://p";
    EXPECT_EQ(
        configured_metadata(client)->pushed_authorization_request_endpoint,
        "https://p");
}

}
}
