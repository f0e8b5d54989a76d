// Detects well-formed keys that need no secret: anybody can make signatures
// that OpenSSL verifies with them. Prime or easily factored moduli are not
// detected: that would cost more than it is worth for a provider's key.
#pragma once

#include "jose/handled.h"

#include <string>
#include <string_view>

namespace oidc {

// The phrase that says why an RSA key of these numbers is refused, after "a
// key"; empty if it is accepted.
std::string rsa_weakness(const BIGNUM* modulus, const BIGNUM* exponent);

// Of an Ed25519 point in its 32-byte encoding (RFC 8032, 5.1.2).
bool has_small_order(std::string_view point);

}
