// Checks of single values, which the rows of the directives name: each throws
// Invalid with what to write instead.
#pragma once

#include "ngx/ngx.h"
#include <string>
#include <string_view>

namespace ngx {

// A URL without query (Discovery, 3). Whether http is allowed is known at the
// end of the block.
void check_issuer(std::string_view directive, std::string_view value);

// A URL, likewise; empty: none.
void check_url(std::string_view directive, std::string_view value);

// A path as nginx makes it of a request; empty: none.
void check_path(std::string_view directive, std::string_view value);

// A path, or a URL without query.
void check_redirect_uri(std::string_view directive, std::string_view value);

// A path, or a URL, with or without fragment; empty: none.
void check_post_logout_uri(std::string_view directive, std::string_view value);

// A scheme, host and port, and perhaps a path.
void check_base_url(std::string_view directive, std::string_view value);

void check_port(std::string_view directive, ngx_uint_t value);
void check_count(std::string_view directive, ngx_uint_t value);

void check_ascii(std::string_view directive, std::string_view value);
void check_scope(std::string_view directive, std::string_view value);
void check_arguments(std::string_view directive, std::string_view value);
// The name of a block.
bool is_name(std::string_view name);

void check_provider_name(std::string_view directive, std::string_view value);

void check_code_challenge_method(
    std::string_view directive, std::string_view value);

void check_algorithm(std::string_view directive, std::string_view value);
void check_encryption(std::string_view directive, std::string_view value);

// RFC 6265bis, 4.1
void check_cookie_name(std::string_view directive, std::string_view value);
void check_cookie_domain(std::string_view directive, std::string_view value);
void check_cookie_path(std::string_view directive, std::string_view value);

[[noreturn]] void refuse_time(
    std::string_view directive, std::string_view advice);

constexpr auto above_0 = [](std::string_view directive, auto value) {
    if (value == decltype(value){}) {
        refuse_time(directive, "it must be longer than 0");
    }
};

constexpr auto check_session_timeout = [](std::string_view directive,
                                           Seconds value) {
    if (value == Seconds()) {
        refuse_time(directive,
            "it must be longer than 0; the session cookie ends with the "
            "browser session in any case");
    }
};

constexpr auto at_most_10_years = [](std::string_view directive, auto value) {
    if (value > 10 * 365 * 24h) {
        refuse_time(directive, "it must not exceed ten years");
    }
};

constexpr auto at_most_1_day = [](std::string_view directive, auto value) {
    if (value > 24h) {
        refuse_time(directive, "it must not exceed one day");
    }
};

}
