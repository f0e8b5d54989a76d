#include "browser.h"
#include "core/url.h"
#include "fuzz.h"

namespace oidc::test {

// The raw target of a request, as the location after the login.
FUZZ(return_target)
{
    auto target = return_target(input);
    demand(is_clean(target), "fit for a header");
    demand(target.find(' ') == target.npos, "no blank");
    demand(target.starts_with('/'), "absolute");
    demand(host_reached(target, "app.example") == "app.example",
        "stays on our origin");
    demand(return_target(target) == target, "final");

    // Appended to an origin if the callback is on another host.
    demand(host_reached("https://www.example" + target, "app.example") ==
            "www.example",
        "stays on the page's origin");
}

}
