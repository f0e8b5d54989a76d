// The sessions of a store of type memory, in shared memory of their own: sealed
// blobs by the digests of their ids. When it is full those go that were not
// used for longest.
#pragma once

#include "ngx/ngx.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ngx {

// A session takes 128 bytes for the first 84 of its blob, and 128 for every 124
// more of it. No call asks the system for memory while it holds the lock, and
// each costs the same however many sessions there are. A worker may be killed
// at any point of it: the next call of another one puts the store in order.
class MemoryStore {
public:
    static constexpr std::size_t least_size = 256 * 1024;
    static constexpr std::size_t key_size = 16;

    // Declares a zone of that name to nginx; its content survives a reload
    // that does not change its size. The same store for the same name. Null
    // after a failure that is logged.
    static MemoryStore* add(
        ngx_conf_t* cf, std::string_view name, std::size_t size);

    // A copy of the blob, which then is the most recently used one, with its
    // end moved to `until` where that is not 0; nothing where the key is
    // unknown or its blob has come to its end. Times are in seconds.
    std::optional<std::string> load(
        std::string_view key, std::int64_t now, std::int64_t until);

    // In the place of what the key had. False where it cannot fit at all, and
    // nothing has changed.
    bool save(std::string_view key, std::string_view blob, std::int64_t now,
        std::int64_t until);

    void drop(std::string_view key);

    struct Figures {
        std::size_t sessions; // some of which may have expired
        std::size_t evictions;
    };

    Figures figures();

private:
    using Index = std::uint32_t; // of a block; 0: none

    struct Shared;
    struct Head;
    struct Body;
    union Block;
    class Change;

    static ngx_int_t init(ngx_shm_zone_t* zone, void* data);

    ngx_int_t create();
    Head& head(Index index) const;
    Body& body(Index index) const;
    Index& bucket(std::string_view key) const;
    Index find(std::string_view key) const;

    std::size_t copy(const Head& session, std::string& blob) const;
    void fill(Index index, std::string_view key, std::string_view blob,
        std::int64_t until);

    void insert(Change& change, Index index);
    void touch(Change& change, Index index);
    void remove(Change& change, Index index);
    void forget(Change& change, Index from, std::string_view key);
    void sweep(Change& change, std::int64_t now);

    Index gather(Change& change, Index count);
    void open_up(Change& change);
    void release(Change& change, Index first);

    ngx_slab_pool_t* pool_ = nullptr;
    Shared* shared_ = nullptr;
};

}
