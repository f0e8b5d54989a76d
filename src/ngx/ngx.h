// Wrapper of nginx: its headers, its strings as views, objects in its pools,
// its clock, its records of configuration, and the boundary that no exception
// crosses.
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
#include <type_traits>
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

// nginx's cached time. This is the only access to a clock.
inline TimeMs now_ms()
{
    auto time = ngx_timeofday();
    return oidc::from_seconds(time->sec) + Milliseconds(time->msec);
}

inline Time now()
{
    return oidc::from_seconds(ngx_time());
}

// Copies a string into the pool.
inline ngx_str_t copy(ngx_pool_t* pool, std::string_view s)
{
    auto data = static_cast<u_char*>(ngx_pnalloc(pool, s.size() + 1));
    if (data == nullptr) {
        throw std::bad_alloc();
    }
    *ngx_cpymem(data, s.data(), s.size()) = '\0';
    return {s.size(), data};
}

// The cleanup of a T that make() put into a pool.
template <class T>
void destroy(void* data)
{
    static_cast<T*>(data)->~T();
}

// Memory of the pool for a T. What nginx aligns it to can be less than a T
// needs: 4 where long has 32 bits, 8 where a std::function of libc++ needs 16.
template <class T>
void* memory_for(ngx_pool_t* pool)
{
    auto memory = ngx_pnalloc(pool, sizeof(T) + alignof(T) - 1);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return ngx_align_ptr(memory, alignof(T));
}

// An object owned by the pool.
template <class T, class... Args>
T* make(ngx_pool_t* pool, Args&&... args)
{
    auto memory = memory_for<T>(pool);
    auto cleanup = ngx_pool_cleanup_add(pool, 0);
    if (cleanup == nullptr) {
        throw std::bad_alloc();
    }
    auto object = ::new (memory) T(std::forward<Args>(args)...);
    cleanup->data = object;
    cleanup->handler = destroy<T>;
    return object;
}

// A structure of nginx, all zero.
template <class T>
T* allocate(ngx_pool_t* pool)
{
    auto memory = memory_for<T>(pool);
    ngx_memzero(memory, sizeof(T));
    return static_cast<T*>(memory);
}

// Where nginx keeps a record of configuration: the module that it belongs to,
// and whether there is one for all of http, for each server or for each
// location.
struct ConfPlace {
    enum Level { main, server, location };

    const ngx_module_t* module;
    Level level;
};

// Specialized beside each type of record.
template <class T>
struct ConfRecord;

template <>
struct ConfRecord<ngx_http_core_main_conf_t> {
    static constexpr ConfPlace place{&ngx_http_core_module, ConfPlace::main};
};

template <>
struct ConfRecord<ngx_http_core_srv_conf_t> {
    static constexpr ConfPlace place{&ngx_http_core_module, ConfPlace::server};
};

template <>
struct ConfRecord<ngx_http_core_loc_conf_t> {
    static constexpr ConfPlace place{
        &ngx_http_core_module, ConfPlace::location};
};

// The record of that type that applies to a request, or to what is being
// configured. `owner` has the lists of records for the three levels.
template <class T, class Owner>
T& conf_in(const Owner& owner)
{
    constexpr auto place = ConfRecord<T>::place;
    auto records = place.level == ConfPlace::main ? owner.main_conf :
        place.level == ConfPlace::server          ? owner.srv_conf :
                                                    owner.loc_conf;
    return *static_cast<T*>(records[place.module->ctx_index]);
}

template <class T>
T& conf_of(const ngx_http_request_t* r)
{
    return conf_in<T>(*r);
}

template <class T>
T& conf_of(const ngx_conf_t* cf)
{
    return conf_in<T>(*static_cast<const ngx_http_conf_ctx_t*>(cf->ctx));
}

// Null without an http block.
template <class T>
T* conf_of(const ngx_cycle_t* cycle)
{
    auto http = reinterpret_cast<const ngx_http_conf_ctx_t*>(
        cycle->conf_ctx[ngx_http_module.index]);
    return http != nullptr ? &conf_in<T>(*http) : nullptr;
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

// Calls what may throw from where nginx expects C. Logs an exception and
// returns `otherwise` then.
template <class Where, class Call>
auto guard(Where* where, std::invoke_result_t<Call&> otherwise,
    Call call) noexcept -> decltype(otherwise)
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

// A phase handler with that boundary. It fails closed: an exception is a 500,
// and the request does not continue.
template <ngx_int_t (*handler)(ngx_http_request_t*)>
ngx_int_t guarded(ngx_http_request_t* r) noexcept
{
    return guard(r, NGX_HTTP_INTERNAL_SERVER_ERROR, [r] { return handler(r); });
}

}
