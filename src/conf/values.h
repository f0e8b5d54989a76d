// Values of directives as the checks of a configuration take them: read, held
// against what they may be, and refused with what to write instead.
#pragma once

#include "core/url.h"
#include "ngx/ngx.h"

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ngx {

// A value that cannot be: a sentence that says what to write instead.
class Invalid : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

[[noreturn]] void invalid(std::string_view directive, std::string_view value,
    std::string_view advice);

std::string text_or(const ngx_str_t& value, const char* otherwise);
std::vector<std::string> words(const ngx_array_t* array);

constexpr std::size_t max_file = 64 * 1024;

// Below nginx's prefix. Invalid for one that cannot be read, is empty, or
// longer.
std::string read_file(ngx_conf_t* cf, const char* directive,
    const ngx_str_t& name, std::size_t longest = max_file);

// Whether it is worth a warning that all users of the machine can read a file:
// not where another block has said so.
enum class Readers : bool { ignored, warned_of };

std::string read_secret(ngx_conf_t* cf, const char* directive,
    const ngx_str_t& name, Readers readers);

// The warning alone, for a file that nginx reads.
void warn_of_readers(
    ngx_conf_t* cf, const char* directive, const ngx_str_t& name);

// Invalid for a file without that label, before nginx reads it, whose complaint
// names no line of the configuration.
void check_pem(ngx_conf_t* cf, const char* directive, const ngx_str_t& file,
    const std::string& label);

// https, or http on a loopback host.
bool is_safe(const oidc::Url& url);

bool is_token(std::string_view text); // RFC 9110, 5.6.2
bool is_printable(std::string_view text);

// The path that nginx would make of it, or none: no request ever shows a path
// with escapes, dots or empty segments.
bool is_plain_path(std::string_view path);

// A safe URL; empty where the value is.
std::string check_endpoint(const char* directive, const ngx_str_t& value);

}
