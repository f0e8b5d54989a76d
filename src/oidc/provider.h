// What we know of a provider now, and when each part may be fetched again. One
// of these lives in every worker for every oidc_provider block.
#pragma once

#include "core/crypto.h"
#include "core/http.h"
#include "core/result.h"
#include "jose/keys.h"
#include "oidc/client.h"
#include "oidc/metadata.h"

#include <cstdint>
#include <optional>

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
    const std::string& session_binding() const { return session_binding_; }
    const std::string& state_binding() const { return state_binding_; }

    // Null when not known, or no longer fresh.
    const Metadata* metadata(std::int64_t now) const;
    const KeySet* keys(std::int64_t now) const;

    bool knows(Part part, std::int64_t now) const;

    // How to ask for a part; for the keys, metadata must be known.
    HttpRequest request(Part part) const;

    // Takes an answer in. A part that was known stays in use, for half a
    // minute more each time, when its renewal fails.
    Check learn(Part part, Result<HttpResponse> response, std::int64_t now);

    // An unknown key was named: may the key set be fetched anew? Four times at
    // once and then once in 15 seconds, so that a rotation is followed at
    // once and nobody can make us hammer the provider.
    bool may_renew_keys(std::int64_t now);

    // The key set counts as unknown until it is fetched anew.
    void forget_keys() { keys_until_ = 0; }

private:
    Check learn_metadata(const HttpResponse& response, std::int64_t now);
    Check learn_keys(const HttpResponse& response, std::int64_t now);
    Check keep_known(Part part, Error error, std::int64_t now);

    Client client_;
    KeyRing session_ring_;
    KeyRing state_ring_;
    std::string session_binding_;
    std::string state_binding_;

    std::optional<Metadata> metadata_;
    std::optional<KeySet> keys_;
    std::int64_t metadata_until_ = 0;
    std::int64_t keys_until_ = 0;

    std::int64_t renewals_ = 0; // tokens taken from the bucket
    std::int64_t renewals_since_ = 0;
};

}
