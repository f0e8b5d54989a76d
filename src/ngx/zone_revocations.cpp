// The sessions that were ended before their time, in oidc_state_zone. Where
// there are none, which is the rule, a request pays for one read.
#include "ngx/zone_layout.h"

#include <algorithm>

namespace ngx {

bool Zone::revoke(std::string_view key, std::int64_t at, std::int64_t until,
    std::int64_t now, bool asked_by_anyone)
{
    Lock lock(pool_);
    sweep_revocations(now);
    auto record = find_revocation(key);
    if (record == nullptr) {
        record = add_revocation(key, asked_by_anyone);
        if (record == nullptr) {
            return false;
        }
    }
    record->at = std::max(record->at, at);
    record->until = std::max(record->until, until);
    return asked_by_anyone || establish(record);
}

std::int64_t Zone::revoked_at(std::span<const std::string_view> keys) const
{
    if (!has_revocations()) {
        return 0;
    }
    auto none = std::all_of(keys.begin(), keys.end(),
        [this](auto key) { return shared_->bucket(key).load() == nullptr; });
    if (none) {
        return 0;
    }
    Lock lock(pool_);
    std::int64_t at = 0;
    for (auto key : keys) {
        if (auto record = find_revocation(key)) {
            at = std::max(at, record->at);
        }
    }
    return at;
}

bool Zone::has_revocations() const
{
    return shared_->revocations.load(std::memory_order_acquire) != 0;
}

ngx_int_t Zone::create_revocations(std::size_t size)
{
    auto& [proven, by_anyone] = shared_->kinds;
    ngx_queue_init(&proven.queue);
    ngx_queue_init(&by_anyone.queue);
    proven.most = size / 4 * 3 / sizeof(Revocation);
    by_anyone.most = size / 8 / sizeof(Revocation);

    auto count = size / 512;
    shared_->bucket_count = count;
    shared_->buckets = static_cast<std::atomic<Revocation*>*>(
        ngx_slab_calloc(pool_, count * sizeof(std::atomic<Revocation*>)));
    return shared_->buckets != nullptr ? NGX_OK : NGX_ERROR;
}

Zone::Revocation* Zone::find_revocation(std::string_view key) const
{
    auto record = shared_->bucket(key).load();
    while (record != nullptr && !record->is(key)) {
        record = record->next;
    }
    return record;
}

Zone::Revocation* Zone::add_revocation(
    std::string_view key, bool asked_by_anyone)
{
    auto& kind = shared_->kinds[asked_by_anyone];
    if (kind.count >= kind.most) {
        if (!asked_by_anyone) {
            return nullptr;
        }
        auto oldest = ngx_queue_last(&kind.queue);
        remove(ngx_queue_data(oldest, Revocation, link));
    }
    auto record = static_cast<Revocation*>(allocate(sizeof(Revocation),
        asked_by_anyone ? Purpose::login : Purpose::logout));
    if (record == nullptr) {
        return nullptr;
    }
    ngx_memzero(record, sizeof(Revocation));
    ngx_memcpy(record->key, key.data(), revocation_size);
    record->asked_by_anyone = asked_by_anyone;

    shared_->revocations++; // first: who is killed here leaves one too many
    kind.count++;
    ngx_queue_insert_head(&kind.queue, &record->link);
    auto& bucket = shared_->bucket(key);
    record->next = bucket;
    bucket = record;
    return record;
}

// What somebody has asked for who may is not pushed out any more.
bool Zone::establish(Revocation* record)
{
    auto& [proven, by_anyone] = shared_->kinds;
    if (!record->asked_by_anyone) {
        return true;
    }
    if (proven.count >= proven.most) {
        return false;
    }
    record->asked_by_anyone = false;
    by_anyone.count--;
    proven.count++;
    ngx_queue_remove(&record->link);
    ngx_queue_insert_head(&proven.queue, &record->link);
    return true;
}

void Zone::remove(Revocation* record)
{
    auto& bucket = shared_->bucket(
        {reinterpret_cast<const char*>(record->key), revocation_size});
    if (bucket == record) {
        bucket = record->next;
    } else {
        auto before = bucket.load();
        while (before->next != record) {
            before = before->next;
        }
        before->next = record->next;
    }
    ngx_queue_remove(&record->link);
    shared_->kinds[record->asked_by_anyone].count--;
    shared_->revocations--;
    ngx_slab_free_locked(pool_, record);
}

// A few in turn: those of one provider may live much longer than another's.
void Zone::sweep_revocations(std::int64_t now)
{
    for (auto& [queue, count, most] : shared_->kinds) {
        for (int i = 0; i < 4 && !ngx_queue_empty(&queue); i++) {
            auto link = ngx_queue_last(&queue);
            auto record = ngx_queue_data(link, Revocation, link);
            if (now >= record->until) {
                remove(record);
            } else {
                ngx_queue_remove(link);
                ngx_queue_insert_head(&queue, link);
            }
        }
    }
}

}
