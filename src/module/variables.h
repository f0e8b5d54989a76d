// The variables of the module: $oidc_*.
#pragma once

#include "ngx/ngx.h"

namespace ngx {

ngx_int_t add_variables(ngx_conf_t* cf);

}
