#include "oidc/backchannel_logout.h"

#include "core/encoding.h"
#include "jose/jwe.h"
#include "oidc/errors.h"
#include "oidc/parameters.h"
#include "oidc/token_rules.h"

#include <algorithm>

namespace oidc {
namespace {

// How long after its iat a token without exp is accepted, without the clock
// skew.
constexpr Seconds max_age_without_exp = 300s;

constexpr TokenCodes codes{
    {"logout token", Errc::logout_token_malformed, Errc::logout_token_alg,
        Errc::logout_token_crit, Errc::logout_token_key,
        Errc::logout_token_signature},
    Errc::logout_token_encryption, Errc::logout_token_issuer,
    Errc::logout_token_audience, Errc::logout_token_expired,
    Errc::logout_token_not_yet_valid, Errc::logout_token_issued_at};

class LogoutTokenRules : public TokenRules {
public:
    using TokenRules::TokenRules;

    Check expiry() const;
    Check type() const;
    Check subject() const;
    Check events() const;
    Check nonce() const;
    Check jti() const;
};

using Rule = Check (LogoutTokenRules::*)() const;

// In this order. The first failure is reported.
constexpr Rule rules[] = {
    &LogoutTokenRules::issuer,
    &LogoutTokenRules::audience,
    &LogoutTokenRules::other_audiences,
    &LogoutTokenRules::expiry,
    &LogoutTokenRules::not_before,
    &LogoutTokenRules::issued_at,
    &LogoutTokenRules::type,
    &LogoutTokenRules::subject,
    &LogoutTokenRules::events,
    &LogoutTokenRules::nonce,
    &LogoutTokenRules::jti,
};

// Back-Channel Logout, 2.4. Its drafts had no exp, and some providers send
// none.
Check LogoutTokenRules::expiry() const
{
    if (claim("exp").exists()) {
        return TokenRules::expiry();
    }
    auto iat = claim("iat").date();
    if (iat && *iat < now() - max_age_without_exp - client().clock_skew) {
        return Error{Errc::logout_token_expired,
            "logout token without exp was issued " +
                std::to_string((now() - *iat).count()) + " seconds ago"};
    }
    return Ok{};
}

// Back-Channel Logout, 2.4. Many providers send no typ, or the JWT of their ID
// tokens; an access token's at+jwt ends no session.
Check LogoutTokenRules::type() const
{
    const auto& typ = jws().typ();
    if (typ && *typ != logout_type && *typ != "jwt") {
        return Error{Errc::logout_token_type,
            "logout token has a wrong type " + quoted(*typ)};
    }
    return Ok{};
}

// 2.6, 4
Check LogoutTokenRules::subject() const
{
    auto sub = claim("sub");
    auto sid = claim("sid");
    if (!sub.exists() && !sid.exists()) {
        return Error{
            Errc::logout_token_subject, "logout token has neither sub nor sid"};
    }
    for (auto claim : {sub, sid}) {
        if (claim.exists() && !is_identifier(claim.string())) {
            return Error{Errc::logout_token_subject,
                "logout token has a sub or sid that is not 1 to 255 ASCII "
                "characters"};
        }
    }
    return Ok{};
}

// 2.6, 5: what tells it from an ID token.
Check LogoutTokenRules::events() const
{
    if (!claim("events")[logout_event].is_object()) {
        return Error{Errc::logout_token_events,
            "logout token has no back-channel logout event"};
    }
    return Ok{};
}

// 2.6, 6: so that none can be passed off as an ID token.
Check LogoutTokenRules::nonce() const
{
    if (claim("nonce").exists()) {
        return Error{Errc::logout_token_nonce, "logout token has a nonce"};
    }
    return Ok{};
}

// 2.6, 7: identifies a replay.
Check LogoutTokenRules::jti() const
{
    if (!is_identifier(claim("jti").string())) {
        return Error{Errc::logout_token_jti,
            "logout token has no jti of 1 to 255 ASCII characters"};
    }
    return Ok{};
}

}

Result<std::string> parse_back_channel(std::string_view form)
{
    constexpr ParameterLimit limits[] = {{"logout_token", 64 * 1024}};
    auto values = read_parameters(form, limits, Errc::logout_malformed);
    if (!values) {
        return std::move(values).error();
    }
    auto& [token] = *values;
    if (!token) {
        return Error{Errc::logout_malformed, "client sent no logout_token"};
    }
    return std::move(*token);
}

Result<LogoutToken> LogoutToken::verify(
    std::string_view compact, const LogoutExpectation& expected)
{
    auto token = open_token(codes, compact, expected.client, expected.keys);
    if (!token) {
        return std::move(token).error();
    }
    LogoutTokenRules checker(codes, *token, expected.client, expected.now);
    for (auto rule : rules) {
        if (auto checked = (checker.*rule)(); !checked) {
            return std::move(checked).error();
        }
    }
    return LogoutToken(std::move(token->claims));
}

Time LogoutToken::expires() const
{
    auto iat = *claims_["iat"].date();
    auto exp = claims_["exp"].date();
    return exp ? std::min(*exp, iat + max_token_age + 1s) :
                 iat + max_age_without_exp + 1s;
}

bool LogoutToken::names_issuer(
    std::string_view compact, std::string_view issuer)
{
    // 2.4: the header of an encrypted token repeats the issuer.
    auto part = compact.substr(0, compact.find('.'));
    if (!is_jwe(compact)) {
        compact.remove_prefix(std::min(part.size() + 1, compact.size()));
        part = compact.substr(0, compact.find('.'));
    }
    auto text = base64url_decode(part);
    auto claims = text ? Json::parse(*text) : std::nullopt;
    return claims && (*claims)["iss"].string() == issuer;
}

}
