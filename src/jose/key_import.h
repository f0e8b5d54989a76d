// Imports the client's private key from the operator's text, and checks that it
// is strong enough and that its parts match.
#pragma once

#include "core/json.h"
#include "jose/evp.h"

#include <optional>
#include <string>
#include <string_view>

namespace oidc {

struct ImportedKey {
    Handled<EVP_PKEY> evp;
    std::optional<Json> document; // of a JWK; nothing for PEM

    // Absent for PEM, where no member restricts the key.
    JsonValue jwk() const { return document ? document->root() : JsonValue(); }
};

// Accepts PEM (PKCS #8 or the older forms of RSA and EC, not encrypted) or a
// JWK with its private parts (RFC 7517; RFC 7518, 6.2.2 and 6.3.2; RFC 8037,
// 2): RSA without a weakness (jose/weakness), EC on P-256, P-384 or P-521,
// Ed25519. Nothing for other texts, for RSA keys of more than two primes, if
// "kid", "alg" or "use" are not strings of at most 1024 bytes, or if parts do
// not match; `why` then completes "a key ...". OpenSSL's error queue is empty
// afterwards.
std::optional<ImportedKey> import_private_key(
    std::string_view text, std::string& why);

// The public key of "x" and "y". Null unless they are two coordinates of the
// curve's size (RFC 7518, 6.2.1) and the point is on it (RFC 8725, 3.4).
Handled<EVP_PKEY> import_public_ec(JsonValue jwk, const Curve& curve);

}
