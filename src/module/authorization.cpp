#include "module/authorization.h"

#include "conf/conf.h"
#include "core/text.h"
#include "module/request.h"

namespace ngx {
namespace {

// A list is true if one of its members is.
bool is_true(std::string_view value)
{
    while (!value.empty()) {
        auto member = oidc::take_until(value, ',');
        if (!member.empty() && member != "0") {
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
            if (!is_true(evaluate(r, value))) {
                return Unmet{view(value->value), requirement->status};
            }
        }
    }
    return {};
}

}
