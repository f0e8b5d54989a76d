// The lines of the error log about a request.
#pragma once

#include "core/result.h"
#include "ngx/ngx.h"

#include <string>
#include <string_view>

namespace ngx {

// What a line says of the flow.
struct LogContext {
    std::string_view action;  // after "while"
    std::string url = {};     // of the provider, that was last requested
    std::string session = {}; // the handle of the one that is renewed
};

// Anybody can cause what is logged at warn, so an error_log at error does not
// have it. What points to the operator is logged at error once a minute: some
// errors at once, the others in a series.
void log_error(ngx_http_request_t* r, const std::string& provider,
    const LogContext& context, const oidc::Error& error);

// A deviation of the provider that is tolerated.
void log_notice(ngx_http_request_t* r, const std::string& provider,
    const LogContext& context, const std::string& sentence);

}
