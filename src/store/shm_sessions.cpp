#include "store/shm_sessions.h"

#include <algorithm>

namespace ngx {
namespace {

constexpr std::size_t block_size = 128;
constexpr std::uint8_t space = 0;
constexpr std::uint8_t queue = 0;

}

// The table follows it. A change of the layout needs a new version: a zone of
// another version is cleared.
struct MemoryStore::Shared {
    static constexpr ngx_uint_t current = 2;

    ngx_uint_t version;
    std::uint64_t evictions;
};

MemoryStore* MemoryStore::add(ngx_conf_t* cf, std::string_view name,
    std::size_t size, std::size_t max_count)
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
    auto store = static_cast<MemoryStore*>(zone->data);
    store->max_count_ = max_count;
    return store;
}

ngx_int_t MemoryStore::init(ngx_shm_zone_t* zone, void* data)
{
    auto self = static_cast<MemoryStore*>(zone->data);
    self->pool_ = reinterpret_cast<ngx_slab_pool_t*>(zone->shm.addr);

    // data is the store of the old cycle, which has the same memory.
    if (data != nullptr || zone->shm.exists) {
        self->shared_ = static_cast<Shared*>(self->pool_->data);
        if (self->shared_->version == Shared::current) {
            self->table_.attach(self->pool_, self->shared_ + 1);
            return NGX_OK;
        }
        ngx_slab_init(self->pool_);
    }
    return guard(const_cast<ngx_cycle_t*>(ngx_cycle), NGX_ERROR,
        [self] { return self->create(); });
}

// Takes all of the zone.
ngx_int_t MemoryStore::create()
{
    auto size = pool_->pfree * ngx_pagesize;
    shared_ = static_cast<Shared*>(ngx_slab_alloc(pool_, size));
    if (shared_ == nullptr) {
        return NGX_ERROR;
    }
    shared_->evictions = 0;
    table_.create(pool_, shared_ + 1, size - sizeof(Shared), block_size, false);
    shared_->version = Shared::current;
    pool_->data = shared_;
    return NGX_OK;
}

std::optional<std::string> MemoryStore::load(
    std::string_view key, Time now, Time until)
{
    std::string blob;
    for (std::size_t size = 1024;;) {
        blob.reserve(size); // before the lock: an allocation may block

        Change change(table_);
        auto index = table_.find(space, key);
        if (index == 0) {
            return {};
        }
        auto& session = table_[index];
        if (now >= session.until) {
            table_.remove(change, index);
            change.commit();
            return {};
        }
        size = table_.copy(index, blob);
        if (size == blob.size()) {
            table_.touch(change, index);
            change.set(session.until, until != Time() ? until : session.until);
            change.commit();
            return blob;
        }
    }
}

bool MemoryStore::save(std::string_view key, std::string_view blob,
    std::string_view owner, Time now, Time until)
{
    auto count = table_.blocks_of(blob.size());
    if (count > table_.capacity()) {
        return false;
    }
    Change change(table_);
    table_.sweep(change, queue, now);
    limit_share(change, owner, count, table_.find(space, key));
    make_room(change, count, table_.find(space, key) == 0);

    auto before = table_.find(space, key); // may have been evicted
    table_.insert(change,
        {.space = space,
            .queue = queue,
            .key = key,
            .owner = owner,
            .until = until,
            .blob = blob});
    if (before != 0) {
        table_.remove(change, before);
    }
    change.commit();
    return true;
}

void MemoryStore::drop(std::string_view key)
{
    Change change(table_);
    if (auto index = table_.find(space, key)) {
        table_.remove(change, index);
        change.commit();
    }
}

MemoryStore::Figures MemoryStore::figures()
{
    Change change(table_);
    return {table_.count(queue), shared_->evictions};
}

// Removes the owner's least recently used sessions until the others fit beside
// a new one of so many blocks, which replaces `replaced`.
void MemoryStore::limit_share(
    Change& change, std::string_view owner, std::size_t count, Index replaced)
{
    auto max_count = std::max<std::size_t>(table_.capacity() / share, count);
    std::size_t sessions = 1;
    for (auto i = table_.first_of(queue, owner); i != 0;) {
        auto next = table_.next_of(i);
        count += i != replaced ? table_.blocks_of(table_[i].size) : 0;
        sessions += i != replaced;
        if (i != replaced && (count > max_count || sessions > max_sessions)) {
            count = max_count; // so that all older ones go, too
            table_.remove(change, i);
            change.commit();
        }
        i = next;
    }
}

bool MemoryStore::is_full() const
{
    return max_count_ > 0 && table_.count(queue) >= max_count_;
}

void MemoryStore::make_room(Change& change, std::size_t count, bool is_new)
{
    while (table_.room() < count || (is_new && is_full())) {
        table_.remove(change, table_.oldest(queue));
        change.set(shared_->evictions, shared_->evictions + 1);
        change.commit();
    }
}

}
