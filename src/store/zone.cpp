#include "store/zone.h"

#include "store/zone_layout.h"

namespace ngx {
namespace {

ngx_str_t zone_name = ngx_string("ngx_http_oidc_state");

// The zone of that name in a cycle that has run, other than `other`.
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

    // data is the Zone of the old cycle, which has the same memory.
    if (data != nullptr || zone->shm.exists) {
        self->header_ = static_cast<ZoneHeader*>(self->pool_->data);
        if (self->header_->version == ZoneHeader::current) {
            self->table_.attach(self->pool_, self->header_ + 1);
            return NGX_OK;
        }
        ngx_slab_init(self->pool_);
    }
    return guard(const_cast<ngx_cycle_t*>(ngx_cycle), NGX_ERROR,
        [=] { return self->create(zone); });
}

// Takes all of the zone. A zone of another size than before is new memory: the
// key is copied from the old one, so that sessions stay valid.
ngx_int_t Zone::create(ngx_shm_zone_t* zone)
{
    auto size = pool_->pfree * ngx_pagesize;
    header_ = static_cast<ZoneHeader*>(ngx_slab_alloc(pool_, size));
    if (header_ == nullptr) {
        return NGX_ERROR;
    }
    ngx_memzero(static_cast<void*>(header_), sizeof(ZoneHeader));
    table_.create(pool_, header_ + 1, size - sizeof(ZoneHeader),
        ZoneHeader::block_size, true);

    auto old = find_zone(const_cast<ngx_cycle_t*>(ngx_cycle), zone);
    before_ = old != nullptr ? static_cast<Zone*>(old->data) : nullptr;
    auto key = before_ != nullptr ?
        before_->key() :
        oidc::Secret(oidc::random_bytes(ZoneHeader::secret_size));
    ngx_memcpy(header_->key, key.reveal().data(), ZoneHeader::secret_size);
    header_->version = ZoneHeader::current;
    pool_->data = header_;
    return NGX_OK;
}

oidc::Secret Zone::key() const
{
    return oidc::Secret(std::string(
        reinterpret_cast<const char*>(header_->key), ZoneHeader::secret_size));
}

void Zone::take_over()
{
    auto before = std::exchange(before_, nullptr);
    if (before == nullptr) {
        return;
    }
    Change old(before->table_);
    old.set(before->header_->superseded, 1);
    old.commit();
    Change change(table_);
    inherit(change, *before);
}

// Evicts logins, and for other purposes also other locks that have ended: what
// anybody can cause evicts only its own kind.
bool Zone::make_room(Change& change, std::size_t size, Purpose from, Index kept)
{
    while (table_.room() < table_.blocks_of(size)) {
        auto spare = find_spare(from, kept);
        if (spare == 0) {
            return false;
        }
        remove_once(change, spare);
        change.commit();
    }
    return true;
}

void Zone::drop(Change& change, std::uint8_t space, std::string_view key)
{
    if (auto index = table_.find(space, key)) {
        table_.remove(change, index);
    }
}

// A few of each kind: each request removes about as many as it adds.
void Zone::sweep(Change& change, Time now)
{
    for (std::uint8_t i = 0; i < queue::documents; i++) {
        table_.sweep(change, i, now);
    }
    if (header_->watermark != 0 && now >= header_->watermark_until) {
        header_->watermark = 0;
    }
}

}
