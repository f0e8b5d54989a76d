// Whether the running nginx has the structures of the headers that this module
// was compiled with. nginx itself compares its version and its features, but
// distributions patch structures without a new version: ngx_connection_t of
// Debian's 1.22.1 has a bit that 1.22.1 of nginx.org lacks.
#pragma once

#include "ngx/ngx.h"

namespace ngx {

// Logs the first structure that differs, and fails then.
ngx_int_t check_layout(ngx_conf_t* cf) noexcept;

}
