// Locks of oidc_state_zone, for what may run once only: the first who acquires
// an id runs it, later ones get its result. The state of a record is a
// LockState, its number the process that holds the lock. The result is a record
// of its own, which expires earlier.
#include "store/zone.h"
#include "store/zone_layout.h"

#include <algorithm>

namespace ngx {
namespace {

// Ids are random bytes or digests of this size; others are digested.
std::string key_of(std::string_view id)
{
    return id.size() == Zone::key_size ?
        std::string(id) :
        oidc::digest(oidc::Hash::sha256, id).substr(0, Zone::key_size);
}

std::uint8_t state_of(LockState state)
{
    return static_cast<std::uint8_t>(state);
}

LockState lock_state_of(const ShmTable::Record& record)
{
    auto state = static_cast<LockState>(record.state);
    auto is_orphan = state == LockState::busy &&
        !is_alive(static_cast<ngx_pid_t>(record.number));
    return is_orphan ? LockState::abandoned : state;
}

// A login is not tried again: its code is used.
bool is_vacant(const ShmTable::Record& record, Time now)
{
    return now >= record.until ||
        (lock_state_of(record) == LockState::abandoned &&
            record.queue != queue::of(Zone::Purpose::login));
}

}

Acquisition Zone::acquire(
    Purpose purpose, std::string_view id, Time now, Time until)
{
    auto key = key_of(id);
    std::string result;
    result.reserve(max_result); // before the lock: an allocation may block

    Change change(table_);
    sweep(change, now);
    auto index = table_.find(space::once, key);
    if (index != 0 && is_vacant(table_[index], now)) {
        remove_once(change, index);
        change.commit();
        index = 0;
    }
    if (index != 0) {
        auto stored = table_.find(space::results, key);
        if (stored != 0 && now < table_[stored].until) {
            table_.copy(stored, result);
        }
        return {lock_state_of(table_[index]), std::move(result)};
    }
    drop(change, space::results, key);
    change.commit();
    if (make_room(change, 0, purpose)) { // else the provider's code protects
        table_.insert(change,
            {.space = space::once,
                .queue = queue::of(purpose),
                .key = key,
                .until = until,
                .state = state_of(LockState::busy),
                .number = static_cast<std::uint32_t>(ngx_pid)});
        change.commit();
    }
    return {LockState::ours, {}};
}

void Zone::finish(
    std::string_view id, std::string_view result, Time now, Seconds keep)
{
    auto key = key_of(id);
    Change change(table_);
    auto index = table_.find(space::once, key);
    if (index == 0 || table_[index].state != state_of(LockState::busy)) {
        return;
    }
    auto& record = table_[index];
    auto is_login = record.queue == queue::of(Purpose::login);
    auto purpose = is_login ? Purpose::login : Purpose::renewal;
    auto is_kept = !result.empty() && result.size() <= max_result &&
        make_room(change, result.size(), purpose, index);

    // A state stays used; a renewal that failed may be tried again.
    auto until = now + keep;
    change.set(record.until, is_login ? std::max(record.until, until) : until);
    change.set(record.state, state_of(LockState::ended));
    if (is_kept) {
        table_.insert(change,
            {.space = space::results,
                .queue = queue::results_of(record.queue),
                .key = key,
                .until = until,
                .blob = result});
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
    // It may have expired, and another worker may have acquired it.
    auto& record = table_[index];
    if (record.state == state_of(LockState::busy) &&
        record.number == static_cast<std::uint32_t>(ngx_pid)) {
        change.set(record.state, state_of(LockState::abandoned));
        change.commit();
    }
}

void Zone::remove_once(Change& change, Index index)
{
    drop(change, space::results, table_[index].key_text());
    table_.remove(change, index);
}

// The oldest login. For other purposes and without a login, the oldest of the
// other locks that is not held.
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
            if (i != kept && table_[i].state != state_of(LockState::busy)) {
                return i;
            }
        }
    }
    return 0;
}

}
