#include "oidc/schedule.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr std::int64_t longest_stale = 24 * 3600;

constexpr std::int64_t longest_wait = 5;
constexpr std::int64_t longest_wait_usable = 60;
constexpr std::int64_t most_doublings = 6;

constexpr std::int64_t most_renewals = 4;
constexpr std::int64_t renewal_interval = 15;

}

bool Schedule::usable(std::int64_t now) const
{
    return now < usable_until();
}

std::int64_t Schedule::usable_until() const
{
    return fresh_until_ > 0 ? fresh_until_ + longest_stale : 0;
}

bool Schedule::due(std::int64_t now) const
{
    return now >= fresh_until_ && now >= retry_at_;
}

void Schedule::succeed(std::int64_t fresh_until)
{
    fresh_until_ = fresh_until;
    retry_at_ = 0;
    failures_ = 0;
}

void Schedule::fail(std::int64_t now)
{
    failures_++;
    if (failures_ == 1) {
        return;
    }
    auto wait = std::int64_t{1} << std::min(failures_ - 2, most_doublings);
    retry_at_ =
        now + std::min(wait, usable(now) ? longest_wait_usable : longest_wait);
}

bool Schedule::take_renewal(std::int64_t now)
{
    if (renewals_ == 0) {
        renewals_since_ = now; // a full bucket does not fill on
    }
    auto refilled = (now - renewals_since_) / renewal_interval;
    if (refilled > 0) {
        renewals_ = std::max<std::int64_t>(0, renewals_ - refilled);
        renewals_since_ += refilled * renewal_interval;
    }
    if (renewals_ >= most_renewals) {
        return false;
    }
    renewals_++;
    return true;
}

}
