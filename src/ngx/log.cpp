#include "ngx/log.h"

#include "ngx/handler.h"
#include "ngx/request.h"

namespace ngx {
namespace {

// nginx refuses a request that it cannot take before the first phase. An
// error_page leads such a one past that phase, which nothing tells then.
bool may_have_missed_post_read_phase(const ngx_http_request_t* r)
{
    return r->internal || r->phase_handler == 0;
}

// Its virtual server may not be known, so it may be any provider's.
bool is_at_entry(const ngx_http_request_t* r)
{
    auto target = target_of(r);
    return is_path_of_any_provider(
               r, target.substr(0, target.find_first_of("? #"))) ||
        (!r->internal && is_path_of_any_provider(r, view(r->uri)));
}

void hide_missed_query(ngx_http_request_t* r)
{
    if (may_have_missed_post_read_phase(r) && is_at_entry(r)) {
        hide_query(r);
    }
}

// A form that the client broke off, or that nobody asked for.
void hide_missed_body(ngx_http_request_t* r)
{
    if (r != r->main || r->request_body == nullptr) {
        return;
    }
    auto context = Context::find(r);
    if (context != nullptr && context->is_entry()) {
        hide_body(r);
    }
}

}

ngx_int_t log_handler(ngx_http_request_t* r)
{
    hide_missed_query(r);
    hide_missed_body(r);
    return NGX_OK;
}

}
