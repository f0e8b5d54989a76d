// Which of a session's possible contents the configuration uses.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

struct Needs {
    // Sorted: names of claims in lower case, as nginx keeps the names of
    // variables, and paths to nested claims.
    std::vector<std::string> claims;
    bool all_claims = false;
    bool id_token = false;
    bool access_token = false;
    bool refresh_token = false;
    bool userinfo = false;
};

// The names that lead to a nested claim, exactly as they are in the JSON, each
// with a NUL behind it, which no name has: no path is the name of a claim.
std::string claim_path(std::span<const std::string> names);
bool is_claim_path(std::string_view claim);

// The longest name or path that a session can keep.
constexpr std::size_t max_claim_name = 255;

// Identifies a set of needs in 8 bytes; a session has that of the needs that it
// was sealed for.
std::string digest_of_needs(const Needs& needs);

}
