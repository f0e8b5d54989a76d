// $remote_user: the claim of auth_oidc_remote_user.
#pragma once

#include "conf/conf.h"
#include "ngx/ngx.h"

namespace ngx {

// Replaces nginx's getter of the variable, where a location uses a claim.
void take_over_remote_user(ngx_conf_t* cf, MainConf& conf);

// Forgets the value that an earlier location of the request has evaluated: the
// access log does not evaluate a variable again.
void forget_remote_user(ngx_http_request_t* r);

}
