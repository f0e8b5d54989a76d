// URLs as a Relying Party needs them: absolute http and https URLs, their
// origin, and a safe form of return targets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace oidc {

struct Url {
    std::string scheme;     // "http" or "https"
    std::string host;       // lower case; an IPv6 address in brackets
    std::uint16_t port = 0; // never 0 after parsing
    std::string path;       // "/..."
    std::string query;      // without "?"; empty where there is none
    bool has_query = false;

    bool secure() const { return scheme == "https"; }

    // host, and ":port" unless it is the default of the scheme
    std::string authority() const;

    // scheme "://" authority (RFC 6454, 6.2)
    std::string origin() const;

    // path and query as they stand in a request line
    std::string target() const;
};

// An absolute http or https URL (RFC 3986); nothing for user information, a
// fragment, white space, control characters, bytes over 0x7e, or a backslash,
// which browsers read as a slash.
std::optional<Url> parse_url(std::string_view text);

// False for a path with escapes, parameters, dot segments or empty segments,
// which no request shows after nginx has normalised it.
bool is_plain_path(std::string_view path);

// The value of a Host header (RFC 9110, 7.2), lower case; nothing if it has
// characters that host names cannot have.
std::optional<std::string> parse_authority(std::string_view text);

// The host of such a value, without port.
std::string_view host_of(std::string_view authority);

// True for localhost, 127.0.0.0/8 and [::1].
bool is_loopback(std::string_view host);

// A raw request target as a Location on our own origin. It begins with exactly
// one slash, so that no browser reads a host from it, and has no character that
// a header or a URL parser would drop or fold.
std::string return_target(std::string_view raw);

}
