#include "module/authorization.h"

#include "conf/conf.h"
#include "core/text.h"
#include "module/request.h"

namespace ngx {
namespace {

// "false" is what a claim of that JSON value shows.
bool is_true(std::string_view value)
{
    return !value.empty() && value != "0" && value != "false";
}

// A list is true if one of its members is.
bool has_true(std::string_view list)
{
    while (!list.empty()) {
        if (is_true(oidc::take_until(list, ','))) {
            return true;
        }
    }
    return false;
}

}

std::optional<Unmet> find_unmet(ngx_http_request_t* r)
{
    for (auto requirement : conf_of<LocationConf>(r).requirements) {
        for (auto value : requirement->values) {
            if (!has_true(evaluate(r, value))) {
                return Unmet{view(value->value), requirement->status};
            }
        }
    }
    return {};
}

}
