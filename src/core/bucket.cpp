#include "core/bucket.h"

#include <algorithm>

namespace oidc {

bool Bucket::take(Rate rate, TimeUs now)
{
    full_at_ = std::clamp(full_at_, now, now + rate.period);
    if (full_at_ + rate.cost() > now + rate.period) {
        return false;
    }
    full_at_ += rate.cost();
    return true;
}

}
