// The documents of providers in oidc_state_zone: one worker at a time fetches
// one, for all workers. The state of a document, its body and the sentence of a
// failure are a record each, with the same key.
#include "store/zone.h"
#include "store/zone_layout.h"

#include <algorithm>

namespace ngx {
namespace {

constexpr std::size_t max_documents = 256;
constexpr auto never = Time::max();

std::string text_of(
    const ShmTable& table, std::uint8_t space, std::string_view id)
{
    std::string text;
    if (auto index = table.find(space, id)) {
        text.reserve(table[index].size);
        table.copy(index, text);
    }
    return text;
}

ShmTable::Entry entry_of(std::uint8_t space, std::uint8_t queue,
    std::string_view id, std::string_view blob)
{
    return {.space = space,
        .queue = queue,
        .key = id,
        .until = never,
        .blob = blob};
}

}

Zone::Snapshot Zone::read(std::string_view id, ngx_uint_t known, Time now)
{
    Change change(table_);
    Snapshot snapshot;
    auto index = table_.find(space::documents, id);
    if (index == 0) {
        return snapshot;
    }
    table_.touch(change, index);
    change.commit();
    auto document = table_.get<DocumentState>(index);
    snapshot.schedule = document.schedule;
    snapshot.serial = document.serial;
    if (document.serial != known) {
        snapshot.body = text_of(table_, space::bodies, id);
    }
    snapshot.is_fetching = document.is_fetching(now);
    if (document.has_failed) {
        snapshot.failure =
            oidc::Error{document.code, text_of(table_, space::failures, id)};
    }
    return snapshot;
}

Zone::Fetcher Zone::begin_fetch(
    std::string_view id, std::optional<oidc::Asker> newer, Time now, Time until)
{
    Change change(table_);
    auto index = get_document(change, id);
    if (index == 0) {
        return Fetcher::ours; // no room for its state: each worker fetches it
    }
    auto document = table_.get<DocumentState>(index);
    if (document.is_fetching(now)) {
        return Fetcher::others;
    }
    // A body without room in the zone is known to its fetcher alone.
    auto is_not_stored = document.serial == 0 && !document.has_failed;
    auto may = newer ? document.schedule.take_renewal(*newer, now) :
                       document.schedule.due(now) || is_not_stored;
    if (!may) {
        return Fetcher::too_soon;
    }
    document.fetcher = ngx_pid;
    document.fetching_until = until;
    table_.set(change, index, document);
    change.commit();
    return Fetcher::ours;
}

ngx_uint_t Zone::succeed(
    std::string_view id, std::string_view body, Time fresh_until)
{
    Change change(table_);
    auto index = table_.find(space::documents, id);
    if (index == 0) {
        return 0;
    }
    auto document = table_.get<DocumentState>(index);
    document.fetcher = 0;
    document.has_failed = false;
    document.schedule.succeed(fresh_until);
    if (document.serial == 0 || text_of(table_, space::bodies, id) != body) {
        document.serial = replace_body(change, id, body);
    }
    table_.set(change, index, document);
    drop(change, space::failures, id);
    change.commit();
    return document.serial;
}

// Returns the serial of the new body. Where there is no room for both, the old
// one is removed first.
std::uint64_t Zone::replace_body(
    Change& change, std::string_view id, std::string_view body)
{
    auto has_room = make_room(change, body.size(), Purpose::logout);
    auto old = table_.find(space::bodies, id);
    if (!has_room && old != 0) {
        forget_body(change, id, old);
        has_room = make_room(change, body.size(), Purpose::logout);
        old = 0;
    }
    if (!has_room) {
        return 0;
    }
    table_.insert(change, entry_of(space::bodies, queue::bodies, id, body));
    if (old != 0) {
        table_.remove(change, old);
    }
    change.set(header_->serial, header_->serial + 1);
    return header_->serial;
}

void Zone::forget_body(Change& change, std::string_view id, Index body)
{
    auto index = table_.find(space::documents, id);
    auto document = table_.get<DocumentState>(index);
    document.serial = 0;
    table_.set(change, index, document);
    table_.remove(change, body);
    change.commit();
}

void Zone::fail(std::string_view id, const oidc::Error& failure, Time now)
{
    auto detail =
        std::string_view(failure.detail).substr(0, DocumentState::max_detail);
    Change change(table_);
    auto index = table_.find(space::documents, id);
    if (index == 0) {
        return;
    }
    auto document = table_.get<DocumentState>(index);
    document.fetcher = 0;
    document.schedule.fail(now);
    document.has_failed = true;
    document.code = failure.code;
    drop(change, space::failures, id);
    change.commit();
    if (make_room(change, detail.size(), Purpose::logout)) {
        table_.insert(
            change, entry_of(space::failures, queue::failures, id, detail));
    }
    table_.set(change, index, document);
    change.commit();
}

void Zone::release(std::string_view id)
{
    Change change(table_);
    if (auto index = table_.find(space::documents, id)) {
        auto document = table_.get<DocumentState>(index);
        document.fetcher = 0;
        table_.set(change, index, document);
        change.commit();
    }
}

// The documents used least recently are evicted: those of earlier
// configurations, and of a provider that changes its URLs.
Zone::Index Zone::get_document(Change& change, std::string_view id)
{
    if (auto known = table_.find(space::documents, id)) {
        table_.touch(change, known);
        change.commit();
        return known;
    }
    while (table_.count(queue::documents) >= max_documents) {
        auto oldest = table_.oldest(queue::documents);
        auto key = table_[oldest].key_text();
        drop(change, space::bodies, key);
        drop(change, space::failures, key);
        table_.remove(change, oldest);
        change.commit();
    }
    if (!make_room(change, sizeof(DocumentState), Purpose::logout)) {
        return 0;
    }
    auto index = table_.insert(change,
        entry_of(
            space::documents, queue::documents, id, bytes_of(DocumentState{})));
    change.commit();
    return index;
}

}
