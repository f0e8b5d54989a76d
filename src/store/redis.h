// The store in Redis, or Valkey, which all nodes that name it share.
#pragma once

#include "ngx/redis_client.h"
#include "store/store.h"
#include "store/store_type.h"

#include <string>
#include <vector>

namespace ngx {

class RedisStore : public Store {
public:
    RedisStore(RedisServer& server, std::string prefix, Seconds idle_timeout) :
        server_(server), prefix_(std::move(prefix)), idle_timeout_(idle_timeout)
    {
    }

    bool is_immediate() const override { return false; }

    // Each attempt takes memory of the request.
    ngx_msec_t max_pause() const override { return 1000; }

    const void* backend() const override { return &server_; }

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
    void pin(const oidc::Pin&) override {} // not evicted by others
    void finish(ngx_http_request_t* r, const oidc::Acquire& step,
        const std::string& result, Seconds keep) override;
    void abandon(ngx_http_request_t* r, const oidc::Acquire& step) override;

private:
    using Replies = oidc::Result<std::vector<oidc::RedisReply>>;

    std::string key(std::string_view kind, std::string_view id) const;
    void send(ngx_http_request_t* r,
        const std::vector<oidc::RedisCommand>& commands,
        std::function<void(Replies)> done);
    void send_in_background(ngx_http_request_t* r, oidc::RedisCommand command);
    Replies check(const std::vector<oidc::RedisCommand>& commands,
        std::vector<oidc::RedisReply> replies) const;

    RedisServer& server_;
    std::string prefix_;
    Seconds idle_timeout_;
};

extern const StoreType redis_type;

}
