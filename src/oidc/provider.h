// A provider as one worker knows it: our registration there, the keys of what
// we seal for it, and its metadata and key set, parsed. One of these lives in
// every worker for every oidc_provider block.
#pragma once

#include "core/crypto.h"
#include "core/http.h"
#include "core/result.h"
#include "jose/key_set.h"
#include "oidc/client.h"
#include "oidc/metadata.h"
#include "oidc/refetch.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace oidc {

enum class Part { metadata, keys };

class Provider {
public:
    // Builds what is derived from the keys: `masters` seal sessions and
    // states, the first one; all of them open.
    void configure(Client client, std::span<const Secret> masters);

    const Client& client() const { return client_; }
    const KeyRing& session_ring() const { return session_ring_; }
    const KeyRing& state_ring() const { return state_ring_; }
    const std::string& session_seal_context() const
    {
        return session_seal_context_;
    }
    const std::string& state_seal_context() const
    {
        return state_seal_context_;
    }

    // The name of the session's cookie in a browser on https, or on http.
    const std::string& session_cookie(bool secure) const
    {
        return secure ? secure_cookie_ : plain_cookie_;
    }

    // Null when not known, or no longer usable.
    const Metadata* metadata(Time now) const;
    const KeySet* keys(Time now) const;

    bool knows(Part part, Time now) const;

    // True where the configuration says all of it, and nothing is asked.
    bool is_configured(Part part) const;

    // How to ask for a part; for the keys, metadata must be known.
    HttpRequest request(Part part) const;

    // The document that an answer holds, and until when it is fresh.
    struct Document {
        std::string_view body;
        Time fresh_until;
    };

    // Judges an answer; the view is into it. upstream_status.
    static Result<Document> judge(const HttpResponse& response, Time now);

    // Takes a part in as it was received, by this worker or another one, for
    // use until then. What was known stays when this fails.
    Check adopt(Part part, std::string_view body, Time usable_until);

    // What is known was found fresh again.
    void prolong(Part part, Time usable_until);

private:
    Check adopt_metadata(std::string_view body);
    Check adopt_keys(std::string_view body);

    Client client_;
    KeyRing session_ring_;
    KeyRing state_ring_;
    std::string session_seal_context_;
    std::string state_seal_context_;
    std::string secure_cookie_;
    std::string plain_cookie_;

    bool is_configured_ = false;
    std::optional<Metadata> metadata_;
    std::optional<KeySet> keys_;
    Time usable_until_[2];
};

}
