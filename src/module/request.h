// One request as a flow sees it.
#pragma once

#include "conf/conf.h"

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ngx {

// The lines of the request's Cookie header.
std::vector<std::string_view> cookies_of(ngx_http_request_t* r);

// scheme://authority as the browser sees it: oidc_base_url, else the request's
// own, by which nginx chose the server.
std::string origin_of(ngx_http_request_t* r);

// The browser is on https, by that origin or by an absolute redirect_uri.
bool is_secure(ngx_http_request_t* r, const oidc::Client& client);

// Bytes that our cookies may take: what large_client_header_buffers
// leaves after 2 KB for all other cookies.
std::size_t cookie_room(ngx_http_request_t* r);

// A header of the request by its name in lower case; empty where there is none.
// The first of several that is there and not empty.
std::string_view header_of(ngx_http_request_t* r, std::string_view name);
std::string_view header_of(
    ngx_http_request_t* r, std::initializer_list<std::string_view> names);

// Whose share of what anybody can do a request takes: its client's address in
// binary, of an IPv6 one the network's half; empty for a Unix socket's.
std::string address_of(ngx_http_request_t* r);

std::string evaluate(ngx_http_request_t* r, ngx_http_complex_value_t* value);

// nginx refuses a request that it cannot take before the first phase, and an
// error_page leads such a one past that phase, which nothing of nginx tells.
void mark_post_read_phase(ngx_http_request_t* r);
bool has_passed_post_read_phase(const ngx_http_request_t* r);

// What the request line asks for, also where nginx could not read that line to
// its end, or not at all.
std::string_view target_of(const ngx_http_request_t* r);

// The code and the state of a callback are for us alone: takes the query out
// of everything that logs and variables show of the request.
void hide_query(ngx_http_request_t* r);

// The same for a body that was read, or as much of it as has come: nobody else
// finds one, neither a variable nor an upstream that an error_page leads to. A
// body that nobody has begun to read stays.
void hide_body(ngx_http_request_t* r);

// The request announces a body that is no form of ours.
bool is_too_large(ngx_http_request_t* r);

// Reads the body of a request; the phases then run again. A body of unknown
// length is bounded by client_max_body_size.
ngx_int_t read_form(ngx_http_request_t* r);

// A body that was read, as far as it is a form of at most 32 KB; else empty.
// Nothing else sees it from then on.
std::string take_form(ngx_http_request_t* r);

}
