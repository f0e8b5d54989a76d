// Logout, as it is said between browser, provider and us: RP-Initiated Logout
// 1.0, Front-Channel Logout 1.0, Back-Channel Logout 1.0, and the revocation of
// tokens (RFC 7009). To hold a LogoutToken is to have verified it.
#pragma once

#include "core/http.h"
#include "core/json.h"
#include "core/result.h"
#include "jose/key_set.h"
#include "oidc/client.h"
#include "oidc/metadata.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace oidc {

// What an empty view leaves out of the URL.
struct EndSession {
    std::string_view id_token_hint;
    std::string_view post_logout_redirect_uri;
    std::string_view state;
};

// RP-Initiated Logout, 2: where to send the browser. The provider has an
// end_session_endpoint.
std::string end_session_url(const Metadata& metadata, const Client& client,
    const EndSession& end_session);

// RFC 7009, 2.1, yet without the client's proof, see client_auth.h. The hint is
// access_token or refresh_token. The provider has a revocation_endpoint.
HttpRequest revocation_request(
    const Metadata& metadata, std::string_view token, std::string_view hint);

// RFC 7009, 2.2: a 200 also for a token that the provider does not know.
// provider_*, upstream_status.
Check judge_revocation(const HttpResponse& response);

// Front-Channel Logout, 3: iss and sid, both or neither.
struct FrontChannel {
    std::optional<std::string> iss;
    std::optional<std::string> sid;
};

// logout_malformed for one without the other, one that comes twice or is over
// 1 KB, or a query that is no form. Other parameters are ignored.
Result<FrontChannel> parse_front_channel(std::string_view query);

// Back-Channel Logout, 2.5: the logout_token of a form, at most 64 KB.
// logout_malformed.
Result<std::string> parse_back_channel(std::string_view form);

struct LogoutExpectation {
    const Client& client;
    const KeySet& keys;
    Time now;
};

class LogoutToken {
public:
    // Every rule of Back-Channel Logout, 2.6, but for the memory of those that
    // were used, which is the caller's; decryption and signature first. A
    // logout_token_* error names the rule that failed.
    static Result<LogoutToken> verify(
        std::string_view compact, const LogoutExpectation& expected);

    // Unverified, to choose among providers: true for a token that names this
    // issuer, one that is encrypted in its header.
    static bool names_issuer(std::string_view compact, std::string_view issuer);

    // Whose session ends: one of the two is there, or both.
    std::optional<std::string_view> sid() const
    {
        return claims_["sid"].string();
    }
    std::optional<std::string_view> sub() const
    {
        return claims_["sub"].string();
    }

    // Its name, and when the token is taken no more, less the clock skew: until
    // then the name must be remembered. Never much over an hour away.
    std::string_view jti() const { return *claims_["jti"].string(); }
    Time expires() const;

private:
    explicit LogoutToken(Json claims) : claims_(std::move(claims)) {}

    Json claims_;
};

// 16 bytes that stand for all sessions that `value` names: as a "session" its
// own id, as a "sid" or a "sub" that claim of this provider's tokens.
std::string revocation_key(
    const Client& client, std::string_view kind, std::string_view value);

}
