#include "oidc/provider.h"

#include "oidc/cookies.h"
#include "oidc/errors.h"

namespace oidc {

Provider::Provider(Client client, std::span<const Secret> masters) :
    client_(std::move(client)), session_ring_(masters, "session"),
    state_ring_(masters, "state"),
    session_seal_context_(seal_context(client_, "session")),
    state_seal_context_(seal_context(client_, "state")),
    secure_cookie_(session_cookie_name(client_, true)),
    secure_cookie_below_(session_cookie_name(client_, Site(true, "/below"))),
    plain_cookie_(session_cookie_name(client_, false))
{
}

}
