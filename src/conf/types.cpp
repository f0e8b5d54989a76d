#include "conf/types.h"

#include "conf/checks.h"
#include "conf/values.h"
#include "core/encoding.h"
#include "core/text.h"
#include "store/zone.h"

#include <sstream>

namespace ngx {
namespace {

// Reads the argument by a setter of nginx, which writes a T that is unset.
template <class T>
char* read_by(char* (*set)(ngx_conf_t*, ngx_command_t*, void*), ngx_conf_t* cf,
    T unset, T& value)
{
    ngx_command_t command{};
    command.name = argument(cf, 0);
    value = unset;
    return set(cf, &command, &value);
}

// The values are not shown: they may be secrets in the wrong place.
void refuse_variables(const ngx_conf_t* cf)
{
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        if (view(argument(cf, i)).find('$') != std::string_view::npos) {
            throw Invalid("\"" + text(argument(cf, 0)) +
                "\" directive takes no variables, \"auth_oidc $variable\" can "
                "choose among several providers");
        }
    }
}

void warn_of_variable(ngx_conf_t* cf)
{
    if (view(argument(cf, 1)).find('$') != std::string_view::npos) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
            "\"$\" in \"%V\" stands for itself, the directive takes no "
            "variables",
            &argument(cf, 0));
    }
}

}

char* ReadString::read(ngx_conf_t* cf, ngx_str_t& value)
{
    refuse_variables(cf);
    value = argument(cf, 1);
    return good();
}

char* ReadString::read(ngx_conf_t* cf, std::string& value)
{
    refuse_variables(cf);
    value = text(argument(cf, 1));
    return good();
}

char* ReadString::read(ngx_conf_t* cf, oidc::Secret& value)
{
    warn_of_variable(cf);
    value = oidc::Secret(text(argument(cf, 1)));
    return good();
}

char* ReadPassword::read(ngx_conf_t* cf, ngx_str_t& value)
{
    warn_of_variable(cf);
    value = argument(cf, 1);
    return good();
}

char* ReadSize::read(ngx_conf_t* cf, ngx_str_t& value)
{
    return ReadString::read(cf, value);
}

char* ReadWords::read(ngx_conf_t* cf, std::vector<std::string>& value)
{
    refuse_variables(cf);
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        value.push_back(text(argument(cf, i)));
    }
    return good();
}

char* ReadFlag::read(ngx_conf_t* cf, bool& value)
{
    ngx_flag_t flag;
    auto rv =
        read_by<ngx_flag_t>(ngx_conf_set_flag_slot, cf, NGX_CONF_UNSET, flag);
    value = flag == 1;
    return rv;
}

char* ReadNumber::read(ngx_conf_t* cf, ngx_uint_t& value)
{
    ngx_int_t number;
    auto rv =
        read_by<ngx_int_t>(ngx_conf_set_num_slot, cf, NGX_CONF_UNSET, number);
    value = static_cast<ngx_uint_t>(number);
    return rv;
}

char* ReadSeconds::read(ngx_conf_t* cf, Seconds& value)
{
    time_t count;
    auto rv = read_by<time_t>(ngx_conf_set_sec_slot, cf, NGX_CONF_UNSET, count);
    value = Seconds(count);
    return rv;
}

char* ReadMilliseconds::read(ngx_conf_t* cf, ngx_msec_t& value)
{
    return read_by<ngx_msec_t>(
        ngx_conf_set_msec_slot, cf, NGX_CONF_UNSET_MSEC, value);
}

char* ReadComplex::read(ngx_conf_t* cf, ngx_http_complex_value_t*& value)
{
    return read_by<ngx_http_complex_value_t*>(
        ngx_http_set_complex_value_slot, cf, nullptr, value);
}

bool is_word(const ngx_str_t& argument, std::string_view word)
{
    return argument.len == word.size() &&
        ngx_strncasecmp(argument.data,
            reinterpret_cast<u_char*>(const_cast<char*>(word.data())),
            word.size()) == 0;
}

char* refuse_word(ngx_conf_t* cf, const std::vector<std::string_view>& words)
{
    std::string list;
    for (auto word : words) {
        list.append(list.empty() ? "" : ", ").append(word);
    }
    throw Invalid("invalid " + oidc::quoted(view(argument(cf, 0))) + " value " +
        oidc::quoted(view(argument(cf, 1))) + ", use one of: " + list +
        suggestion(view(argument(cf, 1)), words));
}

// RFC 6749, 3.3. NGINX Plus takes all scopes as one argument, too.
char* ReadScope::read(ngx_conf_t* cf, std::string& value)
{
    refuse_variables(cf);
    value = "openid";
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        std::istringstream list(text(argument(cf, i)));
        for (std::string word; list >> word;) {
            check_scope(view(argument(cf, 0)), word);
            value += word != "openid" ? " " + word : "";
        }
    }
    return good();
}

char* ReadMaxLifetime::read(ngx_conf_t* cf, std::optional<Seconds>& value)
{
    auto& seconds = value.emplace(0);
    if (view(argument(cf, 1)) == "off") {
        return good();
    }
    auto rv = ReadSeconds::read(cf, seconds);
    if (rv == NGX_CONF_OK && seconds == seconds.zero()) {
        refuse_time(
            view(argument(cf, 0)), "it must be longer than 0, or \"off\"");
    }
    return rv;
}

char* ReadTokenRefresh::read(ngx_conf_t* cf, std::optional<Seconds>& value)
{
    auto argument = ngx::argument(cf, 1);
    if (view(argument) == "auto") {
        return good();
    }
    auto& seconds = value.emplace(0);
    if (view(argument) == "off") {
        return good();
    }
    auto count = ngx_parse_time(&argument, 1);
    if (count == NGX_ERROR) {
        throw Invalid("invalid \"token_refresh\" value \"" + text(argument) +
            "\", use a time, \"auto\" or \"off\"");
    }
    if (count == 0) {
        refuse_time("token_refresh",
            "it must be longer than 0, or \"auto\" or \"off\"");
    }
    seconds = Seconds(count);
    return good();
}

char* ReadClaim::read(ngx_conf_t* cf, std::string& value)
{
    constexpr std::size_t max_claim = 255;
    value = oidc::lower_case(view(argument(cf, 1)));
    if (value.empty() || value.size() > max_claim || value.starts_with('$')) {
        invalid(view(argument(cf, 0)), value,
            "it must be the name of a claim such as \"email\", without \"$\", "
            "or \"off\"");
    }
    return good();
}

char* ReadZoneSize::read(ngx_conf_t* cf, std::size_t& value)
{
    auto argument = ngx::argument(cf, 1);
    auto size = ngx_parse_size(&argument);
    if (size < static_cast<ssize_t>(Zone::min_size)) {
        throw Invalid("invalid \"oidc_state_zone\" size \"" + text(argument) +
            "\", it must be at least 64k");
    }
    value = static_cast<std::size_t>(size);
    return good();
}

}
