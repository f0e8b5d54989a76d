// A token bucket: so many at once, and then so many in a time.
#pragma once

#include <cstdint>

namespace oidc {

// At most `count` within `period` microseconds; both above 0.
struct Rate {
    std::int64_t count;
    std::int64_t period;

    constexpr std::int64_t cost() const { return period / count; }
};

// Plain data, for memory that workers share. One bucket is only ever asked for
// one rate. All zero is a full one.
class Bucket {
public:
    // `now` in microseconds. A clock that is set back keeps a bucket empty for
    // one period at most.
    bool take(Rate rate, std::int64_t now);

    // A token that was taken at that cost.
    void refund(std::int64_t cost) { full_at_ -= cost; }

private:
    std::int64_t full_at_ = 0;
};

}
