// The URL that a browser follows: those parts of the URL Standard's "basic URL
// parser" (url.spec.whatwg.org) that decide about the host, implemented from
// the standard and not from src, so that the two can be compared.
#pragma once

#include <string>
#include <string_view>

namespace oidc::test {

// The host, in lower case and without port, of a Location on an https page of
// `host`; empty if there is none. The host of an absolute URL is returned as
// written, before percent-decoding and IDNA.
std::string host_reached(std::string_view location, std::string_view host);

}
