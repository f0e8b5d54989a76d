#include "core/encoding.h"
#include "fuzz.h"
#include "oidc/cookie_content.h"
#include "oidc/session_seal.h"
#include "support/play.h"

namespace oidc::test {
namespace {

CookieContent opened(std::string_view plain)
{
    const auto& provider = example_provider();
    auto sealed = provider.session_ring().seal(
        plain, provider.session_seal_context(), fixed_bytes);
    return CookieContent::from_value(base64url(sealed), provider);
}

std::optional<Session> stored(const Ticket& ticket, std::string_view blob)
{
    auto opened = open_stored(ticket, blob, example_provider());
    return opened ? Session::accept(std::move(*opened),
                        example_provider().client(), {}, noon)
                        .session :
                    std::nullopt;
}

// The session after a round trip through the store.
std::optional<Session> kept(const Session& session)
{
    auto kept =
        seal_session(session, example_provider(), 8192, noon, fixed_bytes);
    demand(kept && kept->save, "what was in a store goes there again");
    demand(kept->save->key == session.ticket()->key(), "under its ticket");
    demand(kept->save->until > noon && kept->save->ends == session.expires(),
        "until its end");
    auto again = stored(*session.ticket(), kept->save->blob);
    demand(again && again->handle() == session.handle(), "the same one");
    return again;
}

}

// The sealed content of a stored session's cookie, as another version of the
// module might have written it.
FUZZ(ticket)
{
    auto ticket = opened(input).ticket;
    if (!ticket) {
        return;
    }
    demand(!opened(input).session, "not a session as well");
    demand(ticket->key().size() == Ticket::key_size, "a key of that size");
    demand(ticket->revocation_keys().size() <= 3, "few marks");

    auto again = Ticket::read(ticket->fields());
    demand(again.has_value(), "written and read again");
    demand(again->key() == ticket->key() &&
            again->revocation_keys() == ticket->revocation_keys(),
        "the same one");
    auto blob = ticket->seal("session", "for this", fixed_bytes);
    demand(again->open(blob, "for this") == "session", "with the same secret");
    demand(!again->open(blob, "for that"), "for this alone");
    demand(!stored(*ticket, input), "what anybody writes is no session");
}

// The sealed content of a stored session.
FUZZ(stored_session)
{
    const auto& provider = example_provider();
    const auto ticket = Ticket::make({}, fixed_bytes);
    auto session = stored(ticket,
        ticket.seal(input, provider.session_seal_context(), fixed_bytes));
    if (!session) {
        return;
    }
    demand(session->expires() > noon, "not ended");
    demand(session->ticket().has_value(), "it knows its ticket");
    demand(kept(*session)->generation() == session->generation(),
        "in the same state");

    auto seen = kept(session->seen(noon));
    demand(seen->generation() == session->generation() &&
            seen->expires() == session->expires(),
        "seen, no more");

    auto client = provider.client();
    client.needs.access_token = client.needs.refresh_token = true;
    auto later =
        kept(session->renew({}, {}, {"", "at-2", "rt-2", 60s}, client, noon));
    demand(later->access_token() == "at-2" && later->refresh_token() == "rt-2",
        "with the new tokens");
    demand(later->access_token_expires() == noon + 60s &&
            later->expires() == noon + client.session_timeout,
        "for as long as they are good");
    demand(later->started() == session->started() &&
            later->sid() == session->sid() &&
            later->revocation_keys(client) == session->revocation_keys(client),
        "to be revoked as before");
    for (auto name : {"sub", "email"}) {
        demand(later->claim(name) == session->claim(name),
            "with the same claims that are needed");
    }
    for (auto name : {"", "other"}) {
        demand(!later->claim(name), "and no others");
    }
}

}
