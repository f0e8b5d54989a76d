// Redis spoken over an exchange: commands out in one go, as many replies back.
// A connection greets once (AUTH, SELECT) and then serves one question after
// another.
#pragma once

#include "core/crypto.h"
#include "core/redis.h"
#include "core/result.h"
#include "ngx/exchange.h"

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ngx {

// Connections of this worker that have answered and wait for the next question.
class IdleConnections {
public:
    static constexpr std::size_t most = 32;

    struct Idle {
        ngx_connection_t* connection;
        const ngx_addr_t* address;
    };

    IdleConnections() { idle_.reserve(most); }
    IdleConnections(const IdleConnections&) = delete;
    IdleConnections& operator=(const IdleConnections&) = delete;

    // The one that was kept last, unless its server has closed it meanwhile.
    std::optional<Idle> take(ngx_log_t* log) noexcept;

    // The address outlives the connection. Where there are too many the oldest
    // one goes.
    void keep(ngx_connection_t* c, const ngx_addr_t* address) noexcept;

private:
    static void ignore(ngx_event_t* event);
    static void watch(ngx_event_t* event);

    std::vector<Idle> idle_;
};

// A server and how it is spoken to; lives with the configuration.
struct RedisServer {
    // What the operator says. Of the upstream_server: its connect_timeout and
    // its read_timeout, and after configure_redis() whom it trusts, if `tls`.
    UpstreamServer upstream_server;
    std::string host; // which the certificate must name, too
    in_port_t port = 6379;
    bool tls = false;
    std::string username;
    oidc::Secret password;
    ngx_uint_t database = 0;

    // What configure_redis() makes of it.
    std::string name; // host:port, for sentences in the log
    std::span<ngx_addr_t> addresses;
    oidc::Secret greeting; // what a new connection begins with
    std::size_t greetings = 0;

    // This worker's.
    IdleConnections idle;
    std::size_t first = 0; // of the addresses, to be tried first
};

// Resolves its name. False where that fails, which is logged.
bool configure_redis(ngx_conf_t* cf, RedisServer& server);

using RedisDone =
    std::function<void(oidc::Result<std::vector<oidc::RedisReply>>)>;

// Sends the commands, at least one, all of which may be repeated; and calls
// `done` at most once, while the request lives, with as many replies. A reply
// of kind error is one of them. It fails, rather than to call, with NGX_ERROR.
// store_unreachable, store_timeout; store_answer for a refused greeting, and
// for what is no bounded and complete answer.
ngx_int_t ask_redis(ngx_http_request_t* r, RedisServer& server,
    std::vector<oidc::RedisCommand> commands, Exchange::Manner manner,
    RedisDone done);

}
