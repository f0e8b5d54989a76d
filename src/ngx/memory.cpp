#include "ngx/memory.h"

#include "ngx/shm.h"

#include <algorithm>
#include <atomic>
#include <limits>

namespace ngx {
namespace {

constexpr std::size_t head_room = 84;
constexpr std::size_t body_room = 124;

std::size_t blocks_of(std::size_t size)
{
    auto rest = size - std::min(size, head_room);
    return 1 + (rest + body_room - 1) / body_room;
}

}

// Blocks of one size, so that what one session gives up fits any other, and no
// hole is too small. The first of a session holds what is used most.
struct MemoryStore::Head {
    Index next; // of the blob, or of the free blocks
    Index newer;
    Index older;
    Index chain; // in the bucket
    std::int64_t until;
    char key[key_size];
    std::uint32_t size;
    char data[head_room];

    bool is(std::string_view other) const
    {
        return ngx_memcmp(key, other.data(), key_size) == 0;
    }
};

struct MemoryStore::Body {
    Index next;
    char data[body_room];
};

union MemoryStore::Block {
    Head head;
    Body body;
};

// Changes of its layout need a new version, which ends what an older one left.
struct MemoryStore::Shared {
    static constexpr ngx_uint_t current = 1;

    struct Write {
        Index* where;
        Index value;
    };

    ngx_uint_t version;
    Write writes[8];    // to be done together
    std::size_t agreed; // so many of them, even if who began was killed

    Index newest;
    Index oldest;
    Index sessions;
    Index free;
    Index free_count;
    Index fresh;    // the first of the blocks that were never used
    Index end;      // of the blocks
    Index gathered; // blocks that are about to become a session
    std::size_t evictions;
    std::size_t hand; // of the sweep

