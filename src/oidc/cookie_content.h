// What our own seals return: the content of a session cookie, and a session
// from a store. Nothing of it is accepted yet, see Session::accept().
#pragma once

#include "core/http.h"
#include "core/time.h"
#include "oidc/provider.h"
#include "oidc/session.h"
#include "oidc/ticket.h"

#include <optional>
#include <string_view>
#include <vector>

namespace oidc {

// A session, the ticket of one in a store, or neither.
struct CookieContent {
    std::optional<OpenedSession> session;
    std::optional<Ticket> ticket;

    // The cookie had the name that any host and any http page can plant: valid
    // only for a browser on http.
    bool is_plain = false;

    // When it was revoked, as far as this node knows.
    TimeMs revoked_at{};

    explicit operator bool() const { return session || ticket; }

    // What our keys have sealed for this provider among the request's cookies,
    // at most eight. An attacker may have planted a valid seal: the caller
    // passes one after the other to Session::accept(). In a browser
    // on https the plain name is ignored. On http the other name goes
    // first, too, since a proxy may have terminated TLS.
    static std::vector<CookieContent> all_from(
        CookieLines cookies, const Provider& provider, const Site& site);

    // The same of a cookie's value.
    static CookieContent from_value(
        std::string_view value, const Provider& provider);
};

// What a store returned for a ticket.
std::optional<OpenedSession> open_stored(
    const Ticket& ticket, std::string_view blob, const Provider& provider);

}
