// A provider's discovery document (OpenID Connect Discovery 1.0, RFC 8414).
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "oidc/client.h"

#include <string>

namespace oidc {

struct Metadata {
    std::string authorization_endpoint;
    std::string token_endpoint;
    std::string jwks_uri;
    bool basic_auth = true;    // client_secret_basic, or nothing said
    bool post_auth = false;    // client_secret_post
    bool s256 = true;          // false only where the document excludes it
    bool promises_iss = false; // RFC 9207, 3
};

// Discovery, 4.1: where the document is.
HttpRequest metadata_request(const Client& client);

// Discovery, 4.3: the issuer must be the configured one to the letter; and
// every endpoint must be https, unless the issuer itself is http (which the
// configuration allows on loopback hosts alone). upstream_metadata.
Result<Metadata> parse_metadata(
    const HttpResponse& response, const Client& client);

// An https URL, or http where `insecure` allows it.
bool is_endpoint(std::string_view url, bool insecure);

// Why an answer is not the 200 with JSON that was asked for, as a phrase after
// "the provider"; empty when it is. (Refuses HTML, redirects, errors.)
std::string refuse_document(const HttpResponse& response);

}
