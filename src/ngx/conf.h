// Configuration records: what the directives say, and what is made of it once
// all of it is read. Nothing here belongs to a request.
#pragma once

#include "ngx/exchange.h"
#include "ngx/lookup.h"
#include "ngx/names.h"
#include "ngx/ngx.h"
#include "ngx/zone.h"
#include "oidc/provider.h"

#include <string>
#include <vector>

namespace ngx {

// Where a directive stands, for what is found out only later.
struct Position {
    ngx_str_t file = ngx_null_string;
    ngx_uint_t line = 0;
};

Position position(const ngx_conf_t* cf);

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
    ngx_str_t session_key;
    time_t session_timeout;
    ngx_array_t* session_claims;
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

struct ProviderConf : ProviderFields {
    ProviderConf();

    std::string name;
    oidc::Client client; // moved into `provider` once the keys are known
    std::vector<oidc::Secret> session_keys; // empty: the zone's
    std::string callback_path;

    oidc::Provider provider;
    Outlet outlet;
    Zone* zone = nullptr;
    Lookup metadata{*this, oidc::Part::metadata};
    Lookup keys{*this, oidc::Part::keys};

    Lookup& lookup(oidc::Part part)
    {
        return part == oidc::Part::metadata ? metadata : keys;
    }
};

struct MainConf {
    std::vector<ProviderConf*> providers;
    std::size_t zone_size = 0;
    Zone* zone = nullptr;
    Names names;
    SystemTrust system_trust;

    ProviderConf* find(std::string_view name) const;
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
};

struct LocationConf : LocationFields {
    LocationConf();

    Position position;                // of auth_oidc
    ProviderConf* provider = nullptr; // where its name holds no variable
    bool on = false;
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

extern ngx_command_t commands[];

}
