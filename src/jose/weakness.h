// Keys that are well-formed and no secret: anybody can make what they verify,
// and OpenSSL verifies it. A modulus that is prime, or easy to factor, is not
// looked for: that costs more than a key of a provider's is worth.
#pragma once

#include "jose/handled.h"

#include <string>
#include <string_view>

namespace oidc {

// The phrase for why no RSA key of these numbers is taken, after "a key"; empty
// for a good one.
std::string rsa_weakness(const BIGNUM* modulus, const BIGNUM* exponent);

// Of a point of Ed25519, as the 32 bytes that encode it (RFC 8032, 5.1.2).
bool has_small_order(std::string_view point);

}
