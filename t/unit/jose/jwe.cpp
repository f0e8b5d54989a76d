#include "jose/jwe.h"

#include "core/encoding.h"
#include "support/test_keys.h"

#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>

namespace oidc::test {
namespace {

using namespace std::string_literals;

const unsigned char* bytes(std::string_view text)
{
    return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* bytes(std::string& text)
{
    return reinterpret_cast<unsigned char*>(text.data());
}

std::string big_endian(std::size_t number, std::size_t size)
{
    std::string octets(size, '\0');
    for (auto i = size; i-- > 0; number >>= 8) {
        octets[i] = static_cast<char>(number);
    }
    return octets;
}

// A content encryption of the table, as the sender uses it.
struct Content {
    std::string name;
    const EVP_CIPHER* cipher;
    std::size_t key;
    std::size_t iv;
    const EVP_MD* hash; // null for GCM
};

const std::vector<Content>& contents()
{
    static const std::vector<Content> all = {
        {"A128GCM", EVP_aes_128_gcm(), 16, 12, nullptr},
        {"A192GCM", EVP_aes_192_gcm(), 24, 12, nullptr},
        {"A256GCM", EVP_aes_256_gcm(), 32, 12, nullptr},
        {"A128CBC-HS256", EVP_aes_128_cbc(), 32, 16, EVP_sha256()},
        {"A192CBC-HS384", EVP_aes_192_cbc(), 48, 16, EVP_sha384()},
        {"A256CBC-HS512", EVP_aes_256_cbc(), 64, 16, EVP_sha512()},
    };
    return all;
}

struct Token {
    std::array<std::string, 5> parts; // decoded

    std::string compact() const
    {
        std::string text;
        for (const auto& part : parts) {
            text += (&part == parts.data() ? "" : ".") + base64url(part);
        }
        return text;
    }

    Token with(std::size_t index, std::string part) const
    {
        auto other = *this;
        other.parts[index] = std::move(part);
        return other;
    }
};

// RFC 7516, 5.1, by OpenSSL only. The header is used unchanged.
Token encrypt(const Content& content, const std::string& header,
    const std::string& encrypted_key, const std::string& key,
    std::string_view plain)
{
    auto associated = base64url(header);
    auto iv = random_bytes(content.iv);
    auto cipher_key = content.hash ? key.substr(key.size() / 2) : key;
    std::string text(plain.size() + 16, '\0');
    std::string tag(16, '\0');
    int size = 0;
    int rest = 0;

    auto context = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(
        context, content.cipher, nullptr, bytes(cipher_key), bytes(iv));
    if (!content.hash) {
        EVP_EncryptUpdate(context, nullptr, &size, bytes(associated),
            static_cast<int>(associated.size()));
    }
    EVP_EncryptUpdate(context, bytes(text), &size, bytes(plain),
        static_cast<int>(plain.size()));
    EVP_EncryptFinal_ex(context, bytes(text) + size, &rest);
    text.resize(static_cast<std::size_t>(size + rest));
    if (!content.hash) {
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, bytes(tag));
    }
    EVP_CIPHER_CTX_free(context);

    if (content.hash) { // RFC 7518, 5.2.2.1
        auto half = key.size() / 2;
        auto input =
            associated + iv + text + big_endian(associated.size() * 8, 8);
        tag.resize(EVP_MAX_MD_SIZE);
        HMAC(content.hash, key.data(), static_cast<int>(half), bytes(input),
            input.size(), bytes(tag), nullptr);
        tag.resize(half);
    }
    return {{header, encrypted_key, iv, text, tag}};
}

std::string header_of(
    std::string_view alg, const Content& content, std::string_view more = "")
{
    return R"({"alg":")" + std::string(alg) + R"(","enc":")" + content.name +
        "\"" + std::string(more) + "}";
}

constexpr std::string_view plain = "a.signed.token";
const std::string secret = "a client secret of 32 bytes, yes";

// OpenID Connect Core, 10.2
std::string secret_key(std::size_t size, std::string_view of = secret)
{
    auto hash = size > 48 ? Hash::sha512 :
        size > 32         ? Hash::sha384 :
                            Hash::sha256;
    return digest(hash, of).substr(0, size);
}

Token direct(const Content& content, std::string_view more = "")
{
    return encrypt(content, header_of("dir", content, more), "",
        secret_key(content.key), plain);
}

PrivateKey parse(std::string_view text)
{
    std::string why;
    auto key = PrivateKey::parse(text, why);
    EXPECT_TRUE(key) << why;
    return *key;
}

const PrivateKey& rsa()
{
    static const auto key = parse("-----BEGIN RSA PRIVATE KEY-----\n" +
        base64(base64url_decode(rsa_test_key).value()) +
        "\n-----END RSA PRIVATE KEY-----\n");
    return key;
}

std::string encrypt_for_rsa(
    const std::string& key, int padding, const EVP_MD* hash = nullptr)
{
    auto der = base64url_decode(rsa_test_key).value();
    auto start = bytes(std::string_view(der));
    auto pkey = d2i_PrivateKey(
        EVP_PKEY_RSA, nullptr, &start, static_cast<long>(der.size()));
    auto context = EVP_PKEY_CTX_new(pkey, nullptr);
    EVP_PKEY_encrypt_init(context);
    EVP_PKEY_CTX_set_rsa_padding(context, padding);
    if (hash != nullptr) {
        EVP_PKEY_CTX_set_rsa_oaep_md(context, hash);
        EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash);
    }
    std::string sealed(256, '\0');
    auto size = sealed.size();
    EXPECT_EQ(
        EVP_PKEY_encrypt(context, bytes(sealed), &size, bytes(key), key.size()),
        1);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(pkey);
    return sealed;
}

