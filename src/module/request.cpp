#include "module/request.h"

#include "core/text.h"
#include "flow/origins.h"

#include <algorithm>

namespace ngx {
namespace {

constexpr std::size_t room_for_others = 2048;
constexpr std::size_t min_room = 1024;
constexpr std::size_t max_form = 32 * 1024;

// Before nginx 1.29.4 the host of a request line ends before its port, which
// nginx does not keep.
const u_char* end_of_authority(const ngx_http_request_t* r)
{
    const u_char* end = r->host_end;
    while (r->http_version < NGX_HTTP_VERSION_20 && end < r->request_end &&
        (*end == ':' || oidc::is_digit(static_cast<char>(*end)))) {
        end++;
    }
    return end;
}

// The authority by which nginx chose the server. An absolute request line, and
// the :authority of HTTP/2 and HTTP/3, override a Host header (RFC 9112, 3.2.2;
// RFC 9113, 8.3.1), which may be absent.
std::string own_authority(ngx_http_request_t* r)
{
    if (r->host_start != nullptr && r->host_end > r->host_start) {
        return std::string(reinterpret_cast<const char*>(r->host_start),
            static_cast<std::size_t>(end_of_authority(r) - r->host_start));
    }
    if (r->headers_in.host != nullptr) {
        return text(r->headers_in.host->value);
    }
    // HTTP/1.0 may have none: then the name that nginx's own redirects have.
    auto cscf = &conf_of<ngx_http_core_srv_conf_t>(r);
    auto authority = text(r->headers_in.server.len > 0 ? r->headers_in.server :
                                                         cscf->server_name);
    if (ngx_connection_local_sockaddr(r->connection, nullptr, 0) == NGX_OK) {
        auto port = ngx_inet_get_port(r->connection->local_sockaddr);
        if (port != 0 && port != (r->connection->ssl != nullptr ? 443 : 80)) {
            authority += ":" + std::to_string(port);
        }
    }
    return authority;
}

// As nginx logs it: where it could not be parsed, as far as it was received.
std::string_view line_of(const ngx_http_request_t* r)
{
    if (r->request_line.data != nullptr || r->request_start == nullptr) {
        return view(r->request_line);
    }
    std::string_view head(reinterpret_cast<char*>(r->request_start),
        static_cast<std::size_t>(r->header_in->last - r->request_start));
    return head.substr(0, head.find_first_of("\r\n"));
}

std::string without_query(std::string_view line)
{
    auto query = line.find('?');
    if (query == line.npos) {
        return std::string(line);
    }
    auto rest = line.substr(query);
    auto protocol = std::min(rest.rfind(" HTTP/"), rest.size());
    return std::string(line.substr(0, query)) +
        std::string(rest.substr(protocol));
}

bool shows_query(std::string_view variable)
{
    return variable == "request" || variable == "request_uri" ||
        variable == "args" || variable == "query_string" ||
        variable.starts_with("arg_");
}

// nginx caches the value of a variable that was read before, for example by an
// error page.
void forget_query(ngx_http_request_t* r)
{
    auto cmcf = &conf_of<ngx_http_core_main_conf_t>(r);
    auto variables = static_cast<ngx_http_variable_t*>(cmcf->variables.elts);
    for (ngx_uint_t i = 0; i < cmcf->variables.nelts; i++) {
        if (shows_query(view(variables[i].name))) {
            r->variables[i].valid = 0;
            r->variables[i].not_found = 0;
        }
    }
}

// As the mirror module does.
void body_was_read(ngx_http_request_t* r)
{
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}

// A cleanup in the request's pool, which internal redirects do not clear.
void passed_post_read_phase(void*) {}

bool is_form(ngx_http_request_t* r)
{
    constexpr std::string_view type = "application/x-www-form-urlencoded";
    auto header = r->headers_in.content_type;
    auto value = header != nullptr ? view(header->value) : std::string_view();
    return oidc::equal_ignoring_case(
        value.substr(0, value.find_first_of("; ")), type);
}

// False where a read fails. The last buffer of a body may only mark its end,
// without memory and without a file.
bool append_buffer(std::string& text, ngx_buf_t* buffer)
{
    if (ngx_buf_special(buffer)) {
        return true;
    }
    auto size = static_cast<std::size_t>(ngx_buf_size(buffer));
    if (text.size() + size > max_form) {
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

std::string base_url_of(ngx_http_request_t* r)
{
    auto base_url = conf_of<LocationConf>(r).base_url;
    if (base_url != nullptr) {
        return evaluate(r, base_url);
    }
    return (r->connection->ssl != nullptr ? "https://" : "http://") +
        own_authority(r);
}

oidc::Site site_of(ngx_http_request_t* r, const oidc::Client& client)
{
    auto is_told = conf_of<LocationConf>(r).base_url != nullptr ||
        !client.redirect_uri.starts_with('/');
    return is_told ? oidc::site_of(client, base_url_of(r)) :
                     r->connection->ssl != nullptr;
}

std::size_t cookie_room(ngx_http_request_t* r)
{
    auto cscf = &conf_of<ngx_http_core_srv_conf_t>(r);
    auto size = cscf->large_client_header_buffers.size;
    return size > room_for_others + min_room ? size - room_for_others :
                                               min_room;
}

std::string_view header_of(ngx_http_request_t* r, std::string_view name)
{
    for (auto part = &r->headers_in.headers.part; part; part = part->next) {
        auto headers = static_cast<ngx_table_elt_t*>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (headers[i].key.len == name.size() &&
                ngx_strncmp(headers[i].lowcase_key, name.data(), name.size()) ==
                    0) {
                return view(headers[i].value);
            }
        }
    }
    return {};
}

std::string_view header_of(
    ngx_http_request_t* r, std::initializer_list<std::string_view> names)
{
    for (auto name : names) {
        if (auto value = header_of(r, name); !value.empty()) {
            return value;
        }
    }
    return {};
}

std::string address_of(ngx_http_request_t* r)
{
    auto bytes = [](const void* data, std::size_t size) {
        return std::string(static_cast<const char*>(data), size);
    };
    auto sockaddr = r->connection->sockaddr;
    if (sockaddr->sa_family == AF_INET) {
        auto sin = reinterpret_cast<sockaddr_in*>(sockaddr);
        return bytes(&sin->sin_addr, 4);
    }
    if (sockaddr->sa_family != AF_INET6) {
        return {};
    }
    auto sin6 = reinterpret_cast<sockaddr_in6*>(sockaddr);
    auto address = sin6->sin6_addr.s6_addr;
    return IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr) ? bytes(address + 12, 4) :
                                                    bytes(address, 8);
}

std::string evaluate(ngx_http_request_t* r, ngx_http_complex_value_t* value)
{
    ngx_str_t result;
    if (ngx_http_complex_value(r, value, &result) != NGX_OK) {
        throw std::bad_alloc();
    }
    return text(result);
}

void mark_post_read_phase(ngx_http_request_t* r)
{
    if (has_passed_post_read_phase(r)) {
        return;
    }
    auto mark = ngx_pool_cleanup_add(r->pool, 0);
    if (mark == nullptr) {
        throw std::bad_alloc();
    }
    mark->handler = passed_post_read_phase;
}

bool has_passed_post_read_phase(const ngx_http_request_t* r)
{
    for (auto c = r->pool->cleanup; c != nullptr; c = c->next) {
        if (c->handler == passed_post_read_phase) {
            return true;
        }
    }
    return false;
}

std::string_view target_of(const ngx_http_request_t* r)
{
    if (r->unparsed_uri.len > 0) {
        return view(r->unparsed_uri);
    }
    auto line = line_of(r);
    auto target = line.substr(std::min(line.find(' '), line.size()));
    target.remove_prefix(
        std::min(target.find_first_not_of(' '), target.size()));
    if (target.starts_with('/')) {
        return target;
    }
    auto scheme = target.find("://");
    auto path = scheme != target.npos ? target.find('/', scheme + 3) : scheme;
    return target.substr(std::min(path, target.size()));
}

void hide_query(ngx_http_request_t* r)
{
    ngx_str_null(&r->args);
    r->unparsed_uri.len =
        ngx_min(r->unparsed_uri.len, view(r->unparsed_uri).find('?'));
    if (auto line = line_of(r); !line.empty()) {
        r->request_line = copy(r->pool, without_query(line));
    }
    forget_query(r);
}

// The header stays in its list: by its hash of 0 modules know not to pass it
// on.
void hide_body(ngx_http_request_t* r)
{
    if (r->request_body == nullptr) {
        return;
    }
    r->headers_in.content_length = nullptr;
    r->headers_in.content_length_n = -1;
    r->headers_in.chunked = 0;
    r->request_body->bufs = nullptr;
    r->request_body->temp_file = nullptr;
}

bool is_too_large(ngx_http_request_t* r)
{
    return r->headers_in.content_length_n > static_cast<off_t>(max_form);
}

ngx_int_t read_form(ngx_http_request_t* r)
{
    auto rc = ngx_http_read_client_request_body(r, body_was_read);
    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        hide_body(r);
        return rc;
    }
    ngx_http_finalize_request(r, NGX_DONE);
    return NGX_DONE;
}

std::string take_form(ngx_http_request_t* r)
{
    auto link = r->request_body->bufs;
    hide_body(r);
    std::string text;
    if (!is_form(r)) {
        return text;
    }
    for (; link; link = link->next) {
        if (!append_buffer(text, link->buf)) {
            return {};
        }
    }
    return text;
}

}
