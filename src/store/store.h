// Where sessions are kept that cookies do not hold, and where it is noted what
// happens once and which sessions have ended before their time: in shared
// memory, or in Redis, for all nodes.
#pragma once

#include "flow/step.h"
#include "ngx/ngx.h"
#include "ngx/redis_client.h"
#include "store/shm_sessions.h"
#include "store/zone.h"

#include <functional>
#include <optional>
#include <string>

namespace ngx {

// By how long a revocation outlasts its time: a renewal that was under way
// moves the end of its session on by as much as it takes.
constexpr Seconds renewal_margin = 300s;

// Performs those steps of a flow. What is not there at once `done` gets: at
// most once, while the request lives.
class Store {
public:
    virtual ~Store() = default;

    template <class T>
    using Done = std::function<void(T)>;

    using Loaded = oidc::Result<oidc::Loaded>;
    using ClockTime = oidc::Result<TimeMs>;
    using Acquisition = oidc::Result<Zone::Acquisition>;

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

    // Where records of revocations may be pushed out by others: keeps these.
    virtual void pin(const oidc::Pin& step) = 0;

    // The end of what was acquired, with a result for those who ask for it
    // within `keep`.
    virtual void finish(ngx_http_request_t* r, const oidc::Acquire& step,
        const std::string& result, Seconds keep) = 0;

    // It will not come to an end; the request is null where it is torn down.
    virtual void abandon(ngx_http_request_t* r, const oidc::Acquire& step) = 0;
};

// In the shared memory of this node: all is there at once.
class LocalStore : public Store {
public:
    // Without a memory where the configuration keeps all sessions in cookies.
    // Idle sessions end after that time; 0: they do not.
    LocalStore(Zone& zone, MemoryStore* memory, Seconds idle_timeout) :
        zone_(zone), memory_(memory), idle_timeout_(idle_timeout)
    {
    }

    oidc::Loaded load(const oidc::Load& step);
    bool has_revocations() const { return zone_.has_revocations(); }

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

// In Redis, or Valkey: the same for all nodes that name it.
class RedisStore : public Store {
public:
    RedisStore(RedisServer& server, std::string prefix, Seconds idle_timeout) :
        server_(server), prefix_(std::move(prefix)), idle_timeout_(idle_timeout)
    {
    }

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
    void pin(const oidc::Pin&) override {} // Redis pushes nothing out
    void finish(ngx_http_request_t* r, const oidc::Acquire& step,
        const std::string& result, Seconds keep) override;
    void abandon(ngx_http_request_t* r, const oidc::Acquire& step) override;

private:
    using Replies = oidc::Result<std::vector<oidc::RedisReply>>;

    std::string key(std::string_view kind, std::string_view id) const;
    void ask(ngx_http_request_t* r,
        const std::vector<oidc::RedisCommand>& commands,
        std::function<void(Replies)> done);
    void tell(ngx_http_request_t* r, oidc::RedisCommand command);
    Replies judge(const std::vector<oidc::RedisCommand>& commands,
        std::vector<oidc::RedisReply> replies) const;

    RedisServer& server_;
    std::string prefix_;
    Seconds idle_timeout_;
};

}
