#include "jose/private_key.h"

#include "core/encoding.h"
#include "jose/jws.h"
#include "support/complaint.h"
#include "support/signer.h"
#include "support/test_keys.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <map>

namespace oidc::test {
namespace {

using Key = std::shared_ptr<EVP_PKEY>;

Key owned(EVP_PKEY* key)
{
    EXPECT_NE(key, nullptr);
    return {key, EVP_PKEY_free};
}

Key rsa()
{
    auto der = base64url_decode(rsa_test_key).value();
    auto start = reinterpret_cast<const unsigned char*>(der.data());
    return owned(d2i_PrivateKey(
        EVP_PKEY_RSA, nullptr, &start, static_cast<long>(der.size())));
}

Key ec(const char* curve)
{
    return owned(EVP_EC_gen(curve));
}

Key ed25519()
{
    return owned(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
}

std::string number(const Key& key, const char* name, int size = 0)
{
    BIGNUM* value = nullptr;
    EXPECT_TRUE(EVP_PKEY_get_bn_param(key.get(), name, &value)) << name;
    if (size == 0) {
        size = BN_num_bytes(value);
    }
    std::string octets(static_cast<std::size_t>(size), '\0');
    BN_bn2binpad(value, reinterpret_cast<unsigned char*>(octets.data()), size);
    BN_clear_free(value);
    return base64url(octets);
}

using Members = std::map<std::string, std::string>;

Members members(const Key& key)
{
    if (EVP_PKEY_is_a(key.get(), "RSA")) {
        return {{"kty", "RSA"}, {"n", number(key, "n")},
            {"e", number(key, "e")}, {"d", number(key, "d")},
            {"p", number(key, "rsa-factor1")},
            {"q", number(key, "rsa-factor2")},
            {"dp", number(key, "rsa-exponent1")},
            {"dq", number(key, "rsa-exponent2")},
            {"qi", number(key, "rsa-coefficient1")}};
    }
    if (EVP_PKEY_is_a(key.get(), "EC")) {
        auto bits = EVP_PKEY_get_bits(key.get());
        auto size = (bits + 7) / 8;
        return {{"kty", "EC"}, {"crv", "P-" + std::to_string(bits)},
            {"x", number(key, "qx", size)}, {"y", number(key, "qy", size)},
            {"d", number(key, "priv", size)}};
    }
    std::string x(32, '\0');
    std::string d(32, '\0');
    auto size = x.size();
    EVP_PKEY_get_raw_public_key(
        key.get(), reinterpret_cast<unsigned char*>(x.data()), &size);
    EVP_PKEY_get_raw_private_key(
        key.get(), reinterpret_cast<unsigned char*>(d.data()), &size);
    return {{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", base64url(x)},
        {"d", base64url(d)}};
}

// `more` is JSON like "use":"sig".
std::string jwk(const Members& members, std::string_view more = "")
{
    std::string text;
    for (const auto& [name, value] : members) {
        text += (text.empty() ? "{\"" : ",\"") + name + "\":\"" + value + "\"";
    }
    return text + (more.empty() ? "" : ",") + std::string(more) + "}";
}

std::string public_jwk(const Key& key, std::string_view more = "")
{
    auto public_members = members(key);
    for (auto name : {"d", "p", "q", "dp", "dq", "qi"}) {
        public_members.erase(name);
    }
    return jwk(public_members, more);
}

using Write = int (*)(BIO*, EVP_PKEY*);

std::string written(const Key& key, Write write)
{
    auto bio = BIO_new(BIO_s_mem());
    EXPECT_EQ(write(bio, key.get()), 1);
    char* start = nullptr;
    auto size = BIO_get_mem_data(bio, &start);
    std::string text(start, static_cast<std::size_t>(size));
    BIO_free(bio);
    return text;
}

int pkcs8(BIO* bio, EVP_PKEY* key)
{
    return PEM_write_bio_PrivateKey(
        bio, key, nullptr, nullptr, 0, nullptr, nullptr);
}

// PKCS #1 for RSA, SEC 1 for EC.
int traditional(BIO* bio, EVP_PKEY* key)
{
    return PEM_write_bio_PrivateKey_traditional(
        bio, key, nullptr, nullptr, 0, nullptr, nullptr);
}

unsigned char password[] = "a password";

int encrypted(BIO* bio, EVP_PKEY* key)
{
    return PEM_write_bio_PrivateKey(
        bio, key, EVP_aes_128_cbc(), password, 10, nullptr, nullptr);
}

int encrypted_traditional(BIO* bio, EVP_PKEY* key)
{
    return PEM_write_bio_PrivateKey_traditional(
        bio, key, EVP_aes_128_cbc(), password, 10, nullptr, nullptr);
}

int public_half(BIO* bio, EVP_PKEY* key)
{
    return PEM_write_bio_PUBKEY(bio, key);
}

std::string pem(const Key& key)
{
    return written(key, pkcs8);
}

std::optional<PrivateKey> parse(std::string_view text)
{
    std::string why = "an old reason";
    auto key = PrivateKey::parse(text, why);
    EXPECT_TRUE(key) << why << "\n" << text;
    EXPECT_EQ(why, "");
    return key;
}

std::string refusal(std::string_view text)
{
    std::string why;
    EXPECT_FALSE(PrivateKey::parse(text, why)) << text;
    return why;
}

std::string algorithms(const PrivateKey& key)
{
    std::string names;
    for (auto name : {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
             "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "HS256"}) {
        const std::string offered[] = {"unknown", name};
        if (auto found = key.algorithm(offered)) {
            EXPECT_EQ(found->name, name);
            names += std::string(names.empty() ? "" : " ") + name;
        }
    }
    return names;
}

std::string encryptions(const PrivateKey& key)
{
    std::string names;
    for (auto name : key.encryptions()) {
        EXPECT_TRUE(key.can_decrypt(name));
        names += std::string(names.empty() ? "" : " ") + std::string(name);
    }
    return names;
}

constexpr TokenKind kind{"assertion", Errc::id_token_malformed,
    Errc::id_token_alg, Errc::id_token_crit, Errc::id_token_key,
    Errc::id_token_signature};

constexpr std::string_view payload = R"({"iss":"us"})";

// The payload, verified with the public key.
std::string verified(
    const std::string& compact, std::string_view alg, const std::string& jwk)
{
    const std::string allowed[] = {std::string(alg)};
    auto jws = Jws::parse(kind, compact, allowed);
    auto keys = KeySet::parse(key_set({jwk}));
    if (!jws || !keys) {
        return complaint(jws);
    }
    auto plain = jws->verify(*keys, "");
    return plain ? *plain : complaint(plain);
}

std::string header(const std::string& compact)
{
    return base64url_decode(compact.substr(0, compact.find('.'))).value();
}

TEST(PrivateKey, SignsWithEveryAlgorithmOfItsType)
{
    const struct {
        Key key;
        std::string algorithms;
    } all[] = {
        {rsa(), "RS256 RS384 RS512 PS256 PS384 PS512"},
        {ec("P-256"), "ES256"},
        {ec("P-384"), "ES384"},
        {ec("P-521"), "ES512"},
        {ed25519(), "EdDSA Ed25519"},
    };
    for (const auto& [key, names] : all) {
        for (const auto& text : {pem(key), jwk(members(key))}) {
            auto ours = parse(text);
            EXPECT_EQ(algorithms(*ours), names);
            for (auto name = names; !name.empty();) {
                auto alg = name.substr(0, name.find(' '));
                name.erase(0, alg.size() + 1);
                auto compact = ours->sign(*find_algorithm(alg), payload);
                ASSERT_TRUE(compact) << alg;
                EXPECT_EQ(header(*compact),
                    R"({"alg":")" + alg + R"(","typ":"JWT"})");
                EXPECT_EQ(verified(*compact, alg, public_jwk(key)), payload);
            }
            EXPECT_FALSE(ours->sign(*find_algorithm("HS256"), payload));
        }
    }
}

TEST(PrivateKey, PrefersTheUsualAlgorithm)
{
    auto key = parse(pem(rsa()));
    EXPECT_EQ(key->algorithm({})->name, "RS256");
    const std::string offered[] = {"PS512", "ES256", "RS512", "PS256"};
    EXPECT_EQ(key->algorithm(offered)->name, "PS256");
    const std::string foreign[] = {"ES256", "HS256", "none"};
    EXPECT_EQ(key->algorithm(foreign), nullptr);
}

TEST(PrivateKey, SignsWithNothingButItsOwnAlgorithm)
{
    auto key = parse(jwk(members(ec("P-256"))));
    for (auto name : {"ES384", "ES512", "RS256", "EdDSA", "HS256"}) {
        EXPECT_FALSE(key->sign(*find_algorithm(name), payload)) << name;
    }
}

TEST(PrivateKey, SignsAnEmptyAndABinaryPayload)
{
    auto key = rsa();
    auto ours = parse(pem(key));
    using namespace std::string_literals;
    for (const auto& text : {""s, "\0\xff"s, std::string(10000, 'x')}) {
        auto compact = ours->sign(*find_algorithm("RS256"), text);
        ASSERT_TRUE(compact);
        EXPECT_EQ(verified(*compact, "RS256", public_jwk(key)), text);
    }
    EXPECT_TRUE(ours->sign(*find_algorithm("RS256"), std::string_view()));
}

TEST(PrivateKey, NamesItselfByTheKidOfItsJwk)
{
    const std::string kid = R"("kid":"a\"ö\\u0001")";
    for (const auto& key : {rsa(), ec("P-256"), ed25519()}) {
        auto ours = parse(jwk(members(key), kid));
        auto algorithm = ours->algorithm({});
        auto compact = ours->sign(*algorithm, payload);
        ASSERT_TRUE(compact);
        EXPECT_EQ(header(*compact),
            R"({"alg":")" + std::string(algorithm->name) + R"(","typ":"JWT",)" +
                kid + "}");
        EXPECT_EQ(
            verified(*compact, algorithm->name, public_jwk(key, kid)), payload);
    }
}

TEST(PrivateKey, ComesInEveryFormOfPem)
{
    for (const auto& key : {rsa(), ec("P-256"), ec("P-384"), ec("P-521")}) {
        auto pkcs8_text = written(key, pkcs8);
        auto text = written(key, traditional);
        EXPECT_NE(text, pkcs8_text);
        for (const auto& form : {pkcs8_text, text, "\n\n" + text,
                 "a comment\n" + text + "\nand another", text + text}) {
            auto ours = parse(form);
            auto algorithm = ours->algorithm({});
            EXPECT_EQ(verified(ours->sign(*algorithm, payload).value(),
                          algorithm->name, public_jwk(key)),
                payload);
        }
    }
}

// As written by "openssl ecparam -genkey".
TEST(PrivateKey, MayFollowItsCurveInPem)
{
    auto text = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
                "-----END EC PARAMETERS-----\n" +
        written(ec("P-256"), traditional);
    EXPECT_EQ(algorithms(*parse(text)), "ES256");
}

TEST(PrivateKey, NeedsNoPrimes)
{
    auto key = rsa();
    auto parts = members(key);
    for (auto name : {"p", "q", "dp", "dq", "qi"}) {
        parts.erase(name);
    }
    auto ours = parse(jwk(parts));
    for (auto alg : {"RS256", "PS256"}) {
        auto compact = ours->sign(*find_algorithm(alg), payload);
        EXPECT_EQ(verified(compact.value(), alg, public_jwk(key)), payload);
    }
}

TEST(PrivateKey, DoesWhatItsJwkSaysItIsFor)
{
    const struct {
        Key key;
        std::string members;
        std::string algorithms;
        std::string encryption;
    } all[] = {
        {ec("P-256"), "", "ES256", "ECDH-ES"},
        {ec("P-384"), R"("use":"sig")", "ES384", ""},
        {ec("P-521"), R"("use":"enc")", "", "ECDH-ES"},
        {ec("P-256"), R"("alg":"ES256")", "ES256", ""},
        {ec("P-256"), R"("alg":"ECDH-ES")", "", "ECDH-ES"},
        {ec("P-256"), R"("key_ops":["sign","verify"])", "ES256", ""},
        {ec("P-256"), R"("key_ops":["deriveKey"])", "", "ECDH-ES"},
        {ec("P-256"), R"("key_ops":["deriveBits"])", "", "ECDH-ES"},
        {rsa(), R"("alg":"PS256")", "PS256", ""},
        {rsa(), R"("alg":"RSA-OAEP")", "", "RSA-OAEP"},
        {rsa(), R"("alg":"RSA-OAEP-256")", "", "RSA-OAEP-256"},
        {rsa(), R"("key_ops":["decrypt"])", "", "RSA-OAEP RSA-OAEP-256"},
        {rsa(), R"("key_ops":["unwrapKey"],"use":"enc")", "",
            "RSA-OAEP RSA-OAEP-256"},
        {ed25519(), "", "EdDSA Ed25519", ""},
        {ed25519(), R"("alg":"EdDSA","key_ops":["sign"])", "EdDSA Ed25519", ""},
        {ed25519(), R"("alg":"Ed25519")", "EdDSA Ed25519", ""},
        {ed25519(), R"("x5c":["AAAA"],"unknown":{"a":[1]})", "EdDSA Ed25519",
            ""},
    };
    for (const auto& [key, more, names, encryption] : all) {
        auto ours = parse(jwk(members(key), more));
        EXPECT_EQ(algorithms(*ours), names) << more;
        EXPECT_EQ(encryptions(*ours), encryption) << more;
        EXPECT_EQ(ours->algorithm({}) == nullptr, names.empty()) << more;
    }
}

// RFC 9864, 2.2
TEST(PrivateKey, SignsByTheNameThatItsJwkHas)
{
    auto first = [](const std::string& more) {
        return parse(jwk(members(ed25519()), more))->algorithm({})->name;
    };
    EXPECT_EQ(first(""), "EdDSA");
    EXPECT_EQ(first(R"("alg":"EdDSA")"), "EdDSA");
    EXPECT_EQ(first(R"("alg":"Ed25519")"), "Ed25519");
}

TEST(PrivateKey, IsRefusedWhereItsJwkLeavesItNothingToDo)
{
    const std::pair<Key, std::string> all[] = {
        {ec("P-256"), R"("use":"other")"},
        {ec("P-256"), R"("alg":"ES384")"},
        {ec("P-256"), R"("alg":"ECDH-ES+A128KW")"},
        {ec("P-256"), R"("alg":"ECDH-ES","use":"sig")"},
        {ec("P-256"), R"("key_ops":["verify"])"},
        {ec("P-256"), R"("key_ops":"sign")"},
        {rsa(), R"("alg":"RSA-OAEP-384")"},
        {rsa(), R"("alg":"RSA1_5")"},
        {rsa(), R"("alg":"HS256")"},
        {ed25519(), R"("use":"enc")"},
    };
    for (const auto& [key, more] : all) {
        EXPECT_EQ(refusal(jwk(members(key), more)),
            "that fits no supported signature or encryption algorithm")
            << more;
    }
}

TEST(PrivateKey, OfPemMayDoWhatItsTypeCan)
{
    EXPECT_EQ(encryptions(*parse(pem(rsa()))), "RSA-OAEP RSA-OAEP-256");
    EXPECT_EQ(encryptions(*parse(pem(ec("P-256")))), "ECDH-ES");
    EXPECT_EQ(encryptions(*parse(pem(ed25519()))), "");
    EXPECT_EQ(parse(pem(rsa()))->kty(), Kty::rsa);
    EXPECT_EQ(parse(pem(ec("P-256")))->kty(), Kty::ec);
    EXPECT_EQ(parse(pem(ed25519()))->kty(), Kty::okp);
}

TEST(PrivateKey, IsRefusedForAReason)
{
    auto no_key = "that is neither a JWK nor a private key in PEM";
    auto of_rsa = [](unsigned bits) { return owned(EVP_RSA_gen(bits)); };
    auto renamed = members(ec("P-256"));
    renamed["crv"] = "prime256v1"; // OpenSSL's name
    const struct {
        std::string text;
        std::string why;
    } refused[] = {
        {"", no_key},
        {" \n", no_key},
        {"a", no_key},
        {"[]", no_key},
        {std::string(10000, '-'), no_key},
        {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            no_key},
        {pem(rsa()).substr(0, 1000), no_key},
        {written(rsa(), public_half), no_key},
        {written(rsa(), encrypted), "that is encrypted"},
        {written(rsa(), encrypted_traditional), "that is encrypted"},
        {pem(of_rsa(1024)), "with an RSA modulus of 1024 bits"},
        {jwk(members(of_rsa(1024))), "with an RSA modulus of 1024 bits"},
        {pem(of_rsa(2040)), "with an RSA modulus of 2040 bits"},
        {pem(ec("secp256k1")), "on an unknown curve"},
        {pem(ec("P-224")), "on an unknown curve"},
        {pem(owned(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"))),
            "of an unknown type"},
        {pem(owned(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED448"))),
            "of an unknown type"},
        {"{", "that is malformed JSON"},
        {R"({"kty":"EC","kty":"EC"})", "that is JSON with a duplicate member"},
        {"{}", "of an unknown type"},
        {R"({"kty":1})", "of an unknown type"},
        {R"({"kty":"oct","k":"AAAA"})", "of an unknown type"},
        {R"({"kty":"ec","d":"AAAA"})", "of an unknown type"},
        {R"({"keys":[]})", "of an unknown type"},
        {public_jwk(rsa()), "without private parts"},
        {public_jwk(ec("P-256")), "without private parts"},
        {public_jwk(ed25519()), "without private parts"},
        {R"({"kty":"RSA","d":"AAAA"})", "that is malformed"},
        {jwk(renamed), "that is malformed"},
        {R"({"kty":"EC","d":"AAAA"})", "that is malformed"},
        {R"({"kty":"OKP","d":"AAAA"})", "that is malformed"},
        {jwk(members(rsa()), R"("oth":[])"), "that is malformed"},
        {jwk(members(rsa()), R"("kid":1)"), "that is malformed"},
        {jwk(members(rsa()), R"("alg":1)"), "that is malformed"},
        {jwk(members(rsa()), R"("use":["sig"])"), "that is malformed"},
        {jwk(members(rsa()), "\"kid\":\"" + std::string(1025, 'k') + "\""),
            "that is malformed"},
    };
    for (const auto& [text, why] : refused) {
        EXPECT_EQ(refusal(text), why) << text;
    }
}

TEST(PrivateKey, IsRefusedWithAMemberThatIsMissingOrOdd)
{
    for (const auto& key :
        {rsa(), ec("P-256"), ec("P-384"), ec("P-521"), ed25519()}) {
        auto good = members(key);
        for (const auto& [name, value] : good) {
            if (name == "kty" || name == "crv") {
                continue;
            }
            auto bad = good;
            bad.erase(name);
            EXPECT_EQ(refusal(jwk(bad)),
                name == "d" ? "without private parts" : "that is malformed")
                << name;
            auto rest = jwk(bad);
            EXPECT_EQ(
                refusal(jwk(bad, "\"" + name + "\":1")), "that is malformed")
                << name;
            // cjose 0.6.2 aborts the process on the second of these.
            for (const auto& odd : {std::string(), std::string("A=AA"),
                     value + "=", value + "==", value + "A", value + "\\n",
                     "+" + value.substr(1), "*" + value.substr(1)}) {
                bad[name] = odd;
                EXPECT_NE(refusal(jwk(bad)), "") << name << " " << odd;
            }
        }
    }
}

TEST(PrivateKey, IsRefusedWithAMemberOfAnotherKey)
{
    const std::pair<Key, Key> pairs[] = {
        {rsa(), owned(EVP_RSA_gen(2048))},
        {ec("P-256"), ec("P-256")},
        {ec("P-384"), ec("P-384")},
        {ec("P-521"), ec("P-521")},
        {ed25519(), ed25519()},
    };
    for (const auto& [key, other] : pairs) {
        auto foreign = members(other);
        for (const auto& [name, value] : foreign) {
            auto mixed = members(key);
            if (mixed[name] == value) { // "kty", "crv", "e"
                continue;
            }
            mixed[name] = value;
            auto why = refusal(jwk(mixed));
            // A single changed coordinate is not on the curve.
            EXPECT_EQ(why,
                name == "y" || (name == "x" && mixed.contains("y")) ?
                    "that is malformed" :
                    "whose public and private parts do not match")
                << name;
        }
    }
}

// All parts match the exponent and another key's primes: OpenSSL would sign
// with such a key, using only the exponent.
TEST(PrivateKey, HasThePrimesOfItsModulus)
{
    auto bn = [](const Key& key, const char* name) {
        BIGNUM* value = nullptr;
        EVP_PKEY_get_bn_param(key.get(), name, &value);
        return std::shared_ptr<BIGNUM>(value, BN_clear_free);
    };
    auto text = [](const BIGNUM* value) {
        std::string octets(static_cast<std::size_t>(BN_num_bytes(value)), 0);
        BN_bn2bin(value, reinterpret_cast<unsigned char*>(octets.data()));
        return base64url(octets);
    };
    auto key = rsa();
    auto other = owned(EVP_RSA_gen(2048));
    auto d = bn(key, "d");
    auto mixed = members(key);
    for (auto name : {"p", "q", "qi"}) {
        mixed[name] = members(other)[name];
    }
    std::shared_ptr<BN_CTX> context(BN_CTX_new(), BN_CTX_free);
    for (auto [exponent, prime] :
        {std::pair{"dp", "rsa-factor1"}, std::pair{"dq", "rsa-factor2"}}) {
        auto order = bn(other, prime);
        BN_sub_word(order.get(), 1);
        BN_mod(order.get(), d.get(), order.get(), context.get());
        mixed[exponent] = text(order.get());
    }
    EXPECT_EQ(
        refusal(jwk(mixed)), "whose public and private parts do not match");
}

// To the power of 1 a padded text is its own signature, made without a secret.
TEST(PrivateKey, OfRsaHasAnOddExponentInItsRange)
{
    auto parts = members(rsa());
    for (auto name : {"p", "q", "dp", "dq", "qi"}) {
        parts.erase(name);
    }
    parts["d"] = "AQ";
    for (const auto& e : {"AQ", "AA", "Ag", "AQAA"}) {
        parts["e"] = e;
        EXPECT_EQ(refusal(jwk(parts)),
            "with an RSA exponent that is not an odd number from 3 to 2^256")
            << e;
    }
    parts["e"] = "AQAB";
    auto n = base64url_decode(parts["n"]).value();
    n.back() = static_cast<char>(n.back() & ~1);
    parts["n"] = base64url(n);
    EXPECT_EQ(refusal(jwk(parts)), "with an even RSA modulus");
}

TEST(PrivateKey, WithoutPrimesMustStillVerify)
{
    auto parts = members(rsa());
    for (auto name : {"p", "q", "dp", "dq", "qi"}) {
        parts.erase(name);
    }
    for (const auto& d : {parts["n"], parts["e"], std::string("AQ")}) {
        auto bad = parts;
        bad["d"] = d;
        EXPECT_EQ(
            refusal(jwk(bad)), "whose public and private parts do not match");
    }
}

TEST(PrivateKey, HasABoundOfSize)
{
    auto of_ones = [](std::size_t size) {
        auto number = base64url(std::string(size, '\xff'));
        return jwk(
            {{"kty", "RSA"}, {"n", number}, {"e", "AQAB"}, {"d", number}});
    };
    EXPECT_EQ(
        refusal(of_ones(2048)), "whose public and private parts do not match");
    EXPECT_EQ(refusal(of_ones(2049)), "with an RSA modulus of 16392 bits");
}

TEST(PrivateKey, OfTheCurveHasARangeToBeIn)
{
    auto parts = members(ec("P-256"));
    parts["d"] = base64url(std::string(32, '\0'));
    EXPECT_NE(refusal(jwk(parts)), "");
    parts["d"] = base64url(std::string(32, '\xff'));
    EXPECT_NE(refusal(jwk(parts)), "");
}

// RFC 7518, appendix C
constexpr auto bob = R"({"kty":"EC","crv":"P-256",)"
                     R"("x":"weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",)"
                     R"("y":"e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",)"
                     R"("d":"VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw"})";
constexpr auto alice = R"({"kty":"EC","crv":"P-256",)"
                       R"("x":"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0",)"
                       R"("y":"SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"})";

TEST(PrivateKey, AgreesAsInTheStandard)
{
    const unsigned char z[] = {158, 86, 217, 29, 129, 113, 53, 211, 114, 131,
        66, 131, 191, 132, 38, 156, 251, 49, 110, 163, 218, 128, 106, 72, 246,
        218, 167, 121, 140, 254, 144, 196};
    auto shared = parse(bob)->agree(Json::parse(alice)->root());
    ASSERT_TRUE(shared);
    EXPECT_EQ(shared->reveal(),
        std::string(reinterpret_cast<const char*>(z), sizeof(z)));
}

TEST(PrivateKey, AgreesWithItsOwnCurveAlone)
{
    for (auto curve : {"P-256", "P-384", "P-521"}) {
        auto a = ec(curve);
        auto b = ec(curve);
        auto from_a = parse(pem(a))->agree(Json::parse(public_jwk(b))->root());
        auto from_b = parse(pem(b))->agree(Json::parse(public_jwk(a))->root());
        ASSERT_TRUE(from_a && from_b);
        EXPECT_EQ(from_a->reveal(), from_b->reveal());
        EXPECT_EQ(from_a->reveal().size(), members(a)["d"].size() * 3 / 4);

        for (auto other : {"P-256", "P-384", "P-521"}) {
            if (curve != std::string_view(other)) {
                auto peer = public_jwk(ec(other));
                EXPECT_FALSE(parse(pem(a))->agree(Json::parse(peer)->root()));
            }
        }
    }
}

TEST(PrivateKey, AgreesWithNoOddPeer)
{
    auto key = ec("P-256");
    auto ours = parse(pem(key));
    auto good = members(ec("P-256"));
    good.erase("d");
    auto with = [&](const char* name, const std::string& value) {
        auto odd = good;
        odd[name] = value;
        return jwk(odd);
    };
    ASSERT_TRUE(ours->agree(Json::parse(jwk(good))->root()));

    auto zero = base64url(std::string(32, '\0'));
    auto of_zero = good;
    of_zero["x"] = of_zero["y"] = zero;
    auto no_point = jwk(of_zero);
    of_zero["y"] = "ZkhceA4vg9ckM71dhKBrtlQcKvMdrocXKL-FahdPk_Q";
    ASSERT_TRUE(ours->agree(Json::parse(jwk(of_zero))->root()));
    of_zero["x"] = "_____wAAAAEAAAAAAAAAAAAAAAD_______________8";
    auto above_the_prime = jwk(of_zero);

    for (const auto& text :
        {std::string("{}"), with("kty", "OKP"), with("crv", "P-384"),
            with("crv", "p-256"), with("x", ""), with("x", "A=AA"),
            with("y", good["x"]), with("y", good["y"].substr(4)),
            with("x", "AAAA" + good["x"]), with("x", good["x"] + "="),
            with("x", base64url(std::string(32, '\0'))),
            with("x", base64url(std::string(32, '\xff'))), no_point,
            above_the_prime, with("d", members(key)["d"]),
            jwk(good, R"("d":1)"), public_jwk(rsa()), public_jwk(ed25519())}) {
        EXPECT_FALSE(ours->agree(Json::parse(text)->root())) << text;
    }
    EXPECT_FALSE(ours->agree(JsonValue()));
    auto list = Json::parse(R"({"epk":[1]})");
    EXPECT_FALSE(ours->agree((*list)["epk"]));

    for (const auto& other : {rsa(), ed25519()}) {
        EXPECT_FALSE(parse(pem(other))->agree(Json::parse(jwk(good))->root()));
    }
}

TEST(PrivateKey, IsSharedByItsCopies)
{
    std::optional<PrivateKey> copy;
    {
        auto key = parse(bob);
        copy = *key;
    }
    EXPECT_TRUE(copy->sign(*find_algorithm("ES256"), payload));
}

TEST(Secret, SignsWhatTheSecretVerifies)
{
    const std::string secret(64, 's');
    auto keys = KeySet::parse(key_set({Signer::rsa().jwk()}));
    for (std::string alg : {"HS256", "HS384", "HS512"}) {
        auto compact = sign_with_secret(*find_algorithm(alg), secret, payload);
        ASSERT_TRUE(compact) << alg;
        EXPECT_EQ(header(*compact), R"({"alg":")" + alg + R"(","typ":"JWT"})");
        const std::string allowed[] = {alg};
        auto jws = Jws::parse(kind, *compact, allowed);
        ASSERT_TRUE(jws);
        EXPECT_EQ(complaint(jws->verify(*keys, secret)), "");
        EXPECT_NE(complaint(jws->verify(*keys, secret + "x")), "");
        EXPECT_EQ(*compact,
            Signer::secret(secret).sign(alg, payload, R"("typ":"JWT")"));
    }
}

TEST(Secret, SignsWithNothingShort)
{
    for (std::size_t size : {32, 48, 64}) {
        auto& algorithm = *find_algorithm("HS" + std::to_string(8 * size));
        EXPECT_TRUE(
            sign_with_secret(algorithm, std::string(size, 's'), payload));
        EXPECT_FALSE(
            sign_with_secret(algorithm, std::string(size - 1, 's'), payload));
        EXPECT_FALSE(sign_with_secret(algorithm, "", payload));
    }
    EXPECT_FALSE(sign_with_secret(
        *find_algorithm("RS256"), std::string(64, 's'), payload));
}

}
}
