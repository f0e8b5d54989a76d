// Redis over an exchange: sends pipelined commands and receives as many
// replies. A new connection is set up once (AUTH, SELECT) and then reused for
// one request after another.
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

// Idle connections of this worker, kept for the next requests.
class IdleConnections {
public:
    static constexpr std::size_t max_idle = 32;

    struct Idle {
        ngx_connection_t* connection;
        const ngx_addr_t* address;
    };

    IdleConnections() { idle_.reserve(max_idle); }
    IdleConnections(const IdleConnections&) = delete;
    IdleConnections& operator=(const IdleConnections&) = delete;

    // The last one kept that its server has not closed since.
    std::optional<Idle> take(ngx_log_t* log) noexcept;

    // The address outlives the connection. Beyond max_idle the oldest one is
    // closed.
    void keep(ngx_connection_t* c, const ngx_addr_t* address) noexcept;

private:
    static void ignore(ngx_event_t* event);
    static void watch(ngx_event_t* event);

    std::vector<Idle> idle_;
};

// A server and how to connect to it; lives as long as the configuration.
struct RedisServer {
    // From the configuration. Of upstream_server: connect_timeout and
    // read_timeout and, for `tls` after configure_redis(), the trusted
    // certificates.
    UpstreamServer upstream_server;
    std::string host; // also checked against the certificate
    in_port_t port = 6379;
    bool tls = false;
    std::string username;
    oidc::Secret password;
    ngx_uint_t database = 0;

    // Set by configure_redis().
    std::string name; // host:port, for log lines
    std::span<ngx_addr_t> addresses;
    oidc::Secret setup; // commands that a new connection sends first
    std::size_t setup_replies = 0;

    // State of this worker.
    IdleConnections idle;
    std::size_t first = 0; // index of the address to try first
};

// Resolves the host name. False if that fails, which is logged.
bool configure_redis(ngx_conf_t* cf, RedisServer& server);

using RedisDone =
    std::function<void(oidc::Result<std::vector<oidc::RedisReply>>)>;

// Sends the commands, one or more, all of which may be repeated, and calls
// `done` at most once, while `r` lives, with as many replies, also of kind
// error. NGX_ERROR if it cannot start; `done` is not called then. Fails with
// one of `codes`: malformed for a refused setup, and for a response that is not
// RESP2, incomplete, or too large.
ngx_int_t send_redis(ngx_http_request_t* r, RedisServer& server,
    std::vector<oidc::RedisCommand> commands, Exchange::Manner manner,
    const oidc::ExchangeCodes& codes, RedisDone done);

}
