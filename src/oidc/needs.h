// Which of a session's possible contents the configuration uses.
#pragma once

#include <string>
#include <vector>

namespace oidc {

// Claim names are in lower case, as nginx keeps the names of variables, and
// sorted.
struct Needs {
    std::vector<std::string> claims;
    bool all_claims = false;
    bool id_token = false;
    bool access_token = false;
    bool refresh_token = false;
    bool userinfo = false;
};

// Identifies a set of needs in 8 bytes; a session has that of the needs that it
// was sealed for.
std::string digest_of_needs(const Needs& needs);

}
