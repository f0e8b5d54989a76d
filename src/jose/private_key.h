// The client's own key: it signs the client's assertions, and opens what is
// encrypted to it.
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
    // PEM (PKCS #8 or the older forms of RSA and EC, not encrypted) or a JWK
    // with its private parts (RFC 7517): RSA of 2048 to 16384 bits, EC on
    // P-256, P-384 or P-521, Ed25519. Nothing for what else it is, or for
    // parts that do not belong together; `why` then completes "a key ...".
    static std::optional<PrivateKey> parse(
        std::string_view text, std::string& why);

    Kty kty() const { return kty_; }

    // What to sign with: the first of the key's algorithms that is `offered`,
    // or just the first where nothing is. They are a JWK's own "alg", or all
    // that fit, the usual first: RS256, PS256; one per curve; EdDSA. Null
    // where none fits, or a JWK says that it is not for signatures.
    const Algorithm* algorithm(std::span<const std::string> offered) const;

    // A compact JWS (RFC 7515, 7.1) with {"alg","typ":"JWT"} and a JWK's own
    // "kid" for a header. Nothing for an algorithm that is not the key's.
    std::optional<std::string> sign(
        const Algorithm& algorithm, std::string_view payload) const;

    // The JWE algorithm this key opens: RSA-OAEP or ECDH-ES. Empty for
    // Ed25519, or where a JWK says that it is not for encryption.
    std::string_view encryption() const { return encryption_; }

    // For jose/jwe alone. What our key and the sender's ephemeral one agree on
    // (RFC 7518, 4.6): nothing unless `epk` is a public key of the same curve.
    std::optional<Secret> agree(JsonValue epk) const;

    // For jose/jwe alone. Null for Ed25519, which cjose does not know.
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

// As PrivateKey::sign() with HS256, HS384 or HS512 (RFC 7523, 2.2, as
// client_secret_jwt uses it). Nothing for another algorithm, or for a secret
// shorter than Algorithm::min_secret.
std::optional<std::string> sign_with_secret(const Algorithm& algorithm,
    std::string_view secret, std::string_view payload);

}
