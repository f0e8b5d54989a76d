// Metadata and keys as documents: fetched from the provider, fresh for a time,
// usable a while longer.
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "core/time.h"
#include "jose/key_set.h"
#include "oidc/metadata.h"

#include <memory>
#include <string_view>

namespace oidc {

// The key set that the metadata name.
HttpRequest keys_request(const Metadata& metadata);

// Errors: upstream_keys.
Result<KeySet> parse_keys(std::string_view body);

struct FetchedDocument {
    std::string_view body; // points into the response
    Time fresh_until;      // 60 s to 24 h from now, by its Cache-Control
};

// Errors: upstream_status.
Result<FetchedDocument> read_document(const HttpResponse& response, Time now);

// A document that has been parsed. Flows hold what they got from it, and are
// not affected when a newer one replaces it.
template <class T>
class Document {
public:
    // Null where none is known, or the last one is too old.
    std::shared_ptr<const T> get(Time now) const
    {
        return now < usable_until_ ? value_ : nullptr;
    }

    // Null where none is known; of any age.
    const T* last() const { return value_.get(); }

    void set(T value, Time usable_until)
    {
        value_ = std::make_shared<const T>(std::move(value));
        usable_until_ = usable_until;
    }

    void prolong(Time usable_until) { usable_until_ = usable_until; }
    void reset() { value_.reset(); }

private:
    std::shared_ptr<const T> value_;
    Time usable_until_{};
};

}
