#include "oidc/frontchannel_logout.h"

#include "oidc/errors.h"
#include "oidc/parameters.h"

namespace oidc {

Result<FrontChannel> parse_front_channel(std::string_view query)
{
    constexpr ParameterLimit limits[] = {{"iss", 1024}, {"sid", 1024}};
    auto values = read_parameters(query, limits, Errc::logout_malformed);
    if (!values) {
        return std::move(values).error();
    }
    auto& [iss, sid] = *values;
    if (iss && !sid) {
        return Error{Errc::logout_malformed, "client sent iss without sid"};
    }
    return FrontChannel{std::move(iss), std::move(sid)};
}

}
