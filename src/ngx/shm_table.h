// Records in shared memory: found by key, queued by age, and counted per owner.
// The sessions and all records of oidc_state_zone are in such tables.
//
// A worker may be killed at any machine instruction, and nginx then releases
// its lock. Every table therefore has an undo journal: a change saves each
// place before it writes there, and the next holder of the lock undoes a change
// that was not committed.
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

// A record is a chain of blocks of one size, so that any record can use the
// blocks of any other. No call allocates system memory, and its cost does not
// depend on the number of records.
class ShmTable {
public:
    using Index = std::uint32_t; // of a block; 0: none
    using Link = std::atomic<Index>;

    static constexpr std::size_t key_size = 16;
    static constexpr std::size_t max_queues = 16;

    // The head of the first block. The rest of that block and the other blocks
    // hold the blob.
    struct Record {
        Link next;    // block of the record, or free block
        Link chain;   // in the bucket of its key
        Link sibling; // next older one in the bucket of its owner
        Link newer;   // in its queue
        Link older;
        std::uint32_t size; // of the blob
        Time until;
        char key[key_size];
        char owner[key_size];
        std::uint8_t space; // of keys
        std::uint8_t queue;
        std::uint8_t owner_size; // 0: no owner
        std::uint8_t state;      // for the table's user
        std::uint32_t number;    // for the table's user
        char data[8];

        std::string_view key_text() const { return {key, key_size}; }
        std::string_view owner_text() const { return {owner, owner_size}; }
        bool is_of(std::uint8_t q, std::string_view other) const
        {
            return queue == q && owner_text() == other;
        }
    };

    static constexpr std::size_t head_size = offsetof(Record, data);

    // A record to insert. Keys are unique within their space. The keys of space
    // 0 have their own buckets.
    struct Entry {
        std::uint8_t space = 0;
        std::uint8_t queue = 0;
        std::string_view key{};   // 16 bytes
        std::string_view owner{}; // up to 16
        Time until{};
        std::uint8_t state = 0;
        std::uint32_t number = 0;
        std::string_view blob{};
    };

    class Change;

    // Creates a table in all of this memory, or attaches to an existing one.
    // Block sizes are multiples of 8. create() may throw.
    void create(ngx_slab_pool_t* pool, void* memory, std::size_t size,
        std::size_t block_size, bool has_other_spaces);
    void attach(ngx_slab_pool_t* pool, void* memory);

    // These three need no Change; all other calls need one, since it holds the
    // lock. may_have() is false if the table has none of the keys.
    bool may_have(
        std::uint8_t space, std::span<const std::string_view> keys) const;
    Index count(std::uint8_t queue) const;
    Index capacity() const; // blocks

    Index find(std::uint8_t space, std::string_view key) const;
    Record& operator[](Index index) const;
    Index oldest(std::uint8_t queue) const; // follow `newer` for the next ones

    // The records of an owner in a queue, newest first; 0 after the last.
    Index first_of(std::uint8_t queue, std::string_view owner) const;
    Index next_of(Index index) const;

    std::size_t blocks_of(std::size_t blob_size) const;
    std::size_t room() const; // blocks

    // Copies the blob if the string's capacity suffices, and returns its size.
    std::size_t copy(Index index, std::string& blob) const;

    // Inserts a record as the newest. There must be room without the blocks
    // that this change has released.
    Index insert(Change& change, const Entry& entry);
    void remove(Change& change, Index index);

    void touch(Change& change, Index index); // makes it the newest
    void move(Change& change, Index index, std::uint8_t queue,
        std::string_view owner);

    // Replaces the blob by one of the same size.
    void overwrite(Change& change, Index index, std::string_view blob);

    // The same for a blob that is the bytes of a T.
    template <class T>
    T get(Index index) const;
    template <class T>
    void set(Change& change, Index index, const T& value);

    // Removes a few expired records: from the oldest on, and from where the
    // last sweep stopped, so that a long-lived record does not hide expired
    // ones behind it. Commits.
    void sweep(Change& change, std::uint8_t queue, Time now);

private:
    struct Queue {
        Link newest;
        Link oldest;
        Link count;
        Link hand; // the next one to sweep
    };

    struct Shared;

    std::uint32_t hash(const char* key, std::uint32_t seed) const;
    Link& bucket(std::uint8_t space, std::string_view key) const;
    Link& bucket_of_owner(std::string_view owner) const;

    void enqueue(Change& change, Index index, std::uint8_t queue);
    void dequeue(Change& change, Index index);
    void join_siblings(Change& change, Index index);
    void leave_siblings(Change& change, Index index);
    Index next_sibling(
        Index index, std::uint8_t queue, std::string_view owner) const;

    Index allocate(Change& change, Index count);
    void release(Change& change, Index first);
    void fill(Index index, const Entry& entry);

    template <class Call>
    void for_each_piece(Index index, std::size_t size, Call call) const;
    void copy_to(Index index, void* data, std::size_t size) const;

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

    // The longest change, a document with its body, has about 40 writes.
    std::array<Write, 64> writes;
    std::atomic<std::uint32_t> written; // number of writes to undo

    Link free;
    Link free_count;
    Link fresh; // the first block that was never used
    Index end;  // of the blocks
    std::array<Queue, max_queues> queues;

    std::array<std::uint64_t, 6> multipliers; // of the hash
    Link* buckets;
    Link* owners;
    Index bucket_count; // of the owners, and of each kind of keys
    bool has_other_spaces;

    char* blocks;
    std::size_t block_size;
};

// Holds the lock of a table's zone. The destructor undoes uncommitted writes;
// if the worker is killed before, the next Change does.
class ShmTable::Change {
public:
    explicit Change(const ShmTable& table) :
        lock_(table.pool_), shared_(*table.shared_)
    {
        undo();
    }
    ~Change() { undo(); }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

    void set(Link& where, Index value)
    {
        record(&where, sizeof(Link));
        where.store(value, std::memory_order_release);
    }

    template <class T>
    requires(std::is_arithmetic_v<T> || std::is_same_v<T, Time>) void set(
        T& where, std::type_identity_t<T> value)
    {
        set(&where, &value, sizeof(T));
    }

    // Up to 8 bytes.
    void set(void* where, const void* bytes, std::size_t size)
    {
        record(where, size);
        ngx_memcpy(where, bytes, size);
    }

    void commit()
    {
        set_written(0);
        has_released_ = false;
    }

private:
    friend class ShmTable;

    void record(void* where, std::size_t size);
    void undo();
    void set_written(std::uint32_t written);

    Lock lock_;
    Shared& shared_;
    bool has_released_ = false; // undo() needs them unchanged
};

// The bytes of a value, used as a blob.
template <class T>
std::string_view bytes_of(const T& value)
{
    static_assert(std::is_trivially_copyable_v<T>);
    return {reinterpret_cast<const char*>(&value), sizeof(T)};
}

template <class T>
T ShmTable::get(Index index) const
{
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    copy_to(index, &value, sizeof(T));
    return value;
}

template <class T>
void ShmTable::set(Change& change, Index index, const T& value)
{
    overwrite(change, index, bytes_of(value));
}

}
