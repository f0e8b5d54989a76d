#include "oidc/userinfo.h"

#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

TEST(UserInfoRequest, CarriesTheAccessTokenInAHeader)
{
    Metadata metadata;
    metadata.userinfo_endpoint = "https://op.example/userinfo?a=b";
    auto request = userinfo_request(metadata, "at-1");
    EXPECT_EQ(request.url, "https://op.example/userinfo?a=b");
    EXPECT_EQ(request.authorization, "Bearer at-1");
    EXPECT_EQ(request.body, ""); // a GET
    EXPECT_EQ(request.accept, "application/json, application/jwt");
    EXPECT_EQ(request.limit, 256u * 1024);
}

class UserInfoTest : public testing::Test {
public:
    Result<UserInfo> verify(const HttpResponse& response)
    {
        return UserInfo::verify(response, {client, keys, "user-1"});
    }

    std::string judged(const HttpResponse& response)
    {
        return complaint(verify(response));
    }

    static HttpResponse token(std::string compact)
    {
        return {200, "application/jwt", "", std::move(compact)};
    }

    static Members good_claims()
    {
        return {{"iss", R"("https://op.example")"}, {"aud", R"("app")"},
            {"sub", R"("user-1")"}, {"email", R"("jane@example.com")"}};
    }

    // The complaint about a signed response that differs only in this.
    std::string changed_by(const Members& changes)
    {
        return judged(token(Signer::ed25519().sign(
            "EdDSA", object(changed(good_claims(), changes)))));
    }

    Client client = example_client();
    KeySet keys =
        *KeySet::parse(key_set({Signer::ed25519().jwk(), Signer::rsa().jwk()}));
};

TEST_F(UserInfoTest, MayBeJson)
{
    for (auto type : {"application/json", "Application/JSON; charset=utf-8"}) {
        auto info = verify(
            {200, type, "", R"({"sub":"user-1","email":"jane@example.com"})"});
        ASSERT_EQ(complaint(info), "") << type;
        EXPECT_EQ(info->claims()["email"].string(), "jane@example.com");
    }
}

// Only signed user info has an issuer and an audience.
TEST_F(UserInfoTest, OfJsonNeedsNoIssuer)
{
    EXPECT_EQ(judged(json_answer(
                  R"({"sub":"user-1","iss":"https://evil","aud":"other"})")),
        "");
}

// OpenID Connect Core, 5.3.2
TEST_F(UserInfoTest, OfAnotherSubjectIsRefused)
{
    auto other = [](const std::string& sub) {
        return "userinfo_subject: user info has a different sub, \"" + sub +
            "\"";
    };
    const std::pair<std::string, std::string> cases[] = {
        {"", other("")},
        {"null", other("")},
        {"1", other("1")},
        {R"("")", other(R"(\x22\x22)")},
        {R"("user-2")", other(R"(\x22user-2\x22)")},
        {R"("USER-1")", other(R"(\x22USER-1\x22)")},
        {R"("user-1 ")", other(R"(\x22user-1 \x22)")},
        {R"(["user-1"])", other(R"([\x22user-1\x22])")},
    };
    for (const auto& [sub, why] : cases) {
        EXPECT_EQ(judged(json_answer(object({{"sub", sub}}))), why) << sub;
        EXPECT_EQ(changed_by({{"sub", sub}}), why) << sub;
    }
}

TEST_F(UserInfoTest, IsOneJsonObject)
{
    const std::pair<std::string, std::string> cases[] = {
        {"", "malformed JSON"},
        {"<html>", "malformed JSON"},
        {"[]", "JSON other than an object"},
        {R"({"sub":"user-1","sub":"user-2"})", "JSON with a duplicate member"},
        {"{\"a\":" + std::string(100'000, '['), "JSON nested too deeply"},
        {"{\"sub\":\"user-1\",\"a\":\"\xff\"}", "malformed JSON"},
        {R"({"sub":"user-1","a":"\u0000"})", "malformed JSON"},
        {"{\"sub\":\"user-1\"}\0"s, "malformed JSON"},
    };
    for (const auto& [body, what] : cases) {
        auto why = "userinfo_malformed: user info is " + what;
        EXPECT_EQ(judged(json_answer(body)), why) << body;
        EXPECT_EQ(judged(token(Signer::ed25519().sign("EdDSA", body))), why)
            << body;
    }
}

TEST_F(UserInfoTest, ComesWith200)
{
    for (auto type : {"application/json", "application/jwt", "text/html"}) {
        for (int status : {0, 201, 204, 301, 302, 307, 400, 401, 403, 500}) {
            EXPECT_EQ(judged({status, type, "", R"({"sub":"user-1"})"}),
                "upstream_status: provider returned status " +
                    std::to_string(status));
        }
    }
}

TEST_F(UserInfoTest, IsOfAKnownType)
{
    auto jwt = Signer::ed25519().sign("EdDSA", object(good_claims()));
    for (std::string type : {"", "text/html", "text/plain", "application/jose",
             "application/jwtx", "application/entity-statement+jwt"}) {
        for (const auto& body : {R"({"sub":"user-1"})"s, jwt}) {
            EXPECT_EQ(judged({200, type, "", body}),
                "upstream_status: provider sent content type \"" + type +
                    "\" instead of JSON");
        }
    }
    EXPECT_EQ(judged({200, "application/json", "", jwt}),
        "userinfo_malformed: user info is malformed JSON");
}

TEST_F(UserInfoTest, MayBeSigned)
{
    auto compact = Signer::ed25519().sign("EdDSA", object(good_claims()));
    for (auto type : {"application/jwt", "Application/JWT;charset=utf-8"}) {
        auto info = verify({200, type, "", compact});
        ASSERT_EQ(complaint(info), "") << type;
        EXPECT_EQ(info->claims()["email"].string(), "jane@example.com");
    }
    for (auto alg : {"RS256", "PS512"}) {
        EXPECT_EQ(
            judged(token(Signer::rsa().sign(alg, object(good_claims())))), "")
            << alg;
    }
}

TEST_F(UserInfoTest, MayBeSignedWithTheSecretIfListed)
{
    auto compact = Signer::secret(std::string(client.client_secret.reveal()))
                       .sign("HS256", object(good_claims()));
    EXPECT_EQ(judged(token(compact)),
        "userinfo_alg: user info is signed with \"HS256\", which id_token_alg "
        "does not list");
    client.id_token_algs = {"HS256"};
    EXPECT_EQ(judged(token(compact)), "");
    client.client_secret = Secret(std::string(31, 's'));
    EXPECT_EQ(judged(token(compact)),
        "userinfo_key: user info is signed with a client_secret shorter than "
        "32 bytes");
}

// As LemonLDAP::NG signs it
TEST_F(UserInfoTest, ThatIsSignedMayOmitIssuerAndAudience)
{
    EXPECT_EQ(changed_by({{"iss", ""}}), "");
    EXPECT_EQ(changed_by({{"aud", ""}}), "");
    EXPECT_EQ(changed_by({{"iss", ""}, {"aud", ""}}), "");
    EXPECT_EQ(changed_by({{"iss", ""}, {"aud", ""}, {"sub", R"("user-2")"}}),
        "userinfo_subject: user info has a different sub, "
        "\"\\x22user-2\\x22\"");
}

TEST_F(UserInfoTest, ThatIsSignedHasNoOtherIssuer)
{
    for (std::string iss : {"", "https://evil", "https://op.example/"}) {
        EXPECT_EQ(changed_by({{"iss", "\"" + iss + "\""}}),
            "userinfo_issuer: user info has a wrong issuer \"" + iss + "\"");
    }
    for (auto iss : {"1", R"(["https://op.example"])"}) {
        EXPECT_EQ(changed_by({{"iss", iss}}),
            "userinfo_issuer: user info has a wrong issuer \"\"")
            << iss;
    }
}

TEST_F(UserInfoTest, ThatIsSignedHasNoOtherAudience)
{
    auto other = [](const std::string& aud) {
        return "userinfo_audience: user info is for another audience, \"" +
            aud + "\"";
    };
    const std::pair<std::string, std::string> cases[] = {
        {R"("app")", ""},
        {R"(["app"])", ""},
        {R"(["other","app"])", ""},
        {"null", ""},
        {"[]", other("[]")},
        {R"("")", other(R"(\x22\x22)")},
        {R"("other")", other(R"(\x22other\x22)")},
        {R"("app other")", other(R"(\x22app other\x22)")},
        {R"(["other"])", other(R"([\x22other\x22])")},
        {R"([["app"]])", other(R"([[\x22app\x22]])")},
        {R"({"app":"app"})", other(R"({\x22app\x22:\x22app\x22})")},
    };
    for (const auto& [aud, why] : cases) {
        EXPECT_EQ(changed_by({{"aud", aud}}), why) << aud;
    }
}

TEST_F(UserInfoTest, ThatIsSignedBadlyIsRefused)
{
    auto claims = object(good_claims());
    auto good = Signer::ed25519().sign("EdDSA", claims);
    const std::pair<std::string, std::string> cases[] = {
        {"", "userinfo_malformed: user info is not a JWS of three parts"},
        {"{}", "userinfo_malformed: user info is not a JWS of three parts"},
        {"a.b.c.d.e",
            "userinfo_malformed: user info is not a JWS of three parts"},
        {good + "\n", "userinfo_malformed: user info is not base64url"},
        {good.substr(0, good.rfind('.') + 1),
            "userinfo_signature: user info has a bad signature"},
        {Signer::other_rsa().sign("RS256", claims),
            "userinfo_signature: user info has a bad signature"},
        {Signer::ec("P-256").sign("ES256", claims),
            "userinfo_key: user info is signed with ES256, for which the key "
            "set has no key"},
        {Signer::ed25519().sign("EdDSA", claims, R"("kid":"x")"),
            "userinfo_key: user info names an unknown key \"x\""},
        {Signer::ed25519().sign("EdDSA", claims, R"("crit":["exp"])"),
            "userinfo_crit: user info has a critical extension"},
        {Signer::ed25519().sign_parts("EdDSA", R"({"alg":"none"})", claims),
            "userinfo_alg: user info is signed with \"none\", which "
            "id_token_alg does not list"},
        {Signer::ed25519().sign_parts("EdDSA", "{}", claims),
            "userinfo_malformed: user info has no alg"},
    };
    for (const auto& [compact, why] : cases) {
        EXPECT_EQ(judged(token(compact)), why) << compact;
    }
}

TEST_F(UserInfoTest, IsSignedWithAListedAlgorithm)
{
    auto compact = Signer::rsa().sign("RS256", object(good_claims()));
    client.id_token_algs = {"PS256"};
    EXPECT_EQ(judged(token(compact)),
        "userinfo_alg: user info is signed with \"RS256\", which id_token_alg "
        "does not list");
}

}
}
