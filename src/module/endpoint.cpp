#include "module/endpoint.h"

#include "flow/backchannel_logout.h"
#include "flow/callback.h"
#include "flow/frontchannel_logout.h"
#include "module/request.h"
#include "module/worker.h"
#include "oidc/cookie_content.h"

#include <algorithm>

namespace ngx {
namespace {

bool leads_to(const Endpoint& endpoint, std::string_view path)
{
    const auto& client = endpoint.provider->client;
    switch (endpoint.kind) {
    case EndpointKind::callback:
        return endpoint.provider->callback_path == path;
    case EndpointKind::logout:
        return client.logout_uri == path;
    case EndpointKind::frontchannel_logout:
        return client.frontchannel_logout_uri == path;
    default:
        return client.backchannel_logout_uri == path;
    }
}

// Selects among providers that share a path.
bool is_meant(
    ngx_http_request_t* r, const Endpoint& endpoint, std::string_view form)
{
    const auto& provider = state_of(r, *endpoint.provider).provider;
    switch (endpoint.kind) {
    case EndpointKind::callback:
        return oidc::Callback::is_for(provider, form);
    case EndpointKind::frontchannel_logout:
        return oidc::FrontChannelLogout::is_for(provider, form);
    case EndpointKind::backchannel_logout:
        return oidc::BackChannelLogout::is_for(provider, form);
    default:
        return !oidc::CookieContent::all_from(
            cookies_of(r), provider, site_of(r, provider.client()))
                    .empty();
    }
}

}

std::string_view action(EndpointKind kind)
{
    switch (kind) {
    case EndpointKind::callback:
        return "handling the callback";
    case EndpointKind::logout:
        return "logging out";
    case EndpointKind::frontchannel_logout:
        return "handling a front-channel logout";
    default:
        return "handling a back-channel logout";
    }
}

std::vector<Endpoint> endpoints_at(
    const std::vector<ProviderConf*>& providers, std::string_view path)
{
    std::vector<Endpoint> endpoints;
    for (auto provider : providers) {
        for (auto kind : {EndpointKind::callback, EndpointKind::logout,
                 EndpointKind::frontchannel_logout,
                 EndpointKind::backchannel_logout}) {
            Endpoint endpoint{provider, kind};
            if (leads_to(endpoint, path)) {
                endpoints.push_back(endpoint);
            }
        }
    }
    return endpoints;
}

bool is_path_of_any_provider(const ngx_http_request_t* r, std::string_view path)
{
    return !path.empty() &&
        !endpoints_at(conf_of<MainConf>(r).providers, path).empty();
}

bool takes_form(const Endpoint& endpoint)
{
    return endpoint.kind == EndpointKind::logout ||
        endpoint.kind == EndpointKind::backchannel_logout ||
        (endpoint.kind == EndpointKind::callback &&
            endpoint.provider->client.response_mode ==
                oidc::ResponseMode::form_post);
}

Endpoint choose(ngx_http_request_t* r, const std::vector<Endpoint>& endpoints,
    std::string_view form)
{
    for (const auto& endpoint : endpoints) {
        if (endpoints.size() > 1 && is_meant(r, endpoint, form)) {
            return endpoint;
        }
    }
    return endpoints.front();
}

bool shares_callback(ngx_http_request_t* r, const ProviderConf& provider)
{
    const auto& providers = conf_of<ServerConf>(r).providers;
    return std::any_of(
        providers.begin(), providers.end(), [&](const auto* other) {
            return other->callback_path == provider.callback_path &&
                other->client.issuer != provider.client.issuer;
        });
}

bool shares_frontchannel_logout(
    ngx_http_request_t* r, const ProviderConf& provider)
{
    return endpoints_at(conf_of<ServerConf>(r).providers,
               provider.client.frontchannel_logout_uri)
               .size() > 1;
}

}
