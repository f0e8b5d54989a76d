#include "ngx/zone.h"

#include "ngx/zone_layout.h"

namespace ngx {
namespace {

ngx_str_t zone_name = ngx_string("ngx_http_oidc_state");

// The zone of that name in a cycle that has run, unless it is `other`.
ngx_shm_zone_t* find_zone(ngx_cycle_t* cycle, const ngx_shm_zone_t* other)
{
    auto part = &cycle->shared_memory.part;
    for (; part != nullptr; part = part->next) {
        auto zones = static_cast<ngx_shm_zone_t*>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (zones[i].tag == other->tag && zones[i].data != nullptr &&
                view(zones[i].shm.name) == view(zone_name) &&
                &zones[i] != other) {
                return &zones[i];
            }
        }
    }
    return nullptr;
}

}

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
    for (auto& takings : shared->takings) {
        ngx_queue_init(&takings.taken);
        ngx_queue_init(&takings.left);
    }
    ngx_queue_init(&shared->documents);
    if (create_revocations(zone->shm.size) != NGX_OK) {
        return NGX_ERROR;
    }

    auto cycle = const_cast<ngx_cycle_t*>(ngx_cycle);
    return guard(cycle, static_cast<ngx_int_t>(NGX_ERROR), [&] {
        // A zone of another size is new memory: the sessions go on with the
        // key of the old one.
        auto before = find_zone(cycle, zone);
        auto key = before != nullptr ?
            static_cast<Zone*>(before->data)->key() :
            oidc::Secret(oidc::random_bytes(Shared::key_size));
        ngx_memcpy(shared->key, key.reveal().data(), Shared::key_size);
        return static_cast<ngx_int_t>(NGX_OK);
    });
}

oidc::Secret Zone::key() const
{
    return oidc::Secret(std::string(
        reinterpret_cast<const char*>(shared_->key), Shared::key_size));
}

// Room is made of logins, and for all but those also of what else has ended:
// what anybody can do pushes out only its own kind.
void* Zone::allocate(std::size_t size, Purpose from)
{
    auto memory = ngx_slab_alloc_locked(pool_, size);
    while (memory == nullptr) {
        auto spare = find_spare(from);
        if (spare == nullptr) {
            break;
        }
        remove(spare);
        memory = ngx_slab_alloc_locked(pool_, size);
    }
    return memory;
}

}
