#include "ngx/request.h"

namespace ngx {
namespace {

constexpr std::size_t room_for_others = 2048;
constexpr std::size_t least_room = 1024;
constexpr std::string_view retry_after = "5"; // seconds

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

ngx_int_t send_page(ngx_http_request_t* r)
{
    static ngx_str_t type = ngx_string("text/html");
    ngx_http_complex_value_t body{};
    ngx_str_set(&body.value, "<!DOCTYPE html><title>Logged in</title>\n");

    auto rc = ngx_http_discard_request_body(r);
    if (rc == NGX_OK) {
        rc = ngx_http_send_response(r, NGX_HTTP_OK, &type, &body);
    }
    ngx_http_finalize_request(r, rc);
    return NGX_DONE;
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

ngx_int_t redirect(ngx_http_request_t* r, const oidc::Finish& finish)
{
    add_answer_headers(r);
    for (const auto& cookie : finish.cookies) {
        add_header(r, "Set-Cookie", cookie);
    }
    // Not through headers_out.location, which nginx would make absolute with
    // a scheme and port that are not the browser's.
    if (!finish.by_page) {
        add_header(r, "Location", finish.location);
        return NGX_HTTP_MOVED_TEMPORARILY;
    }
    add_header(r, "Refresh", "0; url=" + finish.location);
    return send_page(r);
}

ngx_int_t refuse(ngx_http_request_t* r, const oidc::Error& error)
{
    auto status = oidc::fault(error.code).status;

    add_answer_headers(r);
    if (status == NGX_HTTP_BAD_GATEWAY || status == NGX_HTTP_GATEWAY_TIME_OUT) {
        add_header(r, "Retry-After", retry_after);
    }
    return status;
}

}
