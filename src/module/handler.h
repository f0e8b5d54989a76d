// Which flow is this request? The phases in which the module is asked.
#pragma once

#include "module/context.h"

namespace ngx {

// The provider that protects the request's location; null for none, and for a
// name that a variable gave and no provider has, then with `unknown`.
ProviderConf* protecting_provider(ngx_http_request_t* r, bool& unknown);

// A callback's path or a logout's, in whatever server.
bool is_path_of_any_provider(
    const ngx_http_request_t* r, std::string_view path);

// NGX_HTTP_POST_READ_PHASE: sessions in Redis, callbacks and logouts, before
// any rewrite, return or location has its say.
ngx_int_t post_read_handler(ngx_http_request_t* r);

// NGX_HTTP_SERVER_REWRITE_PHASE, NGX_HTTP_REWRITE_PHASE: the page for a form
// that nginx could not read to its end gets nothing of it.
ngx_int_t rewrite_handler(ngx_http_request_t* r);

// NGX_HTTP_ACCESS_PHASE: the gate.
ngx_int_t access_handler(ngx_http_request_t* r);

}
