// oidc_claim_set: a variable for a claim, which may be nested in others.

#include "conf/conf.h"
#include "conf/values.h"
#include "oidc/needs.h"

namespace ngx {
namespace {

std::string read_path(const ngx_conf_t* cf)
{
    std::vector<std::string> names;
    for (ngx_uint_t i = 2; i < cf->args->nelts; i++) {
        names.push_back(text(argument(cf, i)));
        if (names.back().empty()) {
            invalid(view(argument(cf, 0)), "", "a claim has a name");
        }
    }
    auto path = oidc::claim_path(names);
    if (path.size() > oidc::max_claim_name) {
        invalid(view(argument(cf, 0)), names.back(),
            "the names of the claims are too long");
    }
    return path;
}

// Null after a failure that is logged.
ngx_http_variable_t* add_variable(ngx_conf_t* cf)
{
    auto directive = view(argument(cf, 0));
    auto name = view(argument(cf, 1));
    if (!name.starts_with('$') || name.size() == 1) {
        invalid(directive, name, "it must be a variable such as \"$roles\"");
    }
    auto bare = copy(cf->pool, name.substr(1));
    auto variable = ngx_http_add_variable(cf, &bare, NGX_HTTP_VAR_NOCACHEABLE);
    if (variable != nullptr && variable->get_handler != nullptr) {
        invalid(directive, name, "another directive sets this variable");
    }
    return variable;
}

}

char* set_claim_variable(ngx_conf_t* cf, ngx_command_t*, void* data)
{
    auto& main = *static_cast<MainConf*>(data);
    return configure(cf, [&] {
        auto variable = add_variable(cf);
        if (variable == nullptr) {
            return fail();
        }
        auto path = read_path(cf);
        auto kept = allocate<ngx_str_t>(cf->pool);
        *kept = copy(cf->pool, path);
        variable->get_handler = show_claim;
        variable->data = reinterpret_cast<uintptr_t>(kept);
        main.claim_paths.push_back(std::move(path));
        return good();
    });
}

}
