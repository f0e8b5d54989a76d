// A session on its way out: sealed into the session cookie, or into a store and
// with its ticket in the cookie.
#pragma once

#include "core/result.h"
#include "core/time.h"
#include "oidc/cookies.h"
#include "oidc/head.h"
#include "oidc/provider.h"
#include "oidc/session.h"

#include <cstddef>
#include <optional>
#include <string>

namespace oidc {

// What a store is to keep, and until when.
struct Save {
    using Reply = Check;

    std::string key;
    std::string blob;
    Time until;

    std::string subject; // whose share of the store it takes: its subject_key()

    // The key by which anybody may revoke the session, and until when that can
    // have an effect. Empty for a session without a sid.
    std::string sid_key;
    Time ends;
};

struct SealedSession {
    std::string cookie; // its value
    std::optional<Save> save;
};

// Into the place that the client's session_store says, or the store that it
// came from. `max_cookies`: bytes of cookies in a request, session_too_large
// beyond them. `max_in_head`: bytes for its cookies in the head of the
// response, beyond which "session_store auto" uses the store.
Result<SealedSession> seal_session(const Session& session,
    const Provider& provider, std::size_t max_cookies, Time now, Random random,
    std::size_t max_in_head = max_head, const Site& site = true);

}
