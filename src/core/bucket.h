// A token bucket: so many at once, and then so many in a time.
#pragma once

#include "core/time.h"

#include <cstdint>

namespace oidc {

// At most `count` within `period`; both above 0.
struct Rate {
    std::int64_t count;
    Microseconds period;

    constexpr Microseconds cost() const { return period / count; }
};

// Plain data, for memory that workers share. One bucket is only ever asked for
// one rate. All zero is a full one.
class Bucket {
public:
    // A clock that is set back keeps a bucket empty for
    // one period at most.
    bool take(Rate rate, TimeUs now);

    // A token that was taken at that cost.
    void refund(Microseconds cost) { full_at_ -= cost; }

private:
    TimeUs full_at_;
};

}
