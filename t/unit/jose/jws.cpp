#include "jose/jws.h"

#include "core/encoding.h"
#include "support/complaint.h"
#include "support/signer.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

const std::vector<std::string> every_alg{"RS256", "RS384", "RS512", "PS256",
    "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384",
    "HS512"};

constexpr TokenKind kind{"id token", Errc::id_token_malformed,
    Errc::id_token_alg, Errc::id_token_crit, Errc::id_token_key,
    Errc::id_token_signature};

KeySet keys_of(const std::string& json)
{
    std::string why;
    auto set = KeySet::parse(json, why);
    EXPECT_TRUE(set) << why;
    return std::move(*set);
}

// The payload, or the complaint.
std::string verified(std::string_view token, const KeySet& keys,
    std::string_view secret = "",
    const std::vector<std::string>& allowed = every_alg)
{
    auto jws = Jws::parse(kind, token, allowed);
    if (!jws) {
        return complaint(jws);
    }
    auto payload = jws->verify(keys, secret);
    return payload ? *payload : complaint(payload);
}

constexpr auto bad_signature =
    "id_token_signature: id token has a bad signature";

constexpr auto rfc7515_payload =
    "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n "
    "\"http://example.com/is_root\":true}";

const auto some_key = [] { return keys_of(key_set({Signer::rsa().jwk()})); };

// RFC 7515, A.1
TEST(Rfc7515, HmacExample)
{
    constexpr auto token =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    auto secret = base64url_decode(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75"
        "aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
                      .value();
    EXPECT_EQ(verified(token, some_key(), secret), rfc7515_payload);
    EXPECT_EQ(verified(token, some_key(), secret + "x"), bad_signature);
}

// RFC 7515, A.2
TEST(Rfc7515, RsaExample)
{
    constexpr auto token =
        "eyJhbGciOiJSUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7"
        "AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4"
        "BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K"
        "0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv"
        "hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB"
        "p0igcN_IoypGlUPQGe77Rw";
    auto keys = keys_of(key_set(
        {R"({"kty":"RSA","e":"AQAB","n":")"
         "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp"
         "-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOW"
         "vG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs"
         "LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9k"
         "G4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2"
         "PAcDTW9gb54h4FRWyuXpoQ\"}"}));
    EXPECT_EQ(verified(token, keys), rfc7515_payload);
    EXPECT_EQ(verified(token, some_key()), bad_signature);
}

// RFC 7515, A.3
TEST(Rfc7515, EcdsaP256Example)
{
    constexpr auto token =
        "eyJhbGciOiJFUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA"
        "pmWQxfKTUJqPP3-Kg6NU1Q";
    auto keys = keys_of(
        key_set({R"({"kty":"EC","crv":"P-256",)"
                 R"("x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
                 R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})"}));
    EXPECT_EQ(verified(token, keys), rfc7515_payload);
}

// RFC 7515, A.4
TEST(Rfc7515, EcdsaP521Example)
{
    constexpr auto token =
        "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA."
        "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZq"
        "wqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8Kp"
        "EHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    auto keys = keys_of(key_set(
        {R"({"kty":"EC","crv":"P-521","x":")"
         "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6Ov"
         "LFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\""
         "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4K"
         "kd0AZMaZmh9ubmf63e3kyMj2\"}"}));
    EXPECT_EQ(verified(token, keys), "Payload");
}

