// The sessions of a store of type memory, in their own shared memory: sealed
// blobs by the digests of their ids. When it is full, the least recently used
// sessions are evicted; a subject with many sessions loses its own first.
#pragma once

#include "ngx/ngx.h"
#include "ngx/shm_table.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ngx {

// A session takes 128 bytes for the first 56 bytes of its blob, and 128 for
// each 124 bytes more.
class MemoryStore {
public:
    static constexpr std::size_t min_size = 256 * 1024;
    static constexpr std::size_t key_size = ShmTable::key_size;

    // The sessions of one subject take up to a sixteenth of the memory, and are
    // not more than max_sessions. The newest one is always kept.
    static constexpr std::size_t share = 16;
    static constexpr std::size_t max_sessions = 512;

    // Declares a zone of that name to nginx. Its content survives a reload that
    // does not change its size. The same name gives the same store, of at most
    // so many sessions; 0: as many as fit. Null after a failure that is logged.
    static MemoryStore* add(ngx_conf_t* cf, std::string_view name,
        std::size_t size, std::size_t max_count = 0);

    // Copies the blob, makes it the most recently used one, and moves its end
    // to `until` where that is not Time(). Nothing where the key is unknown or
    // its session has expired.
    std::optional<std::string> load(std::string_view key, Time now, Time until);

    // Replaces the key's session. The owner is the subject's own key, 16 bytes,
    // or empty. False where the blob is larger than the whole memory, and
    // nothing has changed.
    bool save(std::string_view key, std::string_view blob,
        std::string_view owner, Time now, Time until);

    void drop(std::string_view key);

    struct Figures {
        std::size_t sessions;    // some of which may have expired
        std::uint64_t evictions; // for lack of room
    };

    Figures figures();

private:
    struct Shared;
    using Index = ShmTable::Index;
    using Change = ShmTable::Change;

    static ngx_int_t init(ngx_shm_zone_t* zone, void* data);

    ngx_int_t create();
    void limit_share(Change& change, std::string_view owner, std::size_t count,
        Index replaced);
    void make_room(Change& change, std::size_t count, bool is_new);
    bool is_full() const;

    ngx_slab_pool_t* pool_ = nullptr;
    Shared* shared_ = nullptr;
    ShmTable table_;
    std::size_t max_count_ = 0;
};

}
