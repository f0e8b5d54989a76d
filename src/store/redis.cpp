// A session is a string that expires, and so is a revocation record. A lock is
// a string that is set where there is none.
#include "store/redis.h"

#include "core/encoding.h"
#include "store/redis_scripts.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace ngx {
namespace {

using oidc::Check;
using oidc::Errc;
using oidc::Error;
using oidc::RedisCommand;
using oidc::RedisReply;

constexpr std::string_view ended = "="; // no owner's name begins with it
constexpr std::size_t owner_size = 12;  // random bytes

std::string in_milliseconds(Seconds time)
{
    return std::to_string(Milliseconds(std::max(time, 1s)).count());
}

std::int64_t number_of(std::string_view text)
{
    std::int64_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

bool is_text(const RedisReply& reply)
{
    return reply.kind == RedisReply::Kind::text;
}

// Whether a reply has the kind that Redis sends to such a command. Any other
// must not pass for success or for an absent key.
bool is_reply_to(const RedisCommand& command, const RedisReply& reply)
{
    using Kind = RedisReply::Kind;
    const auto& name = command.front();
    if (name == "GET") {
        return reply.kind == Kind::text || reply.kind == Kind::nil;
    }
    if (name == "TIME") {
        return reply.list.size() == 2 && is_text(reply.list[0]) &&
            is_text(reply.list[1]);
    }
    if (name != "SET") {
        return reply.kind == Kind::integer;
    }
    auto is_conditional = std::any_of(command.begin() + 3, command.end(),
        [](const auto& word) { return word == "NX" || word == "XX"; });
    return (reply.kind == Kind::status && reply.text == "OK") ||
        (reply.kind == Kind::nil && is_conditional);
}

// The reply to the GET of the session, if there was one, is the first; those to
// the GETs of the revocation keys are the last.
oidc::Loaded read_loaded(
    const std::vector<RedisReply>& replies, const oidc::Load& step)
{
    oidc::Loaded loaded;
    auto first_key = replies.size() - step.revocation_keys.size();
    if (!step.key.empty() && is_text(replies.front())) {
        loaded.blob = replies.front().text;
    }
    for (auto i = first_key; i < replies.size(); i++) {
        if (is_text(replies[i])) {
            loaded.revoked_at = std::max(loaded.revoked_at,
                oidc::from_milliseconds(number_of(replies[i].text)));
        }
    }
    return loaded;
}

Acquisition read_acquisition(
    const std::vector<RedisReply>& replies, std::string_view owner)
{
    const auto& value = replies[1].text;
    if (is_text(replies[1]) && value == owner) {
        return {LockState::ours, {}};
    }
    if (!is_text(replies[1]) || !value.starts_with(ended)) {
        return {LockState::busy, {}};
    }
    return {LockState::ended, value.substr(ended.size())};
}

TimeMs read_time(const RedisReply& reply)
{
    return oidc::from_seconds(number_of(reply.list[0].text)) +
        Milliseconds(number_of(reply.list[1].text) / 1000);
}

std::function<void(oidc::Result<std::vector<RedisReply>>)> pass_on(
    Store::Done<Check> done)
{
    return [done = std::move(done)](auto replies) {
        done(replies ? Check(oidc::Ok{}) : Check(std::move(replies).error()));
    };
}

// Trusts the system's certificates unless the block names others.
bool set_trust(ngx_conf_t* cf, UpstreamServer& upstream_server,
    const StoreFields& fields, SystemTrust& system)
{
    constexpr ngx_uint_t depth = 5;
    if (fields.ssl_trusted_certificate.len > 0) {
        return trust_file(
            cf, upstream_server, fields.ssl_trusted_certificate, depth);
    }
    trust_system(upstream_server, system, depth);
    return true;
}

MakeStore configure(ngx_conf_t* cf, const std::string&,
    const StoreFields& fields, SystemTrust& system)
{
    auto server = make<RedisServer>(cf->pool);
    server->host = text(fields.hostname);
    server->port = static_cast<in_port_t>(fields.port);
    server->tls = fields.ssl;
    server->username = text(fields.username);
    server->password = oidc::Secret(text(fields.password));
    server->database = fields.database;
    server->upstream_server.upstream.connect_timeout = fields.connect_timeout;
    server->upstream_server.upstream.read_timeout = fields.command_timeout;
    if (!configure_redis(cf, *server) ||
        (server->tls &&
            !set_trust(cf, server->upstream_server, fields, system))) {
        return nullptr;
    }
    return [server, prefix = text(fields.prefix)](Zone&, Seconds idle) {
        return std::make_unique<RedisStore>(*server, prefix, idle);
    };
}

constexpr std::string_view directives[] = {"hostname", "port", "database",
    "username", "password", "ssl", "ssl_trusted_certificate", "prefix", "ttl",
    "connect_timeout", "command_timeout"};

}

constinit const StoreType redis_type{"Redis", 0, directives, configure};

std::string RedisStore::key(std::string_view kind, std::string_view id) const
{
    return prefix_ + std::string(kind) + ":" + oidc::base64url(id);
}

void RedisStore::send(ngx_http_request_t* r,
    const std::vector<RedisCommand>& commands,
    std::function<void(Replies)> done)
{
    auto rc = send_redis(r, server_, commands, Exchange::Manner::waited,
        oidc::store_failures,
        [this, commands, done = std::move(done)](Replies replies) {
            if (replies) {
                replies = check(commands, std::move(*replies));
            }
            done(std::move(replies));
        });
    if (rc != NGX_OK) {
        throw std::runtime_error("could not start a subrequest");
    }
}

// The server refuses a command where it is out of memory, the user may not use
// it, or it is a replica. The first word of the error says which.
RedisStore::Replies RedisStore::check(const std::vector<RedisCommand>& commands,
    std::vector<RedisReply> replies) const
{
    for (std::size_t i = 0; i < replies.size(); i++) {
        const auto& reply = replies[i];
        if (reply.kind == RedisReply::Kind::error) {
            auto word = reply.text.substr(0, reply.text.find(' '));
            return Error{Errc::store_answer,
                "store \"" + server_.name + "\" refused a command, " +
                    oidc::quoted(word)};
        }
        if (!is_reply_to(commands[i], reply)) {
            return Error{Errc::store_answer,
                "store sent an invalid response at \"" + server_.name + "\""};
        }
    }
    return replies;
}

std::optional<Store::Loaded> RedisStore::load(
    ngx_http_request_t* r, const oidc::Load& step, Done<Loaded> done)
{
    std::vector<RedisCommand> commands;
    if (!step.key.empty()) {
        auto session = key("session", step.key);
        commands.push_back({"GET", session});
        if (idle_timeout_ > Seconds()) {
            commands.push_back(
                {"PEXPIRE", session, in_milliseconds(idle_timeout_)});
        }
    }
    for (const auto& revocation : step.revocation_keys) {
        commands.push_back({"GET", key("revoked", revocation)});
    }
    send(r, commands, [step, done = std::move(done)](Replies replies) {
        if (replies) {
            done(read_loaded(*replies, step));
        } else {
            done(std::move(replies).error());
        }
    });
    return {};
}

// Creates the revocation record of the session's sid, too, not revoked yet. A
// revocation that anybody can cause changes existing records only, so that
// nobody can fill the server.
std::optional<Check> RedisStore::save(
    ngx_http_request_t* r, const oidc::Save& step, Done<Check> done)
{
    auto now = ngx::now();
    std::vector<RedisCommand> commands{{"SET", key("session", step.key),
        step.blob, "PX", in_milliseconds(step.until - now)}};
    if (!step.sid_key.empty()) {
        commands.push_back({"EVAL", prepare_script, "1",
            key("revoked", step.sid_key), in_milliseconds(step.ends - now)});
    }
    send(r, commands, pass_on(std::move(done)));
    return {};
}

std::optional<Check> RedisStore::drop(
    ngx_http_request_t* r, const oidc::Drop& step, Done<Check> done)
{
    send(r, {{"DEL", key("session", step.key)}}, pass_on(std::move(done)));
    return {};
}

std::optional<Store::ClockTime> RedisStore::read_clock(
    ngx_http_request_t* r, Done<ClockTime> done)
{
    send(r, {{"TIME"}}, [done = std::move(done)](Replies replies) {
        done(replies ? ClockTime(read_time(replies->front())) :
                       ClockTime(std::move(replies).error()));
    });
    return {};
}

std::optional<Check> RedisStore::revoke(
    ngx_http_request_t* r, const oidc::Revoke& step, Done<Check> done)
{
    RedisCommand command{
        "EVAL", revoke_script, std::to_string(step.keys.size())};
    for (const auto& revocation : step.keys) {
        command.push_back(key("revoked", revocation));
    }
    command.push_back(in_milliseconds(step.until + renewal_margin - now()));
    command.push_back(step.is_proven ? "all" : "known");
    command.push_back(std::to_string(oidc::to_milliseconds(step.least)));
    send(r, {std::move(command)}, pass_on(std::move(done)));
    return {};
}

// Each attempt has its own owner name: a command whose reply was lost may be
// sent again. The lock of a worker that died expires after `max_flow`.
std::optional<Store::Acquisition> RedisStore::acquire(
    ngx_http_request_t* r, const oidc::Acquire& step, Done<Acquisition> done)
{
    constexpr Seconds max_flow = 30s;
    auto name = key("once", step.id);
    auto owner = oidc::base64url(oidc::random_bytes(owner_size));
    send(r,
        {{"SET", name, owner, "NX", "PX", in_milliseconds(max_flow)},
            {"GET", name}},
        [owner, done = std::move(done)](Replies replies) {
            done(replies ? Acquisition(read_acquisition(*replies, owner)) :
                           Acquisition(std::move(replies).error()));
        });
    return {};
}

void RedisStore::finish(ngx_http_request_t* r, const oidc::Acquire& step,
    const std::string& result, Seconds keep)
{
    send_in_background(r,
        {"SET", key("once", step.id), std::string(ended) + result, "PX",
            in_milliseconds(keep)});
}

// The response does not wait for it. Without keepalive the client's next
// request does not either.
void RedisStore::send_in_background(ngx_http_request_t* r, RedisCommand command)
{
    r->keepalive = 0;
    send_redis(r, server_, {std::move(command)}, Exchange::Manner::background,
        oidc::store_failures, [](const Replies&) {});
}

// Where the request is being destroyed, the lock expires by itself.
void RedisStore::abandon(ngx_http_request_t* r, const oidc::Acquire& step)
{
    if (r != nullptr) {
        send_in_background(r, {"DEL", key("once", step.id)});
    }
}

}
