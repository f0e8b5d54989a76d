// The rules that a provider's tokens share (OpenID Connect Core, 3.1.3.7;
// RFC 7519, 4.1): encrypted to us, signed by the provider, and by whom, for
// whom and for when they are. Every message has further ones of its own.
#pragma once

#include "core/json.h"
#include "core/result.h"
#include "jose/jws.h"
#include "jose/key_set.h"
#include "oidc/client.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace oidc {

struct OriginCodes {
    Errc issuer;
    Errc audience;
};

// What a token is, and the codes of what these rules can find.
struct TokenRules {
    TokenKind kind;
    Errc encryption;
    OriginCodes origin;
    Errc expired;
    Errc not_yet_valid;
    Errc issued_at;
};

struct VerifiedToken {
    std::string compact; // as it was signed, encrypted or not
    Jws jws;
    Json claims;
};

// Decryption and signature first. The rules must be a constant.
Result<VerifiedToken> verify_token(const TokenRules& rules,
    std::string_view compact, const Client& client, const KeySet& keys,
    Time now);

// By the configured issuer, and for us among others.
Check check_origin(std::string_view message, const OriginCodes& codes,
    const Json& claims, const Client& client);

// 1 to 255 ASCII characters, as Core, 2 has it for sub.
bool is_identifier(std::optional<std::string_view> text);

// How long after iat a token is taken, but for the clock skew.
constexpr Seconds oldest_token = 1h;

// What tells a logout token from an ID token (Back-Channel Logout, 2.4).
constexpr std::string_view logout_type = "logout+jwt";
constexpr auto logout_event =
    "http://schemas.openid.net/event/backchannel-logout";

}
