#include "store/local.h"

#include <algorithm>

namespace ngx {
namespace {

using oidc::Check;
using oidc::Errc;
using oidc::Error;

std::vector<std::string_view> views(const std::vector<std::string>& texts)
{
    return {texts.begin(), texts.end()};
}

MakeStore make_local_store(MemoryStore* memory)
{
    return [memory](Zone& zone, Seconds idle) {
        return std::make_unique<LocalStore>(zone, memory, idle);
    };
}

MakeStore configure(ngx_conf_t* cf, const std::string& name,
    const StoreFields& fields, SystemTrust&)
{
    auto size = fields.size;
    return make_memory_store(cf, "ngx_http_oidc_sessions_" + name,
        static_cast<std::size_t>(ngx_parse_size(&size)), fields.max_sessions);
}

// A prefix has no effect: nothing else is in the memory of a store.
constexpr std::string_view directives[] = {
    "size", "memory_max_size", "ttl", "prefix"};

}

constinit const StoreType memory_type{
    "", MemoryStore::min_size, directives, configure};

MakeStore make_cookie_store()
{
    return make_local_store(nullptr);
}

MakeStore make_memory_store(ngx_conf_t* cf, std::string_view zone_name,
    std::size_t size, std::size_t max_sessions)
{
    auto memory = MemoryStore::add(cf, zone_name, size, max_sessions);
    return memory != nullptr ? make_local_store(memory) : nullptr;
}

bool LocalStore::may_have_revocations() const
{
    return zone_.has_revocations();
}

std::optional<Store::Loaded> LocalStore::load(
    ngx_http_request_t*, const oidc::Load& step, Done<Loaded>)
{
    oidc::Loaded loaded;
    auto now = ngx::now();
    if (memory_ != nullptr && !step.key.empty()) {
        loaded.blob = memory_->load(step.key, now,
            idle_timeout_ > Seconds() ? now + idle_timeout_ : Time());
    }
    loaded.revoked_at = zone_.revoked_at(views(step.revocation_keys));
    return Loaded(std::move(loaded));
}

std::optional<Check> LocalStore::save(
    ngx_http_request_t*, const oidc::Save& step, Done<Check>)
{
    if (memory_ != nullptr &&
        memory_->save(step.key, step.blob, step.subject, now(), step.until)) {
        return Check(oidc::Ok{});
    }
    return Check(Error{Errc::store_full,
        "session store has no room for a session of " +
            std::to_string(step.blob.size()) + " bytes"});
}

std::optional<Check> LocalStore::drop(
    ngx_http_request_t*, const oidc::Drop& step, Done<Check>)
{
    if (memory_ != nullptr) {
        memory_->drop(step.key);
    }
    return Check(oidc::Ok{});
}

std::optional<Store::ClockTime> LocalStore::read_clock(
    ngx_http_request_t*, Done<ClockTime>)
{
    return ClockTime(now_ms());
}

// It succeeds only where all of the keys are recorded.
std::optional<Check> LocalStore::revoke(
    ngx_http_request_t*, const oidc::Revoke& step, Done<Check>)
{
    Zone::Revocation revocation;
    revocation.owner = step.is_proven ? step.subject : step.address;
    revocation.is_proven = step.is_proven;
    revocation.at = std::max(now_ms(), step.least);
    revocation.until = step.until + renewal_margin;
    for (const auto& key : step.keys) {
        revocation.key = key;
        if (!zone_.revoke(revocation, now())) {
            return Check(Error{Errc::store_full,
                "oidc_state_zone has no room for another revocation"});
        }
    }
    return Check(oidc::Ok{});
}

std::optional<Store::Acquisition> LocalStore::acquire(
    ngx_http_request_t*, const oidc::Acquire& step, Done<Acquisition>)
{
    return Acquisition(zone_.acquire(step.purpose, step.id, now(), step.until));
}

void LocalStore::pin(const oidc::Pin& step)
{
    zone_.pin(views(step.keys), step.subject, now());
    if (step.copies_until > Time()) {
        Zone::Revocation revocation;
        revocation.key = step.keys.front();
        revocation.owner = step.subject;
        revocation.at = std::max(now_ms(), step.started);
        revocation.until = step.copies_until + renewal_margin;
        zone_.revoke(revocation, now());
    }
}

void LocalStore::finish(ngx_http_request_t*, const oidc::Acquire& step,
    const std::string& result, Seconds keep)
{
    zone_.finish(step.id, result, now(), keep);
}

void LocalStore::abandon(ngx_http_request_t*, const oidc::Acquire& step)
{
    zone_.abandon(step.id);
}

}
