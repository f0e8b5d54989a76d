// What a JWK says of its key (RFC 7517, 4), the same for a provider's public
// one and for our private one.
#pragma once

#include "core/crypto.h"
#include "core/json.h"
#include "jose/algorithm.h"

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace oidc {

// Of the modulus of a key that we take.
constexpr int min_rsa_bits = 2048; // RFC 7518, 3.3
constexpr int max_rsa_bits = 16384;

constexpr std::size_t ed25519_size = 32; // RFC 8032, 5.1.5

// Nothing unless "kty" is RSA, EC or OKP: a shared secret comes in no key set.
std::optional<Kty> kty_of(JsonValue jwk);

// RFC 7517, 4.2 and 4.3: where a key says what it is for, believe it. True
// unless "use" is another one, or "key_ops" lists none of the operations.
bool is_for(JsonValue jwk, std::string_view use,
    std::initializer_list<std::string_view> operations);

// The bytes of a member, one or more; nothing unless it is strict base64url
// (RFC 7518, 6) and, where that is asked for, of the exact size.
std::optional<Secret> octets(JsonValue jwk, const char* name);
std::optional<Secret> octets(
    JsonValue jwk, const char* name, std::size_t exact_size);

}
