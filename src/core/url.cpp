#include "core/url.h"

#include "core/text.h"

#include <algorithm>

namespace oidc {
namespace {

bool is_url_char(char c)
{
    return is_printable(c) && c != ' ' && c != '\\' && c != '"' && c != '<' &&
        c != '>' && c != '#';
}

bool is_host_char(char c)
{
    return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_';
}

bool is_address_char(char c)
{
    return is_digit(c) || (is_letter(c) && lower_case(c) <= 'f') || c == ':' ||
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
    auto port = parse_number<std::uint16_t>(text);
    return port != 0 ? port : std::nullopt;
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
    url.host = lower_case(host);
    url.port = default_port(url.scheme);
    if (rest.empty() || rest == ":") {
        return true; // RFC 3986, 3.2.3: an empty port is the default one
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
    url.scheme = lower_case(text.substr(0, colon));
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

bool is_plain_path(std::string_view path)
{
    if (path.find_first_of("%;") != path.npos || path.find("//") != path.npos) {
        return false;
    }
    auto closed = std::string(path) + "/";
    return closed.find("/./") == closed.npos &&
        closed.find("/../") == closed.npos;
}

std::optional<std::string> parse_authority(std::string_view text)
{
    Url url;
    if (!parse_authority(text, url)) {
        return {};
    }
    return lower_case(text);
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
        if (!is_control(c) && c != ' ') {
            target += c;
            continue;
        }
        // URL parsers drop tabs and line breaks: escape control characters.
        if (target.size() == 1) {
            return "/";
        }
        target += '%';
        append_hex(target, c);
    }
    return target;
}

}
