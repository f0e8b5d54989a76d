#include "core/crypto.h"

#include "core/encoding.h"
#include "support/play.h"

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdexcept>
#include <unordered_set>

namespace oidc::test {
namespace {

// nginx logs an error left in OpenSSL's queue as an alert, and it may fail an
// unrelated TLS connection: no test may leave one.
class QueueWatch : public testing::EmptyTestEventListener {
    void OnTestEnd(const testing::TestInfo&) override
    {
        EXPECT_EQ(ERR_peek_error(), 0u);
        ERR_clear_error();
    }
};

[[maybe_unused]] const bool watching = [] {
    testing::UnitTest::GetInstance()->listeners().Append(new QueueWatch);
    return true;
}();

std::string hex(std::string_view bytes)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (char c : bytes) {
        text += digits[static_cast<unsigned char>(c) >> 4];
        text += digits[c & 15];
    }
    return text;
}

TEST(Secret, WipesAndCopies)
{
    Secret secret(std::string("a secret that is longer than a short string"));
    auto copy = secret;
    Secret other(std::string("another"));
    other = secret;
    auto& same = other;
    other = same;
    EXPECT_EQ(copy.reveal(), secret.reveal());
    EXPECT_EQ(other.reveal(), secret.reveal());
    EXPECT_FALSE(other.empty());
    other = Secret();
    EXPECT_TRUE(other.empty());
}

TEST(Random, GivesTheBytesAskedFor)
{
    EXPECT_EQ(random_bytes(0).size(), 0u);
    EXPECT_EQ(random_bytes(24).size(), 24u);
    EXPECT_NE(random_bytes(24), random_bytes(24));
}

// FIPS 180-4's "abc"
TEST(Digest, IsSha2)
{
    EXPECT_EQ(hex(digest(Hash::sha256, "abc")),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hex(digest(Hash::sha384, "abc")),
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
        "8086072ba1e7cc2358baeca134c825a7");
    EXPECT_EQ(hex(digest(Hash::sha512, "abc")),
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    EXPECT_EQ(hex(digest(Hash::sha256, "")),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Equal, ComparesAllBytes)
{
    EXPECT_TRUE(equal("", ""));
    EXPECT_TRUE(equal("abc", "abc"));
    EXPECT_FALSE(equal("abc", "abd"));
    EXPECT_FALSE(equal("abc", "bbc"));
    EXPECT_FALSE(equal("abc", "ab"));
    EXPECT_FALSE(equal("", "a"));
}

// RFC 5869, A.3: no salt, no info
TEST(Hkdf, GivesTheExampleWithoutSalt)
{
    EXPECT_EQ(hex(hkdf(std::string(22, 0x0b), "", 42)),
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
        "9d201395faa4b61a96c8");
}

std::string hmac_sha256(std::string_view key, std::string_view text)
{
    unsigned char sum[32];
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
        reinterpret_cast<const unsigned char*>(text.data()), text.size(), sum,
        nullptr);
    return {reinterpret_cast<char*>(sum), sizeof(sum)};
}

// RFC 5869, 2, implemented with HMAC
TEST(Hkdf, ExtractsAndExpandsWithInfo)
{
    std::string info = "what for";
    auto extracted = hmac_sha256(std::string(32, '\0'), "the key");
    auto first = hmac_sha256(extracted, info + '\1');
    auto second = hmac_sha256(extracted, first + info + '\2');
    EXPECT_EQ(hkdf("the key", info, 40), (first + second).substr(0, 40));
}

// RFC 5869, 2.3: at most 255 blocks
TEST(Hkdf, ThrowsWhereOpensslFails)
{
    EXPECT_EQ(hkdf("key", "info", 255 * 32).size(), 255u * 32);
    EXPECT_THROW(hkdf("key", "info", 255 * 32 + 1), std::runtime_error);
}

TEST(BindFields, HasOneTextForEveryList)
{
    EXPECT_EQ(bind_fields({}), "");
    EXPECT_EQ(bind_fields({"ab", ""}), "2:ab0:");
    EXPECT_NE(bind_fields({"a", "b"}), bind_fields({"ab"}));
    EXPECT_NE(bind_fields({"a", "b"}), bind_fields({"ab", ""}));
    EXPECT_NE(bind_fields({"a", "b"}), bind_fields({"", "ab"}));
    EXPECT_NE(bind_fields({"a", "1:b"}), bind_fields({"a1:b"}));
    EXPECT_NE(bind_fields({"1:a"}), bind_fields({"a"}));
}

constexpr std::string_view example_nonce = "ABCDEFGHIJKLMNOPQRSTUVWX";

// C2SP, xaes-256-gcm.md, test vectors
TEST(Xaes, GivesThePublishedVectors)
{
    EXPECT_EQ(hex(xaes_seal(
                  std::string(32, '\x01'), example_nonce, "XAES-256-GCM", "")),
        "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271");
    EXPECT_EQ(hex(xaes_seal(std::string(32, '\x03'), example_nonce,
                  "XAES-256-GCM", "c2sp.org/XAES-256-GCM")),
        "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d");
}

std::string shake128(std::string_view bytes, std::size_t size)
{
    std::string out(size, '\0');
    auto context = EVP_MD_CTX_new();
    EVP_DigestInit_ex(context, EVP_shake128(), nullptr);
    EVP_DigestUpdate(context, bytes.data(), bytes.size());
    EVP_DigestFinalXOF(
        context, reinterpret_cast<unsigned char*>(out.data()), size);
    EVP_MD_CTX_free(context);
    return out;
}

// C2SP, xaes-256-gcm.md: seals 10,000 inputs from SHAKE128 of nothing, and
// compares the SHAKE128 of all seals.
TEST(Xaes, GivesThePublishedAccumulatedVector)
{
    constexpr std::size_t seals = 10'000;
    auto stream = shake128("", seals * (32 + 24 + 2 * 256));
    std::string_view rest = stream;
    auto take = [&](std::size_t size) {
        auto taken = rest.substr(0, size);
        rest.remove_prefix(size);
        return taken;
    };
    auto take_sized = [&] {
        return take(static_cast<unsigned char>(take(1).front()));
    };
    std::string sealed;
    for (std::size_t i = 0; i < seals; i++) {
        auto key = take(32);
        auto nonce = take(24);
        auto plain = take_sized();
        auto associated = take_sized();
        sealed += xaes_seal(key, nonce, plain, associated);
    }
    EXPECT_EQ(hex(shake128(sealed, 32)),
        "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939");
}

KeyRing ring(std::initializer_list<char> masters, std::string_view purpose)
{
    std::vector<Secret> keys;
    for (char byte : masters) {
        keys.push_back(master_key(byte));
    }
    return KeyRing(keys, purpose);
}

TEST(KeyRing, OpensWhatItSealed)
{
    auto keys = ring({1}, "test");
    for (std::size_t size : {0, 1, 15, 16, 17, 300, 100'000}) {
        std::string plain(size, 'p');
        auto sealed = keys.seal(plain, "for this", random_bytes);
        EXPECT_EQ(sealed.size(), 4 + 24 + size + 16);
        auto opened = keys.open(sealed, "for this");
        ASSERT_TRUE(opened);
        EXPECT_EQ(opened->plain, plain);
        EXPECT_EQ(opened->key, 0u);
    }
}

TEST(KeyRing, OpensNothingForAnotherUse)
{
    auto keys = ring({1}, "test");
    auto sealed = keys.seal("plain", "for this", random_bytes);
    EXPECT_FALSE(keys.open(sealed, "for that"));
    EXPECT_FALSE(keys.open(sealed, ""));
    EXPECT_FALSE(ring({1}, "another purpose").open(sealed, "for this"));
    EXPECT_FALSE(ring({2}, "test").open(sealed, "for this"));
    EXPECT_FALSE(KeyRing().open(sealed, "for this"));
}

TEST(KeyRing, OpensNothingTampered)
{
    auto keys = ring({1, 2}, "test");
    auto sealed = keys.seal("plain", "a", random_bytes);
    for (std::size_t bit = 0; bit < sealed.size() * 8; bit++) {
        auto tampered = sealed;
        tampered[bit / 8] = static_cast<char>(tampered[bit / 8] ^ 1 << bit % 8);
        EXPECT_FALSE(keys.open(tampered, "a")) << bit;
    }
    for (std::size_t size = 0; size < sealed.size(); size++) {
        EXPECT_FALSE(keys.open(sealed.substr(0, size), "a")) << size;
    }
    EXPECT_FALSE(keys.open(sealed + '\0', "a"));
    EXPECT_FALSE(keys.open("x" + sealed, "a"));
    EXPECT_TRUE(keys.open(sealed, "a"));
}

TEST(KeyRing, SealsWithItsFirstKeyAndOpensWithAll)
{
    auto before = ring({1}, "test");
    auto after = ring({2, 1}, "test");
    auto old = before.seal("old", "a", random_bytes);
    auto fresh = after.seal("new", "a", random_bytes);

    ASSERT_TRUE(after.open(old, "a"));
    EXPECT_EQ(after.open(old, "a")->plain, "old");
    EXPECT_EQ(after.open(old, "a")->key, 1u);
    EXPECT_EQ(after.open(fresh, "a")->key, 0u);
    EXPECT_FALSE(before.open(fresh, "a"));
    EXPECT_FALSE(ring({2}, "test").open(old, "a"));
}

TEST(KeyRing, DerivesByKeyInfoAndPurpose)
{
    auto keys = ring({1, 2}, "test");
    auto value = keys.derive(0, "info", 32);
    EXPECT_EQ(value.size(), 32u);
    EXPECT_EQ(value, ring({3, 1}, "test").derive(1, "info", 32));
    EXPECT_NE(value, keys.derive(1, "info", 32));
    EXPECT_NE(value, keys.derive(0, "other", 32));
    EXPECT_NE(value, ring({1}, "other").derive(0, "info", 32));
    EXPECT_THROW(keys.derive(2, "info", 32), std::out_of_range);
}

TEST(KeyRing, NeverRepeatsANonce)
{
    constexpr std::size_t seals = 100'000;
    auto keys = ring({1}, "test");
    std::unordered_set<std::string> seen;
    seen.reserve(seals);
    for (std::size_t i = 0; i < seals; i++) {
        seen.insert(keys.seal("", "", random_bytes).substr(4, 24));
    }
    EXPECT_EQ(seen.size(), seals);
}

TEST(KeyRing, ShowsNothingOfWhatItSeals)
{
    auto keys = ring({1}, "test");
    std::string plain = "jane@example.com";
    auto sealed = keys.seal(plain, "a", random_bytes);
    EXPECT_EQ(sealed.find(plain), sealed.npos);
    EXPECT_NE(keys.seal(plain, "a", random_bytes), sealed);
}

TEST(KeyRing, KnowsWhatOtherKeysSealed)
{
    auto ours = ring({1, 2}, "session");
    auto sealed = [](const KeyRing& by) {
        return by.seal("plain", "for this", random_bytes);
    };
    EXPECT_TRUE(ours.is_foreign(sealed(ring({3}, "session"))));
    for (const auto& by : {ours, ring({1}, "session"), ring({2}, "session")}) {
        auto text = sealed(by);
        EXPECT_FALSE(ours.is_foreign(text));
        text.back() = static_cast<char>(text.back() ^ 1);
        EXPECT_FALSE(ours.is_foreign(text)); // tampered, but the key is known
    }
    auto shortest = ring({3}, "session").seal("", "for this", random_bytes);
    EXPECT_TRUE(ours.is_foreign(shortest));
    shortest.pop_back();
    EXPECT_FALSE(ours.is_foreign(shortest));
    EXPECT_FALSE(ours.is_foreign(""));
}

}
}
