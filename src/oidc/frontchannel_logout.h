// The provider's front-channel logout request, which a browser loads in a frame
// (OpenID Connect Front-Channel Logout 1.0).
#pragma once

#include "core/result.h"

#include <optional>
#include <string>
#include <string_view>

namespace oidc {

// 3: iss and sid, both or neither. Some providers send sid alone.
struct FrontChannel {
    std::optional<std::string> iss;
    std::optional<std::string> sid;
};

// logout_malformed for iss without sid, one that comes twice or is over 1 KB,
// or a query that is no form. Other parameters are ignored.
Result<FrontChannel> parse_front_channel(std::string_view query);

}
