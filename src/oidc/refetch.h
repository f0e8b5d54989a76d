// When a document of a provider is asked for again: plain data, so that all
// workers can share it in memory, and the policy about it.
#pragma once

#include "core/bucket.h"

#include <cstdint>

namespace oidc {

// Who asks: a request that carries a state or a session of ours, or one that
// anybody can make.
enum class Asker { known, anybody };

class Schedule {
public:
    // A good document may be used until it is a day past its freshness: who
    // keeps a provider from us does not keep its withdrawn keys alive for ever.
    bool usable(Time now) const;
    Time usable_until() const;

    // No fresh document, and no failure so recent that asking is in vain.
    bool due(Time now) const;

    void succeed(Time fresh_until);

    // The first failure is no reason to wait; after further ones the wait
    // doubles from a second on, up to five where nothing usable is at hand and
    // up to a minute where something is.
    void fail(Time now);

    // An unknown key was named: may the key set be asked for before it is due?
    // Four times at once and then once in 15 seconds, so that a rotation is
    // followed at once and nobody can make us hammer the provider. What anybody
    // uses up is not missing to the others.
    bool take_renewal(Asker asker, Time now);

private:
    Time fresh_until_;
    Time retry_at_;
    std::int64_t failures_ = 0; // since the last success

    Bucket renewals_[2]; // one for each kind of asker
};

}
