// Where all is there at once: the zone, and the sessions of a memory store.
#include "ngx/store.h"

namespace ngx {
namespace {

using oidc::Check;
using oidc::Errc;
using oidc::Error;

std::vector<std::string_view> views(const std::vector<std::string>& texts)
{
    return {texts.begin(), texts.end()};
}

}

oidc::Loaded LocalStore::load(const oidc::Load& step)
{
    oidc::Loaded loaded;
    auto now = ngx_time();
    if (memory_ != nullptr && !step.key.empty()) {
        loaded.blob = memory_->load(
            step.key, now, idle_timeout_ > 0 ? now + idle_timeout_ : 0);
    }
    loaded.revoked_at = zone_.revoked_at(views(step.marks));
    return loaded;
}

std::optional<oidc::Result<oidc::Loaded>> LocalStore::load(ngx_http_request_t*,
    const oidc::Load& step, Done<oidc::Result<oidc::Loaded>>)
{
    return oidc::Result<oidc::Loaded>(load(step));
}

std::optional<Check> LocalStore::save(
    ngx_http_request_t*, const oidc::Save& step, Done<Check>)
{
    if (memory_ != nullptr &&
        memory_->save(step.key, step.blob, {}, ngx_time(), step.until)) {
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

// As long as one of them is noted nobody is told that they were.
std::optional<Check> LocalStore::revoke(
    ngx_http_request_t*, const oidc::Revoke& step, Done<Check>)
{
    for (const auto& mark : step.marks) {
        Zone::Revocation revocation;
        revocation.key = mark;
        revocation.is_proven = !step.asked_by_anyone;
        revocation.at = now_in_milliseconds();
        revocation.until = step.until + renewal_margin;
        if (!zone_.revoke(revocation, ngx_time())) {
            return Check(Error{Errc::store_full,
                "oidc_state_zone has no room for another revocation"});
        }
    }
    return Check(oidc::Ok{});
}

std::optional<Zone::Acquisition> LocalStore::take(
    ngx_http_request_t*, const oidc::Claim& step, Done<Zone::Acquisition>)
{
    return zone_.acquire(step.purpose, step.id, ngx_time(), step.until);
}

void LocalStore::leave(ngx_http_request_t*, const oidc::Claim& step,
    const std::string& text, std::int64_t keep)
{
    zone_.finish(step.id, text, ngx_time(), keep);
}

void LocalStore::abandon(ngx_http_request_t*, const oidc::Claim& step)
{
    zone_.abandon(step.id);
}

}
