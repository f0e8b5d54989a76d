// ngx_http_oidc_module: what nginx calls, and when.

#include "conf/conf.h"
#include "module/handler.h"
#include "module/log_phase.h"
#include "module/remote_user.h"
#include "module/variables.h"
#include "module/worker.h"
#include "ngx/layout.h"
#include "ngx/ngx.h"

#include <algorithm>
#include <utility>

namespace ngx {
namespace {

ngx_int_t preconfiguration(ngx_conf_t* cf)
{
    if (check_layout(cf) != NGX_OK) {
        return NGX_ERROR;
    }
    leave_names_to_their_modules(cf);
    return guard(cf, NGX_ERROR, [cf] { return add_variables(cf); });
}

ngx_array_t& handlers_of(ngx_conf_t* cf, ngx_http_phases phase)
{
    auto cmcf = &conf_of<ngx_http_core_main_conf_t>(cf);
    return cmcf->phases[phase].handlers;
}

ngx_int_t add_handler(
    ngx_conf_t* cf, ngx_http_phases phase, ngx_http_handler_pt handler)
{
    auto slot = static_cast<ngx_http_handler_pt*>(
        ngx_array_push(&handlers_of(cf, phase)));
    if (slot == nullptr) {
        return NGX_ERROR;
    }
    *slot = handler;
    return NGX_OK;
}

// Before the handlers of all other modules.
ngx_int_t put_first(
    ngx_conf_t* cf, ngx_http_phases phase, ngx_http_handler_pt handler)
{
    if (add_handler(cf, phase, handler) != NGX_OK) {
        return NGX_ERROR;
    }
    auto& handlers = handlers_of(cf, phase);
    auto first = static_cast<ngx_http_handler_pt*>(handlers.elts);
    auto end = first + handlers.nelts;
    std::rotate(first, end - 1, end);
    return NGX_OK;
}

// Handlers of this phase run from the first to the last, and the access log is
// registered before all other modules.
ngx_int_t add_log_handler(ngx_conf_t* cf)
{
    return put_first(cf, NGX_HTTP_LOG_PHASE, guarded<log_handler>);
}

// Handlers of this phase run from the last to the first: requirements may have
// variables that other access modules set, auth_request among them.
ngx_int_t add_authorization_handler(ngx_conf_t* cf)
{
    return conf_of<MainConf>(cf).has_requirements ?
        put_first(cf, NGX_HTTP_ACCESS_PHASE, guarded<authorization_handler>) :
        NGX_OK;
}

struct Handler {
    ngx_http_phases phase;
    ngx_http_handler_pt handler;
};

constexpr Handler phase_handlers[] = {
    {NGX_HTTP_POST_READ_PHASE, guarded<post_read_handler>},
    {NGX_HTTP_SERVER_REWRITE_PHASE, guarded<rewrite_handler>},
    {NGX_HTTP_REWRITE_PHASE, guarded<rewrite_handler>},
    {NGX_HTTP_ACCESS_PHASE, guarded<access_handler>},
};

ngx_int_t add_handlers(ngx_conf_t* cf)
{
    for (const auto& [phase, handler] : phase_handlers) {
        if (add_handler(cf, phase, handler) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    return add_log_handler(cf);
}

ngx_int_t postconfiguration(ngx_conf_t* cf)
{
    auto& main = conf_of<MainConf>(cf);
    if (add_authorization_handler(cf) != NGX_OK) {
        return NGX_ERROR;
    }
    if (main.providers.empty()) {
        return NGX_OK;
    }
    if (add_handlers(cf) != NGX_OK) {
        return NGX_ERROR;
    }
    return guard(cf, NGX_ERROR, [&] {
        find_needs(cf, main);
        if (!main.remote_user_claims.empty()) {
            take_over_remote_user(cf, main);
        }
        return NGX_OK;
    });
}

bool is_ours(const ngx_http_phase_handler_t& slot)
{
    return slot.handler == guarded<rewrite_handler>;
}

void put_ours_first(ngx_http_phase_handler_t* first)
{
    auto slot = first;
    while (!is_ours(*slot)) {
        slot++;
    }
    for (; slot != first; slot--) {
        std::swap(slot->handler, (slot - 1)->handler);
    }
}

// The rewrite module registers its handlers after ours, so that nginx runs them
// first. Entries of one phase differ in the handler alone.
void precede_rewrite(const ngx_http_phase_engine_t& engine)
{
    put_ours_first(engine.handlers + engine.server_rewrite_index);
    put_ours_first(engine.handlers + engine.location_rewrite_index);
}

ngx_int_t start(ngx_cycle_t* cycle)
{
    auto conf = conf_of<MainConf>(cycle);
    auto core = conf_of<ngx_http_core_main_conf_t>(cycle);
    if (core != nullptr && conf != nullptr && !conf->providers.empty()) {
        precede_rewrite(core->phase_engine);
    }
    return start_worker(cycle);
}

ngx_http_module_t context = {
    preconfiguration,
    postconfiguration,
    create_worker,
    init_main_conf,
    create_server_conf,
    nullptr, // nothing of a server is inherited
    create_location_conf,
    merge_location_conf,
};

}

void log_exception(ngx_log_t* log, const char* what) noexcept
{
    ngx_log_error(NGX_LOG_ERR, log, 0, "oidc: internal error, %s", what);
}

}

ngx_module_t ngx_http_oidc_module = {
    NGX_MODULE_V1,
    &ngx::context,
    ngx::commands,
    NGX_HTTP_MODULE,
    nullptr, // init master
    ngx::start,
    nullptr, // init process
    nullptr, // init thread
    nullptr, // exit thread
    nullptr, // exit process
    nullptr, // exit master
    NGX_MODULE_V1_PADDING,
};
