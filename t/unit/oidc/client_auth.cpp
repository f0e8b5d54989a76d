#include "oidc/client_auth.h"

#include "core/encoding.h"
#include "jose/jws.h"
#include "support/play.h"

#include <gtest/gtest.h>

#include <set>

namespace oidc::test {
namespace {

using namespace std::string_literals;

constexpr TokenKind kind{"assertion", Errc::id_token_malformed,
    Errc::id_token_alg, Errc::id_token_crit, Errc::id_token_key,
    Errc::id_token_signature};

constexpr auto config_unusable =
    "config_unusable: provider accepts no authentication method that uses a "
    "client_secret";

PrivateKey key_of(const Signer& signer)
{
    std::string why;
    auto key = PrivateKey::parse(signer.pem(), why);
    EXPECT_TRUE(key) << why;
    return *key;
}

class ClientAuthTest : public testing::Test {
public:
    ClientAuthTest()
    {
        metadata.token_endpoint = "https://op.example/token?a=b";
        metadata.client_auth_methods = {};
    }

    // The authenticated request, or the complaint instead of a URL.
    HttpRequest proven()
    {
        HttpRequest request;
        request.url = metadata.token_endpoint;
        request.body = "code=c";
        auto done = authenticate(request, client, metadata, noon, random_bytes);
        if (!done) {
            EXPECT_EQ(request.body, "code=c");
            EXPECT_EQ(request.authorization, "");
            request.url = complaint(done);
        }
        return request;
    }

    // The method by which a request is authenticated.
    std::string method()
    {
        auto request = proven();
        if (!request.authorization.empty()) {
            EXPECT_EQ(request.body, "code=c");
            return "basic";
        }
        auto form = parameters(request.body);
        std::string names;
        for (const auto& [name, value] : form) {
            names += name + " ";
        }
        if (names == "client_assertion client_assertion_type client_id code ") {
            return header_of(form.at("client_assertion"), "alg");
        }
        return names == "client_id client_secret code " ? "post" :
            names == "client_id code "                  ? "id" :
                                                          request.url;
    }

    static std::string header_of(const std::string& compact, const char* member)
    {
        auto text = base64url_decode(compact.substr(0, compact.find('.')));
        auto header = Json::parse(text.value_or(""));
        return std::string((*header)[member].string().value_or(""));
    }

    // The claims of an assertion, verified as the provider does.
    Json claims_of(const std::string& assertion, const std::string& alg,
        const std::string& jwk)
    {
        const std::string allowed[] = {alg};
        auto jws = Jws::parse(kind, assertion, allowed);
        EXPECT_EQ(complaint(jws), "");
        auto keys = KeySet::parse(key_set({jwk}));
        auto payload = jws->verify(*keys, client.client_secret.reveal());
        EXPECT_EQ(complaint(payload), "");
        return std::move(*Json::parse(payload ? *payload : "{}"));
    }

