#include "ngx/request.h"

namespace ngx {
namespace {

constexpr std::size_t room_for_others = 2048;
constexpr std::size_t least_room = 1024;
constexpr std::string_view retry_after = "5"; // seconds
constexpr std::size_t longest_form = 32 * 1024;

std::string own_authority(ngx_http_request_t* r)
{
    if (r->headers_in.host != nullptr) {
        return text(r->headers_in.host->value);
    }
    // HTTP/3 keeps no Host header, HTTP/1.0 may have none: then what nginx's
    // own redirects would say.
    auto cscf = static_cast<ngx_http_core_srv_conf_t*>(
        ngx_http_get_module_srv_conf(r, ngx_http_core_module));
    auto authority = text(r->headers_in.server.len > 0 ? r->headers_in.server :
                                                         cscf->server_name);
    if (ngx_connection_local_sockaddr(r->connection, nullptr, 0) == NGX_OK) {
        auto port = ngx_inet_get_port(r->connection->local_sockaddr);
        if (port != (r->connection->ssl != nullptr ? 443 : 80)) {
            authority += ":" + std::to_string(port);
        }
    }
    return authority;
}

void add_answer_headers(ngx_http_request_t* r)
{
    add_header(r, "Cache-Control", "no-store");
    add_header(r, "Referrer-Policy", "no-referrer");

    // auth_basic under "satisfy any" may have asked for a password before us.
    if (r->headers_out.www_authenticate != nullptr) {
        r->headers_out.www_authenticate->hash = 0;
    }
}

ngx_int_t send_page(
    ngx_http_request_t* r, ngx_uint_t status, std::string_view page)
{
    static ngx_str_t type = ngx_string("text/html");
    ngx_http_complex_value_t body{};
    body.value = copy(r->pool, page);

    auto rc = ngx_http_discard_request_body(r);
    if (rc == NGX_OK) {
        rc = ngx_http_send_response(r, status, &type, &body);
    }
    ngx_http_finalize_request(r, rc);
    return NGX_DONE;
}

constexpr std::string_view logged_in_page =
    "<!DOCTYPE html><title>Logged in</title>\n";

constexpr std::string_view loop_page =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\"><title>The login goes round in circles</title>\n"
    "<h1>The login goes round in circles</h1>\n"
    "<p>You have just been logged in several times, but your browser did not "
    "send the session's cookie back, so that this site asked for a login "
    "again.\n"
    "<p>Does the browser refuse cookies of this site, or does it hold too many "
    "of them? Allow or delete them, and load the page you came for again in "
    "half a minute. If that does not help, tell whoever runs this site.\n"
    "</html>\n";

// The operator's own page goes before ours.
bool has_error_page(ngx_http_request_t* r, ngx_int_t status)
{
    auto clcf = static_cast<ngx_http_core_loc_conf_t*>(
        ngx_http_get_module_loc_conf(r, ngx_http_core_module));
    auto pages = clcf->error_pages;
    for (ngx_uint_t i = 0; pages != nullptr && i < pages->nelts; i++) {
        if (static_cast<ngx_http_err_page_t*>(pages->elts)[i].status ==
            status) {
            return true;
        }
    }
    return false;
}

// As the mirror module does it.
void body_was_read(ngx_http_request_t* r)
{
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}

bool is_form(ngx_http_request_t* r)
{
    constexpr std::string_view type = "application/x-www-form-urlencoded";
    auto header = r->headers_in.content_type;
    return header != nullptr && header->value.len >= type.size() &&
        ngx_strncasecmp(header->value.data,
            reinterpret_cast<u_char*>(const_cast<char*>(type.data())),
            type.size()) == 0 &&
        (header->value.len == type.size() ||
            header->value.data[type.size()] == ';' ||
            header->value.data[type.size()] == ' ');
}

// False for what cannot be read. The last buffer of a body may be one that only
// marks its end, with neither memory nor a file behind it.
bool append_buffer(std::string& text, ngx_buf_t* buffer)
{
    if (ngx_buf_special(buffer)) {
        return true;
    }
    auto size = static_cast<std::size_t>(ngx_buf_size(buffer));
    if (text.size() + size > longest_form) {
        return false;
    }
    if (ngx_buf_in_memory(buffer)) {
        text.append(reinterpret_cast<char*>(buffer->pos), size);
        return true;
    }
    auto start = text.size();
    text.resize(start + size);
    return ngx_read_file(buffer->file,
               reinterpret_cast<u_char*>(text.data() + start), size,
               buffer->file_pos) == static_cast<ssize_t>(size);
}

}

std::vector<std::string_view> cookies_of(ngx_http_request_t* r)
{
    std::vector<std::string_view> lines;
#if (nginx_version >= 1023000)
    for (auto line = r->headers_in.cookie; line; line = line->next) {
        lines.push_back(view(line->value));
    }
#else
    auto cookies = static_cast<ngx_table_elt_t**>(r->headers_in.cookies.elts);
    for (ngx_uint_t i = 0; i < r->headers_in.cookies.nelts; i++) {
        lines.push_back(view(cookies[i]->value));
    }
#endif
    return lines;
}

std::string origin_of(ngx_http_request_t* r)
{
    auto base_url = location_conf(r)->base_url;
    if (base_url != nullptr) {
        return evaluate(r, base_url);
    }
    return (r->connection->ssl != nullptr ? "https://" : "http://") +
        own_authority(r);
}

std::size_t cookie_room(ngx_http_request_t* r)
{
    auto cscf = static_cast<ngx_http_core_srv_conf_t*>(
        ngx_http_get_module_srv_conf(r, ngx_http_core_module));
    auto size = cscf->large_client_header_buffers.size;
    return size > room_for_others + least_room ? size - room_for_others :
                                                 least_room;
}

std::string evaluate(ngx_http_request_t* r, ngx_http_complex_value_t* value)
{
    ngx_str_t result;
    if (ngx_http_complex_value(r, value, &result) != NGX_OK) {
        throw std::bad_alloc();
    }
    return text(result);
}

void add_header(
    ngx_http_request_t* r, std::string_view name, std::string_view value)
{
    auto header =
        static_cast<ngx_table_elt_t*>(ngx_list_push(&r->headers_out.headers));
    if (header == nullptr) {
        throw std::bad_alloc();
    }
    ngx_memzero(header, sizeof(*header));
    header->hash = 1;
    header->key = copy(r->pool, name);
    header->value = copy(r->pool, value);
    header->lowcase_key = header->key.data;
}

void hide_query(ngx_http_request_t* r)
{
    ngx_str_null(&r->args);
    r->unparsed_uri.len =
        ngx_min(r->unparsed_uri.len, view(r->unparsed_uri).find('?'));
    r->request_line = copy(r->pool,
        text(r->method_name) + " " + text(r->unparsed_uri) + " " +
            text(r->http_protocol));
}

ngx_int_t redirect(
    ngx_http_request_t* r, const oidc::Finish& finish, ngx_int_t status)
{
    add_answer_headers(r);
    for (const auto& cookie : finish.cookies) {
        add_header(r, "Set-Cookie", cookie);
    }
    // Not through headers_out.location, which nginx would make absolute with
    // a scheme and port that are not the browser's.
    if (!finish.by_page) {
        add_header(r, "Location", finish.location);
        return status;
    }
    add_header(r, "Refresh", "0; url=" + finish.location);
    return send_page(r, NGX_HTTP_OK, logged_in_page);
}

bool is_too_large(ngx_http_request_t* r)
{
    return r->headers_in.content_length_n > static_cast<off_t>(longest_form);
}

ngx_int_t read_form(ngx_http_request_t* r)
{
    auto rc = ngx_http_read_client_request_body(r, body_was_read);
    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }
    ngx_http_finalize_request(r, NGX_DONE);
    return NGX_DONE;
}

std::string form_of(ngx_http_request_t* r)
{
    std::string text;
    if (!is_form(r)) {
        return text;
    }
    for (auto link = r->request_body->bufs; link; link = link->next) {
        if (!append_buffer(text, link->buf)) {
            return {};
        }
    }
    return text;
}

ngx_int_t refuse(ngx_http_request_t* r, const oidc::Error& error)
{
    auto status = oidc::fault(error.code).status;

    add_answer_headers(r);
    if (status == NGX_HTTP_BAD_GATEWAY || status == NGX_HTTP_GATEWAY_TIME_OUT) {
        add_header(r, "Retry-After", retry_after);
    }
    if (error.code == oidc::Errc::login_loop && !has_error_page(r, status)) {
        return send_page(r, static_cast<ngx_uint_t>(status), loop_page);
    }
    return status;
}

}