Token for_rsa(const Content& content, std::string_view more = "")
{
    auto key = random_bytes(content.key);
    return encrypt(content, header_of("RSA-OAEP", content, more),
        encrypt_for_rsa(key, RSA_PKCS1_OAEP_PADDING), key, plain);
}

Token for_rsa_256(const Content& content, std::string_view alg = "RSA-OAEP-256")
{
    auto key = random_bytes(content.key);
    return encrypt(content, header_of(alg, content),
        encrypt_for_rsa(key, RSA_PKCS1_OAEP_PADDING, EVP_sha256()), key, plain);
}

// Our key and the sender's. The sender's should be new for each token; here it
// is fixed. P-256: RFC 7518, appendix C.
struct Curve {
    const char* name;
    std::string ours;
    std::string theirs;
    std::string epk;
};

std::string ec_jwk(const std::string& crv, const std::string& x,
    const std::string& y, const std::string& d = "")
{
    return R"({"kty":"EC","crv":")" + crv + R"(","x":")" + x + R"(","y":")" +
        y + (d.empty() ? "" : R"(","d":")" + d) + "\"}";
}

Curve generated(const std::string& name, std::size_t size)
{
    auto generate = [&] {
        auto pkey = EVP_EC_gen(name.c_str());
        std::string point(1 + 2 * size, '\0');
        std::string d(size, '\0');
        std::size_t length = 0;
        EVP_PKEY_get_octet_string_param(
            pkey, "pub", bytes(point), point.size(), &length);
        BIGNUM* number = nullptr;
        EVP_PKEY_get_bn_param(pkey, "priv", &number);
        BN_bn2binpad(number, bytes(d), static_cast<int>(size));
        BN_clear_free(number);
        EVP_PKEY_free(pkey);
        return std::array{base64url(point.substr(1, size)),
            base64url(point.substr(1 + size)), base64url(d)};
    };
    auto ours = generate();
    auto theirs = generate();
    return {name == "P-384" ? "P-384" : "P-521",
        ec_jwk(name, ours[0], ours[1], ours[2]),
        ec_jwk(name, theirs[0], theirs[1], theirs[2]),
        ec_jwk(name, theirs[0], theirs[1])};
}

const std::vector<Curve>& curves()
{
    auto alice_x = "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0";
    auto alice_y = "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps";
    static const std::vector<Curve> all = {
        {"P-256",
            ec_jwk("P-256", "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
                "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
                "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw"),
            ec_jwk("P-256", alice_x, alice_y,
                "0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo"),
            ec_jwk("P-256", alice_x, alice_y)},
        generated("P-384", 48),
        generated("P-521", 66),
    };
    return all;
}

