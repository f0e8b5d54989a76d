// How the memory of oidc_state_zone is laid out, for the parts of Zone, which
// are a source file each.
#pragma once

#include "ngx/shm.h"
#include "store/zone.h"

#include <atomic>

namespace ngx {

// Each kind of record has its keys to itself. Revocations come first, whose
// buckets hold nothing else.
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
    unowned,   // not proven, of nobody
    once,      // one for each purpose
    results = once + 3,
    documents = results + 3, // last used first
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

// Followed by the table. Changes of the layout need a new version, which ends
// what an older one left.
struct Zone::Shared {
    static constexpr ngx_uint_t current = 5;
    static constexpr std::size_t secret_size = 32;

    // What a revocation takes, and a login without a result.
    static constexpr std::size_t block_size = sizeof(Record);

    ngx_uint_t version;
    u_char key[secret_size];

    std::uint64_t serial; // last one given to a body

    // A zone of another size has taken over.
    std::uint32_t superseded;

    // All sessions begun until then are revoked, for want of room for
    // their records; 0: none. And when the last of those ends.
    std::atomic<std::int64_t> watermark;
    Time watermark_until;
};

struct Zone::Document {
    static constexpr std::size_t max_detail = 256;

    oidc::Schedule schedule;
    std::uint64_t serial = 0; // of the body; 0: there is none
    Time asked_until;
    ngx_pid_t asker = 0; // 0: nobody
    oidc::Errc code{};   // of the failure
    bool has_failed = false;

    bool is_asked(Time now) const
    {
        return asker != 0 && now < asked_until && is_alive(asker);
    }
};

struct Zone::Times {
    TimeMs at{};
    Time until{};
};

}
