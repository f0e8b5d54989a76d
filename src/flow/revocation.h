// Revocations: sessions that end before their time.
#pragma once

#include "flow/step.h"

namespace oidc {

// When the last session ends that may have begun by now,
// whichever provider block with this issuer and client it belongs to.
Time last_end(const Client& client, Time now);

// Revokes this session, copies of its cookie included.
Revoke revocation_of(const Session& session, const Client& client, Time now);

}
