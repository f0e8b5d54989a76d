#include "module/log_phase.h"

#include "module/context.h"
#include "module/endpoint.h"
#include "module/protection.h"
#include "module/remote_user.h"
#include "module/request.h"
#include "module/worker.h"

#include <utility>

namespace ngx {
namespace {

ngx_http_core_loc_conf_t& core_conf(ngx_http_request_t* r)
{
    return conf_of<ngx_http_core_loc_conf_t>(r);
}

// Its virtual server may be unknown, so it may be for any provider.
bool is_at_endpoint(const ngx_http_request_t* r)
{
    auto target = target_of(r);
    return is_path_of_any_provider(
               r, target.substr(0, target.find_first_of("? #"))) ||
        (!r->internal && is_path_of_any_provider(r, view(r->uri)));
}

void hide_missed_query(ngx_http_request_t* r)
{
    if (!has_passed_post_read_phase(r) && is_at_endpoint(r)) {
        hide_query(r);
    }
}

// A form that the client did not complete, or that no flow read.
void hide_missed_body(ngx_http_request_t* r)
{
    if (r != r->main) {
        return;
    }
    auto context = Context::find(r);
    if (context != nullptr && context->is_endpoint()) {
        hide_body(r);
    }
}

ngx_uint_t status_of(const ngx_http_request_t* r)
{
    return r->err_status != 0 ? r->err_status : r->headers_out.status;
}

bool is_redirect(const ngx_http_request_t* r)
{
    return status_of(r) >= NGX_HTTP_SPECIAL_RESPONSE;
}

bool is_let_in(const ngx_http_request_t* r)
{
    return status_of(r) >= NGX_HTTP_OK && status_of(r) < NGX_HTTP_BAD_REQUEST;
}

bool is_in_no_location(ngx_http_request_t* r)
{
    auto cscf = &conf_of<ngx_http_core_srv_conf_t>(r);
    return r->loc_conf == cscf->ctx->loc_conf;
}

// By nginx, to the location's name.
bool was_sent_to_slash(ngx_http_request_t* r)
{
    auto name = view(core_conf(r).name);
    return core_conf(r).auto_redirect && name.size() == r->uri.len + 1 &&
        name.starts_with(view(r->uri));
}

bool has_error_page_elsewhere(ngx_http_request_t* r)
{
    auto pages = core_conf(r).error_pages;
    for (ngx_uint_t i = 0; pages != nullptr && i < pages->nelts; i++) {
        auto page = static_cast<ngx_http_err_page_t*>(pages->elts)[i];
        auto value = view(page.value.value);
        if (!value.starts_with('/') && !value.starts_with('@')) {
            return true;
        }
    }
    return false;
}

bool was_led_on(const ngx_http_request_t* r)
{
    return r->uri_changes <= NGX_HTTP_MAX_URI_CHANGES;
}

// By an error_page with "=200": responses of locations do not set this.
bool has_status_of_error_page(const ngx_http_request_t* r)
{
    return r->err_status >= NGX_HTTP_OK &&
        r->err_status < NGX_HTTP_SPECIAL_RESPONSE;
}

// nginx sets this where it looks for an error_page, found or not, except under
// recursive_error_pages.
bool may_have_looked_for_error_page(ngx_http_request_t* r)
{
    return r->error_page || core_conf(r).recursive_error_pages ||
        has_status_of_error_page(r);
}

bool may_be_error_page(ngx_http_request_t* r)
{
    return may_have_looked_for_error_page(r) &&
        (was_led_on(r) || (is_redirect(r) && has_error_page_elsewhere(r)));
}

// Responses without content of a location: a redirect of all requests to https,
// an added slash; a CORS preflight, which browsers send without cookies; the
// page for an error; post_action after the response.
bool is_harmless(ngx_http_request_t* r)
{
    return r->method == NGX_HTTP_OPTIONS || r->post_action ||
        may_be_error_page(r) ||
        (is_redirect(r) && (is_in_no_location(r) || was_sent_to_slash(r)));
}

// Under "satisfy any" nginx does not run the gate where an address is allowed.
bool must_be_checked(ngx_http_request_t* r, const LocationConf& conf)
{
    return r == r->main && conf.on && conf.has(Mode::require) && is_let_in(r) &&
        core_conf(r).satisfy != NGX_HTTP_SATISFY_ANY && !is_harmless(r);
}

bool was_checked(ngx_http_request_t* r, const LocationConf& conf)
{
    bool unknown;
    auto provider = protecting_provider(r, unknown);
    if (provider == nullptr) {
        return true;
    }
    auto context = Context::find(r);
    return context != nullptr && context->has_checked(conf, *provider);
}

void warn_of_unchecked(ngx_http_request_t* r)
{
    auto& conf = conf_of<LocationConf>(r);
    auto& has_warned = worker(r).has_warned;
    if (has_warned.contains(&conf) || !must_be_checked(r, conf) ||
        was_checked(r, conf)) {
        return;
    }
    has_warned.insert(&conf);
    auto log = r->connection->log;
    auto action = std::exchange(log->action, nullptr);
    ngx_log_error(NGX_LOG_WARN, log, 0,
        "oidc: \"auth_oidc\" in %V:%ui did not protect a request, status %ui "
        "was sent before access checks (\"return\" and \"rewrite\" run first)",
        &conf.position.file, conf.position.line, status_of(r));
    log->action = action;
}

}

ngx_int_t log_handler(ngx_http_request_t* r)
{
    hide_missed_query(r);
    hide_missed_body(r);
    forget_remote_user(r);
    warn_of_unchecked(r);
    return NGX_OK;
}

}
