// oidc_limit: how often one client may cause work that needs no session.
#pragma once

#include "core/bucket.h"
#include "flow/step.h"
#include "ngx/ngx.h"

namespace ngx {

struct Limit {
    static constexpr Seconds minute = 60s;

    bool is_on = true;
    oidc::Rate login{200, minute};
    oidc::Rate logout{60, minute};
    ngx_http_complex_value_t* key = nullptr; // null: the client's address

    oidc::Rate rate(oidc::Work work) const
    {
        return work == oidc::Work::logout ? logout : login;
    }
};

// The type of a row.
struct ReadLimit {
    static constexpr ngx_uint_t arguments = NGX_CONF_1MORE;
    static char* read(ngx_conf_t* cf, const Limit*& value);
};

}
