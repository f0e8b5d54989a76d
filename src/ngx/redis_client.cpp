#include "ngx/redis_client.h"

#include "core/encoding.h"

#include <algorithm>

namespace ngx {
namespace {

using oidc::Error;
using oidc::ExchangeCodes;
using oidc::RedisCommand;
using oidc::RedisReply;

constexpr ngx_msec_t idle_timeout = 60 * 1000;

// Also of a busy connection: the host name may lead to another server by now.
constexpr ngx_msec_t max_age = 3600 * 1000;

void close(ngx_connection_t* c)
{
    if (c->ssl != nullptr) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;
        (void)ngx_ssl_shutdown(c); // does not wait, as nothing is sent
    }
    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}

// No unsolicited data or EOF is pending.
bool is_idle(ngx_connection_t* c)
{
    if (c->ssl != nullptr && SSL_pending(c->ssl->connection) > 0) {
        return false;
    }
    char byte;
    return recv(c->fd, &byte, 1, MSG_PEEK) == -1 &&
        ngx_socket_errno == NGX_EAGAIN;
}

void set_log(ngx_connection_t* c, ngx_log_t* log)
{
    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->pool->log = log;
}

}

std::optional<IdleConnections::Idle> IdleConnections::take(
    ngx_log_t* log) noexcept
{
    while (!idle_.empty()) {
        auto idle = idle_.back();
        auto c = idle.connection;
        idle_.pop_back();
        if (!is_idle(c)) {
            close(c);
            continue;
        }
        if (c->read->timer_set) {
            ngx_del_timer(c->read);
        }
        c->idle = 0;
        c->sent = 0;
        set_log(c, log);
        return idle;
    }
    return {};
}

void IdleConnections::keep(
    ngx_connection_t* c, const ngx_addr_t* address) noexcept
{
    if (idle_.size() == max_idle) {
        close(idle_.front().connection);
        idle_.erase(idle_.begin());
    }
    idle_.push_back({c, address});

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }
    ngx_add_timer(c->read, idle_timeout);
    c->data = this;
    c->write->handler = ignore;
    c->read->handler = watch;
    c->idle = 1; // nginx closes it when the worker quits
    set_log(c, ngx_cycle->log);

    if (c->read->ready) {
        watch(c->read);
    }
}

void IdleConnections::ignore(ngx_event_t*) {}

void IdleConnections::watch(ngx_event_t* event)
{
    auto c = static_cast<ngx_connection_t*>(event->data);
    auto& idle = static_cast<IdleConnections*>(c->data)->idle_;

    if (!c->close && !event->timedout && is_idle(c)) {
        event->ready = 0;
        if (ngx_handle_read_event(event, 0) == NGX_OK) {
            return;
        }
    }
    std::erase_if(idle, [c](const Idle& one) { return one.connection == c; });
    close(c);
}

namespace {

class RedisExchange : public Exchange {
public:
    RedisExchange(RedisServer& server, std::vector<RedisCommand> commands,
        const ExchangeCodes& codes, RedisDone done) :
        Exchange(server.upstream_server),
        server_(server), commands_(std::move(commands)), codes_(codes),
        done_(std::move(done))
    {
    }

    static ngx_int_t init_peer(
        ngx_http_request_t* sr, ngx_http_upstream_srv_conf_t*);

protected:
    bool is_secure() const override { return server_.tls; }
    void set_peer(ngx_http_request_t* sr) override;
    bool is_post() const override { return false; }
    std::string request_bytes() const override;
    ngx_int_t read_head(ngx_http_request_t* sr) override;
    void restart() override;
    ngx_int_t read_body(
        ngx_http_request_t* sr, std::string_view bytes) override;
    void ended(End end) override;

private:
    static ngx_int_t get_peer(ngx_peer_connection_t* pc, void* data);
    static void free_peer(
        ngx_peer_connection_t* pc, void* data, ngx_uint_t state);

    void connect(ngx_peer_connection_t& pc);
    const ngx_addr_t* next_address();
    void set_request(bool is_new);
    bool may_be_kept(const ngx_connection_t* c) const;
    bool take_reply(RedisReply reply);
    bool is_complete() const;
    Error failure(End end) const;

    RedisServer& server_;
    std::vector<RedisCommand> commands_;
    ExchangeCodes codes_;
    RedisDone done_;

    ngx_http_upstream_t* upstream_ = nullptr;
    ngx_chain_t* request_ = nullptr;
    ngx_buf_t setup_{};
    ngx_chain_t request_with_setup_{};

