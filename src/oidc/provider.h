// A provider as the configuration gives it: the client that is registered
// there, and the keys and contexts of what is sealed for it. Constant while a
// configuration is in use.
#pragma once

#include "core/crypto.h"
#include "oidc/client.h"
#include "oidc/cookies.h"

#include <span>
#include <string>

namespace oidc {

class Provider {
public:
    Provider() = default;

    // The first of `masters` seals sessions and states; all of them open.
    Provider(Client client, std::span<const Secret> masters);

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

    // The name of the session cookie in a browser on https, or on http.
    const std::string& session_cookie(const Site& site) const
    {
        auto& secure =
            site.prefix.empty() ? secure_cookie_ : secure_cookie_below_;
        return site.secure ? secure : plain_cookie_;
    }

private:
    Client client_;
    KeyRing session_ring_;
    KeyRing state_ring_;
    std::string session_seal_context_;
    std::string state_seal_context_;
    std::string secure_cookie_;
    std::string secure_cookie_below_; // a path that a proxy removes
    std::string plain_cookie_;
};

}
