// An HTTP/1.1 answer as its bytes come in, read by nginx's own parsers:
// bounded, and complete or refused.
#pragma once

#include "core/http.h"
#include "ngx/ngx.h"

#include <cstddef>
#include <string_view>

namespace ngx {

class Reply {
public:
    // Of the body, in bytes.
    explicit Reply(std::size_t limit) : limit_(limit) {}

    // NGX_OK at the end of the head, NGX_AGAIN for want of bytes,
    // NGX_HTTP_UPSTREAM_INVALID_HEADER with a complaint. nginx's parsers keep
    // where they are in the request.
    ngx_int_t read_head(ngx_http_request_t* r, ngx_buf_t* head);

    // Bytes that follow the head. NGX_DONE at the end of an answer that tells
    // where it is, else NGX_OK; NGX_ERROR with a complaint.
    ngx_int_t read_body(ngx_http_request_t* r, std::string_view bytes);

    int status() const { return response_.status; }

    // All of it has come, if the connection ends here.
    bool is_complete() const;

    // A phrase after "provider"; null while there is nothing wrong.
    const char* complaint() const { return complaint_; }

    oidc::HttpResponse take() { return std::move(response_); }

private:
    ngx_int_t read_status(ngx_http_request_t* r, ngx_buf_t* head);
    ngx_int_t read_header(ngx_http_request_t* r, ngx_buf_t* head);
    bool take_header(std::string_view name, std::string_view value);
    ngx_int_t end_of_head();
    ngx_int_t read_chunks(ngx_http_request_t* r, std::string_view bytes);
    bool append(std::string_view bytes);
    ngx_int_t malformed(const char* what);

    static constexpr off_t until_close = -1;

    // What has been read of a head.
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
    const char* complaint_ = nullptr;
};

}
