#include "ngx/redis_client.h"

#include "core/encoding.h"

#include <algorithm>

namespace ngx {
namespace {

using oidc::Errc;
using oidc::Error;
using oidc::RedisCommand;
using oidc::RedisReply;

constexpr ngx_msec_t max_idleness = 60 * 1000;

// However busy it is: a name in front of several servers may have moved on.
constexpr ngx_msec_t max_age = 3600 * 1000;

void close(ngx_connection_t* c)
{
    if (c->ssl != nullptr) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;
        (void)ngx_ssl_shutdown(c); // never waits, having nothing to say
    }
    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}

// Nothing has come in that nobody asked for, its end among it.
bool is_quiet(ngx_connection_t* c)
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
        if (!is_quiet(c)) {
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
    if (idle_.size() == most) {
        close(idle_.front().connection);
        idle_.erase(idle_.begin());
    }
    idle_.push_back({c, address});

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }
    ngx_add_timer(c->read, max_idleness);
    c->data = this;
    c->write->handler = ignore;
    c->read->handler = watch;
    c->idle = 1; // nginx has it closed when the worker quits
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

    if (!c->close && !event->timedout && is_quiet(c)) {
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
        RedisDone done) :
        Exchange(server.upstream_server),
        server_(server), commands_(std::move(commands)), done_(std::move(done))
    {
    }

    static ngx_int_t init_peer(
        ngx_http_request_t* sr, ngx_http_upstream_srv_conf_t*);

protected:
    bool is_secure() const override { return server_.tls; }
    void set_peer(ngx_http_request_t* sr) override;
    bool is_post() const override { return false; }
    std::string question() const override;
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
    bool take(RedisReply reply);
    bool is_complete() const;
    Error failure(End end) const;

    RedisServer& server_;
    std::vector<RedisCommand> commands_;
    RedisDone done_;

    ngx_http_upstream_t* upstream_ = nullptr;
    ngx_chain_t* question_ = nullptr;
    ngx_buf_t greeting_{};
    ngx_chain_t greeted_question_{};

    bool has_begun_ = false;        // with a connection
    std::optional<std::size_t> at_; // of the addresses
    const ngx_addr_t* address_ = nullptr;

    oidc::RedisReader reader_;
    std::size_t greetings_ = 0; // yet to be answered
    std::vector<RedisReply> replies_;
    std::string refusal_;
};

// The name has been resolved with the configuration. The servers come from
// init_peer(), and only there can nginx be told.
void RedisExchange::set_peer(ngx_http_request_t* sr)
{
    sr->upstream->schema =
        copy(sr->pool, server_.tls ? "rediss://" : "redis://");
}

std::string RedisExchange::question() const
{
    return oidc::format_redis(commands_);
}

ngx_int_t RedisExchange::init_peer(
    ngx_http_request_t* sr, ngx_http_upstream_srv_conf_t*)
{
    auto self = static_cast<RedisExchange*>(of(sr));
    auto u = sr->upstream;
    self->upstream_ = u;
    self->question_ = u->request_bufs;

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

// A kept connection is tried once. Should it fail, then because it is stale,
// and so may the others be.
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

// Only now is it known what the connection has to be told. nginx sends what it
// finds here after it has chosen the peer, from the beginning.
void RedisExchange::set_request(bool is_new)
{
    greetings_ = is_new ? server_.greetings : 0;
    if (greetings_ == 0) {
        upstream_->request_bufs = question_;
        return;
    }
    auto text = server_.greeting.reveal();
    auto bytes = reinterpret_cast<const u_char*>(text.data());
    greeting_.memory = 1; // which is not written to
    greeting_.start = greeting_.pos = const_cast<u_char*>(bytes);
    greeting_.end = greeting_.last = greeting_.start + text.size();
    greeted_question_ = {&greeting_, question_};
    upstream_->request_bufs = &greeted_question_;
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

// A server that answers with an error may be the wrong one by now, or about to
// close: the next question is better put to a new connection.
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

// There is none: all of the answer is its body.
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
    auto is_sound = reader_.feed(bytes);
    while (auto reply = reader_.next()) {
        if (!take(std::move(*reply))) {
            return NGX_ERROR;
        }
    }
    if (!is_sound) {
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

// False for one that ends the conversation.
bool RedisExchange::take(RedisReply reply)
{
    if (greetings_ == 0) {
        replies_.push_back(std::move(reply));
        return replies_.size() <= commands_.size();
    }
    greetings_--;
    if (reply.kind == RedisReply::Kind::error) {
        // The rest of it may name the user.
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
        return {Errc::store_answer,
            "store " + name + " refused the connection, " +
                oidc::quoted(refusal_)};
    }
    if (end == End::timeout) {
        return {
            Errc::store_timeout, "store did not respond in time at " + name};
    }
    if (end == End::unreachable) {
        return {
            Errc::store_unreachable, "store could not be reached at " + name};
    }
    return {Errc::store_answer, "store sent an invalid response at " + name};
}

std::string join(const std::string& host, in_port_t port)
{
    auto is_bare = host.find(':') != host.npos && !host.starts_with('[');
    return (is_bare ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

// A user without a password is one that any password will do for.
std::vector<RedisCommand> greeting_of(const RedisServer& server)
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
    auto greeting = greeting_of(server);
    server.greeting = oidc::Secret(oidc::format_redis(greeting));
    server.greetings = greeting.size();
    server.name = join(server.host, server.port);

    // nginx asks it for the peer and for the name of the certificate. It is no
    // upstream that anything else could name.
    auto upstream = allocate<ngx_http_upstream_srv_conf_t>(cf->pool);
    upstream->host = copy(cf->pool, server.host);
    upstream->port = server.port;
    upstream->peer.init = RedisExchange::init_peer;

    configure_upstream_server(cf, server.upstream_server);
    server.upstream_server.upstream.upstream = upstream;
    return resolve(cf, server);
}

ngx_int_t ask_redis(ngx_http_request_t* r, RedisServer& server,
    std::vector<RedisCommand> commands, Exchange::Manner manner, RedisDone done)
{
    if (commands.empty()) {
        return NGX_ERROR;
    }
    auto exchange = make<RedisExchange>(
        r->pool, server, std::move(commands), std::move(done));
    return exchange->begin(r, manner);
}

}
