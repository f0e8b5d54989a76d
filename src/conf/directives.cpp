// The interface of the module: every directive, a row each. After the tables
// come the two blocks, and what nginx looks up.

#include "conf/conf.h"

#include "conf/checks.h"
#include "conf/types.h"
#include "store/local.h"
#include "store/redis.h"

#include <algorithm>
#include <array>

namespace ngx {
namespace {

using oidc::Client;
using oidc::ClientAuth;
using oidc::Endpoints;
using oidc::Pkce;
using oidc::PushedAuthorization;
using oidc::ResponseMode;
using Settings = ProviderSettings;

constexpr Word<ClientAuth> client_auths[] = {
    {"auto", ClientAuth::automatic},
    {"client_secret_basic", ClientAuth::client_secret_basic},
    {"client_secret_post", ClientAuth::client_secret_post},
    {"client_secret_jwt", ClientAuth::client_secret_jwt},
    {"private_key_jwt", ClientAuth::private_key_jwt},
    {"tls_client_auth", ClientAuth::tls_client_auth},
    {"self_signed_tls_client_auth", ClientAuth::self_signed_tls_client_auth},
    {"none", ClientAuth::none},
};

constexpr Word<Pkce> pkces[] = {
    {"auto", Pkce::automatic},
    {"on", Pkce::on},
    {"off", Pkce::off},
};

constexpr Word<ResponseMode> response_modes[] = {
    {"query", ResponseMode::query},
    {"form_post", ResponseMode::form_post},
};

constexpr Word<PushedAuthorization> pushed_authorizations[] = {
    {"auto", PushedAuthorization::automatic},
    {"on", PushedAuthorization::on},
    {"off", PushedAuthorization::off},
};

constexpr Word<const char*> same_sites[] = {
    {"lax", "Lax"},
    {"strict", "Strict"},
    {"none", "None"},
};

constexpr Word<const StoreType*> store_types[] = {
    {"memory", &memory_type},
    {"redis", &redis_type},
};

constexpr Word<Mode> modes[] = {
    {"require", Mode::require},
    {"verify", Mode::verify},
    {"off", Mode::off},
};

// clang-format off
// name, default, type<member, checks>
constexpr Row<ProviderConf> provider_rows[] = {
    {"issuer",                 required("specify the provider's issuer URL"), string<&Client::issuer, check_issuer>},
    {"config_url",             derived("<issuer>/.well-known/openid-configuration"), string<&Client::config_url, check_url>},
    {"oidc_insecure_http",     "off",     flag<&Client::insecure_http>},
    {"client_id",              required("specify the one registered at the provider"), string<&Client::client_id, check_ascii>},
    {"client_secret",          none,      string<&Client::client_secret>},
    {"client_secret_file",     none,      string<&Settings::client_secret_file>},
    {"client_auth",            "auto",    choice<&Client::client_auth, client_auths>},
    {"client_key",             none,      string<&Settings::client_key>},
    {"client_certificate",     none,      string<&Settings::client_certificate>},
    {"client_certificate_key", none,      string<&Settings::client_certificate_key>},

    {"authorization_endpoint", none,      string<&Endpoints::authorization_endpoint, check_url>},
    {"token_endpoint",         none,      string<&Endpoints::token_endpoint, check_url>},
    {"jwks_uri",               none,      string<&Endpoints::jwks_uri, check_url>},
    {"userinfo_endpoint",      none,      string<&Endpoints::userinfo_endpoint, check_url>},
    {"pushed_authorization_request_endpoint", none,      string<&Endpoints::pushed_authorization_request_endpoint, check_url>},
    {"end_session_endpoint",   none,      string<&Endpoints::end_session_endpoint, check_url>},
    {"revocation_endpoint",    none,      string<&Endpoints::revocation_endpoint, check_url>},

    {"redirect_uri",           "/oidc_callback", string<&Client::redirect_uri, check_redirect_uri>},
    {"scope",                  "openid",  scope<&Client::scope>},
    {"scopes",                 "openid",  scope<&Client::scope>},
    {"extra_auth_args",        none,      complex<&Settings::extra_auth_args, check_arguments>},
    {"pkce",                   "auto",    choice<&Client::pkce, pkces>},
    {"code_challenge_method",  none,      string<&Settings::code_challenge_method, check_code_challenge_method>},
    {"response_mode",          "query",   choice<&Client::response_mode, response_modes>},
    {"pushed_authorization",   "auto",    choice<&Client::pushed_authorization, pushed_authorizations>},
    {"pre_auth_timeout",       "10m",     seconds<&Client::pre_auth_timeout, above_0>},

    {"id_token_alg",           "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519", words<&Client::id_token_algs, check_algorithm>},
    {"id_token_encrypted_alg", none,      words<&Client::id_token_encrypted_algs, check_encryption>},
    {"audience",               none,      words<&Client::audiences>},
    {"clock_skew",             "60s",     seconds<&Client::clock_skew, at_most_1_day>},
    {"userinfo",               "off",     flag<&Client::userinfo>},

    {"cookie_name",            "NGX_OIDC_SESSION", string<&Client::cookie_name, check_cookie_name>},
    {"cookie_domain",          none,      string<&Client::cookie_domain, check_cookie_domain>},
    {"cookie_path",            "/",       string<&Client::cookie_path, check_cookie_path>},
    {"cookie_samesite",        "lax",     choice<&Client::cookie_same_site, same_sites>},
    {"cookie_partitioned",     "off",     flag<&Client::cookie_partitioned>},

    {"session_store",          "auto",    string<&Settings::session_store>},
    {"session_key",            none,      string<&Settings::session_key>},
    {"session_timeout",        "8h",      seconds<&Client::session_timeout, check_session_timeout, at_most_10_years>},
    {"session_idle_timeout",   none,      seconds<&Client::session_idle_timeout, at_most_10_years>},
    {"session_max_lifetime",   derived("24h, or session_timeout where that is longer"), max_lifetime<&Settings::session_max_lifetime, at_most_10_years>},
    {"session_claims",         "auto",    words<&Settings::session_claims>},
    {"token_refresh",          "auto",    token_refresh<&Settings::token_refresh>},

    {"logout_uri",             none,      string<&Client::logout_uri, check_path>},
    {"post_logout_uri",        none,      string<&Client::post_logout_uri, check_post_logout_uri>},
    {"logout_token_hint",      "off",     flag<&Client::logout_token_hint>},
    {"frontchannel_logout_uri", none,      string<&Client::frontchannel_logout_uri, check_path>},
    {"backchannel_logout_uri", none,      string<&Client::backchannel_logout_uri, check_path>},
    {"revoke_on_logout",       "off",     flag<&Client::revoke_on_logout>},

    {"ssl_trusted_certificate", none,      string<&Settings::ssl_trusted_certificate>},
    {"ssl_crl",                none,      string<&Settings::ssl_crl>},
    {"ssl_verify_depth",       "5",       number<&Settings::ssl_verify_depth>},
    {"connect_timeout",        "10s",     milliseconds<&Settings::connect_timeout, above_0>},
    {"read_timeout",           "10s",     milliseconds<&Settings::read_timeout, above_0>},
};

constexpr Row<StoreConf> store_rows[] = {
    {"type",                   "memory",  choice<&StoreFields::type, store_types>},
    {"size",                   "10m",     size<&StoreFields::size>},
    {"memory_max_size",        none,      number<&StoreFields::max_sessions, check_count>},
    {"ttl",                    none,      seconds<&StoreFields::ttl, above_0>},
    {"hostname",               "127.0.0.1", string<&StoreFields::hostname>},
    {"port",                   "6379",    number<&StoreFields::port, check_port>},
    {"database",               "0",       number<&StoreFields::database>},
    {"username",               none,      string<&StoreFields::username>},
    {"password",               none,      password<&StoreFields::password>},
    {"ssl",                    "off",     flag<&StoreFields::ssl>},
    {"ssl_trusted_certificate", none,      string<&StoreFields::ssl_trusted_certificate>},
    {"prefix",                 "oidc:",   string<&StoreFields::prefix, check_ascii>},
    {"connect_timeout",        "2s",      milliseconds<&StoreFields::connect_timeout>},
    {"command_timeout",        "2s",      milliseconds<&StoreFields::command_timeout>},
};

// In http.
constexpr Row<MainConf> http_rows[] = {
    {"oidc_state_zone",        "2m",      zone_size<&MainConf::zone_size>},
};

// In http, server and location, and inherited.
constexpr Row<LocationConf> inherited_rows[] = {
    {"auth_oidc",              derived("off"), complex<&LocationConf::auth_oidc, check_provider_name>},
    {"auth_oidc_mode",         "require", choice<&LocationConf::mode, modes>},
    {"auth_oidc_remote_user",  "off",    claim<&LocationConf::remote_user>},
    {"oidc_limit",             "login=200r/m logout=60r/m", limit<&LocationConf::limit>},
    {"oidc_base_url",          none,      complex<&LocationConf::base_url, check_base_url>},
};

// In http, server, location and limit_except, and inherited.
constexpr Row<LocationConf> limitable_rows[] = {
    {"auth_oidc_require",      derived("off"), requirements<&LocationConf::requirements>},
};

// Names in NGINX Plus, which come last in the commands.
constexpr Row<LocationConf> compatible_limitable_rows[] = {
    {"auth_require",           derived("off"), requirements<&LocationConf::requirements>},
};
// clang-format on

char* set_oidc_provider(ngx_conf_t* cf, ngx_command_t*, void* data)
{
    auto& main = *static_cast<MainConf*>(data);
    return configure(cf, [&] {
        auto name = text(argument(cf, 1));
        if (!is_name(name)) {
            throw Invalid("invalid oidc_provider name \"" + name +
                "\", use a word other than \"off\"");
        }
        if (main.find(name) != nullptr) {
            throw Invalid("duplicate oidc_provider \"" + name + "\"");
        }
        auto provider = make<ProviderConf>(cf->pool);
        provider->name = name;
        auto rv = read_block<ProviderConf>(
            cf, {"oidc_provider", provider_rows, *provider});
        if (rv != NGX_CONF_OK) {
            return rv;
        }
        main.providers.push_back(provider);
        return complete_provider(cf, *provider);
    });
}

char* set_oidc_session_store(ngx_conf_t* cf, ngx_command_t*, void* data)
{
    auto& main = *static_cast<MainConf*>(data);
    return configure(cf, [&] {
        auto name = text(argument(cf, 1));
        check_store_name(main, name, "oidc_session_store");
        auto store = make<StoreConf>(cf->pool);
        store->name = name;
        auto rv = read_block<StoreConf>(
            cf, {"oidc_session_store", store_rows, *store});
        if (rv != NGX_CONF_OK) {
            return rv;
        }
        main.stores.push_back(store);
        return complete_store(cf, *store);
    });
}

using Set = char* (*)(ngx_conf_t*, ngx_command_t*, void*);

struct BlockRow {
    const char* name;
    Set set;
};

// In http.
constexpr BlockRow block_rows[] = {
    {"oidc_provider", set_oidc_provider},
    {"oidc_session_store", set_oidc_session_store},
};

// A directive that has no value of its own, and can be repeated.
struct RepeatableRow {
    const char* name;
    ngx_uint_t arguments;
    Set set;
};

// In http.
constexpr RepeatableRow repeatable_rows[] = {
    {"oidc_claim_set", NGX_CONF_2MORE, set_claim_variable},
};

constexpr RepeatableRow compatible_repeatable_rows[] = {
    {"keyval_zone", NGX_CONF_1MORE, set_keyval_zone},
    {"auth_jwt_claim_set", NGX_CONF_2MORE, set_claim_variable},
};

// In http, server, location and limit_except.
constexpr RepeatableRow compatible_ignored_rows[] = {
    {"auth_jwt", NGX_CONF_TAKE12, check_auth_jwt},
};

constexpr ngx_uint_t in_http = NGX_HTTP_MAIN_CONF;
constexpr ngx_uint_t inheritable =
    in_http | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;
constexpr ngx_uint_t limitable = inheritable | NGX_HTTP_LMT_CONF;

ngx_str_t name_of(const char* name)
{
    return {std::char_traits<char>::length(name),
        reinterpret_cast<u_char*>(const_cast<char*>(name))};
}

ngx_command_t command(const BlockRow& row, ngx_uint_t context)
{
    return {name_of(row.name), context | NGX_CONF_BLOCK | NGX_CONF_TAKE1,
        row.set, NGX_HTTP_MAIN_CONF_OFFSET, 0, nullptr};
}

ngx_command_t command(const RepeatableRow& row, ngx_uint_t context)
{
    return {name_of(row.name), context | row.arguments, row.set,
        NGX_HTTP_MAIN_CONF_OFFSET, 0, nullptr};
}

ngx_uint_t offset_of(const MainConf*)
{
    return NGX_HTTP_MAIN_CONF_OFFSET;
}

ngx_uint_t offset_of(const LocationConf*)
{
    return NGX_HTTP_LOC_CONF_OFFSET;
}

template <class Record>
ngx_command_t command(const Row<Record>& row, ngx_uint_t context)
{
    return {name_of(row.name), context | row.type.arguments, set_row<Record>,
        offset_of(static_cast<const Record*>(nullptr)), 0,
        const_cast<Row<Record>*>(&row)};
}

template <class Next, class Rows>
Next add(Next next, const Rows& rows, ngx_uint_t context)
{
    return std::transform(std::begin(rows), std::end(rows), next,
        [&](const auto& row) { return command(row, context); });
}

constexpr auto own_count = std::size(block_rows) + std::size(repeatable_rows) +
    std::size(http_rows) + std::size(inherited_rows) +
    std::size(limitable_rows);

constexpr auto compatible_count = std::size(compatible_repeatable_rows) +
    std::size(compatible_ignored_rows) + std::size(compatible_limitable_rows);

std::array<ngx_command_t, compatible_count> compatible_commands()
{
    std::array<ngx_command_t, compatible_count> list{};
    auto next = add(list.begin(), compatible_repeatable_rows, in_http);
    next = add(next, compatible_ignored_rows, limitable);
    add(next, compatible_limitable_rows, limitable);
    return list;
}

// Ends with an empty command.
using Commands = std::array<ngx_command_t, own_count + compatible_count + 1>;

Commands make_commands()
{
    Commands list{};
    auto next = add(list.begin(), block_rows, in_http);
    next = add(next, repeatable_rows, in_http);
    next = add(next, http_rows, in_http);
    next = add(next, inherited_rows, inheritable);
    next = add(next, limitable_rows, limitable);
    std::ranges::copy(compatible_commands(), next);
    return list;
}

Commands all_commands = make_commands();

bool has_command(const ngx_module_t& module, std::string_view name)
{
    auto command = module.commands;
    while (command != nullptr && command->name.len > 0 &&
        view(command->name) != name) {
        command++;
    }
    return command != nullptr && command->name.len > 0;
}

bool is_elsewhere(const ngx_conf_t* cf, std::string_view name)
{
    for (auto module = cf->cycle->modules; *module != nullptr; module++) {
        if (*module != &ngx_http_oidc_module &&
            (*module)->type == NGX_HTTP_MODULE && has_command(**module, name)) {
            return true;
        }
    }
    return false;
}

}

void leave_names_to_their_modules(const ngx_conf_t* cf)
{
    auto next = all_commands.begin() + own_count;
    for (const auto& command : compatible_commands()) {
        if (!is_elsewhere(cf, view(command.name))) {
            *next++ = command;
        }
    }
    *next = {};
}

std::span<const Row<MainConf>> main_rows()
{
    return http_rows;
}

std::span<const Row<LocationConf>> location_rows()
{
    return inherited_rows;
}

std::span<const Row<LocationConf>> access_rows()
{
    return limitable_rows;
}

// The address is known before the commands are made.
constinit ngx_command_t* const commands = all_commands.data();

}
