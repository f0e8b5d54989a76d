#include "jose/keys.h"

#include "core/encode.h"

#include <cjose/cjose.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <bit>

namespace oidc {
namespace {

constexpr std::size_t least_rsa_bits = 2048; // RFC 7518, 3.3
constexpr std::size_t most_rsa_bits = 16384;
constexpr std::size_t most_keys = 100;
constexpr std::size_t most_tries = 10;

struct Release {
    void operator()(cjose_jwk_t* key) const { cjose_jwk_release(key); }
    void operator()(cjose_jws_t* jws) const { cjose_jws_release(jws); }
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

template <class T>
using Handled = std::unique_ptr<T, Release>;

std::optional<std::string> member(JsonValue jwk, const char* name)
{
    auto text = jwk[name].string();
    return text ? std::optional<std::string>(*text) : std::nullopt;
}

// RFC 7517, 4.2 and 4.3: where a key says what it is for, believe it.
bool for_signatures(JsonValue jwk)
{
    auto use = jwk["use"];
    auto operations = jwk["key_ops"];
    return (!use.exists() || use.string() == "sig") &&
        (!operations.exists() || operations.has_string("verify"));
}

bool holds_private_parts(JsonValue jwk)
{
    for (auto name : {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}) {
        if (jwk[name].exists()) {
            return true;
        }
    }
    return false;
}

std::optional<Kty> kty_of(JsonValue jwk)
{
    auto name = jwk["kty"].string();
    if (name == "RSA") {
        return Kty::rsa;
    }
    if (name == "EC") {
        return Kty::ec;
    }
    if (name == "OKP") {
        return Kty::okp;
    }
    return {};
}

// Of the modulus, to the bit: cjose tells whole bytes.
std::size_t rsa_bits(JsonValue jwk)
{
    auto modulus = base64url_decode(jwk["n"].string().value_or(""));
    auto start = modulus ? modulus->find_first_not_of('\0') : std::string::npos;
    if (start == std::string::npos) {
        return 0;
    }
    auto first = static_cast<unsigned char>((*modulus)[start]);
    return (modulus->size() - start - 1) * 8 +
        static_cast<std::size_t>(std::bit_width(first));
}

// cjose ends the process, by an assertion, at some texts that are no base64url.
bool is_strict(JsonValue jwk, Kty kty)
{
    for (auto name :
        {kty == Kty::rsa ? "n" : "x", kty == Kty::rsa ? "e" : "y"}) {
        auto text = jwk[name].string();
        if (!text || !base64url_decode(*text)) {
            return false;
        }
    }
    return true;
}

// RFC 8037, 2
Handled<EVP_PKEY> import_ed25519(JsonValue jwk)
{
    auto x = base64url_decode(jwk["x"].string().value_or(""));
    if (jwk["crv"].string() != "Ed25519" || !x || x->size() != 32) {
        return nullptr;
    }
    return Handled<EVP_PKEY>(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519,
        nullptr, reinterpret_cast<const unsigned char*>(x->data()), x->size()));
}

bool verify_ed25519(EVP_PKEY* key, std::string_view compact)
{
    auto dot = compact.rfind('.');
    auto signed_part = compact.substr(0, dot);
    auto signature = base64url_decode(compact.substr(dot + 1));
    Handled<EVP_MD_CTX> context(EVP_MD_CTX_new());

    return signature && context != nullptr &&
        EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key) ==
        1 &&
        EVP_DigestVerify(context.get(),
            reinterpret_cast<const unsigned char*>(signature->data()),
            signature->size(),
            reinterpret_cast<const unsigned char*>(signed_part.data()),
            signed_part.size()) == 1;
}

bool verify_by_cjose(cjose_jwk_t* key, std::string_view compact)
{
    cjose_err error;
    Handled<cjose_jws_t> jws(
        cjose_jws_import(compact.data(), compact.size(), &error));
    return jws != nullptr && cjose_jws_verify(jws.get(), key, &error);
}

}

class VerifyingKey::Handle {
public:
    Handled<cjose_jwk_t> jwk;
    Handled<EVP_PKEY> ed25519;
};

