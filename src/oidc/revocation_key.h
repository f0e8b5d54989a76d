// The key of a revocation record: names the sessions that a logout ends.
#pragma once

#include "oidc/client.h"

#include <string>
#include <string_view>

namespace oidc {

// 16 bytes that stand for all sessions that `value` names. By `kind` it is the
// id of a "session", or a "sid" or "sub" claim of this provider's tokens; with
// "sub without sid" only the user's sessions without a sid. Providers of the
// configuration with the same issuer and client id share their keys.
std::string revocation_key(
    const Client& client, std::string_view kind, std::string_view value);

}
