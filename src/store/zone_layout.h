// The layout of oidc_state_zone's memory, for the parts of Zone, which are a
// source file each.
#pragma once

#include "core/result.h"
#include "flow/step.h"
#include "ngx/shm.h"
#include "ngx/shm_table.h"
#include "oidc/refetch.h"

#include <atomic>

namespace ngx {

// Each kind of record has its own space of keys. The revocations are space 0,
// whose buckets hold no other kind.
namespace space {
enum : std::uint8_t {
    revocations,
    once,
    results,
    documents,
    bodies,
    failures,
    buckets,
};
}

namespace queue {
enum : std::uint8_t {
    proven,    // revocations
    addressed, // not proven, of an address
    unowned,   // not proven, without an owner
    once,      // one for each purpose
    results = once + 3,
    documents = results + 3, // the last used one is the newest
    bodies,
    failures,
    buckets,
    count,
};

static_assert(count <= ShmTable::max_queues);

inline std::uint8_t of(oidc::Purpose purpose)
{
    return static_cast<std::uint8_t>(once + static_cast<int>(purpose));
}

inline std::uint8_t results_of(std::uint8_t once_queue)
{
    return static_cast<std::uint8_t>(once_queue - once + results);
}

}

// The table follows it. A change of the layout needs a new version: a zone of
// another version is cleared.
struct ZoneHeader {
    static constexpr ngx_uint_t current = 5;
    static constexpr std::size_t secret_size = 32;

    // The size of a revocation, and of a lock without a result.
    static constexpr std::size_t block_size = sizeof(ShmTable::Record);

    ngx_uint_t version;
    u_char key[secret_size];

    std::uint64_t serial; // of the last body

    // A zone of another size has taken over.
    std::uint32_t superseded;

    // All sessions begun until then (ms) are revoked, since there was no room
    // for their records; 0: none. And when the last of them ends. Neither is in
    // the journal: the end is written first, so that a kill leaves both or
    // none.
    std::atomic<std::int64_t> watermark;
    Time watermark_until;
};

// What is known of a document beside its body.
struct DocumentState {
    static constexpr std::size_t max_detail = 256;

    oidc::Schedule schedule;
    std::uint64_t serial = 0; // of the body; 0: there is none
    Time fetching_until{};
    ngx_pid_t fetcher = 0; // 0: none
    oidc::Errc code{};     // of the failure
    bool has_failed = false;

    bool is_fetching(Time now) const
    {
        return fetcher != 0 && now < fetching_until && is_alive(fetcher);
    }
};

struct RevocationTimes {
    TimeMs at{};
    Time until{};
};

}
