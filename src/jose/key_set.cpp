#include "jose/key_set.h"

#include "core/encoding.h"
#include "jose/evp.h"
#include "jose/jwk.h"
#include "jose/key_import.h"
#include "jose/weakness.h"

#include <openssl/err.h>

#include <new>

namespace oidc {
namespace {

constexpr std::size_t max_keys = 100;
constexpr std::size_t max_tries = 10;

std::optional<std::string> member(JsonValue jwk, const char* name)
{
    auto text = jwk[name].string();
    return text ? std::optional<std::string>(*text) : std::nullopt;
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

Handled<BIGNUM> number(JsonValue jwk, const char* name)
{
    auto text = octets(jwk, name).value_or(Secret());
    auto size = static_cast<int>(text.reveal().size());
    Handled<BIGNUM> value(BN_bin2bn(bytes(text.reveal()), size, nullptr));
    if (value == nullptr) {
        throw std::bad_alloc();
    }
    return value;
}

// cjose aborts the process, by an assertion, on some invalid base64url.
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

// What is_strict() has read, without the other members.
std::string public_jwk(JsonValue jwk, Kty kty)
{
    auto text = [&](const char* name) { return *jwk[name].string(); };
    return kty == Kty::rsa ?
        json_object({{"kty", "RSA"}, {"n", text("n")}, {"e", text("e")}}) :
        json_object({{"kty", "EC"}, {"crv", text("crv")}, {"x", text("x")},
            {"y", text("y")}});
}

// cjose does not support Ed25519, and accepts coordinates that are not below
// the prime.
Handled<cjose_jwk_t> import_by_cjose(JsonValue jwk, Kty kty)
{
    auto curve = find_curve(jwk["crv"].string().value_or(""));
    if (!is_strict(jwk, kty) ||
        (kty == Kty::ec &&
            (curve == nullptr || import_public_ec(jwk, *curve) == nullptr))) {
        return nullptr;
    }
    cjose_err error;
    auto text = public_jwk(jwk, kty);
    return Handled<cjose_jwk_t>(
        cjose_jwk_import(text.data(), text.size(), &error));
}

// RFC 8037, 2
Handled<EVP_PKEY> import_ed25519(JsonValue jwk)
{
    auto x = octets(jwk, "x", ed25519_size);
    if (jwk["crv"].string() != "Ed25519" || !x) {
        return nullptr;
    }
    return Handled<EVP_PKEY>(EVP_PKEY_new_raw_public_key(
        EVP_PKEY_ED25519, nullptr, bytes(x->reveal()), ed25519_size));
}

// RFC 8037, 3.1
bool verify_ed25519(EVP_PKEY* key, std::string_view compact)
{
    auto dot = compact.rfind('.');
    auto signature = base64url_decode(compact.substr(dot + 1));
    return signature &&
        verify_by_openssl(key, nullptr, *signature, compact.substr(0, dot));
}

// The phrase that says why a well-formed key is refused; empty if accepted.
std::string weakness(JsonValue jwk, Kty kty)
{
    if (kty == Kty::rsa) {
        return rsa_weakness(number(jwk, "n").get(), number(jwk, "e").get());
    }
    auto small = kty == Kty::okp &&
        has_small_order(octets(jwk, "x").value_or(Secret()).reveal());
    return small ? "with an Ed25519 point of small order" : "";
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
    if (!is_for(jwk, "sig", {"verify"})) {
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
    } else {
        handle->jwk = import_by_cjose(jwk, *kty);
    }
    ERR_clear_error();
    if (handle->jwk == nullptr && handle->ed25519 == nullptr) {
        why = "that is malformed";
        return {};
    }

    if (auto found = weakness(jwk, *kty); !found.empty()) {
        why = std::move(found);
        return {};
    }
    if (*kty == Kty::rsa) {
        key.size_ =
            static_cast<std::size_t>(BN_num_bits(number(jwk, "n").get()));
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
    handle->jwk.reset(
        cjose_jwk_create_oct_spec(bytes(secret), secret.size(), nullptr));
    key.handle_ = std::move(handle);
    return key;
}

bool VerifyingKey::fits(const Algorithm& algorithm) const
{
    if (kty_ != algorithm.kty || (alg_ && !is_named(algorithm, *alg_))) {
        return false;
    }
    if (kty_ == Kty::oct) {
        return size_ >= algorithm.min_secret;
    }
    return algorithm.crv.empty() || crv_ == algorithm.crv;
}

bool VerifyingKey::verify(
    const Algorithm& algorithm, std::string_view compact) const
{
    // RFC 8017, 8.1.2: as long as the modulus. OpenSSL would accept one without
    // its leading zero bytes, too.
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

std::optional<KeySet> KeySet::parse(std::string_view json, std::string& why)
{
    auto document = Json::parse(json, why);
    if (!document) {
        why = "a key set that is " + why;
        return {};
    }
    auto list = (*document)["keys"];
    if (!list.is_array()) {
        why = "a key set without \"keys\"";
        return {};
    }

    KeySet set;
    for (std::size_t i = 0; i < list.size(); i++) {
        if (set.keys_.size() == max_keys) {
            break;
        }
        if (auto key = VerifyingKey::import(list.at(i), why)) {
            set.keys_.push_back(std::move(*key));
        }
    }
    if (set.keys_.empty()) {
        why = list.size() == 0 ? "an empty key set" :
                                 "no usable key, the last was a key " + why;
        return {};
    }
    return set;
}

std::optional<KeySet> KeySet::parse(std::string_view json)
{
    std::string why;
    return parse(json, why);
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
        if (key.fits(algorithm) && chosen.size() < max_tries) {
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