std::optional<VerifyingKey> VerifyingKey::import(
    JsonValue jwk, std::string& why)
{
    auto kty = kty_of(jwk);
    if (!kty) {
        why = "of an unknown type";
        return {};
    }
    if (holds_private_parts(jwk)) {
        why = "with private parts";
        return {};
    }
    if (!for_signatures(jwk)) {
        why = "not meant for signatures";
        return {};
    }

    VerifyingKey key;
    auto handle = std::make_shared<Handle>();
    key.kty_ = *kty;
    key.kid_ = member(jwk, "kid");
    key.alg_ = member(jwk, "alg");
    key.crv_ = member(jwk, "crv").value_or("");

    if (*kty == Kty::okp) {
        handle->ed25519 = import_ed25519(jwk);
    } else if (is_strict(jwk, *kty)) {
        cjose_err error;
        auto text = jwk.dump();
        handle->jwk.reset(cjose_jwk_import(text.data(), text.size(), &error));
    }
    ERR_clear_error();
    if (handle->jwk == nullptr && handle->ed25519 == nullptr) {
        why = "that is malformed";
        return {};
    }

    if (*kty == Kty::rsa) {
        key.size_ = rsa_bits(jwk);
        if (key.size_ < least_rsa_bits || key.size_ > most_rsa_bits) {
            why = "of RSA with " + std::to_string(key.size_) + " bits";
            return {};
        }
    }
    key.handle_ = std::move(handle);
    return key;
}

VerifyingKey VerifyingKey::from_secret(std::string_view secret)
{
    VerifyingKey key;
    auto handle = std::make_shared<Handle>();
    key.kty_ = Kty::oct;
    key.size_ = secret.size();
    handle->jwk.reset(cjose_jwk_create_oct_spec(
        reinterpret_cast<const unsigned char*>(secret.data()), secret.size(),
        nullptr));
    key.handle_ = std::move(handle);
    return key;
}

bool VerifyingKey::fits(const Algorithm& algorithm) const
{
    if (kty_ != algorithm.kty || (alg_ && *alg_ != algorithm.name)) {
        return false;
    }
    if (kty_ == Kty::oct) {
        return size_ >= algorithm.least_secret;
    }
    return algorithm.crv.empty() || crv_ == algorithm.crv;
}

bool VerifyingKey::verify(
    const Algorithm& algorithm, std::string_view compact) const
{
    // RFC 8017, 8.1.2: as long as the modulus. OpenSSL would take one that
    // lacks its leading zero bytes, too.
    auto signature = (compact.size() - compact.rfind('.') - 1) * 3 / 4;
    if (kty_ == Kty::rsa && signature != (size_ + 7) / 8) {
        return false;
    }
    auto good = algorithm.kty == Kty::okp ?
        verify_ed25519(handle_->ed25519.get(), compact) :
        handle_->jwk != nullptr && verify_by_cjose(handle_->jwk.get(), compact);
    ERR_clear_error();
    return good;
}

Result<KeySet> KeySet::parse(std::string_view json)
{
    std::string why;
    auto document = Json::parse(json, why);
    if (!document) {
        return Error{
            Errc::upstream_keys, "provider sent a key set that is " + why};
    }
    auto list = (*document)["keys"];
    if (!list.is_array()) {
        return Error{
            Errc::upstream_keys, "provider sent a key set without \"keys\""};
    }

    KeySet set;
    for (std::size_t i = 0; i < list.size(); i++) {
        if (set.keys_.size() == most_keys) {
            break;
        }
        if (auto key = VerifyingKey::import(list.at(i), why)) {
            set.keys_.push_back(std::move(*key));
        }
    }
    if (set.keys_.empty()) {
        return Error{Errc::upstream_keys,
            list.size() == 0 ?
                "provider sent an empty key set" :
                "provider sent no usable key, the last one " + why};
    }
    return set;
}

std::vector<const VerifyingKey*> KeySet::choose(const Algorithm& algorithm,
    const std::optional<std::string>& kid, std::string& why) const
{
    std::vector<const VerifyingKey*> chosen;
    bool known = false;

    for (const auto& key : keys_) {
        if (kid && !key.has_id(*kid)) {
            continue;
        }
        known = true;
        if (key.fits(algorithm) && chosen.size() < most_tries) {
            chosen.push_back(&key);
        }
    }
    if (kid && !known) {
        why = "names an unknown key " + quoted(*kid);
    } else {
        why = "is signed with " + std::string(algorithm.name) +
            ", for which the key set has no key";
    }
    return chosen;
}

}
