// Rate limits in oidc_state_zone: a token bucket for each recent client.
#include "store/zone.h"
#include "store/zone_layout.h"

namespace ngx {
namespace {

Time seconds_after(TimeUs now)
{
    return std::chrono::floor<Seconds>(now) + 1s;
}

}

bool Zone::take_token(std::string_view client, oidc::Rate rate, TimeUs now)
{
    Change change(table_);
    table_.sweep(change, queue::buckets, std::chrono::floor<Seconds>(now));
    auto index = table_.find(space::buckets, client);
    auto bucket = index != 0 ? table_.get<oidc::Bucket>(index) : oidc::Bucket();
    auto is_taken = bucket.take(rate, now);
    auto until = seconds_after(now + rate.period);
    if (index != 0) {
        set_bucket(change, index, bucket, until);
    } else {
        add_bucket(change, client, bucket, until);
    }
    return is_taken;
}

// A client without a bucket has all of its tokens.
void Zone::refund_token(std::string_view client, Microseconds cost)
{
    Change change(table_);
    if (auto index = table_.find(space::buckets, client)) {
        auto bucket = table_.get<oidc::Bucket>(index);
        bucket.refund(cost);
        set_bucket(change, index, bucket, table_[index].until);
    }
}

void Zone::set_bucket(
    Change& change, Index index, const oidc::Bucket& bucket, Time until)
{
    table_.set(change, index, bucket);
    change.set(table_[index].until, until);
    table_.touch(change, index);
    change.commit();
}

// Evicts logins while the buckets have less than their share of the zone, then
// the bucket that was not used for longest.
void Zone::add_bucket(Change& change, std::string_view client,
    const oidc::Bucket& bucket, Time until)
{
    auto size = sizeof(bucket);
    auto max_buckets = table_.capacity() / max_buckets_part;
    auto has_room = table_.count(queue::buckets) < max_buckets &&
        make_room(change, size, Purpose::login);
    if (!has_room && table_.count(queue::buckets) == 0) {
        return;
    }
    if (!has_room) {
        table_.remove(change, table_.oldest(queue::buckets));
        change.commit();
    }
    table_.insert(change,
        {.space = space::buckets,
            .queue = queue::buckets,
            .key = client,
            .until = until,
            .blob = bytes_of(bucket)});
    change.commit();
}

}
