// Checks an oidc_session_store block as a whole, and finds the store of a
// provider.

#include "conf/checks.h"
#include "conf/conf.h"
#include "conf/values.h"
#include "core/encoding.h"
#include "core/text.h"
#include "store/local.h"

#include <algorithm>

namespace ngx {
namespace {

constexpr std::size_t automatic_size = 8 * 1024 * 1024;

[[noreturn]] void invalid_store(
    const StoreConf& conf, const std::string& sentence)
{
    throw Invalid("oidc_session_store \"" + conf.name + "\" " + sentence);
}

// A directive that the type does not use, such as a size with Redis, is more
// likely a mistake than intended.
void refuse_unused(const StoreConf& conf)
{
    for (const auto& written : conf.positions.all()) {
        auto used = conf.type->directives;
        if (written.member != &conf.type &&
            std::ranges::find(used, written.name) == used.end()) {
            invalid_store(conf,
                "has a \"" + std::string(written.name) +
                    "\", which its \"type\" does not use");
        }
    }
}

void check_size(const StoreConf& conf)
{
    auto size = conf.size;
    auto min_size = conf.type->min_size;
    if (ngx_parse_size(&size) < static_cast<ssize_t>(min_size)) {
        invalid("size", view(size),
            "it must be at least " + std::to_string(min_size / 1024) + "k");
    }
}

void check_server(const StoreConf& conf)
{
    if (conf.username.len > 0 && conf.password.len == 0) {
        invalid_store(conf, "has a \"username\" that needs a \"password\"");
    }
    if (conf.connect_timeout == 0 || conf.command_timeout == 0) {
        invalid_store(conf,
            "needs a \"connect_timeout\" and a \"command_timeout\" longer "
            "than 0");
    }
}

std::string other_store(const MainConf& main, std::string_view name)
{
    std::vector<std::string_view> names = {"auto", "cookie"};
    for (auto store : main.stores) {
        names.emplace_back(store->name);
    }
    return suggestion(name, names);
}

// The key made at start is lost with this node's memory, and Redis is not.
void warn_of_lost_key(ngx_conf_t* cf, const ProviderConf& conf)
{
    const auto& position = *conf.positions.find(&conf.settings.session_store);
    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
        "\"session_store\" in %V:%ui keeps sessions in Redis, but without a "
        "\"session_key\" they end on restart and other nodes cannot open them",
        &position.file, position.line);
}

// A store keeps no session for longer.
void limit_lifetime(oidc::Client& client, Seconds ttl)
{
    if (ttl > Seconds()) {
        client.session_timeout = std::min(client.session_timeout, ttl);
    }
}

// Made for the first provider that may need it.
const MakeStore& automatic_store(ngx_conf_t* cf, MainConf& main)
{
    if (!main.automatic) {
        main.automatic =
            make_memory_store(cf, "ngx_http_oidc_sessions", automatic_size, 0);
    }
    return main.automatic;
}

}

void check_store_name(
    const MainConf& main, const std::string& name, std::string_view directive)
{
    if (!is_name(name) || name == "auto" || name == "cookie") {
        throw Invalid("invalid " + std::string(directive) + " name " +
            oidc::quoted(name) +
            ", use a word other than \"off\", \"auto\" and \"cookie\"");
    }
    if (main.find_store(name) != nullptr) {
        throw Invalid(
            "duplicate " + std::string(directive) + " " + oidc::quoted(name));
    }
}

// The directives of other types have their defaults, which are valid.
char* complete_store(ngx_conf_t* cf, StoreConf& conf)
{
    refuse_unused(conf);
    check_size(conf);
    check_server(conf);
    check_pem(cf, "ssl_trusted_certificate", conf.ssl_trusted_certificate,
        "CERTIFICATE");
    conf.make = conf.type->configure(
        cf, conf.name, conf, conf_of<MainConf>(cf).system_trust);
    return conf.make ? good() : fail();
}

char* choose_store(ngx_conf_t* cf, MainConf& main, ProviderConf& conf)
{
    using oidc::SessionStore;
    auto name = view(conf.settings.session_store);
    auto& chosen = conf.client.session_store;

    if (name == "cookie") {
        chosen = SessionStore::cookie;
        conf.make_store = make_cookie_store();
        return good();
    }
    if (name == "auto") {
        chosen = SessionStore::automatic;
        conf.make_store = automatic_store(cf, main);
        return conf.make_store ? good() : fail();
    }
    chosen = SessionStore::named;
    auto store = main.find_store(name);
    if (store == nullptr) {
        const auto& position =
            *conf.positions.find(&conf.settings.session_store);
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "unknown oidc_session_store \"%V\" in \"session_store\" in %V:%ui, "
            "define it in \"http\"%s",
            &conf.settings.session_store, &position.file, position.line,
            other_store(main, name).c_str());
        return fail();
    }
    if (!store->type->server.empty() && conf.session_keys.empty()) {
        warn_of_lost_key(cf, conf);
    }
    conf.make_store = store->make;
    limit_lifetime(conf.client, store->ttl);
    return good();
}

}
