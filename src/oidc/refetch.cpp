#include "oidc/refetch.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr Seconds max_stale = 24h;

constexpr Seconds max_wait = 5s;
constexpr Seconds max_wait_usable = 60s;
constexpr std::int64_t max_doublings = 6;

constexpr Rate renewal_rate{4, 1min};

}

bool Schedule::usable(Time now) const
{
    return now < usable_until();
}

Time Schedule::usable_until() const
{
    return fresh_until_ > Time() ? fresh_until_ + max_stale : Time();
}

bool Schedule::due(Time now) const
{
    return now >= fresh_until_ && now >= retry_at_;
}

void Schedule::succeed(Time fresh_until)
{
    fresh_until_ = fresh_until;
    retry_at_ = Time();
    failures_ = 0;
}

void Schedule::fail(Time now)
{
    failures_++;
    if (failures_ == 1) {
        return;
    }
    auto wait = 1s * (1 << std::min(failures_ - 2, max_doublings));
    retry_at_ = now + std::min(wait, usable(now) ? max_wait_usable : max_wait);
}

bool Schedule::take_renewal(Asker asker, Time now)
{
    return renewals_[static_cast<int>(asker)].take(renewal_rate, now);
}

}
