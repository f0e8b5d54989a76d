#include "jose/private_key.h"

#include "core/encoding.h"
#include "jose/jwk.h"
#include "jose/key_import.h"

#include <openssl/err.h>

#include <algorithm>

namespace oidc {
namespace {

// Appends ,"name":"base64url" of at least `size` bytes; omits parts that the
// key does not have.
void append(
    std::string& jwk, EVP_PKEY* key, const KeyPart& part, std::size_t size)
{
    auto value = number_of(key, part.openssl);
    if (value == nullptr) {
        return;
    }
    auto needed =
        std::max(size, static_cast<std::size_t>(BN_num_bytes(value.get())));
    std::string octets(needed, '\0');
    BN_bn2binpad(value.get(), bytes(octets), static_cast<int>(needed));
    Secret decoded(std::move(octets));
    Secret encoded(base64url(decoded.reveal()));
    jwk += ",\"" + std::string(part.jwk) + "\":\"";
    jwk += encoded.reveal();
    jwk += '"';
}

Secret to_jwk(EVP_PKEY* key, Kty kty)
{
    std::string text;
    text.reserve(16384); // growing it would leave copies behind
    if (kty == Kty::rsa) {
        text = R"({"kty":"RSA")";
        for (const auto& part : rsa_parts) {
            append(text, key, part, 0);
        }
    } else {
        auto curve = curve_of(key);
        text = R"({"kty":"EC","crv":")" + std::string(curve->name) + '"';
        for (const auto& part : ec_parts) {
            append(text, key, part, curve->size);
        }
    }
    text += '}';
    return Secret(std::move(text));
}

// cjose cannot read PEM and accepts malformed JWKs: it gets a JWK made here.
Handled<cjose_jwk_t> to_cjose(EVP_PKEY* key, Kty kty)
{
    auto jwk = to_jwk(key, kty);
    cjose_err error{};
    return Handled<cjose_jwk_t>(
        cjose_jwk_import(jwk.reveal().data(), jwk.reveal().size(), &error));
}

std::string_view crv_of(EVP_PKEY* key, Kty kty)
{
    return kty == Kty::rsa ? "" :
        kty == Kty::okp    ? "Ed25519" :
                             curve_of(key)->name;
}

// The default first: it is used with a provider that announces no list.
constexpr std::string_view preference[] = {"RS256", "PS256", "RS384", "RS512",
    "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"};

std::vector<const Algorithm*> algorithms_of(
    Kty kty, std::string_view crv, JsonValue jwk)
{
    std::vector<const Algorithm*> fitting;
    if (!is_for(jwk, "sig", {"sign"})) {
        return fitting;
    }
    auto alg = jwk["alg"].string();
    for (auto name : preference) {
        auto algorithm = find_algorithm(name);
        if (algorithm->kty == kty && algorithm->crv == crv &&
            (!alg || is_named(*algorithm, *alg))) {
            fitting.push_back(algorithm);
        }
    }
    std::stable_partition(fitting.begin(), fitting.end(),
        [&](auto algorithm) { return alg == algorithm->name; });
    return fitting;
}

struct JweAlgorithm {
    std::string_view name;
    Kty kty;
    const EVP_MD* (*oaep)(); // RFC 7518, 4.3
};

constexpr JweAlgorithm jwe_algorithms[] = {
    {"RSA-OAEP", Kty::rsa, EVP_sha1},
    {"RSA-OAEP-256", Kty::rsa, EVP_sha256},
    {"ECDH-ES", Kty::ec, nullptr},
};

std::vector<std::string_view> encryptions_of(Kty kty, JsonValue jwk)
{
    std::vector<std::string_view> fitting;
    if (!is_for(
            jwk, "enc", {"decrypt", "unwrapKey", "deriveKey", "deriveBits"})) {
        return fitting;
    }
    auto alg = jwk["alg"].string();
    for (const auto& algorithm : jwe_algorithms) {
        if (algorithm.kty == kty && (!alg || *alg == algorithm.name)) {
            fitting.push_back(algorithm.name);
        }
    }
    return fitting;
}

std::optional<std::string> sign_by_cjose(const cjose_jwk_t* key,
    std::string_view alg, const std::string& kid, std::string_view payload)
{
    cjose_err error{};
    std::string plain(payload);
    Handled<cjose_header_t> header(cjose_header_new(&error));
    if (header == nullptr ||
        !cjose_header_set(
            header.get(), "alg", std::string(alg).c_str(), &error) ||
        !cjose_header_set(header.get(), "typ", "JWT", &error) ||
        (!kid.empty() &&
            !cjose_header_set(header.get(), "kid", kid.c_str(), &error))) {
        return {};
    }
    Handled<cjose_jws_t> jws(
        cjose_jws_sign(key, header.get(), bytes(plain), plain.size(), &error));
    const char* compact = nullptr; // owned by the JWS
    if (jws == nullptr || !cjose_jws_export(jws.get(), &compact, &error)) {
        return {};
    }
    return compact;
}

// RFC 8037, 3.1
std::optional<std::string> sign_by_ed25519(EVP_PKEY* key, std::string_view alg,
    const std::string& kid, std::string_view payload)
{
    auto header = kid.empty() ?
        json_object({{"alg", alg}, {"typ", "JWT"}}) :
        json_object({{"alg", alg}, {"typ", "JWT"}, {"kid", kid}});
    auto input = base64url(header) + "." + base64url(payload);
    auto signature = sign_by_openssl(key, nullptr, input);
    return signature ?
        std::optional<std::string>(input + "." + base64url(*signature)) :
        std::nullopt;
}

// ECDH: the shared secret of a private and a public key.
std::optional<Secret> derive(EVP_PKEY* own, EVP_PKEY* peer)
{
    Handled<EVP_PKEY_CTX> context(
        EVP_PKEY_CTX_new_from_pkey(nullptr, own, nullptr));
    std::size_t size = 0;
    if (context == nullptr || EVP_PKEY_derive_init(context.get()) != 1 ||
        EVP_PKEY_derive_set_peer(context.get(), peer) != 1 ||
        EVP_PKEY_derive(context.get(), nullptr, &size) != 1) {
        return {};
    }
    std::string shared(size, '\0');
    auto good = EVP_PKEY_derive(context.get(), bytes(shared), &size) == 1 &&
        size == shared.size();
    return good ? std::optional<Secret>(std::move(shared)) : std::nullopt;
}

}

