#include "jose/keys.h"

#include "complaint.h"
#include "core/encode.h"
#include "signer.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace oidc::test {
namespace {

using namespace std::string_literals;

TEST(Algorithms, AreThoseOfTheTable)
{
    for (auto name : {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
             "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"}) {
        ASSERT_NE(find_algorithm(name), nullptr) << name;
        EXPECT_EQ(find_algorithm(name)->name, name);
    }
    for (auto name : {"", "none", "None", "NONE", "rs256", "RS256 ", "RS1",
             "RSA1_5", "ES256K", "Ed25519", "Ed448", "HS1", "dir"}) {
        EXPECT_EQ(find_algorithm(name), nullptr) << name;
    }
}

std::string refusal(const std::string& jwk)
{
    auto json = Json::parse(jwk);
    EXPECT_TRUE(json) << jwk;
    std::string why;
    auto key = VerifyingKey::import(json->root(), why);
    EXPECT_EQ(key.has_value(), why.empty());
    return why;
}

std::string rsa(std::string_view members = "")
{
    return Signer::rsa().jwk(members);
}

TEST(Key, IsTakenWhenItIsForSignatures)
{
    const std::string taken[] = {rsa(), Signer::ec("P-256").jwk(),
        Signer::ec("P-384").jwk(), Signer::ec("P-521").jwk(),
        Signer::ed25519().jwk(), rsa(R"("use":"sig")"),
        rsa(R"("key_ops":["verify"])"), rsa(R"("key_ops":["a","verify"])"),
        rsa(R"("use":"sig","key_ops":["verify"],"alg":"RS256","kid":"a")"),
        rsa(R"("x5c":["AAAA"],"x5t":"AA","unknown":{"a":[]})")};
    for (const auto& jwk : taken) {
        EXPECT_EQ(refusal(jwk), "") << jwk;
    }
}

std::string rsa_of(const std::string& n, const std::string& e = "AQAB")
{
    return R"({"kty":"RSA","n":")" + n + R"(","e":")" + e + "\"}";
}

std::string rsa_of_bytes(std::size_t size)
{
    return rsa_of(base64url("\xc1" + std::string(size - 1, '\x01')));
}

TEST(Key, IsRefusedForAReason)
{
    auto unlike = [](std::string jwk, std::string_view from, std::string to) {
        return jwk.replace(jwk.find(from), from.size(), to);
    };
    auto ec = Signer::ec("P-256").jwk();
    auto ed = Signer::ed25519().jwk();
    auto x = R"("x":")" + base64url(std::string(32, 'x')) + "\"";

    const struct {
        std::string jwk;
        std::string why;
    } refused[] = {
        {"{}", "of an unknown type"},
        {R"({"kty":1})", "of an unknown type"},
        {R"({"kty":"rsa"})", "of an unknown type"},
        {R"({"kty":"oct","k":"AAAA"})", "of an unknown type"},
        {R"({"kty":"RSA"})", "that is malformed"},
        {R"({"kty":"EC"})", "that is malformed"},
        {R"({"kty":"OKP"})", "that is malformed"},
        {rsa(R"("use":"enc")"), "not meant for signatures"},
        {rsa(R"("use":"")"), "not meant for signatures"},
        {rsa(R"("use":1)"), "not meant for signatures"},
        {rsa(R"("key_ops":["encrypt"])"), "not meant for signatures"},
        {rsa(R"("key_ops":["sign"])"), "not meant for signatures"},
        {rsa(R"("key_ops":[])"), "not meant for signatures"},
        {rsa(R"("key_ops":"verify")"), "not meant for signatures"},
        {rsa(R"("use":"enc","key_ops":["verify"])"),
            "not meant for signatures"},
        {rsa(R"("d":"AQAB")"), "with private parts"},
        {rsa(R"("p":"AQAB")"), "with private parts"},
        {rsa(R"("q":null)"), "with private parts"},
        {rsa(R"("oth":[])"), "with private parts"},
        {Signer::ec("P-256").jwk(R"("d":"AQAB")"), "with private parts"},
        {Signer::ed25519().jwk(R"("d":"AQAB")"), "with private parts"},
        {rsa(R"("k":"AQAB")"), "with private parts"},
        {rsa_of_bytes(128), "of RSA with 1024 bits"},
        {rsa_of_bytes(255), "of RSA with 2040 bits"},
        {rsa_of_bytes(2049), "of RSA with 16392 bits"},
        {rsa_of("", "AQAB"), "that is malformed"},
        {rsa_of("%%%", "AQAB"), "that is malformed"},
        {R"({"kty":"RSA","n":1,"e":"AQAB"})", "that is malformed"},
        {unlike(ec, "P-256", "P-384"), "that is malformed"},
        {unlike(ec, "P-256", "secp256k1"), "that is malformed"},
        {unlike(ec, "P-256", ""), "that is malformed"},
        {unlike(ec, "\"y\":\"", "\"y\":\"AA"), "that is malformed"},
        {R"({"kty":"EC","crv":"P-256",)" + x + ",\"y\":\"" +
                base64url(std::string(32, 'y')) + "\"}",
            "that is malformed"},
        {unlike(ed, "Ed25519", "X25519"), "that is malformed"},
        {unlike(ed, "Ed25519", "Ed448"), "that is malformed"},
        {unlike(ed, "\"x\":\"", "\"x\":\"AAAA"), "that is malformed"},
        {R"({"kty":"OKP","crv":"Ed25519","x":"!"})", "that is malformed"},
        {R"({"kty":"OKP","crv":"Ed25519"})", "that is malformed"},
    };
    for (const auto& [jwk, why] : refused) {
        EXPECT_EQ(refusal(jwk), why) << jwk;
    }
}

