#include "ngx/layout.h"

namespace ngx {
namespace {

// A structure of zeros, which may be longer in the running nginx.
template <class T>
union Probe {
    T value;
    u_char bytes[sizeof(T) + 1024];

    Probe() { ngx_memzero(bytes, sizeof(bytes)); }
};

// ngx_send_lowat() returns at once if `sndlowat` is set; without it the call
// fails, since there is no socket. The bit is behind those that patches add.
bool has_our_connections()
{
    ngx_log_t silent{};
    ngx_event_t write{};
    Probe<ngx_connection_t> probe;
    probe.value.fd = -1;
    probe.value.log = &silent;
    probe.value.write = &write;
    probe.value.sndlowat = 1;
    return ngx_send_lowat(&probe.value, 1) == NGX_OK;
}

// ngx_http_gzip_ok() sets `gzip_tested` and does no more if the request is not
// its own main request. Without gzip, which nginx compares, neither exists.
bool has_our_requests()
{
#if (NGX_HTTP_GZIP)
    Probe<ngx_http_request_t> probe;
    Probe<ngx_http_request_t> expected;
    expected.value.gzip_tested = 1;
    ngx_http_gzip_ok(&probe.value);
    return ngx_memcmp(probe.bytes, expected.bytes, sizeof(probe.bytes)) == 0;
#else
    return true;
#endif
}

const char* differing_structure()
{
    return !has_our_connections() ? "ngx_connection_t" :
        !has_our_requests()       ? "ngx_http_request_t" :
                                    nullptr;
}

}

ngx_int_t check_layout(ngx_conf_t* cf) noexcept
{
    auto name = differing_structure();
    if (name == nullptr) {
        return NGX_OK;
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
        "the OIDC module was built for another nginx %s, whose %s differs: "
        "build it with the source of this nginx",
        NGINX_VERSION, name);
    return NGX_ERROR;
}

}
