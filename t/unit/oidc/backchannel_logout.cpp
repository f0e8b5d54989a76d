#include "oidc/backchannel_logout.h"

#include "core/encoding.h"
#include "oidc/id_token.h"
#include "support/encrypted.h"
#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

constexpr auto event =
    R"({"http://schemas.openid.net/event/backchannel-logout":{}})";

Members good_claims()
{
    return {{"iss", R"("https://op.example")"}, {"aud", R"("app")"},
        {"iat", date(noon)}, {"exp", date(noon + 120s)}, {"jti", R"("bWJq")"},
        {"sub", R"("user-1")"}, {"sid", R"("08a5019c")"}, {"events", event}};
}

class LogoutTokenTest : public testing::Test {
public:
    Result<LogoutToken> verify(const std::string& compact)
    {
        return LogoutToken::verify(compact, {client, keys, noon});
    }

    // The complaint about a token whose claims differ only in this.
    std::string changed_by(const Members& changes)
    {
        return complaint(verify(Signer::ed25519().sign(
            "EdDSA", object(changed(good_claims(), changes)))));
    }

    // The complaint about a good token with these members in its header.
    std::string with_header(const std::string& members)
    {
        return complaint(verify(
            Signer::ed25519().sign("EdDSA", object(good_claims()), members)));
    }

    // Values of a claim, empty for none, and the complaints about them.
    void expect_refusals(const char* claim,
        const std::vector<std::pair<std::string, std::string>>& cases)
    {
        for (const auto& [value, why] : cases) {
            EXPECT_EQ(changed_by({{claim, value}}), why) << value;
        }
    }

    Client client = example_client();
    KeySet keys =
        *KeySet::parse(key_set({Signer::ed25519().jwk(), Signer::rsa().jwk()}));
};

TEST_F(LogoutTokenTest, ThatIsGoodSaysWhoseSessionEnds)
{
    auto token = verify(Signer::ed25519().sign(
        "EdDSA", object(good_claims()), R"("typ":"logout+jwt")"));
    ASSERT_EQ(complaint(token), "");
    EXPECT_EQ(token->sid(), "08a5019c");
    EXPECT_EQ(token->sub(), "user-1");
    EXPECT_EQ(token->jti(), "bWJq");
    EXPECT_EQ(token->expires(), noon + 120s);
}

// Back-Channel Logout, 2.4
TEST_F(LogoutTokenTest, HasASubOrASid)
{
    auto only = [&](const char* other) {
        return verify(Signer::ed25519().sign(
            "EdDSA", object(changed(good_claims(), {{other, ""}}))));
    };
    auto by_sid = only("sub");
    ASSERT_EQ(complaint(by_sid), "");
    EXPECT_EQ(by_sid->sid(), "08a5019c");
    EXPECT_EQ(by_sid->sub(), std::nullopt);

    auto by_sub = only("sid");
    ASSERT_EQ(complaint(by_sub), "");
    EXPECT_EQ(by_sub->sid(), std::nullopt);
    EXPECT_EQ(by_sub->sub(), "user-1");

    for (auto none : {"", "null"}) {
        EXPECT_EQ(changed_by({{"sid", none}, {"sub", none}}),
            "logout_token_subject: logout token has neither sub nor sid");
        EXPECT_EQ(changed_by({{"sid", none}}), "");
        EXPECT_EQ(changed_by({{"sub", none}}), "");
    }
}

const std::vector<std::string> no_identifiers = {"7", R"("")", "{}",
    R"(["user-1"])", "\"" + std::string(256, 'a') + "\"", R"("a\nb")",
    R"("a\u007f")", R"("\u00e9")"};

TEST_F(LogoutTokenTest, WithAnInvalidSubOrSidIsRefused)
{
    for (const auto& value : no_identifiers) {
        for (auto claim : {"sub", "sid"}) {
            EXPECT_EQ(changed_by({{claim, value}}),
                "logout_token_subject: logout token has a sub or sid that is "
                "not 1 to 255 ASCII characters")
                << claim << value;
        }
    }
}

TEST_F(LogoutTokenTest, WithoutAValidJtiIsRefused)
{
    auto values = no_identifiers;
    values.emplace_back(); // none at all
    values.emplace_back("null");
    for (const auto& value : values) {
        EXPECT_EQ(changed_by({{"jti", value}}),
            "logout_token_jti: logout token has no jti of 1 to 255 ASCII "
            "characters")
            << value;
    }
}

// Back-Channel Logout, 2.4: the member's value is an object, by custom {}.
TEST_F(LogoutTokenTest, WithoutTheEventIsRefused)
{
    const auto member =
        R"("http://schemas.openid.net/event/backchannel-logout")"s;
    const auto other =
        R"("http://schemas.openid.net/event/frontchannel-logout":{})"s;
    for (const auto& events :
        {""s, "null"s, "{}"s, "[]"s, "1"s, member, "[" + member + "]",
            "[" + std::string(event) + "]", "{" + other + "}",
            "{" + member + ":null}", "{" + member + ":[]}",
            "{" + member + ":true}", "{" + member + R"(:"{}"})",
            R"({"HTTP://schemas.openid.net/event/backchannel-logout":{}})"s,
            R"({"http://schemas.openid.net/event/backchannel-logout/":{}})"s,
            R"({"https://schemas.openid.net/event/backchannel-logout":{}})"s}) {
        EXPECT_EQ(changed_by({{"events", events}}),
            "logout_token_events: logout token has no back-channel logout "
            "event")
            << events;
    }
    for (const auto& events : {"{" + member + R"(:{"a":[1]}})",
             "{" + other + "," + member + ":{}}"}) {
        EXPECT_EQ(changed_by({{"events", events}}), "") << events;
    }
}

// Back-Channel Logout, 2.6, 6
TEST_F(LogoutTokenTest, WithANonceIsRefused)
{
    for (auto nonce : {R"("n0nce")", R"("")", "1", "[]"}) {
        EXPECT_EQ(changed_by({{"nonce", nonce}}),
            "logout_token_nonce: logout token has a nonce")
            << nonce;
    }
    EXPECT_EQ(changed_by({{"nonce", "null"}}), "");
}

// Back-Channel Logout, 2.4; RFC 7515, 4.1.9
TEST_F(LogoutTokenTest, HasItsTypeOrNone)
{
    for (auto typ : {"logout+jwt", "LOGOUT+JWT", "application/logout+jwt",
             "Application/Logout+Jwt", "JWT", "jwt", "application/jwt"}) {
        EXPECT_EQ(with_header(R"("typ":")"s + typ + "\""), "") << typ;
    }
    EXPECT_EQ(with_header(R"("typ":null)"), "");
    const std::pair<std::string, std::string> others[] = {
        {R"("")", ""},
        {R"("at+jwt")", "at+jwt"},
        {R"("application/at+jwt")", "at+jwt"},
        {R"("dpop+jwt")", "dpop+jwt"},
        {R"("JOSE")", "jose"},
        {R"("logout")", "logout"},
        {R"("logout+jwt ")", "logout+jwt "},
        {R"("logout+jwt\n")", "logout+jwt\\x0A"},
        {R"("text/logout+jwt")", "text/logout+jwt"},
        {"\"logout+jwt" + std::string(100, 't') + "\"",
            "logout+jwt" + std::string(54, 't')},
        {"7", "7"},
        {R"(["logout+jwt"])", R"([\x22logout+jwt\x22])"},
    };
    for (const auto& [typ, name] : others) {
        EXPECT_EQ(with_header("\"typ\":" + typ),
            "logout_token_type: logout token has a wrong type \"" + name +
                "\"");
    }
}

TEST_F(LogoutTokenTest, OfAnotherIssuerIsRefused)
{
    auto wrong = [](const std::string& iss) {
        return "logout_token_issuer: logout token has a wrong issuer \"" + iss +
            "\"";
    };
    expect_refusals("iss",
        {{"", wrong("")}, {"null", wrong("")},
            {R"(["https://op.example"])", wrong("")},
            {R"("https://op.example/")", wrong("https://op.example/")},
            {R"("https://evil")", wrong("https://evil")}});
}

TEST_F(LogoutTokenTest, ForAnotherAudienceIsRefused)
{
    const auto other =
        "logout_token_audience: logout token is for another audience, "s;
    const auto further =
        "logout_token_audience: logout token is also for an untrusted audience, "s;
    expect_refusals("aud",
        {{"", other + "\"\""}, {"null", other + "\"\""},
            {"[]", other + "\"[]\""},
            {R"("other")", other + R"("\x22other\x22")"},
            {R"(["other"])", other + R"("[\x22other\x22]")"},
            {R"(["app","other"])",
                further + R"("[\x22app\x22,\x22other\x22]")"},
            {R"(["app"])", ""}});
    client.audiences = {"other"};
    EXPECT_EQ(changed_by({{"aud", R"(["app","other"])"}}), "");
}

TEST_F(LogoutTokenTest, ThatExpiredIsRefused)
{
    const auto none = "logout_token_expired: logout token has no exp"s;
    const auto late = "logout_token_expired: logout token expired "s;
    expect_refusals("exp",
        {{"\"1700000300\"", none}, {"-1", none}, {"{}", none},
            {"0", late + "1700000000 seconds ago"},
            {date(noon - 60s), late + "60 seconds ago"},
            {date(noon - 59s), ""}});
}

// Drafts of Back-Channel Logout, 2.4
TEST_F(LogoutTokenTest, WithoutExpIsAcceptedForFiveMinutes)
{
    auto issued = [&](const std::string& iat) {
        return verify(Signer::ed25519().sign("EdDSA",
            object(changed(good_claims(), {{"exp", ""}, {"iat", iat}}))));
    };
    for (auto iat : {noon - 360s, noon - 300s, noon, noon + 60s}) {
        auto token = issued(date(iat));
        ASSERT_EQ(complaint(token), "") << date(iat);
        // remembered until it is accepted no longer
        EXPECT_EQ(token->expires(), iat + 301s);
        EXPECT_GT(token->expires() + client.clock_skew, noon);
    }
    EXPECT_EQ(complaint(issued(date(noon - 361s))),
        "logout_token_expired: logout token without exp was issued 361 seconds "
        "ago");
    EXPECT_EQ(complaint(issued(date(noon + 61s))),
        "logout_token_issued_at: logout token was issued 61 seconds in the "
        "future");
    EXPECT_EQ(complaint(issued("")),
        "logout_token_issued_at: logout token has no iat");
}

TEST_F(LogoutTokenTest, NotValidYetIsRefused)
{
    const auto early =
        "logout_token_not_yet_valid: logout token is not valid yet"s;
    expect_refusals("nbf",
        {{"\"0\"", early}, {date(noon + 61s), early}, {date(noon + 60s), ""},
            {"null", ""}});
}

TEST_F(LogoutTokenTest, IssuedAtAnotherTimeIsRefused)
{
    const auto none = "logout_token_issued_at: logout token has no iat"s;
    const auto issued = "logout_token_issued_at: logout token was issued "s;
    expect_refusals("iat",
        {{"", none}, {"null", none}, {"\"1700000000\"", none},
            {date(noon + 61s), issued + "61 seconds in the future"},
            {date(noon + 60s), ""},
            {date(noon - 3661s), issued + "3661 seconds ago"},
            {date(noon - 3660s), ""}});
}

TEST_F(LogoutTokenTest, IsOneJsonObject)
{
    const std::pair<std::string, std::string> cases[] = {
        {"", "malformed JSON"},
        {"[]", "JSON other than an object"},
        {R"({"jti":"a","jti":"b"})", "JSON with a duplicate member"},
        {"{\"a\":" + std::string(100'000, '['), "JSON nested too deeply"},
    };
    for (const auto& [payload, what] : cases) {
        EXPECT_EQ(complaint(verify(Signer::ed25519().sign("EdDSA", payload))),
            "logout_token_malformed: logout token has " + what +
                " in its claims");
    }
}

// The signature is verified before any claim is read.
TEST_F(LogoutTokenTest, OfAnotherSignerIsRefusedBeforeItsClaims)
{
    const auto& ours = Signer::ed25519();
    const std::pair<std::string, std::string> cases[] = {
        {"", "malformed: logout token is not a JWS of three parts"},
        {"a.b.c.d.e", "malformed: logout token is not a JWS of three parts"},
        {ours.sign("EdDSA", "{") + "\n",
            "malformed: logout token is not base64url"},
        {ours.sign_parts("EdDSA", "{}", "{"),
            "malformed: logout token has no alg"},
        {ours.sign("EdDSA", "{", R"("kid":1)"),
            "malformed: logout token has a kid that is not a string of at most "
            "1024 bytes"},
        {ours.sign_parts("EdDSA", R"({"alg":"none"})", "{"),
            "alg: logout token is signed with \"none\", which id_token_alg "
            "does not list"},
        {Signer::secret("a secret of more than 32 bytes, see")
                .sign("HS256", "{"),
            "alg: logout token is signed with \"HS256\", which id_token_alg "
            "does not list"},
        {ours.sign("EdDSA", "{", R"("crit":["exp"])"),
            "crit: logout token has a critical extension"},
        {ours.sign("EdDSA", "{", R"("kid":"x")"),
            "key: logout token names an unknown key \"x\""},
        {Signer::ec("P-256").sign("ES256", "{"),
            "key: logout token is signed with ES256, for which the key set has "
            "no key"},
        {Signer::other_rsa().sign("RS256", "{"),
            "signature: logout token has a bad signature"},
    };
    for (const auto& [compact, why] : cases) {
        EXPECT_EQ(complaint(verify(compact)), "logout_token_" + why) << compact;
    }
}

TEST_F(LogoutTokenTest, IsSignedWithAListedAlgorithm)
{
    client.id_token_algs = {"HS256"};
    EXPECT_EQ(with_header(""),
        "logout_token_alg: logout token is signed with \"EdDSA\", which "
        "id_token_alg does not list");
    auto by_secret = Signer::secret(std::string(client.client_secret.reveal()))
                         .sign("HS256", object(good_claims()));
    EXPECT_EQ(complaint(verify(by_secret)), "");
}

// Back-Channel Logout, 2.4: by the keys and algorithms of ID tokens.
TEST_F(LogoutTokenTest, MayBeEncryptedAsIdTokensAre)
{
    auto signed_token = Signer::ed25519().sign("EdDSA", object(good_claims()));
    auto for_us = encrypted("RSA-OAEP", Signer::rsa().jwk(), signed_token);
    EXPECT_EQ(complaint(verify(for_us)),
        "logout_token_malformed: logout token is not a JWS of three parts");

    client.key = key_of(Signer::rsa());
    auto token = verify(for_us);
    ASSERT_EQ(complaint(token), "");
    EXPECT_EQ(token->jti(), "bWJq");
    EXPECT_EQ(complaint(verify(signed_token)), "");

    client.id_token_encrypted_algs = {"RSA-OAEP"};
    EXPECT_EQ(complaint(verify(for_us)), "");
    EXPECT_EQ(complaint(verify(signed_token)),
        "logout_token_encryption: logout token is not encrypted, although "
        "id_token_encrypted_alg requires it");
    EXPECT_EQ(complaint(verify(encrypted(
                  "RSA-OAEP", Signer::other_rsa().jwk(), signed_token))),
        "logout_token_encryption: logout token cannot be decrypted");
}

TEST_F(LogoutTokenTest, IsRememberedForAsLongAsItIsAccepted)
{
    constexpr auto year_9999 = from_seconds(253402300799);
    auto expires = [&](Time iat, Time exp) {
        auto token = verify(Signer::ed25519().sign("EdDSA",
            object(changed(
                good_claims(), {{"iat", date(iat)}, {"exp", date(exp)}}))));
        EXPECT_EQ(complaint(token), "");
        return token->expires();
    };
    EXPECT_EQ(expires(noon, noon + 3600s), noon + 3600s);
    EXPECT_EQ(expires(noon, year_9999), noon + 3601s);
    EXPECT_EQ(expires(noon - 3000s, noon + 3600s), noon + 601s);
    // at the last second at which it is accepted
    EXPECT_GT(expires(noon - 3660s, year_9999) + client.clock_skew, noon);
    EXPECT_GT(expires(noon - 90s, noon - 59s) + client.clock_skew, noon);
}

// Same signer, same client: neither is accepted as the other, even at a
// refresh, which requires no nonce.
TEST_F(LogoutTokenTest, IsNoIdTokenNorIsAnIdTokenOne)
{
    auto verify_id_token = [&](const std::string& compact) {
        return complaint(IdToken::verify_refresh(
            compact, {client, keys, "user-1", "", noon}));
    };
    constexpr auto refused = "id_token_malformed: id token is a logout token";
    const auto& signer = Signer::ed25519();
    auto unmarked = object(changed(good_claims(), {{"events", ""}}));
    for (auto typ :
        {R"("typ":"logout+jwt")", R"("typ":"application/LOGOUT+JWT")"}) {
        EXPECT_EQ(
            verify_id_token(signer.sign("EdDSA", unmarked, typ)), refused);
    }
    for (auto typ : {"", R"("typ":"JWT")"}) {
        EXPECT_EQ(
            verify_id_token(signer.sign("EdDSA", object(good_claims()), typ)),
            refused);
        EXPECT_EQ(verify_id_token(signer.sign("EdDSA", unmarked, typ)), "");
        EXPECT_EQ(complaint(verify(signer.sign("EdDSA", unmarked, typ))),
            "logout_token_events: logout token has no back-channel logout "
            "event");
    }
}

// Unverified, to choose among the providers of one path.
TEST_F(LogoutTokenTest, NamesItsIssuer)
{
    auto names = [](std::string_view compact) {
        return LogoutToken::names_issuer(compact, "https://op.example");
    };
    const auto& theirs = Signer::other_rsa();
    EXPECT_TRUE(names(theirs.sign("RS256", object(good_claims()))));
    for (const auto& iss : {""s, R"("https://op.example/")"s,
             R"(["https://op.example"])"s, "null"s}) {
        EXPECT_FALSE(names(theirs.sign(
            "RS256", object(changed(good_claims(), {{"iss", iss}})))));
    }
    auto part = base64url(object(good_claims()));
    EXPECT_FALSE(names(part));
    EXPECT_FALSE(names(part + ".a.b"));
    EXPECT_TRUE(names("a." + part + ".b"));
    for (auto text : {"", ".", "..", "....", "a.b.c", "a.!.c"}) {
        EXPECT_FALSE(names(text)) << text;
    }
    // Back-Channel Logout, 2.4: in the header of an encrypted token
    EXPECT_TRUE(names(part + ".a.b.c.d"));
    EXPECT_FALSE(names("a." + part + ".b.c.d"));
}

// Back-Channel Logout, 2.5
TEST(BackChannelLogout, IsAFormWithALogoutToken)
{
    for (auto form : {"logout_token=a.b.c", "x=y&logout_token=a.b.c&z"}) {
        auto token = parse_back_channel(form);
        ASSERT_EQ(complaint(token), "") << form;
        EXPECT_EQ(*token, "a.b.c");
    }
    const std::pair<std::string, std::string> cases[] = {
        {"", "no logout_token"},
        {"Logout_token=a", "no logout_token"},
        {R"({"logout_token":"a"})", "no logout_token"},
        {"logout_token=a&logout_token=a", "parameter logout_token twice"},
        {"logout_token=" + std::string(64 * 1024 + 1, 'a'),
            "parameter logout_token longer than 65536 bytes"},
        {"logout_token=%4", "a parameter that is not form-urlencoded"},
    };
    for (const auto& [form, what] : cases) {
        EXPECT_EQ(complaint(parse_back_channel(form)),
            "logout_malformed: client sent " + what);
    }
    EXPECT_TRUE(
        parse_back_channel("logout_token=" + std::string(64 * 1024, 'a')));
}

}
}
