// Text encodings of the web, decoded strictly: every decoded value has exactly
// one accepted encoding.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

// RFC 4648, section 5, without padding (RFC 7515, 2).
std::string base64url(std::string_view bytes);

// Nothing for padding, characters outside the alphabet, an impossible length,
// or unused bits that are not zero.
std::optional<std::string> base64url_decode(std::string_view text);

// RFC 4648, section 4, padded: for the Basic scheme.
std::string base64(std::string_view bytes);

// Encodes everything but the unreserved characters of RFC 3986, 2.3, as %XX.
std::string percent_encode(std::string_view text);

// Encodes a member of a comma-separated list: commas, percent signs and control
// characters as %XX. To read the list, split it at commas and decode each part.
std::string list_member(std::string_view text);

// application/x-www-form-urlencoded, as in RFC 6749, appendix B.
struct Parameter {
    std::string name;
    std::string value;
};

// Names and values in order, duplicates kept. Nothing for a broken escape, a
// NUL, or more than 64 parameters; `why` is then a phrase after "client sent".
std::optional<std::vector<Parameter>> parse_form(
    std::string_view text, std::string& why);
std::optional<std::vector<Parameter>> parse_form(std::string_view text);

// The value of a parameter of a form; empty where it is absent or repeated.
std::string form_value(std::string_view form, std::string_view name);

// Appends name=value, after an "&" unless the form is empty.
void append_parameter(
    std::string& form, std::string_view name, std::string_view value);

// Quotes external text for a log line, or a page that shows
// $oidc_error_description: in double quotes, at most 128 characters; everything
// but printable ASCII is escaped, and so are markup characters.
std::string quoted(std::string_view text);

}
