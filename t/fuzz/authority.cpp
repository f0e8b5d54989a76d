#include "browser.h"
#include "core/url.h"
#include "fuzz.h"

namespace oidc::test {

// The value of a Host header.
FUZZ(authority)
{
    auto authority = parse_authority(input);
    if (!authority) {
        return;
    }
    demand(is_printable(*authority), "printable");
    demand(authority->find_first_of(" /\\@?#%<>\"") == authority->npos,
        "a host and a port");
    demand(parse_authority(*authority) == authority, "in lower case already");

    auto page = "https://" + *authority + "/";
    auto url = parse_url(page);
    demand(url && url->host == host_of(*authority), "good for a URL");
    demand(host_reached(page, "app.example") == url->host,
        "a browser reads the same host");
    is_loopback(url->host);
}

}
