#include "ngx/handler.h"

#include "flow/callback.h"
#include "flow/logout.h"
#include "ngx/request.h"

#include <algorithm>
#include <vector>

namespace ngx {
namespace {

// One of a provider's paths.
struct Door {
    ProviderConf* provider;
    Entry entry;
};

bool leads_to(const Door& door, std::string_view path)
{
    const auto& client = door.provider->provider.client();
    switch (door.entry) {
    case Entry::callback:
        return door.provider->callback_path == path;
    case Entry::logout:
        return client.logout_uri == path;
    case Entry::frontchannel_logout:
        return client.frontchannel_logout_uri == path;
    default:
        return client.backchannel_logout_uri == path;
    }
}

// Of providers that share a path, the one whose own this request is.
bool is_meant(ngx_http_request_t* r, const Door& door, std::string_view form)
{
    const auto& provider = door.provider->provider;
    switch (door.entry) {
    case Entry::callback:
        return oidc::Callback::is_for(provider, form);
    case Entry::frontchannel_logout:
        return oidc::FrontChannelLogout::is_for(provider, form);
    case Entry::backchannel_logout:
        return oidc::BackChannelLogout::is_for(provider, form);
    default:
        return !oidc::Opened::all_from(
            cookies_of(r), provider, is_secure(r, provider.client()))
                    .empty();
    }
}

std::vector<Door> doors_at(
    const std::vector<ProviderConf*>& providers, std::string_view path)
{
    std::vector<Door> doors;
    for (auto provider : providers) {
        for (auto entry : {Entry::callback, Entry::logout,
                 Entry::frontchannel_logout, Entry::backchannel_logout}) {
            Door door{provider, entry};
            if (leads_to(door, path)) {
                doors.push_back(door);
            }
        }
    }
    return doors;
}

bool takes_form(const Door& door)
{
    return door.entry == Entry::logout ||
        door.entry == Entry::backchannel_logout ||
        (door.entry == Entry::callback &&
            door.provider->provider.client().response_mode ==
                oidc::ResponseMode::form_post);
}

Door choose(ngx_http_request_t* r, const std::vector<Door>& doors,
    std::string_view form)
{
    for (const auto& door : doors) {
        if (doors.size() > 1 && is_meant(r, door, form)) {
            return door;
        }
    }
    return doors.front();
}

// One of unknown length has been read by then.
ngx_int_t refuse_large_form(ngx_http_request_t* r, const Door& door)
{
    hide_body(r);
    return Context::get(r).refuse_entry(*door.provider, door.entry,
        {door.entry == Entry::callback ? oidc::Errc::callback_malformed :
                                         oidc::Errc::logout_malformed,
            "client sent too large a form"});
}

ngx_int_t refuse_unknown_provider(ngx_http_request_t* r)
{
    oidc::Finish end;
    end.error = oidc::Error{oidc::Errc::config_unusable,
        "\"auth_oidc\" names an unknown oidc_provider"};
    return Context::get(r).fail(
        evaluate(r, location_conf(r)->auth_oidc), std::move(end));
}

// Sessions in Redis are there before any `if`, `map` or `limit_req` asks.
ngx_int_t restore_sessions(ngx_http_request_t* r)
{
    const auto& providers = server_conf(r)->providers;
    auto is_in_redis = std::any_of(providers.begin(), providers.end(),
        [](const auto* provider) { return provider->redis.has_value(); });
    if (!is_in_redis || cookies_of(r).empty()) {
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
    return !path.empty() && !doors_at(main_conf(r)->providers, path).empty();
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
    auto doors = doors_at(server_conf(r)->providers, view(r->uri));
    auto form = doors.empty() ? "" : Context::get(r).take_query();
    if (auto rc = restore_sessions(r); rc != NGX_OK) {
        return rc;
    }
    if (doors.empty()) {
        return NGX_DECLINED;
    }
    if (r->method == NGX_HTTP_POST &&
        std::any_of(doors.begin(), doors.end(), takes_form)) {
        if (is_too_large(r)) {
            return refuse_large_form(r, doors.front());
        }
        if (r->request_body == nullptr) {
            return read_form(r);
        }
        form = take_form(r);
    }
    auto door = choose(r, doors, form);
    return Context::get(r).enter(*door.provider, door.entry, form);
}

ngx_int_t rewrite_handler(ngx_http_request_t* r)
{
    if (!r->internal || r != r->main || r->request_body == nullptr) {
        return NGX_DECLINED;
    }
    auto context = Context::find(r);
    if (context != nullptr && context->is_entry()) {
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