    bool has_begun_ = false;        // a connection was tried
    std::optional<std::size_t> at_; // index of the address
    const ngx_addr_t* address_ = nullptr;

    oidc::RedisReader reader_;
    std::size_t setup_replies_ = 0; // still to come
    std::vector<RedisReply> replies_;
    std::string refusal_;
};

// The name was resolved with the configuration. init_peer() sets the addresses,
// the only place where nginx takes them.
void RedisExchange::set_peer(ngx_http_request_t* sr)
{
    sr->upstream->schema =
        copy(sr->pool, server_.tls ? "rediss://" : "redis://");
}

std::string RedisExchange::request_bytes() const
{
    return oidc::format_redis(commands_);
}

ngx_int_t RedisExchange::init_peer(
    ngx_http_request_t* sr, ngx_http_upstream_srv_conf_t*)
{
    auto self = static_cast<RedisExchange*>(of(sr));
    auto u = sr->upstream;
    self->upstream_ = u;
    self->request_ = u->request_bufs;

    u->peer.data = self;
    u->peer.get = get_peer;
    u->peer.free = free_peer;
    u->peer.tries = self->server_.addresses.size();
    return NGX_OK;
}

ngx_int_t RedisExchange::get_peer(ngx_peer_connection_t* pc, void* data)
{
    static_cast<RedisExchange*>(data)->connect(*pc);
    return pc->cached ? NGX_DONE : NGX_OK;
}

// One idle connection is tried at most: if it fails, the server has closed it,
// and perhaps the others, too.
void RedisExchange::connect(ngx_peer_connection_t& pc)
{
    std::optional<IdleConnections::Idle> kept;
    if (!has_begun_) {
        kept = server_.idle.take(pc.log);
    }
    has_begun_ = true;
    address_ = kept ? kept->address : next_address();
    set_request(!kept);

    pc.cached = kept.has_value();
    pc.connection = kept ? kept->connection : nullptr;
    pc.sockaddr = address_->sockaddr;
    pc.socklen = address_->socklen;
    pc.name = const_cast<ngx_str_t*>(&address_->name);
}

const ngx_addr_t* RedisExchange::next_address()
{
    at_ = (at_ ? *at_ + 1 : server_.first) % server_.addresses.size();
    return &server_.addresses[*at_];
}

// Puts the setup before the request for a new connection. nginx sends
// request_bufs from the beginning after it has chosen the peer.
void RedisExchange::set_request(bool is_new)
{
    setup_replies_ = is_new ? server_.setup_replies : 0;
    if (setup_replies_ == 0) {
        upstream_->request_bufs = request_;
        return;
    }
    auto text = server_.setup.reveal();
    auto bytes = reinterpret_cast<const u_char*>(text.data());
    setup_.memory = 1; // read-only
    setup_.start = setup_.pos = const_cast<u_char*>(bytes);
    setup_.end = setup_.last = setup_.start + text.size();
    request_with_setup_ = {&setup_, request_};
    upstream_->request_bufs = &request_with_setup_;
}

void RedisExchange::free_peer(
    ngx_peer_connection_t* pc, void* data, ngx_uint_t state)
{
    auto self = static_cast<RedisExchange*>(data);
    auto& server = self->server_;

    if (pc->tries > 0) {
        pc->tries--;
    }
    if ((state & NGX_PEER_FAILED) != 0) {
        if (!pc->cached) {
            server.first = (*self->at_ + 1) % server.addresses.size();
        }
        return;
    }
    if (pc->connection != nullptr && self->may_be_kept(pc->connection) &&
        ngx_handle_read_event(pc->connection->read, 0) == NGX_OK) {
        server.idle.keep(pc->connection, self->address_);
        pc->connection = nullptr;
    }
}

// A server that responds with an error may be the wrong one by now, or about to
// close the connection: the next request gets a new one.
bool RedisExchange::may_be_kept(const ngx_connection_t* c) const
{
    auto is_error = [](const RedisReply& reply) {
        return reply.kind == RedisReply::Kind::error;
    };
    return is_complete() && upstream_->request_body_sent && c->buffered == 0 &&
        std::none_of(replies_.begin(), replies_.end(), is_error) &&
        !c->read->eof && !c->read->error && !c->read->timedout &&
        !c->write->error && !c->write->timedout &&
        ngx_current_msec - c->start_time < max_age && !ngx_exiting &&
        !ngx_terminate;
}

// A Redis response has no head.
ngx_int_t RedisExchange::read_head(ngx_http_request_t* sr)
{
    sr->upstream->headers_in.status_n = NGX_HTTP_OK;
    return NGX_OK;
}

void RedisExchange::restart()
{
    reader_ = oidc::RedisReader();
    replies_.clear();
}

ngx_int_t RedisExchange::read_body(
    ngx_http_request_t* sr, std::string_view bytes)
{
    auto is_valid = reader_.feed(bytes);
    while (auto reply = reader_.next()) {
        if (!take_reply(std::move(*reply))) {
            return NGX_ERROR;
        }
    }
    if (!is_valid) {
        return NGX_ERROR;
    }
    if (replies_.size() == commands_.size()) {
        if (!is_complete()) {
            return NGX_ERROR;
        }
        sr->upstream->length = 0;
    }
    return NGX_OK;
}

// False for a reply that ends the exchange.
bool RedisExchange::take_reply(RedisReply reply)
{
    if (setup_replies_ == 0) {
        replies_.push_back(std::move(reply));
        return replies_.size() <= commands_.size();
    }
    setup_replies_--;
    if (reply.kind == RedisReply::Kind::error) {
        // The rest may contain the user's name.
        refusal_ = reply.text.substr(0, reply.text.find(' '));
    }
    return reply.kind == RedisReply::Kind::status;
}

bool RedisExchange::is_complete() const
{
    return replies_.size() == commands_.size() && reader_.is_empty();
}

void RedisExchange::ended(End end)
{
    auto done = std::move(done_);
    if (end == End::complete && is_complete()) {
        done(std::move(replies_));
    } else {
        done(failure(end));
    }
}

Error RedisExchange::failure(End end) const
{
    auto name = oidc::quoted(server_.name);

    if (!refusal_.empty()) {
        return {codes_.malformed,
            "store " + name + " refused the connection, " +
                oidc::quoted(refusal_)};
    }
    if (end == End::timeout) {
        return {codes_.timeout, "store did not respond in time at " + name};
    }
    if (end == End::unreachable) {
        return {codes_.unreachable,
            "store could not be reached at " + name + refused_certificate()};
    }
    return {codes_.malformed, "store sent an invalid response at " + name};
}

std::string authority_of(const std::string& host, in_port_t port)
{
    auto needs_brackets = host.find(':') != host.npos && !host.starts_with('[');
    return (needs_brackets ? "[" + host + "]" : host) + ":" +
        std::to_string(port);
}

// Redis `nopass` users accept any password, so an empty one is sent.
std::vector<RedisCommand> setup_of(const RedisServer& server)
{
    std::vector<RedisCommand> commands;
    std::string password(server.password.reveal());
    if (!server.username.empty()) {
        commands.push_back({"AUTH", server.username, password});
    } else if (!password.empty()) {
        commands.push_back({"AUTH", password});
    }
    if (server.database > 0) {
        commands.push_back({"SELECT", std::to_string(server.database)});
    }
    return commands;
}

bool resolve(ngx_conf_t* cf, RedisServer& server)
{
    ngx_url_t url{};
    url.url = copy(cf->pool, server.name);
    if (ngx_parse_url(cf->pool, &url) != NGX_OK) {
        if (url.err != nullptr) {
            ngx_conf_log_error(
                NGX_LOG_EMERG, cf, 0, "%s in store \"%V\"", url.err, &url.url);
        }
        return false;
    }
    server.addresses = {url.addrs, url.naddrs};
    return true;
}

}

bool configure_redis(ngx_conf_t* cf, RedisServer& server)
{
    auto setup = setup_of(server);
    server.setup = oidc::Secret(oidc::format_redis(setup));
    server.setup_replies = setup.size();
    server.name = authority_of(server.host, server.port);

    // nginx takes the peer and the name in the certificate from it. It is not
    // in the list of upstreams, where the configuration could refer to it.
    auto upstream = allocate<ngx_http_upstream_srv_conf_t>(cf->pool);
    upstream->host = copy(cf->pool, server.host);
    upstream->port = server.port;
    upstream->peer.init = RedisExchange::init_peer;

    configure_upstream_server(cf, server.upstream_server);
    server.upstream_server.upstream.upstream = upstream;
    return resolve(cf, server);
}

ngx_int_t send_redis(ngx_http_request_t* r, RedisServer& server,
    std::vector<RedisCommand> commands, Exchange::Manner manner,
    const ExchangeCodes& codes, RedisDone done)
{
    if (commands.empty()) {
        return NGX_ERROR;
    }
    auto exchange = make<RedisExchange>(
        r->pool, server, std::move(commands), codes, std::move(done));
    return exchange->begin(r, manner);
}

}
