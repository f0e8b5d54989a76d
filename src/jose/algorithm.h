// The signature algorithms we know (RFC 7518, 3.1; RFC 8037, 3.1), one row
// each: what key an algorithm takes and what its signature looks like.
#pragma once

#include "core/crypto.h"

#include <cstddef>
#include <string_view>

namespace oidc {

enum class Kty { rsa, ec, okp, oct };

struct Algorithm {
    std::string_view name;
    Kty kty;
    std::string_view crv;   // for ec and okp
    Hash hash;              // also the one of at_hash
    std::size_t signature;  // exact size in bytes; 0: the key decides
    std::size_t min_secret; // bytes, for oct (RFC 7518, 3.2)
};

// Null for names not in the table, "none" among them.
const Algorithm* find_algorithm(std::string_view name);

}
