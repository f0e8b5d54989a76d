// What an oidc_session_store block means, and which store a provider has.

#include "conf/conf.h"
#include "conf/values.h"

namespace ngx {
namespace {

constexpr std::size_t default_size = 10 * 1024 * 1024;
constexpr std::size_t automatic_size = 8 * 1024 * 1024;

char* fail()
{
    return static_cast<char*>(NGX_CONF_ERROR);
}

char* good()
{
    return static_cast<char*>(NGX_CONF_OK);
}

void refuse_for(const StoreConf& conf, const char* directive, bool is_set)
{
    if (is_set) {
        throw Invalid("oidc_session_store \"" + conf.name + "\" has a \"" +
            directive + "\", which its \"type\" does not use");
    }
}

bool make_memory(ngx_conf_t* cf, StoreConf& conf)
{
    refuse_for(conf, "hostname", conf.hostname.data != nullptr);
    refuse_for(conf, "port", conf.port != NGX_CONF_UNSET_UINT);
    refuse_for(conf, "database", conf.database != NGX_CONF_UNSET_UINT);
    refuse_for(conf, "username", conf.username.data != nullptr);
    refuse_for(conf, "password", conf.password.data != nullptr);
    refuse_for(conf, "ssl", conf.ssl != NGX_CONF_UNSET);
    refuse_for(conf, "ssl_trusted_certificate",
        conf.ssl_trusted_certificate.data != nullptr);
    refuse_for(conf, "prefix", conf.prefix.data != nullptr);
    refuse_for(
        conf, "connect_timeout", conf.connect_timeout != NGX_CONF_UNSET_MSEC);
    refuse_for(
        conf, "command_timeout", conf.command_timeout != NGX_CONF_UNSET_MSEC);

    auto size = static_cast<ssize_t>(default_size);
    if (conf.size.data != nullptr) {
        size = ngx_parse_size(&conf.size);
    }
    if (size < static_cast<ssize_t>(MemoryStore::min_size)) {
        invalid("size", view(conf.size),
            "it must be at least " +
                std::to_string(MemoryStore::min_size / 1024) + "k");
    }
    conf.memory = MemoryStore::add(cf, "ngx_http_oidc_sessions_" + conf.name,
        static_cast<std::size_t>(size));
    return conf.memory != nullptr;
}

// The system's certificates, unless there are others.
bool trust(
    ngx_conf_t* cf, UpstreamServer& upstream_server, const StoreConf& conf)
{
    constexpr ngx_uint_t depth = 5;
    if (conf.ssl_trusted_certificate.len > 0) {
        return trust_file(
            cf, upstream_server, conf.ssl_trusted_certificate, depth);
    }
    auto main = static_cast<MainConf*>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_oidc_module));
    trust_system(upstream_server, main->system_trust, depth);
    return true;
}

void check_redis(const StoreConf& conf)
{
    constexpr ngx_uint_t highest_port = 65535;

    refuse_for(conf, "size", conf.size.data != nullptr);
    if (conf.hostname.len == 0) {
        throw Invalid("oidc_session_store \"" + conf.name +
            "\" has no \"hostname\", specify the Redis server");
    }
    if (conf.port == 0 || conf.port > highest_port) {
        invalid("port", std::to_string(conf.port), "it must be 1 to 65535");
    }
    if (conf.username.len > 0 && conf.password.len == 0) {
        throw Invalid("oidc_session_store \"" + conf.name +
            "\" has a \"username\" that needs a \"password\"");
    }
    if (!is_printable(view(conf.prefix))) {
        invalid("prefix", view(conf.prefix), "it must be ASCII");
    }
    if (conf.connect_timeout == 0 || conf.command_timeout == 0) {
        throw Invalid("oidc_session_store \"" + conf.name +
            "\" needs a \"connect_timeout\" and a \"command_timeout\" longer "
            "than 0");
    }
}

bool make_redis(ngx_conf_t* cf, StoreConf& conf)
{
    ngx_conf_init_uint_value(conf.port, 6379);
    ngx_conf_init_uint_value(conf.database, 0);
    ngx_conf_init_value(conf.ssl, 0);
    ngx_conf_init_msec_value(conf.connect_timeout, 2000);
    ngx_conf_init_msec_value(conf.command_timeout, 2000);
    check_redis(conf);
    check_pem(cf, "ssl_trusted_certificate", conf.ssl_trusted_certificate,
        "CERTIFICATE");

    conf.key_prefix = text_or(conf.prefix, "oidc:");
    auto& server = conf.redis.emplace();
    server.host = text(conf.hostname);
    server.port = static_cast<in_port_t>(conf.port);
    server.tls = conf.ssl;
    server.username = text(conf.username);
    server.password = oidc::Secret(text(conf.password));
    server.database = conf.database;
    server.upstream_server.upstream.connect_timeout = conf.connect_timeout;
    server.upstream_server.upstream.read_timeout = conf.command_timeout;
    return configure_redis(cf, server) &&
        (!conf.ssl || trust(cf, server.upstream_server, conf));
}

// Made by itself, where a provider may need it.
StoreConf* automatic_store(ngx_conf_t* cf, MainConf& main)
{
    if (main.automatic == nullptr) {
        auto memory =
            MemoryStore::add(cf, "ngx_http_oidc_sessions", automatic_size);
        if (memory == nullptr) {
            return nullptr;
        }
        main.automatic = make<StoreConf>(cf->pool);
        main.automatic->memory = memory;
    }
    return main.automatic;
}

}

// Settings that have no sense together, such as a size with Redis, are more
// likely a mistake than a wish.
char* complete_store(ngx_conf_t* cf, StoreConf& conf)
{
    try {
        if (conf.type == NGX_CONF_UNSET_UINT) {
            throw Invalid("oidc_session_store \"" + conf.name +
                "\" has no \"type\", use \"memory\" or \"redis\"");
        }
        auto made = conf.type == static_cast<ngx_uint_t>(StoreType::memory) ?
            make_memory(cf, conf) :
            make_redis(cf, conf);
        return made ? good() : fail();
    } catch (const Invalid& error) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", error.what());
        return fail();
    }
}

char* choose_store(ngx_conf_t* cf, MainConf& main, ProviderConf& conf)
{
    using oidc::SessionStore;
    auto name = view(conf.session_store);
    auto& chosen = conf.client.session_store;

    if (name == "cookie") {
        chosen = SessionStore::cookie;
        return good();
    }
    if (name.empty() || name == "auto") {
        chosen = SessionStore::automatic;
        conf.store_conf = automatic_store(cf, main);
        return conf.store_conf != nullptr ? good() : fail();
    }
    chosen = SessionStore::named;
    conf.store_conf = main.find_store(name);
    if (conf.store_conf == nullptr) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
            "unknown oidc_session_store \"%V\" in \"session_store\" in %V:%ui, "
            "define it in \"http\"",
            &conf.session_store, &conf.position.file, conf.position.line);
        return fail();
    }
    return good();
}

}
