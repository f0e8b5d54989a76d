// The responses that a flow may give.
#pragma once

#include "flow/step.h"
#include "ngx/ngx.h"

#include <string>
#include <vector>

namespace ngx {

// For a request that continues: no cache may give these cookies to others.
void add_cookies(ngx_http_request_t* r, std::vector<std::string> cookies);

// What to return from a phase for an end that does not let the request through;
// `from_form` where the request was a form posted to us.
ngx_int_t answer(
    ngx_http_request_t* r, const oidc::Finish& finish, bool from_form);

// The same for an error, for which an error_page of the operator replaces our
// page.
ngx_int_t refuse(
    ngx_http_request_t* r, const oidc::Finish& end, ngx_int_t status);

}
