// JSON Web Encryption in compact serialization (RFC 7516, 7.1): decrypts tokens
// that are encrypted to the client.
#pragma once

#include "jose/private_key.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace oidc {

// The minimum size of a client_secret used for "dir", in bytes (OpenID Connect
// Core, 10.2 and 16.19).
constexpr std::size_t min_dir_secret = 32;

// The keys to decrypt tokens with. Both are borrowed; either may be absent.
struct DecryptionKeys {
    const PrivateKey* key = nullptr;
    std::string_view client_secret; // for "dir"
};

// RSA-OAEP, RSA-OAEP-256, ECDH-ES, dir.
bool is_known_encryption_alg(std::string_view name);

// A JWE has five parts, a JWS three.
bool is_jwe(std::string_view compact);

// The plaintext (RFC 7516, 5.2). Nothing unless the parts are strict base64url
// of exact sizes, with up to 65536 bytes of ciphertext, the header is JSON
// without "zip" and "crit", and the algorithm is `allowed` and has a key.
// Failures to decrypt are all reported alike, whatever step failed. `why` then
// completes "id token ...".
std::optional<std::string> decrypt(std::string_view compact,
    const DecryptionKeys& keys, std::span<const std::string> allowed,
    std::string& why);

}
