#include "conf/requirement.h"

#include "conf/rows.h"
#include "conf/values.h"
#include "core/text.h"

#include <algorithm>

namespace ngx {
namespace {

constexpr std::string_view status_parameter = "error=";

// Removes "$name" or "${name}" from the start.
bool take_variable(std::string_view& text)
{
    if (!text.starts_with('$')) {
        return false;
    }
    auto is_in_braces = text.starts_with("${");
    auto start = text.begin() + (is_in_braces ? 2 : 1);
    auto end = std::find_if_not(start, text.end(), [](char c) {
        return oidc::is_letter(c) || oidc::is_digit(c) || c == '_';
    });
    if (end == start || (is_in_braces && (end == text.end() || *end != '}'))) {
        return false;
    }
    text = {end + (is_in_braces ? 1 : 0), text.end()};
    return true;
}

// With any other text a value is always true.
bool has_variables_alone(std::string_view value)
{
    auto is_variable = take_variable(value);
    while (is_variable && !value.empty()) {
        is_variable = take_variable(value);
    }
    return is_variable;
}

ngx_int_t parse_status(std::string_view directive, std::string_view parameter)
{
    auto status = oidc::parse_number<ngx_int_t>(
        parameter.substr(status_parameter.size()));
    if (!status || *status < NGX_HTTP_BAD_REQUEST || *status > 599) {
        invalid(directive, parameter,
            "the status must be 400 to 599, such as \"error=404\"");
    }
    return *status;
}

void take_argument(
    ngx_conf_t* cf, Requirement& requirement, std::string_view argument)
{
    auto directive = view(ngx::argument(cf, 0));
    if (argument.starts_with(status_parameter)) {
        requirement.status = parse_status(directive, argument);
    } else if (has_variables_alone(argument)) {
        requirement.values.push_back(compile(cf, argument));
    } else {
        invalid(directive, argument,
            "use a variable, such as one that a \"map\" sets to 1 where access "
            "is allowed");
    }
}

}

char* ReadRequirement::read(ngx_conf_t* cf, Requirements& value)
{
    if (cf->args->nelts == 2 && view(argument(cf, 1)) == "off") {
        return good();
    }
    auto requirement = make<Requirement>(cf->pool);
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        take_argument(cf, *requirement, view(argument(cf, i)));
    }
    if (requirement->values.empty()) {
        throw Invalid(
            "\"" + text(argument(cf, 0)) + "\" directive needs a variable");
    }
    value.push_back(requirement);
    return good();
}

}
