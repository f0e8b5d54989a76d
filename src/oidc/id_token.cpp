#include "oidc/id_token.h"

#include "core/encode.h"
#include "jose/jwe.h"
#include "jose/jws.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr TokenKind kind{"id token", Errc::id_token_malformed,
    Errc::id_token_alg, Errc::id_token_crit, Errc::id_token_key,
    Errc::id_token_signature};

using Rule = Check (*)(const Json& claims, const Expectation& expected);

// 3.1.3.7, 2
Check check_issuer(const Json& claims, const Expectation& expected)
{
    auto iss = claims["iss"].string();
    if (iss != expected.client.issuer) {
        return Error{Errc::id_token_issuer,
            "id token has a wrong issuer " + quoted(iss.value_or(""))};
    }
    return Ok{};
}

// Core, 2: at most 255 ASCII characters.
Check check_subject(const Json& claims, const Expectation&)
{
    constexpr std::size_t longest = 255;
    auto sub = claims["sub"].string();
    auto printable = [](char c) { return c >= 0x20 && c < 0x7f; };

    if (!sub || sub->empty() || sub->size() > longest ||
        !std::all_of(sub->begin(), sub->end(), printable)) {
        return Error{Errc::id_token_subject,
            "id token has no sub of 1 to 255 ASCII characters"};
    }
    return Ok{};
}

bool is_trusted(std::optional<std::string_view> aud, const Client& client)
{
    const auto& others = client.audiences;
    return aud == client.client_id ||
        (aud && std::find(others.begin(), others.end(), *aud) != others.end());
}

// 3.1.3.7, 3: of the audiences we must be one and trust all.
Check check_audience(const Json& claims, const Expectation& expected)
{
    auto aud = claims["aud"];
    std::string_view us = expected.client.client_id;

    // RFC 7519, 4.1.3: one audience may be a string.
    if (aud.string() == us) {
        return Ok{};
    }
    if (!aud.has_string(us)) {
        return Error{Errc::id_token_audience,
            "id token is for another audience, " + quoted(aud.dump())};
    }
    for (std::size_t i = 0; i < aud.size(); i++) {
        if (!is_trusted(aud.at(i).string(), expected.client)) {
            return Error{Errc::id_token_audience,
                "id token is for an untrusted audience too, " +
                    quoted(aud.dump())};
        }
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

// 3.1.3.7, 9
Check check_expiry(const Json& claims, const Expectation& expected)
{
    auto exp = claims["exp"].date();
    if (!exp) {
        return Error{Errc::id_token_expired, "id token has no exp"};
    }
    if (expected.now >= *exp + expected.client.clock_skew) {
        return Error{Errc::id_token_expired,
            "id token expired " + std::to_string(expected.now - *exp) +
                " seconds ago"};
    }
    return Ok{};
}

// RFC 7519, 4.1.5
Check check_not_before(const Json& claims, const Expectation& expected)
{
    auto nbf = claims["nbf"];
    if (!nbf.exists()) {
        return Ok{};
    }
    auto start = nbf.date();
    if (!start || *start > expected.now + expected.client.clock_skew) {
        return Error{Errc::id_token_not_yet_valid, "id token is not valid yet"};
    }
    return Ok{};
}

// 3.1.3.7, 10: a token is used within minutes of its making; one that is an
// hour old was not made for this login.
Check check_issued_at(const Json& claims, const Expectation& expected)
{
    constexpr std::int64_t oldest = 3600;
    auto iat = claims["iat"].date();
    auto skew = expected.client.clock_skew;

    if (!iat) {
        return Error{Errc::id_token_issued_at, "id token has no iat"};
    }
    if (*iat > expected.now + skew) {
        return Error{Errc::id_token_issued_at,
            "id token was issued in the future, by " +
                std::to_string(*iat - expected.now) + " seconds"};
    }
    if (*iat < expected.now - oldest - skew) {
        return Error{Errc::id_token_issued_at,
            "id token was issued " + std::to_string(expected.now - *iat) +
                " seconds ago"};
    }
    return Ok{};
}

// 3.1.3.7, 11
Check check_nonce(const Json& claims, const Expectation& expected)
{
    auto nonce = claims["nonce"].string();
    if (!nonce || !equal(*nonce, expected.nonce)) {
        return Error{Errc::id_token_nonce,
            nonce ? "id token has the nonce of another login" :
                    "id token has no nonce"};
    }
    return Ok{};
}

constexpr Rule rules[] = {
    check_issuer,
    check_subject,
    check_audience,
    check_azp,
    check_expiry,
    check_not_before,
    check_issued_at,
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

// Where none are configured: what the client's key opens.
std::vector<std::string> encryption_algs(const Client& client)
{
    if (client.id_token_encrypted_algs.empty() && client.key &&
        !client.key->encryption().empty()) {
        return {std::string(client.key->encryption())};
    }
    return client.id_token_encrypted_algs;
}

// 3.1.3.7, 1. The signed token within, or the token itself where encryption
// was not agreed on.
Result<std::string> decrypt(std::string_view compact, const Client& client)
{
    auto algs = encryption_algs(client);
    if (!is_jwe(compact) || algs.empty()) {
        if (client.id_token_encrypted_algs.empty()) {
            return std::string(compact);
        }
        return Error{Errc::id_token_encryption,
            "id token is not encrypted, as id_token_encrypted_alg demands"};
    }
    std::string why;
    auto plain = oidc::decrypt(compact,
        {client.key ? &*client.key : nullptr, client.client_secret.reveal()},
        algs, why);
    if (!plain) {
        return Error{Errc::id_token_encryption, "id token " + why};
    }
    return std::move(*plain);
}

}

Result<IdToken> IdToken::verify(
    std::string_view compact, const Expectation& expected)
{
    const auto& client = expected.client;

    auto signed_token = decrypt(compact, client);
    if (!signed_token) {
        return std::move(signed_token).error();
    }
    auto jws = Jws::parse(kind, *signed_token, client.id_token_algs);
    if (!jws) {
        return std::move(jws).error();
    }
    auto payload = jws->verify(expected.keys, client.client_secret.reveal());
    if (!payload) {
        return std::move(payload).error();
    }
    std::string why;
    auto claims = Json::parse(*payload, why);
    if (!claims) {
        return Error{Errc::id_token_malformed, "id token has claims of " + why};
    }
    for (auto rule : rules) {
        if (auto checked = rule(*claims, expected); !checked) {
            return std::move(checked).error();
        }
    }
    auto checked = check_at_hash(*claims, expected, jws->algorithm());
    if (!checked) {
        return std::move(checked).error();
    }
    return IdToken(std::move(*signed_token), std::move(*claims));
}

bool wants_newer_keys(const Error& error)
{
    return error.code == Errc::id_token_key ||
        error.code == Errc::id_token_signature ||
        error.code == Errc::userinfo_key ||
        error.code == Errc::userinfo_signature;
}

}