// RFC 7518, 4.6.2, with explicit hash rounds.
std::string concat_kdf(std::string_view shared, const std::string& enc,
    const std::string& apu, const std::string& apv, std::size_t size)
{
    auto field = [](const std::string& text) {
        return big_endian(text.size(), 4) + text;
    };
    std::string key;
    for (std::size_t round = 1; key.size() < size; round++) {
        key += digest(Hash::sha256,
            big_endian(round, 4) + std::string(shared) + field(enc) +
                field(apu) + field(apv) + big_endian(size * 8, 4));
    }
    return key.substr(0, size);
}

// PrivateKey::agree() also computes the sender's side.
Token for_ec(const Curve& curve, const Content& content,
    const std::string& apu = "", const std::string& apv = "",
    const std::string& members = "")
{
    auto our_public = curve.ours.substr(0, curve.ours.find(",\"d\"")) + "}";
    auto shared = parse(curve.theirs).agree(Json::parse(our_public)->root());
    auto key =
        concat_kdf(shared->reveal(), content.name, apu, apv, content.key);
    auto more = ",\"epk\":" + curve.epk + members;
    if (!apu.empty()) {
        more += R"(,"apu":")" + base64url(apu) + "\"";
    }
    if (!apv.empty()) {
        more += R"(,"apv":")" + base64url(apv) + "\"";
    }
    return encrypt(
        content, header_of("ECDH-ES", content, more), "", key, plain);
}

