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

ClaimsByName claims_by_name(JsonValue claims)
{
    ClaimsByName all;
    for (const auto& name : claims.names()) {
        auto low = lower_case(name);
        auto exact = claims[low.c_str()];
        auto [entry, is_first] = all.emplace(low, claims[name.c_str()]);
        if (!is_first || exact.exists()) {
            entry->second = exact; // absent where two differ in case alone
        }
    }
    return all;
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
