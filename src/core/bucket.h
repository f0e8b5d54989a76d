// A token bucket: a burst of up to the full count, then a constant rate.
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

// Plain data for shared memory. Every call on one bucket passes the same rate.
// All zero bytes are a full bucket.
class Bucket {
public:
    // False when empty. If the clock is set back, the bucket stays empty for
    // one period at most.
    bool take(Rate rate, TimeUs now);

    // Returns a token that was taken at that cost.
    void refund(Microseconds cost) { full_at_ -= cost; }

private:
    TimeUs full_at_;
};

}
