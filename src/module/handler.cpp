#include "module/handler.h"

#include "module/authorization.h"
#include "module/context.h"
#include "module/endpoint.h"
#include "module/protection.h"
#include "module/request.h"
#include "module/worker.h"
#include "oidc/errors.h"

#include <algorithm>
#include <vector>

namespace ngx {
namespace {

// A body of unknown length has been read by then.
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
        evaluate(r, conf_of<LocationConf>(r).auth_oidc), std::move(end));
}

// Loads sessions from remote stores before any `if`, `map` or `limit_req` reads
// them.
ngx_int_t restore_sessions(ngx_http_request_t* r)
{
    const auto& providers = conf_of<ServerConf>(r).providers;
    auto has_remote =
        std::any_of(providers.begin(), providers.end(), [&](const auto* conf) {
            return !state_of(r, *conf).store->is_immediate();
        });
    if (!has_remote || cookies_of(r).empty()) {
        return NGX_OK;
    }
    return Context::get(r).restore(providers);
}

}

ngx_int_t post_read_handler(ngx_http_request_t* r)
{
    mark_post_read_phase(r);
    if (conf_of<ServerConf>(r).providers.empty()) {
        return NGX_DECLINED;
    }
    // The query of a flow in progress is hidden, so the path alone is no match.
    auto context = Context::find(r);
    if (context != nullptr && context->is_at_endpoint()) {
        return context->resume();
    }
    auto endpoints =
        endpoints_at(conf_of<ServerConf>(r).providers, view(r->uri));
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
        return context->resume_at_gate();
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
        *provider, !conf_of<LocationConf>(r).has(Mode::verify));
}

ngx_int_t authorization_handler(ngx_http_request_t* r)
{
    auto unmet = find_unmet(r);
    return unmet ? Context::get(r).forbid(*unmet) : NGX_DECLINED;
}

}
