#include "flow/wish.h"

#include "core/encode.h"

namespace oidc {
namespace {

bool is_navigation(const Visit& visit)
{
    auto leads_to = [&](auto... places) {
        return ((visit.fetch_dest == places) || ...);
    };
    return (visit.fetch_mode.empty() || visit.fetch_mode == "navigate") &&
        leads_to("", "document", "iframe", "frame");
}

}

std::string unasked_by(const Visit& visit)
{
    if (!visit.purpose.empty()) {
        return "a prefetch";
    }
    if (is_navigation(visit)) {
        return "";
    }
    return "a subresource, Sec-Fetch-Mode " + quoted(visit.fetch_mode) +
        ", Sec-Fetch-Dest " + quoted(visit.fetch_dest);
}

bool is_in_foreign_frame(const Visit& visit)
{
    return visit.fetch_site == "cross-site" &&
        (visit.fetch_dest == "iframe" || visit.fetch_dest == "frame");
}

}
