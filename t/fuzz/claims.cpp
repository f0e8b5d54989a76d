#include "oidc/claims.h"
#include "fuzz.h"

namespace oidc::test {

// A claim's name as in $oidc_claim_*, and the claims.
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
        auto text = claim_text(value);
        demand(!text || is_clean(*text), "a claim fits into a header");
    }
    for (const auto& member : claims->root().names()) {
        auto text = claim_text((*claims)[member.c_str()]);
        demand(!text || is_clean(*text), "any claim fits into a header");
        if (member == lower_case(member)) {
            demand(names.count(member) == 1, "an exact name is found");
        }
    }
}

}