class PrivateKey::Handle {
public:
    Handled<EVP_PKEY> evp;
    Handled<cjose_jwk_t> jwk;
};

std::optional<PrivateKey> PrivateKey::parse(
    std::string_view text, std::string& why)
{
    auto imported = import_private_key(text, why);
    if (!imported) {
        return {};
    }
    auto handle = std::make_shared<Handle>();
    handle->evp = std::move(imported->evp);
    auto evp = handle->evp.get();
    auto jwk = imported->jwk();

    PrivateKey key;
    key.kty_ = *kty_of(evp);
    key.crv_ = crv_of(evp, key.kty_);
    if (key.kty_ != Kty::okp) {
        handle->jwk = to_cjose(evp, key.kty_);
        ERR_clear_error();
        if (handle->jwk == nullptr) {
            why = "that cannot be used";
            return {};
        }
    }
    key.kid_ = jwk["kid"].string().value_or("");
    key.algorithms_ = algorithms_of(key.kty_, key.crv_, jwk);
    key.encryptions_ = encryptions_of(key.kty_, jwk);
    if (key.algorithms_.empty() && key.encryptions_.empty()) {
        why = "that fits no supported signature or encryption algorithm";
        return {};
    }
    key.handle_ = std::move(handle);
    return key;
}

const Algorithm* PrivateKey::algorithm(
    std::span<const std::string> offered) const
{
    for (auto algorithm : algorithms_) {
        if (offered.empty() ||
            std::find(offered.begin(), offered.end(), algorithm->name) !=
                offered.end()) {
            return algorithm;
        }
    }
    return nullptr;
}

std::optional<std::string> PrivateKey::sign(
    const Algorithm& algorithm, std::string_view payload) const
{
    if (std::find(algorithms_.begin(), algorithms_.end(), &algorithm) ==
        algorithms_.end()) {
        return {};
    }
    auto compact = kty_ == Kty::okp ?
        sign_by_ed25519(handle_->evp.get(), algorithm.name, kid_, payload) :
        sign_by_cjose(handle_->jwk.get(), algorithm.name, kid_, payload);
    ERR_clear_error();
    return compact;
}

bool PrivateKey::can_decrypt(std::string_view alg) const
{
    return std::ranges::find(encryptions_, alg) != encryptions_.end();
}

std::optional<Secret> PrivateKey::unwrap(
    std::string_view alg, std::string_view encrypted) const
{
    auto row = std::ranges::find(jwe_algorithms, alg, &JweAlgorithm::name);
    auto key = decrypt_by_oaep(handle_->evp.get(), row->oaep(), encrypted);
    ERR_clear_error();
    return key;
}

std::size_t PrivateKey::modulus_size() const
{
    return static_cast<std::size_t>(EVP_PKEY_get_size(handle_->evp.get()));
}

std::optional<Secret> PrivateKey::agree(JsonValue epk) const
{
    if (kty_ != Kty::ec || epk["kty"].string() != "EC" ||
        epk["crv"].string() != crv_ || epk["d"].exists()) {
        return {};
    }
    auto peer = import_public_ec(epk, *find_curve(crv_));
    auto shared =
        peer != nullptr ? derive(handle_->evp.get(), peer.get()) : std::nullopt;
    ERR_clear_error();
    return shared;
}

std::optional<std::string> sign_with_secret(const Algorithm& algorithm,
    std::string_view secret, std::string_view payload)
{
    if (algorithm.kty != Kty::oct || secret.size() < algorithm.min_secret) {
        return {};
    }
    cjose_err error{};
    Handled<cjose_jwk_t> key(
        cjose_jwk_create_oct_spec(bytes(secret), secret.size(), &error));
    if (key == nullptr) {
        return {};
    }
    auto compact = sign_by_cjose(key.get(), algorithm.name, "", payload);
    ERR_clear_error();
    return compact;
}

}
