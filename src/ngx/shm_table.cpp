#include "ngx/shm_table.h"

#include "core/crypto.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace ngx {
namespace {

constexpr int max_swept = 4; // records per sweep, from each of two starts

static_assert(ShmTable::Link::is_always_lock_free);

constexpr std::size_t link_size = sizeof(ShmTable::Link);

}

// The journal. Other processes see all writes of a killed worker: only the
// compiler must be kept from reordering them.

void ShmTable::Change::record(void* where, std::size_t size)
{
    auto count = shared_.written.load(std::memory_order_relaxed);
    if (count == shared_.writes.size()) {
        throw std::length_error("shared memory change has too many writes");
    }
    auto& write = shared_.writes[count];
    write.where = where;
    write.size = size;
    ngx_memcpy(&write.before, where, size);
    set_written(count + 1);
}

// In reverse order: a place may have been changed twice. If the worker is
// killed in here, the next holder of the lock starts again.
void ShmTable::Change::undo()
{
    auto count = shared_.written.load(std::memory_order_relaxed);
    if (count == 0) {
        return;
    }
    while (count-- > 0) {
        const auto& write = shared_.writes[count];
        ngx_memcpy(write.where, &write.before, write.size);
    }
    set_written(0);
}

void ShmTable::Change::set_written(std::uint32_t written)
{
    std::atomic_signal_fence(std::memory_order_seq_cst);
    shared_.written.store(written, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

// The memory holds the header, one bucket of each kind for two blocks, and the
// blocks.
void ShmTable::create(ngx_slab_pool_t* pool, void* memory, std::size_t size,
    std::size_t block_size, bool has_other_spaces)
{
    auto random = oidc::random_bytes(sizeof(Shared::multipliers));
    auto kinds = has_other_spaces ? 3u : 2u;
    auto room = size - sizeof(Shared) - block_size; // for alignment
    auto pairs = room / (2 * block_size + kinds * link_size);
    pairs = std::min<std::size_t>(pairs, std::numeric_limits<Index>::max() / 2);

    attach(pool, memory);
    ngx_memzero(memory, sizeof(Shared) + kinds * pairs * link_size);
    ngx_memcpy(shared_->multipliers.data(), random.data(), random.size());
    shared_->buckets =
        reinterpret_cast<Link*>(static_cast<char*>(memory) + sizeof(Shared));
    shared_->owners = shared_->buckets + (kinds - 1) * pairs;
    shared_->bucket_count = static_cast<Index>(pairs);
    shared_->has_other_spaces = has_other_spaces;

    auto blocks = reinterpret_cast<char*>(shared_->owners + pairs);
    shared_->blocks = reinterpret_cast<char*>(
        ngx_align_ptr(blocks, block_size % 64 == 0 ? 64 : 8));
    shared_->block_size = block_size;
    shared_->fresh = 1; // there is no block 0
    shared_->end = static_cast<Index>(2 * pairs);
}

void ShmTable::attach(ngx_slab_pool_t* pool, void* memory)
{
    pool_ = pool;
    shared_ = static_cast<Shared*>(memory);
}

// Reads all buckets twice: between two reads, a record of one key may have been
// replaced by a record of the other.
bool ShmTable::may_have(
    std::uint8_t space, std::span<const std::string_view> keys) const
{
    std::array<const Link*, 8> links;
    if (keys.size() > links.size()) {
        return true;
    }
    auto end = std::transform(keys.begin(), keys.end(), links.begin(),
        [&](std::string_view key) { return &bucket(space, key); });
    auto is_used = [](const Link* link) {
        return link->load(std::memory_order_acquire) != 0;
    };
    return std::any_of(links.begin(), end, is_used) ||
        std::any_of(links.begin(), end, is_used);
}

ShmTable::Index ShmTable::count(std::uint8_t queue) const
{
    return shared_->queues[queue].count.load(std::memory_order_acquire);
}

ShmTable::Index ShmTable::capacity() const
{
    return shared_->end - 1;
}

// Multilinear hashing is strongly universal: without the multipliers nobody can
// choose keys of the same bucket (Lemire and Kaser, 2014).
std::uint32_t ShmTable::hash(const char* key, std::uint32_t seed) const
{
    std::array<std::uint64_t, 2> words;
    ngx_memcpy(words.data(), key, key_size);
    const auto& m = shared_->multipliers;
    auto low = [](std::uint64_t word) { return word & 0xffffffff; };
    auto sum = m[0] + m[1] * seed + m[2] * low(words[0]) +
        m[3] * (words[0] >> 32) + m[4] * low(words[1]) +
        m[5] * (words[1] >> 32);
    return static_cast<std::uint32_t>(sum >> 32);
}

ShmTable::Link& ShmTable::bucket(std::uint8_t space, std::string_view key) const
{
    auto count = shared_->bucket_count;
    std::uint64_t h = hash(key.data(), 0);
    auto first = space != 0 && shared_->has_other_spaces ? count : 0;
    return shared_->buckets[first + (h * count >> 32)];
}

ShmTable::Link& ShmTable::bucket_of_owner(std::string_view owner) const
{
    std::array<char, key_size> padded{};
    auto size = owner.copy(padded.data(), key_size);
    std::uint64_t h = hash(padded.data(), static_cast<std::uint32_t>(size));
    return shared_->owners[h * shared_->bucket_count >> 32];
}

ShmTable::Record& ShmTable::operator[](Index index) const
{
    return *reinterpret_cast<Record*>(
        shared_->blocks + index * shared_->block_size);
}

ShmTable::Index ShmTable::find(std::uint8_t space, std::string_view key) const
{
    Index index = bucket(space, key);
    while (index != 0) {
        auto& record = (*this)[index];
        if (record.space == space &&
            ngx_memcmp(record.key, key.data(), key_size) == 0) {
            break;
        }
        index = record.chain;
    }
    return index;
}

ShmTable::Index ShmTable::oldest(std::uint8_t queue) const
{
    return shared_->queues[queue].oldest;
}

ShmTable::Index ShmTable::first_of(
    std::uint8_t queue, std::string_view owner) const
{
    return owner.empty() ? 0 :
                           next_sibling(bucket_of_owner(owner), queue, owner);
}

ShmTable::Index ShmTable::next_of(Index index) const
{
    const auto& record = (*this)[index];
    return next_sibling(record.sibling, record.queue, record.owner_text());
}

ShmTable::Index ShmTable::next_sibling(
    Index index, std::uint8_t queue, std::string_view owner) const
{
    while (index != 0 && !(*this)[index].is_of(queue, owner)) {
        index = (*this)[index].sibling;
    }
    return index;
}

std::size_t ShmTable::blocks_of(std::size_t blob_size) const
{
    auto rest =
        blob_size - std::min(blob_size, shared_->block_size - head_size);
    auto body = shared_->block_size - link_size;
    return 1 + (rest + body - 1) / body;
}

std::size_t ShmTable::room() const
{
    return shared_->free_count + (shared_->end - shared_->fresh);
}

// Calls call(address, size) for each piece of a blob.
template <class Call>
void ShmTable::for_each_piece(Index index, std::size_t size, Call call) const
{
    auto skipped = head_size;
    for (auto i = index; i != 0 && size > 0; i = (*this)[i].next) {
        auto piece = std::min(size, shared_->block_size - skipped);
        call(reinterpret_cast<char*>(&(*this)[i]) + skipped, piece);
        size -= piece;
        skipped = link_size;
    }
}

std::size_t ShmTable::copy(Index index, std::string& blob) const
{
    std::size_t size = (*this)[index].size;
    if (size <= blob.capacity()) {
        blob.clear();
        for_each_piece(index, size,
            [&](const char* data, std::size_t n) { blob.append(data, n); });
    }
    return size;
}

void ShmTable::copy_to(Index index, void* data, std::size_t size) const
{
    auto rest = static_cast<char*>(data);
    for_each_piece(index, size, [&](const char* piece, std::size_t n) {
        ngx_memcpy(rest, piece, n);
        rest += n;
    });
}

ShmTable::Index ShmTable::insert(Change& change, const Entry& entry)
{
    auto count = blocks_of(entry.blob.size());
    if (change.has_released_ || count > room()) {
        throw std::logic_error("shared memory is full");
    }
    auto index = allocate(change, static_cast<Index>(count));
    fill(index, entry);

    auto& record = (*this)[index];
    auto& first = bucket(entry.space, entry.key);
    auto& number = shared_->queues[entry.queue].count;
    record.chain.store(first, std::memory_order_relaxed);
    change.set(number, number + 1);
    enqueue(change, index, entry.queue);
    join_siblings(change, index);
    change.set(first, index);
    return index;
}

// Not in the journal: nothing refers to the blocks yet, and after an undo they
// are free blocks, of which only `next` counts.
void ShmTable::fill(Index index, const Entry& entry)
{
    auto& record = (*this)[index];
    record.size = static_cast<std::uint32_t>(entry.blob.size());
    record.until = entry.until;
    record.space = entry.space;
    record.queue = entry.queue;
    record.state = entry.state;
    record.number = entry.number;
    ngx_memcpy(record.key, entry.key.data(), key_size);
    ngx_memzero(record.owner, key_size);
    record.owner_size =
        static_cast<std::uint8_t>(entry.owner.copy(record.owner, key_size));

    auto rest = entry.blob;
    for_each_piece(index, rest.size(), [&](char* data, std::size_t n) {
        rest.remove_prefix(rest.copy(data, n));
    });
}

void ShmTable::remove(Change& change, Index index)
{
    auto& record = (*this)[index];
    auto link = &bucket(record.space, record.key_text());
    while (*link != index) {
        link = &(*this)[*link].chain;
    }
    change.set(*link, record.chain);
    leave_siblings(change, index);
    dequeue(change, index);
    auto& number = shared_->queues[record.queue].count;
    change.set(number, number - 1);
    release(change, index);
}

void ShmTable::touch(Change& change, Index index)
{
    auto& record = (*this)[index];
    if (shared_->queues[record.queue].newest != index) {
        dequeue(change, index);
        enqueue(change, index, record.queue);
    }
    if (record.owner_size != 0 &&
        bucket_of_owner(record.owner_text()) != index) {
        leave_siblings(change, index);
        join_siblings(change, index);
    }
}

// The new count grows first: a reader of both counts that reads the old one
// first never misses the record.
void ShmTable::move(
    Change& change, Index index, std::uint8_t queue, std::string_view owner)
{
    auto& record = (*this)[index];
    auto& from = shared_->queues[record.queue].count;
    auto& to = shared_->queues[queue].count;
    change.set(to, to + 1);
    change.set(from, from - 1);
    leave_siblings(change, index);
    dequeue(change, index);

    std::array<char, key_size> padded{};
    auto size = owner.copy(padded.data(), key_size);
    change.set(record.owner, padded.data(), key_size / 2);
    change.set(
        record.owner + key_size / 2, &padded[key_size / 2], key_size / 2);
    change.set(record.owner_size, static_cast<std::uint8_t>(size));
    change.set(record.queue, queue);
    enqueue(change, index, queue);
    join_siblings(change, index);
}

void ShmTable::overwrite(Change& change, Index index, std::string_view blob)
{
    auto size = std::min<std::size_t>(blob.size(), (*this)[index].size);
    for_each_piece(index, size, [&](char* data, std::size_t n) {
        while (n > 0) {
            auto part = std::min(n, sizeof(std::uint64_t));
            change.set(data, blob.data(), part);
            blob.remove_prefix(part);
            data += part;
            n -= part;
        }
    });
}

void ShmTable::sweep(Change& change, std::uint8_t queue, Time now)
{
    auto& [newest, oldest, count, hand] = shared_->queues[queue];
    for (int i = 0; i < max_swept && oldest != 0; i++) {
        if (now < (*this)[oldest].until) {
            break;
        }
        remove(change, oldest);
        change.commit();
    }
    for (int i = 0; i < max_swept && oldest != 0; i++) {
        Index index = hand != 0 ? hand : oldest;
        change.set(hand, (*this)[index].newer);
        if (now >= (*this)[index].until) {
            remove(change, index);
        }
        change.commit();
    }
}

void ShmTable::enqueue(Change& change, Index index, std::uint8_t queue)
{
    auto& [newest, oldest, count, hand] = shared_->queues[queue];
    auto& record = (*this)[index];
    Index before = newest;
    change.set(record.newer, 0);
    change.set(record.older, before);
    change.set(before != 0 ? (*this)[before].newer : oldest, index);
    change.set(newest, index);
}

void ShmTable::dequeue(Change& change, Index index)
{
    auto& record = (*this)[index];
    auto& [newest, oldest, count, hand] = shared_->queues[record.queue];
    Index newer = record.newer;
    Index older = record.older;
    if (hand == index) {
        change.set(hand, newer);
    }
    change.set(newer != 0 ? (*this)[newer].older : newest, older);
    change.set(older != 0 ? (*this)[older].newer : oldest, newer);
}

void ShmTable::join_siblings(Change& change, Index index)
{
    auto& record = (*this)[index];
    if (record.owner_size == 0) {
        return;
    }
    auto& first = bucket_of_owner(record.owner_text());
    change.set(record.sibling, first);
    change.set(first, index);
}

void ShmTable::leave_siblings(Change& change, Index index)
{
    auto& record = (*this)[index];
    if (record.owner_size == 0) {
        return;
    }
    auto link = &bucket_of_owner(record.owner_text());
    while (*link != index) {
        link = &(*this)[*link].sibling;
    }
    change.set(*link, record.sibling);
}

// Takes free blocks first, then blocks that were never used, whose pages are
// not allocated yet. Blocks released by this change are not used: an undo needs
// their content.
ShmTable::Index ShmTable::allocate(Change& change, Index count)
{
    Index first = shared_->free;
    Index used = std::min<Index>(count, shared_->free_count);
    Index fresh = shared_->fresh;
    Index end = fresh + (count - used);
    for (auto i = fresh; i < end; i++) {
        auto next = i + 1 < end ? i + 1 : 0;
        (*this)[i].next.store(next, std::memory_order_relaxed);
    }
    auto rest = fresh < end ? fresh : 0;
    change.set(shared_->fresh, end);
    if (used == 0) {
        return rest;
    }
    auto last = first;
    for (auto i = used; i > 1; i--) {
        last = (*this)[last].next;
    }
    change.set(shared_->free, (*this)[last].next);
    change.set(shared_->free_count, shared_->free_count - used);
    change.set((*this)[last].next, rest);
    return first;
}

void ShmTable::release(Change& change, Index first)
{
    auto last = first;
    Index count = 1;
    for (; (*this)[last].next != 0; last = (*this)[last].next) {
        count++;
    }
    change.set((*this)[last].next, shared_->free);
    change.set(shared_->free, first);
    change.set(shared_->free_count, shared_->free_count + count);
    change.has_released_ = true;
}

}
