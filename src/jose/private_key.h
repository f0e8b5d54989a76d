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

typedef struct _cjose_jwk_int cjose_jwk_t;

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
    // curve; EdDSA. Null if none fits or the JWK is not for signatures.
    const Algorithm* algorithm(std::span<const std::string> offered) const;

    // A compact JWS (RFC 7515, 7.1) whose header is {"alg","typ":"JWT"} and the
    // "kid" of a JWK. Nothing for an algorithm that does not fit the key.
    std::optional<std::string> sign(
        const Algorithm& algorithm, std::string_view payload) const;

    // The JWE algorithm of this key: RSA-OAEP or ECDH-ES. Empty for Ed25519, or
    // if the JWK is not for encryption.
    std::string_view encryption() const { return encryption_; }

    // For jose/jwe only: the shared secret with the sender's ephemeral key (RFC
    // 7518, 4.6). Nothing unless `epk` is a public key of the same curve.
    std::optional<Secret> agree(JsonValue epk) const;

    // For jose/jwe only. Null for Ed25519, which cjose does not support.
    const cjose_jwk_t* jwk() const;

private:
    class Handle;

    PrivateKey() = default;

    Kty kty_ = Kty::rsa;
    std::string crv_;
    std::string kid_; // empty for none
    std::vector<const Algorithm*> algorithms_;
    std::string_view encryption_;
    std::shared_ptr<const Handle> handle_;
};

// As PrivateKey::sign() with HS256, HS384 or HS512 (RFC 7523, 2.2, as used by
// client_secret_jwt). Nothing for other algorithms, or for a secret shorter
// than Algorithm::min_secret.
std::optional<std::string> sign_with_secret(const Algorithm& algorithm,
    std::string_view secret, std::string_view payload);

}
