// Where a browser goes: as much of the URL Standard's "basic URL parser"
// (url.spec.whatwg.org) as decides about the host, written from that page and
// not from src, so that the two can be held against each other.
#pragma once

#include <string>
#include <string_view>

namespace oidc::test {

// The host, in lower case and without a port, that a Location leads to from an
// https page of `host`; empty where there is none. The host of an absolute URL
// is given as it is written, before percent-decoding and IDNA.
std::string host_reached(std::string_view location, std::string_view host);

}
