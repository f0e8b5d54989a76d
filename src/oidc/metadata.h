// A provider's discovery document (OpenID Connect Discovery 1.0, RFC 8414).
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "oidc/client.h"

#include <optional>
#include <string>
#include <vector>

namespace oidc {

struct Metadata : Endpoints {
    // token_endpoint_auth_methods_supported; an absent list means this one
    std::vector<std::string> client_auth_methods = {"client_secret_basic"};
    // token_endpoint_auth_signing_alg_values_supported
    std::vector<std::string> client_auth_algs;
    bool s256 = true;          // false only if the document excludes it
    bool promises_iss = false; // RFC 9207, 3
    bool requires_pushed_authorization = false; // RFC 9126, 5

    // A sentence for each endpoint that is unusable and that the client does
    // not use.
    std::vector<std::string> ignored;
};

// The metadata of a provider whose endpoints are all set by hand; nothing if a
// needed one is missing.
std::optional<Metadata> configured_metadata(const Client& client);

// Discovery, 4.1.
HttpRequest metadata_request(const Client& client);

// Discovery, 4.3: the issuer must equal the configured one exactly. Every
// endpoint must be https, unless the issuer itself is http (which the
// configuration allows only on loopback hosts) or the client allows it; one
// that is not counts as absent if the client does not use it. Endpoints set by
// hand replace the document's. upstream_metadata.
Result<Metadata> parse_metadata(std::string_view json, const Client& client);

// The URL of an endpoint with parameters. Its own query is retained (RFC 6749,
// 3.1).
std::string with_parameters(std::string endpoint, std::string_view parameters);

// An https URL, or http if `insecure`.
bool is_endpoint(std::string_view url, bool insecure);

// Why a response is not a 200 with JSON, as a phrase after "the provider";
// empty when it is. Refuses HTML, redirects and errors.
std::string refuse_document(const HttpResponse& response);

}
