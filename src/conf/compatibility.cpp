// Directives of other modules that configurations of NGINX Plus use together
// with its OpenID Connect module.

#include "conf/conf.h"
#include "conf/values.h"
#include "store/local.h"

namespace ngx {
namespace {

constexpr std::string_view keyval_zone = "keyval_zone";

std::string_view value_of(std::string_view parameter)
{
    auto equals = parameter.find('=');
    return equals == parameter.npos ? "" : parameter.substr(equals + 1);
}

void take_zone(ngx_conf_t* cf, StoreConf& store, std::string_view parameter)
{
    auto value = value_of(parameter);
    auto colon = value.rfind(':');
    auto size =
        copy(cf->pool, colon == value.npos ? "" : value.substr(colon + 1));
    auto bytes = ngx_parse_size(&size);
    if (colon == value.npos || bytes <= 0) {
        invalid(keyval_zone, parameter,
            "it must be a name and a size such as \"zone=sessions:8m\"");
    }
    store.name = value.substr(0, colon);
    // NGINX Plus allows less than a store needs.
    store.size = static_cast<std::size_t>(bytes) < store.type->min_size ?
        copy(cf->pool, std::to_string(store.type->min_size)) :
        size;
}

void take_timeout(ngx_conf_t* cf, StoreConf& store, std::string_view parameter)
{
    auto value = copy(cf->pool, value_of(parameter));
    auto seconds = ngx_parse_time(&value, 1);
    if (seconds == NGX_ERROR || seconds == 0) {
        invalid(keyval_zone, parameter,
            "it must be a time longer than 0, such as \"timeout=1h\"");
    }
    store.ttl = Seconds(seconds);
}

void take_parameter(
    ngx_conf_t* cf, StoreConf& store, std::string_view parameter)
{
    if (parameter.starts_with("zone=")) {
        take_zone(cf, store, parameter);
    } else if (parameter.starts_with("timeout=")) {
        take_timeout(cf, store, parameter);
    } else if (parameter.starts_with("state=")) {
        invalid(keyval_zone, parameter,
            "a state file is not supported, use an oidc_session_store of type "
            "redis to keep sessions across a restart");
    } else if (parameter == "sync") {
        invalid(keyval_zone, parameter,
            "zones are not synchronized, use an oidc_session_store of type "
            "redis on all nodes");
    } else if (parameter != "type=string") {
        invalid(keyval_zone, parameter,
            "use \"zone=name:size\", \"timeout=time\" and \"type=string\"");
    }
}

}

// A store of type memory.
char* set_keyval_zone(ngx_conf_t* cf, ngx_command_t*, void* data)
{
    auto& main = *static_cast<MainConf*>(data);
    return configure(cf, [&] {
        auto store = make<StoreConf>(cf->pool);
        store->type = &memory_type;
        for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
            take_parameter(cf, *store, view(argument(cf, i)));
        }
        if (store->name.empty()) {
            throw Invalid("\"keyval_zone\" directive needs \"zone=name:size\"");
        }
        check_store_name(main, store->name, keyval_zone);
        main.stores.push_back(store);
        store->make =
            store->type->configure(cf, store->name, *store, main.system_trust);
        return store->make ? good() : fail();
    });
}

// Nested claims are those of the session: no token is read.
char* check_auth_jwt(ngx_conf_t* cf, ngx_command_t*, void*)
{
    return configure(cf, [&] {
        auto is_off = view(argument(cf, 1)) == "off";
        auto token = cf->args->nelts > 2 ? view(argument(cf, 2)) : "";
        if (!is_off || (!token.empty() && token != "token=$oidc_id_token")) {
            throw Invalid(
                "\"auth_jwt\" directive is not supported except as \"auth_jwt "
                "off token=$oidc_id_token\", use \"auth_oidc\" to protect a "
                "location");
        }
        return good();
    });
}

}
