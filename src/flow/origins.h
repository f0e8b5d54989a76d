// Where the browser is: the origins of its page and of the provider's way back.
#pragma once

#include "core/result.h"
#include "oidc/client.h"

#include <string>
#include <string_view>

namespace oidc {

// The browser is on https, as an absolute redirect_uri says, else the origin.
bool is_secure(const Client& client, std::string_view origin);

struct Origins {
    // request_host where the request's host is none, or one that shares no
    // cookie with an absolute redirect_uri.
    static Result<Origins> of(const Client& client, std::string_view origin);

    std::string redirect_uri;
    std::string callback; // its origin
    std::string page;     // origin of the page, as the browser sees it
    bool secure = false;  // the browser is on https
};

}
