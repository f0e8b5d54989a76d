#include "conf/checks.h"
#include "core/text.h"

#include "conf/values.h"
#include "core/encoding.h"
#include "core/url.h"
#include "jose/algorithm.h"
#include "jose/jwe.h"
#include "oidc/authorize.h"

#include <algorithm>
#include <optional>

namespace ngx {
namespace {

// https, or http on a loopback host.
bool is_safe(const std::optional<oidc::Url>& url)
{
    return url && (url->secure() || oidc::is_loopback(url->host));
}

std::optional<oidc::Url> url_of_path(std::string_view path)
{
    return oidc::parse_url("https://host" + std::string(path));
}

// RFC 3986, 3.5: the characters of a query.
bool is_fragment(std::string_view text)
{
    return url_of_path("/?" + std::string(text)).has_value();
}

// It would never be reached.
[[noreturn]] void refuse_home_page(
    std::string_view directive, std::string_view value)
{
    invalid(directive, value,
        "it would replace the home page, use a path of its own");
}

bool is_plain_url(const std::optional<oidc::Url>& url)
{
    return url && !url->has_query && oidc::is_plain_path(url->path);
}

// RFC 9110, 5.6.2
bool is_token(std::string_view text)
{
    constexpr std::string_view separators = "()<>@,;:\\\"/[]?={}";
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        return c > 0x20 && c < 0x7f && separators.find(c) == separators.npos;
    });
}

bool is_domain(std::string_view domain)
{
    if (domain.starts_with('.')) {
        domain.remove_prefix(1);
    }
    return oidc::parse_authority(domain) && oidc::host_of(domain) == domain &&
        !domain.starts_with('[');
}

}

void check_issuer(std::string_view directive, std::string_view value)
{
    auto url = oidc::parse_url(value);
    if (!url || url->has_query) {
        invalid(directive, value,
            "it must be an https URL without query, or http on a loopback "
            "host");
    }
}

void check_url(std::string_view directive, std::string_view value)
{
    if (!value.empty() && !oidc::parse_url(value)) {
        invalid(directive, value,
            "it must be an https URL, or http on a loopback host");
    }
}

void check_path(std::string_view directive, std::string_view value)
{
    if (!value.empty() &&
        (!value.starts_with('/') || !is_plain_url(url_of_path(value)))) {
        invalid(directive, value,
            "it must be a plain path without query, escapes or dot segments");
    }
    if (value == "/") {
        refuse_home_page(directive, value);
    }
}

void check_redirect_uri(std::string_view directive, std::string_view value)
{
    if (value.starts_with('/')) {
        return check_path(directive, value);
    }
    auto url = oidc::parse_url(value);
    if (!is_safe(url) || !is_plain_url(url)) {
        invalid(directive, value,
            "it must be a path such as \"/oidc_callback\", or an https URL "
            "without query");
    }
    if (url->path == "/") {
        refuse_home_page(directive, value);
    }
}

// RP-Initiated Logout 1.0, 2.1: the provider compares it as a string. It gets
// no code and no token.
void check_post_logout_uri(std::string_view directive, std::string_view value)
{
    auto rest = value;
    auto page = oidc::take_until(rest, '#');
    auto url =
        page.starts_with('/') ? url_of_path(page) : oidc::parse_url(page);
    if (!value.empty() && (!url || !is_fragment(rest))) {
        invalid(directive, value,
            "it must be a path such as \"/logged_out\", or an http or https "
            "URL");
    }
}

void check_base_url(std::string_view directive, std::string_view value)
{
    if (!is_plain_url(oidc::parse_url(value))) {
        invalid(directive, value,
            "it must be a scheme, host and port such as "
            "\"https://app.example.com\", and a plain path if a proxy removes "
            "one");
    }
}

void check_port(std::string_view directive, ngx_uint_t value)
{
    constexpr ngx_uint_t max_port = 65535;
    if (value == 0 || value > max_port) {
        invalid(directive, std::to_string(value), "it must be 1 to 65535");
    }
}

void check_ascii(std::string_view directive, std::string_view value)
{
    if (!oidc::is_printable(value)) {
        invalid(directive, value, "it must be ASCII");
    }
}

// RFC 6749, 3.3
void check_scope(std::string_view directive, std::string_view value)
{
    if (!oidc::is_printable(value) ||
        value.find_first_of("\"\\") != value.npos) {
        invalid(
            directive, value, "it contains a character not allowed in a scope");
    }
}

void check_arguments(std::string_view directive, std::string_view value)
{
    auto parameters = oidc::parse_form(value);
    if (!parameters) {
        invalid(directive, value,
            "it must be form-urlencoded, such as \"prompt=login\"");
    }
    for (const auto& parameter : *parameters) {
        if (oidc::is_reserved_parameter(parameter.name)) {
            invalid(directive, value,
                "\"" + parameter.name + "\" is always set by the module");
        }
    }
}

bool is_name(std::string_view name)
{
    return !name.empty() && name != "off" &&
        name.find_first_of("$ \t\"'") == name.npos;
}

void check_provider_name(std::string_view directive, std::string_view value)
{
    if (value.empty()) {
        throw Invalid("\"" + std::string(directive) +
            "\" directive must name an oidc_provider, or \"off\"");
    }
}

void check_code_challenge_method(
    std::string_view directive, std::string_view value)
{
    if (value == "plain") {
        invalid(directive, value,
            "it protects nothing, use S256, or \"pkce off\" if the provider "
            "does not support that");
    }
    if (!oidc::equal_ignoring_case(value, "S256")) {
        invalid(directive, value, "use S256");
    }
}

void check_count(std::string_view directive, ngx_uint_t value)
{
    if (value == 0) {
        invalid(directive, "0", "it must be at least 1");
    }
}

void check_algorithm(std::string_view directive, std::string_view value)
{
    if (oidc::find_algorithm(value) == nullptr) {
        invalid(directive, value,
            "use one of: RS256, RS384, RS512, PS256, PS384, PS512, ES256, "
            "ES384, ES512, EdDSA, Ed25519, HS256, HS384, HS512");
    }
}

void check_encryption(std::string_view directive, std::string_view value)
{
    if (!oidc::is_known_encryption_alg(value)) {
        invalid(directive, value, "use RSA-OAEP, RSA-OAEP-256, ECDH-ES or dir");
    }
}

void check_cookie_name(std::string_view directive, std::string_view value)
{
    if (!is_token(value)) {
        invalid(directive, value,
            "it contains a character not allowed in a cookie name");
    }
}

void check_cookie_domain(std::string_view directive, std::string_view value)
{
    if (!value.empty() && !is_domain(value)) {
        invalid(
            directive, value, "it must be a domain such as \"example.com\"");
    }
}

void check_cookie_path(std::string_view directive, std::string_view value)
{
    if (!value.starts_with('/') || !oidc::is_printable(value) ||
        value.find(';') != value.npos) {
        invalid(
            directive, value, "it must begin with \"/\" and contain no \";\"");
    }
}

void refuse_time(std::string_view directive, std::string_view advice)
{
    throw Invalid(
        "invalid \"" + std::string(directive) + "\", " + std::string(advice));
}

}