TEST(Key, OfRsaMayHave2048To16384Bits)
{
    EXPECT_EQ(refusal(rsa_of_bytes(256)), "");
    EXPECT_EQ(refusal(rsa_of_bytes(2048)), "");
}

std::string kid_of_length(std::size_t size)
{
    return "\"kid\":\"" + std::string(size, 'k') + "\"";
}

KeySet parse(const std::string& json)
{
    auto set = KeySet::parse(json);
    EXPECT_EQ(complaint(set), "");
    return std::move(*set);
}

TEST(KeySet, IsRefusedWithoutAUsableKey)
{
    const struct {
        std::string json;
        std::string why;
    } refused[] = {
        {"", "that is malformed JSON"},
        {"<html>", "that is malformed JSON"},
        {"[]", "that is JSON that is not an object"},
        {R"({"keys":[],"keys":[]})", "that is JSON with a duplicate member"},
        {"{}", "without \"keys\""},
        {R"({"keys":{}})", "without \"keys\""},
        {R"({"keys":"a"})", "without \"keys\""},
    };
    for (const auto& [json, why] : refused) {
        EXPECT_EQ(complaint(KeySet::parse(json)),
            "upstream_keys: provider sent a key set " + why);
    }
    EXPECT_EQ(complaint(KeySet::parse(R"({"keys":[]})")),
        "upstream_keys: provider sent an empty key set");
    EXPECT_EQ(complaint(KeySet::parse(key_set({"1", "null", "{}"}))),
        "upstream_keys: provider sent no usable key, the last one of an "
        "unknown type");
    EXPECT_EQ(complaint(KeySet::parse(key_set({"{}", rsa_of_bytes(64)}))),
        "upstream_keys: provider sent no usable key, the last one of RSA with "
        "512 bits");
}

std::size_t count(const KeySet& set, const char* alg,
    const std::optional<std::string>& kid = {})
{
    std::string why;
    return set.choose(*find_algorithm(alg), kid, why).size();
}

TEST(KeySet, SkipsKeysItCannotUse)
{
    auto set = parse(key_set({"1", R"({"kty":"oct","k":"AAAA"})",
        rsa(R"("use":"enc","kid":"e")"), rsa(R"("kid":"s")")}));
    EXPECT_EQ(count(set, "RS256"), 1u);
    EXPECT_EQ(count(set, "RS256", "s"), 1u);
    EXPECT_EQ(count(set, "RS256", "e"), 0u);
}

TEST(KeySet, ChoosesByTypeCurveAndAlgorithm)
{
    auto set = parse(key_set({rsa(R"("kid":"r")"),
        rsa(R"("kid":"p","alg":"PS256")"), Signer::ec("P-256").jwk(),
        Signer::ec("P-384").jwk(R"("alg":"ES384")"),
        Signer::ec("P-521").jwk(R"("alg":"ES256")"),
        Signer::ed25519().jwk(R"("kid":"d","alg":"EdDSA")")}));
    EXPECT_EQ(count(set, "RS256"), 1u);
    EXPECT_EQ(count(set, "PS256"), 2u);
    EXPECT_EQ(count(set, "PS384"), 1u);
    EXPECT_EQ(count(set, "ES256"), 1u);
    EXPECT_EQ(count(set, "ES384"), 1u);
    EXPECT_EQ(count(set, "ES512"), 0u);
    EXPECT_EQ(count(set, "EdDSA"), 1u);
    EXPECT_EQ(count(set, "HS256"), 0u);
}

TEST(KeySet, ComparesKidsByteForByte)
{
    auto set = parse(key_set({rsa(R"("kid":"a")"), rsa(R"("kid":"")"), rsa(),
        rsa(R"("kid":1)"), rsa(R"("kid":"a")")}));
    EXPECT_EQ(count(set, "RS256", "a"), 2u);
    EXPECT_EQ(count(set, "RS256", ""), 1u);
    EXPECT_EQ(count(set, "RS256"), 5u);
    for (auto kid : {"A", "a ", "ab", "1", "../a"}) {
        EXPECT_EQ(count(set, "RS256", kid), 0u) << kid;
    }
    EXPECT_EQ(count(set, "RS256", "a\0"s), 0u);
}

