#include "core/http.h"

#include <algorithm>
#include <charconv>

namespace oidc {
namespace {

char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

bool same_ignoring_case(std::string_view a, std::string_view b)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
        [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim(std::string_view text)
{
    auto start = text.find_first_not_of(" \t");
    if (start == text.npos) {
        return {};
    }
    return text.substr(start, text.find_last_not_of(" \t") - start + 1);
}

std::optional<Seconds> seconds_of(std::string_view directive)
{
    constexpr std::string_view name = "max-age=";
    std::int64_t seconds = 0;

    if (!same_ignoring_case(directive.substr(0, name.size()), name)) {
        return {};
    }
    directive.remove_prefix(name.size());
    auto end = directive.data() + directive.size();
    auto [stop, failure] = std::from_chars(directive.data(), end, seconds);
    if (failure != std::errc() || stop != end || seconds < 0) {
        return {};
    }
    return Seconds(seconds);
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

// Of a chunk but the first; 0 for what is none of that cookie's.
std::size_t chunk_number(std::string_view chunk, std::string_view name)
{
    auto is_one = chunk.size() == name.size() + 2 && chunk.starts_with(name) &&
        chunk[name.size()] == '.' && chunk.back() > '0' && chunk.back() < '9';
    return is_one ? static_cast<std::size_t>(chunk.back() - '0') : 0;
}

// The number of chunks that the first one announces: a single digit, so that
// no client's number ever sizes a loop.
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
    return same_ignoring_case(trim(value.substr(0, value.find(';'))), type);
}

Seconds cache_lifetime(std::string_view cache_control, Seconds least,
    Seconds most, Seconds otherwise)
{
    auto lifetime = otherwise;

    while (!cache_control.empty()) {
        auto end = cache_control.find(',');
        auto directive = trim(cache_control.substr(0, end));
        cache_control.remove_prefix(
            end == cache_control.npos ? cache_control.size() : end + 1);

        if (same_ignoring_case(directive, "no-store") ||
            same_ignoring_case(directive, "no-cache")) {
            return least;
        }
        if (auto seconds = seconds_of(directive)) {
            lifetime = std::clamp(*seconds, least, most);
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
