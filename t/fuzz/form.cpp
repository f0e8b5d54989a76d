#include "core/encoding.h"
#include "fuzz.h"

#include <algorithm>

namespace oidc::test {

FUZZ(form)
{
    std::string why;
    auto parameters = parse_form(input, why);
    if (!parameters) {
        demand(is_printable(why), "a reason fit for a log");
        return;
    }
    demand(parameters->size() <= 64, "bounded");

    std::string form;
    for (const auto& [name, value] : *parameters) {
        demand((name + value).find('\0') == std::string::npos, "no NUL");
        append_parameter(form, name, value);
    }
    demand(is_printable(form), "written in printable characters");

    auto again = parse_form(form);
    auto same = [](const Parameter& a, const Parameter& b) {
        return a.name == b.name && a.value == b.value;
    };
    demand(again &&
            std::equal(parameters->begin(), parameters->end(), again->begin(),
                again->end(), same),
        "written and read again");
}

}
