#include "flow/intent.h"

#include "core/encoding.h"

namespace oidc {
namespace {

bool is_navigation(const RequestView& view)
{
    auto leads_to = [&](auto... places) {
        return ((view.fetch_dest == places) || ...);
    };
    return (view.fetch_mode.empty() || view.fetch_mode == "navigate") &&
        leads_to("", "document", "iframe", "frame");
}

}

std::string cause_other_than_user(const RequestView& view)
{
    if (!view.purpose.empty()) {
        return "a prefetch";
    }
    if (is_navigation(view)) {
        return "";
    }
    return "a subresource request, Sec-Fetch-Mode " + quoted(view.fetch_mode) +
        ", Sec-Fetch-Dest " + quoted(view.fetch_dest);
}

bool is_in_foreign_frame(const RequestView& view)
{
    return view.fetch_site == "cross-site" &&
        (view.fetch_dest == "iframe" || view.fetch_dest == "frame");
}

}
