// The directives, one row each, and the setters that nginx does not have.

#include "conf/conf.h"

#include "core/url.h"

#include <cstddef>

namespace ngx {
namespace {

char* fail()
{
    return static_cast<char*>(NGX_CONF_ERROR);
}

using Set = char* (*)(ngx_conf_t*, ngx_command_t*, void*);

template <std::size_t N>
constexpr ngx_command_t directive(const char (&name)[N], ngx_uint_t type,
    Set set, ngx_uint_t conf = 0, ngx_uint_t offset = 0, void* post = nullptr)
{
    return {{N - 1, reinterpret_cast<u_char*>(const_cast<char*>(name))}, type,
        set, conf, offset, post};
}

ngx_str_t& argument(ngx_conf_t* cf, ngx_uint_t index)
{
    return static_cast<ngx_str_t*>(cf->args->elts)[index];
}

// Inside oidc_provider and oidc_session_store.

char* set_words(ngx_conf_t* cf, ngx_command_t* command, void* conf)
{
    auto& words = *reinterpret_cast<ngx_array_t**>(
        static_cast<char*>(conf) + command->offset);
    if (words != nullptr) {
        return const_cast<char*>("is duplicate");
    }
    auto count = cf->args->nelts - 1;
    words = ngx_array_create(cf->pool, count, sizeof(ngx_str_t));
    if (words == nullptr) {
        return fail();
    }
    for (ngx_uint_t i = 1; i <= count; i++) {
        *static_cast<ngx_str_t*>(ngx_array_push(words)) = argument(cf, i);
    }
    return NGX_CONF_OK;
}

char* set_complex(ngx_conf_t* cf, ngx_command_t* command, void* conf)
{
    return ngx_http_set_complex_value_slot(cf, command, conf);
}

// As nginx's own, which names neither the directive nor what it takes.
char* set_enum(ngx_conf_t* cf, ngx_command_t* command, void* conf)
{
    auto& field = *reinterpret_cast<ngx_uint_t*>(
        static_cast<char*>(conf) + command->offset);
    if (field != NGX_CONF_UNSET_UINT) {
        return const_cast<char*>("is duplicate");
    }
    auto& value = argument(cf, 1);
    auto entries = static_cast<ngx_conf_enum_t*>(command->post);
    return guard(cf, fail(), [&] {
        std::string values;
        for (auto entry = entries; entry->name.len > 0; entry++) {
            if (entry->name.len == value.len &&
                ngx_strncasecmp(entry->name.data, value.data, value.len) == 0) {
                field = entry->value;
                return static_cast<char*>(NGX_CONF_OK);
            }
            values += (values.empty() ? "" : ", ") + text(entry->name);
        }
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
            "invalid \"%V\" value \"%V\", use one of: %s", &command->name,
            &value, values.c_str());
        return fail();
    });
}

// What it names may stand further below.
char* set_session_store(ngx_conf_t* cf, ngx_command_t* command, void* conf)
{
    auto provider =
        static_cast<ProviderConf*>(static_cast<ProviderFields*>(conf));
    provider->position = position(cf);
    return ngx_conf_set_str_slot(cf, command, conf);
}

char* set_token_refresh(ngx_conf_t* cf, ngx_command_t* command, void* conf)
{
    auto& field = static_cast<ProviderFields*>(conf)->token_refresh;
    auto value = view(argument(cf, 1));
    if (field != NGX_CONF_UNSET_UINT) {
        return const_cast<char*>("is duplicate");
    }
    if (value == "auto" || value == "off") {
        field = value == "off" ? refresh_off : refresh_auto;
        return NGX_CONF_OK;
    }
    auto seconds = ngx_parse_time(&argument(cf, 1), 1);
    if (seconds == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
            "invalid \"%V\" value \"%V\", use a time, \"auto\" or \"off\"",
            &command->name, &argument(cf, 1));
        return fail();
    }
    field = static_cast<ngx_uint_t>(seconds);
    return NGX_CONF_OK;
}

char* set_max_lifetime(ngx_conf_t* cf, ngx_command_t* command, void* conf)
{
    auto& field = static_cast<ProviderFields*>(conf)->session_max_lifetime;
    if (view(argument(cf, 1)) != "off") {
        return ngx_conf_set_sec_slot(cf, command, conf);
    }
    if (field != NGX_CONF_UNSET) {
        return const_cast<char*>("is duplicate");
    }
    field = max_lifetime_off;
    return NGX_CONF_OK;
}

