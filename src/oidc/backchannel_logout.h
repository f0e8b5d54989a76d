// The provider's back-channel logout request and its logout token (OpenID
// Connect Back-Channel Logout 1.0). To hold a LogoutToken is to have verified
// it.
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

// 2.5: the logout_token of a form, at most 64 KB. logout_malformed.
Result<std::string> parse_back_channel(std::string_view form);

struct LogoutExpectation {
    const Client& client;
    const KeySet& keys;
    Time now;
};

class LogoutToken {
public:
    // Every rule of 2.6, decryption and signature first; the caller remembers
    // which tokens were used. A logout_token_* error names the rule that
    // failed.
    static Result<LogoutToken> verify(
        std::string_view compact, const LogoutExpectation& expected);

    // Unverified, to choose among providers: true for a token that names this
    // issuer, an encrypted one in its header.
    static bool names_issuer(std::string_view compact, std::string_view issuer);

    // Whose session ends: at least one of the two is present.
    std::optional<std::string_view> sid() const
    {
        return claims_["sid"].string();
    }
    std::optional<std::string_view> sub() const
    {
        return claims_["sub"].string();
    }

    // Its id must be remembered until the token is no longer accepted: until
    // expires() and the clock skew, little more than an hour at most.
    std::string_view jti() const { return *claims_["jti"].string(); }
    Time expires() const;

private:
    explicit LogoutToken(Json claims) : claims_(std::move(claims)) {}

    Json claims_;
};

}
