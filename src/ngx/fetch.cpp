#include "ngx/fetch.h"

#include "core/encode.h"

namespace ngx {
namespace {

using oidc::Errc;
using oidc::Error;

constexpr off_t until_close = -1;

bool same_ignoring_case(std::string_view a, std::string_view b)
{
    return a.size() == b.size() &&
        ngx_strncasecmp(reinterpret_cast<u_char*>(const_cast<char*>(a.data())),
            reinterpret_cast<u_char*>(const_cast<char*>(b.data())),
            a.size()) == 0;
}

// Since 1.27.2 the parser can keep trailers, which we do not want.
ngx_int_t parse_chunked(
    ngx_http_request_t* r, ngx_buf_t* b, ngx_http_chunked_t* chunked)
{
#if (nginx_version >= 1027002)
    return ngx_http_parse_chunked(r, b, chunked, 0);
#else
    return ngx_http_parse_chunked(r, b, chunked);
#endif
}

class HttpExchange : public Exchange {
public:
    HttpExchange(const Outlet& outlet, oidc::Url url, oidc::HttpRequest request,
        Done done) :
        Exchange(outlet, std::move(url)),
        request_(std::move(request)), done_(std::move(done))
    {
    }

protected:
    bool is_post() const override { return !request_.body.empty(); }
    std::string question() const override;
    ngx_int_t read_head(ngx_http_request_t* sr) override;
    void restart() override;
    off_t expected() const override { return head_.length; }
    ngx_int_t read_body(
        ngx_http_request_t* sr, std::string_view bytes) override;
    void ended(End end) override;

private:
    ngx_int_t read_status(ngx_http_request_t* sr);
    ngx_int_t read_headers(ngx_http_request_t* sr);
    bool take_header(std::string_view name, std::string_view value);
    ngx_int_t end_of_head(ngx_http_request_t* sr);
    ngx_int_t read_chunks(ngx_http_request_t* sr, std::string_view bytes);
    bool append(std::string_view bytes);
    ngx_int_t malformed(const char* what);
    bool is_complete() const;
    Error failure(End end) const;

    // What has been read of an answer.
    struct Head {
        ngx_http_status_t status{};
        bool has_status = false;
        bool is_chunked = false;
        off_t length = until_close;
    };

    oidc::HttpRequest request_;
    Done done_;
    const char* complaint_ = nullptr;

