// The authorization request (OpenID Connect Core, 3.1.2.1), pushed or not, and
// its response (3.1.2.5, 3.1.2.6).
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "oidc/client.h"
#include "oidc/metadata.h"
#include "oidc/state.h"

#include <optional>
#include <string>
#include <string_view>

namespace oidc {

// RFC 7636, 4.2, S256
std::string code_challenge(std::string_view verifier);

// Whether the code challenge is sent, and its verifier with the code.
bool uses_pkce(const Client& client, const Metadata& metadata);

// The parameters of an authorization request, as a form. `extra` is a form
// whose parameters are added unless they are ours to set.
std::string authorization_parameters(const Client& client,
    const Metadata& metadata, std::string_view redirect_uri,
    const SealedState& sealed, std::string_view extra);

// The URL to send the browser to.
std::string authorization_url(
    const Metadata& metadata, std::string_view parameters);

// RFC 9126, 4: true where the request is pushed to the provider, and the
// browser carries only a reference to it.
bool pushes_request(const Client& client, const Metadata& metadata);

// The request without client authentication, see client_auth.h.
// upstream_metadata where the provider has no endpoint for it.
Result<HttpRequest> pushed_request(
    const Metadata& metadata, std::string parameters);

// The remaining parameters: client_id and request_uri. refused_*,
// upstream_status, upstream_pushed_authorization.
Result<std::string> parse_pushed(
    const Client& client, const HttpResponse& response);

// True for a parameter that extra_auth_args cannot set.
bool is_reserved_parameter(std::string_view name);

struct AuthorizationResponse {
    std::string state;
    std::optional<std::string> code;
    std::optional<std::string> error;
    std::string error_description;
    std::optional<std::string> iss;
};

// callback_malformed for a parameter of ours that comes twice or is too long
// (8 KB the state, 4 KB the code, 1 KB the others; a longer error_description
// is cut); state_missing. In response_mode form_post the form is a body.
Result<AuthorizationResponse> parse_authorization_response(
    std::string_view form);

// RFC 9207, 2.4, and RFC 9700, 4.4: where other issuers share the redirection
// endpoint, only iss tells which one the response is from. callback_issuer.
Check check_issuer(const AuthorizationResponse& response, const Client& client,
    const Metadata& metadata, bool is_shared);

// Either a code or an error: callback_malformed, provider_*.
Check check_outcome(const AuthorizationResponse& response);

}
