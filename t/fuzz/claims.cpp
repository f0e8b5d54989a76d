#include "oidc/claims.h"

#include "core/text.h"
#include "fuzz.h"
#include "oidc/needs.h"

#include <algorithm>
#include <vector>

namespace oidc::test {
namespace {

std::string decoded(std::string_view text)
{
    std::string plain;
    for (std::size_t i = 0; i < text.size(); i++) {
        if (text[i] == '%') {
            demand(text.size() - i > 2, "an escape is whole");
            auto hex = std::string(text.substr(i + 1, 2));
            plain += static_cast<char>(std::stoi(hex, nullptr, 16));
            i += 2;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

bool is_flat(JsonValue list)
{
    for (std::size_t i = 0; i < list.size(); i++) {
        if (list.at(i).is_array() || list.at(i).is_object()) {
            return false;
        }
    }
    return list.is_array() && list.size() > 0;
}

void demand_members(JsonValue list, std::string_view text)
{
    for (std::size_t i = 0; i < list.size(); i++) {
        auto comma = std::min(text.find(','), text.size());
        demand(decoded(text.substr(0, comma)) == list.at(i).text(),
            "a member of a list is one part of its text");
        demand(
            i + 1 == list.size() ? comma == text.size() : comma < text.size(),
            "a list has as many parts as members");
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
}

void demand_same(JsonValue nested, const std::string& text)
{
    auto again = Json::parse("{\"claim\":" + text + "}");
    demand(again && (*again)["claim"].dump() == nested.dump(),
        "what is shown as JSON reads as the claim");
}

void check_text(JsonValue value)
{
    auto text = claim_text(value);
    demand(!text || is_clean(*text), "a claim fits into a header");
    if (value.is_rounded()) {
        demand(!text, "no rounded number");
    } else if (is_flat(value)) {
        demand(text.has_value(), "a list has a text");
        demand_members(value, *text);
    } else if (text && value.size() > 0) {
        demand_same(value, *text);
    }
}

}

// The name of a claim, as in $oidc_claim_*, and the claims.
FUZZ(claims)
{
    auto name = lower_case(take_line(input));
    auto claims = Json::parse(input);
    if (!claims) {
        return;
    }
    auto names = claims_by_name(claims->root());
    auto found = names.find(name);
    demand(found == names.end() || lower_case(found->first) == name,
        "a name in lower case");
    for (const auto& [lower, value] : names) {
        check_text(value);
    }
    for (const auto& member : claims->root().names()) {
        std::vector<std::string> path = {member};
        demand(claim_at(claims->root(), claim_path(path)).dump() ==
                (*claims)[member.c_str()].dump(),
            "a path of one name leads to that member");
        check_text((*claims)[member.c_str()]);
        if (member == lower_case(member)) {
            demand(names.count(member) == 1, "an exact name is found");
        }
    }
}

}
