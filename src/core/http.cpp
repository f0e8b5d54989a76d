#include "core/http.h"

#include <algorithm>

namespace oidc {
namespace {

std::optional<Seconds> max_age_of(std::string_view directive)
{
    constexpr std::string_view name = "max-age=";
    if (!equal_ignoring_case(directive.substr(0, name.size()), name)) {
        return {};
    }
    auto seconds = parse_number<std::int64_t>(directive.substr(name.size()));
    return seconds && *seconds >= 0 ? std::optional(Seconds(*seconds)) :
                                      std::nullopt;
}

std::string chunk_name(std::string_view name, std::size_t number)
{
    std::string chunk(name);
    if (number > 0) {
        chunk += '.';
        chunk += std::to_string(number);
    }
    return chunk;
}

// The number of a chunk after the first; 0 if it is no chunk of that cookie.
std::size_t chunk_number(std::string_view chunk, std::string_view name)
{
    auto is_one = chunk.size() == name.size() + 2 && chunk.starts_with(name) &&
        chunk[name.size()] == '.' && chunk.back() > '0' && chunk.back() < '9';
    return is_one ? static_cast<std::size_t>(chunk.back() - '0') : 0;
}

// The number of chunks that the first one announces: a single digit, so that a
// number from the client never bounds a loop.
std::size_t announced_chunks(std::string_view head)
{
    if (head.size() < 2 || head[1] != '.' || head[0] < '2' || head[0] > '9') {
        return 1;
    }
    return static_cast<std::size_t>(head[0] - '0');
}

void clear_from(std::size_t number, const CookieScope& scope, CookieLines lines,
    std::vector<std::string>& cookies)
{
    for (; number < max_chunks; number++) {
        auto chunk = scope;
        chunk.name = chunk_name(scope.name, number);
        if (find_cookie(lines, chunk.name)) {
            cookies.push_back(clear_cookie(chunk));
        }
    }
}

}

bool has_media_type(const HttpResponse& response, std::string_view type)
{
    std::string_view value = response.content_type;
    return equal_ignoring_case(trim(value.substr(0, value.find(';'))), type);
}

Seconds cache_lifetime(std::string_view cache_control, Seconds min_lifetime,
    Seconds max_lifetime, Seconds default_lifetime)
{
    auto lifetime = default_lifetime;

    while (!cache_control.empty()) {
        auto directive = trim(take_until(cache_control, ','));
        if (equal_ignoring_case(directive, "no-store") ||
            equal_ignoring_case(directive, "no-cache")) {
            return min_lifetime;
        }
        if (auto max_age = max_age_of(directive)) {
            lifetime = std::clamp(*max_age, min_lifetime, max_lifetime);
        }
    }
    return lifetime;
}

std::optional<std::string_view> find_cookie(
    CookieLines lines, std::string_view name)
{
    std::optional<std::string_view> found;
    each_cookie(lines, [&](std::string_view its_name, std::string_view value) {
        if (its_name == name) {
            found = value;
        }
        return found.has_value();
    });
    return found;
}

bool domain_matches(std::string_view host, std::string_view domain)
{
    if (domain.starts_with('.')) {
        domain.remove_prefix(1);
    }
    auto rest = host.size() - std::min(host.size(), domain.size());
    return !domain.empty() && equal_ignoring_case(host.substr(rest), domain) &&
        (rest == 0 || host[rest - 1] == '.');
}

bool path_matches(std::string_view path, std::string_view cookie_path)
{
    return path.starts_with(cookie_path) &&
        (path.size() == cookie_path.size() || cookie_path.ends_with('/') ||
            path[cookie_path.size()] == '/');
}

std::string set_cookie(const CookieScope& scope, std::string_view value,
    std::optional<Seconds> max_age)
{
    std::string cookie = scope.name;
    cookie += '=';
    cookie += value;
    cookie += "; Path=" + scope.path;
    if (!scope.domain.empty()) {
        cookie += "; Domain=" + scope.domain;
    }
    if (max_age) {
        cookie += "; Max-Age=" + std::to_string(max_age->count());
    }
    cookie += "; HttpOnly; SameSite=";
    cookie += scope.same_site;
    if (scope.secure) {
        cookie += "; Secure";
    }
    if (scope.partitioned) {
        cookie += "; Partitioned";
    }
    return cookie;
}

std::string clear_cookie(const CookieScope& scope)
{
    return set_cookie(scope, "", Seconds(0));
}

bool deletes_cookie(std::string_view set_cookie)
{
    return set_cookie.find("; Max-Age=0; ") != set_cookie.npos;
}

std::vector<std::string> set_chunks(const CookieScope& scope,
    std::string_view value, CookieLines lines, std::optional<Seconds> max_age)
{
    std::vector<std::string> cookies;
    auto count = (value.size() + cookie_chunk - 1) / cookie_chunk;

    for (std::size_t i = 0; i < count; i++) {
        auto chunk = scope;
        chunk.name = chunk_name(scope.name, i);
        std::string part(value.substr(i * cookie_chunk, cookie_chunk));
        if (i == 0 && count > 1) {
            part.insert(0, std::to_string(count) + ".");
        }
        cookies.push_back(set_cookie(chunk, part, max_age));
    }
    clear_from(std::max<std::size_t>(count, 1), scope, lines, cookies);
    return cookies;
}

ChunkedCookie::ChunkedCookie(CookieLines lines, std::string_view name)
{
    each_cookie(lines, [&](std::string_view its_name, std::string_view value) {
        if (its_name == name) {
            heads_.push_back(value);
        } else if (auto number = chunk_number(its_name, name);
                   number > 0 && !chunks_[number]) {
            chunks_[number] = value;
        }
        return false;
    });
}

std::optional<std::string> ChunkedCookie::join(std::string_view head) const
{
    auto count = announced_chunks(head);
    if (count == 1) {
        return std::string(head);
    }
    std::string value(head.substr(2));
    for (std::size_t i = 1; i < count; i++) {
        if (!chunks_[i]) {
            return {};
        }
        value += *chunks_[i];
    }
    return value;
}

std::vector<std::string> clear_chunks(
    const CookieScope& scope, CookieLines lines)
{
    std::vector<std::string> cookies;
    clear_from(0, scope, lines, cookies);
    return cookies;
}

}
