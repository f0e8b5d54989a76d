// JSON Web Encryption in compact serialization (RFC 7516, 7.1): open a token
// that is encrypted to us.
#pragma once

#include "jose/private_key.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace oidc {

// Of a client_secret that "dir" makes a key of, in bytes (OpenID Connect Core,
// 10.2 and 16.19).
constexpr std::size_t min_dir_secret = 32;

// What we can open tokens with; both are borrowed, and either may be absent.
struct DecryptionKeys {
    const PrivateKey* key = nullptr;
    std::string_view client_secret; // for "dir"
};

// RSA-OAEP, ECDH-ES, dir.
bool is_known_encryption_alg(std::string_view name);

// Five parts, where a JWS has three.
bool is_jwe(std::string_view compact);

// The plaintext (RFC 7516, 5.2). Nothing for anything but strict base64url
// parts of exact sizes, up to 65536 bytes of ciphertext, with a JSON header
// without "zip" and "crit", for an algorithm that is not `allowed` or that no
// key of ours is for, and for what does not decrypt, which is one answer
// whatever step failed. `why` then completes "id token ...".
std::optional<std::string> decrypt(std::string_view compact,
    const DecryptionKeys& keys, std::span<const std::string> allowed,
    std::string& why);

}
