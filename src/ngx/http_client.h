// HTTP/1.1 spoken over an exchange: a flow's HttpRequest out, a bounded
// HttpResponse in.
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "ngx/exchange.h"

#include <functional>

namespace ngx {

using Done = std::function<void(oidc::Result<oidc::HttpResponse>)>;

// Asks, and calls `done` at most once, while the request lives; it fails,
// rather than to call, with NGX_ERROR. upstream_unreachable, upstream_timeout,
// upstream_answer for what is no bounded and complete HTTP answer.
ngx_int_t fetch(ngx_http_request_t* r, const UpstreamServer& upstream_server,
    oidc::HttpRequest request, Exchange::Manner manner, Done done);

}
