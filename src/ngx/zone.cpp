#include "ngx/zone.h"

namespace ngx {
namespace {

constexpr std::size_t key_size = 32;
constexpr std::int64_t keep_left = 30; // seconds

ngx_str_t zone_name = ngx_string("ngx_http_oidc_state");

class Lock {
public:
    explicit Lock(ngx_slab_pool_t* pool) : pool_(pool)
    {
        ngx_shmtx_lock(&pool_->mutex);
    }
    ~Lock() { ngx_shmtx_unlock(&pool_->mutex); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

private:
    ngx_slab_pool_t* pool_;
};

// The zone of that name in a cycle that has run, unless it is `other`.
ngx_shm_zone_t* find_zone(ngx_cycle_t* cycle, const ngx_shm_zone_t* other)
{
    auto part = &cycle->shared_memory.part;
    for (; part != nullptr; part = part->next) {
        auto zones = static_cast<ngx_shm_zone_t*>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (zones[i].tag == other->tag && zones[i].data != nullptr &&
                &zones[i] != other) {
                return &zones[i];
            }
        }
    }
    return nullptr;
}

ngx_str_t str(std::string_view s)
{
    return {s.size(), reinterpret_cast<u_char*>(const_cast<char*>(s.data()))};
}

}

// Changes of its layout need a new version, which ends what an older one left.
struct Zone::Shared {
    static constexpr ngx_uint_t current = 1;

    ngx_uint_t version;
    u_char key[key_size];
    ngx_rbtree_t tree;
    ngx_rbtree_node_t sentinel;
    ngx_queue_t taken; // newest first
};

struct Zone::Node {
    ngx_str_node_t by_id;
    ngx_queue_t link;
    std::int64_t until;
    std::int64_t left_at;
    Taken state;
    ngx_str_t left;
    u_char id[1];
};

Zone* Zone::add(ngx_conf_t* cf, std::size_t size)
{
    auto zone =
        ngx_shared_memory_add(cf, &zone_name, size, &ngx_http_oidc_module);
    if (zone == nullptr) {
        return nullptr;
    }
    auto self = make<Zone>(cf->pool);
    zone->init = init;
    zone->data = self;
    return self;
}

ngx_int_t Zone::init(ngx_shm_zone_t* zone, void* data)
{
    auto self = static_cast<Zone*>(zone->data);
    self->pool_ = reinterpret_cast<ngx_slab_pool_t*>(zone->shm.addr);

    // data is the Zone of the cycle before, whose memory this is.
    if (data != nullptr || zone->shm.exists) {
        self->shared_ = static_cast<Shared*>(self->pool_->data);
        if (self->shared_->version == Shared::current) {
            return NGX_OK;
        }
    }
    return self->create(zone);
}

ngx_int_t Zone::create(ngx_shm_zone_t* zone)
{
    auto shared = static_cast<Shared*>(ngx_slab_calloc(pool_, sizeof(Shared)));
    if (shared == nullptr) {
        return NGX_ERROR;
    }
    shared_ = shared;
    pool_->data = shared;
    pool_->log_nomem = 0;
    shared->version = Shared::current;
    ngx_rbtree_init(
        &shared->tree, &shared->sentinel, ngx_str_rbtree_insert_value);
    ngx_queue_init(&shared->taken);

    auto cycle = const_cast<ngx_cycle_t*>(ngx_cycle);
    return guard(cycle, static_cast<ngx_int_t>(NGX_ERROR), [&] {
        // A zone of another size is new memory: the sessions go on with the
        // key of the old one.
        auto before = find_zone(cycle, zone);
        auto key = before != nullptr ?
            static_cast<Zone*>(before->data)->key() :
            oidc::Secret(oidc::random_bytes(key_size));
        ngx_memcpy(shared->key, key.reveal().data(), key_size);
        return static_cast<ngx_int_t>(NGX_OK);
    });
}

oidc::Secret Zone::key() const
{
    return oidc::Secret(
        std::string(reinterpret_cast<const char*>(shared_->key), key_size));
}

Zone::Taking Zone::take(
    std::string_view id, std::int64_t now, std::int64_t until)
{
    std::string left;
    left.reserve(8192); // no allocation, which may throw, under the lock

    Lock lock(pool_);
    sweep(now);
    auto node = find(id);
    if (node == nullptr) {
        node = insert(id);
        if (node != nullptr) { // else the provider's code stands guard
            node->until = until;
            node->state = Taken::busy;
        }
        return {Taken::ours, {}};
    }
    if (now < node->left_at + keep_left && node->left.len <= left.capacity()) {
        left.assign(view(node->left));
    }
    return {node->state, std::move(left)};
}

void Zone::leave(std::string_view id, std::string_view text, std::int64_t now)
{
    Lock lock(pool_);
    auto node = find(id);
    if (node == nullptr || node->state != Taken::busy) {
        return;
    }
    node->state = Taken::ended;
    node->left_at = now;
    if (text.empty()) {
        return;
    }
    node->left.data =
        static_cast<u_char*>(ngx_slab_alloc_locked(pool_, text.size()));
    if (node->left.data != nullptr) {
        ngx_memcpy(node->left.data, text.data(), text.size());
        node->left.len = text.size();
    }
}

void Zone::abandon(std::string_view id)
{
    Lock lock(pool_);
    auto node = find(id);
    if (node != nullptr && node->state == Taken::busy) {
        node->state = Taken::abandoned;
    }
}

Zone::Node* Zone::find(std::string_view id)
{
    auto key = str(id);
    auto hash = ngx_crc32_short(key.data, key.len);
    auto found = ngx_str_rbtree_lookup(&shared_->tree, &key, hash);
    // by_id is the first member
    return reinterpret_cast<Node*>(found);
}

Zone::Node* Zone::insert(std::string_view id)
{
    auto node = static_cast<Node*>(allocate(sizeof(Node) + id.size()));
    if (node == nullptr) {
        return nullptr;
    }
    ngx_memzero(node, sizeof(Node));
    ngx_memcpy(node->id, id.data(), id.size());
    node->by_id.str = {id.size(), node->id};
    node->by_id.node.key = ngx_crc32_short(node->id, id.size());
    ngx_rbtree_insert(&shared_->tree, &node->by_id.node);
    ngx_queue_insert_head(&shared_->taken, &node->link);
    return node;
}

void Zone::remove(Node* node)
{
    ngx_queue_remove(&node->link);
    ngx_rbtree_delete(&shared_->tree, &node->by_id.node);
    if (node->left.data != nullptr) {
        ngx_slab_free_locked(pool_, node->left.data);
    }
    ngx_slab_free_locked(pool_, node);
}

// Looks at the few oldest only, so that a request pays for about one other.
void Zone::sweep(std::int64_t now)
{
    auto link = ngx_queue_last(&shared_->taken);

    for (int i = 0; i < 4 && link != &shared_->taken; i++) {
        auto node = ngx_queue_data(link, Node, link);
        link = ngx_queue_prev(link);
        if (node->until <= now) {
            remove(node);
        } else if (node->left.data != nullptr &&
            node->left_at + keep_left <= now) {
            ngx_slab_free_locked(pool_, node->left.data);
            ngx_str_null(&node->left);
        }
    }
}

void* Zone::allocate(std::size_t size)
{
    auto memory = ngx_slab_alloc_locked(pool_, size);
    while (memory == nullptr && !ngx_queue_empty(&shared_->taken)) {
        auto oldest = ngx_queue_last(&shared_->taken);
        remove(ngx_queue_data(oldest, Node, link));
        memory = ngx_slab_alloc_locked(pool_, size);
    }
    return memory;
}

}
