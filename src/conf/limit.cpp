#include "conf/limit.h"

#include "conf/values.h"

#include <charconv>

namespace ngx {
namespace {

constexpr std::int64_t max_at_once = 1'000'000;

[[noreturn]] void complain(std::string_view parameter, const char* advice)
{
    throw Invalid("invalid \"oidc_limit\" parameter \"" +
        std::string(parameter) + "\", " + advice);
}

oidc::Rate parse_rate(std::string_view parameter, std::string_view value)
{
    std::int64_t count = 0;
    auto end = value.data() + value.size();
    auto [stop, failure] = std::from_chars(value.data(), end, count);
    std::string_view unit(stop, static_cast<std::size_t>(end - stop));
    if (failure != std::errc() || count < 1 || count > max_at_once ||
        (unit != "r/s" && unit != "r/m")) {
        complain(parameter,
            "the rate must be 1 to 1000000 followed by r/s or r/m, such as "
            "\"login=200r/m\"");
    }
    return {count, unit == "r/s" ? 1s : Limit::minute};
}

ngx_http_complex_value_t* compile_key(
    ngx_conf_t* cf, std::string_view parameter, std::string_view value)
{
    if (value.find('$') == value.npos) {
        complain(parameter,
            "the key must contain a variable, such as "
            "\"key=$binary_remote_addr\"");
    }
    return compile(cf, value);
}

void take_parameter(
    ngx_conf_t* cf, Limit& limit, std::string_view parameter, std::string& seen)
{
    auto equals = parameter.find('=');
    auto name = parameter.substr(0, equals);
    auto value = equals == parameter.npos ? std::string_view() :
                                            parameter.substr(equals + 1);
    auto entry = " " + std::string(name) + " ";
    if (seen.find(entry) != seen.npos) {
        complain(parameter, "it is specified twice");
    }
    seen += entry;
    if (name == "login") {
        limit.login = parse_rate(parameter, value);
    } else if (name == "logout") {
        limit.logout = parse_rate(parameter, value);
    } else if (name == "key") {
        limit.key = compile_key(cf, parameter, value);
    } else {
        complain(parameter,
            "use \"login=rate\", \"logout=rate\" and \"key=$variable\", or "
            "\"off\" alone");
    }
}

Limit* parse_limit(ngx_conf_t* cf)
{
    auto limit = make<Limit>(cf->pool);
    auto arguments = static_cast<ngx_str_t*>(cf->args->elts);
    if (cf->args->nelts == 2 && view(arguments[1]) == "off") {
        limit->is_on = false;
        return limit;
    }
    std::string seen;
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        take_parameter(cf, *limit, view(arguments[i]), seen);
    }
    return limit;
}

}

char* ReadLimit::read(ngx_conf_t* cf, const Limit*& value)
{
    value = parse_limit(cf);
    return NGX_CONF_OK;
}

}