ngx_conf_enum_t same_site_values[] = {
    {ngx_string("lax"), 0},
    {ngx_string("strict"), 1},
    {ngx_string("none"), 2},
    {ngx_null_string, 0},
};

// The one method there is, which Angie's configurations name.
ngx_conf_enum_t challenge_methods[] = {
    {ngx_string("S256"), 1},
    {ngx_null_string, 0},
};

ngx_conf_enum_t client_auth_values[] = {
    {ngx_string("auto"), static_cast<ngx_uint_t>(oidc::ClientAuth::automatic)},
    {ngx_string("client_secret_basic"),
        static_cast<ngx_uint_t>(oidc::ClientAuth::client_secret_basic)},
    {ngx_string("client_secret_post"),
        static_cast<ngx_uint_t>(oidc::ClientAuth::client_secret_post)},
    {ngx_string("client_secret_jwt"),
        static_cast<ngx_uint_t>(oidc::ClientAuth::client_secret_jwt)},
    {ngx_string("private_key_jwt"),
        static_cast<ngx_uint_t>(oidc::ClientAuth::private_key_jwt)},
    {ngx_string("tls_client_auth"),
        static_cast<ngx_uint_t>(oidc::ClientAuth::tls_client_auth)},
    {ngx_string("self_signed_tls_client_auth"),
        static_cast<ngx_uint_t>(oidc::ClientAuth::self_signed_tls_client_auth)},
    {ngx_string("none"), static_cast<ngx_uint_t>(oidc::ClientAuth::none)},
    {ngx_null_string, 0},
};

ngx_conf_enum_t response_modes[] = {
    {ngx_string("query"), static_cast<ngx_uint_t>(oidc::ResponseMode::query)},
    {ngx_string("form_post"),
        static_cast<ngx_uint_t>(oidc::ResponseMode::form_post)},
    {ngx_null_string, 0},
};

ngx_conf_enum_t pushed_values[] = {
    {ngx_string("auto"),
        static_cast<ngx_uint_t>(oidc::PushedAuthorization::automatic)},
    {ngx_string("on"), static_cast<ngx_uint_t>(oidc::PushedAuthorization::on)},
    {ngx_string("off"),
        static_cast<ngx_uint_t>(oidc::PushedAuthorization::off)},
    {ngx_null_string, 0},
};

#define FIELD(name) 0, offsetof(ProviderFields, name)

