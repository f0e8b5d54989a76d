// The claims of a session, each with its source: a renewal replaces the claims
// of a source that has answered again, and no others.
#pragma once

#include "core/fields.h"
#include "oidc/client.h"
#include "oidc/id_token.h"
#include "oidc/userinfo.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace oidc {

using ClaimTexts = std::map<std::string, std::string>;

struct SessionClaims {
    ClaimTexts token;
    ClaimTexts userinfo;

    static SessionClaims begin(const IdToken& token,
        const std::optional<UserInfo>& userinfo, const Needs& needs);

    // From the fields of the session before. A new ID token replaces all its
    // claims except the facts of the login that it does not name.
    static SessionClaims renew(std::string_view old,
        const std::optional<IdToken>& token,
        const std::optional<UserInfo>& userinfo, const Needs& needs);
};

// Writes the needed claims, and which of them neither source has.
void write_claims(
    FieldWriter& fields, const SessionClaims& claims, const Needs& needs);

// Of a claim that both sources have the ID token's. A view into `fields`.
std::optional<std::string_view> find_claim(
    std::string_view fields, std::string_view name);

// True for a claim that is here, or that neither source had.
bool knows_claim(std::string_view fields, std::string_view name);

}