const std::string every_alg[] = {"RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "dir"};

// The plaintext, or the reason why there is none.
std::string open(std::string_view compact, const PrivateKey* key,
    std::string_view client_secret = secret,
    std::span<const std::string> allowed = every_alg)
{
    std::string why;
    auto opened = decrypt(compact, {key, client_secret}, allowed, why);
    EXPECT_NE(opened.has_value(), !why.empty()) << why;
    return opened ? *opened : why;
}

std::string open(const Token& token, const PrivateKey* key = nullptr)
{
    return open(token.compact(), key);
}

constexpr auto failed = "cannot be decrypted";
constexpr auto wrong_size = "has a part of the wrong size";

TEST(Jwe, KnowsFourAlgorithms)
{
    for (const auto& name : every_alg) {
        EXPECT_TRUE(is_known_encryption_alg(name)) << name;
    }
    for (auto name : {"", "RSA1_5", "RSA-OAEP-384", "ECDH-ES+A128KW", "A128KW",
             "DIR", "none", "RS256"}) {
        EXPECT_FALSE(is_known_encryption_alg(name)) << name;
    }
}

TEST(Jwe, HasFiveParts)
{
    EXPECT_TRUE(is_jwe("...."));
    EXPECT_TRUE(is_jwe("a.b.c.d.e"));
    for (auto text : {"", "a", "a.b.c", "a.b.c.d", ".....", "a.b.c.d.e."}) {
        EXPECT_FALSE(is_jwe(text)) << text;
    }
}

TEST(Jwe, OfTheStandardOpensByRsa) // RFC 7516, A.1
{
    auto key =
        parse(R"({"kty":"RSA","n":")"
              "oahUIoWw0K0usKNuOR6H4wkf4oBUXHTxRvgb48E-BVvxkeDNjbC4he8rUW"
              "cJoZmds2h7M70imEVhRU5djINXtqllXI4DFqcI1DgjT9LewND8MW2Krf3S"
              "psk_ZkoFnilakGygTwpZ3uesH-PFABNIUYpOiN15dsQRkgr0vEhxN92i2a"
              "sbOenSZeyaxziK72UwxrrKoExv6kc5twXTq4h-QChLOln0_mtUZwfsRaMS"
              "tPs6mS6XrgxnxbWhojf663tuEQueGC-FCMfra36C9knDFGzKsNa7LZK2dj"
              "YgyD3JR_MB_4NUJW_TqOQtwHYbxevoJArm-L5StowjzGy-_bq6Gw"
              R"(","e":"AQAB","d":")"
              "kLdtIj6GbDks_ApCSTYQtelcNttlKiOyPzMrXHeI-yk1F7-kpDxY4-WY5N"
              "WV5KntaEeXS1j82E375xxhWMHXyvjYecPT9fpwR_M9gV8n9Hrh2anTpTD9"
              "3Dt62ypW3yDsJzBnTnrYu1iwWRgBKrEYY46qAZIrA2xAwnm2X7uGR1hghk"
              "qDp0Vqj3kbSCz1XyfCs6_LehBwtxHIyh8Ripy40p24moOAbgxVw3rxT_vl"
              "t3UVe4WO3JkJOzlpUf-KTVI2Ptgm-dARxTEtE-id-4OJr0h-K-VFs3VSnd"
              "VTIznSxfyrj8ILL6MG_Uv8YAu7VILSB3lOW085-4qE3DzgrTjgyQ"
              R"(","p":")"
              "1r52Xk46c-LsfB5P442p7atdPUrxQSy4mti_tZI3Mgf2EuFVbUoDBvaRQ-"
              "SWxkbkmoEzL7JXroSBjSrK3YIQgYdMgyAEPTPjXv_hI2_1eTSPVZfzL0lf"
              "fNn03IXqWF5MDFuoUYE0hzb2vhrlN_rKrbfDIwUbTrjjgieRbwC6Cl0"
              R"(","q":")"
              "wLb35x7hmQWZsWJmB_vle87ihgZ19S8lBEROLIsZG4ayZVe9Hi9gDVCOBm"
              "UDdaDYVTSNx_8Fyw1YYa9XGrGnDew00J28cRUoeBB_jKI1oma0Orv1T9aX"
              "IWxKwd4gvxFImOWr3QRL9KEBRzk2RatUBnmDZJTIAfwTs0g68UZHvtc"
              R"(","dp":")"
              "ZK-YwE7diUh0qR1tR7w8WHtolDx3MZ_OTowiFvgfeQ3SiresXjm9gZ5KLh"
              "MXvo-uz-KUJWDxS5pFQ_M0evdo1dKiRTjVw_x4NyqyXPM5nULPkcpU827r"
              "npZzAJKpdhWAgqrXGKAECQH0Xt4taznjnd_zVpAmZZq60WPMBMfKcuE"
              R"(","dq":")"
              "Dq0gfgJ1DdFGXiLvQEZnuKEN0UUmsJBxkjydc3j4ZYdBiMRAy86x0vHCjy"
              "wcMlYYg4yoC4YZa9hNVcsjqA3FeiL19rk8g6Qn29Tt0cj8qqyFpz9vNDBU"
              "fCAiJVeESOjJDZPYHdHY8v1b-o-Z2X5tvLx-TCekf7oxyeKDUqKWjis"
              R"(","qi":")"
              "VIMpMYbPf47dT1w_zDUXfPimsSegnMOA1zTaX7aGk_8urY6R8-ZW1FxU7A"
              "lWAyLWybqq6t16VFd7hQd0y6flUK4SlOydB61gwanOsXGOAOv82cHq0E3e"
              "L4HrtZkUuKvnPrMnsUUFlfUdybVzxyjz9JF_XyaY14ardLSjf4L_FNY"
              R"("})");
    EXPECT_EQ(
        open("eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ."
             "OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKoTCVJRgckCL9kiMT03JGe"
             "ipsEdY3mx_etLbbWSrFr05kLzcSr4qKAq7YN7e9jwQRb23nfa6c9d-StnImGyFDb"
             "Sv04uVuxIp5Zms1gNxKKK2Da14B8S4rzVRltdYwam_lDp5XnZAYpQdb76FdIKLaV"
             "mqgfwX7XWRxv2322i-vDxRfqNzo_tETKzpVLzfiwQyeyPGLBIO56YJ7eObdv0je8"
             "1860ppamavo35UgoRdbYaBcoh9QcfylQr66oc6vFWXRcZ_ZT2LawVCWTIy3brGPi"
             "6UklfCpIMfIjf7iGdXKHzg."
             "48V1_ALb6US04U3b."
             "5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6ji"
             "SdiwkIr3ajwQzaBtQD_A."
             "XFBoMYUZodetZdvTiFvSkQ",
            &key),
        "The true sign of intelligence is not knowledge but imagination.");
}

