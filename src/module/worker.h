// The state of a worker while a configuration is in use: of each provider.
#pragma once

#include "conf/conf.h"
#include "module/documents.h"
#include "oidc/provider.h"
#include "store/store.h"
#include "store/zone.h"

#include <deque>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace ngx {

struct ProviderState {
    ProviderState(
        ProviderConf& conf, Zone& zone, std::span<const oidc::Secret> keys);

    const oidc::Client& client() const { return provider.client(); }
    const std::string& name() const { return conf.name; }

    ProviderConf& conf;
    Zone& zone;
    oidc::Provider provider;
    MetadataDocument metadata;
    KeysDocument keys;

    std::unique_ptr<Store> store;

    // The store of this node: for locks of logins, and for revocations from
    // before a session_store was named.
    std::unique_ptr<Store> node;

    // The store of this provider, then the others with the same issuer and
    // client: a logout that the provider sends ends the sessions of all.
    std::vector<Store*> revoking;

    oidc::Time refresh_not_before{}; // failure backoff
};

// The main configuration, with the state of this worker.
struct Worker : MainConf {
    std::deque<ProviderState> states; // in the order of `providers`

    // Locations whose unprotected responses have been warned of.
    std::set<const LocationConf*> has_warned;
};

Worker& worker(const ngx_http_request_t* r);
ProviderState& state_of(const ngx_http_request_t* r, const ProviderConf& conf);

void* create_worker(ngx_conf_t* cf);

// Makes the state of every provider. The zone must exist.
ngx_int_t start_worker(ngx_cycle_t* cycle);

}
