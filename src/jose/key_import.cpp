#include "jose/key_import.h"

#include "jose/jwk.h"
#include "jose/weakness.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>

namespace oidc {
namespace {

constexpr std::size_t max_string = 1024;

constexpr std::string_view mismatch =
    "whose public and private parts do not match";

// A key with more than two primes has "oth", and is refused.
Handled<EVP_PKEY> read_rsa(JsonValue jwk)
{
    Assembly assembly;
    auto any_prime = [&] {
        return std::any_of(rsa_parts.begin() + min_rsa_parts, rsa_parts.end(),
            [&](const KeyPart& part) { return jwk[part.jwk].exists(); });
    };
    auto count = any_prime() ? rsa_parts.size() : min_rsa_parts;
    if (jwk["oth"].exists()) {
        return nullptr;
    }
    for (std::size_t i = 0; i < count; i++) {
        auto number = octets(jwk, rsa_parts[i].jwk);
        if (!number) {
            return nullptr;
        }
        assembly.add(rsa_parts[i].openssl, *number);
    }
    return assembly.make("RSA", EVP_PKEY_KEYPAIR);
}

// With `d`, or the public key if `d` is nothing.
Handled<EVP_PKEY> read_ec(
    JsonValue jwk, const Curve& curve, const std::optional<Secret>& d)
{
    auto x = octets(jwk, "x", curve.size);
    auto y = octets(jwk, "y", curve.size);
    if (!x || !y) {
        return nullptr;
    }
    auto point = "\x04" + std::string(x->reveal()) + std::string(y->reveal());

    Assembly assembly;
    assembly.add_name(OSSL_PKEY_PARAM_GROUP_NAME, curve.group);
    assembly.add_octets(OSSL_PKEY_PARAM_PUB_KEY, point);
    if (d) {
        assembly.add(OSSL_PKEY_PARAM_PRIV_KEY, *d);
    }
    return assembly.make("EC", d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY);
}

Handled<EVP_PKEY> read_ec(JsonValue jwk)
{
    auto curve = find_curve(jwk["crv"].string().value_or(""));
    auto d = curve != nullptr ? octets(jwk, "d", curve->size) : std::nullopt;
    return d ? read_ec(jwk, *curve, d) : nullptr;
}

// RFC 8037, 2: OpenSSL derives the public key, which must equal "x".
Handled<EVP_PKEY> read_ed25519(JsonValue jwk, std::string& why)
{
    auto x = octets(jwk, "x", ed25519_size);
    auto d = octets(jwk, "d", ed25519_size);
    if (jwk["crv"].string() != "Ed25519" || !x || !d) {
        return nullptr;
    }
    Handled<EVP_PKEY> key(EVP_PKEY_new_raw_private_key(
        EVP_PKEY_ED25519, nullptr, bytes(d->reveal()), ed25519_size));
    std::string derived(ed25519_size, '\0');
    auto size = derived.size();
    if (key == nullptr ||
        EVP_PKEY_get_raw_public_key(key.get(), bytes(derived), &size) != 1) {
        return nullptr;
    }
    if (derived != x->reveal()) {
        why = mismatch;
        return nullptr;
    }
    return key;
}

// "kid" is copied into the header of signed tokens.
bool has_sane_strings(JsonValue jwk)
{
    for (auto name : {"kid", "alg", "use"}) {
        auto text = jwk[name].string();
        if (jwk[name].exists() && (!text || text->size() > max_string)) {
            return false;
        }
    }
    return true;
}

Handled<EVP_PKEY> read_jwk(JsonValue jwk, std::string& why)
{
    auto kty = kty_of(jwk);
    if (!kty) {
        why = "of an unknown type";
        return nullptr;
    }
    if (!jwk["d"].exists()) {
        why = "without private parts";
        return nullptr;
    }
    why = "that is malformed";
    if (!has_sane_strings(jwk)) {
        return nullptr;
    }
    return kty == Kty::rsa ? read_rsa(jwk) :
        kty == Kty::ec     ? read_ec(jwk) :
                             read_ed25519(jwk, why);
}

// OpenSSL would otherwise ask for a password on the terminal.
int refuse_password(char*, int, int, void* was_called)
{
    *static_cast<bool*>(was_called) = true;
    return -1;
}

Handled<EVP_PKEY> read_pem(std::string_view text, std::string& why)
{
    Handled<BIO> bio(
        BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    bool was_called = false;
    Handled<EVP_PKEY> key(bio == nullptr ?
            nullptr :
            PEM_read_bio_PrivateKey(
                bio.get(), nullptr, refuse_password, &was_called));
    if (key == nullptr) {
        why = was_called ? "that is encrypted" :
                           "that is neither a JWK nor a private key in PEM";
    }
    return key;
}

// The public key verifies a signature of the private key.
bool can_sign(EVP_PKEY* key)
{
    constexpr std::string_view text = "a text";
    auto signature = sign_by_openssl(key, EVP_sha256(), text);
    return signature && verify_by_openssl(key, EVP_sha256(), *signature, text);
}

// The primes are the factors of the modulus, and the derived values match them
// (RFC 8017, 3.2). OpenSSL hides a wrong one: it falls back to the exponent.
bool has_matching_primes(EVP_PKEY* key)
{
    auto n = number_of(key, OSSL_PKEY_PARAM_RSA_N);
    auto d = number_of(key, OSSL_PKEY_PARAM_RSA_D);
    auto p = number_of(key, OSSL_PKEY_PARAM_RSA_FACTOR1);
    auto q = number_of(key, OSSL_PKEY_PARAM_RSA_FACTOR2);
    auto dp = number_of(key, OSSL_PKEY_PARAM_RSA_EXPONENT1);
    auto dq = number_of(key, OSSL_PKEY_PARAM_RSA_EXPONENT2);
    auto qi = number_of(key, OSSL_PKEY_PARAM_RSA_COEFFICIENT1);
    Handled<BIGNUM> a(BN_secure_new());
    Handled<BIGNUM> b(BN_secure_new());
    Handled<BN_CTX> context(BN_CTX_secure_new());
    if (!n || !d || !p || !q || !dp || !dq || !qi || !a || !b || !context) {
        return false;
    }
    auto c = context.get();
    auto is_exponent = [&](const BIGNUM* exponent, const BIGNUM* prime) {
        return BN_copy(a.get(), prime) != nullptr && BN_sub_word(a.get(), 1) &&
            BN_mod(b.get(), d.get(), a.get(), c) &&
            BN_cmp(b.get(), exponent) == 0;
    };
    return BN_mul(a.get(), p.get(), q.get(), c) &&
        BN_cmp(a.get(), n.get()) == 0 && is_exponent(dp.get(), p.get()) &&
        is_exponent(dq.get(), q.get()) &&
        BN_mod_mul(a.get(), qi.get(), q.get(), p.get(), c) &&
        BN_is_one(a.get());
}

// EVP_PKEY_check() would test the primes, for seconds if RSA has 8192 bits. An
// Ed25519 key cannot be wrong after import: no secret leads to a point of small
// order (RFC 8032, 5.1.5).
bool is_consistent(EVP_PKEY* key, Kty kty)
{
    if (kty == Kty::okp) {
        return true;
    }
    if (kty == Kty::rsa) {
        auto has_primes =
            number_of(key, OSSL_PKEY_PARAM_RSA_FACTOR1) != nullptr;
        return (!has_primes || has_matching_primes(key)) && can_sign(key);
    }
    Handled<EVP_PKEY_CTX> context(
        EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
    return context != nullptr && EVP_PKEY_check(context.get()) == 1;
}

// The phrase that says why a key is refused; empty if it is accepted.
std::string weakness(EVP_PKEY* key)
{
    auto known = kty_of(key);
    if (!known) {
        return "of an unknown type";
    }
    auto kty = *known;
    if (kty == Kty::rsa) {
        auto why = rsa_weakness(number_of(key, OSSL_PKEY_PARAM_RSA_N).get(),
            number_of(key, OSSL_PKEY_PARAM_RSA_E).get());
        if (!why.empty()) {
            return why;
        }
    }
    if (kty == Kty::ec && curve_of(key) == nullptr) {
        return "on an unknown curve";
    }
    return std::string(is_consistent(key, kty) ? "" : mismatch);
}

bool is_jwk(std::string_view text)
{
    auto start = text.find_first_not_of(" \t\r\n");
    return start != std::string_view::npos && text[start] == '{';
}

}

std::optional<ImportedKey> import_private_key(
    std::string_view text, std::string& why)
{
    ImportedKey key;
    if (is_jwk(text)) {
        key.document = Json::parse(text, why);
        if (!key.document) {
            why = "that is " + why;
            return {};
        }
    }
    key.evp = key.document ? read_jwk(key.jwk(), why) : read_pem(text, why);
    if (key.evp != nullptr) {
        why = weakness(key.evp.get());
    }
    ERR_clear_error();
    return key.evp != nullptr && why.empty() ?
        std::optional<ImportedKey>(std::move(key)) :
        std::nullopt;
}

Handled<EVP_PKEY> import_public_ec(JsonValue jwk, const Curve& curve)
{
    return read_ec(jwk, curve, std::nullopt);
}

}
