#include "oidc/id_token.h"

#include "core/encoding.h"
#include "support/encrypted.h"
#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

constexpr auto nonce = "n0nce-of-this-login";

KeySet keys_of(const std::string& json)
{
    std::string why;
    auto set = KeySet::parse(json, why);
    EXPECT_TRUE(set) << why;
    return std::move(*set);
}

Members good_claims()
{
    return changed(example_claims(noon), {{"nonce", "\""s + nonce + "\""}});
}

class IdTokenTest : public testing::Test {
public:
    Result<IdToken> verify(const std::string& compact)
    {
        return IdToken::verify_login(
            compact, {client, keys, nonce, "at-1", noon + late});
    }

    // The complaint about a token whose claims differ only in this.
    std::string changed_by(const Members& changes)
    {
        return complaint(verify(Signer::ed25519().sign(
            "EdDSA", object(changed(good_claims(), changes)))));
    }

    // Values of a claim, empty for none, and the complaints about them.
    void expect_refusals(const char* claim,
        const std::vector<std::pair<std::string, std::string>>& cases)
    {
        for (const auto& [value, why] : cases) {
            EXPECT_EQ(changed_by({{claim, value}}), why) << value;
        }
    }

    Seconds late{}; // after the token was issued
    Client client = example_client();
    KeySet keys = keys_of(key_set({Signer::ed25519().jwk(), Signer::rsa().jwk(),
        Signer::ec("P-384").jwk()}));
};

TEST_F(IdTokenTest, OfAGoodLoginIsAccepted)
{
    auto compact = Signer::ed25519().sign("EdDSA", object(good_claims()));
    auto token = verify(compact);
    ASSERT_EQ(complaint(token), "");
    EXPECT_EQ(token->compact(), compact);
    EXPECT_EQ(token->claims()["sub"].string(), "user-1");
    EXPECT_EQ(token->auth_time(), std::nullopt);
}

TEST_F(IdTokenTest, KnowsItsAuthTime)
{
    for (auto auth_time : {"1600000000.5", R"("1600000000")"}) {
        auto token = verify(Signer::ed25519().sign("EdDSA",
            object(changed(good_claims(), {{"auth_time", auth_time}}))));
        EXPECT_EQ(token->auth_time(), from_seconds(1600000000)) << auth_time;
    }
}