    oidc::HttpResponse response_;
    Head head_;
    ngx_http_chunked_t chunks_{};
    bool last_chunk_ = false;
};

std::string HttpExchange::question() const
{
    std::string text = is_post() ? "POST " : "GET ";
    text += url().target() + " HTTP/1.1\r\n";
    text += "Host: " + url().authority() + "\r\n";
    text += "Connection: close\r\n"
            "User-Agent: ngx_http_oidc_module\r\n"
            "Accept: application/json\r\n"
            "Accept-Encoding: identity\r\n";
    if (!request_.authorization.empty()) {
        text += "Authorization: " + request_.authorization + "\r\n";
    }
    if (is_post()) {
        text += "Content-Type: application/x-www-form-urlencoded\r\n"
                "Content-Length: " +
            std::to_string(request_.body.size()) + "\r\n";
    }
    return text + "\r\n" + request_.body;
}

ngx_int_t HttpExchange::read_head(ngx_http_request_t* sr)
{
    for (;;) {
        auto rc = head_.has_status ? read_headers(sr) : read_status(sr);
        if (rc != NGX_DECLINED) {
            return rc;
        }
    }
}

ngx_int_t HttpExchange::read_status(ngx_http_request_t* sr)
{
    auto rc =
        ngx_http_parse_status_line(sr, &sr->upstream->buffer, &head_.status);
    if (rc == NGX_AGAIN) {
        return rc;
    }
    if (rc != NGX_OK) {
        return malformed("sent no HTTP answer");
    }
    response_.status = static_cast<int>(head_.status.code);
    head_.has_status = true;
    return NGX_DECLINED;
}

ngx_int_t HttpExchange::read_headers(ngx_http_request_t* sr)
{
    auto rc = ngx_http_parse_header_line(sr, &sr->upstream->buffer, 1);
    if (rc == NGX_AGAIN) {
        return rc;
    }
    if (rc == NGX_HTTP_PARSE_HEADER_DONE) {
        return end_of_head(sr);
    }
    if (rc != NGX_OK) {
        return malformed("sent a malformed header");
    }
    auto part = [](u_char* start, u_char* end) {
        return std::string_view(reinterpret_cast<char*>(start),
            static_cast<std::size_t>(end - start));
    };
    auto name = part(sr->header_name_start, sr->header_name_end);
    auto value = part(sr->header_start, sr->header_end);
    return take_header(name, value) ? NGX_DECLINED :
                                      NGX_HTTP_UPSTREAM_INVALID_HEADER;
}

bool HttpExchange::take_header(std::string_view name, std::string_view value)
{
    if (same_ignoring_case(name, "Content-Type")) {
        response_.content_type = value;
    } else if (same_ignoring_case(name, "Cache-Control")) {
        response_.cache_control = value;
    } else if (same_ignoring_case(name, "Content-Length")) {
        auto length = ngx_atoof(
            reinterpret_cast<u_char*>(const_cast<char*>(value.data())),
            value.size());
        if (length == NGX_ERROR || head_.length != until_close) {
            malformed("sent a malformed Content-Length");
            return false;
        }
        head_.length = length;
    } else if (same_ignoring_case(name, "Transfer-Encoding")) {
        head_.is_chunked = same_ignoring_case(value, "chunked");
        if (!head_.is_chunked) {
            malformed("sent an unknown Transfer-Encoding");
            return false;
        }
    } else if (same_ignoring_case(name, "Content-Encoding")) {
        if (!same_ignoring_case(value, "identity")) {
            malformed("sent a compressed answer, which was not asked for");
            return false;
        }
    }
    return true;
}

ngx_int_t HttpExchange::end_of_head(ngx_http_request_t* sr)
{
    // RFC 9110, 15.2: an interim answer comes before the real one.
    if (response_.status >= 100 && response_.status < 200) {
        restart();
        return NGX_DECLINED;
    }
    if (head_.is_chunked && head_.length != until_close) {
        return malformed("sent both Content-Length and Transfer-Encoding");
    }
    if (head_.length > static_cast<off_t>(request_.limit)) {
        return malformed("sent too large an answer");
    }
    // The length stays out of u->headers_in, where the in-memory path would
    // hold it against subrequest_output_buffer_size.
    sr->upstream->headers_in.status_n =
        static_cast<ngx_uint_t>(response_.status);
    return NGX_OK;
}

void HttpExchange::restart()
{
    response_ = {};
    head_ = {};
}

ngx_int_t HttpExchange::read_body(
    ngx_http_request_t* sr, std::string_view bytes)
{
    if (head_.is_chunked) {
        return read_chunks(sr, bytes);
    }
    auto u = sr->upstream;
    if (u->length != until_close) {
        // What follows the announced length is not part of the answer.
        auto size = ngx_min(u->length, static_cast<off_t>(bytes.size()));
        bytes = bytes.substr(0, static_cast<std::size_t>(size));
        u->length -= size;
    }
    return append(bytes) ? NGX_OK : NGX_ERROR;
}

ngx_int_t HttpExchange::read_chunks(
    ngx_http_request_t* sr, std::string_view bytes)
{
    ngx_buf_t b{};
    b.pos = reinterpret_cast<u_char*>(const_cast<char*>(bytes.data()));
    b.last = b.pos + bytes.size();

    for (;;) {
        auto rc = parse_chunked(sr, &b, &chunks_);
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
            sr->upstream->length = 0;
            return NGX_OK;
        }
        if (rc == NGX_AGAIN) {
            return NGX_OK;
        }
        malformed("sent malformed chunks");
        return NGX_ERROR;
    }
}

bool HttpExchange::append(std::string_view bytes)
{
    if (response_.body.size() + bytes.size() > request_.limit) {
        malformed("sent too large an answer");
        return false;
    }
    response_.body += bytes;
    return true;
}

ngx_int_t HttpExchange::malformed(const char* what)
{
    complaint_ = what;
    return NGX_HTTP_UPSTREAM_INVALID_HEADER;
}

bool HttpExchange::is_complete() const
{
    if (head_.is_chunked) {
        return last_chunk_;
    }
    return head_.length == until_close ||
        response_.body.size() == static_cast<std::size_t>(head_.length);
}

Error HttpExchange::failure(End end) const
{
    auto where = " at " + oidc::quoted(url().origin() + url().path);

    if (end == End::timeout) {
        return {
            Errc::upstream_timeout, "provider did not answer in time" + where};
    }
    if (complaint_ != nullptr) {
        return {Errc::upstream_answer,
            std::string("provider ") + complaint_ + where};
    }
    if (end == End::unreachable) {
        return {Errc::upstream_unreachable,
            "provider could not be reached" + where};
    }
    return {
        Errc::upstream_answer, "provider sent an incomplete answer" + where};
}

void HttpExchange::ended(End end)
{
    auto done = std::move(done_);
    if (end == End::complete && complaint_ == nullptr && is_complete()) {
        done(std::move(response_));
    } else {
        done(failure(end));
    }
}

}

ngx_int_t fetch(ngx_http_request_t* r, const Outlet& outlet,
    oidc::HttpRequest request, Done done)
{
    auto url = oidc::parse_url(request.url);
    if (!url) {
        return NGX_ERROR;
    }
    auto exchange = make<HttpExchange>(
        r->pool, outlet, std::move(*url), std::move(request), std::move(done));
    return exchange->begin(r);
}

}
