// The documents of providers in oidc_state_zone: what one worker has asked for
// all have, and one asks at a time. What is known of a document, its body and
// the sentence of a failure are a record each, with one key.
#include "store/zone_layout.h"

#include <algorithm>
#include <limits>

namespace ngx {
namespace {

constexpr std::size_t max_documents = 256;
constexpr auto never = std::numeric_limits<std::int64_t>::max();

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
    ShmTable::Entry entry;
    entry.space = space;
    entry.queue = queue;
    entry.key = id;
    entry.until = never;
    entry.blob = blob;
    return entry;
}

template <class T>
std::string_view bytes_of(const T& value)
{
    static_assert(std::is_trivially_copyable_v<T>);
    return {reinterpret_cast<const char*>(&value), sizeof(T)};
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
    auto document = this->document(index);
    snapshot.schedule = document.schedule;
    snapshot.serial = document.serial;
    if (document.serial != known) {
        snapshot.body = text_of(table_, space::bodies, id);
    }
    snapshot.is_asked = document.is_asked(now);
    if (document.has_failed) {
        snapshot.failure =
            oidc::Error{document.code, text_of(table_, space::failures, id)};
    }
    return snapshot;
}

Zone::Asking Zone::ask(
    std::string_view id, std::optional<oidc::Asker> anew, Time now, Time until)
{
    Change change(table_);
    auto index = get_document(change, id);
    if (index == 0) {
        return Asking::ours; // no room even for that: everybody asks alone
    }
    auto document = this->document(index);
    if (document.is_asked(now)) {
        return Asking::others;
    }
    // What there was no room for is known to the worker alone that asked.
    auto is_not_stored = document.serial == 0 && !document.has_failed;
    auto may = anew ? document.schedule.take_renewal(*anew, now) :
                      document.schedule.due(now) || is_not_stored;
    if (!may) {
        return Asking::too_soon;
    }
    document.asker = ngx_pid;
    document.asked_until = until;
    set_document(change, index, document);
    change.commit();
    return Asking::ours;
}

ngx_uint_t Zone::answer(
    std::string_view id, std::string_view body, Time fresh_until)
{
    Change change(table_);
    auto index = table_.find(space::documents, id);
    if (index == 0) {
        return 0;
    }
    auto document = this->document(index);
    document.asker = 0;
    document.has_failed = false;
    document.schedule.succeed(fresh_until);
    if (document.serial == 0 || text_of(table_, space::bodies, id) != body) {
        document.serial = replace_body(change, id, body);
    }
    set_document(change, index, document);
    drop(change, space::failures, id);
    change.commit();
    return document.serial;
}

// The serial of the new one. It takes the place of the old one at once, or
// after that where there is not room for both.
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
    change.set(shared_->serial, shared_->serial + 1);
    return shared_->serial;
}

void Zone::forget_body(Change& change, std::string_view id, Index body)
{
    auto index = table_.find(space::documents, id);
    auto document = this->document(index);
    document.serial = 0;
    set_document(change, index, document);
    table_.remove(change, body);
    change.commit();
}

void Zone::fail(std::string_view id, const oidc::Error& failure, Time now)
{
    auto detail =
        std::string_view(failure.detail).substr(0, Document::max_detail);
    Change change(table_);
    auto index = table_.find(space::documents, id);
    if (index == 0) {
        return;
    }
    auto document = this->document(index);
    document.asker = 0;
    document.schedule.fail(now);
    document.has_failed = true;
    document.code = failure.code;
    drop(change, space::failures, id);
    change.commit();
    if (make_room(change, detail.size(), Purpose::logout)) {
        table_.insert(
            change, entry_of(space::failures, queue::failures, id, detail));
    }
    set_document(change, index, document);
    change.commit();
}

void Zone::release(std::string_view id)
{
    Change change(table_);
    if (auto index = table_.find(space::documents, id)) {
        auto document = this->document(index);
        document.asker = 0;
        set_document(change, index, document);
        change.commit();
    }
}

// Those of earlier configurations, and of a provider that moves its keys
// about, go in the end.
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
    if (!make_room(change, sizeof(Document), Purpose::logout)) {
        return 0;
    }
    auto index = table_.insert(change,
        entry_of(space::documents, queue::documents, id, bytes_of(Document{})));
    change.commit();
    return index;
}

Zone::Document Zone::document(Index index) const
{
    std::string bytes;
    bytes.reserve(sizeof(Document));
    table_.copy(index, bytes);
    Document document;
    ngx_memcpy(static_cast<void*>(&document), bytes.data(), sizeof(document));
    return document;
}

void Zone::set_document(Change& change, Index index, const Document& document)
{
    table_.overwrite(change, index, bytes_of(document));
}

}
