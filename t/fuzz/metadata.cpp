#include "oidc/metadata.h"
#include "browser.h"
#include "core/url.h"
#include "fuzz.h"
#include "oidc/authorize.h"
#include "oidc/logout.h"

namespace oidc::test {
namespace {

void check_browsers_way(const std::string& url, const std::string& endpoint)
{
    demand(host_reached(url, "app.example") == parse_url(endpoint)->host,
        "the browser goes to that endpoint");
    demand(url.ends_with("?state=a") || url.ends_with("&state=a"),
        "and takes our parameters along");
}

void check(const Metadata& metadata)
{
    for (auto member :
        {&Endpoints::authorization_endpoint, &Endpoints::token_endpoint,
            &Endpoints::jwks_uri, &Endpoints::userinfo_endpoint,
            &Endpoints::pushed_authorization_request_endpoint,
            &Endpoints::end_session_endpoint,
            &Endpoints::revocation_endpoint}) {
        const auto& endpoint = metadata.*member;
        demand(endpoint.empty() || is_endpoint(endpoint, false),
            "endpoints are https");
        demand(is_printable(endpoint), "and printable");
    }
    demand(!metadata.authorization_endpoint.empty() &&
            !metadata.token_endpoint.empty() && !metadata.jwks_uri.empty(),
        "what we need is there");

    check_browsers_way(authorization_url(metadata, "state=a"),
        metadata.authorization_endpoint);
    if (!metadata.end_session_endpoint.empty()) {
        check_browsers_way(end_session_url(metadata,
                               example_provider().client(), {"", "", "a"}),
            metadata.end_session_endpoint);
    }
}

}

// A discovery document, read for clients with different needs.
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
