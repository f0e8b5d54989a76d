// The documents of providers in oidc_state_zone: what one worker has asked for
// all have, and one asks at a time.
#include "ngx/zone_layout.h"

namespace ngx {
namespace {

constexpr std::size_t most_documents = 256;

}

Zone::Sight Zone::look(std::string_view id, ngx_uint_t known, std::int64_t now)
{
    Lock lock(pool_);
    Sight sight;
    auto document = find_document(id);
    if (document == nullptr) {
        return sight;
    }
    sight.schedule = document->schedule;
    sight.serial = document->serial;
    if (document->serial != known) {
        sight.body = view(document->body);
    }
    sight.is_asked = document->is_asked(now);
    if (document->has_failed) {
        sight.failure = oidc::Error{document->code,
            std::string(document->detail, document->detail_size)};
    }
    return sight;
}

Zone::Asking Zone::ask(
    std::string_view id, bool anew, std::int64_t now, std::int64_t until)
{
    Lock lock(pool_);
    auto document = get_document(id);
    if (document == nullptr) {
        return Asking::ours; // no room even for that: everybody asks alone
    }
    if (document->is_asked(now)) {
        return Asking::others;
    }
    // What there was no room for is known to the worker alone that asked.
    auto homeless = document->serial == 0 && !document->has_failed;
    auto may = anew ? document->schedule.take_renewal(now) :
                      document->schedule.due(now) || homeless;
    if (!may) {
        return Asking::vain;
    }
    document->asker = ngx_pid;
    document->asked_until = until;
    return Asking::ours;
}

ngx_uint_t Zone::answer(
    std::string_view id, std::string_view body, std::int64_t fresh_until)
{
    Lock lock(pool_);
    auto document = find_document(id);
    if (document == nullptr) {
        return 0;
    }
    document->asker = 0;
    document->has_failed = false;
    document->schedule.succeed(fresh_until);
    if (document->serial != 0 && view(document->body) == body) {
        return document->serial;
    }
    if (document->body.data != nullptr) {
        ngx_slab_free_locked(pool_, document->body.data);
    }
    document->serial = 0;
    document->body.len = 0;
    document->body.data =
        static_cast<u_char*>(allocate(body.size(), Purpose::logout));
    if (document->body.data == nullptr) {
        return 0;
    }
    ngx_memcpy(document->body.data, body.data(), body.size());
    document->body.len = body.size();
    return document->serial = ++shared_->serial;
}

void Zone::fail(
    std::string_view id, const oidc::Error& failure, std::int64_t now)
{
    Lock lock(pool_);
    auto document = find_document(id);
    if (document == nullptr) {
        return;
    }
    document->asker = 0;
    document->schedule.fail(now);
    document->has_failed = true;
    document->code = failure.code;
    document->detail_size =
        ngx_min(failure.detail.size(), Document::longest_detail);
    ngx_memcpy(document->detail, failure.detail.data(), document->detail_size);
}

void Zone::release(std::string_view id)
{
    Lock lock(pool_);
    auto document = find_document(id);
    if (document != nullptr) {
        document->asker = 0;
    }
}

Zone::Document* Zone::find_document(std::string_view id)
{
    auto& queue = shared_->documents;
    for (auto link = ngx_queue_head(&queue); link != ngx_queue_sentinel(&queue);
         link = ngx_queue_next(link)) {
        auto document = ngx_queue_data(link, Document, link);
        if (ngx_memcmp(document->id, id.data(), document_id_size) == 0) {
            ngx_queue_remove(link);
            ngx_queue_insert_head(&queue, link);
            return document;
        }
    }
    return nullptr;
}

Zone::Document* Zone::get_document(std::string_view id)
{
    if (auto known = find_document(id)) {
        return known;
    }
    limit_documents();
    auto document =
        static_cast<Document*>(allocate(sizeof(Document), Purpose::logout));
    if (document == nullptr) {
        return nullptr;
    }
    ngx_memzero(static_cast<void*>(document), sizeof(Document));
    ngx_memcpy(document->id, id.data(), document_id_size);
    ngx_queue_insert_head(&shared_->documents, &document->link);
    shared_->count++;
    return document;
}

// Those of earlier configurations, and of a provider that moves its keys
// about, go in the end.
void Zone::limit_documents()
{
    while (shared_->count >= most_documents) {
        auto oldest = ngx_queue_last(&shared_->documents);
        remove(ngx_queue_data(oldest, Document, link));
    }
}

void Zone::remove(Document* document)
{
    ngx_queue_remove(&document->link);
    shared_->count--;
    if (document->body.data != nullptr) {
        ngx_slab_free_locked(pool_, document->body.data);
    }
    ngx_slab_free_locked(pool_, document);
}

}
