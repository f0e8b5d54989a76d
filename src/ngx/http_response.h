// Reads an HTTP/1.1 response from bytes as they arrive, with nginx's own
// parsers: of bounded size, and complete or refused.
#pragma once

#include "core/http.h"
#include "ngx/ngx.h"

#include <cstddef>
#include <string_view>

namespace ngx {

class HttpResponseReader {
public:
    // `limit` is of the body, in bytes.
    explicit HttpResponseReader(std::size_t limit) : limit_(limit) {}

    // NGX_OK at the end of the head, NGX_AGAIN if bytes are missing,
    // NGX_HTTP_UPSTREAM_INVALID_HEADER after a failure. nginx's parsers keep
    // their state in the request.
    ngx_int_t read_head(ngx_http_request_t* r, ngx_buf_t* head);

    // Takes bytes after the head. NGX_DONE at the end of a response that tells
    // where it ends, else NGX_OK; NGX_ERROR after a failure.
    ngx_int_t read_body(ngx_http_request_t* r, std::string_view bytes);

    int status() const { return response_.status; }

    // True if the response is complete when the connection ends now.
    bool is_complete() const;

    // A phrase after "provider"; null if nothing is wrong.
    const char* failure() const { return failure_; }

    oidc::HttpResponse take() { return std::move(response_); }

private:
    ngx_int_t read_status(ngx_http_request_t* r, ngx_buf_t* head);
    ngx_int_t read_header(ngx_http_request_t* r, ngx_buf_t* head);
    bool process_header(std::string_view name, std::string_view value);
    ngx_int_t end_of_head();
    ngx_int_t read_chunks(ngx_http_request_t* r, std::string_view bytes);
    bool append(std::string_view bytes);
    ngx_int_t fail(const char* what);

    static constexpr off_t until_close = -1;

    // What has been read of the head.
    struct Head {
        ngx_http_status_t status{};
        bool has_status = false;
        bool is_chunked = false;
        off_t length = until_close;
    };

    std::size_t limit_;
    oidc::HttpResponse response_;
    Head head_;
    ngx_http_chunked_t chunks_{};
    bool last_chunk_ = false;
    const char* failure_ = nullptr;
};

}
