// The store in the shared memory of this node: oidc_state_zone, and the
// sessions of a store of type memory.
#pragma once

#include "store/shm_sessions.h"
#include "store/store.h"
#include "store/store_type.h"
#include "store/zone.h"

namespace ngx {

class LocalStore : public Store {
public:
    // Without memory, sessions are in cookies alone. Idle sessions end after
    // that time; 0: they do not.
    LocalStore(Zone& zone, MemoryStore* memory, Seconds idle_timeout) :
        zone_(zone), memory_(memory), idle_timeout_(idle_timeout)
    {
    }

    bool is_immediate() const override { return true; }
    ngx_msec_t max_pause() const override { return 50; }
    const void* backend() const override { return &zone_; }
    bool may_have_revocations() const override;

    std::optional<Loaded> load(ngx_http_request_t* r, const oidc::Load& step,
        Done<Loaded> done) override;
    std::optional<oidc::Check> save(ngx_http_request_t* r,
        const oidc::Save& step, Done<oidc::Check> done) override;
    std::optional<oidc::Check> drop(ngx_http_request_t* r,
        const oidc::Drop& step, Done<oidc::Check> done) override;
    std::optional<ClockTime> read_clock(
        ngx_http_request_t* r, Done<ClockTime> done) override;
    std::optional<oidc::Check> revoke(ngx_http_request_t* r,
        const oidc::Revoke& step, Done<oidc::Check> done) override;
    std::optional<Acquisition> acquire(ngx_http_request_t* r,
        const oidc::Acquire& step, Done<Acquisition> done) override;
    void pin(const oidc::Pin& step) override;
    void finish(ngx_http_request_t* r, const oidc::Acquire& step,
        const std::string& result, Seconds keep) override;
    void abandon(ngx_http_request_t* r, const oidc::Acquire& step) override;

private:
    Zone& zone_;
    MemoryStore* memory_;
    Seconds idle_timeout_;
};

extern const StoreType memory_type;

// The store of a provider whose sessions are in cookies alone.
MakeStore make_cookie_store();

// At most so many sessions, 0: as many as fit, in a shared memory zone of that
// name. Null after a failure that is logged.
MakeStore make_memory_store(ngx_conf_t* cf, std::string_view zone_name,
    std::size_t size, std::size_t max_sessions);

}
