#include "ngx/http_response.h"

#include "core/text.h"

namespace ngx {
namespace {

// Since 1.27.2 the parser can keep trailers, which are not needed here.
ngx_int_t parse_chunked(
    ngx_http_request_t* r, ngx_buf_t* b, ngx_http_chunked_t* chunked)
{
#if (nginx_version >= 1027002)
    return ngx_http_parse_chunked(r, b, chunked, 0);
#else
    return ngx_http_parse_chunked(r, b, chunked);
#endif
}

}

ngx_int_t HttpResponseReader::read_head(ngx_http_request_t* r, ngx_buf_t* head)
{
    for (;;) {
        auto rc =
            head_.has_status ? read_header(r, head) : read_status(r, head);
        if (rc != NGX_DECLINED) {
            return rc;
        }
    }
}

ngx_int_t HttpResponseReader::read_status(
    ngx_http_request_t* r, ngx_buf_t* head)
{
    auto rc = ngx_http_parse_status_line(r, head, &head_.status);
    if (rc == NGX_AGAIN) {
        return rc;
    }
    if (rc != NGX_OK) {
        return fail("sent no HTTP response");
    }
    response_.status = static_cast<int>(head_.status.code);
    head_.has_status = true;
    return NGX_DECLINED;
}

ngx_int_t HttpResponseReader::read_header(
    ngx_http_request_t* r, ngx_buf_t* head)
{
    auto rc = ngx_http_parse_header_line(r, head, 1);
    if (rc == NGX_AGAIN) {
        return rc;
    }
    if (rc == NGX_HTTP_PARSE_HEADER_DONE) {
        return end_of_head();
    }
    if (rc != NGX_OK) {
        return fail("sent a malformed header");
    }
    auto part = [](u_char* start, u_char* end) {
        return std::string_view(reinterpret_cast<char*>(start),
            static_cast<std::size_t>(end - start));
    };
    auto name = part(r->header_name_start, r->header_name_end);
    auto value = part(r->header_start, r->header_end);
    return process_header(name, value) ? NGX_DECLINED :
                                         NGX_HTTP_UPSTREAM_INVALID_HEADER;
}

bool HttpResponseReader::process_header(
    std::string_view name, std::string_view value)
{
    if (oidc::equal_ignoring_case(name, "Content-Type")) {
        response_.content_type = value;
    } else if (oidc::equal_ignoring_case(name, "Cache-Control")) {
        response_.cache_control = value;
    } else if (oidc::equal_ignoring_case(name, "Content-Length")) {
        auto length = ngx_atoof(
            reinterpret_cast<u_char*>(const_cast<char*>(value.data())),
            value.size());
        if (length == NGX_ERROR || head_.length != until_close) {
            fail("sent a malformed Content-Length");
            return false;
        }
        head_.length = length;
    } else if (oidc::equal_ignoring_case(name, "Transfer-Encoding")) {
        head_.is_chunked = oidc::equal_ignoring_case(value, "chunked");
        if (!head_.is_chunked) {
            fail("sent an unknown Transfer-Encoding");
            return false;
        }
    } else if (oidc::equal_ignoring_case(name, "Content-Encoding")) {
        if (!oidc::equal_ignoring_case(value, "identity")) {
            fail("sent an unsupported Content-Encoding");
            return false;
        }
    }
    return true;
}

ngx_int_t HttpResponseReader::end_of_head()
{
    // RFC 9110, 15.2: an interim response precedes the final one.
    if (response_.status >= 100 && response_.status < 200) {
        response_ = {};
        head_ = {};
        return NGX_DECLINED;
    }
    if (head_.is_chunked && head_.length != until_close) {
        return fail("sent both Content-Length and Transfer-Encoding");
    }
    if (head_.length > static_cast<off_t>(limit_)) {
        return fail("sent an oversized response");
    }
    return NGX_OK;
}

ngx_int_t HttpResponseReader::read_body(
    ngx_http_request_t* r, std::string_view bytes)
{
    if (head_.is_chunked) {
        return read_chunks(r, bytes);
    }
    if (head_.length == until_close) {
        return append(bytes) ? NGX_OK : NGX_ERROR;
    }
    // Bytes beyond Content-Length are not part of the response.
    auto missing =
        static_cast<std::size_t>(head_.length) - response_.body.size();
    if (!append(bytes.substr(0, missing))) {
        return NGX_ERROR;
    }
    return is_complete() ? NGX_DONE : NGX_OK;
}

ngx_int_t HttpResponseReader::read_chunks(
    ngx_http_request_t* r, std::string_view bytes)
{
    ngx_buf_t b{};
    b.pos = reinterpret_cast<u_char*>(const_cast<char*>(bytes.data()));
    b.last = b.pos + bytes.size();

    for (;;) {
        auto rc = parse_chunked(r, &b, &chunks_);
        if (rc == NGX_OK) {
            auto size =
                ngx_min(static_cast<off_t>(b.last - b.pos), chunks_.size);
            if (!append({reinterpret_cast<char*>(b.pos),
                    static_cast<std::size_t>(size)})) {
                return NGX_ERROR;
            }
            b.pos += size;
            chunks_.size -= size;
            continue;
        }
        if (rc == NGX_DONE) {
            last_chunk_ = true;
            return NGX_DONE;
        }
        if (rc == NGX_AGAIN) {
            return NGX_OK;
        }
        fail("sent malformed chunks");
        return NGX_ERROR;
    }
}

bool HttpResponseReader::append(std::string_view bytes)
{
    if (response_.body.size() + bytes.size() > limit_) {
        fail("sent an oversized response");
        return false;
    }
    response_.body += bytes;
    return true;
}

ngx_int_t HttpResponseReader::fail(const char* what)
{
    failure_ = what;
    return NGX_HTTP_UPSTREAM_INVALID_HEADER;
}

bool HttpResponseReader::is_complete() const
{
    if (head_.is_chunked) {
        return last_chunk_;
    }
    return head_.length == until_close ||
        response_.body.size() == static_cast<std::size_t>(head_.length);
}

}
