// The same as commands of Redis: a session is a string that expires, so is a
// revocation, and what is taken once is set where nobody has set it.
#include "store/store.h"

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

constexpr std::string_view ended = "="; // what no owner's name begins with
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

// What Redis says to such a command; nothing else may pass for a yes, or a no.
bool answers(const RedisReply& reply, const RedisCommand& command)
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

// GET of the session, if one was asked for, then one of each key.
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

Zone::Acquisition read_acquisition(
    const std::vector<RedisReply>& replies, std::string_view owner)
{
    const auto& value = replies[1].text;
    if (is_text(replies[1]) && value == owner) {
        return {Zone::Standing::ours, {}};
    }
    if (!is_text(replies[1]) || !value.starts_with(ended)) {
        return {Zone::Standing::busy, {}};
    }
    return {Zone::Standing::ended, value.substr(ended.size())};
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

}

std::string RedisStore::key(std::string_view kind, std::string_view id) const
{
    return prefix_ + std::string(kind) + ":" + oidc::base64url(id);
}

void RedisStore::ask(ngx_http_request_t* r,
    const std::vector<RedisCommand>& commands,
    std::function<void(Replies)> done)
{
    auto rc = ask_redis(r, server_, commands, Exchange::Manner::waited,
        [this, commands, done = std::move(done)](Replies replies) {
            if (replies) {
                replies = judge(commands, std::move(*replies));
            }
            done(std::move(replies));
        });
    if (rc != NGX_OK) {
        throw std::runtime_error("could not start a subrequest");
    }
}

// A command that the server refuses: out of memory, without the right to it,
// on a replica. The first word is Redis's own and says which.
RedisStore::Replies RedisStore::judge(const std::vector<RedisCommand>& commands,
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
        if (!answers(reply, commands[i])) {
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
        if (idle_timeout_ > 0s) {
            commands.push_back(
                {"PEXPIRE", session, in_milliseconds(idle_timeout_)});
        }
    }
    for (const auto& revocation : step.revocation_keys) {
        commands.push_back({"GET", key("revoked", revocation)});
    }
    ask(r, commands, [step, done = std::move(done)](Replies replies) {
        if (replies) {
            done(read_loaded(*replies, step));
        } else {
            done(std::move(replies).error());
        }
    });
    return {};
}

// With the session the record of its sid is there, revoked at no time: anybody
// can move what is there, but nobody fill the server with more.
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
    ask(r, commands, pass_on(std::move(done)));
    return {};
}

std::optional<Check> RedisStore::drop(
    ngx_http_request_t* r, const oidc::Drop& step, Done<Check> done)
{
    ask(r, {{"DEL", key("session", step.key)}}, pass_on(std::move(done)));
    return {};
}

std::optional<Store::ClockTime> RedisStore::read_clock(
    ngx_http_request_t* r, Done<ClockTime> done)
{
    ask(r, {{"TIME"}}, [done = std::move(done)](Replies replies) {
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
    ask(r, {std::move(command)}, pass_on(std::move(done)));
    return {};
}

// Acquired is what nobody has set before, by a name of one's own, since a
// command may be repeated whose answer was lost; an owner that dies is waited
// for no longer than a request waits.
std::optional<Store::Acquisition> RedisStore::acquire(
    ngx_http_request_t* r, const oidc::Acquire& step, Done<Acquisition> done)
{
    constexpr Seconds max_flow = 30s;
    auto name = key("once", step.id);
    auto owner = oidc::base64url(oidc::random_bytes(owner_size));
    ask(r,
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
    tell(r,
        {"SET", key("once", step.id), std::string(ended) + result, "PX",
            in_milliseconds(keep)});
}

// Beside the request, whose answer need not wait, nor the client's next one.
void RedisStore::tell(ngx_http_request_t* r, RedisCommand command)
{
    r->keepalive = 0;
    ask_redis(r, server_, {std::move(command)}, Exchange::Manner::background,
        [](const Replies&) {});
}

// What a dying request cannot say any more, time does.
void RedisStore::abandon(ngx_http_request_t* r, const oidc::Acquire& step)
{
    if (r != nullptr) {
        tell(r, {"DEL", key("once", step.id)});
    }
}

}
