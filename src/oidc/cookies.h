// The names and attributes of the cookies that we set: the session's, and those
// of a login under way.
#pragma once

#include "core/http.h"
#include "oidc/client.h"

#include <string>
#include <string_view>
#include <vector>

namespace oidc {

// What `secure` says below: the browser is on https. Then no other host and no
// http can plant a cookie that we read (RFC 6265bis, 4.1.3): the name begins
// with __Host- where a path of "/" and no domain allow it, else with __Secure-.
// A cookie_name that has a prefix of its own stays as it is for the session.
std::string session_cookie_name(const Client& client, bool secure);

// The same name for all that a browser takes for one cookie, on http or https.
std::string_view bare_cookie_name(std::string_view name);

// A cookie of logins; the suffix tells them apart.
CookieScope login_scope(
    const Client& client, bool secure, std::string_view suffix);

// The Set-Cookie values of a session's cookie, and those that end it. Both
// delete what the request holds of it beside that, under any of its names.
std::vector<std::string> session_cookies(const Client& client,
    std::string_view value, CookieLines cookies, bool secure);
std::vector<std::string> clear_session(
    const Client& client, CookieLines cookies, bool secure);

// With cookie_partitioned, a session of before: browsers keep both. What sets
// one comes after it, for browsers that know nothing of partitions.
std::vector<std::string> clear_unpartitioned(
    const Client& client, CookieLines cookies, bool secure);

}
