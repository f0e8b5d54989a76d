// The door to nginx: its headers, its strings as views, objects that its pools
// own, and the boundary that no exception crosses.
#pragma once

extern "C" {
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
}

#if !(NGX_HTTP_SSL)
#error "the OIDC module requires nginx built with --with-http_ssl_module"
#endif

#include "core/time.h"

#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <utility>

extern ngx_module_t ngx_http_oidc_module;

namespace ngx {

inline std::string_view view(const ngx_str_t& s)
{
    return {reinterpret_cast<const char*>(s.data), s.len};
}

inline std::string text(const ngx_str_t& s)
{
    return std::string(view(s));
}

using oidc::Microseconds;
using oidc::Milliseconds;
using oidc::Seconds;
using oidc::Time;
using oidc::TimeMs;
using oidc::TimeUs;
using namespace std::chrono_literals;

// nginx's cached time. No other code reads a clock.
inline TimeMs now_ms()
{
    auto time = ngx_timeofday();
    return oidc::from_seconds(time->sec) + Milliseconds(time->msec);
}

inline Time now()
{
    return oidc::from_seconds(ngx_time());
}

// A copy that lives as long as the pool.
inline ngx_str_t copy(ngx_pool_t* pool, std::string_view s)
{
    auto data = static_cast<u_char*>(ngx_pnalloc(pool, s.size() + 1));
    if (data == nullptr) {
        throw std::bad_alloc();
    }
    *ngx_cpymem(data, s.data(), s.size()) = '\0';
    return {s.size(), data};
}

// The cleanup of a T that make() placed in a pool.
template <class T>
void destroy(void* data)
{
    static_cast<T*>(data)->~T();
}

// An object that the pool destroys. nginx aligns its memory to NGX_ALIGNMENT.
template <class T, class... Args>
T* make(ngx_pool_t* pool, Args&&... args)
{
    static_assert(alignof(T) <= NGX_ALIGNMENT);
    auto memory = ngx_palloc(pool, sizeof(T));
    auto cleanup = ngx_pool_cleanup_add(pool, 0);
    if (memory == nullptr || cleanup == nullptr) {
        throw std::bad_alloc();
    }
    auto object = ::new (memory) T(std::forward<Args>(args)...);
    cleanup->data = object;
    cleanup->handler = destroy<T>;
    return object;
}

template <class T>
T* allocate(ngx_pool_t* pool)
{
    auto memory = ngx_pcalloc(pool, sizeof(T));
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return static_cast<T*>(memory);
}

void log_exception(ngx_log_t* log, const char* what) noexcept;

inline ngx_log_t* log_of(const ngx_http_request_t* r)
{
    return r->connection->log;
}

inline ngx_log_t* log_of(const ngx_conf_t* cf)
{
    return cf->log;
}

inline ngx_log_t* log_of(const ngx_cycle_t* cycle)
{
    return cycle->log;
}

// Calls what may throw from where nginx expects C; gives `otherwise` instead.
template <class Where, class T, class Call>
T guard(Where* where, T otherwise, Call call) noexcept
{
    try {
        return call();
    } catch (const std::exception& e) {
        log_exception(log_of(where), e.what());
    } catch (...) {
        log_exception(log_of(where), "unknown exception");
    }
    return otherwise;
}

// A phase or upstream handler with that boundary. It fails closed: an
// exception is a 500, never a way on.
template <ngx_int_t (*handler)(ngx_http_request_t*)>
ngx_int_t guarded(ngx_http_request_t* r) noexcept
{
    return guard(r, static_cast<ngx_int_t>(NGX_HTTP_INTERNAL_SERVER_ERROR),
        [r] { return handler(r); });
}

}
