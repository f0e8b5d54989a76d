// The sessions of a store of type memory, in shared memory of their own: sealed
// blobs by the digests of their ids. When it is full those go that were not
// used for longest, of a subject with many its own first.
#pragma once

#include "ngx/ngx.h"
#include "ngx/shm_table.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ngx {

// A session takes 128 bytes for the first 56 of its blob, and 128 for every 124
// more of it.
class MemoryStore {
public:
    static constexpr std::size_t min_size = 256 * 1024;
    static constexpr std::size_t key_size = ShmTable::key_size;

    // What the sessions of one subject may take of the whole, and how many may
    // be kept: its newest session is always one of them.
    static constexpr std::size_t share = 16;
    static constexpr std::size_t max_sessions = 512;

    // Declares a zone of that name to nginx; its content survives a reload
    // that does not change its size. The same store for the same name. Null
    // after a failure that is logged.
    static MemoryStore* add(
        ngx_conf_t* cf, std::string_view name, std::size_t size);

    // A copy of the blob, which then is the most recently used one, with its
    // end moved to `until` where that is not Time(); nothing where the
    // key is unknown or its blob has come to its end.
    std::optional<std::string> load(std::string_view key, Time now, Time until);

    // In the place of what the key had. The owner is the subject's own key, 16
    // bytes, or empty. False where it cannot fit at all, and nothing has
    // changed.
    bool save(std::string_view key, std::string_view blob,
        std::string_view owner, Time now, Time until);

    void drop(std::string_view key);

    struct Figures {
        std::size_t sessions;  // some of which may have expired
        std::size_t evictions; // for lack of room
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
    void make_room(Change& change, std::size_t count);

    ngx_slab_pool_t* pool_ = nullptr;
    Shared* shared_ = nullptr;
    ShmTable table_;
};

}
