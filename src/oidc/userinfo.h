// User info (OpenID Connect Core, 5.3): the request, and the checks of its
// response. To hold a UserInfo is to have verified it.
#pragma once

#include "core/http.h"
#include "core/json.h"
#include "core/result.h"
#include "jose/key_set.h"
#include "oidc/client.h"
#include "oidc/metadata.h"

#include <string>
#include <string_view>

namespace oidc {

// RFC 6750, 2.1: the access token goes into a header.
HttpRequest userinfo_request(
    const Metadata& metadata, std::string_view access_token);

struct UserInfoExpectation {
    const Client& client;
    const KeySet& keys;
    std::string_view subject; // of the ID token
};

class UserInfo {
public:
    // JSON, or a signed JWT if our registration says so; its sub must be the ID
    // token's (5.3.2). upstream_status, userinfo_*.
    static Result<UserInfo> verify(
        const HttpResponse& response, const UserInfoExpectation& expected);

    JsonValue claims() const { return claims_.root(); }

private:
    explicit UserInfo(Json claims) : claims_(std::move(claims)) {}

    Json claims_;
};

}
