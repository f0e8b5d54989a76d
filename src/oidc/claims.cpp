#include "oidc/claims.h"

#include "core/encoding.h"
#include "core/text.h"

#include <algorithm>

namespace oidc {
namespace {

bool is_nested(JsonValue value)
{
    return value.is_object() || value.is_array();
}

bool is_list(JsonValue value)
{
    for (std::size_t i = 0; i < value.size(); i++) {
        if (is_nested(value.at(i))) {
            return false;
        }
    }
    return value.is_array();
}

std::string joined(JsonValue list)
{
    std::string text;
    for (std::size_t i = 0; i < list.size(); i++) {
        if (i > 0) {
            text += ',';
        }
        text += list_member(list.at(i).text());
    }
    return text;
}

// JSON in which every comma is a separator: a comma in a string, or in the name
// of a member, is escaped (RFC 8259, 7).
std::string with_escaped_commas(std::string_view json)
{
    std::string text;
    bool in_string = false;

    for (std::size_t i = 0; i < json.size(); i++) {
        switch (json[i]) {
        case '"':
            in_string = !in_string;
            text += '"';
            break;
        case '\\':
            text += json.substr(i, 2);
            i++;
            break;
        case ',':
            text += in_string ? "\\u002c" : ",";
            break;
        default:
            text += json[i];
        }
    }
    return text;
}

}

ClaimsByName claims_by_name(JsonValue claims)
{
    ClaimsByName all;
    for (const auto& name : claims.names()) {
        auto low = lower_case(name);
        auto exact = claims[low.c_str()];
        auto [entry, is_first] = all.emplace(low, claims[name.c_str()]);
        if (!is_first || exact.exists()) {
            entry->second = exact; // absent if two names differ only in case
        }
    }
    return all;
}

JsonValue claim_at(JsonValue claims, std::string_view path)
{
    while (!path.empty()) {
        claims = claims[std::string(take_until(path, '\0')).c_str()];
    }
    return claims;
}

std::optional<std::string> claim_text(JsonValue value)
{
    if (!value.exists() || value.is_rounded()) {
        return {};
    }
    auto text = is_list(value) ? joined(value) :
        is_nested(value)       ? with_escaped_commas(value.dump()) :
                                 value.text();
    if (std::any_of(text.begin(), text.end(), is_control)) {
        return {};
    }
    return text;
}

}
