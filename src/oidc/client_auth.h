// Client authentication at the provider's endpoints (OpenID Connect Core, 9;
// RFC 6749, 2.3; RFC 7523, 2.2; RFC 8705, 2).
#pragma once

#include "core/crypto.h"
#include "core/http.h"
#include "core/result.h"
#include "oidc/client.h"
#include "oidc/metadata.h"

#include <cstdint>

namespace oidc {

// Authenticates a request whose body is a form, by exactly one method: the
// configured one, or the first that the provider supports. config_unusable if
// there is none.
Check authenticate(HttpRequest& request, const Client& client,
    const Metadata& metadata, Time now, Random random);

}
