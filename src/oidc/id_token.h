// The ID token (OpenID Connect Core, 2, 3.1.3.7 and 12.2). To hold an IdToken
// is to have verified it: verify_login() and verify_refresh() are its only
// makers.
#pragma once

#include "core/json.h"
#include "core/result.h"
#include "core/time.h"
#include "jose/key_set.h"
#include "oidc/client.h"

#include <optional>
#include <string>
#include <string_view>

namespace oidc {

struct SignedToken;

// What a token is checked against. No member has a default that would let a
// rule be forgotten.
struct LoginExpectation {
    const Client& client;
    const KeySet& keys;
    std::string_view nonce;        // of this login
    std::string_view access_token; // of the same token response, for at_hash
    Time now;
};

struct RefreshExpectation {
    const Client& client;
    const KeySet& keys;
    std::string_view subject; // of the session
    std::string_view access_token;
    Time now;
};

class IdToken {
public:
    // Decryption and signature first, then every rule; an id_token_* error
    // names the one that failed.
    static Result<IdToken> verify_login(
        std::string_view compact, const LoginExpectation& expected);
    static Result<IdToken> verify_refresh(
        std::string_view compact, const RefreshExpectation& expected);

    JsonValue claims() const { return claims_.root(); }
    const std::string& compact() const { return compact_; }
    std::string_view subject() const { return *claims_["sub"].string(); }
    std::optional<Time> auth_time() const
    {
        auto since_epoch = claims_["auth_time"].seconds_or_digits();
        return since_epoch ? std::optional(Time(*since_epoch)) : std::nullopt;
    }

private:
    static Result<IdToken> make(SignedToken token);

    IdToken(std::string compact, Json claims) :
        compact_(std::move(compact)), claims_(std::move(claims))
    {
    }

    std::string compact_; // signed, no longer encrypted
    Json claims_;
};

}
