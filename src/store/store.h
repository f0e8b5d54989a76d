// Keeps what outlives a request: sessions that cookies do not hold, locks, and
// records of revocations. A store is in this node's memory, or a server that
// several nodes share.
#pragma once

#include "flow/step.h"
#include "ngx/ngx.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace ngx {

// Who holds the lock of an id: this caller, another one that is still at work,
// nobody after a result, nobody without one.
enum class LockState : std::uint8_t { ours, busy, ended, abandoned };

struct Acquisition {
    LockState state;
    std::string result; // of the last holder, after `ended`
};

// How much longer a revocation record is kept than its sessions live: a renewal
// that runs meanwhile moves the end of its session by as long as it takes.
constexpr Seconds renewal_margin = 300s;

// Performs the steps of a flow that need a store. A call returns its result,
// or nothing where it has to wait; `done` gets the result then, at most once,
// while the request lives.
class Store {
public:
    virtual ~Store() = default;

    template <class T>
    using Done = std::function<void(T)>;

    using Loaded = oidc::Result<oidc::Loaded>;
    using ClockTime = oidc::Result<TimeMs>;
    using Acquisition = oidc::Result<ngx::Acquisition>;

    // True: every call returns its result at once, and uses neither the request
    // nor `done`, so that reading a variable may load a session.
    virtual bool is_immediate() const = 0;

    // The longest pause in ms between two attempts to acquire a busy id. The
    // pause begins at 50 ms and doubles.
    virtual ngx_msec_t max_pause() const = 0;

    // The memory or server behind it. Stores with the same backend share their
    // revocation records, and fail together.
    virtual const void* backend() const = 0;

    // False where no revocation is recorded; true where that is not known.
    virtual bool may_have_revocations() const { return true; }

    virtual std::optional<Loaded> load(
        ngx_http_request_t* r, const oidc::Load& step, Done<Loaded> done) = 0;
    virtual std::optional<oidc::Check> save(ngx_http_request_t* r,
        const oidc::Save& step, Done<oidc::Check> done) = 0;
    virtual std::optional<oidc::Check> drop(ngx_http_request_t* r,
        const oidc::Drop& step, Done<oidc::Check> done) = 0;
    virtual std::optional<ClockTime> read_clock(
        ngx_http_request_t* r, Done<ClockTime> done) = 0;
    virtual std::optional<oidc::Check> revoke(ngx_http_request_t* r,
        const oidc::Revoke& step, Done<oidc::Check> done) = 0;
    virtual std::optional<Acquisition> acquire(ngx_http_request_t* r,
        const oidc::Acquire& step, Done<Acquisition> done) = 0;

    // Keeps these revocation records where others could evict them.
    virtual void pin(const oidc::Pin& step) = 0;

    // Releases a lock. Callers that acquire the id within `keep` get the
    // result.
    virtual void finish(ngx_http_request_t* r, const oidc::Acquire& step,
        const std::string& result, Seconds keep) = 0;

    // Releases a lock without a result. The request is null where it is being
    // destroyed.
    virtual void abandon(ngx_http_request_t* r, const oidc::Acquire& step) = 0;

    // For an immediate store.
    Loaded load_now(const oidc::Load& step) { return *load(nullptr, step, {}); }
};

}
