#include "core/url.h"

#include <algorithm>
#include <charconv>

namespace oidc {
namespace {

constexpr std::string_view hex_digits = "0123456789ABCDEF";

char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

std::string lower(std::string_view text)
{
    std::string low(text);
    std::transform(
        low.begin(), low.end(), low.begin(), [](char c) { return lower(c); });
    return low;
}

bool is_url_char(char c)
{
    return c > 0x20 && c < 0x7f && c != '\\' && c != '"' && c != '<' &&
        c != '>' && c != '#';
}

bool is_host_char(char c)
{
    c = lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
        c == '.' || c == '_';
}

bool is_address_char(char c)
{
    c = lower(c);
    return (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9') || c == ':' ||
        c == '.';
}

bool is_host(std::string_view host)
{
    if (host.starts_with('[')) {
        return host.size() > 3 && host.ends_with(']') &&
            std::all_of(host.begin() + 1, host.end() - 1, is_address_char);
    }
    return !host.empty() && host.front() != '.' && host.size() <= 255 &&
        std::all_of(host.begin(), host.end(), is_host_char);
}

std::optional<std::uint16_t> parse_port(std::string_view text)
{
    std::uint16_t port = 0;
    auto end = text.data() + text.size();
    auto [stop, failure] = std::from_chars(text.data(), end, port);
    if (failure != std::errc() || stop != end || port == 0) {
        return {};
    }
    return port;
}

std::uint16_t default_port(std::string_view scheme)
{
    return scheme == "https" ? 443 : 80;
}

bool parse_authority(std::string_view text, Url& url)
{
    auto host = host_of(text);
    auto rest = text.substr(host.size());
    if (!is_host(host)) {
        return false;
    }
    url.host = lower(host);
    url.port = default_port(url.scheme);
    if (rest.empty() || rest == ":") {
        return true; // RFC 3986, 3.2.3: an empty port is the scheme's own
    }
    auto port = parse_port(rest.substr(1));
    url.port = port.value_or(0);
    return rest.front() == ':' && port.has_value();
}

}

std::string Url::authority() const
{
    if (port == default_port(scheme)) {
        return host;
    }
    return host + ":" + std::to_string(port);
}

std::string Url::origin() const
{
    return scheme + "://" + authority();
}

std::string Url::target() const
{
    return has_query ? path + "?" + query : path;
}

std::optional<Url> parse_url(std::string_view text)
{
    Url url;
    auto colon = text.find("://");
    if (colon == text.npos ||
        !std::all_of(text.begin(), text.end(), is_url_char)) {
        return {};
    }
    url.scheme = lower(text.substr(0, colon));
    if (url.scheme != "http" && url.scheme != "https") {
        return {};
    }
    text.remove_prefix(colon + 3);

    auto end = std::min(text.find_first_of("/?"), text.size());
    if (!parse_authority(text.substr(0, end), url)) {
        return {};
    }
    text.remove_prefix(end);

    auto mark = text.find('?');
    url.path = text.substr(0, mark);
    if (url.path.empty()) {
        url.path = "/";
    }
    if (mark != text.npos) {
        url.has_query = true;
        url.query = text.substr(mark + 1);
    }
    return url;
}

std::optional<std::string> parse_authority(std::string_view text)
{
    Url url;
    if (!parse_authority(text, url)) {
        return {};
    }
    return lower(text);
}

std::string_view host_of(std::string_view authority)
{
    if (authority.starts_with('[')) {
        auto end = authority.find(']');
        return authority.substr(0, end == authority.npos ? end : end + 1);
    }
    return authority.substr(0, authority.find(':'));
}

bool is_loopback(std::string_view host)
{
    if (host == "localhost" || host == "[::1]") {
        return true;
    }
    return host.starts_with("127.") &&
        host.find_first_not_of("0123456789.") == host.npos;
}

std::string return_target(std::string_view raw)
{
    auto start = raw.find_first_not_of("/\\");
    std::string target = "/";

    if (start == raw.npos) {
        return target;
    }
    for (char c : raw.substr(start)) {
        auto byte = static_cast<unsigned char>(c);
        if (byte > 0x20 && byte != 0x7f) {
            target += c;
            continue;
        }
        // A parser of URLs drops tabs and line breaks: escape, never pass on.
        if (target.size() == 1) {
            return "/";
        }
        target += '%';
        target += hex_digits[byte >> 4];
        target += hex_digits[byte & 15];
    }
    return target;
}

}
