#include "module/log_line.h"

#include "core/encoding.h"
#include "module/worker.h"
#include "oidc/errors.h"

#include <utility>

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

void log_line(ngx_http_request_t* r, ngx_uint_t level,
    const std::string& provider, const LogContext& context,
    const std::string& sentence, const std::string& url)
{
    auto log = r->connection->log;
    auto session = context.session.empty() ?
        "" :
        ", session " + oidc::quoted(context.session);
    // nginx's last action, of an upstream perhaps, does not describe ours.
    auto action = std::exchange(log->action, nullptr);
    ngx_log_error(level, log, 0, "oidc: %s while %*s, provider %s%s%s",
        sentence.c_str(), context.action.size(), context.action.data(),
        oidc::quoted(provider).c_str(), session.c_str(), url.c_str());
    log->action = action;
}

}

void log_error(ngx_http_request_t* r, const std::string& provider,
    const LogContext& context, const oidc::Error& error)
{
    // ngx_log_error() evaluates its arguments more than once.
    auto level = log_level(r, provider, error);
    log_line(r, level, provider, context, error.detail,
        oidc::asked_url(context.url, error));
}

void log_notice(ngx_http_request_t* r, const std::string& provider,
    const LogContext& context, const std::string& sentence)
{
    log_line(r, NGX_LOG_NOTICE, provider, context, sentence, "");
}

}
