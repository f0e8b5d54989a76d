#include "module/handler.h"

#include "flow/callback.h"
#include "flow/logout.h"
#include "module/request.h"

#include <algorithm>
#include <vector>

namespace ngx {
namespace {

// One of a provider's paths.
struct Endpoint {
    ProviderConf* provider;
    EndpointKind kind;
};

bool leads_to(const Endpoint& endpoint, std::string_view path)
{
    const auto& client = endpoint.provider->provider.client();
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

// Of providers that share a path, the one whose own this request is.
bool is_meant(
    ngx_http_request_t* r, const Endpoint& endpoint, std::string_view form)
{
    const auto& provider = endpoint.provider->provider;
    switch (endpoint.kind) {
    case EndpointKind::callback:
        return oidc::Callback::is_for(provider, form);
    case EndpointKind::frontchannel_logout:
        return oidc::FrontChannelLogout::is_for(provider, form);
    case EndpointKind::backchannel_logout:
        return oidc::BackChannelLogout::is_for(provider, form);
    default:
        return !oidc::Opened::all_from(
            cookies_of(r), provider, is_secure(r, provider.client()))
                    .empty();
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

bool takes_form(const Endpoint& endpoint)
{
    return endpoint.kind == EndpointKind::logout ||
        endpoint.kind == EndpointKind::backchannel_logout ||
        (endpoint.kind == EndpointKind::callback &&
            endpoint.provider->provider.client().response_mode ==
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

// One of unknown length has been read by then.
ngx_int_t refuse_large_form(ngx_http_request_t* r, const Endpoint& endpoint)
{
    hide_body(r);
    return Context::get(r).refuse_endpoint(*endpoint.provider, endpoint.kind,
        {endpoint.kind == EndpointKind::callback ?
                oidc::Errc::callback_malformed :
                oidc::Errc::logout_malformed,
            "client sent an oversized form"});
}

ngx_int_t refuse_unknown_provider(ngx_http_request_t* r)
{
    oidc::Finish end;
    end.error = oidc::Error{oidc::Errc::config_unusable,
        "\"auth_oidc\" names an unknown oidc_provider"};
    return Context::get(r).fail(
        evaluate(r, location_conf(r)->auth_oidc), std::move(end));
}

// Sessions in remote stores are there before any `if`, `map` or `limit_req`
// asks.
ngx_int_t restore_sessions(ngx_http_request_t* r)
{
    const auto& providers = server_conf(r)->providers;
    auto has_remote = std::any_of(providers.begin(), providers.end(),
        [](const auto* provider) { return !provider->store->is_immediate(); });
    if (!has_remote || cookies_of(r).empty()) {
        return NGX_OK;
    }
    return Context::get(r).restore(providers);
}

}

ProviderConf* protecting_provider(ngx_http_request_t* r, bool& unknown)
{
    const auto& conf = *location_conf(r);
    unknown = false;

    if (!conf.on || conf.has(Mode::off)) {
        return nullptr;
    }
    if (conf.provider != nullptr) {
        return conf.provider;
    }
    auto name = evaluate(r, conf.auth_oidc);
    if (name == "off") {
        return nullptr;
    }
    auto provider = main_conf(r)->find(name);
    unknown = provider == nullptr;
    return provider;
}

bool is_path_of_any_provider(const ngx_http_request_t* r, std::string_view path)
{
    return !path.empty() &&
        !endpoints_at(main_conf(r)->providers, path).empty();
}

ngx_int_t post_read_handler(ngx_http_request_t* r)
{
    mark_post_read_phase(r);
    if (server_conf(r)->providers.empty()) {
        return NGX_DECLINED;
    }
    // Once under way it shows no query any more to be found by.
    auto context = Context::find(r);
    if (context != nullptr && context->has_entered()) {
        return context->go_on();
    }
    auto endpoints = endpoints_at(server_conf(r)->providers, view(r->uri));
    auto form = endpoints.empty() ? "" : Context::get(r).take_query();
    if (auto rc = restore_sessions(r); rc != NGX_OK) {
        return rc;
    }
    if (endpoints.empty()) {
        return NGX_DECLINED;
    }
    if (r->method == NGX_HTTP_POST &&
        std::any_of(endpoints.begin(), endpoints.end(), takes_form)) {
        if (is_too_large(r)) {
            return refuse_large_form(r, endpoints.front());
        }
        if (r->request_body == nullptr) {
            return read_form(r);
        }
        form = take_form(r);
    }
    auto endpoint = choose(r, endpoints, form);
    return Context::get(r).enter(*endpoint.provider, endpoint.kind, form);
}

ngx_int_t rewrite_handler(ngx_http_request_t* r)
{
    if (!r->internal || r != r->main || r->request_body == nullptr) {
        return NGX_DECLINED;
    }
    auto context = Context::find(r);
    if (context != nullptr && context->is_endpoint()) {
        hide_body(r);
    }
    return NGX_DECLINED;
}

ngx_int_t access_handler(ngx_http_request_t* r)
{
    auto context = Context::find(r);
    if (context != nullptr && context->is_at_gate()) {
        return context->go_on_at_gate();
    }
    bool unknown;
    auto provider = protecting_provider(r, unknown);
    if (unknown) {
        return refuse_unknown_provider(r);
    }
    if (provider == nullptr) {
        return NGX_DECLINED;
    }
    return Context::get(r).pass_gate(
        *provider, !location_conf(r)->has(Mode::verify));
}

}
