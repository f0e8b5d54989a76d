// Refusals of the configuration, and the files that it names.
#pragma once

#include "ngx/ngx.h"

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ngx {

// The sentence of a refusal, which says what to write instead.
class Invalid : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

[[noreturn]] void invalid(std::string_view directive, std::string_view value,
    std::string_view advice);

// A value with variables. Throws Invalid for one that nginx does not accept.
ngx_http_complex_value_t* compile(ngx_conf_t* cf, std::string_view value);

// ", the nearest is ..." where one of the names is similar; else empty.
std::string suggestion(
    std::string_view text, const std::vector<std::string_view>& names);

constexpr std::size_t max_file = 64 * 1024;

// A relative name is below nginx's prefix. Throws Invalid for a file that
// cannot be read, is empty, or is longer, with the reason.
std::string read_file(ngx_conf_t* cf, const char* directive,
    const ngx_str_t& name, std::size_t max_size = max_file);

// Whether to warn of a file that all users of the machine can read: only the
// first block that names it does.
enum class Readers : bool { ignored, warned_of };

// The same for a secret. What may be the secret itself is not shown.
std::string read_secret(ngx_conf_t* cf, const char* directive,
    const ngx_str_t& name, Readers readers);

// Throws Invalid for a file without that label, before nginx reads it: the
// error of nginx names no line of the configuration.
void check_pem(ngx_conf_t* cf, const char* directive, const ngx_str_t& file,
    const std::string& label);

}
