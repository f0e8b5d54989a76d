#include "ngx/handler.h"

#include "flow/callback.h"
#include "ngx/request.h"

#include <algorithm>

namespace ngx {
namespace {

bool is_callback(ngx_http_request_t* r, const ProviderConf& provider)
{
    return provider.callback_path == view(r->uri);
}

// Some provider answers here by a form that its page posts.
bool takes_form(ngx_http_request_t* r)
{
    const auto& providers = server_conf(r)->providers;
    return r->method == NGX_HTTP_POST &&
        std::any_of(
            providers.begin(), providers.end(), [r](const auto provider) {
                return is_callback(r, *provider) &&
                    provider->provider.client().response_mode ==
                    oidc::ResponseMode::form_post;
            });
}

// The one of a server's providers that a callback is for: by its path, and,
// where several share that, by whose key sealed the state.
ProviderConf* find_called_back(ngx_http_request_t* r, std::string_view reply)
{
    ProviderConf* candidate = nullptr;

    for (auto provider : server_conf(r)->providers) {
        if (is_callback(r, *provider) &&
            (candidate == nullptr ||
                oidc::Callback::is_for(provider->provider, reply))) {
            candidate = provider;
        }
    }
    return candidate;
}

bool has_mode(const LocationConf& conf, Mode mode)
{
    return conf.mode == static_cast<ngx_uint_t>(mode);
}

ngx_int_t refuse_large_form(ngx_http_request_t* r)
{
    return Context::get(r).refuse_callback(*find_called_back(r, ""),
        {oidc::Errc::callback_malformed, "client sent too large a form"});
}

ngx_int_t refuse_unknown_provider(ngx_http_request_t* r)
{
    auto name = evaluate(r, location_conf(r)->auth_oidc);
    return Context::get(r).fail(name,
        {oidc::Errc::config_unusable,
            "\"auth_oidc\" names an unknown oidc_provider"});
}

}

ProviderConf* protecting_provider(ngx_http_request_t* r, bool& unknown)
{
    const auto& conf = *location_conf(r);
    unknown = false;

    if (!conf.on || has_mode(conf, Mode::off)) {
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

ngx_int_t entry_handler(ngx_http_request_t* r)
{
    if (server_conf(r)->providers.empty()) {
        return NGX_DECLINED;
    }
    // Once under way it shows no query any more to be found by.
    auto context = Context::find(r);
    if (context != nullptr && context->called_back() != nullptr) {
        return context->go_on(*context->called_back());
    }
    auto reply = text(r->args);
    if (takes_form(r)) {
        if (is_too_large(r)) {
            return refuse_large_form(r);
        }
        if (r->request_body == nullptr) {
            return read_form(r);
        }
        reply = form_of(r);
    }
    auto provider = find_called_back(r, reply);
    if (provider == nullptr) {
        return NGX_DECLINED;
    }
    return Context::get(r).handle_callback(*provider, reply);
}

ngx_int_t access_handler(ngx_http_request_t* r)
{
    bool unknown;
    auto provider = protecting_provider(r, unknown);
    if (unknown) {
        return refuse_unknown_provider(r);
    }
    if (provider == nullptr) {
        return NGX_DECLINED;
    }
    auto& context = Context::get(r);
    const auto& session = context.session(*provider);
    if (has_mode(*location_conf(r), Mode::verify)) {
        return NGX_DECLINED;
    }
    return session ? NGX_OK : context.begin_login(*provider);
}

}
