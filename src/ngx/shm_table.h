// Records in shared memory: found by a key, kept in queues by age, and counted
// by the owner whose share they take. A worker may be killed at any machine
// instruction: its change is taken back by whoever changes something next.
#pragma once

#include "ngx/ngx.h"
#include "ngx/shm.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace ngx {

// A record is a chain of blocks of one size, so that what one gives up fits
// any other. No call asks the system for memory, and each costs the same
// however many records there are.
class ShmTable {
public:
    using Index = std::uint32_t; // of a block; 0: none
    using Link = std::atomic<Index>;

    static constexpr std::size_t key_size = 16;
    static constexpr std::size_t max_queues = 16;

    // The head of the first block; the rest of that and the other blocks hold
    // the blob.
    struct Record {
        Link next;   // block of the record, or free block
        Link chain;  // in the bucket of its key
        Link fellow; // the next older one in the bucket of its owner
        Link newer;  // in its queue
        Link older;
        std::uint32_t size; // of the blob
        std::int64_t until; // seconds since the epoch
        char key[key_size];
        char owner[key_size];
        std::uint8_t space; // of keys
        std::uint8_t queue;
        std::uint8_t owner_size; // 0: it takes nobody's share
        std::uint8_t state;      // is the user's, like
        std::uint32_t number;
        char data[8];

        std::string_view key_text() const { return {key, key_size}; }
        std::string_view owner_text() const { return {owner, owner_size}; }
        bool is_of(std::uint8_t q, std::string_view other) const
        {
            return queue == q && owner_text() == other;
        }
    };

    static constexpr std::size_t head_size = offsetof(Record, data);

    // What is to be put in. Keys are unique in their space; those of space 0
    // have buckets of their own.
    struct Entry {
        std::uint8_t space = 0;
        std::uint8_t queue = 0;
        std::string_view key;   // 16 bytes
        std::string_view owner; // up to 16
        std::int64_t until = 0;
        std::uint8_t state = 0;
        std::uint32_t number = 0;
        std::string_view blob;
    };

    class Change;

    // Makes a table of all of this memory, or finds the one that was made of
    // it. Sizes of blocks are multiples of 8. It may throw.
    void create(ngx_slab_pool_t* pool, void* memory, std::size_t size,
        std::size_t block_size, bool has_other_spaces);
    void attach(ngx_slab_pool_t* pool, void* memory);

    // All but these need a Change, which holds the lock. False where none of
    // the keys is there, nor has become another of them meanwhile.
    bool may_have(
        std::uint8_t space, std::span<const std::string_view> keys) const;
    Index count(std::uint8_t queue) const;
    Index capacity() const; // blocks

    Index find(std::uint8_t space, std::string_view key) const;
    Record& operator[](Index index) const;
    Index oldest(std::uint8_t queue) const; // from there on by `newer`

    // Those of an owner in a queue, the newest first; 0 after the last.
    Index first_of(std::uint8_t queue, std::string_view owner) const;
    Index next_of(Index index) const;

    std::size_t blocks_of(std::size_t blob_size) const;
    std::size_t room() const; // blocks

    // The size of the blob, which is copied where the string has room for it.
    std::size_t copy(Index index, std::string& blob) const;

    // There must be room for it, not made by this very change. The newest one.
    Index insert(Change& change, const Entry& entry);
    void remove(Change& change, Index index);

    void touch(Change& change, Index index); // is the newest one then
    void move(Change& change, Index index, std::uint8_t queue,
        std::string_view owner);

    // In the place of a blob of the same size.
    void overwrite(Change& change, Index index, std::string_view blob);

    // Removes what has come to its end, of the oldest and, so that none is in
    // the way of others, of a few in turn. Commits.
    void sweep(Change& change, std::uint8_t queue, std::int64_t now);

private:
    struct Queue {
        Link newest;
        Link oldest;
        Link count;
        Link hand; // the next one to be swept
    };

    struct Shared;

    std::uint32_t hash(const char* key, std::uint32_t seed) const;
    Link& bucket(std::uint8_t space, std::string_view key) const;
    Link& bucket_of_owner(std::string_view owner) const;

    void enqueue(Change& change, Index index, std::uint8_t queue);
    void dequeue(Change& change, Index index);
    void join_fellows(Change& change, Index index);
    void leave_fellows(Change& change, Index index);
    Index next_fellow(
        Index index, std::uint8_t queue, std::string_view owner) const;

    Index allocate(Change& change, Index count);
    void release(Change& change, Index first);
    void fill(Index index, const Entry& entry);

    template <class Call>
    void for_each_piece(Index index, std::size_t size, Call call) const;

    ngx_slab_pool_t* pool_ = nullptr;
    Shared* shared_ = nullptr;
};

// Journal and header of the table.
struct ShmTable::Shared {
    struct Write {
        void* where;
        std::uint64_t before;
        std::size_t size;
    };

    // The longest change, a document with its body, has some 40.
    std::array<Write, 64> writes;
    std::atomic<std::uint32_t> written; // so many of them are to be taken back

    Link free;
    Link free_count;
    Link fresh; // the first of the blocks that were never used
    Index end;  // of the blocks
    std::array<Queue, max_queues> queues;

    std::array<std::uint64_t, 6> multipliers; // of the hash
    Link* buckets;
    Link* owners;
    Index bucket_count; // of the owners', and of each kind of the keys'
    bool has_other_spaces;

    char* blocks;
    std::size_t block_size;
};

// Holds the lock of a table's zone. Each place is written down as it was before
// it is changed; what was not committed is as it was in the end, whether the
// worker lives or not.
class ShmTable::Change {
public:
    explicit Change(const ShmTable& table) :
        lock_(table.pool_), shared_(*table.shared_)
    {
        take_back();
    }
    ~Change() { take_back(); }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

    void set(Link& where, Index value)
    {
        write_down(&where, sizeof(Link));
        where.store(value, std::memory_order_release);
    }

    template <class T>
    requires std::is_arithmetic_v<T>
    void set(T& where, std::type_identity_t<T> value)
    {
        set(&where, &value, sizeof(T));
    }

    // Up to 8 bytes.
    void set(void* where, const void* bytes, std::size_t size)
    {
        write_down(where, size);
        ngx_memcpy(where, bytes, size);
    }

    // From now on all of it is done.
    void commit()
    {
        note(0);
        has_released_ = false;
    }

private:
    friend class ShmTable;

    void write_down(void* where, std::size_t size);
    void take_back();
    void note(std::uint32_t written);

    Lock lock_;
    Shared& shared_;
    bool has_released_ = false; // blocks that must not be used before it ends
};

}