    Client client = example_client();
    Metadata metadata;
};

// RFC 6749, 2.3.1
TEST_F(ClientAuthTest, ByBasic)
{
    client.client_auth = ClientAuth::client_secret_basic;
    client.client_id = "s6BhdRkqt3";
    client.client_secret = Secret("7Fjfp0ZBr1KtDRbnfVdmIw"s);
    auto request = proven();
    EXPECT_EQ(request.url, "https://op.example/token?a=b");
    EXPECT_EQ(request.authorization,
        "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3");
    EXPECT_EQ(request.body, "code=c");
}

TEST_F(ClientAuthTest, ByBasicEncodesIdAndSecret)
{
    client.client_auth = ClientAuth::client_secret_basic;
    client.client_id = "https://app:1";
    client.client_secret = Secret("a:b%c+d e\xc3\xa9"s);
    EXPECT_EQ(proven().authorization,
        "Basic " + base64("https%3A%2F%2Fapp%3A1:a%3Ab%25c%2Bd%20e%C3%A9"));
}

TEST_F(ClientAuthTest, ByPost)
{
    client.client_auth = ClientAuth::client_secret_post;
    client.client_secret = Secret("s&c+ "s);
    auto request = proven();
    EXPECT_EQ(request.authorization, "");
    EXPECT_EQ(request.body, "code=c&client_id=app&client_secret=s%26c%2B%20");
}

// RFC 8705, 2: the certificate authenticates, only the id is sent.
TEST_F(ClientAuthTest, ByTlsOrNoneSendsOnlyTheId)
{
    for (auto auth : {ClientAuth::tls_client_auth,
             ClientAuth::self_signed_tls_client_auth, ClientAuth::none}) {
        client.client_auth = auth;
        auto request = proven();
        EXPECT_EQ(request.authorization, "");
        EXPECT_EQ(request.body, "code=c&client_id=app");
        EXPECT_EQ(is_tls(auth), auth != ClientAuth::none);
    }
    EXPECT_FALSE(is_tls(ClientAuth::automatic));
    EXPECT_FALSE(is_tls(ClientAuth::private_key_jwt));
}

// RFC 7523, 3
TEST_F(ClientAuthTest, ByAnAssertionOfTheKey)
{
    client.client_auth = ClientAuth::private_key_jwt;
    const struct {
        const char* alg;
        const Signer& signer;
    } cases[] = {
        {"RS256", Signer::rsa()},
        {"ES256", Signer::ec("P-256")},
        {"ES384", Signer::ec("P-384")},
        {"ES512", Signer::ec("P-521")},
        {"EdDSA", Signer::ed25519()},
    };
    for (const auto& [alg, signer] : cases) {
        client.key = key_of(signer);
        auto request = proven();
        EXPECT_EQ(request.authorization, "");
        auto form = parameters(request.body);
        EXPECT_EQ(form.size(), 4u);
        EXPECT_EQ(form.at("code"), "c");
        EXPECT_EQ(form.at("client_id"), "app");
        EXPECT_EQ(form.at("client_assertion_type"),
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");

        auto claims = claims_of(form.at("client_assertion"), alg, signer.jwk());
        EXPECT_EQ(claims.root().size(), 6u);
        EXPECT_EQ(claims["iss"].string(), "app");
        EXPECT_EQ(claims["sub"].string(), "app");
        EXPECT_EQ(claims["aud"].string(), metadata.token_endpoint);
        EXPECT_EQ(claims["iat"].date(), noon);
        EXPECT_EQ(claims["exp"].date(), noon + 60s);
        EXPECT_EQ(base64url_decode(*claims["jti"].string())->size(), 16u);
    }
}

TEST_F(ClientAuthTest, ByAnAssertionHasTheEndpointAsAudience)
{
    client.client_auth = ClientAuth::private_key_jwt;
    client.key = key_of(Signer::ed25519());
    metadata.token_endpoint = "https://op.example/par";
    auto form = parameters(proven().body);
    auto claims = claims_of(
        form.at("client_assertion"), "EdDSA", Signer::ed25519().jwk());
    EXPECT_EQ(claims["aud"].string(), "https://op.example/par");
}

// Another key cannot verify it.
TEST_F(ClientAuthTest, ByAnAssertionOfNoOtherKey)
{
    client.client_auth = ClientAuth::private_key_jwt;
    client.key = key_of(Signer::rsa());
    auto assertion = parameters(proven().body).at("client_assertion");
    const std::string allowed[] = {"RS256"};
    auto jws = Jws::parse(kind, assertion, allowed);
    auto others = KeySet::parse(key_set({Signer::other_rsa().jwk()}));
    EXPECT_EQ(complaint(jws->verify(*others, "")),
        "id_token_signature: assertion has a bad signature");
}

TEST_F(ClientAuthTest, ByAnAssertionWithAnIdOfItsOwn)
{
    client.client_auth = ClientAuth::private_key_jwt;
    client.key = key_of(Signer::ed25519());
    std::set<std::string> ids;
    for (int i = 0; i < 50; i++) {
        auto form = parameters(proven().body);
        auto claims = claims_of(
            form.at("client_assertion"), "EdDSA", Signer::ed25519().jwk());
        ids.emplace(*claims["jti"].string());
    }
    EXPECT_EQ(ids.size(), 50u);
}

TEST_F(ClientAuthTest, ByAnAssertionThatNamesItsType)
{
    client.client_auth = ClientAuth::private_key_jwt;
    client.key = key_of(Signer::ed25519());
    auto assertion = parameters(proven().body).at("client_assertion");
    EXPECT_EQ(header_of(assertion, "typ"), "JWT");
    EXPECT_EQ(header_of(assertion, "kid"), "");
}

// token_endpoint_auth_signing_alg_values_supported
TEST_F(ClientAuthTest, ByAnAlgorithmThatTheProviderSupports)
{
    using Algs = std::vector<std::string>;
    constexpr auto unusable = "config_unusable: provider accepts no signature "
                              "algorithm of client_key or client_secret";
    const struct {
        const Signer& signer;
        Algs offered;
        std::string method;
    } cases[] = {
        {Signer::rsa(), {}, "RS256"},
        {Signer::rsa(), {"RS256", "PS256"}, "RS256"},
        {Signer::rsa(), {"PS256", "RS256"}, "RS256"},
        {Signer::rsa(), {"PS256"}, "PS256"},
        {Signer::rsa(), {"HS256", "ES256", "PS512"}, "PS512"},
        {Signer::rsa(), {"ES256"}, unusable},
        {Signer::rsa(), {"HS256", "none"}, unusable},
        {Signer::ec("P-256"), {"RS256", "ES256"}, "ES256"},
        {Signer::ec("P-256"), {"ES384"}, unusable},
        {Signer::ec("P-384"), {"ES256", "ES384"}, "ES384"},
        {Signer::ec("P-521"), {"ES512"}, "ES512"},
        {Signer::ed25519(), {"RS256", "EdDSA"}, "EdDSA"},
        {Signer::ed25519(), {"RS256"}, unusable},
    };
    client.client_auth = ClientAuth::private_key_jwt;
    for (const auto& [signer, offered, expected] : cases) {
        client.key = key_of(signer);
        metadata.client_auth_algs = offered;
        EXPECT_EQ(method(), expected)
            << signer.jwk() << " " << testing::PrintToString(offered);
    }
}

TEST_F(ClientAuthTest, ByAnAssertionOfTheSecret)
{
    client.client_auth = ClientAuth::client_secret_jwt;
    auto request = proven();
    EXPECT_EQ(request.authorization, "");
    auto form = parameters(request.body);
    EXPECT_EQ(form.size(), 4u);
    auto claims = claims_of(
        form.at("client_assertion"), "HS256", Signer::ed25519().jwk());
    EXPECT_EQ(claims["sub"].string(), "app");
    EXPECT_EQ(claims["aud"].string(), metadata.token_endpoint);
    EXPECT_EQ(claims["exp"].date(), noon + 60s);
}

TEST_F(ClientAuthTest, ByAnAssertionNeedsAKeyThatSigns)
{
    client.client_auth = ClientAuth::private_key_jwt;
    EXPECT_TRUE(method().starts_with("config_unusable: ")) << method();
    client.client_auth = ClientAuth::client_secret_jwt;
    client.client_secret = Secret(std::string(31, 's'));
    EXPECT_TRUE(method().starts_with("config_unusable: ")) << method();
    client.client_secret = Secret(std::string(32, 's'));
    EXPECT_EQ(method(), "HS256");
}

// OpenID Connect Core, 9: never by two methods at once.
TEST_F(ClientAuthTest, IsChosenByTheCredentialsOfTheClient)
{
    metadata.client_auth_methods = {"private_key_jwt", "client_secret_jwt",
        "client_secret_post", "client_secret_basic", "tls_client_auth", "none"};
    client.key = key_of(Signer::ed25519());
    client.has_certificate = true;
    EXPECT_EQ(method(), "basic");
    client.client_secret = Secret();
    EXPECT_EQ(method(), "EdDSA");
    client.key.reset();
    EXPECT_EQ(method(), "id");
    client.has_certificate = false;
    EXPECT_EQ(method(), "id");
}

TEST_F(ClientAuthTest, WithASecretIsChosenByTheMetadata)
{
    const struct {
        std::vector<std::string> methods;
        std::string method;
    } cases[] = {
        {{"client_secret_basic"}, "basic"},
        {{"client_secret_post"}, "post"},
        {{"client_secret_jwt"}, "HS256"},
        {{"client_secret_jwt", "client_secret_post", "client_secret_basic"},
            "basic"},
        {{"client_secret_jwt", "client_secret_post"}, "post"},
        {{"private_key_jwt", "client_secret_jwt", "none"}, "HS256"},
        {{}, config_unusable},
        {{"none"}, config_unusable},
        {{"private_key_jwt", "tls_client_auth"}, config_unusable},
        {{"Client_Secret_Basic", "client_secret_basic "}, config_unusable},
    };
    for (const auto& [methods, expected] : cases) {
        metadata.client_auth_methods = methods;
        EXPECT_EQ(method(), expected) << testing::PrintToString(methods);
    }
}

TEST_F(ClientAuthTest, IsNotChosenIfTheSecretIsTooShort)
{
    metadata.client_auth_methods = {"client_secret_jwt"};
    client.client_secret = Secret(std::string(32, 's'));
    EXPECT_EQ(method(), "HS256");
    client.client_secret = Secret(std::string(31, 's'));
    EXPECT_EQ(method(), config_unusable);
}

// As a pushed authorization request has it.
TEST_F(ClientAuthTest, NamesTheClientOnce)
{
    client.key = key_of(Signer::ed25519());
    for (auto auth : {ClientAuth::client_secret_post,
             ClientAuth::client_secret_jwt, ClientAuth::private_key_jwt,
             ClientAuth::tls_client_auth, ClientAuth::none}) {
        client.client_auth = auth;
        HttpRequest request;
        request.body = "a=b&client_id=app&c=d";
        EXPECT_EQ(complaint(authenticate(
                      request, client, metadata, noon, random_bytes)),
            "");
        EXPECT_TRUE(request.body.starts_with("a=b&client_id=app&c=d"));
        EXPECT_EQ(request.body.find("client_id", 10), std::string::npos);
    }
}

// The configured method is used, whatever the metadata say.
TEST_F(ClientAuthTest, IsTheConfiguredOne)
{
    client.key = key_of(Signer::ed25519());
    client.has_certificate = true;
    metadata.client_auth_methods = {"client_secret_basic"};
    const std::pair<ClientAuth, std::string> cases[] = {
        {ClientAuth::client_secret_basic, "basic"},
        {ClientAuth::client_secret_post, "post"},
        {ClientAuth::client_secret_jwt, "HS256"},
        {ClientAuth::private_key_jwt, "EdDSA"},
        {ClientAuth::tls_client_auth, "id"},
        {ClientAuth::self_signed_tls_client_auth, "id"},
        {ClientAuth::none, "id"},
    };
    for (const auto& [auth, expected] : cases) {
        client.client_auth = auth;
        EXPECT_EQ(method(), expected);
    }
}

}
}
