// Types for points in time and durations: seconds cannot be passed for
// milliseconds, nor a duration for a time. Only ngx/ reads a clock and passes
// the time to the other layers.
#pragma once

#include <chrono>
#include <cstdint>

namespace oidc {

using Seconds = std::chrono::seconds;
using Milliseconds = std::chrono::milliseconds;
using Microseconds = std::chrono::microseconds;

// Time() is the epoch; it means "none" where a declaration says so.
using Time = std::chrono::sys_time<Seconds>;
using TimeMs = std::chrono::sys_time<Milliseconds>;
using TimeUs = std::chrono::sys_time<Microseconds>;

using namespace std::chrono_literals; // 30s, 24h

// Counts since the epoch, for shared memory, seals and the wire.
constexpr std::int64_t to_seconds(Time time)
{
    return time.time_since_epoch().count();
}

constexpr std::int64_t to_milliseconds(TimeMs time)
{
    return time.time_since_epoch().count();
}

constexpr Time from_seconds(std::int64_t count)
{
    return Time(Seconds(count));
}

constexpr TimeMs from_milliseconds(std::int64_t count)
{
    return TimeMs(Milliseconds(count));
}

static_assert(sizeof(Time) == sizeof(std::int64_t)); // in shared memory

}
