// Which provider protects the location of a request.
#pragma once

#include "conf/conf.h"
#include "ngx/ngx.h"

namespace ngx {

// Null for none. Null with `unknown` where a variable names a provider that
// does not exist.
ProviderConf* protecting_provider(ngx_http_request_t* r, bool& unknown);

}
