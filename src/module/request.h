// One request as a flow sees it.
#pragma once

#include "conf/conf.h"

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ngx {

// The Cookie header lines.
std::vector<std::string_view> cookies_of(ngx_http_request_t* r);

// scheme://authority as the browser sees it: oidc_base_url, which may have a
// path, else the one by which nginx chose the server.
std::string base_url_of(ngx_http_request_t* r);

// The site by that URL, or by an absolute redirect_uri.
oidc::Site site_of(ngx_http_request_t* r, const oidc::Client& client);

// Bytes left for our cookies: large_client_header_buffers less 2 KB for all
// other cookies.
std::size_t cookie_room(ngx_http_request_t* r);

// A request header by its name in lower case; empty where absent. Of several
// names the first that is present and not empty.
std::string_view header_of(ngx_http_request_t* r, std::string_view name);
std::string_view header_of(
    ngx_http_request_t* r, std::initializer_list<std::string_view> names);

// The client whose limit and share a request takes: the address in binary, of
// IPv6 the first 8 bytes; empty for a Unix socket.
std::string address_of(ngx_http_request_t* r);

std::string evaluate(ngx_http_request_t* r, ngx_http_complex_value_t* value);

// nginx refuses a malformed request before its first phase, and an error_page
// leads it past that phase without a trace. So each request that comes to the
// phase leaves one.
void mark_post_read_phase(ngx_http_request_t* r);
bool has_passed_post_read_phase(const ngx_http_request_t* r);

// The target of the request line, also where nginx could not parse all of the
// line.
std::string_view target_of(const ngx_http_request_t* r);

// Hides the query, with code and state, from all that logs and variables show
// of the request.
void hide_query(ngx_http_request_t* r);

// Hides a body that was read, or the part of it that arrived, from variables
// and from an upstream that an error_page leads to. A body that has not been
// read stays.
void hide_body(ngx_http_request_t* r);

// True where the request declares a body that is too long for a form of ours.
bool is_too_large(ngx_http_request_t* r);

// Reads the body of a request; the phases then run again. client_max_body_size
// limits a body of unknown length.
ngx_int_t read_form(ngx_http_request_t* r);

// The body, if it is a form of at most 32 KB; else empty. Nothing else sees it
// any more.
std::string take_form(ngx_http_request_t* r);

}
