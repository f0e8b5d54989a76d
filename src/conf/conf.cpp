#include "conf/conf.h"

#include "oidc/claims.h"
#include "oidc/cookies.h"
#include "oidc/session.h"

#include <algorithm>

namespace ngx {
namespace {

constexpr std::size_t default_zone_size = 2 * 1024 * 1024;

constexpr Limit default_limit;

// "token_refresh auto", before the end of an access token.
constexpr Seconds default_refresh = 60s;

MainConf* main_conf(const ngx_conf_t* cf)
{
    return static_cast<MainConf*>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_oidc_module));
}

ServerConf* server_conf(const ngx_conf_t* cf)
{
    return static_cast<ServerConf*>(
        ngx_http_conf_get_module_srv_conf(cf, ngx_http_oidc_module));
}

char* fail()
{
    return static_cast<char*>(NGX_CONF_ERROR);
}

// Finds the provider that a constant auth_oidc names.
char* resolve_provider(ngx_conf_t* cf, LocationConf& conf)
{
    auto name = view(conf.auth_oidc->value);
    conf.on = name != "off";
    if (!conf.on) {
        return NGX_CONF_OK;
    }
    conf.provider = main_conf(cf)->find(name);
    if (conf.provider == nullptr) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "unknown oidc_provider \"%V\" in \"auth_oidc\" in %V:%ui, "
            "define it in \"http\"",
            &conf.auth_oidc->value, &conf.position.file, conf.position.line);
        return fail();
    }
    return NGX_CONF_OK;
}

bool inherits_off(const LocationConf& conf, const LocationConf& prev)
{
    return conf.mode == NGX_CONF_UNSET_UINT && prev.has(Mode::off);
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

// Perhaps on https alone, where names get a prefix.
bool has_same_cookie(const ProviderConf& one, const ProviderConf& other)
{
    return oidc::bare_cookie_name(one.client.cookie_name) ==
        oidc::bare_cookie_name(other.client.cookie_name);
}

// Every server that protects anything with a provider answers its callback.
char* enlist(ngx_conf_t* cf, LocationConf& conf)
{
    auto& server = *server_conf(cf);

    if (conf.provider == nullptr) {
        for (auto provider : main_conf(cf)->providers) {
            add(server.providers, provider);
        }
        return NGX_CONF_OK;
    }
    for (auto other : server.named) {
        if (other != conf.provider &&
            other->callback_path == conf.provider->callback_path &&
            has_same_cookie(*other, *conf.provider)) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                "oidc_provider \"%s\" in %V:%ui has the same \"redirect_uri\" "
                "and \"cookie_name\" as oidc_provider \"%s\" in the same "
                "server, change one of them",
                conf.provider->name.c_str(), &conf.position.file,
                conf.position.line, other->name.c_str());
            return fail();
        }
    }
    add(server.providers, conf.provider);
    add(server.named, conf.provider);
    return NGX_CONF_OK;
}

void add_claim(std::vector<std::string>& claims, std::string_view name)
{
    if (std::find(claims.begin(), claims.end(), name) == claims.end()) {
        claims.emplace_back(name);
    }
}

// What the configuration's variables use, whichever provider is meant.
oidc::Needs used_by_variables(ngx_conf_t* cf)
{
    constexpr std::string_view prefix = "oidc_claim_";
    auto cmcf = static_cast<ngx_http_core_main_conf_t*>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module));
    auto variables = static_cast<ngx_http_variable_t*>(cmcf->variables.elts);
    oidc::Needs needs;

    for (ngx_uint_t i = 0; i < cmcf->variables.nelts; i++) {
        auto name = view(variables[i].name);
        if (name.starts_with(prefix)) {
            add_claim(needs.claims, name.substr(prefix.size()));
        }
        needs.id_token |= name == "oidc_id_token";
        needs.access_token |= name == "oidc_access_token";
        needs.userinfo |= name == "oidc_userinfo";
    }
    return needs;
}

// Tokens that nobody looks at need not be fresh, unless somebody says so.
Seconds refresh_ahead(const ProviderConf& conf, const oidc::Needs& used)
{
    if (conf.token_refresh == refresh_auto) {
        return used.access_token || used.id_token ? default_refresh : 0s;
    }
    return conf.token_refresh == refresh_off ? 0s : Seconds(conf.token_refresh);
}

// They share revocations, whose records must outlast the sessions of all.
Seconds max_session_timeout(const MainConf& conf, const oidc::Client& client)
{
    Seconds longest{};
    for (auto provider : conf.providers) {
        const auto& other = provider->client;
        if (other.issuer == client.issuer &&
            other.client_id == client.client_id) {
            longest = std::max(longest, other.session_timeout);
        }
    }
    return longest;
}

