// A request that has been answered, just before nginx logs it.
#pragma once

#include "ngx/ngx.h"

namespace ngx {

// NGX_HTTP_LOG_PHASE, before the access log: hides queries of endpoints that
// skipped the other phases, and warns of protected pages that did.
ngx_int_t log_handler(ngx_http_request_t* r);

}
