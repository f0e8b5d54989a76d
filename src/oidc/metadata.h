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
    bool s256 = true;          // false only where the document excludes it
    bool promises_iss = false; // RFC 9207, 3
    bool requires_pushed_authorization = false; // RFC 9126, 5
};

// What the configuration says of a provider whose endpoints are all set by
// hand; nothing where one that is needed is not.
std::optional<Metadata> configured_metadata(const Client& client);

// Discovery, 4.1: where the document is.
HttpRequest metadata_request(const Client& client);

// Discovery, 4.3: the issuer must be the configured one to the letter; and
// every endpoint must be https, unless the issuer itself is http (which the
// configuration allows on loopback hosts alone). Endpoints set by hand take
// the place of the document's. upstream_metadata.
Result<Metadata> parse_metadata(std::string_view json, const Client& client);

// Where an endpoint sends a browser: its own query is retained (RFC 6749, 3.1).
std::string with_parameters(std::string endpoint, std::string_view parameters);

// An https URL, or http where `insecure` allows it.
bool is_endpoint(std::string_view url, bool insecure);

// Why an answer is not the 200 with JSON that was asked for, as a phrase after
// "the provider"; empty when it is. (Refuses HTML, redirects, errors.)
std::string refuse_document(const HttpResponse& response);

}
