// Phase handlers: which flow a request begins.
#pragma once

#include "ngx/ngx.h"

namespace ngx {

// NGX_HTTP_POST_READ_PHASE: sessions in Redis, callbacks and logouts, before
// any rewrite, return or location.
ngx_int_t post_read_handler(ngx_http_request_t* r);

// NGX_HTTP_SERVER_REWRITE_PHASE, NGX_HTTP_REWRITE_PHASE: removes a form that
// nginx could not read completely, before the page for that error.
ngx_int_t rewrite_handler(ngx_http_request_t* r);

// NGX_HTTP_ACCESS_PHASE: the gate.
ngx_int_t access_handler(ngx_http_request_t* r);

// NGX_HTTP_ACCESS_PHASE, after all other modules: auth_oidc_require.
ngx_int_t authorization_handler(ngx_http_request_t* r);

}