TEST_F(IdTokenTest, OfAnotherIssuerIsRefused)
{
    auto wrong = [](const std::string& iss) {
        return "id_token_issuer: id token has a wrong issuer \"" + iss + "\"";
    };
    expect_refusals("iss",
        {{"", wrong("")}, {"null", wrong("")}, {"[]", wrong("")},
            {R"("")", wrong("")}, {R"(["https://op.example"])", wrong("")},
            {R"("https://op.example/")", wrong("https://op.example/")},
            {R"("HTTPS://op.example")", wrong("HTTPS://op.example")},
            {R"("https://op.example:443")", wrong("https://op.example:443")},
            {R"("https://evil\n")", wrong("https://evil\\x0A")}});
}

TEST_F(IdTokenTest, WithoutAValidSubjectIsRefused)
{
    for (const auto& sub : {""s, "null"s, "7"s, R"("")"s, R"(["user-1"])"s,
             "\"" + std::string(256, 'a') + "\"", R"("a\nb")"s, R"("a\u007f")"s,
             R"("\u00e9")"s}) {
        EXPECT_EQ(changed_by({{"sub", sub}}),
            "id_token_subject: id token has no sub of 1 to 255 ASCII "
            "characters")
            << sub;
    }
}

TEST_F(IdTokenTest, ForAnotherAudienceIsRefused)
{
    auto other = [](const std::string& aud) {
        return "id_token_audience: id token is for another audience, \"" + aud +
            "\"";
    };
    expect_refusals("aud",
        {{"", other("")}, {"null", other("")}, {"1", other("1")},
            {"{}", other("{}")}, {"[]", other("[]")},
            {R"({"app":"app"})", other(R"({\x22app\x22:\x22app\x22})")},
            {R"("other")", other(R"(\x22other\x22)")},
            {R"("APP")", other(R"(\x22APP\x22)")},
            {R"("app other")", other(R"(\x22app other\x22)")},
            {R"([["app"]])", other(R"([[\x22app\x22]])")}});
}

TEST_F(IdTokenTest, AlsoForAnUntrustedAudienceIsRefused)
{
    auto further = [](const std::string& aud) {
        return "id_token_audience: id token is also for an untrusted audience, "
               "\"" +
            aud + "\"";
    };
    expect_refusals("aud",
        {{R"(["app","other"])", further(R"([\x22app\x22,\x22other\x22])")},
            {R"(["other","app"])", further(R"([\x22other\x22,\x22app\x22])")},
            {R"(["app",1])", further(R"([\x22app\x22,1])")}});
}

// `audience` of the configuration
TEST_F(IdTokenTest, MayAlsoBeForTrustedAudiences)
{
    client.audiences = {"api", "https://api.example"};
    auto other = [](const std::string& aud) {
        return "id_token_audience: id token is for another audience, \"" + aud +
            "\"";
    };
    expect_refusals("aud",
        {{R"("app")", ""}, {R"(["app"])", ""}, {R"(["app","api"])", ""},
            {R"(["https://api.example","api","app"])", ""},
            {R"(["app","other"])",
                "id_token_audience: id token is also for an untrusted "
                "audience, \"[\\x22app\\x22,\\x22other\\x22]\""},
            {R"(["app","API"])",
                "id_token_audience: id token is also for an untrusted "
                "audience, \"[\\x22app\\x22,\\x22API\\x22]\""},
            {R"(["app",null])",
                "id_token_audience: id token is also for an untrusted "
                "audience, \"[\\x22app\\x22,null]\""},
            // never without our client_id
            {R"("api")", other(R"(\x22api\x22)")},
            {R"(["api"])", other(R"([\x22api\x22])")},
            {R"(["api","https://api.example"])",
                other(R"([\x22api\x22,\x22https://api.example\x22])")}});
    // it must still be issued to us
    EXPECT_EQ(changed_by({{"aud", R"(["app","api"])"}, {"azp", R"("api")"}}),
        "id_token_azp: id token was issued to another party, azp "
        "\"\\x22api\\x22\"");
}

// `audience *` of the configuration
TEST_F(IdTokenTest, MayAlsoBeForAllAudiencesIfIssuedToUs)
{
    client.trusts_all_audiences = true;
    auto judged = [&](const char* aud, const char* azp) {
        return changed_by({{"aud", aud}, {"azp", azp}});
    };
    constexpr auto ours = R"("app")";
    constexpr auto two = R"(["app","other"])";
    constexpr auto without_azp =
        "id_token_audience: id token is also for another audience, "
        "\"[\\x22app\\x22,\\x22other\\x22]\", without client_id as azp";

    EXPECT_EQ(judged(two, ours), "");
    EXPECT_EQ(judged(R"(["x","app","y"])", ours), "");
    EXPECT_EQ(judged(ours, ""), "");
    EXPECT_EQ(judged(R"(["app","app"])", ""), "");
    for (auto azp : {"", R"("other")", R"("")", R"(["app"])", "1"}) {
        EXPECT_EQ(judged(two, azp), without_azp) << azp;
    }
    EXPECT_EQ(judged(R"(["app",1])", ours),
        "id_token_audience: id token is also for an untrusted audience, "
        "\"[\\x22app\\x22,1]\"");
    EXPECT_EQ(judged(R"(["other"])", ours),
        "id_token_audience: id token is for another audience, "
        "\"[\\x22other\\x22]\"");
}

TEST_F(IdTokenTest, IssuedToAnotherPartyIsRefused)
{
    auto other = [](const std::string& azp) {
        return "id_token_azp: id token was issued to another party, azp \"" +
            azp + "\"";
    };
    expect_refusals("azp",
        {{R"("other")", other(R"(\x22other\x22)")},
            {R"("")", other(R"(\x22\x22)")}, {"1", other("1")},
            {R"(["app"])", other(R"([\x22app\x22])")}});
}

TEST_F(IdTokenTest, ThatExpiredIsRefused)
{
    const auto none = "id_token_expired: id token has no exp"s;
    expect_refusals("exp",
        {{"", none}, {"null", none}, {"true", none}, {"-1", none},
            {"1e300", none}, {"\"1700000300\"", none},
            {"0", "id_token_expired: id token expired 1700000000 seconds ago"},
            {date(noon - 60s),
                "id_token_expired: id token expired 60 seconds ago"}});
}

TEST_F(IdTokenTest, NotValidYetIsRefused)
{
    for (const auto& nbf : {date(noon + 61s), "\"0\""s, "1e300"s,
             "99999999999999999999"s, "-99999999999999999999"s}) {
        EXPECT_EQ(changed_by({{"nbf", nbf}}),
            "id_token_not_yet_valid: id token is not valid yet")
            << nbf;
    }
}

TEST_F(IdTokenTest, IssuedAtAnotherTimeIsRefused)
{
    const auto none = "id_token_issued_at: id token has no iat"s;
    const auto issued = "id_token_issued_at: id token was issued "s;
    expect_refusals("iat",
        {{"", none}, {"null", none}, {"-1", none}, {"\"1700000000\"", none},
            {date(noon + 61s), issued + "61 seconds in the future"},
            {date(noon - 3661s), issued + "3661 seconds ago"},
            {"0", issued + "1700000000 seconds ago"}});
}

TEST_F(IdTokenTest, WithoutTheNonceIsRefused)
{
    const auto none = "id_token_nonce: id token has no nonce"s;
    const auto other =
        "id_token_nonce: id token has the nonce of another login"s;
    expect_refusals("nonce",
        {{"", none}, {"null", none}, {"1", none},
            {R"(["n0nce-of-this-login"])", none}, {R"("")", other},
            {R"("n0nce-of-this-logi")", other},
            {R"("n0nce-of-this-login ")", other},
            {R"("N0nce-of-this-login")", other}});
}

TEST_F(IdTokenTest, OfAnotherAccessTokenIsRefused)
{
    auto whole = digest(Hash::sha512, "at-1");
    auto of_sha256 = digest(Hash::sha256, "at-1").substr(0, 16);
    for (const auto& at_hash : {R"("")"s, "1"s, R"("77QmUPtjPfzWtF2AnpK9RQ")"s,
             "\"" + base64url(whole) + "\"",
             "\"" + base64url(of_sha256) + "\""}) {
        EXPECT_EQ(changed_by({{"at_hash", at_hash}}),
            "id_token_at_hash: id token does not belong to the access token, "
            "at_hash differs")
            << at_hash;
    }
}

TEST_F(IdTokenTest, MayHaveHarmlessClaims)
{
    const Members harmless[] = {
        {{"aud", R"(["app"])"}},
        {{"aud", R"(["app","app"])"}},
        {{"azp", R"("app")"}},
        {{"sub", "\"" + std::string(255, 'a') + "\""}},
        {{"sub", R"("~ !")"}},
        {{"exp", date(noon + 300s) + ".5"}},
        {{"exp", "253402300799"}},
        {{"exp", date(noon - 59s)}},
        {{"nbf", date(noon + 60s)}},
        {{"nbf", "0"}},
        {{"iat", date(noon + 60s)}},
        {{"iat", date(noon - 3660s)}},
        {{"extra", R"({"a":[1,{"b":null}]})"}},
        {{"azp", "null"}, {"nbf", "null"}, {"at_hash", "null"},
            {"auth_time", "null"}, {"events", "null"}, {"sid", "null"}},
    };
    for (const auto& changes : harmless) {
        EXPECT_EQ(changed_by(changes), "") << object(changes);
    }
}

TEST_F(IdTokenTest, IsCheckedWithTheClockSkew)
{
    client.clock_skew = 0s;
    late = 299s;
    EXPECT_EQ(changed_by({}), "");
    late = 300s;
    EXPECT_EQ(
        changed_by({}), "id_token_expired: id token expired 0 seconds ago");
    client.clock_skew = 10s;
    late = 309s;
    EXPECT_EQ(changed_by({}), "");
    late = 310s;
    EXPECT_EQ(
        changed_by({}), "id_token_expired: id token expired 10 seconds ago");
}

// OpenID Connect Core, 3.1.3.8: by the hash of the signature's algorithm.
TEST_F(IdTokenTest, HasTheAtHashOfItsAlgorithm)
{
    client.id_token_algs.push_back("HS256");
    const auto secret =
        Signer::secret(std::string(client.client_secret.reveal()));
    const struct {
        const char* alg;
        const Signer& signer;
        Hash hash;
    } cases[] = {
        {"EdDSA", Signer::ed25519(), Hash::sha512},
        {"RS256", Signer::rsa(), Hash::sha256},
        {"PS512", Signer::rsa(), Hash::sha512},
        {"ES384", Signer::ec("P-384"), Hash::sha384},
        {"HS256", secret, Hash::sha256},
    };
    for (const auto& [alg, signer, hash] : cases) {
        auto sum = digest(hash, "at-1");
        auto half = base64url(sum.substr(0, sum.size() / 2));
        auto claims =
            object(changed(good_claims(), {{"at_hash", "\"" + half + "\""}}));
        EXPECT_EQ(complaint(verify(signer.sign(alg, claims))), "") << alg;
    }
}

TEST_F(IdTokenTest, HasClaimsOfOneJsonObject)
{
    auto refused = [&](std::string_view payload) {
        return complaint(verify(Signer::ed25519().sign("EdDSA", payload)));
    };
    EXPECT_EQ(refused(""),
        "id_token_malformed: id token has malformed JSON in its claims");
    EXPECT_EQ(refused("[]"),
        "id_token_malformed: id token has JSON other than an object in its "
        "claims");
    EXPECT_EQ(refused(R"({"sub":"a","sub":"b"})"),
        "id_token_malformed: id token has JSON with a duplicate member in its "
        "claims");
    EXPECT_EQ(refused("{\"a\":" + std::string(100'000, '{')),
        "id_token_malformed: id token has JSON nested too deeply in its "
        "claims");
}

// The signature is verified before any claim is read.
TEST_F(IdTokenTest, OfAnotherSignerIsRefusedBeforeItsClaims)
{
    EXPECT_EQ(complaint(verify(Signer::other_rsa().sign("RS256", "{"))),
        "id_token_signature: id token has a bad signature");
    EXPECT_EQ(complaint(verify(Signer::ec("P-256").sign("ES256", "{"))),
        "id_token_key: id token is signed with ES256, for which the key set "
        "has no key");
}

TEST_F(IdTokenTest, IsSignedWithAListedAlgorithm)
{
    auto claims = object(good_claims());
    auto hs256 = Signer::secret(std::string(client.client_secret.reveal()))
                     .sign("HS256", claims);
    EXPECT_EQ(complaint(verify(hs256)),
        "id_token_alg: id token is signed with \"HS256\", which id_token_alg "
        "does not list");
    client.id_token_algs = {"HS256"};
    EXPECT_EQ(complaint(verify(hs256)), "");
    EXPECT_EQ(complaint(verify(Signer::rsa().sign("RS256", claims))),
        "id_token_alg: id token is signed with \"RS256\", which id_token_alg "
        "does not list");
    client.client_secret = Secret(std::string(31, 's'));
    EXPECT_EQ(complaint(verify(hs256)),
        "id_token_key: id token is signed with a client_secret shorter than 32 "
        "bytes");
}

// Core, 12.2
TEST_F(IdTokenTest, OfARefreshNeedsNoNonce)
{
    for (auto nonce : {"", "null", R"("of the login")"}) {
        auto compact = Signer::ed25519().sign(
            "EdDSA", object(changed(good_claims(), {{"nonce", nonce}})));
        EXPECT_EQ(complaint(IdToken::verify_refresh(
                      compact, {client, keys, "user-1", "at-1", noon})),
            "");
    }
}

// Core, 12.2
TEST_F(IdTokenTest, OfARefreshHasTheSubjectOfTheSession)
{
    auto compact = Signer::ed25519().sign("EdDSA", object(good_claims()));
    for (auto subject : {"", "user-2", "User-1", "user-1 "}) {
        EXPECT_EQ(complaint(IdToken::verify_refresh(
                      compact, {client, keys, subject, "at-1", noon})),
            "id_token_subject: id token has a different sub than the session")
            << subject;
    }
}

// The other rules are those of a login, in the same order.
TEST_F(IdTokenTest, OfARefreshIsCheckedLikeThatOfALogin)
{
    const std::pair<Members, std::string> cases[] = {
        {{{"iss", R"("other")"}, {"aud", R"("other")"}}, "id_token_issuer"},
        {{{"aud", R"("other")"}, {"exp", "0"}}, "id_token_audience"},
        {{{"exp", "0"}, {"nbf", "\"\""}}, "id_token_expired"},
        {{{"nbf", "\"\""}, {"iat", "0"}}, "id_token_not_yet_valid"},
        {{{"iat", "0"}, {"sub", ""}}, "id_token_issued_at"},
        {{{"sub", ""}, {"azp", R"("other")"}}, "id_token_subject"},
        {{{"azp", R"("other")"}, {"at_hash", R"("x")"}}, "id_token_azp"},
        {{{"at_hash", R"("x")"}, {"sub", R"("user-2")"}}, "id_token_at_hash"},
    };
    for (const auto& [changes, code] : cases) {
        auto compact = Signer::ed25519().sign(
            "EdDSA", object(changed(good_claims(), changes)));
        for (const auto& why : {complaint(verify(compact)),
                 complaint(IdToken::verify_refresh(
                     compact, {client, keys, "user-1", "at-1", noon}))}) {
            EXPECT_EQ(why.substr(0, why.find(':')), code);
        }
    }
}

// RFC 7519, 5.1: only the type of a logout token is refused.
TEST_F(IdTokenTest, MayHaveATypeOfItsProvider)
{
    for (auto typ : {R"("JWT")", R"("jwt")", R"("ID")", "null", "7"}) {
        EXPECT_EQ(complaint(verify(Signer::ed25519().sign(
                      "EdDSA", object(good_claims()), "\"typ\":"s + typ))),
            "")
            << typ;
    }
}

TEST_F(IdTokenTest, OfFiveOrNoPartsIsMalformed)
{
    for (auto text : {"", "a.b", "a.b.c.d.e"}) {
        EXPECT_EQ(complaint(verify(text)),
            "id_token_malformed: id token is not a JWS of three parts");
    }
}

// OpenID Connect Core, appendix A: the key of A.7, the responses of A.2 and A.3
// with their nonce and access token.
class CoreExample : public testing::Test {
public:
    CoreExample()
    {
        client.issuer = "http://server.example.com";
        client.client_id = "s6BhdRkqt3";
    }

    Result<IdToken> verify(std::string_view token, std::string_view access)
    {
        return IdToken::verify_login(token,
            {client, keys, "n-0S6_WzA2Mj", access, from_seconds(1311280971)});
    }

    Client client = example_client();
    KeySet keys = keys_of(key_set(
        {R"({"kty":"RSA","kid":"1e9gdk7",)"
         R"("e":"AQAB","n":")"
         "w7Zdfmece8iaB0kiTY8pCtiBtzbptJmP28nSWwtdjRu0f2GFpajvWE4VhfJAjEsO"
         "cwYzay7XGN0b-X84BfC8hmCTOj2b2eHT7NsZegFPKRUQzJ9wW8ipn_aDJWMGDuB1"
         "XyqT1E7DYqjUCEOD1b4FLpy_xPn6oV_TYOfQ9fZdbE5HGxJUzekuGcOKqOQ8M7wf"
         "YHhHHLxGpQVgL0apWuP2gDDOdTtpuld4D2LK1MZK99s9gaSjRHE8JDb1Z4IGhEcE"
         "yzkxswVdPndUWzfvWBBWXWxtSUvQGBRkuy1BHOa4sP6FKjWEeeF7gm7UMs2Nm2QU"
         "gNZw6xvEDGaLk4KASdIxRQ\"}"}));
};

TEST_F(CoreExample, A2)
{
    auto token = verify(
        "eyJraWQiOiIxZTlnZGs3IiwiYWxnIjoiUlMyNTYifQ."
        "ewogImlzcyI6ICJodHRwOi8vc2VydmVyLmV4YW1wbGUuY29tIiwKICJzdWIiOiAi"
        "MjQ4Mjg5NzYxMDAxIiwKICJhdWQiOiAiczZCaGRSa3F0MyIsCiAibm9uY2UiOiAi"
        "bi0wUzZfV3pBMk1qIiwKICJleHAiOiAxMzExMjgxOTcwLAogImlhdCI6IDEzMTEy"
        "ODA5NzAsCiAibmFtZSI6ICJKYW5lIERvZSIsCiAiZ2l2ZW5fbmFtZSI6ICJKYW5l"
        "IiwKICJmYW1pbHlfbmFtZSI6ICJEb2UiLAogImdlbmRlciI6ICJmZW1hbGUiLAog"
        "ImJpcnRoZGF0ZSI6ICIwMDAwLTEwLTMxIiwKICJlbWFpbCI6ICJqYW5lZG9lQGV4"
        "YW1wbGUuY29tIiwKICJwaWN0dXJlIjogImh0dHA6Ly9leGFtcGxlLmNvbS9qYW5l"
        "ZG9lL21lLmpwZyIKfQ."
        "rHQjEmBqn9Jre0OLykYNnspA10Qql2rvx4FsD00jwlB0Sym4NzpgvPKsDjn_wMkH"
        "xcp6CilPcoKrWHcipR2iAjzLvDNAReF97zoJqq880ZD1bwY82JDauCXELVR9O6_B"
        "0w3K-E7yM2macAAgNCUwtik6SjoSUZRcf-O5lygIyLENx882p6MtmwaL1hd6qn5R"
        "ZOQ0TLrOYu0532g9Exxcm-ChymrB4xLykpDj3lUivJt63eEGGN6DH5K6o33TcxkI"
        "jNrCD4XB1CKKumZvCedgHHF3IAK4dVEDSUoGlH9z4pP_eWYNXvqQOjGs-rDaQzUH"
        "l6cQQWNiDpWOl_lxXjQEvQ",
        "any");
    ASSERT_EQ(complaint(token), "");
    EXPECT_EQ(token->claims()["email"].string(), "janedoe@example.com");
}

TEST_F(CoreExample, A3WithItsAtHash)
{
    constexpr auto example =
        "eyJraWQiOiIxZTlnZGs3IiwiYWxnIjoiUlMyNTYifQ."
        "ewogImlzcyI6ICJodHRwOi8vc2VydmVyLmV4YW1wbGUuY29tIiwKICJzdWIiOiAi"
        "MjQ4Mjg5NzYxMDAxIiwKICJhdWQiOiAiczZCaGRSa3F0MyIsCiAibm9uY2UiOiAi"
        "bi0wUzZfV3pBMk1qIiwKICJleHAiOiAxMzExMjgxOTcwLAogImlhdCI6IDEzMTEy"
        "ODA5NzAsCiAiYXRfaGFzaCI6ICI3N1FtVVB0alBmeld0RjJBbnBLOVJRIgp9."
        "F9gRev0Dt2tKcrBkHy72cmRqnLdzw9FLCCSebV7mWs7o_sv2O5s6zMky2kmhHTVx"
        "9HmdvNnx9GaZ8XMYRFeYk8L5NZ7aYlA5W56nsG1iWOou_-gji0ibWIuuf4Owaho3"
        "YSoi7EvsTuLFz6tq-dLyz0dKABMDsiCmJ5wqkPUDTE3QTXjzbUmOzUDli-gCh5QP"
        "uZAq0cNW3pf_2n4zpvTYtbmj12cVcxGIMZby7TMWESRjQ9_o3jvhVNcCGcE0KAQX"
        "ejhA1ocJhNEvQNqMFGlBb6_0RxxKjDZ-Oa329eGDidOvvp0h5hoES4a8IuGKS7NO"
        "cpp-aFwp0qVMDLI-Xnm-Pg";
    constexpr auto access = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    auto token = verify(example, access);
    ASSERT_EQ(complaint(token), "");
    EXPECT_EQ(token->claims()["at_hash"].string(), "77QmUPtjPfzWtF2AnpK9RQ");
    EXPECT_EQ(complaint(verify(example, "another access token")),
        "id_token_at_hash: id token does not belong to the access token, "
        "at_hash differs");
}

class EncryptedIdToken : public IdTokenTest {
public:
    std::string for_us(const std::string& plain)
    {
        return encrypted("RSA-OAEP", Signer::rsa().jwk(), plain);
    }

    // OpenID Connect Core, 10.2
    std::string by_secret(const std::string& plain)
    {
        auto bytes = digest(Hash::sha256, client.client_secret.reveal());
        return encrypted(
            "dir", R"({"kty":"oct","k":")" + base64url(bytes) + "\"}", plain);
    }

    std::string signed_token =
        Signer::ed25519().sign("EdDSA", object(good_claims()));
};

TEST_F(EncryptedIdToken, IsOpenedByAKeyThatFits)
{
    client.key = key_of(Signer::rsa());
    auto token = verify(for_us(signed_token));
    ASSERT_EQ(complaint(token), "");
    EXPECT_EQ(token->subject(), "user-1");
    EXPECT_EQ(token->compact(), signed_token); // what id_token_hint takes
    EXPECT_EQ(complaint(verify(signed_token)), "");

    client.key = key_of(Signer::ec("P-256"));
    EXPECT_EQ(complaint(verify(encrypted(
                  "ECDH-ES", Signer::ec("P-256").jwk(), signed_token))),
        "");
    EXPECT_EQ(complaint(verify(signed_token)), "");
}

TEST_F(EncryptedIdToken, IsMalformedForAClientWithoutSuchAKey)
{
    constexpr auto malformed =
        "id_token_malformed: id token is not a JWS of three parts";
    EXPECT_EQ(complaint(verify(for_us(signed_token))), malformed);
    EXPECT_EQ(complaint(verify(by_secret(signed_token))), malformed);
    client.key = key_of(Signer::ed25519());
    EXPECT_EQ(complaint(verify(for_us(signed_token))), malformed);
}

TEST_F(EncryptedIdToken, IsRequiredIfConfigured)
{
    client.key = key_of(Signer::rsa());
    client.id_token_encrypted_algs = {"RSA-OAEP"};
    EXPECT_EQ(complaint(verify(for_us(signed_token))), "");
    for (const auto& plain :
        {signed_token, ""s, "a.b.c"s, "a.b.c.d"s, "a.b.c.d.e.f"s, "null"s}) {
        EXPECT_EQ(complaint(verify(plain)),
            "id_token_encryption: id token is not encrypted, although "
            "id_token_encrypted_alg requires it");
    }
}

TEST_F(EncryptedIdToken, HasAListedAlgorithm)
{
    client.key = key_of(Signer::rsa());
    EXPECT_EQ(complaint(verify(by_secret(signed_token))),
        "id_token_encryption: id token is encrypted with \"dir\", which "
        "id_token_encrypted_alg does not list");
    client.id_token_encrypted_algs = {"dir"};
    EXPECT_EQ(complaint(verify(by_secret(signed_token))), "");
    EXPECT_EQ(complaint(verify(for_us(signed_token))),
        "id_token_encryption: id token is encrypted with \"RSA-OAEP\", which "
        "id_token_encrypted_alg does not list");
    client.id_token_encrypted_algs = {"dir", "RSA-OAEP"};
    EXPECT_EQ(complaint(verify(by_secret(signed_token))), "");
    EXPECT_EQ(complaint(verify(for_us(signed_token))), "");
}

TEST_F(EncryptedIdToken, ForAnotherKeyIsRefused)
{
    client.key = key_of(Signer::rsa());
    auto theirs =
        encrypted("RSA-OAEP", Signer::other_rsa().jwk(), signed_token);
    EXPECT_EQ(complaint(verify(theirs)),
        "id_token_encryption: id token cannot be decrypted");

    client.id_token_encrypted_algs = {"dir"};
    auto compact = by_secret(signed_token);
    client.client_secret = Secret(std::string(40, 'x'));
    EXPECT_EQ(complaint(verify(compact)),
        "id_token_encryption: id token cannot be decrypted");
}

// Encryption does not authenticate the sender: the key is public.
TEST_F(EncryptedIdToken, IsSignedInside)
{
    client.key = key_of(Signer::rsa());
    auto claims = object(good_claims());
    const std::pair<std::string, std::string> cases[] = {
        {claims, "id_token_malformed: id token is not base64url"},
        {"{}", "id_token_malformed: id token is not a JWS of three parts"},
        {Signer::ed25519().sign_parts("EdDSA", R"({"alg":"none"})", claims),
            "id_token_alg: id token is signed with \"none\", which "
            "id_token_alg does not list"},
        {Signer::other_rsa().sign("RS256", claims),
            "id_token_signature: id token has a bad signature"},
        {Signer::ed25519().sign("EdDSA",
             object(changed(good_claims(), {{"nonce", R"("other")"}}))),
            "id_token_nonce: id token has the nonce of another login"},
        // encrypted twice
        {for_us(signed_token),
            "id_token_malformed: id token is not a JWS of three parts"},
    };
    for (const auto& [plain, why] : cases) {
        EXPECT_EQ(complaint(verify(for_us(plain))), why) << plain;
    }
}

}
}
