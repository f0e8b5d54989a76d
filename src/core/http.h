// HTTP as the flows speak it: a question and its answer, cookies in both
// directions, and how long an answer may be kept.
#pragma once

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
    std::size_t limit = 64 * 1024; // bytes of the answer's body
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

// How long an answer may be kept: its max-age, between `least` and `most`;
// `otherwise` where it says nothing (RFC 9111, 5.2.2).
Seconds cache_lifetime(std::string_view cache_control, Seconds least,
    Seconds most, Seconds otherwise);

// The Cookie header of a request, as its lines came.
using CookieLines = std::span<const std::string_view>;

// Calls visit(name, value) for every pair until it returns true. A pair
// without "=" is no cookie; quotes are part of the value (RFC 6265, 5.2).
template <class Visit>
bool each_cookie(CookieLines lines, Visit visit);

std::optional<std::string_view> find_cookie(
    CookieLines lines, std::string_view name);

struct CookieScope {
    std::string name;
    std::string domain; // empty: this host alone
    std::string path = "/";
    std::string_view same_site = "Lax";
    bool secure = false;
    bool partitioned = false; // CHIPS: a cookie jar for each top-level site
};

// A Set-Cookie value (RFC 6265, 4.1), always HttpOnly. Without a max_age the
// cookie ends with the browser.
std::string set_cookie(const CookieScope& scope, std::string_view value,
    std::optional<Seconds> max_age = {});

// Deletes: repeats every attribute, or a browser would keep the cookie.
std::string clear_cookie(const CookieScope& scope);

// A value too large for one cookie travels in up to nine, name, name.1 and so
// on; the first then starts with their number and a dot.
constexpr std::size_t cookie_chunk = 3800; // bytes of value
constexpr std::size_t max_chunks = 9;

// The Set-Cookie values for `value`, followed by deletions of the chunks that
// the request's cookies hold beyond it.
std::vector<std::string> set_chunks(const CookieScope& scope,
    std::string_view value, CookieLines lines,
    std::optional<Seconds> max_age = {});

// What a request's cookies hold of one such value, read in one pass: there may
// be several cookies of its name.
class ChunkedCookie {
public:
    ChunkedCookie(CookieLines lines, std::string_view name);

    // The first cookies, in their order.
    const std::vector<std::string_view>& heads() const { return heads_; }

    // The value that begins with this one; nothing when a chunk is missing.
    std::optional<std::string> join(std::string_view head) const;

private:
    std::vector<std::string_view> heads_;
    std::array<std::optional<std::string_view>, max_chunks> chunks_;
};

// Deletions for every cookie of that name and every chunk seen.
std::vector<std::string> clear_chunks(
    const CookieScope& scope, CookieLines lines);

template <class Visit>
bool each_cookie(CookieLines lines, Visit visit)
{
    for (auto line : lines) {
        while (!line.empty()) {
            auto end = line.find(';');
            auto pair = line.substr(0, end);
            line.remove_prefix(end == line.npos ? line.size() : end + 1);

            auto start = pair.find_first_not_of(" \t");
            auto mark = pair.find('=');
            if (start == pair.npos || mark == pair.npos || mark < start) {
                continue;
            }
            if (visit(
                    pair.substr(start, mark - start), pair.substr(mark + 1))) {
                return true;
            }
        }
    }
    return false;
}

}
