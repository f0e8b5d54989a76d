// What a session keeps: its fields when it begins, and again when it is renewed
// or seen.
#pragma once

#include "core/crypto.h"
#include "core/time.h"
#include "oidc/client.h"
#include "oidc/id_token.h"
#include "oidc/token.h"
#include "oidc/userinfo.h"

#include <optional>
#include <string>
#include <string_view>

namespace oidc {

// Keeps only what the client's Needs name.
std::string begin_fields(const IdToken& token,
    const std::optional<UserInfo>& userinfo, const Tokens& tokens,
    const Client& client, TimeMs started, Time now, Random random);

// From the fields of the same session before.
std::string renew_fields(std::string_view old,
    const std::optional<IdToken>& token,
    const std::optional<UserInfo>& userinfo, const Tokens& tokens,
    const Client& client, Time now);

// The same session, seen now.
std::string seen_fields(std::string_view old, Time now);
// The same session, which has yet to request user info.
std::string owing_fields(std::string_view old);

// When the configuration ends a session with these times.
Time configured_end(const Client& client, TimeMs started, Time renewed);

// That much later, at most the last time that can be represented.
Time later(Time time, Seconds seconds);

}
