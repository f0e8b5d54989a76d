#include "core/url.h"
#include "browser.h"
#include "fuzz.h"

namespace oidc::test {

FUZZ(url)
{
    auto url = parse_url(input);
    if (!url) {
        return;
    }
    demand(is_printable(input), "printable");
    demand(url->scheme == "http" || url->scheme == "https", "http or https");
    demand(url->port != 0, "a port");
    demand(url->path.starts_with('/'), "a path");
    demand(host_reached(input, "app.example") == url->host,
        "a browser reads the same host");

    auto text = url->origin() + url->target();
    auto again = parse_url(text);
    demand(again && again->origin() + again->target() == text,
        "written and read again");
}

}
