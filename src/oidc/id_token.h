// The ID token (OpenID Connect Core, 2 and 3.1.3.7). To hold an IdToken is to
// have verified it: verify() is its only maker.
#pragma once

#include "core/json.h"
#include "core/result.h"
#include "jose/key_set.h"
#include "oidc/client.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace oidc {

// What a token is held against. No member has a default that would let a rule
// be forgotten.
struct Expectation {
    const Client& client;
    const KeySet& keys;
    std::optional<std::string_view> nonce; // of this very login; of no refresh
    std::string_view access_token;         // that came with it, for at_hash
    Time now;
};

class IdToken {
public:
    // Every rule, decryption and signature first; an id_token_* error names the
    // one that failed.
    static Result<IdToken> verify(
        std::string_view compact, const Expectation& expected);

    JsonValue claims() const { return claims_.root(); }
    const std::string& compact() const { return compact_; }
    std::string_view subject() const { return *claims_["sub"].string(); }
    std::optional<Time> auth_time() const
    {
        return claims_["auth_time"].date();
    }

private:
    IdToken(std::string compact, Json claims) :
        compact_(std::move(compact)), claims_(std::move(claims))
    {
    }

    std::string compact_;
    Json claims_;
};

// True when a token was refused because the key set may be out of date.
bool wants_newer_keys(const Error& error);

}
