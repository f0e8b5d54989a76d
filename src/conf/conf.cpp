#include "conf/conf.h"

#include "conf/values.h"
#include "core/encoding.h"
#include "oidc/cookies.h"

#include <algorithm>

namespace ngx {
namespace {

// What may have been meant instead of an unknown name. "on" is none.
std::string other_provider(const MainConf& main, std::string_view name)
{
    std::vector<std::string_view> names;
    for (auto provider : main.providers) {
        names.emplace_back(provider->name);
    }
    if (name == "on" && !names.empty()) {
        return ", or name one such as " + oidc::quoted(names.front());
    }
    return suggestion(name, names);
}

// Finds the provider that a constant auth_oidc names.
char* resolve_provider(ngx_conf_t* cf, LocationConf& conf)
{
    auto name = view(conf.auth_oidc->value);
    conf.on = name != "off";
    if (!conf.on) {
        return good();
    }
    conf.provider = conf_of<MainConf>(cf).find(name);
    if (conf.provider == nullptr) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "unknown oidc_provider \"%V\" in \"auth_oidc\" in %V:%ui, "
            "define it in \"http\"%s",
            &conf.auth_oidc->value, &conf.position.file, conf.position.line,
            other_provider(conf_of<MainConf>(cf), name).c_str());
        return fail();
    }
    return good();
}

bool inherits_off(const LocationConf& conf, const LocationConf& outer)
{
    return !conf.positions.has(&conf.mode) && outer.has(Mode::off);
}

void warn_of_inherited_off(ngx_conf_t* cf, const LocationConf& conf)
{
    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
        "\"auth_oidc\" in %V:%ui protects only locations with their own "
        "\"auth_oidc_mode\", because \"auth_oidc_mode off\" is inherited",
        &conf.position.file, conf.position.line);
}

void add(std::vector<ProviderConf*>& list, ProviderConf* provider)
{
    if (std::find(list.begin(), list.end(), provider) == list.end()) {
        list.push_back(provider);
    }
}

// On https, if not on http: there the names get a prefix.
bool has_same_cookie(const ProviderConf& one, const ProviderConf& other)
{
    return oidc::bare_cookie_name(one.client.cookie_name) ==
        oidc::bare_cookie_name(other.client.cookie_name);
}

// Another provider of the server whose callbacks could not be told from those
// of this one.
const ProviderConf* find_twin(
    const ServerConf& server, const ProviderConf& provider)
{
    for (auto other : server.named) {
        if (other != &provider &&
            other->callback_path == provider.callback_path &&
            has_same_cookie(*other, provider)) {
            return other;
        }
    }
    return nullptr;
}

// A server answers the callbacks of all providers that it uses.
char* enlist(ngx_conf_t* cf, LocationConf& conf)
{
    auto& server = conf_of<ServerConf>(cf);

    if (conf.provider == nullptr) {
        for (auto provider : conf_of<MainConf>(cf).providers) {
            add(server.providers, provider);
        }
        return good();
    }
    if (auto twin = find_twin(server, *conf.provider)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "oidc_provider \"%s\" in %V:%ui has the same \"redirect_uri\" "
            "and \"cookie_name\" as oidc_provider \"%s\" in the same "
            "server, change one of them",
            conf.provider->name.c_str(), &conf.position.file,
            conf.position.line, twin->name.c_str());
        return fail();
    }
    add(server.providers, conf.provider);
    add(server.named, conf.provider);
    return good();
}

}

ProviderConf* MainConf::find(std::string_view name) const
{
    for (auto provider : providers) {
        if (provider->name == name) {
            return provider;
        }
    }
    return nullptr;
}

StoreConf* MainConf::find_store(std::string_view name) const
{
    for (auto store : stores) {
        if (store->name == name) {
            return store;
        }
    }
    return nullptr;
}

char* init_main_conf(ngx_conf_t* cf, void* data)
{
    auto& conf = *static_cast<MainConf*>(data);
    return configure(cf, [&] {
        if (conf.providers.empty()) {
            return good();
        }
        set_defaults(cf, main_rows(), conf);
        conf.names.read(cf);
        conf.zone = Zone::add(cf, conf.zone_size);
        for (auto provider : conf.providers) {
            if (choose_store(cf, conf, *provider) != NGX_CONF_OK) {
                return fail();
            }
        }
        return conf.zone != nullptr ? good() : fail();
    });
}

void* create_server_conf(ngx_conf_t* cf)
{
    return guard(cf, nullptr, [cf] { return make<ServerConf>(cf->pool); });
}

void* create_location_conf(ngx_conf_t* cf)
{
    return guard(cf, nullptr, [cf] { return make<LocationConf>(cf->pool); });
}

char* merge_location_conf(ngx_conf_t* cf, void* parent, void* child)
{
    auto& outer = *static_cast<LocationConf*>(parent);
    auto& conf = *static_cast<LocationConf*>(child);

    return configure(cf, [&] {
        auto is_own = conf.positions.has(&conf.auth_oidc);
        auto is_off = inherits_off(conf, outer);
        merge(cf, location_rows(), outer, conf);
        merge(cf, access_rows(), outer, conf);
        if (!conf.requirements.empty()) {
            conf_of<MainConf>(cf).has_requirements = true;
        }
        conf.position = *conf.positions.find(&conf.auth_oidc);
        conf.is_set = conf.auth_oidc != nullptr;
        conf.on = conf.is_set;
        if (conf.is_set && conf.auth_oidc->lengths == nullptr &&
            resolve_provider(cf, conf) != NGX_CONF_OK) {
            return fail();
        }
        if (conf.shows_claim()) {
            conf_of<MainConf>(cf).remote_user_claims.push_back(
                conf.remote_user);
        }
        if (conf.on && is_own && is_off) {
            warn_of_inherited_off(cf, conf);
        }
        return conf.on ? enlist(cf, conf) : good();
    });
}

}
