// How a login begins and how its callback finds the browser it belongs to:
// what gate and callback share.
#pragma once

#include "flow/step.h"
#include "oidc/authorize.h"

#include <optional>
#include <string>
#include <string_view>

namespace oidc {

// Where the provider sends the browser back to.
struct RedirectUri {
    std::string url;    // as the provider knows it
    std::string origin; // its scheme://authority
};

// The configured redirect_uri as seen from this request: a path continues the
// request's origin; an absolute one must share our cookies' host, else
// request_host.
Result<RedirectUri> redirect_uri(const Client& client, const Visit& visit);

// Where and how often a login was begun, for one that starts.
struct Departure {
    std::string origin; // empty: that of the redirect URI
    std::string_view target;
    unsigned attempt = 0;
};

// Redirects to the authorization endpoint and sets the browser's binding.
Step begin_login(const Provider& provider, const Metadata& metadata,
    const Visit& visit, const RedirectUri& redirect, const Departure& departure,
    const World& world);

// The binding cookies that a browser sent.
enum class Bound { ours, foreign, none };

struct BrowserBinding {
    Bound bound;
    std::string value;
};

BrowserBinding find_binding(const Provider& provider, const Visit& visit,
    const Transaction& transaction);

// The raw target the login began at, also where a cookie of its own carried it.
std::string whole_target(const Provider& provider, const Visit& visit,
    const Transaction& transaction);

// The Location a finished login returns to; a relative one wherever the
// callback and the page share an origin.
std::string return_location(const Provider& provider, const Visit& visit,
    const Transaction& transaction);

// Deletes what begin_login() set for this one transaction.
std::vector<std::string> clear_login(const Provider& provider,
    const Visit& visit, const Transaction& transaction);

}
