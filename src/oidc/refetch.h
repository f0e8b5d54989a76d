// When a document is fetched again: the policy, over plain data that all
// workers share in memory.
#pragma once

#include "core/bucket.h"

#include <cstdint>

namespace oidc {

// Who causes a fetch of newer keys: a request with a state or a session of
// ours, or one that any client can send.
enum class Asker { known, anybody };

class Schedule {
public:
    // A document is usable until a day past its freshness: an attacker who
    // blocks the provider cannot keep withdrawn keys in use for ever.
    bool usable(Time now) const;
    Time usable_until() const;

    // True without a fresh document, and without a failure backoff.
    bool due(Time now) const;

    void succeed(Time fresh_until);

    // Failure backoff: none after the first failure; then it doubles from 1 s,
    // up to 5 s without a usable document and up to 60 s with one.
    void fail(Time now);

    // A token names an unknown key: may the key set be fetched before it is
    // due? Four times at once, then once in 15 seconds: a rotation is followed
    // at once, and no client can make us flood the provider. The two kinds of
    // asker have a bucket each.
    bool take_renewal(Asker asker, Time now);

private:
    Time fresh_until_;
    Time retry_at_;
    std::int64_t failures_ = 0; // since the last success

    Bucket renewals_[2]; // one for each kind of asker
};

}
