#include "oidc/id_token.h"

#include "core/encoding.h"
#include "oidc/token_rules.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr TokenRules shared{
    {"id token", Errc::id_token_malformed, Errc::id_token_alg,
        Errc::id_token_crit, Errc::id_token_key, Errc::id_token_signature},
    Errc::id_token_encryption, {Errc::id_token_issuer, Errc::id_token_audience},
    Errc::id_token_expired, Errc::id_token_not_yet_valid,
    Errc::id_token_issued_at};

using Rule = Check (*)(const Json& claims, const Expectation& expected);

Check check_subject(const Json& claims, const Expectation&)
{
    if (!is_identifier(claims["sub"].string())) {
        return Error{Errc::id_token_subject,
            "id token has no sub of 1 to 255 ASCII characters"};
    }
    return Ok{};
}

// 3.1.3.7, 4 and 5
Check check_azp(const Json& claims, const Expectation& expected)
{
    auto azp = claims["azp"];
    if (azp.exists() && azp.string() != expected.client.client_id) {
        return Error{Errc::id_token_azp,
            "id token was issued to another party, azp " + quoted(azp.dump())};
    }
    return Ok{};
}

// 3.1.3.7, 11
Check check_nonce(const Json& claims, const Expectation& expected)
{
    if (!expected.nonce) {
        return Ok{};
    }
    auto nonce = claims["nonce"].string();
    if (!nonce || !equal(*nonce, *expected.nonce)) {
        return Error{Errc::id_token_nonce,
            nonce ? "id token has the nonce of another login" :
                    "id token has no nonce"};
    }
    return Ok{};
}

constexpr Rule rules[] = {
    check_subject,
    check_azp,
    check_nonce,
};

// 3.1.3.8: the left half of the access token's hash, by the hash of the
// signature's algorithm. Optional in the code flow; binding when present.
Check check_at_hash(
    const Json& claims, const Expectation& expected, const Algorithm& algorithm)
{
    auto at_hash = claims["at_hash"];
    if (!at_hash.exists()) {
        return Ok{};
    }
    auto whole = digest(algorithm.hash, expected.access_token);
    auto half = base64url(whole.substr(0, whole.size() / 2));
    if (!at_hash.string() || !equal(*at_hash.string(), half)) {
        return Error{Errc::id_token_at_hash,
            "id token does not belong to the access token, at_hash differs"};
    }
    return Ok{};
}

// RFC 8725, 3.12: a logout token is of the same issuer, for the same client,
// and a refresh demands no nonce.
Check check_kind(const VerifiedToken& token)
{
    if (token.jws.typ() == logout_type ||
        token.claims["events"][logout_event].exists()) {
        return Error{Errc::id_token_malformed, "id token is a logout token"};
    }
    return Ok{};
}

}

Result<IdToken> IdToken::verify(
    std::string_view compact, const Expectation& expected)
{
    auto token = verify_token(
        shared, compact, expected.client, expected.keys, expected.now);
    if (!token) {
        return std::move(token).error();
    }
    if (auto checked = check_kind(*token); !checked) {
        return std::move(checked).error();
    }
    for (auto rule : rules) {
        if (auto checked = rule(token->claims, expected); !checked) {
            return std::move(checked).error();
        }
    }
    auto checked =
        check_at_hash(token->claims, expected, token->jws.algorithm());
    if (!checked) {
        return std::move(checked).error();
    }
    return IdToken(std::move(token->compact), std::move(token->claims));
}

bool wants_newer_keys(const Error& error)
{
    constexpr Errc codes[] = {
        Errc::id_token_key,
        Errc::id_token_signature,
        Errc::userinfo_key,
        Errc::userinfo_signature,
        Errc::logout_token_key,
        Errc::logout_token_signature,
    };
    return std::find(std::begin(codes), std::end(codes), error.code) !=
        std::end(codes);
}

}
