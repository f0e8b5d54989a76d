// The rules that a provider's tokens share (OpenID Connect Core, 3.1.3.7;
// RFC 7519, 4.1): encrypted to us, signed by the provider, and by whom, for
// whom and for when they are. Each kind of token adds rules of its own and
// lists all of them in one table.
#pragma once

#include "core/json.h"
#include "core/result.h"
#include "core/time.h"
#include "jose/jws.h"
#include "jose/key_set.h"
#include "oidc/client.h"

#include <optional>
#include <string>
#include <string_view>

namespace oidc {

// The name of a kind of token, and the codes of what these rules can find.
struct TokenCodes {
    TokenKind kind;
    Errc encryption;
    Errc issuer;
    Errc audience;
    Errc expired;
    Errc not_yet_valid;
    Errc issued_at;
};

// A token whose signature holds. Nothing is known of its claims yet.
struct SignedToken {
    std::string compact; // as it was signed, encrypted or not
    Jws jws;
    Json claims;
};

// Decrypts a token, verifies its signature and parses its claims. `codes` must
// be a constant.
Result<SignedToken> open_token(const TokenCodes& codes,
    std::string_view compact, const Client& client, const KeySet& keys);

// Rows of a table of rules. All arguments outlive it.
class TokenRules {
public:
    TokenRules(const TokenCodes& codes, const SignedToken& token,
        const Client& client, Time now) :
        codes_(codes),
        token_(token), client_(client), now_(now)
    {
    }

    Check issuer() const;
    Check audience() const;
    Check other_audiences() const;
    Check expiry() const;
    Check not_before() const;
    Check issued_at() const;

protected:
    JsonValue claim(const char* name) const { return token_.claims[name]; }
    const Jws& jws() const { return token_.jws; }
    const Client& client() const { return client_; }
    Time now() const { return now_; }

private:
    Error error_of(Errc code, const std::string& what) const;

    const TokenCodes& codes_;
    const SignedToken& token_;
    const Client& client_;
    Time now_;
};

// By the configured issuer, and for us among others; `name` begins the sentence
// of an error.
Check check_iss(
    std::string_view name, Errc code, const Json& claims, const Client& client);
Check check_aud(
    std::string_view name, Errc code, const Json& claims, const Client& client);

// 1 to 255 ASCII characters, as Core, 2 has it for sub.
bool is_identifier(std::optional<std::string_view> text);

// How long after its iat a token is accepted, without the clock skew.
constexpr Seconds max_token_age = 3600s;

// What tells a logout token from an ID token (Back-Channel Logout, 2.4).
constexpr std::string_view logout_type = "logout+jwt";
constexpr auto logout_event =
    "http://schemas.openid.net/event/backchannel-logout";

}
