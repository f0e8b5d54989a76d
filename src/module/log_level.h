// The level of a log line about a request.
#pragma once

#include "core/result.h"
#include "ngx/ngx.h"

#include <string>

namespace ngx {

// Anybody can cause what is logged at warn, so an error_log at error does not
// have it. What points to the operator is logged at error once a minute: some
// errors at once, the others in a series.
ngx_uint_t log_level(const ngx_http_request_t* r, const std::string& provider,
    const oidc::Error& error);

}
