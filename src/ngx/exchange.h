// One request to a server and its response, over ngx_http_upstream in a
// subrequest without a location: no phase runs and no configuration for
// clients' requests applies, but resolver, TLS, timeouts and log context are
// nginx's.
#pragma once

#include "core/url.h"
#include "ngx/ngx.h"
#include "ngx/resolver.h"

#include <string>

namespace ngx {

// How to reach a server; lives as long as the configuration.
struct UpstreamServer {
    ngx_http_upstream_conf_t upstream{};
    const Names* names = nullptr;

    ngx_msec_t total_timeout() const
    {
        return upstream.connect_timeout + upstream.read_timeout;
    }
};

// Prepares an UpstreamServer whose timeouts are set. TLS always verifies the
// server's certificate.
void configure_upstream_server(ngx_conf_t* cf, UpstreamServer& upstream_server);

// The system's trusted certificates, read once and shared.
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

// Trusts the certificates of a file; false if it has none, which nginx logs.
bool trust_file(ngx_conf_t* cf, UpstreamServer& upstream_server,
    ngx_str_t certificates, ngx_uint_t depth);

// Checks for revocation with the CRLs of a file. Call it after trust_file():
// the lists are added to the trusted certificates.
bool set_revocations(
    ngx_conf_t* cf, UpstreamServer& upstream_server, ngx_str_t lists);

// Presents the client's own certificate to the server (RFC 8705, 2).
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
        waited,    // the request runs its phases again afterwards
        background // the request continues, and may end earlier
    };

    // Starts the subrequest. The exchange must live in the request's pool.
    // After NGX_OK, ended() is called when the subrequest ends, within the
    // server's total_timeout(), unless the request is torn down before.
    ngx_int_t begin(ngx_http_request_t* r, Manner manner);

    const oidc::Url& url() const { return url_; }

protected:
    static Exchange* of(ngx_http_request_t* sr);

    // The server to connect to: by default the host of the URL.
    virtual bool is_secure() const { return url_.secure(); }
    virtual void set_peer(ngx_http_request_t* sr);

    virtual bool is_post() const = 0;
    virtual std::string request_bytes() const = 0;

    // nginx's process_header: NGX_OK at the end of the head, NGX_AGAIN,
    // NGX_HTTP_UPSTREAM_INVALID_HEADER.
    virtual ngx_int_t read_head(ngx_http_request_t* sr) = 0;

    // Discards what was read, as another address is tried.
    virtual void restart() = 0;

    // Takes bytes after the head. Sets u->length, which is -1 before, to 0 at
    // the end of a response that tells where it ends.
    virtual ngx_int_t read_body(
        ngx_http_request_t* sr, std::string_view bytes) = 0;

    enum class End { complete, unreachable, timeout, broken };

    virtual void ended(End end) = 0;

    // Why the server's certificate was refused, after a comma in a sentence;
    // empty where it was not.
    std::string refused_certificate() const;

private:
    static void start(ngx_http_request_t* sr);
    static void time_out(ngx_event_t* event);
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
    void read_verification(const ngx_http_upstream_t& u);
    End end_of(ngx_int_t rc) const;

    const UpstreamServer& upstream_server_;
    oidc::Url url_;
    ngx_event_t deadline_{};
    ngx_int_t result_ = NGX_ERROR;              // of the upstream
    bool has_timed_out_ = false;                // the deadline has passed
    bool has_received_ = false;                 // any byte at all
    const char* refused_certificate_ = nullptr; // why it was
};

}
