#include "oidc/parameters.h"

#include "core/encoding.h"

#include <algorithm>

namespace oidc {

Check read_parameters(std::string_view form,
    std::span<const ParameterLimit> limits, Errc malformed,
    std::span<std::optional<std::string>> values)
{
    auto refuse = [malformed](const std::string& what) {
        return Error{malformed, "client sent " + what};
    };
    std::string why;
    auto parameters = parse_form(form, why);
    if (!parameters) {
        return refuse(why);
    }
    for (auto& [name, value] : *parameters) {
        auto limit = std::ranges::find(limits, name, &ParameterLimit::name);
        if (limit == limits.end()) {
            continue;
        }
        auto& slot = values[static_cast<std::size_t>(limit - limits.begin())];
        if (slot) {
            return refuse("parameter " + name + " twice");
        }
        if (limit->is_cut) {
            value.resize(std::min(value.size(), limit->bytes));
        }
        if (value.size() > limit->bytes) {
            return refuse("parameter " + name + " longer than " +
                std::to_string(limit->bytes) + " bytes");
        }
        slot = std::move(value);
    }
    return Ok{};
}

}
