// A ticket: what the browser holds of a session that lies in a store. The
// store learns neither who asks nor what it keeps.
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

    // For a new session. The keys are what it can be revoked by, see
    // revocation_key().
    static Ticket make(std::vector<std::string> revocation_keys, Random random);

    // The same ticket for a session that can be revoked by other keys.
    Ticket with(std::vector<std::string> revocation_keys) const;

    // As fields() wrote it; nothing for anything else.
    static std::optional<Ticket> read(std::string_view fields);
    std::string fields() const;

    // Under which the store keeps the session: a digest of the ticket's id.
    std::string key() const;

    const std::vector<std::string>& revocation_keys() const
    {
        return revocation_keys_;
    }

    // The session as the store keeps it, under a key of this ticket's own.
    std::string seal(std::string_view plain, std::string_view associated,
        Random random) const;
    std::optional<std::string> open(
        std::string_view blob, std::string_view associated) const;

private:
    Ticket() = default;
    KeyRing ring() const;

    std::string id_;
    Secret secret_;
    std::vector<std::string> revocation_keys_;
};

}