TEST(Jwe, OpensWithTheKeyThatTheStandardDerives) // RFC 7518, appendix C
{
    const auto& content = contents()[0];
    auto header = header_of("ECDH-ES", content,
        R"(,"apu":"QWxpY2U","apv":"Qm9i","epk":)" + curves()[0].epk);
    auto key = base64url_decode("VqqN6vgjbSBcIijNcacQGg").value();
    auto ours = parse(curves()[0].ours);
    EXPECT_EQ(open(encrypt(content, header, "", key, plain), &ours), plain);
}

TEST(Jwe, OpensWithEveryCipher)
{
    for (const auto& content : contents()) {
        EXPECT_EQ(open(direct(content)), plain) << content.name;
        EXPECT_EQ(open(for_rsa(content), &rsa()), plain) << content.name;
        EXPECT_EQ(open(for_rsa_256(content), &rsa()), plain) << content.name;
        for (const auto& curve : curves()) {
            auto ours = parse(curve.ours);
            EXPECT_EQ(open(for_ec(curve, content), &ours), plain)
                << content.name << " " << curve.name;
        }
    }
}

TEST(Jwe, IsOfAnySizeUpToABound)
{
    for (const auto& content : contents()) {
        auto key = secret_key(content.key);
        auto sealed = [&](std::size_t size) {
            return encrypt(content, header_of("dir", content), "", key,
                std::string(size, 'x'));
        };
        for (std::size_t size : {1, 15, 16, 17, 1000, 65519}) {
            EXPECT_EQ(open(sealed(size)), std::string(size, 'x'));
        }
        EXPECT_TRUE(open(sealed(65537)).starts_with("has a ciphertext of 655"));
    }
    const auto& gcm = contents()[0];
    EXPECT_EQ(
        open(encrypt(gcm, header_of("dir", gcm), "", secret_key(gcm.key), "")),
        "has a ciphertext of 0 bytes");
}

TEST(Jwe, MayCarryABinaryText)
{
    const auto& content = contents()[3];
    auto text = "\0\xff\0"s;
    EXPECT_EQ(open(encrypt(content, header_of("dir", content), "",
                  secret_key(content.key), text)),
        text);
}

TEST(Jwe, NamesItsParties)
{
    auto ours = parse(curves()[0].ours);
    for (const auto& content : contents()) {
        EXPECT_EQ(
            open(for_ec(curves()[0], content, "Alice", "Bob"), &ours), plain);
        EXPECT_EQ(
            open(for_ec(curves()[0], content, "", "\0\xff"s), &ours), plain);
    }
}

TEST(Jwe, MayHaveMoreInItsHeader)
{
    constexpr auto more =
        R"(,"kid":"any","typ":"JWT","cty":"JWT","jku":"https://x","x":{"y":1})";
    EXPECT_EQ(open(direct(contents()[0], more)), plain);
    EXPECT_EQ(open(for_rsa(contents()[0], more), &rsa()), plain);
}

// Changing any bit of any part is detected.
TEST(Jwe, IsAuthenticWhole)
{
    auto ec = parse(curves()[0].ours);
    for (const auto& content : contents()) {
        const std::pair<Token, const PrivateKey*> tokens[] = {
            {direct(content), nullptr},
            {for_rsa(content), &rsa()},
            {for_ec(curves()[0], content), &ec},
        };
        for (const auto& [token, key] : tokens) {
            for (std::size_t part = 0; part < 5; part++) {
                const auto& good = token.parts[part];
                for (std::size_t i = 0; i < good.size();
                     i += part == 1 ? 17 : 1) {
                    auto bad = good;
                    bad[i] = static_cast<char>(bad[i] ^ (1 << i % 8));
                    auto answer = open(token.with(part, bad), key);
                    EXPECT_NE(answer, plain);
                    if (part != 0) {
                        EXPECT_EQ(answer, failed) << part << " " << i;
                    }
                }
            }
        }
    }
}

