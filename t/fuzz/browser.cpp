#include "browser.h"

#include <algorithm>
#include <cctype>

namespace oidc::test {
namespace {

bool is_slash(char c)
{
    return c == '/' || c == '\\'; // in a URL whose scheme is special
}

// "Strip leading and trailing C0 control or space, remove all ASCII tab or
// newline."
std::string cleaned(std::string_view text)
{
    auto is_c0_or_space = [](char c) {
        return static_cast<unsigned char>(c) <= 0x20;
    };
    while (!text.empty() && is_c0_or_space(text.front())) {
        text.remove_prefix(1);
    }
    while (!text.empty() && is_c0_or_space(text.back())) {
        text.remove_suffix(1);
    }
    std::string rest(text);
    std::erase_if(
        rest, [](char c) { return c == '\t' || c == '\n' || c == '\r'; });
    return rest;
}

std::string lower(std::string_view text)
{
    std::string low(text);
    std::transform(low.begin(), low.end(), low.begin(),
        [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return low;
}

// Removes "scheme:" from the text: scheme start state, scheme state.
std::string take_scheme(std::string_view& text)
{
    auto is_scheme_char = [](unsigned char c) {
        return std::isalnum(c) || c == '+' || c == '-' || c == '.';
    };
    auto end = std::find_if_not(text.begin(), text.end(), is_scheme_char);
    if (end == text.end() || *end != ':' ||
        !std::isalpha(static_cast<unsigned char>(text.front()))) {
        return "";
    }
    auto size = static_cast<std::size_t>(end - text.begin());
    auto scheme = lower(text.substr(0, size));
    text.remove_prefix(size + 1);
    return scheme;
}

bool is_special(std::string_view scheme)
{
    return scheme == "http" || scheme == "https" || scheme == "ws" ||
        scheme == "wss" || scheme == "ftp";
}

// Special authority ignore slashes state, authority state, host state.
std::string authority_host(std::string_view text)
{
    while (!text.empty() && is_slash(text.front())) {
        text.remove_prefix(1);
    }
    auto authority = text.substr(0, text.find_first_of("/\\?#"));
    if (auto at = authority.rfind('@'); at != authority.npos) {
        authority.remove_prefix(at + 1);
    }
    bool in_brackets = false;
    std::size_t size = 0;
    while (size < authority.size() && (authority[size] != ':' || in_brackets)) {
        in_brackets =
            authority[size] == '[' || (in_brackets && authority[size] != ']');
        size++;
    }
    return lower(authority.substr(0, size));
}

}

std::string host_reached(std::string_view location, std::string_view host)
{
    auto whole = cleaned(location);
    std::string_view rest = whole;
    auto scheme = take_scheme(rest);
    auto two_slashes =
        rest.size() >= 2 && is_slash(rest[0]) && is_slash(rest[1]);

    if (scheme.empty() || scheme == "https") {
        // no scheme state, or special relative or authority state; then
        // relative state, relative slash state
        return two_slashes ? authority_host(rest) : std::string(host);
    }
    return is_special(scheme) ? authority_host(rest) : "";
}

}
