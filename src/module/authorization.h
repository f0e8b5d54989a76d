// Whether auth_oidc_require lets a request through.
#pragma once

#include "ngx/ngx.h"

#include <optional>
#include <string_view>

namespace ngx {

// The action that log lines name.
constexpr std::string_view authorizing = "authorizing a request";

struct Unmet {
    std::string_view value; // as it is written
    ngx_int_t status;
};

// The first requirement of the location that the request does not meet.
std::optional<Unmet> find_unmet(ngx_http_request_t* r);

}
