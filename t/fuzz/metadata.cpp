#include "oidc/metadata.h"
#include "browser.h"
#include "core/url.h"
#include "fuzz.h"
#include "oidc/authorize.h"

namespace oidc::test {
namespace {

void check(const Metadata& metadata)
{
    for (auto member :
        {&Endpoints::authorization_endpoint, &Endpoints::token_endpoint,
            &Endpoints::jwks_uri, &Endpoints::userinfo_endpoint,
            &Endpoints::pushed_authorization_request_endpoint}) {
        const auto& endpoint = metadata.*member;
        demand(endpoint.empty() || is_endpoint(endpoint, false),
            "endpoints are https");
        demand(is_printable(endpoint), "and printable");
    }
    demand(!metadata.authorization_endpoint.empty() &&
            !metadata.token_endpoint.empty() && !metadata.jwks_uri.empty(),
        "what we need is there");

    auto url = authorization_url(metadata, "state=a");
    demand(host_reached(url, "app.example") ==
            parse_url(metadata.authorization_endpoint)->host,
        "the browser goes to that endpoint");
    demand(url.ends_with("?state=a") || url.ends_with("&state=a"),
        "and takes our parameters along");
}

}

// A discovery document, for clients that use this and that of it.
FUZZ(metadata)
{
    Client client = example_provider().client();
    if (auto metadata = parse_metadata(input, client); succeeds(metadata)) {
        check(*metadata);
    }
    client.userinfo = true;
    client.pushed_authorization = PushedAuthorization::on;
    client.has_certificate = true;
    client.client_auth = ClientAuth::tls_client_auth;
    if (auto metadata = parse_metadata(input, client); succeeds(metadata)) {
        check(*metadata);
        demand(!metadata->userinfo_endpoint.empty() &&
                !metadata->pushed_authorization_request_endpoint.empty(),
            "what more we need is there");
    }
}

}