TEST(KeySet, SaysWhyNoKeyFits)
{
    auto set = parse(key_set({rsa(R"("kid":"a")")}));
    auto why = [&](const char* alg, std::optional<std::string> kid) {
        std::string text;
        EXPECT_TRUE(set.choose(*find_algorithm(alg), kid, text).empty());
        return text;
    };
    EXPECT_EQ(why("RS256", "b\n"), "names an unknown key \"b\\x0A\"");
    EXPECT_EQ(why("ES256", "a"),
        "is signed with ES256, for which the key set has no key");
    EXPECT_EQ(why("ES256", {}),
        "is signed with ES256, for which the key set has no key");
}

// Without a kid every key would be tried; a hostile set must not cost more.
TEST(KeySet, TriesAtMostTenKeys)
{
    std::string list = rsa();
    for (int i = 1; i < 30; i++) {
        list += "," + rsa();
    }
    EXPECT_EQ(count(parse("{\"keys\":[" + list + "]}"), "RS256"), 10u);
}

TEST(KeySet, LooksAtAHundredUsableKeys)
{
    std::string list;
    for (int i = 0; i < 101; i++) {
        list += "{}," + Signer::ed25519().jwk(kid_of_length(i + 1)) +
            (i < 100 ? "," : "");
    }
    auto set = parse("{\"keys\":[" + list + "]}");
    EXPECT_EQ(count(set, "EdDSA", std::string(100, 'k')), 1u);
    EXPECT_EQ(count(set, "EdDSA", std::string(101, 'k')), 0u);
}

// lua-resty-jwt once mistook a first byte over 0x7f for a sign; some providers
// write a leading zero.
TEST(KeySet, TakesAModulusWithALeadingZero)
{
    auto jwk = rsa();
    auto start = jwk.find("\"n\":\"") + 5;
    auto end = jwk.find('"', start);
    auto n = base64url_decode(jwk.substr(start, end - start));
    ASSERT_TRUE(n);
    ASSERT_GE(static_cast<unsigned char>(n->front()), 0x80);
    auto set = parse(key_set({rsa_of(base64url('\0' + *n))}));

    auto algorithm = find_algorithm("RS256");
    std::string why;
    auto chosen = set.choose(*algorithm, {}, why);
    ASSERT_EQ(chosen.size(), 1u) << why;
    EXPECT_TRUE(chosen.front()->verify(
        *algorithm, Signer::rsa().sign("RS256", "payload")));
}

TEST(Secret, FitsByItsLength)
{
    for (std::size_t size : {0, 1, 31, 32, 47, 48, 63, 64, 100}) {
        auto key = VerifyingKey::from_secret(std::string(size, 's'));
        EXPECT_EQ(key.fits(*find_algorithm("HS256")), size >= 32) << size;
        EXPECT_EQ(key.fits(*find_algorithm("HS384")), size >= 48) << size;
        EXPECT_EQ(key.fits(*find_algorithm("HS512")), size >= 64) << size;
        EXPECT_FALSE(key.fits(*find_algorithm("RS256")));
    }
}

// cjose ends the process at some of these.
TEST(Key, OfPartsThatAreNoBase64urlIsMalformed)
{
    for (std::string part : {"A=AA", "AA=A", "=", "====", "AAA=", "A",
             "AA==", "AA AA", "AA\\nAA", "AA+A", "AA/A", "\\u00e9"}) {
        const std::string keys[] = {
            rsa_of(part),
            rsa_of(base64url(std::string(256, '\xc1')), part),
            R"({"kty":"EC","crv":"P-256","x":")" + part + R"(","y":"AAAA"})",
            R"({"kty":"EC","crv":"P-256","x":"AAAA","y":")" + part + "\"}",
            R"({"kty":"OKP","crv":"Ed25519","x":")" + part + "\"}",
        };
        for (const auto& jwk : keys) {
            EXPECT_EQ(refusal(jwk), "that is malformed") << jwk;
        }
    }
    for (auto part : {"1", "null", "[]", "{}"}) {
        EXPECT_EQ(refusal(R"({"kty":"RSA","n":)"s + part + R"(,"e":"AQAB"})"),
            "that is malformed");
        EXPECT_EQ(refusal(R"({"kty":"EC","crv":"P-256","x":"AAAA","y":)"s +
                      part + "}"),
            "that is malformed");
    }
}

TEST(KeySet, TakesTheGoodKeysOfABadSet)
{
    auto set = parse(key_set({rsa_of("A=AA"), rsa(R"("kid":"a")")}));
    EXPECT_EQ(count(set, "RS256"), 1u);
    EXPECT_EQ(complaint(KeySet::parse(key_set({rsa_of("A=AA")}))),
        "upstream_keys: provider sent no usable key, the last one that is "
        "malformed");
}

TEST(KeySet, OfAThousandKeysIsReadInNoTime)
{
    std::string list;
    for (int i = 0; i < 1000; i++) {
        list += (i > 0 ? "," : "") + rsa(kid_of_length(5));
    }
    EXPECT_EQ(count(parse("{\"keys\":[" + list + "]}"), "RS256"), 10u);
}

}
}
