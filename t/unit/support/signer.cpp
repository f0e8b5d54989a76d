#include "support/signer.h"

#include "core/encoding.h"
#include "support/test_keys.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <map>
#include <stdexcept>

namespace oidc::test {
namespace {

void demand(bool done)
{
    if (!done) {
        throw std::runtime_error("a test key failed");
    }
}

const unsigned char* bytes(std::string_view text)
{
    return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* bytes(std::string& text)
{
    return reinterpret_cast<unsigned char*>(text.data());
}

EVP_PKEY* read_rsa(std::string_view text)
{
    auto der = base64url_decode(text).value();
    auto start = bytes(std::string_view(der));
    return d2i_PrivateKey(
        EVP_PKEY_RSA, nullptr, &start, static_cast<long>(der.size()));
}

const EVP_MD* md_of(std::string_view alg)
{
    if (alg == "EdDSA") {
        return nullptr;
    }
    return alg.ends_with("256") ? EVP_sha256() :
        alg.ends_with("384")    ? EVP_sha384() :
                                  EVP_sha512();
}

std::string number(EVP_PKEY* key, const char* name)
{
    BIGNUM* value = nullptr;
    demand(EVP_PKEY_get_bn_param(key, name, &value));
    std::string text(static_cast<std::size_t>(BN_num_bytes(value)), '\0');
    BN_bn2bin(value, bytes(text));
    BN_free(value);
    return base64url(text);
}

// 0x04 || x || y
std::string point(EVP_PKEY* key)
{
    std::string octets(256, '\0');
    std::size_t size = 0;
    demand(EVP_PKEY_get_octet_string_param(
        key, OSSL_PKEY_PARAM_PUB_KEY, bytes(octets), octets.size(), &size));
    return octets.substr(1, size - 1);
}

// RFC 7518, 3.4: r || s, each as long as the curve's order.
std::string raw_ecdsa(std::string_view der, std::size_t half)
{
    auto start = bytes(der);
    auto parts = d2i_ECDSA_SIG(nullptr, &start, static_cast<long>(der.size()));
    demand(parts != nullptr);
    std::string raw(2 * half, '\0');
    auto size = static_cast<int>(half);
    BN_bn2binpad(ECDSA_SIG_get0_r(parts), bytes(raw), size);
    BN_bn2binpad(ECDSA_SIG_get0_s(parts), bytes(raw) + half, size);
    ECDSA_SIG_free(parts);
    return raw;
}

std::string hmac(
    std::string_view alg, const std::string& key, std::string_view input)
{
    std::string sum(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    HMAC(md_of(alg), key.data(), static_cast<int>(key.size()), bytes(input),
        input.size(), bytes(sum), &size);
    return sum.substr(0, size);
}

std::string object(std::string members, std::string_view more)
{
    return "{" + members + (more.empty() ? "" : ",") + std::string(more) + "}";
}

}

Signer::Signer(EVP_PKEY* key) : key_(key, EVP_PKEY_free) {}

const Signer& Signer::rsa()
{
    static const Signer signer(read_rsa(rsa_test_key));
    return signer;
}

const Signer& Signer::other_rsa()
{
    static const Signer signer(read_rsa(other_rsa_test_key));
    return signer;
}

const Signer& Signer::ec(const std::string& curve)
{
    static std::map<std::string, Signer> signers;
    auto found = signers.find(curve);
    if (found == signers.end()) {
        Signer signer(EVP_EC_gen(curve.c_str()));
        signer.curve_ = curve;
        found = signers.emplace(curve, std::move(signer)).first;
    }
    return found->second;
}

const Signer& Signer::ed25519()
{
    static const Signer signer(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    return signer;
}

Signer Signer::secret(std::string bytes)
{
    Signer signer(nullptr);
    signer.secret_ = std::move(bytes);
    return signer;
}

std::string Signer::jwk(std::string_view members) const
{
    auto key = key_.get();
    if (EVP_PKEY_is_a(key, "RSA")) {
        return object(R"("kty":"RSA","n":")" + number(key, "n") + R"(","e":")" +
                number(key, "e") + "\"",
            members);
    }
    if (EVP_PKEY_is_a(key, "EC")) {
        auto xy = point(key);
        auto half = xy.size() / 2;
        return object(R"("kty":"EC","crv":")" + curve_ + R"(","x":")" +
                base64url(xy.substr(0, half)) + R"(","y":")" +
                base64url(xy.substr(half)) + "\"",
            members);
    }
    std::string x(32, '\0');
    auto size = x.size();
    demand(EVP_PKEY_get_raw_public_key(key, bytes(x), &size));
    return object(
        R"("kty":"OKP","crv":"Ed25519","x":")" + base64url(x) + "\"", members);
}

std::string Signer::pem() const
{
    auto bio = BIO_new(BIO_s_mem());
    demand(PEM_write_bio_PrivateKey(
        bio, key_.get(), nullptr, nullptr, 0, nullptr, nullptr));
    char* start = nullptr;
    auto size = BIO_get_mem_data(bio, &start);
    std::string text(start, static_cast<std::size_t>(size));
    BIO_free(bio);
    return text;
}

std::string Signer::sign(std::string_view alg, std::string_view payload,
    std::string_view members) const
{
    return sign_parts(
        alg, object("\"alg\":\"" + std::string(alg) + "\"", members), payload);
}

std::string Signer::sign_parts(std::string_view alg, std::string_view header,
    std::string_view payload) const
{
    auto input = base64url(header) + "." + base64url(payload);
    return input + "." + base64url(signature(alg, input));
}

std::string Signer::signature(
    std::string_view alg, std::string_view input) const
{
    if (key_ == nullptr) {
        return hmac(alg, secret_, input);
    }
    auto context = EVP_MD_CTX_new();
    EVP_PKEY_CTX* options = nullptr; // owned by the context
    demand(
        EVP_DigestSignInit(context, &options, md_of(alg), nullptr, key_.get()));
    if (alg.starts_with("PS")) {
        demand(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING));
        demand(
            EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST));
    }
    std::string made(1024, '\0');
    auto size = made.size();
    demand(EVP_DigestSign(
        context, bytes(made), &size, bytes(input), input.size()));
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    made.resize(size);
    if (curve_.empty()) {
        return made;
    }
    return raw_ecdsa(
        made, static_cast<std::size_t>(EVP_PKEY_get_bits(key_.get()) + 7) / 8);
}

std::string key_set(std::initializer_list<std::string> jwks)
{
    std::string list;
    for (const auto& jwk : jwks) {
        list += (list.empty() ? "" : ",") + jwk;
    }
    return "{\"keys\":[" + list + "]}";
}

}