// RFC 8037, A.4
TEST(Rfc8037, Ed25519Example)
{
    constexpr auto token =
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5B"
        "hVsPt9g7sVvpAr_MuM0KAg";
    auto keys = keys_of(
        key_set({R"({"kty":"OKP","crv":"Ed25519",)"
                 R"("x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})"}));
    EXPECT_EQ(verified(token, keys), "Example of Ed25519 signing");
    EXPECT_EQ(verified(token, keys_of(key_set({Signer::ed25519().jwk()}))),
        bad_signature);
}

const Signer& signer_of(const std::string& alg)
{
    static const auto secret = Signer::secret(std::string(64, 's'));
    if (alg[0] == 'H') {
        return secret;
    }
    if (alg == "EdDSA") {
        return Signer::ed25519();
    }
    return alg[0] != 'E' ? Signer::rsa() :
                           Signer::ec(alg == "ES256" ? "P-256" :
                                   alg == "ES384"    ? "P-384" :
                                                       "P-521");
}

KeySet all_keys()
{
    return keys_of(key_set({Signer::rsa().jwk(), Signer::ec("P-256").jwk(),
        Signer::ec("P-384").jwk(), Signer::ec("P-521").jwk(),
        Signer::ed25519().jwk()}));
}

class EveryAlg : public testing::TestWithParam<std::string> {
public:
    std::string signed_payload(std::string_view payload = "payload")
    {
        return signer_of(GetParam()).sign(GetParam(), payload);
    }

    KeySet keys = all_keys();
    std::string secret = std::string(64, 's');
};

INSTANTIATE_TEST_SUITE_P(Jws, EveryAlg, testing::ValuesIn(every_alg),
    [](const auto& info) { return info.param; });

TEST_P(EveryAlg, Verifies)
{
    auto token = signed_payload("some payload \xff");
    EXPECT_EQ(verified(token, keys, secret), "some payload \xff");
    EXPECT_EQ(Jws::parse(kind, token, every_alg)->algorithm().name, GetParam());
    EXPECT_EQ(verified(signed_payload(""), keys, secret), "");
}

TEST_P(EveryAlg, IsNotAcceptedUnlessListed)
{
    for (const auto& other : every_alg) {
        if (other != GetParam()) {
            EXPECT_EQ(verified(signed_payload(), keys, secret, {other}),
                "id_token_alg: id token is signed with \"" + GetParam() +
                    "\", which id_token_alg does not list");
        }
    }
}

TEST_P(EveryAlg, NoticesAChangedPart)
{
    auto token = signed_payload("{\"sub\":\"a\"}");
    auto dot = token.rfind('.');
    auto signature = base64url_decode(token.substr(dot + 1)).value();

    for (std::size_t i : {std::size_t{0}, signature.size() - 1}) {
        auto changed = signature;
        changed[i] = static_cast<char>(changed[i] ^ 1);
        EXPECT_EQ(verified(token.substr(0, dot + 1) + base64url(changed), keys,
                      secret),
            bad_signature);
    }
    auto payload = token;
    auto start = payload.find('.') + 1;
    payload.replace(start, dot - start, base64url("{\"sub\":\"b\"}"));
    EXPECT_EQ(verified(payload, keys, secret), bad_signature);

    auto header = base64url("{\"alg\":\"" + GetParam() + "\",\"typ\":\"JWT\"}");
    EXPECT_EQ(verified(header + token.substr(token.find('.')), keys, secret),
        bad_signature);
}

// Empty, truncated, longer, all zeros (CVE-2022-21449), all ones.
TEST_P(EveryAlg, RefusesSignaturesOfOddForm)
{
    auto token = signed_payload();
    auto dot = token.rfind('.') + 1;
    auto good = base64url_decode(token.substr(dot)).value();
    for (const auto& bad :
        {""s, good.substr(1), good.substr(0, good.size() - 1), good + '\0',
            '\0' + good, good + good, std::string(good.size(), '\0'),
            std::string(good.size(), '\xff'), std::string(10'000, 'x')}) {
        EXPECT_EQ(verified(token.substr(0, dot) + base64url(bad), keys, secret),
            bad_signature);
    }
}

// CVE-2015-9235: the public key must not serve as a secret, and an algorithm
// must not be exchanged for one of another type.
TEST_P(EveryAlg, IsNotTakenForAnother)
{
    auto token = signed_payload();
    for (const auto& other : every_alg) {
        if (other == GetParam()) {
            continue;
        }
        auto header = base64url("{\"alg\":\"" + other + "\"}");
        auto forged = header + token.substr(token.find('.'));
        EXPECT_EQ(verified(forged, keys, secret), bad_signature);
    }
}

TEST(Jws, KeyedWithThePublicKeyIsRefused)
{
    auto jwk = Signer::rsa().jwk();
    auto keys = keys_of(key_set({jwk}));
    for (const auto& secret : {jwk, ""s, std::string(32, '\0')}) {
        auto token = Signer::secret(secret).sign("HS256", "{}");
        EXPECT_EQ(verified(token, keys, std::string(64, 's')), bad_signature);
    }
}

TEST(Jws, NeedsASecretAsLongAsTheHash)
{
    auto keys = some_key();
    for (auto [alg, size] :
        {std::pair{"HS256", 32}, {"HS384", 48}, {"HS512", 64}}) {
        std::string enough(static_cast<std::size_t>(size), 's');
        auto token = Signer::secret(enough).sign(alg, "payload");
        EXPECT_EQ(verified(token, keys, enough), "payload");

        for (const auto& secret : {enough.substr(1), ""s}) {
            auto weak = Signer::secret(secret).sign(alg, "payload");
            EXPECT_EQ(verified(weak, keys, secret),
                "id_token_key: id token is signed with a client_secret shorter "
                "than " +
                    std::to_string(size) + " bytes");
        }
    }
}

TEST(Jws, OfAlgNoneIsRefusedEvenIfListed)
{
    for (auto alg : {"none", "None", "NONE", "nOnE", ""}) {
        auto header = base64url("{\"alg\":\""s + alg + "\"}");
        auto complaint = "id_token_alg: id token is signed with \""s + alg +
            "\", which id_token_alg does not list";
        for (auto signature : {"", "AAAA"}) {
            auto token = header + ".e30." + signature;
            EXPECT_EQ(verified(token, some_key(), "", {alg}), complaint);
            EXPECT_EQ(verified(token, some_key()), complaint);
        }
    }
}

TEST(Jws, IsThreePartsOfBase64url)
{
    auto good = Signer::rsa().sign("RS256", "{}");
    auto first = good.find('.');
    auto last = good.rfind('.');

    for (const auto& token :
        {""s, "."s, "a"s, "a.b"s, good.substr(0, last), good + ".", "." + good,
            good + ".AAAA.AAAA", "...."s, std::string(100'000, '.')}) {
        EXPECT_EQ(verified(token, some_key()),
            "id_token_malformed: id token is not a JWS of three parts");
    }
    auto with = [&](std::size_t origins, const std::string& text) {
        return good.substr(0, origins) + text + good.substr(origins);
    };
    for (const auto& token : {with(good.size(), "="), with(last, "="),
             with(first, "="), with(first, "\n"), with(3, " "), with(last, "+"),
             with(good.size(), "\n"), with(0, " "), with(first + 1, "\0"s),
             with(last, "AA")}) {
        EXPECT_EQ(verified(token, some_key()),
            "id_token_malformed: id token is not base64url")
            << token;
    }
}

std::string with_header(std::string_view header)
{
    return verified(
        Signer::rsa().sign_parts("RS256", header, "payload"), some_key());
}

TEST(Jws, RefusesMalformedHeaders)
{
    const struct {
        std::string header;
        std::string what;
    } refused[] = {
        {"", "malformed JSON in its header"},
        {"{", "malformed JSON in its header"},
        {"{\"alg\":\"RS256\"}x", "malformed JSON in its header"},
        {"{\"alg\":\"RS256\",\"a\":\"\xff\"}", "malformed JSON in its header"},
        {"[\"RS256\"]", "JSON other than an object in its header"},
        {R"({"alg":"RS256","alg":"none"})",
            "JSON with a duplicate member in its header"},
        {"{\"alg\":\"RS256\",\"a\":" + std::string(100'000, '['),
            "JSON nested too deeply in its header"},
        {"{}", "no alg"},
        {R"({"alg":256})", "no alg"},
        {R"({"alg":null})", "no alg"},
        {R"({"alg":["RS256"]})", "no alg"},
        {R"({"Alg":"RS256"})", "no alg"},
        {R"({"alg":"RS256","b64":false})", "a header of another kind of token"},
        {R"({"alg":"RS256","b64":true})", "a header of another kind of token"},
        // CVE-2024-33531
        {R"({"alg":"RS256","enc":"A256GCM"})",
            "a header of another kind of token"},
        {R"({"alg":"RS256","kid":1})",
            "a kid that is not a string of at most 1024 bytes"},
        {R"({"alg":"RS256","kid":["a"]})",
            "a kid that is not a string of at most 1024 bytes"},
        {R"({"alg":"RS256","kid":")" + std::string(1025, 'k') + "\"}",
            "a kid that is not a string of at most 1024 bytes"},
    };
    for (const auto& [header, what] : refused) {
        EXPECT_EQ(
            with_header(header), "id_token_malformed: id token has " + what)
            << header;
    }
}

// RFC 7515, 4.1.11: no extension is supported.
TEST(Jws, RefusesEveryCriticalExtension)
{
    for (auto crit :
        {R"(["exp"])", R"(["b64"])", "[]", "\"exp\"", "null", "{}"}) {
        EXPECT_EQ(
            with_header(R"({"alg":"RS256","exp":1,"crit":)"s + crit + "}"),
            "id_token_crit: id token has a critical extension")
            << crit;
    }
}

TEST(Jws, MayHaveNullInItsHeader)
{
    auto keys = keys_of(key_set({Signer::rsa().jwk(R"("kid":"k")")}));
    for (auto name :
        {"kid", "typ", "b64", "enc", "jwk", "jku", "x5c", "other"}) {
        EXPECT_EQ(verified(Signer::rsa().sign(
                               "RS256", "{}", "\""s + name + "\":null"),
                      keys),
            "{}")
            << name;
    }
}

TEST(Jws, ReadsNoKeyFromTheHeader)
{
    const auto& attacker = Signer::other_rsa();
    for (const auto& members :
        {"\"jwk\":" + attacker.jwk(), R"("jku":"https://evil.example/keys")"s,
            R"("x5u":"https://evil.example/cert")"s, R"("x5c":["AAAA"])"s,
            R"("kid":"k","jwk":)" + attacker.jwk(R"("kid":"k")")}) {
        auto keys = keys_of(key_set({Signer::rsa().jwk(R"("kid":"k")")}));
        EXPECT_EQ(verified(attacker.sign("RS256", "{}", members), keys),
            bad_signature);
        EXPECT_EQ(
            verified(Signer::rsa().sign("RS256", "{}", members), keys), "{}");
    }
}

TEST(Jws, KnowsItsKid)
{
    auto kid = [](std::string_view members) {
        auto token = Signer::ed25519().sign("EdDSA", "{}", members);
        return Jws::parse(kind, token, every_alg)->kid();
    };
    EXPECT_EQ(kid(""), std::nullopt);
    EXPECT_EQ(kid(R"("kid":null)"), std::nullopt);
    EXPECT_EQ(kid(R"("kid":"")"), "");
    EXPECT_EQ(kid(R"("kid":"../../etc/passwd")"), "../../etc/passwd");
    EXPECT_EQ(kid("\"kid\":\"" + std::string(1024, 'k') + "\"")->size(), 1024u);
}

// RFC 7515, 4.1.9
TEST(JwsType, IsAMediaTypeWithoutItsFirstPart)
{
    auto typ = [](const std::string& value) {
        auto token = Signer::ed25519().sign(
            "EdDSA", "{}", value.empty() ? "" : "\"typ\":" + value);
        return Jws::parse(kind, token, every_alg)->typ();
    };
    EXPECT_EQ(typ(""), std::nullopt);
    EXPECT_EQ(typ("null"), std::nullopt);
    EXPECT_EQ(typ(R"("")"), "");
    EXPECT_EQ(typ(R"("JWT")"), "jwt");
    EXPECT_EQ(typ(R"("logout+jwt")"), "logout+jwt");
    EXPECT_EQ(typ(R"("Application/Logout+JWT")"), "logout+jwt");
    EXPECT_EQ(typ(R"("text/logout+jwt")"), "text/logout+jwt");
    EXPECT_EQ(typ(R"("application/application/jwt")"), "application/jwt");
    EXPECT_EQ(typ("\"" + std::string(65, 'T') + "\""), std::string(64, 't'));
}

TEST(JwsType, ThatIsNoStringIsNoType)
{
    for (auto value : {"7", "true", R"(["jwt"])", R"({"a":"jwt"})"}) {
        auto token = Signer::ed25519().sign(
            "EdDSA", "{}", "\"typ\":" + std::string(value));
        EXPECT_EQ(Jws::parse(kind, token, every_alg)->typ(), value);
    }
}

TEST(Jws, WithoutKidIsTriedWithEveryKeyOfItsKind)
{
    auto keys = keys_of(key_set({Signer::ec("P-256").jwk(R"("kid":"e")"),
        Signer::other_rsa().jwk(R"("kid":"o")"),
        Signer::rsa().jwk(R"("kid":"r")")}));
    const auto& rsa = Signer::rsa();
    EXPECT_EQ(verified(rsa.sign("RS256", "{}"), keys), "{}");
    EXPECT_EQ(verified(rsa.sign("RS256", "{}", R"("kid":"r")"), keys), "{}");
    EXPECT_EQ(
        verified(rsa.sign("RS256", "{}", R"("kid":"o")"), keys), bad_signature);
    EXPECT_EQ(verified(rsa.sign("RS256", "{}", R"("kid":"e")"), keys),
        "id_token_key: id token is signed with RS256, for which the key set "
        "has no key");
    EXPECT_EQ(verified(rsa.sign("RS256", "{}", R"("kid":"x")"), keys),
        "id_token_key: id token names an unknown key \"x\"");
}

// RFC 7518, 3.4: r || s of fixed size; DER has several forms.
TEST(Jws, RefusesEcdsaAsDerAndOutOfRange)
{
    auto keys = all_keys();
    auto token = Signer::ec("P-256").sign("ES256", "{}");
    auto start = token.rfind('.') + 1;
    auto raw = base64url_decode(token.substr(start)).value();
    auto der = [](std::string half) { return "\x02\x21"s + '\0' + half; };
    // the order of P-256
    auto n =
        base64url_decode("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE").value();
    auto zero = std::string(32, '\0');
    for (const auto& signature :
        {"\x30\x46" + der(raw.substr(0, 32)) + der(raw.substr(32)),
            zero + raw.substr(32), raw.substr(0, 32) + zero, n + n,
            n + raw.substr(32), raw.substr(0, 32) + n,
            raw.substr(32) + raw.substr(0, 32)}) {
        EXPECT_EQ(verified(token.substr(0, start) + base64url(signature), keys),
            bad_signature);
    }
}

}
}
