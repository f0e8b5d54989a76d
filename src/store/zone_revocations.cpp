// The revocation records of oidc_state_zone. Where there are none, which is the
// usual case, they cost a request a few reads of memory.
#include "store/zone.h"
#include "store/zone_layout.h"

#include <algorithm>

namespace ngx {
namespace {

constexpr std::size_t min_of_address = 16;

std::uint8_t queue_of(const Zone::Revocation& revocation)
{
    return revocation.is_proven  ? queue::proven :
        revocation.owner.empty() ? queue::unowned :
                                   queue::addressed;
}

}

bool Zone::revoke(const Revocation& revocation, Time now)
{
    Change change(table_);
    if (header_->superseded != 0) {
        return false;
    }
    sweep(change, now);
    return add(change, revocation);
}

void Zone::pin(
    std::span<const std::string_view> keys, std::string_view subject, Time now)
{
    Change change(table_);
    sweep(change, now);
    for (auto key : keys) {
        if (auto index = table_.find(space::revocations, key)) {
            prove(change, index, subject);
        }
    }
}

TimeMs Zone::revoked_at(std::span<const std::string_view> keys) const
{
    auto at = oidc::from_milliseconds(
        header_->watermark.load(std::memory_order_acquire));
    if (!has_revocations() || !table_.may_have(space::revocations, keys)) {
        return at;
    }
    Change change(table_);
    for (auto key : keys) {
        if (auto index = table_.find(space::revocations, key)) {
            at = std::max(at, times_of(index).at);
        }
    }
    return at;
}

// A record only moves from the first two queues to the last one, so that this
// order finds it.
bool Zone::has_revocations() const
{
    return table_.count(queue::unowned) != 0 ||
        table_.count(queue::addressed) != 0 ||
        table_.count(queue::proven) != 0 || header_->watermark != 0;
}

bool Zone::add(Change& change, const Revocation& revocation)
{
    auto index = table_.find(space::revocations, revocation.key);
    if (index == 0) {
        return insert(change, revocation);
    }
    raise(change, index, {revocation.at, revocation.until});
    change.commit();
    return !revocation.is_proven || prove(change, index, revocation.owner);
}

bool Zone::insert(Change& change, const Revocation& revocation)
{
    auto owner = revocation.owner;
    auto is_subject = revocation.is_proven && !owner.empty();
    if (is_subject && (has_full_share(owner) || has_full_records())) {
        return collapse(change, owner, {revocation.at, revocation.until});
    }
    if (revocation.is_proven && has_full_records()) {
        return false;
    }
    if (!revocation.is_proven) {
        limit_unproven(change, owner);
    }
    if (!make_room(change, sizeof(revocation.at),
            revocation.is_proven ? Purpose::logout : Purpose::login)) {
        return false;
    }
    table_.insert(change,
        {.space = space::revocations,
            .queue = queue_of(revocation),
            .key = revocation.key,
            .owner = owner,
            .until = revocation.until,
            .blob = bytes_of(revocation.at)});
    change.commit();
    return true;
}

// Where the address has its share, or all addresses have theirs, evicts the
// oldest record of the address, or, where it has none, the oldest of its kind.
void Zone::limit_unproven(Change& change, std::string_view owner)
{
    auto max_unproven = table_.capacity() / 8;
    auto share = std::max<std::size_t>(max_unproven / 8, min_of_address);
    auto all = table_.count(queue::addressed) + table_.count(queue::unowned);

    Index oldest = 0;
    std::size_t own = 0;
    for (auto i = table_.first_of(queue::addressed, owner); i != 0;
         i = table_.next_of(i)) {
        oldest = i;
        own++;
    }
    if (own < share && all < max_unproven) {
        return;
    }
    if (oldest == 0) {
        auto own_kind = owner.empty() ? queue::unowned : queue::addressed;
        auto other = owner.empty() ? queue::addressed : queue::unowned;
        auto kind = table_.count(own_kind) != 0 ? own_kind : other;
        oldest = table_.oldest(kind);
    }
    table_.remove(change, oldest);
    change.commit();
}

void Zone::raise(Change& change, Index index, const RevocationTimes& times)
{
    auto before = times_of(index);
    auto at = std::max(before.at, times.at);
    table_.set(change, index, at);
    change.set(table_[index].until, std::max(before.until, times.until));
}

// A proven record is not evicted any more.
bool Zone::prove(Change& change, Index index, std::string_view subject)
{
    auto& record = table_[index];
    auto is_proven = record.queue == queue::proven;
    if (is_proven && (record.owner_size != 0 || subject.empty())) {
        return true;
    }
    auto has_room = is_proven || !has_full_records();
    if (has_room && (subject.empty() || !has_full_share(subject))) {
        table_.move(change, index, queue::proven, subject);
        change.commit();
        return true;
    }
    if (subject.empty() || !collapse(change, subject, times_of(index))) {
        return false;
    }
    if (record.key_text() != subject) {
        table_.remove(change, index);
        change.commit();
    }
    return true;
}

// Replaces the records of a subject by one, of its own key, which revokes all
// of its sessions begun until the latest of their times. The one is inserted
// before the others are removed.
bool Zone::collapse(
    Change& change, std::string_view subject, RevocationTimes times)
{
    auto first = table_.first_of(queue::proven, subject);
    for (auto i = first; i != 0; i = table_.next_of(i)) {
        times.at = std::max(times.at, times_of(i).at);
        times.until = std::max(times.until, times_of(i).until);
    }
    auto own = table_.find(space::revocations, subject);
    auto is_proven = own != 0 && table_[own].queue == queue::proven;
    if (!is_proven && first == 0 && has_full_records()) {
        return false;
    }
    if (own != 0) {
        raise(change, own, times);
        if (!table_[own].is_of(queue::proven, subject)) {
            table_.move(change, own, queue::proven, subject);
        }
    } else {
        if (!make_room(change, sizeof(times.at), Purpose::logout)) {
            return false;
        }
        own = table_.insert(change,
            {.space = space::revocations,
                .queue = queue::proven,
                .key = subject,
                .owner = subject,
                .until = times.until,
                .blob = bytes_of(times.at)});
    }
    change.commit();

    for (auto i = table_.first_of(queue::proven, subject); i != 0;) {
        auto next = table_.next_of(i);
        if (i != own) {
            table_.remove(change, i);
            change.commit();
        }
        i = next;
    }
    return true;
}

bool Zone::has_full_share(std::string_view subject) const
{
    std::size_t count = 0;
    for (auto i = table_.first_of(queue::proven, subject); i != 0;
         i = table_.next_of(i)) {
        count++;
    }
    return count >= max_records;
}

bool Zone::has_full_records() const
{
    return table_.count(queue::proven) >= table_.capacity() / 4 * 3;
}

RevocationTimes Zone::times_of(Index index) const
{
    return {table_.get<TimeMs>(index), table_[index].until};
}

// Where the proven records do not fit, the oldest are left out, and the
// watermark revokes all sessions begun until the latest of their times. Other
// records that do not fit are dropped, as if evicted.
void Zone::inherit(Change& change, const Zone& before)
{
    const auto& old = before.table_;
    auto room = std::min<std::size_t>(
        table_.capacity() / 4 * 3 - table_.count(queue::proven), table_.room());
    RevocationTimes left_out{oidc::from_milliseconds(before.header_->watermark),
        before.header_->watermark_until};
    std::size_t ahead = old.count(queue::proven);
    for (auto kind : {queue::proven, queue::addressed, queue::unowned}) {
        for (Index i = old.oldest(kind); i != 0; i = old[i].newer) {
            auto is_proven = kind == queue::proven;
            auto [at, until] = before.times_of(i);
            auto is_left_out = is_proven && ahead-- > room;
            if (is_left_out ||
                (!add(change,
                     {old[i].key_text(), old[i].owner_text(), is_proven, at,
                         until}) &&
                    is_proven)) {
                left_out.at = std::max(left_out.at, at);
                left_out.until = std::max(left_out.until, until);
            }
        }
    }
    header_->watermark_until = left_out.until;
    header_->watermark = oidc::to_milliseconds(left_out.at);
}

}
