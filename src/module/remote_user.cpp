#include "module/remote_user.h"

#include "module/context.h"

namespace ngx {
namespace {

ngx_int_t set_none(ngx_http_variable_value_t* v)
{
    v->valid = 0;
    v->not_found = 1;
    return NGX_OK;
}

ngx_int_t set_user(ngx_http_request_t* r, ngx_http_variable_value_t* v,
    const std::string& claim)
{
    auto slot = Context::shown(r);
    auto user = slot != nullptr && slot->session ? slot->session->claim(claim) :
                                                   std::nullopt;
    if (!user || user->empty()) {
        return set_none(v);
    }
    auto value = copy(r->pool, *user);
    v->len = static_cast<unsigned>(value.len);
    v->data = value.data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    return NGX_OK;
}

// Not by r->headers_in.user, which auth_basic reads: after an internal redirect
// it would compare that name with its file, and a name from before the gate
// would be the client's.
ngx_int_t get_remote_user(
    ngx_http_request_t* r, ngx_http_variable_value_t* v, uintptr_t original)
{
    return guard(r, NGX_ERROR, [&] {
        auto claim = Context::remote_user_claim(r);
        if (claim != nullptr) {
            return set_user(r, v, *claim);
        }
        auto get = reinterpret_cast<ngx_http_get_variable_pt>(original);
        return get(r, v, 0);
    });
}

}

// nginx has no interface for this: it refuses a second variable of the name.
void take_over_remote_user(ngx_conf_t* cf, MainConf& conf)
{
    auto cmcf = &conf_of<ngx_http_core_main_conf_t>(cf);
    const auto& keys = cmcf->variables_keys->keys;
    auto key = static_cast<ngx_hash_key_t*>(keys.elts);
    for (auto end = key + keys.nelts; key != end; key++) {
        if (view(key->key) != "remote_user") {
            continue;
        }
        auto variable = static_cast<ngx_http_variable_t*>(key->value);
        variable->data = reinterpret_cast<uintptr_t>(variable->get_handler);
        variable->get_handler = get_remote_user;
        variable->flags |= NGX_HTTP_VAR_NOCACHEABLE;
        conf.remote_user = variable;
    }
}

void forget_remote_user(ngx_http_request_t* r)
{
    auto variable = conf_of<MainConf>(r).remote_user;
    if (variable != nullptr && (variable->flags & NGX_HTTP_VAR_INDEXED) != 0) {
        r->variables[variable->index].valid = 0;
        r->variables[variable->index].not_found = 0;
    }
}

}
