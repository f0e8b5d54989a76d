#include "ngx/exchange.h"

namespace ngx {
namespace {

constexpr std::size_t head_size = 16 * 1024;
constexpr ngx_uint_t max_addresses = 3;

ngx_str_t subrequest_uri = ngx_string("/oidc");

// Calls the resolver, since Angie keeps the list of servers in another form.
bool has_servers(ngx_resolver_t* resolver)
{
    auto ctx = ngx_resolve_start(resolver, nullptr);
    if (ctx == nullptr || ctx == NGX_NO_RESOLVER) {
        return false;
    }
    ngx_resolve_name_done(ctx);
    return true;
}

}

void configure_upstream_server(ngx_conf_t* cf, UpstreamServer& upstream_server)
{
    auto& u = upstream_server.upstream;
    u.send_timeout = u.read_timeout;
    u.buffer_size = head_size;
    u.ignore_client_abort = 1; // or a redeemed code would be wasted
    u.next_upstream = NGX_HTTP_UPSTREAM_FT_ERROR | NGX_HTTP_UPSTREAM_FT_TIMEOUT;
    u.next_upstream_tries = max_addresses;
    u.next_upstream_timeout = upstream_server.total_timeout();

    auto ssl = allocate<ngx_ssl_t>(cf->pool);
    ssl->log = cf->log;
    auto cleanup = ngx_pool_cleanup_add(cf->pool, 0);
    if (cleanup == nullptr ||
        ngx_ssl_create(ssl, NGX_SSL_TLSv1_2 | NGX_SSL_TLSv1_3, nullptr) !=
            NGX_OK) {
        throw std::bad_alloc();
    }
    cleanup->handler = ngx_ssl_cleanup_ctx;
    cleanup->data = ssl;

    u.ssl = ssl;
    u.ssl_verify = 1;
    u.ssl_server_name = 1;
    u.ssl_session_reuse = 0;
}

X509_STORE* SystemTrust::get()
{
    if (store_ == nullptr) {
        store_ = X509_STORE_new();
        if (store_ == nullptr) {
            throw std::bad_alloc();
        }
        X509_STORE_set_default_paths(store_);
        ERR_clear_error();
    }
    return store_;
}

void trust_system(
    UpstreamServer& upstream_server, SystemTrust& system, ngx_uint_t depth)
{
    auto ctx = upstream_server.upstream.ssl->ctx;
    SSL_CTX_set1_cert_store(ctx, system.get());
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_verify_depth(ctx, static_cast<int>(depth));
}

bool trust_file(ngx_conf_t* cf, UpstreamServer& upstream_server,
    ngx_str_t certificates, ngx_uint_t depth)
{
    return ngx_ssl_trusted_certificate(cf, upstream_server.upstream.ssl,
               &certificates, static_cast<ngx_int_t>(depth)) == NGX_OK;
}

bool set_revocations(
    ngx_conf_t* cf, UpstreamServer& upstream_server, ngx_str_t lists)
{
    return ngx_ssl_crl(cf, upstream_server.upstream.ssl, &lists) == NGX_OK;
}

bool present_certificate(ngx_conf_t* cf, UpstreamServer& upstream_server,
    ngx_str_t certificate, ngx_str_t key)
{
    return ngx_ssl_certificate(cf, upstream_server.upstream.ssl, &certificate,
               &key, nullptr) == NGX_OK;
}

Exchange* Exchange::of(ngx_http_request_t* sr)
{
    return static_cast<Exchange*>(
        ngx_http_get_module_ctx(sr, ngx_http_oidc_module));
}

Exchange::~Exchange()
{
    if (deadline_.timer_set) {
        ngx_del_timer(&deadline_);
    }
}

ngx_int_t Exchange::begin(ngx_http_request_t* r, Manner manner)
{
    auto post = allocate<ngx_http_post_subrequest_t>(r->pool);
    post->handler = post_subrequest;
    post->data = this;

    ngx_http_request_t* sr;
    if (ngx_http_subrequest(r, &subrequest_uri, nullptr, &sr, post,
            NGX_HTTP_SUBREQUEST_IN_MEMORY |
                (manner == Manner::waited ? NGX_HTTP_SUBREQUEST_WAITED :
                                            NGX_HTTP_SUBREQUEST_BACKGROUND)) !=
        NGX_OK) {
        return NGX_ERROR;
    }
    // An empty body of its own, instead of the client's body and its limits.
    sr->request_body = allocate<ngx_http_request_body_t>(r->pool);
    sr->header_only = 0;
    if (is_post()) {
        sr->method = NGX_HTTP_POST; // which nginx does not send twice
    }
    set_location(sr, r);
    ngx_http_set_ctx(sr, this, ngx_http_oidc_module);

    // Replaces ngx_http_handler, so that no phase runs.
    sr->write_event_handler = start;
    deadline_.handler = time_out;
    deadline_.data = sr;
    deadline_.log = r->connection->log;
    return NGX_OK;
}

// Gives the subrequest a copy of the location's settings with three changes:
// the resolver, its timeout, and no entry in the access log.
void Exchange::set_location(ngx_http_request_t* sr, ngx_http_request_t* parent)
{
    auto size = ngx_http_max_module * sizeof(void*);
    auto confs = static_cast<void**>(ngx_palloc(sr->pool, size));
    if (confs == nullptr) {
        throw std::bad_alloc();
    }
    ngx_memcpy(confs, parent->loc_conf, size);

    auto clcf = allocate<ngx_http_core_loc_conf_t>(sr->pool);
    *clcf = conf_of<ngx_http_core_loc_conf_t>(parent);
    // nginx puts an empty resolver where none is configured.
    if (!has_servers(clcf->resolver) && upstream_server_.names != nullptr &&
        upstream_server_.names->resolver() != nullptr) {
        clcf->resolver = upstream_server_.names->resolver();
    }
    clcf->resolver_timeout = ngx_min(
        clcf->resolver_timeout, upstream_server_.upstream.connect_timeout);

    clcf->log_subrequest = 0; // it is no client's request

    confs[ngx_http_core_module.ctx_index] = clcf;
    sr->loc_conf = confs;
}

void Exchange::start(ngx_http_request_t* sr)
{
    // Reset first: the posted request would start it a second time.
    sr->write_event_handler = ngx_http_request_empty_handler;

    auto rc = guard(sr, NGX_ERROR, [sr] { return of(sr)->set_upstream(sr); });
    if (rc != NGX_OK) {
        ngx_http_finalize_request(sr, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }
    // nginx's own timers restart with every address and every byte.
    auto self = of(sr);
    ngx_add_timer(&self->deadline_, self->upstream_server_.total_timeout());
    sr->main->count++;
    ngx_http_upstream_init(sr);
    ngx_http_finalize_request(sr, NGX_DONE);
}

// Ends the upstream as nginx does when a request is torn down, by its cleanup.
// That does not end the subrequest, which takes a count of its own for it.
void Exchange::time_out(ngx_event_t* event)
{
    auto sr = static_cast<ngx_http_request_t*>(event->data);
    auto c = sr->connection;
    auto u = sr->upstream;
    if (u == nullptr || u->cleanup == nullptr) {
        return;
    }
    of(sr)->has_timed_out_ = true;
    ngx_http_set_log_request(c->log, sr);
    sr->main->count++;
    (*u->cleanup)(sr);
    ngx_http_finalize_request(sr, NGX_HTTP_GATEWAY_TIME_OUT);
    ngx_http_run_posted_requests(c);
}

ngx_int_t Exchange::set_upstream(ngx_http_request_t* sr)
{
    if (ngx_http_upstream_create(sr) != NGX_OK) {
        return NGX_ERROR;
    }
    auto u = sr->upstream;
    // nginx only reads the configuration.
    u->conf = const_cast<ngx_http_upstream_conf_t*>(&upstream_server_.upstream);
    u->output.tag = reinterpret_cast<ngx_buf_tag_t>(&ngx_http_oidc_module);
    u->buffering = 0;
    u->create_request = create_request;
    u->reinit_request = reinit_request;
    u->process_header = process_header;
    u->abort_request = abort_request;
    u->finalize_request = finalize_request;
    u->input_filter_init = input_filter_init;
    u->input_filter = input_filter;
    u->input_filter_ctx = sr;
    u->ssl = is_secure();
    set_peer(sr);
    return NGX_OK;
}

void Exchange::set_peer(ngx_http_request_t* sr)
{
    auto u = sr->upstream;
    u->schema = copy(sr->pool, url_.scheme + "://");

    auto resolved = allocate<ngx_http_upstream_resolved_t>(sr->pool);
    resolved->host = copy(sr->pool, url_.host);
    resolved->port = url_.port;
    auto address =
        upstream_server_.names->address(sr->pool, url_.host, url_.port);
    if (address != nullptr) {
        resolved->sockaddr = address->sockaddr;
        resolved->socklen = address->socklen;
        resolved->name = address->name;
        resolved->naddrs = 1;
    }
    u->resolved = resolved;
}

ngx_int_t Exchange::create_request(ngx_http_request_t* sr)
{
    return guard(sr, NGX_ERROR, [sr] {
        auto bytes = of(sr)->request_bytes();
        auto link = ngx_alloc_chain_link(sr->pool);
        auto buffer = ngx_create_temp_buf(sr->pool, bytes.size());
        if (buffer == nullptr || link == nullptr) {
            return NGX_ERROR;
        }
        buffer->last = ngx_cpymem(buffer->last, bytes.data(), bytes.size());
        buffer->flush = 1; // or TLS would wait for more to fill a record
        link->buf = buffer;
        link->next = nullptr;
        sr->upstream->request_bufs = link;
        return NGX_OK;
    });
}

ngx_int_t Exchange::reinit_request(ngx_http_request_t* sr)
{
    return guard(sr, NGX_ERROR, [sr] {
        of(sr)->restart();
        return NGX_OK;
    });
}

ngx_int_t Exchange::process_header(ngx_http_request_t* sr)
{
    auto self = of(sr);
    if (!self->is_protected(sr)) {
        return NGX_HTTP_UPSTREAM_INVALID_HEADER;
    }
    self->has_received_ = true;
    return guard(sr, NGX_ERROR, [&] { return self->read_head(sr); });
}

// Some versions of nginx take bytes from before the TLS handshake for the
// response (CVE-2026-1642).
bool Exchange::is_protected(ngx_http_request_t* sr) const
{
    auto c = sr->upstream->peer.connection;
    return !is_secure() || (c->ssl != nullptr && c->ssl->handshaked);
}

ngx_int_t Exchange::input_filter_init(void* data)
{
    auto sr = static_cast<ngx_http_request_t*>(data);
    sr->upstream->length = -1; // until read_body() or the connection ends it
    return NGX_OK;
}

ngx_int_t Exchange::input_filter(void* data, ssize_t size)
{
    auto sr = static_cast<ngx_http_request_t*>(data);
    auto self = of(sr);
    // The bytes follow buffer.last, which must not move: none is kept there.
    std::string_view bytes(
        reinterpret_cast<const char*>(sr->upstream->buffer.last),
        static_cast<std::size_t>(size));
    return guard(sr, NGX_ERROR, [&] { return self->read_body(sr, bytes); });
}

void Exchange::abort_request(ngx_http_request_t*) {}

// The only place that is told how a response ended: the subrequest succeeds
// even if its response was truncated.
void Exchange::finalize_request(ngx_http_request_t* sr, ngx_int_t rc)
{
    auto self = of(sr);
    self->result_ = rc;
    if (!self->has_received_) {
        self->read_verification(*sr->upstream);
    }
}

// nginx logs the reason in a line of its own and passes none on. A connection
// that was kept open has no name to check.
void Exchange::read_verification(const ngx_http_upstream_t& u)
{
    auto c = u.peer.connection;
    if (c == nullptr || c->ssl == nullptr) {
        return;
    }
    auto result = SSL_get_verify_result(c->ssl->connection);
    auto name = u.ssl_name;
    if (result != X509_V_OK) {
        refused_certificate_ = X509_verify_cert_error_string(result);
    } else if (c->ssl->handshaked && name.len > 0 &&
        ngx_ssl_check_host(c, &name) != NGX_OK) {
        refused_certificate_ = "it is for another name";
    }
}

std::string Exchange::refused_certificate() const
{
    return refused_certificate_ != nullptr ?
        std::string(", its certificate was refused, ") + refused_certificate_ :
        "";
}

ngx_int_t Exchange::post_subrequest(
    ngx_http_request_t* sr, void* data, ngx_int_t rc)
{
    auto self = static_cast<Exchange*>(data);
    if (self->deadline_.timer_set) {
        ngx_del_timer(&self->deadline_);
    }
    guard(sr, NGX_OK, [&] {
        self->ended(self->end_of(rc));
        return NGX_OK;
    });
    // Anything but NGX_OK closes the client's connection without a response,
    // which is right only if the client has gone.
    if (sr->connection->error || rc == NGX_HTTP_CLIENT_CLOSED_REQUEST) {
        return rc;
    }
    return NGX_OK;
}

Exchange::End Exchange::end_of(ngx_int_t rc) const
{
    if (has_timed_out_ || result_ == NGX_HTTP_GATEWAY_TIME_OUT ||
        result_ == NGX_ETIMEDOUT || rc == NGX_HTTP_GATEWAY_TIME_OUT) {
        return End::timeout;
    }
    if (!has_received_) {
        return End::unreachable;
    }
    return result_ == NGX_OK ? End::complete : End::broken;
}

}