void add_session_claims(const ProviderConf& conf, oidc::Needs& needs)
{
    if (conf.session_claims == nullptr) {
        return;
    }
    auto names = static_cast<ngx_str_t*>(conf.session_claims->elts);
    for (ngx_uint_t i = 0; i < conf.session_claims->nelts; i++) {
        auto name = view(names[i]);
        if (name == "all") {
            needs.all_claims = true;
        } else if (name != "auto") {
            add_claim(needs.claims, oidc::lower_case(name));
        }
    }
}

// Which two may share: all that is local is in the one zone.
bool is_same_store(const ProviderConf& one, const ProviderConf& other)
{
    return one.redis.has_value() == other.redis.has_value() &&
        (!one.redis || one.store_conf == other.store_conf);
}

bool is_same_client(const ProviderConf& one, const ProviderConf& other)
{
    const auto& client = one.provider.client();
    const auto& others = other.provider.client();
    return client.issuer == others.issuer &&
        client.client_id == others.client_id;
}

void find_revoking(const MainConf& conf, ProviderConf& provider)
{
    std::vector<ProviderConf*> found{&provider};
    for (auto other : conf.providers) {
        auto is_known = std::any_of(found.begin(), found.end(),
            [&](auto known) { return is_same_store(*known, *other); });
        if (is_same_client(provider, *other) && !is_known) {
            found.push_back(other);
        }
    }
    for (auto other : found) {
        provider.revoking.push_back(&other->store());
    }
}

void open_store(ProviderConf& conf)
{
    auto idle_timeout = conf.provider.client().session_idle_timeout;
    auto store = conf.store_conf;
    conf.local.emplace(
        *conf.zone, store != nullptr ? store->memory : nullptr, idle_timeout);
    if (store != nullptr && store->redis) {
        conf.redis.emplace(*store->redis, store->key_prefix, idle_timeout);
    }
}

}

ProviderConf::ProviderConf() : ProviderFields{}
{
    client_auth = NGX_CONF_UNSET_UINT;
    pkce = NGX_CONF_UNSET;
    response_mode = NGX_CONF_UNSET_UINT;
    pushed_authorization = NGX_CONF_UNSET_UINT;
    userinfo = NGX_CONF_UNSET;
    code_challenge_method = NGX_CONF_UNSET_UINT;
    cookie_samesite = NGX_CONF_UNSET_UINT;
    cookie_partitioned = NGX_CONF_UNSET;
    session_timeout = NGX_CONF_UNSET;
    session_idle_timeout = NGX_CONF_UNSET;
    session_max_lifetime = NGX_CONF_UNSET;
    token_refresh = NGX_CONF_UNSET_UINT;
    logout_token_hint = NGX_CONF_UNSET;
    revoke_on_logout = NGX_CONF_UNSET;
    pre_auth_timeout = NGX_CONF_UNSET;
    clock_skew = NGX_CONF_UNSET;
    ssl_verify_depth = NGX_CONF_UNSET_UINT;
    connect_timeout = NGX_CONF_UNSET_MSEC;
    read_timeout = NGX_CONF_UNSET_MSEC;
}

StoreConf::StoreConf() : StoreFields{}
{
    type = NGX_CONF_UNSET_UINT;
    port = NGX_CONF_UNSET_UINT;
    database = NGX_CONF_UNSET_UINT;
    ssl = NGX_CONF_UNSET;
    connect_timeout = NGX_CONF_UNSET_MSEC;
    command_timeout = NGX_CONF_UNSET_MSEC;
}

LocationConf::LocationConf() : LocationFields{}
{
    auth_oidc = static_cast<ngx_http_complex_value_t*>(NGX_CONF_UNSET_PTR);
    base_url = static_cast<ngx_http_complex_value_t*>(NGX_CONF_UNSET_PTR);
    mode = NGX_CONF_UNSET_UINT;
    limit = static_cast<const Limit*>(NGX_CONF_UNSET_PTR);
}

