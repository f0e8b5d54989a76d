// Configuration records: the settings, and what is made of them once all of
// nginx.conf is read. Nothing here belongs to a request.
#pragma once

#include "conf/limit.h"
#include "conf/requirement.h"
#include "conf/rows.h"
#include "ngx/exchange.h"
#include "ngx/ngx.h"
#include "ngx/resolver.h"
#include "oidc/client.h"
#include "store/store.h"
#include "store/store_type.h"
#include "store/zone.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ngx {

// The directives of an oidc_provider block whose value is not yet one of the
// client.
struct ProviderSettings {
    ngx_str_t client_secret_file = ngx_null_string;
    ngx_str_t client_key = ngx_null_string;
    ngx_str_t client_certificate = ngx_null_string;
    ngx_str_t client_certificate_key = ngx_null_string;
    ngx_http_complex_value_t* extra_auth_args = nullptr;
    ngx_str_t code_challenge_method = ngx_null_string;
    ngx_str_t session_store = ngx_null_string;
    ngx_str_t session_key = ngx_null_string;
    std::vector<std::string> session_claims;
    std::optional<Seconds> session_max_lifetime; // 0: off
    std::optional<Seconds> token_refresh;        // 0: off; null: auto
    ngx_str_t ssl_trusted_certificate = ngx_null_string;
    ngx_str_t ssl_crl = ngx_null_string;
    ngx_uint_t ssl_verify_depth = 0;
    ngx_msec_t connect_timeout = 0;
    ngx_msec_t read_timeout = 0;
};

struct StoreConf : StoreFields {
    std::string name;
    Positions positions;
    MakeStore make;
};

struct ProviderConf {
    std::string name;
    std::size_t index = 0; // in MainConf::providers
    Positions positions;
    ProviderSettings settings;
    oidc::Client client;
    std::vector<oidc::Secret> session_keys; // empty: the zone's
    std::string callback_path;
    UpstreamServer upstream_server;
    MakeStore make_store;
};

// Rows of the block set members of the client and of the settings.
template <class T>
T& at(ProviderConf& conf, T ProviderSettings::*member)
{
    return conf.settings.*member;
}

template <class T>
T& at(ProviderConf& conf, T oidc::Client::*member)
{
    return conf.client.*member;
}

template <class T>
T& at(ProviderConf& conf, T oidc::Endpoints::*member)
{
    return conf.client.endpoints.*member;
}

struct MainConf {
    Positions positions;
    std::vector<ProviderConf*> providers;
    std::vector<StoreConf*> stores;
    std::vector<std::string> claim_paths; // of the variables of oidc_claim_set
    bool has_requirements = false;        // an auth_oidc_require anywhere
    MakeStore automatic; // of "session_store auto"; null: not needed yet
    std::size_t zone_size = 0;
    Zone* zone = nullptr;
    std::vector<std::string> remote_user_claims;
    const ngx_http_variable_t* remote_user = nullptr; // null: not taken over
    Names names;
    SystemTrust system_trust;

    ProviderConf* find(std::string_view name) const;
    StoreConf* find_store(std::string_view name) const;
};

// The providers whose callbacks a server answers.
struct ServerConf {
    std::vector<ProviderConf*> providers;
    std::vector<ProviderConf*> named; // by an auth_oidc without variables
};

enum class Mode { require, verify, off };

struct LocationConf {
    Positions positions;

    ngx_http_complex_value_t* auth_oidc = nullptr; // null: off
    Mode mode = Mode::require;
    ngx_http_complex_value_t* base_url = nullptr;
    const Limit* limit = nullptr;
    Requirements requirements;
    std::string remote_user; // a claim, or "off"

    bool shows_claim() const { return remote_user != "off"; }
    bool has(Mode that) const { return mode == that; }

    Position position;                // of auth_oidc
    ProviderConf* provider = nullptr; // if its name has no variable
    bool is_set = false;              // auth_oidc, here or at an outer level
    bool on = false;
};

template <>
struct ConfRecord<MainConf> {
    static constexpr ConfPlace place{&ngx_http_oidc_module, ConfPlace::main};
};

template <>
struct ConfRecord<ServerConf> {
    static constexpr ConfPlace place{&ngx_http_oidc_module, ConfPlace::server};
};

template <>
struct ConfRecord<LocationConf> {
    static constexpr ConfPlace place{
        &ngx_http_oidc_module, ConfPlace::location};
};

char* init_main_conf(ngx_conf_t* cf, void* conf);
void* create_server_conf(ngx_conf_t* cf);
void* create_location_conf(ngx_conf_t* cf);
char* merge_location_conf(ngx_conf_t* cf, void* parent, void* child);

// After all of the configuration: what its sessions must contain. (needs.cpp)
void find_needs(ngx_conf_t* cf, MainConf& conf);

// Checks an oidc_provider at the end of its block and completes it. Throws
// Invalid. (provider.cpp)
char* complete_provider(ngx_conf_t* cf, ProviderConf& conf);

// The same of an oidc_session_store. (session_store.cpp)
char* complete_store(ngx_conf_t* cf, StoreConf& conf);

// Warns of values that are usually mistakes. (mistakes.cpp)
void warn_of_mistakes(ngx_conf_t* cf, const ProviderConf& conf);

// Finds the store of a provider: the named one, or that of "auto".
char* choose_store(ngx_conf_t* cf, MainConf& main, ProviderConf& conf);

// Throws Invalid for a name that no store can have. (session_store.cpp)
void check_store_name(
    const MainConf& main, const std::string& name, std::string_view directive);

// Setters of directives that can be repeated. (claim_variable.cpp,
// compatibility.cpp)
char* set_claim_variable(ngx_conf_t* cf, ngx_command_t* command, void* conf);
char* set_keyval_zone(ngx_conf_t* cf, ngx_command_t* command, void* conf);
char* check_auth_jwt(ngx_conf_t* cf, ngx_command_t* command, void* conf);

// Shows the claim at a claim_path(), an ngx_str_t. (module/variables.cpp)
ngx_int_t show_claim(
    ngx_http_request_t* r, ngx_http_variable_value_t* value, uintptr_t path);

// The rows of directives.cpp whose defaults are set in init and merge.
std::span<const Row<MainConf>> main_rows();
std::span<const Row<LocationConf>> location_rows();
std::span<const Row<LocationConf>> access_rows();

extern ngx_command_t* const commands;

// Before http is read: the names of directives of other modules stay in the
// commands only where no loaded module has them.
void leave_names_to_their_modules(const ngx_conf_t* cf);

}
