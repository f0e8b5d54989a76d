// HTTP as the flows use it: requests and responses, cookies in both directions,
// and the cache lifetime of a response.
#pragma once

#include "core/text.h"
#include "core/time.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

struct HttpRequest {
    std::string url;
    std::string body;              // non-empty: a POST of a form
    std::string authorization;     // value of that header, may be empty
    std::size_t limit = 64 * 1024; // bytes of the response body
    std::string_view accept = "application/json";
};

struct HttpResponse {
    int status = 0;
    std::string content_type;
    std::string cache_control;
    std::string body;
};

// True for `type` with or without parameters (RFC 9110, 8.3.1).
bool has_media_type(const HttpResponse& response, std::string_view type);

// The cache lifetime of a response: its max-age, clamped to the limits, or the
// default without one (RFC 9111, 5.2.2).
Seconds cache_lifetime(std::string_view cache_control, Seconds min_lifetime,
    Seconds max_lifetime, Seconds default_lifetime);

// The Cookie header lines of a request.
using CookieLines = std::span<const std::string_view>;

// Calls visit(name, value) for every pair until it returns true. A pair without
// "=" is not a cookie; quotes are part of the value (RFC 6265, 5.2).
template <class Visit>
bool each_cookie(CookieLines lines, Visit visit);

std::optional<std::string_view> find_cookie(
    CookieLines lines, std::string_view name);

struct CookieScope {
    std::string name;
    std::string domain; // empty: this host only
    std::string path = "/";
    std::string_view same_site = "Lax";
    bool secure = false;
    bool partitioned = false; // CHIPS: a cookie jar for each top-level site
};

// Whether browsers send a cookie of this Domain or Path to this host in lower
// case or to this path (RFC 6265, 5.1.3 and 5.1.4).
bool domain_matches(std::string_view host, std::string_view domain);
bool path_matches(std::string_view path, std::string_view cookie_path);

// A Set-Cookie value (RFC 6265, 4.1), always HttpOnly. Without max_age it is a
// cookie of the browser session.
std::string set_cookie(const CookieScope& scope, std::string_view value,
    std::optional<Seconds> max_age = {});

// Deletes the cookie. All attributes are repeated, or browsers would keep it.
std::string clear_cookie(const CookieScope& scope);

// True for such a value.
bool deletes_cookie(std::string_view set_cookie);

// A value too large for one cookie is split into up to nine: name, name.1 and
// so on. The first then starts with their number and a dot.
constexpr std::size_t cookie_chunk = 3800; // bytes of value
constexpr std::size_t max_chunks = 9;

// The Set-Cookie values for `value`, followed by deletions of those chunks in
// the request that are no longer used.
std::vector<std::string> set_chunks(const CookieScope& scope,
    std::string_view value, CookieLines lines,
    std::optional<Seconds> max_age = {});

// The cookies of one chunked value in a request, read in one pass. Several
// cookies may have its name.
class ChunkedCookie {
public:
    ChunkedCookie(CookieLines lines, std::string_view name);

    // The first cookies, in the order of the request.
    const std::vector<std::string_view>& heads() const { return heads_; }

    // The value that begins with `head`; nothing if a chunk is missing.
    std::optional<std::string> join(std::string_view head) const;

private:
    std::vector<std::string_view> heads_;
    std::array<std::optional<std::string_view>, max_chunks> chunks_;
};

// Deletions for every cookie of that name and every chunk in the request.
std::vector<std::string> clear_chunks(
    const CookieScope& scope, CookieLines lines);

template <class Visit>
bool each_cookie(CookieLines lines, Visit visit)
{
    for (auto line : lines) {
        while (!line.empty()) {
            auto pair = take_until(line, ';');
            auto start = pair.find_first_not_of(" \t");
            auto equals = pair.find('=');
            if (start == pair.npos || equals == pair.npos || equals < start) {
                continue;
            }
            if (visit(pair.substr(start, equals - start),
                    pair.substr(equals + 1))) {
                return true;
            }
        }
    }
    return false;
}

}