// clang-format off
ngx_command_t provider_commands[] = {
    directive("issuer",             NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(issuer)),
    directive("client_id",          NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(client_id)),
    directive("client_secret",      NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(client_secret)),
    directive("client_secret_file", NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(client_secret_file)),
    directive("client_auth",        NGX_CONF_TAKE1, set_enum,  FIELD(client_auth), client_auth_values),
    directive("client_key",         NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(client_key)),
    directive("client_certificate", NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(client_certificate)),
    directive("client_certificate_key", NGX_CONF_TAKE1, ngx_conf_set_str_slot, FIELD(client_certificate_key)),
    directive("authorization_endpoint", NGX_CONF_TAKE1, ngx_conf_set_str_slot, FIELD(authorization_endpoint)),
    directive("token_endpoint",     NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(token_endpoint)),
    directive("userinfo_endpoint",  NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(userinfo_endpoint)),
    directive("jwks_uri",           NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(jwks_uri)),
    directive("pushed_authorization_request_endpoint", NGX_CONF_TAKE1, ngx_conf_set_str_slot, FIELD(pushed_authorization_request_endpoint)),
    directive("config_url",         NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(config_url)),
    directive("end_session_endpoint", NGX_CONF_TAKE1, ngx_conf_set_str_slot, FIELD(end_session_endpoint)),
    directive("revocation_endpoint", NGX_CONF_TAKE1, ngx_conf_set_str_slot,  FIELD(revocation_endpoint)),
    directive("redirect_uri",       NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(redirect_uri)),
    directive("scope",              NGX_CONF_1MORE, set_words,               FIELD(scope)),
    directive("scopes",             NGX_CONF_1MORE, set_words,               FIELD(scope)),
    directive("extra_auth_args",    NGX_CONF_TAKE1, set_complex,             FIELD(extra_auth_args)),
    directive("pkce",               NGX_CONF_FLAG,  ngx_conf_set_flag_slot,  FIELD(pkce)),
    directive("code_challenge_method", NGX_CONF_TAKE1, set_enum, FIELD(code_challenge_method), challenge_methods),
    directive("response_mode",      NGX_CONF_TAKE1, set_enum,  FIELD(response_mode), response_modes),
    directive("pushed_authorization", NGX_CONF_TAKE1, set_enum, FIELD(pushed_authorization), pushed_values),
    directive("userinfo",           NGX_CONF_FLAG,  ngx_conf_set_flag_slot,  FIELD(userinfo)),
    directive("cookie_name",        NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(cookie_name)),
    directive("cookie_domain",      NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(cookie_domain)),
    directive("cookie_path",        NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(cookie_path)),
    directive("cookie_samesite",    NGX_CONF_TAKE1, set_enum,  FIELD(cookie_samesite), same_site_values),
    directive("cookie_partitioned", NGX_CONF_FLAG,  ngx_conf_set_flag_slot,  FIELD(cookie_partitioned)),
    directive("session_store",      NGX_CONF_TAKE1, set_session_store,       FIELD(session_store)),
    directive("session_key",        NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(session_key)),
    directive("session_timeout",    NGX_CONF_TAKE1, ngx_conf_set_sec_slot,   FIELD(session_timeout)),
    directive("session_idle_timeout", NGX_CONF_TAKE1, ngx_conf_set_sec_slot, FIELD(session_idle_timeout)),
    directive("session_max_lifetime", NGX_CONF_TAKE1, set_max_lifetime,      FIELD(session_max_lifetime)),
    directive("session_claims",     NGX_CONF_1MORE, set_words,               FIELD(session_claims)),
    directive("token_refresh",      NGX_CONF_TAKE1, set_token_refresh,       FIELD(token_refresh)),
    directive("logout_uri",         NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(logout_uri)),
    directive("post_logout_uri",    NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(post_logout_uri)),
    directive("logout_token_hint",  NGX_CONF_FLAG,  ngx_conf_set_flag_slot,  FIELD(logout_token_hint)),
    directive("frontchannel_logout_uri", NGX_CONF_TAKE1, ngx_conf_set_str_slot, FIELD(frontchannel_logout_uri)),
    directive("backchannel_logout_uri", NGX_CONF_TAKE1, ngx_conf_set_str_slot, FIELD(backchannel_logout_uri)),
    directive("revoke_on_logout",   NGX_CONF_FLAG,  ngx_conf_set_flag_slot,  FIELD(revoke_on_logout)),
    directive("pre_auth_timeout",   NGX_CONF_TAKE1, ngx_conf_set_sec_slot,   FIELD(pre_auth_timeout)),
    directive("clock_skew",         NGX_CONF_TAKE1, ngx_conf_set_sec_slot,   FIELD(clock_skew)),
    directive("id_token_alg",       NGX_CONF_1MORE, set_words,               FIELD(id_token_alg)),
    directive("id_token_encrypted_alg", NGX_CONF_1MORE, set_words,           FIELD(id_token_encrypted_alg)),
    directive("audience",           NGX_CONF_1MORE, set_words,               FIELD(audience)),
    directive("ssl_trusted_certificate", NGX_CONF_TAKE1, ngx_conf_set_str_slot, FIELD(ssl_trusted_certificate)),
    directive("ssl_crl",            NGX_CONF_TAKE1, ngx_conf_set_str_slot,   FIELD(ssl_crl)),
    directive("ssl_verify_depth",   NGX_CONF_TAKE1, ngx_conf_set_num_slot,   FIELD(ssl_verify_depth)),
    directive("connect_timeout",    NGX_CONF_TAKE1, ngx_conf_set_msec_slot,  FIELD(connect_timeout)),
    directive("read_timeout",       NGX_CONF_TAKE1, ngx_conf_set_msec_slot,  FIELD(read_timeout)),
    ngx_null_command
};
// clang-format on

#undef FIELD

ngx_conf_enum_t store_types[] = {
    {ngx_string("memory"), static_cast<ngx_uint_t>(StoreType::memory)},
    {ngx_string("redis"), static_cast<ngx_uint_t>(StoreType::redis)},
    {ngx_null_string, 0},
};

#define FIELD(name) 0, offsetof(StoreFields, name)

