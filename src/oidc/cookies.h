// The names and attributes of the cookies that we set: the session cookie and
// the login cookies.
#pragma once

#include "core/http.h"
#include "oidc/client.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oidc {

// Whether the browser is on https, and the path that a proxy removes from its
// URLs, such as "/app"; empty: none.
struct Site {
    Site(bool secure, std::string prefix = "") :
        secure(secure), prefix(std::move(prefix))
    {
    }

    bool secure;
    std::string prefix;
};

// On https no other host and no http page can plant a cookie that we read (RFC
// 6265bis, 4.1.3): the name begins with __Host- if the path is "/" and there is
// no domain, else with __Secure-. A cookie_name that has one of the prefixes is
// not changed.
std::string session_cookie_name(const Client& client, const Site& site);

// The name without its prefix, the same on http and https.
std::string_view bare_cookie_name(std::string_view name);

// A login cookie. The suffix distinguishes logins.
CookieScope login_scope(
    const Client& client, const Site& site, std::string_view suffix);

// The Set-Cookie values that set the session cookie, and those that delete it.
// Both delete its other cookies in the request, under any of its names.
std::vector<std::string> session_cookies(const Client& client,
    std::string_view value, CookieLines cookies, const Site& site);
std::vector<std::string> clear_session(
    const Client& client, CookieLines cookies, const Site& site);

// Deletes a session cookie from before cookie_partitioned was on: browsers keep
// both. Must precede the cookie that is set, for browsers that do not support
// partitions.
std::vector<std::string> clear_unpartitioned(
    const Client& client, CookieLines cookies, const Site& site);

}
