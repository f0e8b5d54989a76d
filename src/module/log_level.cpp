#include "module/log_level.h"

#include "module/worker.h"
#include "oidc/errors.h"

namespace ngx {
namespace {

constexpr oidc::Rate series{10, 1min};
constexpr oidc::Rate alarm{1, 1min};

// In all workers.
bool take_token(Zone& zone, oidc::Rate rate, const std::string& provider,
    const oidc::Fault& fault)
{
    auto key = oidc::digest(oidc::Hash::sha256,
        oidc::bind_fields(
            {"log", std::to_string(rate.count), provider, fault.word}))
                   .substr(0, Zone::key_size);
    return zone.take_token(key, rate, now_ms());
}

}

ngx_uint_t log_level(const ngx_http_request_t* r, const std::string& provider,
    const oidc::Error& error)
{
    const auto& fault = oidc::fault(error.code);
    if (fault.level == oidc::Level::error) {
        return NGX_LOG_ERR;
    }
    auto& zone = *worker(r).zone;
    auto is_sign = fault.level == oidc::Level::notable ||
        !take_token(zone, series, provider, fault);
    return is_sign && take_token(zone, alarm, provider, fault) ? NGX_LOG_ERR :
                                                                 NGX_LOG_WARN;
}

}