// clang-format off
ngx_command_t store_commands[] = {
    directive("type",            NGX_CONF_TAKE1, set_enum,               FIELD(type), store_types),
    directive("size",            NGX_CONF_TAKE1, ngx_conf_set_str_slot,  FIELD(size)),
    directive("hostname",        NGX_CONF_TAKE1, ngx_conf_set_str_slot,  FIELD(hostname)),
    directive("port",            NGX_CONF_TAKE1, ngx_conf_set_num_slot,  FIELD(port)),
    directive("database",        NGX_CONF_TAKE1, ngx_conf_set_num_slot,  FIELD(database)),
    directive("username",        NGX_CONF_TAKE1, ngx_conf_set_str_slot,  FIELD(username)),
    directive("password",        NGX_CONF_TAKE1, ngx_conf_set_str_slot,  FIELD(password)),
    directive("ssl",             NGX_CONF_FLAG,  ngx_conf_set_flag_slot, FIELD(ssl)),
    directive("ssl_trusted_certificate", NGX_CONF_TAKE1, ngx_conf_set_str_slot, FIELD(ssl_trusted_certificate)),
    directive("prefix",          NGX_CONF_TAKE1, ngx_conf_set_str_slot,  FIELD(prefix)),
    directive("connect_timeout", NGX_CONF_TAKE1, ngx_conf_set_msec_slot, FIELD(connect_timeout)),
    directive("command_timeout", NGX_CONF_TAKE1, ngx_conf_set_msec_slot, FIELD(command_timeout)),
    ngx_null_command
};
// clang-format on

#undef FIELD

ngx_command_t* find_command(ngx_command_t* commands, std::string_view name)
{
    for (auto command = commands; command->name.len; command++) {
        if (view(command->name) == name) {
            return command;
        }
    }
    return nullptr;
}

// nginx checks the number of arguments only of directives it looks up itself.
bool takes(const ngx_command_t& command, ngx_uint_t arguments)
{
    return command.type == NGX_CONF_1MORE ? arguments >= 1 : arguments == 1;
}

// nginx calls it for each directive of a block; its table and fields come by
// cf->handler_conf.
struct Block {
    const char* name;
    ngx_command_t* commands;
    void* fields;
};

char* set_in_block(ngx_conf_t* cf, ngx_command_t* dummy, void* conf)
{
    auto& block = *reinterpret_cast<Block*>(cf->handler_conf);
    auto& name = argument(cf, 0);
    if (view(name) == "include") {
        return ngx_conf_include(cf, dummy, conf);
    }
    auto command = find_command(block.commands, view(name));
    if (command == nullptr) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
            "unknown directive \"%V\" in \"%s\"", &name, block.name);
        return fail();
    }
    if (!takes(*command, cf->args->nelts - 1)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
            "invalid number of arguments in \"%V\" directive", &name);
        return fail();
    }
    auto rv = command->set(cf, command, block.fields);
    if (rv == NGX_CONF_OK || rv == NGX_CONF_ERROR) {
        return rv;
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" directive %s", &name, rv);
    return fail();
}

char* parse_block(ngx_conf_t* cf, Block block)
{
    auto outer = *cf;
    cf->handler = set_in_block;
    cf->handler_conf = reinterpret_cast<char*>(&block);
    auto rv = ngx_conf_parse(cf, nullptr);
    *cf = outer;
    return rv;
}

bool is_name(std::string_view name)
{
    return !name.empty() && name != "off" &&
        name.find_first_of("$ \t\"'") == name.npos;
}

char* set_oidc_provider(ngx_conf_t* cf, ngx_command_t*, void* data)
{
    auto& main = *static_cast<MainConf*>(data);
    auto name = argument(cf, 1);

    if (!is_name(view(name))) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
            "invalid oidc_provider name \"%V\", use a word other than \"off\"",
            &name);
        return fail();
    }
    if (main.find(view(name)) != nullptr) {
        ngx_conf_log_error(
            NGX_LOG_EMERG, cf, 0, "duplicate oidc_provider \"%V\"", &name);
        return fail();
    }
    return guard(cf, fail(), [&] {
        auto provider = make<ProviderConf>(cf->pool);
        provider->name = view(name);
        provider->position = position(cf);
        auto rv = parse_block(cf,
            {"oidc_provider", provider_commands,
                static_cast<ProviderFields*>(provider)});
        if (rv != NGX_CONF_OK) {
            return fail();
        }
        main.providers.push_back(provider);
        return complete_provider(cf, *provider);
    });
}

