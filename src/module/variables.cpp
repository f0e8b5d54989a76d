#include "module/variables.h"

#include "module/context.h"

namespace ngx {
namespace {

using oidc::Session;

constexpr std::string_view claim_prefix = "oidc_claim_";

const Session* session_of(ngx_http_request_t* r)
{
    auto slot = Context::shown(r);
    return slot != nullptr && slot->session ? &*slot->session : nullptr;
}

// nginx may keep the value: views live as long as the request's session.
ngx_int_t set(ngx_http_variable_value_t* v, std::string_view value)
{
    v->len = static_cast<unsigned>(value.size());
    v->data = reinterpret_cast<u_char*>(const_cast<char*>(value.data()));
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    return NGX_OK;
}

ngx_int_t set_none(ngx_http_variable_value_t* v)
{
    v->not_found = 1;
    return NGX_OK;
}

ngx_int_t set_copy(
    ngx_http_request_t* r, ngx_http_variable_value_t* v, std::string_view value)
{
    return set(v, view(copy(r->pool, value)));
}

ngx_int_t set_kept(ngx_http_request_t* r, ngx_http_variable_value_t* v,
    const std::optional<std::string_view>& value)
{
    return value ? set_copy(r, v, *value) : set_none(v);
}

// In seconds since the epoch; Time() stands for what is not known.
ngx_int_t set_time(
    ngx_http_request_t* r, ngx_http_variable_value_t* v, Time time)
{
    return time > Time() ?
        set_copy(r, v, std::to_string(oidc::to_seconds(time))) :
        set_none(v);
}

using Get = ngx_int_t (*)(
    ngx_http_request_t*, ngx_http_variable_value_t*, uintptr_t);

// A getter for a value of the session.
template <ngx_int_t (*of_session)(
    ngx_http_request_t*, ngx_http_variable_value_t*, const Session&, uintptr_t)>
ngx_int_t get(
    ngx_http_request_t* r, ngx_http_variable_value_t* v, uintptr_t data)
{
    return guard(r, NGX_ERROR, [&] {
        auto session = session_of(r);
        return session != nullptr ? of_session(r, v, *session, data) :
                                    set_none(v);
    });
}

template <ngx_int_t (*of_request)(
    ngx_http_request_t*, ngx_http_variable_value_t*)>
ngx_int_t get(ngx_http_request_t* r, ngx_http_variable_value_t* v, uintptr_t)
{
    return guard(r, NGX_ERROR, [&] { return of_request(r, v); });
}

ngx_int_t claim(ngx_http_request_t* r, ngx_http_variable_value_t* v,
    const Session& session, uintptr_t data)
{
    auto name = view(*reinterpret_cast<ngx_str_t*>(data));
    return set_kept(r, v, session.claim(name.substr(claim_prefix.size())));
}

ngx_int_t nested_claim(ngx_http_request_t* r, ngx_http_variable_value_t* v,
    const Session& session, uintptr_t data)
{
    return set_kept(
        r, v, session.claim(view(*reinterpret_cast<ngx_str_t*>(data))));
}

ngx_int_t id_token(ngx_http_request_t* r, ngx_http_variable_value_t* v,
    const Session& session, uintptr_t)
{
    return set_kept(r, v, session.id_token());
}

ngx_int_t access_token(ngx_http_request_t* r, ngx_http_variable_value_t* v,
    const Session& session, uintptr_t)
{
    return set_kept(r, v, session.access_token());
}

ngx_int_t userinfo(ngx_http_request_t* r, ngx_http_variable_value_t* v,
    const Session& session, uintptr_t)
{
    return set_kept(r, v, session.userinfo());
}

ngx_int_t session_id(ngx_http_request_t* r, ngx_http_variable_value_t* v,
    const Session& session, uintptr_t)
{
    return set_copy(r, v, session.handle());
}

ngx_int_t session_expires(ngx_http_request_t* r, ngx_http_variable_value_t* v,
    const Session& session, uintptr_t)
{
    return set_time(r, v, session.expires());
}

ngx_int_t access_token_expires(ngx_http_request_t* r,
    ngx_http_variable_value_t* v, const Session& session, uintptr_t)
{
    return set_time(r, v, session.access_token_expires());
}

ngx_int_t auth_time(ngx_http_request_t* r, ngx_http_variable_value_t* v,
    const Session& session, uintptr_t)
{
    return set_time(r, v, session.auth_time());
}

ngx_int_t authenticated(ngx_http_request_t* r, ngx_http_variable_value_t* v)
{
    return set(v, session_of(r) != nullptr ? "1" : "0");
}

// Where no session is required, its provider has done nothing for a request
// without one.
bool is_involved(ngx_http_request_t* r, const Slot& slot)
{
    auto context = Context::find(r);
    auto is_decided =
        context != nullptr && (context->error() || context->is_at_endpoint());
    return slot.session || is_decided ||
        !conf_of<LocationConf>(r).has(Mode::verify);
}

ngx_int_t provider(ngx_http_request_t* r, ngx_http_variable_value_t* v)
{
    auto slot = Context::shown(r);
    return slot != nullptr && is_involved(r, *slot) ?
        set(v, slot->state.name()) :
        set_none(v);
}

ngx_int_t error(ngx_http_request_t* r, ngx_http_variable_value_t* v)
{
    auto context = Context::find(r);
    if (context == nullptr || !context->error()) {
        return set_none(v);
    }
    return set(v, oidc::fault(context->error()->code).word);
}

ngx_int_t error_description(ngx_http_request_t* r, ngx_http_variable_value_t* v)
{
    auto context = Context::find(r);
    if (context == nullptr || !context->error()) {
        return set_none(v);
    }
    return set_copy(r, v, context->error()->detail);
}

struct Variable {
    std::string_view name;
    Get get;
    ngx_uint_t flags = 0;
};

// Not cached: a request may have its session only later.
constexpr ngx_uint_t later = NGX_HTTP_VAR_NOCACHEABLE;

// clang-format off
constexpr Variable variables[] = {
    {"oidc_claim_",               get<claim>, later|NGX_HTTP_VAR_PREFIX},
    {"oidc_id_token",             get<id_token>, later},
    {"oidc_access_token",         get<access_token>, later},
    {"oidc_access_token_expires", get<access_token_expires>, later},
    {"oidc_userinfo",             get<userinfo>, later},
    {"oidc_authenticated",        get<authenticated>, later},
    {"oidc_provider",             get<provider>, later},
    {"oidc_session_id",           get<session_id>, later},
    {"oidc_session_expires",      get<session_expires>, later},
    {"oidc_auth_time",            get<auth_time>, later},
    {"oidc_error",                get<error>, later},
    {"oidc_error_description",    get<error_description>, later},
};
// clang-format on

}

ngx_int_t show_claim(
    ngx_http_request_t* r, ngx_http_variable_value_t* value, uintptr_t path)
{
    return get<nested_claim>(r, value, path);
}

ngx_int_t add_variables(ngx_conf_t* cf)
{
    for (const auto& variable : variables) {
        auto name = copy(cf->pool, variable.name);
        auto added = ngx_http_add_variable(cf, &name, variable.flags);
        if (added == nullptr) {
            return NGX_ERROR;
        }
        added->get_handler = variable.get;
    }
    return NGX_OK;
}

}
