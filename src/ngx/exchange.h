// One question to a server and its answer, over ngx_http_upstream but without
// a location: no phase runs for it and nothing of the user's takes part, yet
// resolver, TLS, timeouts and log context are nginx's.
#pragma once

#include "core/url.h"
#include "ngx/ngx.h"
#include "ngx/resolver.h"

#include <string>

namespace ngx {

// How a server is reached; lives with the configuration.
struct UpstreamServer {
    ngx_http_upstream_conf_t upstream{};
    const Names* names = nullptr;

    ngx_msec_t total_timeout() const
    {
        return upstream.connect_timeout + upstream.read_timeout;
    }
};

// Prepares an upstream_server whose timeouts are set: TLS is always verified.
void configure_upstream_server(ngx_conf_t* cf, UpstreamServer& upstream_server);

// The system's certificates, read once for all who trust them.
class SystemTrust {
public:
    ~SystemTrust() { X509_STORE_free(store_); }
    X509_STORE* get();

private:
    X509_STORE* store_ = nullptr;
};

// Trusts the system's certificates.
void trust_system(
    UpstreamServer& upstream_server, SystemTrust& system, ngx_uint_t depth);

// Trusts the certificates of a file; false for one that has none, which nginx
// has logged.
bool trust_file(ngx_conf_t* cf, UpstreamServer& upstream_server,
    ngx_str_t certificates, ngx_uint_t depth);

// Checks for revocation with the lists of a file. Trust comes first: the lists
// become part of it.
bool set_revocations(
    ngx_conf_t* cf, UpstreamServer& upstream_server, ngx_str_t lists);

// Shows a certificate of our own to the server (RFC 8705, 2).
bool present_certificate(ngx_conf_t* cf, UpstreamServer& upstream_server,
    ngx_str_t certificate, ngx_str_t key);

class Exchange {
public:
    explicit Exchange(
        const UpstreamServer& upstream_server, oidc::Url url = {}) :
        upstream_server_(upstream_server),
        url_(std::move(url))
    {
    }
    virtual ~Exchange();
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    enum class Manner {
        waited,    // the request then runs its phases again
        background // the request goes on, and may end before
    };

    // Starts. The exchange must live in the request's pool. NGX_OK means that
    // ended() will be called, in the end of a subrequest, no later than the
    // upstream_server's patience allows, unless the request is torn down
    // before.
    ngx_int_t begin(ngx_http_request_t* r, Manner manner);

    const oidc::Url& url() const { return url_; }

protected:
    static Exchange* of(ngx_http_request_t* sr);

    // Where to: the host of the URL, unless it is said otherwise.
    virtual bool is_secure() const { return url_.secure(); }
    virtual void set_peer(ngx_http_request_t* sr);

    virtual bool is_post() const = 0;
    virtual std::string question() const = 0;

    // An nginx process_header: NGX_OK at the end of the head, NGX_AGAIN,
    // NGX_HTTP_UPSTREAM_INVALID_HEADER.
    virtual ngx_int_t read_head(ngx_http_request_t* sr) = 0;

    // Another address is tried: forget what was read.
    virtual void restart() = 0;

    // Bytes that follow the head; sets u->length, which is -1 before, to 0 at
    // the end of the answer where it knows it.
    virtual ngx_int_t read_body(
        ngx_http_request_t* sr, std::string_view bytes) = 0;

    enum class End { complete, unreachable, timeout, broken };

    virtual void ended(End end) = 0;

private:
    static void start(ngx_http_request_t* sr);
    static void give_up(ngx_event_t* event);
    static ngx_int_t create_request(ngx_http_request_t* sr);
    static ngx_int_t reinit_request(ngx_http_request_t* sr);
    static ngx_int_t process_header(ngx_http_request_t* sr);
    static ngx_int_t input_filter_init(void* data);
    static ngx_int_t input_filter(void* data, ssize_t bytes);
    static void abort_request(ngx_http_request_t* sr);
    static void finalize_request(ngx_http_request_t* sr, ngx_int_t rc);
    static ngx_int_t post_subrequest(
        ngx_http_request_t* sr, void* data, ngx_int_t rc);

    ngx_int_t set_upstream(ngx_http_request_t* sr);
    void set_location(ngx_http_request_t* sr, ngx_http_request_t* parent);
    bool is_protected(ngx_http_request_t* sr) const;
    End end_of(ngx_int_t rc) const;

    const UpstreamServer& upstream_server_;
    oidc::Url url_;
    ngx_event_t deadline_{};
    ngx_int_t verdict_ = NGX_ERROR;
    bool late_ = false;  // the deadline has passed
    bool heard_ = false; // any byte at all
};

}