char* set_oidc_session_store(ngx_conf_t* cf, ngx_command_t*, void* data)
{
    auto& main = *static_cast<MainConf*>(data);
    auto name = argument(cf, 1);

    if (!is_name(view(name)) || view(name) == "auto" ||
        view(name) == "cookie") {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
            "invalid oidc_session_store name \"%V\", use a word other than "
            "\"off\", \"auto\" and \"cookie\"",
            &name);
        return fail();
    }
    if (main.find_store(view(name)) != nullptr) {
        ngx_conf_log_error(
            NGX_LOG_EMERG, cf, 0, "duplicate oidc_session_store \"%V\"", &name);
        return fail();
    }
    return guard(cf, fail(), [&] {
        auto store = make<StoreConf>(cf->pool);
        store->name = view(name);
        auto rv = parse_block(cf,
            {"oidc_session_store", store_commands,
                static_cast<StoreFields*>(store)});
        if (rv != NGX_CONF_OK) {
            return fail();
        }
        main.stores.push_back(store);
        return complete_store(cf, *store);
    });
}

// In http.

char* set_zone_size(ngx_conf_t* cf, ngx_command_t*, void* data)
{
    auto& main = *static_cast<MainConf*>(data);
    auto& value = argument(cf, 1);
    auto size = ngx_parse_size(&value);

    if (main.zone_size > 0) {
        return const_cast<char*>("is duplicate");
    }
    if (size == NGX_ERROR || size < static_cast<ssize_t>(Zone::min_size)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
            "invalid \"oidc_state_zone\" size \"%V\", it must be at least 64k",
            &value);
        return fail();
    }
    main.zone_size = static_cast<std::size_t>(size);
    return NGX_CONF_OK;
}

char* set_auth_oidc(ngx_conf_t* cf, ngx_command_t* command, void* data)
{
    auto conf = static_cast<LocationConf*>(static_cast<LocationFields*>(data));
    if (argument(cf, 1).len == 0) {
        return const_cast<char*>("must name an oidc_provider, or \"off\"");
    }
    conf->position = position(cf);
    return ngx_http_set_complex_value_slot(cf, command, data);
}

char* set_base_url(ngx_conf_t* cf, ngx_command_t* command, void* data)
{
    auto conf = static_cast<LocationFields*>(data);
    auto rv = ngx_http_set_complex_value_slot(cf, command, data);
    if (rv != NGX_CONF_OK || conf->base_url->lengths != nullptr) {
        return rv;
    }
    auto url = oidc::parse_url(view(argument(cf, 1)));
    if (!url || url->target() != "/") {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
            "invalid \"oidc_base_url\" \"%V\", it must be a scheme, host and "
            "port such as \"https://app.example.com\"",
            &argument(cf, 1));
        return fail();
    }
    return NGX_CONF_OK;
}

ngx_conf_enum_t mode_values[] = {
    {ngx_string("require"), static_cast<ngx_uint_t>(Mode::require)},
    {ngx_string("verify"), static_cast<ngx_uint_t>(Mode::verify)},
    {ngx_string("off"), static_cast<ngx_uint_t>(Mode::off)},
    {ngx_null_string, 0},
};

constexpr ngx_uint_t anywhere =
    NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

}

// clang-format off
ngx_command_t commands[] = {
    directive("oidc_provider",   NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1, set_oidc_provider, NGX_HTTP_MAIN_CONF_OFFSET),
    directive("oidc_session_store", NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1, set_oidc_session_store, NGX_HTTP_MAIN_CONF_OFFSET),
    directive("oidc_state_zone", NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1, set_zone_size, NGX_HTTP_MAIN_CONF_OFFSET),
    directive("auth_oidc",       anywhere|NGX_CONF_TAKE1, set_auth_oidc, NGX_HTTP_LOC_CONF_OFFSET, offsetof(LocationFields, auth_oidc)),
    directive("auth_oidc_mode",  anywhere|NGX_CONF_TAKE1, set_enum, NGX_HTTP_LOC_CONF_OFFSET, offsetof(LocationFields, mode), mode_values),
    directive("oidc_limit",      anywhere|NGX_CONF_1MORE, set_limit, NGX_HTTP_LOC_CONF_OFFSET),
    directive("oidc_base_url",   anywhere|NGX_CONF_TAKE1, set_base_url, NGX_HTTP_LOC_CONF_OFFSET, offsetof(LocationFields, base_url)),
    ngx_null_command
};
// clang-format on

}
