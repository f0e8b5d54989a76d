// The token requests, with an authorization code or a refresh token, and their
// responses (OpenID Connect Core, 3.1.3 and 12; RFC 6749, 4.1.3, 5, 6).
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "oidc/metadata.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace oidc {

// Both without client authentication, see client_auth.h. An empty verifier is
// not sent.
HttpRequest code_request(const Metadata& metadata, std::string_view code,
    std::string_view redirect_uri, std::string_view verifier);
HttpRequest refresh_request(
    const Metadata& metadata, std::string_view refresh_token);

// The error with which an endpoint refused our request (RFC 6749, 5.2; RFC
// 9126, 2.3): refused_*, or upstream_status for the status of a refusal
// without an error. Some providers send their errors with a status of success.
// Nothing if the response is no refusal.
std::optional<Error> refusal(const HttpResponse& response);

struct Tokens {
    std::string id_token;
    std::string access_token;
    std::string refresh_token; // empty: none
    Seconds expires_in{};      // 0: the provider did not say
    std::string notice = {}; // what was tolerated, for the log; empty: nothing
};

// upstream_status, upstream_token, id_token_missing, or the refused_* of an
// error response (RFC 6749, 5.2).
Result<Tokens> parse_tokens(const HttpResponse& response);

// The same of a refresh, where the id token is optional (Core, 12.2).
Result<Tokens> parse_refreshed(const HttpResponse& response);

}