Position position(const ngx_conf_t* cf)
{
    return {cf->conf_file->file.name, cf->conf_file->line};
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

MainConf* main_conf(const ngx_http_request_t* r)
{
    return static_cast<MainConf*>(
        ngx_http_get_module_main_conf(r, ngx_http_oidc_module));
}

ServerConf* server_conf(const ngx_http_request_t* r)
{
    return static_cast<ServerConf*>(
        ngx_http_get_module_srv_conf(r, ngx_http_oidc_module));
}

LocationConf* location_conf(const ngx_http_request_t* r)
{
    return static_cast<LocationConf*>(static_cast<LocationFields*>(
        ngx_http_get_module_loc_conf(r, ngx_http_oidc_module)));
}

void* create_main_conf(ngx_conf_t* cf)
{
    return guard(cf, static_cast<void*>(nullptr),
        [cf] { return static_cast<void*>(make<MainConf>(cf->pool)); });
}

char* init_main_conf(ngx_conf_t* cf, void* data)
{
    auto& conf = *static_cast<MainConf*>(data);
    return guard(cf, fail(), [&] {
        if (conf.providers.empty()) {
            return static_cast<char*>(NGX_CONF_OK);
        }
        conf.names.read(cf);
        conf.zone = Zone::add(
            cf, conf.zone_size > 0 ? conf.zone_size : default_zone_size);
        for (auto provider : conf.providers) {
            if (choose_store(cf, conf, *provider) != NGX_CONF_OK) {
                return fail();
            }
        }
        return conf.zone != nullptr ? static_cast<char*>(NGX_CONF_OK) : fail();
    });
}

void* create_server_conf(ngx_conf_t* cf)
{
    return guard(cf, static_cast<void*>(nullptr),
        [cf] { return static_cast<void*>(make<ServerConf>(cf->pool)); });
}

void* create_location_conf(ngx_conf_t* cf)
{
    return guard(cf, static_cast<void*>(nullptr), [cf] {
        auto conf = make<LocationConf>(cf->pool);
        // nginx's setters count from here
        return static_cast<void*>(static_cast<LocationFields*>(conf));
    });
}

char* merge_location_conf(ngx_conf_t* cf, void* parent, void* child)
{
    auto& prev =
        *static_cast<LocationConf*>(static_cast<LocationFields*>(parent));
    auto& conf =
        *static_cast<LocationConf*>(static_cast<LocationFields*>(child));

    auto is_own = conf.auth_oidc != NGX_CONF_UNSET_PTR;
    auto is_off = inherits_off(conf, prev);
    ngx_conf_merge_uint_value(
        conf.mode, prev.mode, static_cast<ngx_uint_t>(Mode::require));
    ngx_conf_merge_ptr_value(conf.base_url, prev.base_url, nullptr);
    ngx_conf_merge_ptr_value(conf.limit, prev.limit, &default_limit);

    if (!is_own) {
        conf.auth_oidc = prev.auth_oidc;
        conf.position = prev.position;
    }
    if (conf.auth_oidc == NGX_CONF_UNSET_PTR) {
        return NGX_CONF_OK;
    }
    conf.is_said = true;
    return guard(cf, fail(), [&] {
        conf.on = true;
        if (conf.auth_oidc->lengths == nullptr &&
            resolve_provider(cf, conf) != NGX_CONF_OK) {
            return fail();
        }
        if (conf.on && is_own && is_off) {
            warn_of_inherited_off(cf, conf);
        }
        return conf.on ? enlist(cf, conf) : static_cast<char*>(NGX_CONF_OK);
    });
}

void find_needs(ngx_conf_t* cf, MainConf& conf)
{
    auto used = used_by_variables(cf);

    for (auto provider : conf.providers) {
        auto& client = provider->client;
        auto& needs = client.needs;
        needs = used;
        client.token_refresh = refresh_ahead(*provider, used);
        needs.id_token |= client.logout_token_hint;
        needs.access_token |= client.revoke_on_logout;
        needs.refresh_token =
            client.token_refresh > 0s || client.revoke_on_logout;
        needs.userinfo &= client.userinfo;
        add_claim(needs.claims, "sub");
        add_session_claims(*provider, needs);
        std::sort(needs.claims.begin(), needs.claims.end());
        client.needs_digest = oidc::digest_of_needs(needs);
        client.max_session_timeout = max_session_timeout(conf, client);
    }
}

ngx_int_t init_module(ngx_cycle_t* cycle)
{
    auto conf = static_cast<MainConf*>(
        ngx_http_cycle_get_module_main_conf(cycle, ngx_http_oidc_module));
    if (conf == nullptr || conf->zone == nullptr) {
        return NGX_OK;
    }
    return guard(cycle, static_cast<ngx_int_t>(NGX_ERROR), [conf] {
        conf->zone->take_over();
        for (auto provider : conf->providers) {
            auto keys = std::move(provider->session_keys);
            if (keys.empty()) {
                keys.push_back(conf->zone->key());
            }
            provider->zone = conf->zone;
            provider->provider.configure(std::move(provider->client), keys);
            open_store(*provider);
        }
        for (auto provider : conf->providers) {
            find_revoking(*conf, *provider);
        }
        return static_cast<ngx_int_t>(NGX_OK);
    });
}

}
