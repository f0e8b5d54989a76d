// A ticket: what the session cookie holds of a session in a store. The store
// can read neither the session nor whose it is.
#pragma once

#include "core/crypto.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

class Ticket {
public:
    static constexpr std::size_t key_size = 16;

    // For a new session with these revocation keys.
    static Ticket make(std::vector<std::string> revocation_keys, Random random);

    // The same ticket with other revocation keys.
    Ticket with(std::vector<std::string> revocation_keys) const;

    // As fields() wrote it; nothing for other bytes.
    static std::optional<Ticket> read(std::string_view fields);
    std::string fields() const;

    // The key of the session in the store: a digest of the ticket's id.
    std::string key() const;

    const std::vector<std::string>& revocation_keys() const
    {
        return revocation_keys_;
    }

    // The session as the store keeps it, sealed by a key of this ticket.
    std::string seal(std::string_view plain, std::string_view seal_context,
        Random random) const;
    std::optional<std::string> open(
        std::string_view blob, std::string_view seal_context) const;

private:
    Ticket() = default;
    KeyRing ring() const;

    std::string id_;
    Secret secret_;
    std::vector<std::string> revocation_keys_;
};

}
