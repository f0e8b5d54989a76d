#include "oidc/session_seal.h"

#include "core/encoding.h"
#include "core/http.h"
#include "oidc/cookies.h"
#include "oidc/errors.h"
#include "oidc/revocation_key.h"

#include <algorithm>

namespace oidc {
namespace {

std::string seal(
    std::string_view plain, const Provider& provider, const Random& random)
{
    return base64url(provider.session_ring().seal(
        plain, provider.session_seal_context(), random));
}

std::size_t size_in_request(std::size_t value, const std::string& name)
{
    auto chunks = value / cookie_chunk + 1;
    return value + chunks * (name.size() + sizeof("=; .1"));
}

// In a browser on https, where its name is longest.
std::size_t size_in_response(
    std::string_view value, const Client& client, const Site& site)
{
    return size_in_head(
        session_cookies(client, value, {}, Site(true, site.prefix)));
}

// A store keeps it no longer than it may be idle.
Time stored_until(const Session& session, const Client& client, Time now)
{
    return client.session_idle_timeout > Seconds() ?
        std::min(session.expires(), now + client.session_idle_timeout) :
        session.expires();
}

SealedSession store(const Session& session, const Provider& provider, Time now,
    const Random& random)
{
    const auto& client = provider.client();
    auto keys = session.revocation_keys(client);
    auto ticket = session.ticket() ? session.ticket()->with(keys) :
                                     Ticket::make(keys, random);
    auto cookie = seal(ticket.fields(), provider, random);
    auto sid = session.sid();
    return {std::move(cookie),
        Save{ticket.key(),
            ticket.seal(
                session.fields(), provider.session_seal_context(), random),
            stored_until(session, client, now), session.subject_key(client),
            sid ? revocation_key(client, "sid", *sid) : "", session.expires()}};
}

}

Result<SealedSession> seal_session(const Session& session,
    const Provider& provider, std::size_t max_cookies, Time now, Random random,
    std::size_t max_in_head, const Site& site)
{
    auto kind = provider.client().session_store;
    if (session.ticket() || kind == SessionStore::named) {
        return store(session, provider, now, random);
    }
    const auto& longest_name = provider.session_cookie(true);
    max_cookies = std::min(max_cookies,
        size_in_request(cookie_chunk * max_chunks - 1, longest_name));

    auto value = seal(session.fields(), provider, random);
    auto size = size_in_request(value.size(), longest_name);
    auto is_automatic = kind == SessionStore::automatic;
    auto fits = size <= max_cookies &&
        (!is_automatic ||
            size_in_response(value, provider.client(), site) <= max_in_head);
    if (fits) {
        return SealedSession{std::move(value), {}};
    }
    if (is_automatic) {
        return store(session, provider, now, random);
    }
    return Error{Errc::session_too_large,
        "session needs " + std::to_string(size) +
            " bytes of cookies, but large_client_header_buffers and "
            "the limit of nine cookies allow " +
            std::to_string(max_cookies)};
}

}
