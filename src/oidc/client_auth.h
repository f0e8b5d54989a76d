// How the client proves to the provider's endpoints that a request is its own
// (OpenID Connect Core, 9; RFC 6749, 2.3; RFC 7523, 2.2; RFC 8705, 2).
#pragma once

#include "core/crypto.h"
#include "core/http.h"
#include "core/result.h"
#include "oidc/client.h"
#include "oidc/metadata.h"

#include <cstdint>

namespace oidc {

// Adds the proof to a request of a form: by exactly one method, the configured
// one or the first that the provider takes. config_unusable where there is
// none.
Check authenticate(HttpRequest& request, const Client& client,
    const Metadata& metadata, Time now, Random random);

}
