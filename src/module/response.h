// The answers that a flow may give a request.
#pragma once

#include "flow/step.h"
#include "ngx/ngx.h"

#include <string>
#include <vector>

namespace ngx {

// On a request that goes on: no cache may give these cookies to others.
void add_cookies(
    ngx_http_request_t* r, const std::vector<std::string>& cookies);

// What to return from a phase for an end that is no pass; `from_form` where the
// request was one that was posted to us.
ngx_int_t answer(
    ngx_http_request_t* r, const oidc::Finish& finish, bool from_form);

// The same for an end with an error, which an error_page of the operator may
// show instead of our page.
ngx_int_t refuse(ngx_http_request_t* r, const oidc::Finish& end);

}
