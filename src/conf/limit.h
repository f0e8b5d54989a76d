// oidc_limit: how much of the work that anybody can cause one client may cause.
#pragma once

#include "core/bucket.h"
#include "flow/step.h"
#include "ngx/ngx.h"

namespace ngx {

// What the directive says; as it stands, what goes without one.
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

char* set_limit(ngx_conf_t* cf, ngx_command_t* command, void* conf);

}