// With one more space the header means the same, but is not authentic.
TEST(Jwe, AuthenticatesItsHeaderAsItCame)
{
    auto ec = parse(curves()[0].ours);
    for (const auto& content : contents()) {
        auto token = direct(content);
        EXPECT_EQ(open(token.with(0, token.parts[0] + " ")), failed);
        token = for_rsa(content);
        EXPECT_EQ(open(token.with(0, token.parts[0] + " "), &rsa()), failed);
        token = for_ec(curves()[0], content);
        EXPECT_EQ(open(token.with(0, token.parts[0] + " "), &ec), failed);
    }
}

TEST(Jwe, HasPartsOfExactSizes)
{
    auto ec = parse(curves()[0].ours);
    for (const auto& content : contents()) {
        const std::pair<Token, const PrivateKey*> tokens[] = {
            {direct(content), nullptr},
            {for_rsa(content), &rsa()},
            {for_ec(curves()[0], content), &ec},
        };
        for (const auto& [token, key] : tokens) {
            for (std::size_t part : {1, 2, 4}) {
                const auto& good = token.parts[part];
                // CVE-2023-37464 is about tags of these sizes.
                for (std::size_t size = 0; size < good.size(); size++) {
                    EXPECT_EQ(open(token.with(part, good.substr(0, size)), key),
                        wrong_size)
                        << part << " " << size;
                }
                for (auto more : {"\0"s, "x"s, std::string(300, 'x')}) {
                    EXPECT_EQ(
                        open(token.with(part, good + more), key), wrong_size);
                }
            }
        }
    }
}

TEST(Jwe, OfCbcIsWholeBlocks)
{
    for (const auto& content : contents()) {
        auto token = direct(content);
        const auto& text = token.parts[3];
        for (std::size_t size = 1; size < text.size(); size++) {
            EXPECT_EQ(open(token.with(3, text.substr(0, size))), failed);
        }
        EXPECT_EQ(open(token.with(3, text + "x")), failed);
    }
}

TEST(Jwe, IsStrictBase64url)
{
    auto good = for_rsa(contents()[0]).compact();
    auto parts = std::count(good.begin(), good.end(), '.');
    ASSERT_EQ(parts, 4);
    for (std::size_t dot = good.find('.'); dot != std::string::npos;
         dot = good.find('.', dot + 1)) {
        for (const auto& odd : {"="s, "A=AA"s, "+"s, " "s, "\n"s, "\0"s}) {
            auto bad = good;
            bad.insert(dot, odd);
            EXPECT_EQ(open(bad, &rsa()), "is not base64url");
        }
    }
    EXPECT_EQ(open(good + "=", &rsa()), "is not base64url");
    EXPECT_EQ(open(good + "\n", &rsa()), "is not base64url");
    EXPECT_EQ(open(good + ".", &rsa()), "is not a JWE of five parts");
    EXPECT_EQ(open("", &rsa()), "is not a JWE of five parts");
    EXPECT_EQ(open("a.b.c", &rsa()), "is not a JWE of five parts");
    EXPECT_EQ(open("....", &rsa()), "has a ciphertext of 0 bytes");
}

TEST(Jwe, HasAHeaderThatSaysWhatItIs)
{
    const struct {
        std::string header;
        std::string why;
    } refused[] = {
        {"", "has malformed JSON in its header"},
        {"{", "has malformed JSON in its header"},
        {R"({"alg":"dir","alg":"dir","enc":"A128GCM"})",
            "has JSON with a duplicate member in its header"},
        {"{}", "has no alg"},
        {R"({"alg":1,"enc":"A128GCM"})", "has no alg"},
        {R"({"alg":["dir"],"enc":"A128GCM"})", "has no alg"},
        {R"({"alg":"none","enc":"A128GCM"})",
            R"(is encrypted with "none", which id_token_encrypted_alg does not list)"},
        {R"({"alg":"RSA1_5","enc":"A128GCM"})",
            R"(is encrypted with "RSA1_5", which id_token_encrypted_alg does not list)"},
        {R"({"alg":"A128KW","enc":"A128GCM"})",
            R"(is encrypted with "A128KW", which id_token_encrypted_alg does not list)"},
        {R"({"alg":"dir"})", R"(has an unknown enc "")"},
        {R"({"alg":"dir","enc":1})", R"(has an unknown enc "")"},
        {R"({"alg":"dir","enc":"A128CTR"})", R"(has an unknown enc "A128CTR")"},
        {R"({"alg":"dir","enc":"A128GCM","zip":"DEF"})", "is compressed"},
        {R"({"alg":"dir","enc":"A128GCM","crit":["zip"]})",
            "has a critical extension"},
        {R"({"alg":"dir","enc":"A128GCM","crit":[]})",
            "has a critical extension"},
        {R"({"alg":"dir","enc":"A128GCM","crit":null})",
            "has a critical extension"},
    };
    for (const auto& [header, why] : refused) {
        const std::string allowed[] = {
            "RSA-OAEP", "ECDH-ES", "dir", "RSA1_5", "A128KW", "none"};
        auto token =
            encrypt(contents()[0], header, "", secret_key(16), plain).compact();
        EXPECT_EQ(open(token, nullptr, secret, allowed), why) << header;
    }
}

