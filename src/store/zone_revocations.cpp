// The sessions that were ended before their time, in oidc_state_zone. Where
// there are none, which is the rule, a request pays for a few reads.
#include "store/zone_layout.h"

#include <algorithm>
#include <array>

namespace ngx {
namespace {

constexpr std::size_t min_of_address = 16;

std::string_view bytes_of(const TimeMs& value)
{
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

}

bool Zone::revoke(const Revocation& revocation, Time now)
{
    Change change(table_);
    if (shared_->superseded != 0) {
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
        shared_->watermark.load(std::memory_order_acquire));
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

// In the order in which a record moves backwards, or it would be missed.
bool Zone::has_revocations() const
{
    return table_.count(queue::unowned) != 0 ||
        table_.count(queue::addressed) != 0 ||
        table_.count(queue::proven) != 0 || shared_->watermark != 0;
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
    ShmTable::Entry entry;
    entry.space = space::revocations;
    entry.queue = revocation.is_proven ? queue::proven :
        owner.empty()                  ? queue::unowned :
                                         queue::addressed;
    entry.key = revocation.key;
    entry.owner = owner;
    entry.until = oidc::to_seconds(revocation.until);
    entry.blob = bytes_of(revocation.at);
    table_.insert(change, entry);
    change.commit();
    return true;
}

// An address that has its share, or any where all have theirs, pushes out its
// own oldest one; who has none the oldest of its kind.
void Zone::limit_unproven(Change& change, std::string_view owner)
{
    auto most = table_.capacity() / 8;
    auto share = std::max<std::size_t>(most / 8, min_of_address);
    auto all = table_.count(queue::addressed) + table_.count(queue::unowned);

    Index oldest = 0;
    std::size_t own = 0;
    for (auto i = table_.first_of(queue::addressed, owner); i != 0;
         i = table_.next_of(i)) {
        oldest = i;
        own++;
    }
    if (own < share && all < most) {
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

void Zone::raise(Change& change, Index index, const Times& times)
{
    auto before = times_of(index);
    auto at = std::max(before.at, times.at);
    table_.overwrite(change, index, bytes_of(at));
    change.set(table_[index].until,
        oidc::to_seconds(std::max(before.until, times.until)));
}

// What somebody has asked for who may is not pushed out any more.
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

// The records of a subject become one, of its own key, which ends all of its
// sessions begun until the latest of their times. It is there before the
// others go, and needs no room but for that long.
bool Zone::collapse(Change& change, std::string_view subject, Times times)
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
        ShmTable::Entry entry;
        entry.space = space::revocations;
        entry.queue = queue::proven;
        entry.key = subject;
        entry.owner = subject;
        entry.until = oidc::to_seconds(times.until);
        entry.blob = bytes_of(times.at);
        own = table_.insert(change, entry);
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

Zone::Times Zone::times_of(Index index) const
{
    const auto& record = table_[index];
    Times times;
    ngx_memcpy(&times.at, record.data, sizeof(times.at));
    times.until = oidc::from_seconds(record.until);
    return times;
}

// Of the proven ones that do not fit the oldest are left out, and their time
// is kept: all sessions begun until then are revoked. Of the others what does
// not fit is gone, as if pushed out.
void Zone::inherit(Change& change, const Zone& before)
{
    const auto& old = before.table_;
    auto room = std::min<std::size_t>(
        table_.capacity() / 4 * 3 - table_.count(queue::proven), table_.room());
    Times left_out{oidc::from_milliseconds(before.shared_->watermark),
        before.shared_->watermark_until};
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
    shared_->watermark_until = left_out.until;
    shared_->watermark = oidc::to_milliseconds(left_out.at);
}

}
