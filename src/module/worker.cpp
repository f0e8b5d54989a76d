#include "module/worker.h"

#include "store/local.h"

#include <algorithm>

namespace ngx {
namespace {

bool is_same_client(const ProviderState& one, const ProviderState& other)
{
    return one.client().issuer == other.client().issuer &&
        one.client().client_id == other.client().client_id;
}

void find_revoking(Worker& worker, ProviderState& state)
{
    std::vector<ProviderState*> found{&state};
    for (auto& other : worker.states) {
        auto is_known =
            std::any_of(found.begin(), found.end(), [&](auto known) {
                return known->store->backend() == other.store->backend();
            });
        if (is_same_client(state, other) && !is_known) {
            found.push_back(&other);
        }
    }
    for (auto other : found) {
        state.revoking.push_back(other->store.get());
    }
}

void start(Worker& worker)
{
    worker.zone->take_over();
    for (auto conf : worker.providers) {
        auto keys = std::move(conf->session_keys);
        if (keys.empty()) {
            keys.push_back(worker.zone->key());
        }
        conf->index = worker.states.size();
        worker.states.emplace_back(*conf, *worker.zone, keys);
    }
    for (auto& state : worker.states) {
        find_revoking(worker, state);
    }
}

}

ProviderState::ProviderState(
    ProviderConf& conf, Zone& zone, std::span<const oidc::Secret> keys) :
    conf(conf),
    zone(zone), provider(conf.client, keys), metadata(conf, zone),
    keys(conf, zone, metadata),
    store(conf.make_store(zone, conf.client.session_idle_timeout)),
    node(make_cookie_store()(zone, Seconds()))
{
}

Worker& worker(const ngx_http_request_t* r)
{
    return static_cast<Worker&>(conf_of<MainConf>(r));
}

ProviderState& state_of(const ngx_http_request_t* r, const ProviderConf& conf)
{
    return worker(r).states[conf.index];
}

void* create_worker(ngx_conf_t* cf)
{
    return guard(cf, nullptr, [cf] {
        MainConf* conf = make<Worker>(cf->pool);
        return conf;
    });
}

ngx_int_t start_worker(ngx_cycle_t* cycle)
{
    auto conf = conf_of<MainConf>(cycle);
    if (conf == nullptr || conf->zone == nullptr) {
        return NGX_OK;
    }
    return guard(cycle, NGX_ERROR, [conf] {
        start(static_cast<Worker&>(*conf));
        return NGX_OK;
    });
}

}
