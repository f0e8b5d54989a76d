#include "jose/key_set.h"

#include "core/encoding.h"
#include "jose/evp.h"
#include "support/complaint.h"
#include "support/signer.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace oidc::test {
namespace {

using namespace std::string_literals;

TEST(Algorithms, AreThoseOfTheTable)
{
    for (auto name :
        {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
            "ES512", "EdDSA", "Ed25519", "HS256", "HS384", "HS512"}) {
        ASSERT_NE(find_algorithm(name), nullptr) << name;
        EXPECT_EQ(find_algorithm(name)->name, name);
    }
    for (auto name : {"", "none", "None", "NONE", "rs256", "RS256 ", "RS1",
             "RSA1_5", "ES256K", "ed25519", "Ed448", "HS1", "dir"}) {
        EXPECT_EQ(find_algorithm(name), nullptr) << name;
    }
}

// RFC 9864, 2.2
TEST(Algorithms, HaveOneNameEachButForEd25519)
{
    constexpr std::string_view names[] = {"RS256", "RS384", "RS512", "PS256",
        "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
        "HS256", "HS384", "HS512", "none", "Ed448", "ed25519", ""};
    for (auto name : names) {
        auto algorithm = find_algorithm(name);
        for (auto other : names) {
            auto is_same = name == other ||
                (name.starts_with("Ed") && other.starts_with("Ed") &&
                    other != "Ed448");
            EXPECT_TRUE(
                algorithm == nullptr || is_named(*algorithm, other) == is_same)
                << name << " " << other;
        }
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

// Members that some encoders write for what is not set.
constexpr auto nulls =
    R"("use":null,"key_ops":null,"alg":null,"kid":null,"x5c":null,"d":null,)"
    R"("p":null,"q":null,"dp":null,"dq":null,"qi":null,"oth":null,"k":null)";

TEST(Key, IsTakenWhenItIsForSignatures)
{
    const std::string taken[] = {rsa(), Signer::ec("P-256").jwk(),
        Signer::ec("P-384").jwk(), Signer::ec("P-521").jwk(),
        Signer::ed25519().jwk(), rsa(R"("use":"sig")"),
        rsa(R"("key_ops":["verify"])"), rsa(R"("key_ops":["a","verify"])"),
        rsa(R"("use":"sig","key_ops":["verify"],"alg":"RS256","kid":"a")"),
        rsa(R"("x5c":["AAAA"],"x5t":"AA","unknown":{"a":[]})"), rsa(nulls),
        Signer::ec("P-256").jwk(nulls), Signer::ed25519().jwk(nulls)};
    for (const auto& jwk : taken) {
        EXPECT_EQ(refusal(jwk), "") << jwk;
    }
}

std::string rsa_of(const std::string& n, const std::string& e = "AQAB")
{
    return R"({"kty":"RSA","n":")" + n + R"(","e":")" + e + "\"}";
}

std::string modulus()
{
    auto jwk = rsa();
    auto start = jwk.find("\"n\":\"") + 5;
    return base64url_decode(jwk.substr(start, jwk.find('"', start) - start))
        .value();
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
        {rsa(R"("q":"")"), "with private parts"},
        {rsa(R"("oth":[])"), "with private parts"},
        {Signer::ec("P-256").jwk(R"("d":"AQAB")"), "with private parts"},
        {Signer::ed25519().jwk(R"("d":"AQAB")"), "with private parts"},
        {rsa(R"("k":"AQAB")"), "with private parts"},
        {rsa_of_bytes(128), "with an RSA modulus of 1024 bits"},
        {rsa_of_bytes(255), "with an RSA modulus of 2040 bits"},
        {rsa_of_bytes(2049), "with an RSA modulus of 16392 bits"},
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
    std::string why;
    auto set = KeySet::parse(json, why);
    EXPECT_TRUE(set) << why;
    return std::move(*set);
}

// The reason why a set is refused.
std::string refusal_of_set(const std::string& json)
{
    std::string why;
    return KeySet::parse(json, why) ? "" : why;
}

TEST(KeySet, IsRefusedWithoutAUsableKey)
{
    const struct {
        std::string json;
        std::string why;
    } refused[] = {
        {"", "that is malformed JSON"},
        {"<html>", "that is malformed JSON"},
        {"[]", "that is JSON other than an object"},
        {R"({"keys":[],"keys":[]})", "that is JSON with a duplicate member"},
        {"{}", "without \"keys\""},
        {R"({"keys":{}})", "without \"keys\""},
        {R"({"keys":"a"})", "without \"keys\""},
    };
    for (const auto& [json, why] : refused) {
        EXPECT_EQ(refusal_of_set(json), "a key set " + why);
    }
    EXPECT_EQ(refusal_of_set(R"({"keys":[]})"), "an empty key set");
    EXPECT_EQ(refusal_of_set(key_set({"1", "null", "{}"})),
        "no usable key, the last was a key of an unknown type");
    EXPECT_EQ(refusal_of_set(key_set({"{}", rsa_of_bytes(64)})),
        "no usable key, the last was a key with an RSA modulus of 512 bits");
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

// Without a kid every key is tried; a hostile set must not cost more.
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

// lua-resty-jwt once took a first byte over 0x7f for a sign; some providers
// write a leading zero.
TEST(KeySet, TakesAModulusWithALeadingZero)
{
    auto n = modulus();
    ASSERT_GE(static_cast<unsigned char>(n.front()), 0x80);
    auto set = parse(key_set({rsa_of(base64url('\0' + n))}));

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

// cjose aborts the process on some of these.
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
    EXPECT_EQ(refusal_of_set(key_set({rsa_of("A=AA")})),
        "no usable key, the last was a key that is malformed");
}

std::string unhex(std::string_view hex)
{
    std::string octets;
    for (std::size_t i = 0; i < hex.size(); i += 2) {
        octets += static_cast<char>(
            std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    }
    return octets;
}

// A token made without any secret.
std::string with_signature(const std::string& input, std::string_view signature)
{
    return input + "." + base64url(signature);
}

std::string input_of(const std::string& alg, int number = 0)
{
    return base64url(R"({"alg":")" + alg + "\"}") + "." +
        base64url(R"({"sub":"admin","jti":)" + std::to_string(number) + "}");
}

// True if a set with that key, among good keys of every type, verifies it.
bool is_taken(const std::string& jwk, const char* alg, const std::string& token)
{
    auto set = parse(key_set({jwk, Signer::other_rsa().jwk(),
        Signer::ec("P-384").jwk(), Signer::ed25519().jwk()}));
    std::string why;
    auto algorithm = find_algorithm(alg);
    auto chosen = set.choose(*algorithm, {}, why);
    return std::any_of(chosen.begin(), chosen.end(),
        [&](auto key) { return key->verify(*algorithm, token); });
}

constexpr auto odd_exponent =
    "with an RSA exponent that is not an odd number from 3 to 2^256";

TEST(Key, OfRsaHasAnOddExponentInItsRange)
{
    auto of_exponent = [](const std::string& octets) {
        return rsa_of(base64url(modulus()), base64url(octets));
    };
    for (const auto& e : {"\x03"s, "\x11"s, "\x01\x00\x01"s,
             "\x00\x01\x00\x01"s, std::string(32, '\xff')}) {
        EXPECT_EQ(refusal(of_exponent(e)), "") << e.size();
    }
    for (const auto& e : {"\x00"s, "\x01"s, "\x00\x01"s, "\x02"s, "\x04"s,
             "\x01\x00\x00"s, "\x01" + std::string(31, '\0') + "\x01",
             modulus(), "\x01" + modulus(), std::string(10'000, '\xff')}) {
        EXPECT_EQ(refusal(of_exponent(e)), odd_exponent) << e.size();
    }
    EXPECT_EQ(refusal_of_set(key_set({of_exponent("\x01")})),
        "no usable key, the last was a key "s + odd_exponent);
}

TEST(Key, OfRsaHasAnOddModulus)
{
    auto even = modulus();
    even.back() = static_cast<char>(even.back() & ~1);
    EXPECT_EQ(refusal(rsa_of(base64url(even))), "with an even RSA modulus");
}

// RFC 8017, 9.2: to the power of 1 a padded digest is its own signature.
TEST(KeySet, TakesNoTokenThatIsSignedByTheExponentOne)
{
    auto input = input_of("RS256");
    auto info = unhex("3031300d060960864801650304020105000420") +
        digest(Hash::sha256, input);
    auto forged =
        "\x00\x01"s + std::string(253 - info.size(), '\xff') + "\x00"s + info;

    Assembly assembly;
    assembly.add("n", Secret(modulus()));
    assembly.add("e", Secret("\x01"));
    auto key = assembly.make("RSA", EVP_PKEY_PUBLIC_KEY);
    ASSERT_TRUE(verify_by_openssl(key.get(), EVP_sha256(), forged, input));
    EXPECT_FALSE(is_taken(rsa_of(base64url(modulus()), "AQ"), "RS256",
        with_signature(input, forged)));
}

// All points of small order, and alternative encodings (not allowed by RFC
// 8032, 5.1.3), with both signs.
std::vector<std::string> small_points()
{
    auto all_ones = std::string(30, '\xff') + "\x7f";
    std::vector<std::string> points = {
        "\x01" + std::string(31, '\0'), // order 1
        "\xec" + all_ones,              // 2
        std::string(32, '\0'),          // 4
        unhex(                          // 8
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        unhex(
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        "\xed" + all_ones, // 4 again
        "\xee" + all_ones, // 1 again
    };
    for (std::size_t i = 0; i < 7; i++) {
        points.push_back(points[i]);
        points.back().back() |= '\x80';
    }
    return points;
}

std::string ed25519_of(std::string_view point)
{
    return R"({"kty":"OKP","crv":"Ed25519","x":")" + base64url(point) + "\"}";
}

TEST(Key, OfEd25519HasNoSmallOrder)
{
    for (const auto& point : small_points()) {
        EXPECT_EQ(
            refusal(ed25519_of(point)), "with an Ed25519 point of small order");
    }
    // The base point, and neighbours of the points in the table.
    for (const auto& point :
        {"\x58" + std::string(31, '\x66'), "\x03" + std::string(31, '\0'),
            "\xeb" + std::string(30, '\xff') + "\x7f"}) {
        EXPECT_EQ(refusal(ed25519_of(point)), "");
    }
}

// The digest is a multiple of the order for at least one text in eight. The key
// then drops out of the equation (RFC 8032, 5.1.7): any S with R = [S]B solves
// it, without a secret.
TEST(KeySet, TakesNoTokenThatIsSignedForAPointOfSmallOrder)
{
    const auto forged = "\x01" + std::string(63, '\0'); // R = [0]B
    for (const auto& point : small_points()) {
        Handled<EVP_PKEY> key(EVP_PKEY_new_raw_public_key(
            EVP_PKEY_ED25519, nullptr, bytes(point), point.size()));
        int number = 0;
        while (number < 1000 &&
            !verify_by_openssl(
                key.get(), nullptr, forged, input_of("EdDSA", number))) {
            number++;
        }
        ASSERT_LT(number, 1000) << "OpenSSL refuses it";
        EXPECT_FALSE(is_taken(ed25519_of(point), "EdDSA",
            with_signature(input_of("EdDSA", number), forged)));
    }
}

// With x = 0 on each curve, once unchanged and once with the prime added.
TEST(Key, OfAnEllipticCurveHasCoordinatesBelowThePrime)
{
    const struct {
        const char* crv;
        std::size_t size;
        std::string prime;
        std::string y;
    } all[] = {
        {"P-256", 32, "_____wAAAAEAAAAAAAAAAAAAAAD_______________8",
            "ZkhceA4vg9ckM71dhKBrtlQcKvMdrocXKL-FahdPk_Q"},
        {"P-384", 48,
            "__________________________________________7_____AAAAAAAAAAD_____",
            "wwZhD7CuWhWc9FwGBp8ipsXrNkHGAtQt6ixLT3VVB5NAbYDSuRrVT5BIvUh68a3h"},
        {"P-521", 66, "Af" + std::string(86, '_'),
            "AS3xNgFZSog-8tk15Eu5C_TWYZt05Sr3VS-XdpARwHGetDnPqyqI1A_lmivtH0NVcW"
            "mi0KLM0oDGB7krv1H_4LB4"},
    };
    for (const auto& [crv, size, prime, y] : all) {
        auto of_point = [&](const std::string& x_text,
                            const std::string& y_text) {
            return R"({"kty":"EC","crv":")"s + crv + R"(","x":")" + x_text +
                R"(","y":")" + y_text + "\"}";
        };
        auto zero = base64url(std::string(size, '\0'));
        EXPECT_EQ(refusal(of_point(zero, y)), "") << crv;
        EXPECT_EQ(refusal(of_point(prime, y)), "that is malformed") << crv;
        // A common encoding of the point at infinity.
        EXPECT_EQ(refusal(of_point(zero, zero)), "that is malformed") << crv;
        EXPECT_EQ(refusal(of_point("", "")), "that is malformed") << crv;
    }
    auto higher =
        "Ay3xNgFZSog-8tk15Eu5C_TWYZt05Sr3VS-XdpARwHGetDnPqyqI1A_"
        "lmivtH0NVcWmi0KLM0oDGB7krv1H_4LB3"; // y of P-521 plus the prime
    EXPECT_EQ(
        refusal(R"({"kty":"EC","crv":"P-521","x":")" +
            base64url(std::string(66, '\0')) + R"(","y":")" + higher + "\"}"),
        "that is malformed");
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
