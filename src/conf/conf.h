// Configuration records: what the directives say, and what is made of it once
// all of it is read. Nothing here belongs to a request.
#pragma once

#include "conf/limit.h"
#include "module/documents.h"
#include "ngx/exchange.h"
#include "ngx/ngx.h"
#include "ngx/resolver.h"
#include "oidc/provider.h"
#include "store/store.h"
#include "store/zone.h"

#include <string>
#include <vector>

namespace ngx {

// Where a directive stands, for what is found out only later.
struct Position {
    ngx_str_t file = ngx_null_string;
    ngx_uint_t line = 0;
};

Position position(const ngx_conf_t* cf);

// Values of token_refresh beside seconds.
constexpr ngx_uint_t refresh_off = static_cast<ngx_uint_t>(-2);
constexpr ngx_uint_t refresh_auto = static_cast<ngx_uint_t>(-3);

// A value of session_max_lifetime beside seconds.
constexpr time_t max_lifetime_off = -2;

// What nginx's own setters write into.
struct ProviderFields {
    ngx_str_t issuer;
    ngx_str_t client_id;
    ngx_str_t client_secret;
    ngx_str_t client_secret_file;
    ngx_uint_t client_auth;
    ngx_str_t client_key;
    ngx_str_t client_certificate;
    ngx_str_t client_certificate_key;
    ngx_str_t config_url;
    ngx_str_t authorization_endpoint;
    ngx_str_t token_endpoint;
    ngx_str_t userinfo_endpoint;
    ngx_str_t jwks_uri;
    ngx_str_t pushed_authorization_request_endpoint;
    ngx_str_t end_session_endpoint;
    ngx_str_t revocation_endpoint;
    ngx_str_t redirect_uri;
    ngx_array_t* scope;
    ngx_http_complex_value_t* extra_auth_args;
    ngx_flag_t pkce;
    ngx_uint_t code_challenge_method; // S256, in Angie's words
    ngx_uint_t response_mode;
    ngx_uint_t pushed_authorization;
    ngx_flag_t userinfo;
    ngx_str_t cookie_name;
    ngx_str_t cookie_domain;
    ngx_str_t cookie_path;
    ngx_uint_t cookie_samesite;
    ngx_flag_t cookie_partitioned;
    ngx_str_t session_store;
    ngx_str_t session_key;
    time_t session_timeout;
    time_t session_idle_timeout;
    time_t session_max_lifetime; // seconds, or max_lifetime_off
    ngx_array_t* session_claims;
    ngx_uint_t token_refresh; // seconds, or one of the two below
    ngx_str_t logout_uri;
    ngx_str_t post_logout_uri;
    ngx_flag_t logout_token_hint;
    ngx_str_t frontchannel_logout_uri;
    ngx_str_t backchannel_logout_uri;
    ngx_flag_t revoke_on_logout;
    time_t pre_auth_timeout;
    time_t clock_skew;
    ngx_array_t* id_token_alg;
    ngx_array_t* id_token_encrypted_alg;
    ngx_array_t* audience;
    ngx_str_t ssl_trusted_certificate;
    ngx_str_t ssl_crl;
    ngx_uint_t ssl_verify_depth;
    ngx_msec_t connect_timeout;
    ngx_msec_t read_timeout;
};

// oidc_session_store
struct StoreFields {
    ngx_uint_t type;
    ngx_str_t size;
    ngx_str_t hostname;
    ngx_uint_t port;
    ngx_uint_t database;
    ngx_str_t username;
    ngx_str_t password;
    ngx_flag_t ssl;
    ngx_str_t ssl_trusted_certificate;
    ngx_str_t prefix;
    ngx_msec_t connect_timeout;
    ngx_msec_t command_timeout;
};

enum class StoreType : ngx_uint_t { memory, redis };

struct StoreConf : StoreFields {
    StoreConf();

    std::string name;
    MemoryStore* memory = nullptr; // one of these two is there
    std::optional<RedisServer> redis;
    std::string key_prefix;
};

struct ProviderConf : ProviderFields {
    ProviderConf();

    std::string name;
    oidc::Client client; // moved into `provider` once the keys are known
    std::vector<oidc::Secret> session_keys; // empty: the zone's
    std::string callback_path;
    Position position; // of session_store

    oidc::Provider provider;
    UpstreamServer upstream_server;
    Zone* zone = nullptr;
    StoreConf* store_conf = nullptr; // null: all is kept in cookies
    std::optional<LocalStore> local;
    std::optional<RedisStore> redis;

    // The store of this provider first, then those of others with the same
    // issuer and client: a logout that the provider sends is for the sessions
    // of all.
    std::vector<Store*> revoking;

    Time refresh_from{}; // this worker; a moment after a failure
    Lookup metadata{*this, oidc::Part::metadata};
    Lookup keys{*this, oidc::Part::keys};

    Lookup& lookup(oidc::Part part)
    {
        return part == oidc::Part::metadata ? metadata : keys;
    }

    // For what a whole session needs; a login is a matter of this node.
    Store& store() { return redis ? static_cast<Store&>(*redis) : *local; }
};

struct MainConf {
    std::vector<ProviderConf*> providers;
    std::vector<StoreConf*> stores;
    StoreConf* automatic = nullptr; // of "session_store auto"
    std::size_t zone_size = 0;
    Zone* zone = nullptr;
    Names names;
    SystemTrust system_trust;

    ProviderConf* find(std::string_view name) const;
    StoreConf* find_store(std::string_view name) const;
};

// The providers whose callbacks a server answers.
struct ServerConf {
    std::vector<ProviderConf*> providers;
    std::vector<ProviderConf*> named; // those that no variable has chosen
};

enum class Mode : ngx_uint_t { require, verify, off };

struct LocationFields {
    ngx_http_complex_value_t* auth_oidc;
    ngx_uint_t mode;
    ngx_http_complex_value_t* base_url;
    const Limit* limit;
};

struct LocationConf : LocationFields {
    LocationConf();

    bool has(Mode that) const { return mode == static_cast<ngx_uint_t>(that); }

    Position position;                // of auth_oidc
    ProviderConf* provider = nullptr; // where its name holds no variable
    bool is_said = false;             // auth_oidc, here or further out
    bool on = false;
    bool has_warned = false; // of a request it did not protect; this worker
};

MainConf* main_conf(const ngx_http_request_t* r);
ServerConf* server_conf(const ngx_http_request_t* r);
LocationConf* location_conf(const ngx_http_request_t* r);

void* create_main_conf(ngx_conf_t* cf);
char* init_main_conf(ngx_conf_t* cf, void* conf);
void* create_server_conf(ngx_conf_t* cf);
void* create_location_conf(ngx_conf_t* cf);
char* merge_location_conf(ngx_conf_t* cf, void* parent, void* child);

// After all of the configuration: which claims does it use?
void find_needs(ngx_conf_t* cf, MainConf& conf);

// Once the zone is there: gives every provider its keys.
ngx_int_t init_module(ngx_cycle_t* cycle);

// Completes a provider at the end of its block, and says what is wrong with
// it. (provider.cpp of this folder.)
char* complete_provider(ngx_conf_t* cf, ProviderConf& conf);

// The same of a store, once it is known that there is a provider.
// (stores.cpp of this folder.)
char* complete_store(ngx_conf_t* cf, StoreConf& conf);

// Finds the store that a provider names, or the one that "auto" means.
char* choose_store(ngx_conf_t* cf, MainConf& main, ProviderConf& conf);

extern ngx_command_t commands[];

}
