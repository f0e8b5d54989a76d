// What a logout sends to the provider: the browser's end session request
// (RP-Initiated Logout 1.0), and the revocation of tokens (RFC 7009).
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "oidc/client.h"
#include "oidc/metadata.h"

#include <string>
#include <string_view>

namespace oidc {

// An empty member is left out of the URL.
struct EndSession {
    std::string_view id_token_hint;
    std::string_view post_logout_redirect_uri;
    std::string_view state;
};

// RP-Initiated Logout, 2: where to send the browser. The provider has an
// end_session_endpoint.
std::string end_session_url(const Metadata& metadata, const Client& client,
    const EndSession& end_session);

// RFC 7009, 2.1, without client authentication, see client_auth.h. The hint is
// access_token or refresh_token. The provider has a revocation_endpoint.
HttpRequest revocation_request(
    const Metadata& metadata, std::string_view token, std::string_view hint);

// RFC 7009, 2.2: a 200 also for a token that the provider does not know.
// provider_*, upstream_status.
Check judge_revocation(const HttpResponse& response);

}
