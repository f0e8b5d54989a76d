#include "oidc/claims.h"

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
        text += list.at(i).text();
    }
    return text;
}

bool is_control(char c)
{
    auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
}

}

std::string lower_case(std::string_view name)
{
    std::string low(name);
    for (char& c : low) {
        if (c >= 'A' && c <= 'Z') {
            c = static_cast<char>(c | 0x20);
        }
    }
    return low;
}

JsonValue find_claim(JsonValue claims, std::string_view name)
{
    std::string wanted(name);
    auto exact = claims[wanted.c_str()];
    if (exact.exists()) {
        return exact;
    }

    JsonValue found;
    for (const auto& candidate : claims.names()) {
        if (lower_case(candidate) != wanted) {
            continue;
        }
        if (found.exists()) {
            return {};
        }
        found = claims[candidate.c_str()];
    }
    return found;
}

std::optional<std::string> claim_text(JsonValue value)
{
    if (!value.exists() || value.is_null()) {
        return {};
    }
    auto text = is_list(value) ? joined(value) : value.text();
    if (std::any_of(text.begin(), text.end(), is_control)) {
        return {};
    }
    return text;
}

}
