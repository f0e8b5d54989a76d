// Parameters of a form that a browser or a provider sends to one of our
// endpoints: each one once, none longer than its limit.
#pragma once

#include "core/result.h"

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace oidc {

struct ParameterLimit {
    std::string_view name;
    std::size_t bytes;
    bool is_cut = false; // a longer one is cut
};

// The values in the order of `limits`. `malformed` is the code for a parameter
// of `limits` that comes twice or is too long, and for what is no form. Other
// parameters are ignored.
Check read_parameters(std::string_view form,
    std::span<const ParameterLimit> limits, Errc malformed,
    std::span<std::optional<std::string>> values);

template <std::size_t count>
Result<std::array<std::optional<std::string>, count>> read_parameters(
    std::string_view form, const ParameterLimit (&limits)[count],
    Errc malformed)
{
    std::array<std::optional<std::string>, count> values;
    auto read = read_parameters(form, std::span(limits), malformed, values);
    if (!read) {
        return std::move(read).error();
    }
    return values;
}

}
