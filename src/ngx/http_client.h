// HTTP/1.1 over an exchange: sends a flow's HttpRequest, returns a bounded
// HttpResponse.
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "ngx/exchange.h"

#include <functional>

namespace ngx {

using Done = std::function<void(oidc::Result<oidc::HttpResponse>)>;

// Sends the request and calls `done` at most once, while the request `r` lives.
// Returns NGX_ERROR, without a call, if it cannot start. Errors are from
// `codes`: malformed if the response is not HTTP, incomplete, or too large.
ngx_int_t fetch(ngx_http_request_t* r, const UpstreamServer& upstream_server,
    oidc::HttpRequest request, Exchange::Manner manner,
    const oidc::ExchangeCodes& codes, Done done);

}
