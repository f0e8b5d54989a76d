#include "flow/revocation.h"

#include <algorithm>

namespace oidc {

Time last_end(const Client& client, Time now)
{
    return now + std::max(client.session_timeout, client.max_session_timeout);
}

Revoke revocation_of(const Session& session, const Client& client, Time now)
{
    Revoke revoke{{session.own_key(client)}, session.subject_key(client),
        std::max(last_end(client, now), session.sealed_end())};
    revoke.least = session.started();
    return revoke;
}

}
