// What may be done once only, by the ids of oidc_state_zone: whoever acquires
// one first does it, and leaves its result to those who come after. The state
// of a record is a Standing, its number the process that has acquired it; the
// result is a record of its own, which goes earlier.
#include "store/zone_layout.h"

#include <algorithm>

namespace ngx {
namespace {

using Standing = Zone::Standing;

// Ids are random bytes or digests of this size; others become such.
std::string key_of(std::string_view id)
{
    return id.size() == Zone::key_size ?
        std::string(id) :
        oidc::digest(oidc::Hash::sha256, id).substr(0, Zone::key_size);
}

std::uint8_t state_of(Standing standing)
{
    return static_cast<std::uint8_t>(standing);
}

Standing standing_of(const ShmTable::Record& record)
{
    auto standing = static_cast<Standing>(record.state);
    auto is_orphan = standing == Standing::busy &&
        !is_alive(static_cast<ngx_pid_t>(record.number));
    return is_orphan ? Standing::abandoned : standing;
}

// A login is not tried again: its code is spent.
bool is_vacant(const ShmTable::Record& record, Time now)
{
    return oidc::to_seconds(now) >= record.until ||
        (standing_of(record) == Standing::abandoned &&
            record.queue != queue::of(Zone::Purpose::login));
}

}

Zone::Acquisition Zone::acquire(
    Purpose purpose, std::string_view id, Time now, Time until)
{
    auto key = key_of(id);
    std::string result;
    result.reserve(
        max_result); // it may wait for the system: not under the lock

    Change change(table_);
    sweep(change, now);
    auto index = table_.find(space::once, key);
    if (index != 0 && is_vacant(table_[index], now)) {
        remove_once(change, index);
        change.commit();
        index = 0;
    }
    if (index != 0) {
        auto left = table_.find(space::results, key);
        if (left != 0 && oidc::to_seconds(now) < table_[left].until) {
            table_.copy(left, result);
        }
        return {standing_of(table_[index]), std::move(result)};
    }
    drop(change, space::results, key);
    change.commit();
    if (make_room(change, 0, purpose)) { // else the provider stands guard
        ShmTable::Entry entry;
        entry.space = space::once;
        entry.queue = queue::of(purpose);
        entry.key = key;
        entry.until = oidc::to_seconds(until);
        entry.state = state_of(Standing::busy);
        entry.number = static_cast<std::uint32_t>(ngx_pid);
        table_.insert(change, entry);
        change.commit();
    }
    return {Standing::ours, {}};
}

void Zone::finish(
    std::string_view id, std::string_view result, Time now, Seconds keep)
{
    auto key = key_of(id);
    Change change(table_);
    auto index = table_.find(space::once, key);
    if (index == 0 || table_[index].state != state_of(Standing::busy)) {
        return;
    }
    auto& record = table_[index];
    auto is_login = record.queue == queue::of(Purpose::login);
    auto purpose = is_login ? Purpose::login : Purpose::renewal;
    auto is_kept = !result.empty() && result.size() <= max_result &&
        make_room(change, result.size(), purpose, index);

    // A state stays used; a renewal that failed may be tried again.
    auto until = oidc::to_seconds(now + keep);
    change.set(record.until, is_login ? std::max(record.until, until) : until);
    change.set(record.state, state_of(Standing::ended));
    if (is_kept) {
        ShmTable::Entry entry;
        entry.space = space::results;
        entry.queue = queue::results_of(record.queue);
        entry.key = key;
        entry.until = until;
        entry.blob = result;
        table_.insert(change, entry);
    }
    change.commit();
}

void Zone::abandon(std::string_view id)
{
    auto key = key_of(id);
    Change change(table_);
    auto index = table_.find(space::once, key);
    if (index == 0) {
        return;
    }
    // It may have expired, and be another worker's now.
    auto& record = table_[index];
    if (record.state == state_of(Standing::busy) &&
        record.number == static_cast<std::uint32_t>(ngx_pid)) {
        change.set(record.state, state_of(Standing::abandoned));
        change.commit();
    }
}

void Zone::remove_once(Change& change, Index index)
{
    drop(change, space::results, table_[index].key_text());
    table_.remove(change, index);
}

// The oldest login; or, where not only those may go, the oldest of the others
// that is not under way.
Zone::Index Zone::find_spare(Purpose from, Index kept) const
{
    auto login = table_.oldest(queue::of(Purpose::login));
    if (login != 0 && login == kept) {
        login = table_[login].newer;
    }
    if (login != 0 || from == Purpose::login) {
        return login;
    }
    for (auto purpose : {Purpose::renewal, Purpose::logout}) {
        for (auto i = table_.oldest(queue::of(purpose)); i != 0;
             i = table_[i].newer) {
            if (i != kept && table_[i].state != state_of(Standing::busy)) {
                return i;
            }
        }
    }
    return 0;
}

}
