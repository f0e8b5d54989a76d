// Text encodings of the web, decoded strictly: what these functions accept
// has exactly one reading.
#pragma once

#include "core/result.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

// RFC 4648, section 5, without padding (RFC 7515, 2).
std::string base64url(std::string_view bytes);

// Nothing for padding, foreign characters, an impossible length, or unused
// bits that are not zero.
std::optional<std::string> base64url_decode(std::string_view text);

// RFC 4648, section 4, padded: for the Basic scheme.
std::string base64(std::string_view bytes);

// Everything but the unreserved characters of RFC 3986, 2.3, as %XX.
std::string percent_encode(std::string_view text);

// Of ASCII: what no header can hold.
bool is_control(char c);

// A member of a list that is written with commas between: its commas, percent
// signs and control characters as %XX. The list is what comes of splitting the
// text at commas and decoding each part.
std::string list_member(std::string_view text);

// application/x-www-form-urlencoded, as in RFC 6749, appendix B.
struct Parameter {
    std::string name;
    std::string value;
};

// Names and values in order, duplicates kept; callback_malformed for a broken
// escape, a NUL, or more than `most` parameters.
Result<std::vector<Parameter>> parse_form(
    std::string_view text, std::size_t most = 64);

// Appends name=value, after an "&" unless the form is empty.
void append_parameter(
    std::string& form, std::string_view name, std::string_view value);

// What came from outside, for a sentence in a log, or in a page that shows
// $oidc_error_description: in double quotes, at most 128 characters of it,
// everything but printable ASCII escaped, and the signs of markup.
std::string quoted(std::string_view text);

}
