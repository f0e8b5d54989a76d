#include "module/documents.h"

#include "ngx/http_client.h"
#include "oidc/errors.h"

#include <algorithm>
#include <stdexcept>

namespace ngx {

using oidc::Check;
using oidc::Errc;
using oidc::Error;

// One fetch for all waiters, in the background of the first request that needed
// the document. Owned by that request's pool.
class DocumentFetch {
public:
    DocumentFetch(SharedDocument& document, std::string id) :
        document_(&document), id_(std::move(id))
    {
        document.fetch_ = this;
    }

    // The request was torn down: the waiters try again, and the first of them
    // fetches.
    ~DocumentFetch() { release(); }

    void release()
    {
        if (document_ != nullptr) {
            document_->zone_.release(id_);
            end(nullptr);
        }
    }

    // A response from a URL that newer metadata have replaced is dropped: the
    // waiters get the document again, from the new URL.
    void receive(oidc::Result<oidc::HttpResponse> response, ngx_log_t* log)
    {
        if (id_ != document_->id()) {
            release();
            return;
        }
        auto received = document_->receive(id_, std::move(response), log);
        auto error = received ? nullptr : &received.error();
        end(error);
    }

private:
    void end(const Error* error)
    {
        auto document = std::exchange(document_, nullptr);
        document->fetch_ = nullptr;
        document->wake(error);
    }

    SharedDocument* document_; // null once it has ended
    std::string id_;
};

Zone::Snapshot SharedDocument::read_zone()
{
    auto snapshot = zone_.read(id(), serial_, now());
    if (snapshot.serial == 0) {
        return snapshot;
    }
    auto usable_until = snapshot.schedule.usable_until();
    if (snapshot.serial == serial_) {
        if (!rejected_) {
            prolong(usable_until);
        }
        return snapshot;
    }
    serial_ = snapshot.serial;
    rejected_.reset();
    if (auto adopted = adopt(snapshot.body, usable_until); !adopted) {
        rejected_ = std::move(adopted).error();
    }
    return snapshot;
}

void SharedDocument::renew(
    ngx_http_request_t* r, const Zone::Snapshot& snapshot)
{
    if (snapshot.schedule.due(now()) && !snapshot.is_fetching &&
        !is_being_fetched() && fetch(r, {}) == Zone::Fetcher::ours) {
        // The client's next request does not wait for this response.
        r->keepalive = 0;
    }
}

std::optional<Error> SharedDocument::fetch_or_wait(ngx_http_request_t* r,
    const Zone::Snapshot& snapshot, std::optional<oidc::Asker> newer)
{
    if (!newer && rejected_) {
        newer = oidc::Asker::known;
    }
    if (is_being_fetched() || fetch(r, newer) != Zone::Fetcher::too_soon) {
        return {};
    }
    if (rejected_) {
        return rejected_;
    }
    return snapshot.failure.value_or(Error{Errc::upstream_unreachable,
        "provider failed recently and is not retried yet"});
}

// A digest of the kind of document and its URL: it changes with the
// configuration.
std::string SharedDocument::id() const
{
    return oidc::digest(oidc::Hash::sha256,
        oidc::bind_fields(
            {name_, conf_.name, conf_.client.issuer, request().url}))
        .substr(0, Zone::document_id_size);
}

Zone::Fetcher SharedDocument::fetch(
    ngx_http_request_t* r, std::optional<oidc::Asker> newer)
{
    constexpr oidc::Seconds margin{2};
    auto now = ngx::now();
    auto timeout = std::chrono::floor<oidc::Seconds>(
        oidc::Milliseconds(conf_.upstream_server.total_timeout()));
    auto id = this->id();
    auto asking = zone_.begin_fetch(id, newer, now, now + timeout + margin);
    if (asking != Zone::Fetcher::ours) {
        return asking;
    }
    auto fetch = make<DocumentFetch>(r->pool, *this, id);
    auto rc = ngx::fetch(r, conf_.upstream_server, request(),
        Exchange::Manner::background, oidc::provider_failures,
        [fetch, r](oidc::Result<oidc::HttpResponse> response) {
            fetch->receive(std::move(response), r->connection->log);
        });
    if (rc != NGX_OK) {
        fetch->release();
        throw std::runtime_error("could not start a subrequest");
    }
    return asking;
}

Check SharedDocument::receive(const std::string& id,
    oidc::Result<oidc::HttpResponse> response, ngx_log_t* log)
{
    auto known = warnings();
    auto taken = take(id, std::move(response));
    if (taken) {
        warn(log, known);
    } else {
        zone_.fail(id, taken.error(), now());
        // The known document serves on, and no flow reports the failure.
        if (is_usable()) {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                "oidc: %s while updating %s, provider \"%s\"%s",
                taken.error().detail.c_str(), name_, conf_.name.c_str(),
                oidc::asked_url(url(), taken.error()).c_str());
        }
    }
    return taken;
}

