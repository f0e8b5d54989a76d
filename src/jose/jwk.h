// What a JWK says about its key (RFC 7517, 4), for a provider's public keys and
// for the client's private key.
#pragma once

#include "core/crypto.h"
#include "core/json.h"
#include "jose/algorithm.h"

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace oidc {

// Limits of an RSA modulus.
constexpr int min_rsa_bits = 2048; // RFC 7518, 3.3
constexpr int max_rsa_bits = 16384;

constexpr std::size_t ed25519_size = 32; // RFC 8032, 5.1.5

// Nothing unless "kty" is RSA, EC or OKP: key sets do not contain secrets.
std::optional<Kty> kty_of(JsonValue jwk);

// RFC 7517, 4.2 and 4.3: false if "use" is present with another value, or if
// "key_ops" is present and lists none of the operations.
bool is_for(JsonValue jwk, std::string_view use,
    std::initializer_list<std::string_view> operations);

// The decoded member, at least one byte; nothing unless it is strict base64url
// (RFC 7518, 6) and has the exact size, where one is given.
std::optional<Secret> octets(JsonValue jwk, const char* name);
std::optional<Secret> octets(
    JsonValue jwk, const char* name, std::size_t exact_size);

}
