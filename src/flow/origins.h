// The origins of a login: of the browser's page, and of the redirect URI.
#pragma once

#include "core/result.h"
#include "oidc/client.h"
#include "oidc/cookies.h"

#include <string>
#include <string_view>

namespace oidc {

// True where the browser is on https: by the scheme of an absolute
// redirect_uri, else of the origin.
bool is_secure(const Client& client, std::string_view origin);

// The same, with the path of the base URL. A base URL is an origin, and perhaps
// a path that a proxy removes.
Site site_of(const Client& client, std::string_view base_url);

struct Origins {
    // Error: request_host where the request has no usable host, or one that
    // shares no cookie with an absolute redirect_uri.
    static Result<Origins> of(const Client& client, std::string_view base_url);

    Site site() const { return {secure, prefix}; }

    // Whether the browser would send our cookies to this request target of the
    // page's origin. Errors: request_host, config_unusable.
    Check check_page(const Client& client, std::string_view target) const;

    std::string redirect_uri;
    std::string callback; // its origin
    std::string page;     // origin of the page, as the browser sees it
    std::string prefix;   // path that a proxy removes; empty: none
    bool secure = false;  // the browser is on https
};

}
