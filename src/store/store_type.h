// A type of oidc_session_store: which directives it uses, and how it makes a
// store of them.
#pragma once

#include "ngx/exchange.h"
#include "ngx/ngx.h"
#include "store/store.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ngx {

class Zone;

struct StoreType;

// The directives of an oidc_session_store block.
struct StoreFields {
    const StoreType* type = nullptr;
    ngx_str_t size = ngx_null_string;
    ngx_uint_t max_sessions = 0; // 0: as many as fit
    Seconds ttl{};               // of every session; 0: not limited
    ngx_str_t hostname = ngx_null_string;
    ngx_uint_t port = 0;
    ngx_uint_t database = 0;
    ngx_str_t username = ngx_null_string;
    ngx_str_t password = ngx_null_string;
    bool ssl = false;
    ngx_str_t ssl_trusted_certificate = ngx_null_string;
    ngx_str_t prefix = ngx_null_string;
    ngx_msec_t connect_timeout = 0;
    ngx_msec_t command_timeout = 0;
};

// Makes the store of one provider, whose idle sessions end after that time; 0:
// they do not.
using MakeStore =
    std::function<std::unique_ptr<Store>(Zone& zone, Seconds idle_timeout)>;

struct StoreType {
    // The server's software, for a type that needs a "hostname"; else empty.
    std::string_view server;

    std::size_t min_size; // of "size", in bytes

    // The block's directives that it uses, beside "type".
    std::span<const std::string_view> directives;

    // The fields have been checked. Null after a failure that is logged.
    MakeStore (*configure)(ngx_conf_t* cf, const std::string& name,
        const StoreFields& fields, SystemTrust& system);
};

}
