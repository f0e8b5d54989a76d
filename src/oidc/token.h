// The token requests, with an authorization code or a refresh token, and the
// answers to them (OpenID Connect Core, 3.1.3 and 12; RFC 6749, 4.1.3, 5, 6).
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "oidc/metadata.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace oidc {

// Both yet without the client's proof, see client_auth.h. An empty verifier
// sends none.
HttpRequest code_request(const Metadata& metadata, std::string_view code,
    std::string_view redirect_uri, std::string_view verifier);
HttpRequest refresh_request(
    const Metadata& metadata, std::string_view refresh_token);

// The error that an endpoint refused a client's request with (RFC 6749, 5.2;
// RFC 9126, 2.3): provider_*, or upstream_status for what is no such answer.
Error refusal(const HttpResponse& response);

// True for the status of a refusal.
bool is_refusal(const HttpResponse& response);

struct Tokens {
    std::string id_token;
    std::string access_token;
    std::string refresh_token; // empty: none came
    Seconds expires_in{};      // 0: the provider did not say
};

// upstream_status, upstream_token, id_token_missing, or the provider_* of the
// error that the provider answered with (RFC 6749, 5.2).
Result<Tokens> parse_tokens(const HttpResponse& response);

// The same of a refresh, where the id token may be left out (Core, 12.2).
Result<Tokens> parse_refreshed(const HttpResponse& response);

}
