#include "oidc/refetch.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr std::int64_t max_stale = 24 * 3600;

constexpr std::int64_t max_wait = 5;
constexpr std::int64_t max_wait_usable = 60;
constexpr std::int64_t max_doublings = 6;

constexpr std::int64_t microseconds = 1'000'000; // of a second
constexpr Rate renewal_rate{4, 60 * microseconds};

}

bool Schedule::usable(std::int64_t now) const
{
    return now < usable_until();
}

std::int64_t Schedule::usable_until() const
{
    return fresh_until_ > 0 ? fresh_until_ + max_stale : 0;
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
    auto wait = std::int64_t{1} << std::min(failures_ - 2, max_doublings);
    retry_at_ = now + std::min(wait, usable(now) ? max_wait_usable : max_wait);
}

bool Schedule::take_renewal(Asker asker, std::int64_t now)
{
    return renewals_[static_cast<int>(asker)].take(
        renewal_rate, now * microseconds);
}

}
