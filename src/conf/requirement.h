// auth_oidc_require: values that authorize a request.
#pragma once

#include "ngx/ngx.h"

#include <vector>

namespace ngx {

struct Requirement {
    std::vector<ngx_http_complex_value_t*> values; // all must be true
    ngx_int_t status = NGX_HTTP_FORBIDDEN;         // where one is not
};

// All must be met.
using Requirements = std::vector<const Requirement*>;

// The type of a row. Each directive of a level adds one; "off" adds none.
struct ReadRequirement {
    static constexpr ngx_uint_t arguments = NGX_CONF_1MORE;
    static char* read(ngx_conf_t* cf, Requirements& value);
};

}
