// What each client may still cause, in oidc_state_zone: a token bucket for each
// of those that were here last.
#include "store/zone_layout.h"

namespace ngx {
namespace {

std::string_view bytes_of(const oidc::Bucket& bucket)
{
    return {reinterpret_cast<const char*>(&bucket), sizeof(bucket)};
}

Time seconds_after(TimeUs now)
{
    return std::chrono::floor<Seconds>(now) + 1s;
}

}

bool Zone::take_token(std::string_view client, oidc::Rate rate, TimeUs now)
{
    Change change(table_);
    table_.sweep(change, queue::buckets,
        oidc::to_seconds(std::chrono::floor<Seconds>(now)));
    auto index = table_.find(space::buckets, client);
    auto bucket = index != 0 ? this->bucket(index) : oidc::Bucket();
    auto is_taken = bucket.take(rate, now);
    auto until = seconds_after(now + rate.period);
    if (index != 0) {
        set_bucket(change, index, bucket, until);
    } else {
        add_bucket(change, client, bucket, until);
    }
    return is_taken;
}

// Who has no bucket has a full one.
void Zone::refund_token(std::string_view client, Microseconds cost)
{
    Change change(table_);
    if (auto index = table_.find(space::buckets, client)) {
        auto bucket = this->bucket(index);
        bucket.refund(cost);
        set_bucket(
            change, index, bucket, oidc::from_seconds(table_[index].until));
    }
}

oidc::Bucket Zone::bucket(Index index) const
{
    std::string bytes;
    bytes.reserve(sizeof(oidc::Bucket));
    table_.copy(index, bytes);
    oidc::Bucket bucket;
    ngx_memcpy(static_cast<void*>(&bucket), bytes.data(), sizeof(bucket));
    return bucket;
}

void Zone::set_bucket(
    Change& change, Index index, const oidc::Bucket& bucket, Time until)
{
    table_.overwrite(change, index, bytes_of(bucket));
    change.set(table_[index].until, oidc::to_seconds(until));
    table_.touch(change, index);
    change.commit();
}

// Room is made of logins, up to the buckets' share; then those that were not
// asked for longest go.
void Zone::add_bucket(Change& change, std::string_view client,
    const oidc::Bucket& bucket, Time until)
{
    auto size = sizeof(bucket);
    auto most = table_.capacity() / max_buckets_part;
    auto has_room = table_.count(queue::buckets) < most &&
        make_room(change, size, Purpose::login);
    if (!has_room && table_.count(queue::buckets) == 0) {
        return;
    }
    if (!has_room) {
        table_.remove(change, table_.oldest(queue::buckets));
        change.commit();
    }
    ShmTable::Entry entry;
    entry.space = space::buckets;
    entry.queue = queue::buckets;
    entry.key = client;
    entry.until = oidc::to_seconds(until);
    entry.blob = bytes_of(bucket);
    table_.insert(change, entry);
    change.commit();
}

}
