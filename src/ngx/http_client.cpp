#include "ngx/http_client.h"

#include "core/encoding.h"
#include "ngx/http_response.h"

namespace ngx {
namespace {

using oidc::Error;
using oidc::ExchangeCodes;

class HttpExchange : public Exchange {
public:
    HttpExchange(const UpstreamServer& upstream_server, oidc::Url url,
        oidc::HttpRequest request, const ExchangeCodes& codes, Done done) :
        Exchange(upstream_server, std::move(url)),
        request_(std::move(request)), codes_(codes), reader_(request_.limit),
        done_(std::move(done))
    {
    }

protected:
    bool is_post() const override { return !request_.body.empty(); }
    std::string request_bytes() const override;
    ngx_int_t read_head(ngx_http_request_t* sr) override;
    void restart() override;
    ngx_int_t read_body(
        ngx_http_request_t* sr, std::string_view bytes) override;
    void ended(End end) override;

private:
    Error failure(End end) const;

    oidc::HttpRequest request_;
    ExchangeCodes codes_;
    HttpResponseReader reader_;
    Done done_;
};

std::string HttpExchange::request_bytes() const
{
    std::string text = is_post() ? "POST " : "GET ";
    text += url().target() + " HTTP/1.1\r\n";
    text += "Host: " + url().authority() + "\r\n";
    text += "Connection: close\r\n"
            "User-Agent: ngx_http_oidc_module\r\n"
            "Accept-Encoding: identity\r\n";
    text += "Accept: " + std::string(request_.accept) + "\r\n";
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
    auto rc = reader_.read_head(sr, &sr->upstream->buffer);
    if (rc == NGX_OK) {
        // The length stays out of u->headers_in: nginx would compare it with
        // subrequest_output_buffer_size when it reads into memory.
        sr->upstream->headers_in.status_n =
            static_cast<ngx_uint_t>(reader_.status());
    }
    return rc;
}

void HttpExchange::restart()
{
    reader_ = HttpResponseReader(request_.limit);
}

ngx_int_t HttpExchange::read_body(
    ngx_http_request_t* sr, std::string_view bytes)
{
    auto rc = reader_.read_body(sr, bytes);
    if (rc == NGX_DONE) {
        sr->upstream->length = 0;
        return NGX_OK;
    }
    return rc;
}

Error HttpExchange::failure(End end) const
{
    auto where = " at " + oidc::quoted(url().origin() + url().path);

    if (end == End::timeout) {
        return {codes_.timeout, "provider did not respond in time" + where};
    }
    if (reader_.failure() != nullptr) {
        return {codes_.malformed,
            std::string("provider ") + reader_.failure() + where};
    }
    if (end == End::unreachable) {
        return {codes_.unreachable,
            "provider could not be reached" + where + refused_certificate()};
    }
    return {codes_.malformed, "provider sent an incomplete response" + where};
}

void HttpExchange::ended(End end)
{
    auto done = std::move(done_);
    if (end == End::complete && reader_.failure() == nullptr &&
        reader_.is_complete()) {
        done(reader_.take());
    } else {
        done(failure(end));
    }
}

}

ngx_int_t fetch(ngx_http_request_t* r, const UpstreamServer& upstream_server,
    oidc::HttpRequest request, Exchange::Manner manner,
    const ExchangeCodes& codes, Done done)
{
    auto url = oidc::parse_url(request.url);
    if (!url) {
        return NGX_ERROR;
    }
    auto exchange = make<HttpExchange>(r->pool, upstream_server,
        std::move(*url), std::move(request), codes, std::move(done));
    return exchange->begin(r, manner);
}

}