    Block* blocks;
    Index* buckets;
    std::size_t bucket_count;
};

// Holds the lock. What belongs together is written down first and then done at
// once; whoever is next does the rest of it where a worker was killed.
class MemoryStore::Change {
public:
    explicit Change(MemoryStore& store) :
        lock_(store.pool_), shared_(*store.shared_)
    {
        apply();
        if (shared_.gathered != 0) {
            set(shared_.gathered, 0);
            store.release(*this, shared_.gathered);
        }
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

    // Each place once before it is committed.
    void set(Index& where, Index value)
    {
        shared_.writes[count_++] = {&where, value};
    }

    void commit()
    {
        agree(std::exchange(count_, 0));
        apply();
    }

private:
    // Other processes see what was written before a worker was killed: only
    // the compiler has to keep the order.
    void agree(std::size_t count)
    {
        std::atomic_signal_fence(std::memory_order_seq_cst);
        shared_.agreed = count;
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }

    void apply()
    {
        for (std::size_t i = 0; i < shared_.agreed; i++) {
            *shared_.writes[i].where = shared_.writes[i].value;
        }
        agree(0);
    }

    Lock lock_;
    Shared& shared_;
    std::size_t count_ = 0;
};

MemoryStore* MemoryStore::add(
    ngx_conf_t* cf, std::string_view name, std::size_t size)
{
    auto full = ngx::copy(cf->pool, name);
    auto zone = ngx_shared_memory_add(cf, &full, size, &ngx_http_oidc_module);
    if (zone == nullptr) {
        return nullptr;
    }
    if (zone->data == nullptr) {
        zone->data = make<MemoryStore>(cf->pool);
        zone->init = init;
    }
    return static_cast<MemoryStore*>(zone->data);
}

ngx_int_t MemoryStore::init(ngx_shm_zone_t* zone, void* data)
{
    auto self = static_cast<MemoryStore*>(zone->data);
    self->pool_ = reinterpret_cast<ngx_slab_pool_t*>(zone->shm.addr);

    // data is the store of the cycle before, whose memory this is.
    if (data != nullptr || zone->shm.exists) {
        self->shared_ = static_cast<Shared*>(self->pool_->data);
        if (self->shared_->version == Shared::current) {
            return NGX_OK;
        }
        ngx_slab_init(self->pool_);
    }
    return self->create();
}

// Takes all of the zone: the record, the buckets, one for two blocks, which is
// what a small session takes, and the blocks.
ngx_int_t MemoryStore::create()
{
    auto size = pool_->pfree * ngx_pagesize;
    auto memory = static_cast<char*>(ngx_slab_alloc(pool_, size));
    if (memory == nullptr) {
        return NGX_ERROR;
    }
    auto room = size - sizeof(Shared) - sizeof(Block); // for its alignment
    auto pairs = room / (2 * sizeof(Block) + sizeof(Index));
    pairs = std::min<std::size_t>(pairs, std::numeric_limits<Index>::max() / 2);

    shared_ = reinterpret_cast<Shared*>(memory);
    ngx_memzero(static_cast<void*>(shared_), sizeof(Shared));
    shared_->buckets = reinterpret_cast<Index*>(memory + sizeof(Shared));
    shared_->bucket_count = pairs;
    ngx_memzero(shared_->buckets, pairs * sizeof(Index));

    auto blocks = reinterpret_cast<char*>(shared_->buckets + pairs);
    shared_->blocks =
        reinterpret_cast<Block*>(ngx_align_ptr(blocks, sizeof(Block)));
    shared_->fresh = 1; // there is no block 0
    shared_->end = static_cast<Index>(2 * pairs);
    shared_->version = Shared::current;
    pool_->data = shared_;
    return NGX_OK;
}

std::optional<std::string> MemoryStore::load(
    std::string_view key, std::int64_t now, std::int64_t until)
{
    std::string blob;
    for (std::size_t size = 1024;;) {
        blob.reserve(size); // which may throw: not under the lock

        Change change(*this);
        auto index = find(key);
        if (index == 0) {
            return {};
        }
        auto& session = head(index);
        if (now >= session.until) {
            forget(change, index, key);
            return {};
        }
        size = copy(session, blob);
        if (size == blob.size()) {
            touch(change, index);
            session.until = until != 0 ? until : session.until;
            return blob;
        }
    }
}

bool MemoryStore::save(std::string_view key, std::string_view blob,
    std::int64_t now, std::int64_t until)
{
    auto count = blocks_of(blob.size());
    if (count >= shared_->end) {
        return false;
    }
    Change change(*this);
    sweep(change, now);
    auto index = gather(change, static_cast<Index>(count));
    fill(index, key, blob, until);
    insert(change, index);
    forget(change, head(index).chain, key);
    return true;
}

void MemoryStore::drop(std::string_view key)
{
    Change change(*this);
    forget(change, bucket(key), key);
}

MemoryStore::Figures MemoryStore::figures()
{
    Change change(*this);
    return {shared_->sessions, shared_->evictions};
}

MemoryStore::Head& MemoryStore::head(Index index) const
{
    return shared_->blocks[index].head;
}

MemoryStore::Body& MemoryStore::body(Index index) const
{
    return shared_->blocks[index].body;
}

// Keys are digests: any of their bytes are a hash.
MemoryStore::Index& MemoryStore::bucket(std::string_view key) const
{
    std::uint64_t hash;
    ngx_memcpy(&hash, key.data(), sizeof(hash));
    return shared_->buckets[hash % shared_->bucket_count];
}

MemoryStore::Index MemoryStore::find(std::string_view key) const
{
    auto index = bucket(key);
    while (index != 0 && !head(index).is(key)) {
        index = head(index).chain;
    }
    return index;
}

// The size of the blob, which is copied where the string has room for it.
std::size_t MemoryStore::copy(const Head& session, std::string& blob) const
{
    if (session.size > blob.capacity()) {
        return session.size;
    }
    blob.assign(session.data, std::min<std::size_t>(session.size, head_room));
    for (auto i = session.next; i != 0; i = body(i).next) {
        blob.append(
            body(i).data, std::min(session.size - blob.size(), body_room));
    }
    return session.size;
}

void MemoryStore::fill(Index index, std::string_view key, std::string_view blob,
    std::int64_t until)
{
    auto& session = head(index);
    session.size = static_cast<std::uint32_t>(blob.size());
    session.until = until;
    ngx_memcpy(session.key, key.data(), key_size);
    blob.remove_prefix(blob.copy(session.data, head_room));
    for (auto i = session.next; i != 0; i = body(i).next) {
        blob.remove_prefix(blob.copy(body(i).data, body_room));
    }
}

// Makes the gathered blocks a session, the most recently used one.
void MemoryStore::insert(Change& change, Index index)
{
    auto& session = head(index);
    auto& first = bucket({session.key, key_size});
    auto newest = shared_->newest;
    session.chain = first;
    session.newer = 0;
    session.older = newest;
    change.set(newest != 0 ? head(newest).newer : shared_->oldest, index);
    change.set(shared_->newest, index);
    change.set(first, index);
    change.set(shared_->gathered, 0);
    change.set(shared_->sessions, shared_->sessions + 1);
    change.commit();
}

void MemoryStore::touch(Change& change, Index index)
{
    auto& session = head(index);
    auto newest = shared_->newest;
    if (index == newest) {
        return;
    }
    auto [newer, older] = std::pair(session.newer, session.older);
    change.set(head(newer).older, older);
    change.set(older != 0 ? head(older).newer : shared_->oldest, newer);
    change.set(session.newer, 0);
    change.set(session.older, newest);
    change.set(head(newest).newer, index);
    change.set(shared_->newest, index);
    change.commit();
}

void MemoryStore::remove(Change& change, Index index)
{
    auto& session = head(index);
    auto link = &bucket({session.key, key_size});
    while (*link != index) {
        link = &head(*link).chain;
    }
    auto [newer, older] = std::pair(session.newer, session.older);
    change.set(newer != 0 ? head(newer).older : shared_->newest, older);
    change.set(older != 0 ? head(older).newer : shared_->oldest, newer);
    change.set(*link, session.chain);
    change.set(shared_->sessions, shared_->sessions - 1);
    release(change, index);
}

// All of that key in a bucket: there are two while one replaces the other, and
// for longer where a worker was killed then.
void MemoryStore::forget(Change& change, Index from, std::string_view key)
{
    while (from != 0) {
        auto next = head(from).chain;
        if (head(from).is(key)) {
            remove(change, from);
        }
        from = next;
    }
}

// Looks at a few in turn, so that expired sessions do not push out others,
// whatever their place in the queue.
void MemoryStore::sweep(Change& change, std::int64_t now)
{
    for (int i = 0; i < 4; i++) {
        shared_->hand = (shared_->hand + 1) % shared_->bucket_count;
        auto index = shared_->buckets[shared_->hand];
        while (index != 0) {
            auto& session = head(index);
            auto next = session.chain;
            if (now >= session.until) {
                remove(change, index);
            }
            index = next;
        }
    }
}

// Takes as many blocks, fewer than there are, from the least recently used
// sessions where none are free.
MemoryStore::Index MemoryStore::gather(Change& change, Index count)
{
    while (shared_->free_count < count) {
        if (shared_->fresh < shared_->end) {
            open_up(change);
        } else {
            remove(change, shared_->oldest);
            shared_->evictions++;
        }
    }
    auto first = shared_->free;
    auto last = first;
    for (auto i = count; i > 1; i--) {
        last = body(last).next;
    }
    change.set(shared_->gathered, first);
    change.set(shared_->free, body(last).next);
    change.set(shared_->free_count, shared_->free_count - count);
    change.set(body(last).next, 0);
    change.commit();
    return first;
}

// Frees one of the blocks that were never used: the system gives memory for
// them when it is needed.
void MemoryStore::open_up(Change& change)
{
    auto index = shared_->fresh;
    body(index).next = shared_->free;
    change.set(shared_->free, index);
    change.set(shared_->free_count, shared_->free_count + 1);
    change.set(shared_->fresh, index + 1);
    change.commit();
}

// Frees blocks, together with what else the change holds.
void MemoryStore::release(Change& change, Index first)
{
    auto last = first;
    Index count = 1;
    for (; body(last).next != 0; last = body(last).next) {
        count++;
    }
    change.set(body(last).next, shared_->free);
    change.set(shared_->free, first);
    change.set(shared_->free_count, shared_->free_count + count);
    change.commit();
}

}