Check SharedDocument::take(
    const std::string& id, oidc::Result<oidc::HttpResponse> response)
{
    if (!response) {
        return std::move(response).error();
    }
    auto document = oidc::read_document(*response, now());
    if (!document) {
        return std::move(document).error();
    }
    oidc::Schedule schedule;
    schedule.succeed(document->fresh_until);
    auto adopted = adopt(document->body, schedule.usable_until());
    if (adopted) {
        rejected_.reset();
        serial_ = zone_.succeed(id, document->body, document->fresh_until);
    }
    return adopted;
}

// A worker that adopted the document of another knows its warnings.
void SharedDocument::warn(
    ngx_log_t* log, std::span<const std::string> known) const
{
    for (const auto& warning : warnings()) {
        if (std::ranges::find(known, warning) == known.end()) {
            ngx_log_error(NGX_LOG_WARN, log, 0,
                "oidc: %s, the endpoint is ignored, provider \"%s\"",
                warning.c_str(), conf_.name.c_str());
        }
    }
}

void SharedDocument::wake(const Error* error)
{
    for (auto waiter : std::exchange(waiters_, {})) {
        waiter->fetch_ended(error);
    }
}

MetadataDocument::MetadataDocument(ProviderConf& conf, Zone& zone) :
    ParsedDocument(conf, zone, "metadata")
{
    if (auto configured = oidc::configured_metadata(conf.client)) {
        known_.set(std::move(*configured), oidc::Time::max());
        is_configured_ = true;
    }
}

std::optional<MetadataDocument::Reply> MetadataDocument::get(
    ngx_http_request_t* r)
{
    return is_configured_ ? Reply(known_.get(now())) :
                            ParsedDocument::get(r, {}, oidc::Asker::known);
}

oidc::HttpRequest MetadataDocument::request() const
{
    return oidc::metadata_request(conf().client);
}

oidc::Result<oidc::Metadata> MetadataDocument::parse(
    std::string_view body) const
{
    return oidc::parse_metadata(body, conf().client);
}

std::vector<std::string> MetadataDocument::warnings() const
{
    return last() != nullptr ? last()->ignored : std::vector<std::string>();
}

// Keys from another URL are no longer this provider's.
std::optional<KeysDocument::Reply> KeysDocument::get(ngx_http_request_t* r,
    const std::shared_ptr<const oidc::KeySet>& newer_than, oidc::Asker asker)
{
    auto url = request().url;
    if (url != url_) {
        known_.reset();
        url_ = std::move(url);
    }
    return ParsedDocument::get(r, newer_than, asker);
}

oidc::HttpRequest KeysDocument::request() const
{
    return oidc::keys_request(*metadata_.last());
}

oidc::Result<oidc::KeySet> KeysDocument::parse(std::string_view body) const
{
    return oidc::parse_keys(body);
}

}
