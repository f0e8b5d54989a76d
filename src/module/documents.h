// Metadata and keys of a provider in this worker: fetched once for all requests
// that wait, and shared with the other workers through the state zone.
#pragma once

#include "conf/conf.h"
#include "core/http.h"
#include "core/result.h"
#include "ngx/ngx.h"
#include "oidc/document.h"
#include "oidc/refetch.h"
#include "store/zone.h"

#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ngx {

class DocumentFetch;

// A request that waits for a document.
class Waiter {
public:
    // The fetch has ended: with an error; without one, get the document again.
    virtual void fetch_ended(const oidc::Error* error) = 0;

protected:
    ~Waiter() = default;
};

// What both documents have in common: the fetch, the waiters, the state zone.
class SharedDocument {
public:
    SharedDocument(ProviderConf& conf, Zone& zone, const char* name) :
        conf_(conf), zone_(zone), name_(name)
    {
    }
    virtual ~SharedDocument() = default;
    SharedDocument(const SharedDocument&) = delete;
    SharedDocument& operator=(const SharedDocument&) = delete;

    // True while a request of this worker fetches it. The end of that fetch
    // wakes the waiters; a fetch of another worker does not.
    bool is_being_fetched() const { return fetch_ != nullptr; }

    // Where it is fetched.
    std::string url() const { return request().url; }

    void add(Waiter& waiter) { waiters_.push_back(&waiter); }
    void remove(Waiter& waiter) { waiters_.remove(&waiter); }

protected:
    // Adopts a newer document that another worker has received.
    Zone::Snapshot read_zone();

    // Starts a fetch for later requests, where one is due.
    void renew(ngx_http_request_t* r, const Zone::Snapshot& snapshot);

    // Nothing: a fetch has been started or is in progress. Error: it may not be
    // fetched now. With `newer` a usable document is not enough.
    std::optional<oidc::Error> fetch_or_wait(ngx_http_request_t* r,
        const Zone::Snapshot& snapshot, std::optional<oidc::Asker> newer);

    const ProviderConf& conf() const { return conf_; }

private:
    friend class DocumentFetch;

    virtual oidc::HttpRequest request() const = 0;
    virtual bool is_usable() const = 0;
    virtual oidc::Check adopt(
        std::string_view body, oidc::Time usable_until) = 0;
    virtual void prolong(oidc::Time usable_until) = 0;

    // What the log says once of the document in use.
    virtual std::vector<std::string> warnings() const { return {}; }

    std::string id() const;
    Zone::Fetcher fetch(
        ngx_http_request_t* r, std::optional<oidc::Asker> newer);
    oidc::Check receive(const std::string& id,
        oidc::Result<oidc::HttpResponse> response, ngx_log_t* log);
    oidc::Check take(
        const std::string& id, oidc::Result<oidc::HttpResponse> response);
    void warn(ngx_log_t* log, std::span<const std::string> known) const;
    void wake(const oidc::Error* error);

    ProviderConf& conf_;
    Zone& zone_;
    const char* name_; // for the log

    std::list<Waiter*> waiters_;
    DocumentFetch* fetch_ = nullptr;
    ngx_uint_t serial_ = 0; // of the last document read from the zone
    std::optional<oidc::Error> rejected_; // why that document cannot be used
};

template <class T>
class ParsedDocument : public SharedDocument {
public:
    using SharedDocument::SharedDocument;

    using Reply = oidc::Result<std::shared_ptr<const T>>;

    bool is_usable() const override { return known_.get(now()) != nullptr; }

    // Nothing: the request has to wait. With `newer_than`: a newer document
    // than this one.
    std::optional<Reply> get(ngx_http_request_t* r,
        const std::shared_ptr<const T>& newer_than, oidc::Asker asker)
    {
        auto snapshot = read_zone();
        auto document = known_.get(now());
        if (document && document != newer_than) {
            if (!newer_than) {
                renew(r, snapshot);
            }
            return Reply(std::move(document));
        }
        auto newer = newer_than ? std::optional(asker) : std::nullopt;
        auto error = fetch_or_wait(r, snapshot, newer);
        return error ? std::optional(Reply(std::move(*error))) : std::nullopt;
    }

    const T* last() const { return known_.last(); }

protected:
    oidc::Document<T> known_;

private:
    virtual oidc::Result<T> parse(std::string_view body) const = 0;

    oidc::Check adopt(std::string_view body, oidc::Time usable_until) override
    {
        auto parsed = parse(body);
        if (!parsed) {
            return std::move(parsed).error();
        }
        known_.set(std::move(*parsed), usable_until);
        return oidc::Ok{};
    }

    void prolong(oidc::Time usable_until) override
    {
        known_.prolong(usable_until);
    }
};

class MetadataDocument : public ParsedDocument<oidc::Metadata> {
public:
    MetadataDocument(ProviderConf& conf, Zone& zone);

    // At once where the configuration has all metadata.
    std::optional<Reply> get(ngx_http_request_t* r);

private:
    oidc::HttpRequest request() const override;
    oidc::Result<oidc::Metadata> parse(std::string_view body) const override;
    std::vector<std::string> warnings() const override;

    bool is_configured_ = false;
};

// The metadata, which have its URL, must have been known before.
class KeysDocument : public ParsedDocument<oidc::KeySet> {
public:
    KeysDocument(
        ProviderConf& conf, Zone& zone, const MetadataDocument& metadata) :
        ParsedDocument(conf, zone, "keys"),
        metadata_(metadata)
    {
    }

    std::optional<Reply> get(ngx_http_request_t* r,
        const std::shared_ptr<const oidc::KeySet>& newer_than,
        oidc::Asker asker);

private:
    oidc::HttpRequest request() const override;
    oidc::Result<oidc::KeySet> parse(std::string_view body) const override;

    const MetadataDocument& metadata_;
    std::string url_; // of these keys
};

}
