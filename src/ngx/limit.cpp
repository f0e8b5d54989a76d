#include "ngx/limit.h"

#include "core/crypto.h"
#include "ngx/conf.h"
#include "ngx/request.h"
#include "ngx/values.h"

#include <charconv>

namespace ngx {
namespace {

constexpr std::int64_t second = 1'000'000; // microseconds
constexpr std::int64_t most_at_once = 1'000'000;

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
    if (failure != std::errc() || count < 1 || count > most_at_once ||
        (unit != "r/s" && unit != "r/m")) {
        complain(parameter,
            "a rate is a number from 1 to 1000000 with r/s or r/m, such as "
            "\"login=200r/m\"");
    }
    return {count, unit == "r/s" ? second : Limit::minute};
}

ngx_http_complex_value_t* compile_key(
    ngx_conf_t* cf, std::string_view parameter, std::string_view value)
{
    if (value.find('$') == value.npos) {
        complain(parameter,
            "a key has a variable, such as "
            "\"key=$binary_remote_addr\"");
    }
    auto text = copy(cf->pool, value);
    auto key = static_cast<ngx_http_complex_value_t*>(
        ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t)));
    ngx_http_compile_complex_value_t compile{};
    compile.cf = cf;
    compile.value = &text;
    compile.complex_value = key;
    if (key == nullptr || ngx_http_compile_complex_value(&compile) != NGX_OK) {
        throw Invalid("\"oidc_limit\" has a key that cannot be read");
    }
    return key;
}

void take_parameter(
    ngx_conf_t* cf, Limit& limit, std::string_view parameter, std::string& seen)
{
    auto equals = parameter.find('=');
    auto name = parameter.substr(0, equals);
    auto value = equals == parameter.npos ? std::string_view() :
                                            parameter.substr(equals + 1);
    auto mark = " " + std::string(name) + " ";
    if (seen.find(mark) != seen.npos) {
        complain(parameter, "it is there twice");
    }
    seen += mark;
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

const char* name_of(oidc::Work work)
{
    switch (work) {
    case oidc::Work::login:
        return "login";
    case oidc::Work::push:
        return "push";
    default:
        return "logout";
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

char* set_limit(ngx_conf_t* cf, ngx_command_t*, void* data)
{
    auto& field = static_cast<LocationFields*>(data)->limit;
    if (field != NGX_CONF_UNSET_PTR) {
        return const_cast<char*>("is duplicate");
    }
    auto failed = static_cast<char*>(NGX_CONF_ERROR);
    return guard(cf, failed, [&] {
        try {
            field = parse_limit(cf);
            return static_cast<char*>(NGX_CONF_OK);
        } catch (const Invalid& error) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", error.what());
            return failed;
        }
    });
}

// The bucket's name, and what the token costs there.
std::optional<std::string> Purse::take(oidc::Work work)
{
    const auto& limit = *location_conf(r_)->limit;
    auto bucket = bucket_of(limit, work);
    if (!bucket) {
        return "";
    }
    auto rate = limit.rate(work);
    auto time = ngx_timeofday();
    auto now = static_cast<std::int64_t>(time->sec) * second +
        static_cast<std::int64_t>(time->msec) * (second / 1000);
    return zone_.take_token(*bucket, rate, now) ?
        std::optional(*bucket + std::to_string(rate.cost())) :
        std::nullopt;
}

void Purse::give_back(std::string_view receipt)
{
    auto bucket = receipt.substr(0, Zone::key_size);
    receipt.remove_prefix(bucket.size());
    std::int64_t cost = 0;
    std::from_chars(receipt.data(), receipt.data() + receipt.size(), cost);
    if (cost > 0) {
        zone_.give_back_token(bucket, cost);
    }
}

// A bucket is for one rate alone. Nothing for who has no key: no limit is meant
// for that client, as a Unix socket's has none.
std::optional<std::string> Purse::bucket_of(const Limit& limit, oidc::Work work)
{
    if (!limit.is_on) {
        return {};
    }
    auto client =
        limit.key != nullptr ? evaluate(r_, limit.key) : address_of(r_);
    if (client.empty()) {
        return {};
    }
    auto rate = limit.rate(work);
    return oidc::digest(oidc::Hash::sha256,
        oidc::bind_fields({name_of(work), std::to_string(rate.count),
            std::to_string(rate.period),
            limit.key != nullptr ? "key" : "address", client}))
        .substr(0, Zone::key_size);
}

}