TEST(Jwe, MayHaveNullInItsHeader)
{
    constexpr auto nulls =
        R"(,"zip":null,"kid":null,"cty":null,"apu":null,"apv":null)";
    auto ours = parse(curves()[0].ours);
    for (const auto& content : contents()) {
        EXPECT_EQ(open(direct(content, nulls)), plain);
        EXPECT_EQ(open(for_rsa(content, nulls), &rsa()), plain);
        EXPECT_EQ(
            open(for_ec(curves()[0], content, "", "", nulls), &ours), plain);
    }
}

TEST(Jwe, IsOpenedAsAllowed)
{
    auto token = direct(contents()[0]).compact();
    const std::string others[] = {"RSA-OAEP", "ECDH-ES", "DIR"};
    EXPECT_EQ(open(token, &rsa(), secret, others),
        R"(is encrypted with "dir", which id_token_encrypted_alg does not list)");
    EXPECT_EQ(open(token, &rsa(), secret, {}),
        R"(is encrypted with "dir", which id_token_encrypted_alg does not list)");
}

TEST(Jwe, NeedsAKeyOfOurs)
{
    auto ec = parse(curves()[0].ours);
    auto text = R"({"kty":"OKP","crv":"Ed25519",)"
                R"("x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",)"
                R"("d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"})";
    auto ed25519 = parse(text);
    auto signing = curves()[0].ours;
    signing.insert(1, R"("use":"sig",)");
    auto signing_ec = parse(signing);

    auto for_rsa_token = for_rsa(contents()[0]);
    auto for_ec_token = for_ec(curves()[0], contents()[0]);
    for (const PrivateKey* key : {(const PrivateKey*)nullptr,
             (const PrivateKey*)&ec, (const PrivateKey*)&ed25519}) {
        EXPECT_EQ(open(for_rsa_token, key),
            R"(is encrypted with "RSA-OAEP", for which there is no client_key)");
    }
    for (const PrivateKey* key : {(const PrivateKey*)nullptr, &rsa(),
             (const PrivateKey*)&ed25519, (const PrivateKey*)&signing_ec}) {
        EXPECT_EQ(open(for_ec_token, key),
            R"(is encrypted with "ECDH-ES", for which there is no client_key)");
    }
    auto direct_token = direct(contents()[0]).compact();
    for (const auto& text : {""s, "short"s, std::string(31, 's')}) {
        EXPECT_EQ(open(direct_token, &rsa(), text),
            "is encrypted with a client_secret shorter than 32 bytes");
    }
}

// The content encryption key has the size that "enc" requires.
TEST(Jwe, WithAKeyOfAnotherSizeCannotBeDecrypted)
{
    const auto& content = contents()[0];
    auto key = random_bytes(content.key);
    for (std::size_t size : {0, 1, 15, 17, 32, 64}) {
        auto other = (key + random_bytes(64)).substr(0, size);
        for (auto hash : {EVP_sha1(), EVP_sha256()}) {
            auto alg = hash == EVP_sha1() ? "RSA-OAEP" : "RSA-OAEP-256";
            EXPECT_EQ(
                open(encrypt(content, header_of(alg, content),
                         encrypt_for_rsa(other, RSA_PKCS1_OAEP_PADDING, hash),
                         key, plain),
                    &rsa()),
                failed);
        }
    }
}

