#include "jose/evp.h"

#include <openssl/rsa.h>

namespace oidc {
namespace {

constexpr Curve curves[] = {
    {"P-256", "prime256v1", 32},
    {"P-384", "secp384r1", 48},
    {"P-521", "secp521r1", 66},
};

const Curve* find_curve(const char* Curve::*kind, std::string_view name)
{
    for (const auto& curve : curves) {
        if (curve.*kind == name) {
            return &curve;
        }
    }
    return nullptr;
}

}

const Curve* find_curve(std::string_view name)
{
    return find_curve(&Curve::name, name);
}

void Assembly::add(const char* name, const Secret& number)
{
    auto text = number.reveal();
    // OpenSSL wipes a parameter that is made from a secure BIGNUM.
    auto& secure = numbers_.emplace_back(BN_secure_new());
    good_ = good_ && secure != nullptr &&
        BN_bin2bn(bytes(text), static_cast<int>(text.size()), secure.get()) !=
            nullptr &&
        OSSL_PARAM_BLD_push_BN(build_.get(), name, secure.get());
}

void Assembly::add_octets(const char* name, std::string_view octets)
{
    good_ = good_ &&
        OSSL_PARAM_BLD_push_octet_string(
            build_.get(), name, octets.data(), octets.size());
}

void Assembly::add_name(const char* name, const char* value)
{
    good_ =
        good_ && OSSL_PARAM_BLD_push_utf8_string(build_.get(), name, value, 0);
}

Handled<EVP_PKEY> Assembly::make(const char* type, int selection)
{
    Handled<OSSL_PARAM> params(
        good_ ? OSSL_PARAM_BLD_to_param(build_.get()) : nullptr);
    Handled<EVP_PKEY_CTX> context(
        EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
    EVP_PKEY* key = nullptr;

    if (params != nullptr && context != nullptr &&
        EVP_PKEY_fromdata_init(context.get()) == 1) {
        EVP_PKEY_fromdata(context.get(), &key, selection, params.get());
    }
    return Handled<EVP_PKEY>(key);
}

std::optional<Kty> kty_of(EVP_PKEY* key)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        return Kty::rsa;
    case EVP_PKEY_EC:
        return Kty::ec;
    case EVP_PKEY_ED25519:
        return Kty::okp;
    default:
        return {};
    }
}

const Curve* curve_of(EVP_PKEY* key)
{
    std::array<char, 64> name{};
    std::size_t size = 0;
    return EVP_PKEY_get_group_name(key, name.data(), name.size(), &size) == 1 ?
        find_curve(&Curve::group, {name.data(), size}) :
        nullptr;
}

Handled<BIGNUM> number_of(EVP_PKEY* key, const char* openssl_name)
{
    BIGNUM* value = nullptr;
    EVP_PKEY_get_bn_param(key, openssl_name, &value);
    return Handled<BIGNUM>(value);
}

std::optional<std::string> sign_by_openssl(
    EVP_PKEY* key, const EVP_MD* hash, std::string_view text)
{
    Handled<EVP_MD_CTX> context(EVP_MD_CTX_new());
    std::size_t size = 0;
    if (context == nullptr ||
        EVP_DigestSignInit(context.get(), nullptr, hash, nullptr, key) != 1 ||
        EVP_DigestSign(
            context.get(), nullptr, &size, bytes(text), text.size()) != 1) {
        return {};
    }
    std::string signature(size, '\0');
    if (EVP_DigestSign(context.get(), bytes(signature), &size, bytes(text),
            text.size()) != 1) {
        return {};
    }
    signature.resize(size);
    return signature;
}

bool verify_by_openssl(EVP_PKEY* key, const EVP_MD* hash,
    std::string_view signature, std::string_view text)
{
    Handled<EVP_MD_CTX> context(EVP_MD_CTX_new());
    return context != nullptr &&
        EVP_DigestVerifyInit(context.get(), nullptr, hash, nullptr, key) == 1 &&
        EVP_DigestVerify(context.get(), bytes(signature), signature.size(),
            bytes(text), text.size()) == 1;
}

std::optional<Secret> decrypt_by_oaep(
    EVP_PKEY* key, const EVP_MD* hash, std::string_view encrypted)
{
    Handled<EVP_PKEY_CTX> context(
        EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
    auto c = context.get();
    std::size_t size = 0;
    if (c == nullptr || EVP_PKEY_decrypt_init(c) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(c, hash) != 1 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md(c, hash) != 1 ||
        EVP_PKEY_decrypt(
            c, nullptr, &size, bytes(encrypted), encrypted.size()) != 1) {
        return {};
    }
    std::string plain(size, '\0');
    auto good = EVP_PKEY_decrypt(c, bytes(plain), &size, bytes(encrypted),
                    encrypted.size()) == 1;
    Secret whole(std::move(plain));
    return good ?
        std::optional<Secret>(std::string(whole.reveal().substr(0, size))) :
        std::nullopt;
}

}
