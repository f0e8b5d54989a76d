// A request that has been answered, a moment before nginx logs it.
#pragma once

#include "ngx/ngx.h"

namespace ngx {

// NGX_HTTP_LOG_PHASE, before the access log: takes out what was a provider's
// and came past the other phases, and warns of pages that did.
ngx_int_t log_handler(ngx_http_request_t* r);

}