// RFC 7518, 4.3
TEST(Jwe, OfRsaUsesTheHashThatItNames)
{
    const auto& content = contents()[0];
    EXPECT_EQ(open(for_rsa_256(content, "RSA-OAEP"), &rsa()), failed);
    auto key = random_bytes(content.key);
    EXPECT_EQ(
        open(encrypt(content, header_of("RSA-OAEP-256", content),
                 encrypt_for_rsa(key, RSA_PKCS1_OAEP_PADDING), key, plain),
            &rsa()),
        failed);
}

TEST(Jwe, DoesNotTellWhyItCannotBeDecrypted)
{
    const auto& content = contents()[0];
    auto key = random_bytes(content.key);
    auto header = header_of("RSA-OAEP", content);

    // Wrong padding, a wrong key size, and no valid padding.
    EXPECT_EQ(open(encrypt(content, header,
                       encrypt_for_rsa(key, RSA_PKCS1_PADDING), key, plain),
                  &rsa()),
        failed);
    EXPECT_EQ(open(encrypt(content, header, std::string(256, '\0'), key, plain),
                  &rsa()),
        failed);
    EXPECT_EQ(
        open(encrypt(content, header, std::string(256, '\xff'), key, plain),
            &rsa()),
        failed);
    for (const auto& cipher : contents()) {
        for (std::size_t size : {0, 1, 15, 100, 214}) {
            auto wrong =
                encrypt_for_rsa(std::string(size, 'k'), RSA_PKCS1_OAEP_PADDING);
            EXPECT_EQ(open(encrypt(cipher, header_of("RSA-OAEP", cipher), wrong,
                               random_bytes(cipher.key), plain),
                          &rsa()),
                failed);
        }
        EXPECT_EQ(
            open(direct(cipher).compact(), nullptr, secret + "x"), failed);
        EXPECT_EQ(open(for_ec(curves()[1], cipher)
                           .with(0, for_ec(curves()[0], cipher).parts[0]),
                      [] {
                          static const auto ours = parse(curves()[0].ours);
                          return &ours;
                      }()),
            failed);
    }
}

TEST(Jwe, OfAnAgreementHasAPeerOnOurCurve)
{
    auto ours = parse(curves()[0].ours);
    auto x = "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0";
    auto y = "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps";
    const std::string odd[] = {"null", "1", "\"P-256\"", "[]", "{}",
        R"({"kty":"EC"})", ec_jwk("P-256", x, x), ec_jwk("P-256", x, ""),
        ec_jwk("P-256", "A=AA", y), ec_jwk("P-256", x, y + "="s),
        ec_jwk("P-256", x, "AA"s + y), ec_jwk("P-384", x, y),
        ec_jwk("P-256", "", ""), curves()[0].theirs, curves()[1].epk,
        curves()[2].epk};
    for (const auto& epk : odd) {
        auto header = header_of("ECDH-ES", contents()[0], ",\"epk\":" + epk);
        EXPECT_EQ(
            open(for_ec(curves()[0], contents()[0]).with(0, header), &ours),
            "has an epk that does not match client_key")
            << epk;
    }
    EXPECT_EQ(open(for_ec(curves()[0], contents()[0])
                       .with(0, header_of("ECDH-ES", contents()[0])),
                  &ours),
        "has an epk that does not match client_key");
}

TEST(Jwe, OfAnAgreementHasPartiesInBase64url)
{
    auto ours = parse(curves()[0].ours);
    for (auto name : {"apu", "apv"}) {
        for (auto value : {"1", "[]", "\"A=AA\"", "\"A\"", "\"AB\"",
                 "\"QWxpY2U=\"", "\"+AAA\""}) {
            auto header = header_of("ECDH-ES", contents()[0],
                ",\"epk\":" + curves()[0].epk + ",\"" + name + "\":" + value);
            EXPECT_EQ(
                open(for_ec(curves()[0], contents()[0]).with(0, header), &ours),
                "has an apu or apv that is not base64url")
                << name << " " << value;
        }
    }
}

}
}
