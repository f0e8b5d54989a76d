// The client's private key: signs client assertions, and decrypts tokens that
// are encrypted to the client.
#pragma once

#include "core/crypto.h"
#include "core/json.h"
#include "jose/algorithm.h"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

// Copies share the key.
class PrivateKey {
public:
    // Accepts PEM (PKCS #8 or the older forms of RSA and EC, not encrypted) or
    // a JWK with its private parts (RFC 7517): RSA of 2048 to 16384 bits, EC on
    // P-256, P-384 or P-521, Ed25519. Nothing for other texts, or if parts do
    // not match; `why` then completes "a key ...".
    static std::optional<PrivateKey> parse(
        std::string_view text, std::string& why);

    Kty kty() const { return kty_; }

    // The algorithm to sign with: the first of the key's algorithms that is
    // `offered`, or the first if nothing is offered. The key's algorithms are
    // the "alg" of a JWK, or all that fit, in this order: RS256, PS256; one per
    // curve; EdDSA, Ed25519, or the one that the JWK names first. Null if none
    // fits or the JWK is not for signatures.
    const Algorithm* algorithm(std::span<const std::string> offered) const;

    // A compact JWS (RFC 7515, 7.1) whose header is {"alg","typ":"JWT"} and the
    // "kid" of a JWK. Nothing for an algorithm that does not fit the key.
    std::optional<std::string> sign(
        const Algorithm& algorithm, std::string_view payload) const;

    // The JWE algorithms of this key: RSA-OAEP and RSA-OAEP-256, or ECDH-ES;
    // only the "alg" of a JWK, if it has one. Empty for Ed25519, or if the JWK
    // is not for encryption.
    std::span<const std::string_view> encryptions() const
    {
        return encryptions_;
    }
    bool can_decrypt(std::string_view alg) const;

    // For jose/jwe only: the content encryption key, by RSA-OAEP or
    // RSA-OAEP-256 (RFC 7518, 4.3), of a size that the caller checks. Nothing
    // if it does not decrypt. The encrypted key is as long as the modulus.
    std::optional<Secret> unwrap(
        std::string_view alg, std::string_view encrypted) const;
    std::size_t modulus_size() const; // bytes, of RSA

    // For jose/jwe only: the shared secret with the sender's ephemeral key (RFC
    // 7518, 4.6). Nothing unless `epk` is a public key of the same curve.
    std::optional<Secret> agree(JsonValue epk) const;

private:
    class Handle;

    PrivateKey() = default;

    Kty kty_ = Kty::rsa;
    std::string crv_;
    std::string kid_; // empty for none
    std::vector<const Algorithm*> algorithms_;
    std::vector<std::string_view> encryptions_;
    std::shared_ptr<const Handle> handle_;
};

// As PrivateKey::sign() with HS256, HS384 or HS512 (RFC 7523, 2.2, as used by
// client_secret_jwt). Nothing for other algorithms, or for a secret shorter
// than Algorithm::min_secret.
std::optional<std::string> sign_with_secret(const Algorithm& algorithm,
    std::string_view secret, std::string_view payload);

}
