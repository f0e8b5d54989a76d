// The supported signature algorithms (RFC 7518, 3.1; RFC 8037, 3.1; RFC 9864,
// 2), one row each: the key type and the signature format of each.
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
    Hash hash;              // also for at_hash
    std::size_t signature;  // exact size in bytes; 0: that of the key
    std::size_t min_secret; // bytes, for oct (RFC 7518, 3.2)
};

// Null for names not in the table, including "none".
const Algorithm* find_algorithm(std::string_view name);

// True for the name of this algorithm, and for its other name: EdDSA, where the
// curve is Ed25519, is called Ed25519 since RFC 9864, 2.2.
bool is_named(const Algorithm& algorithm, std::string_view name);

}
