#include "oidc/token_rules.h"

#include "core/encoding.h"
#include "jose/jwe.h"

#include <algorithm>

namespace oidc {
namespace {

using Rule = Check (*)(const TokenRules& rules, const Json& claims,
    const Client& client, Time now);

Error error_of(const TokenRules& rules, Errc code, const std::string& what)
{
    return {code, std::string(rules.kind.name) + " " + what};
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
Result<std::string> decrypt(
    const TokenRules& rules, std::string_view compact, const Client& client)
{
    auto algs = encryption_algs(client);
    if (!is_jwe(compact) || algs.empty()) {
        if (client.id_token_encrypted_algs.empty()) {
            return std::string(compact);
        }
        return error_of(rules, rules.encryption,
            "is not encrypted, although id_token_encrypted_alg requires it");
    }
    std::string why;
    auto plain = oidc::decrypt(compact,
        {client.key ? &*client.key : nullptr, client.client_secret.reveal()},
        algs, why);
    if (!plain) {
        return error_of(rules, rules.encryption, why);
    }
    return std::move(*plain);
}

// 3.1.3.7, 6 to 8. The claims, if the signature holds.
Result<Json> read_claims(const TokenRules& rules, const Jws& jws,
    const Client& client, const KeySet& keys)
{
    auto payload = jws.verify(keys, client.client_secret.reveal());
    if (!payload) {
        return std::move(payload).error();
    }
    std::string why;
    auto claims = Json::parse(*payload, why);
    if (!claims) {
        return error_of(
            rules, rules.kind.malformed, "has " + why + " in its claims");
    }
    return std::move(*claims);
}

Check check_origin(
    const TokenRules& rules, const Json& claims, const Client& client, Time)
{
    return oidc::check_origin(rules.kind.name, rules.origin, claims, client);
}

bool is_trusted(std::optional<std::string_view> aud, const Client& client)
{
    const auto& others = client.audiences;
    return aud == client.client_id ||
        (aud && std::find(others.begin(), others.end(), *aud) != others.end());
}

// 3.1.3.7, 3: of the audiences we must be one and trust all.
Check check_further_audiences(
    const TokenRules& rules, const Json& claims, const Client& client, Time)
{
    auto aud = claims["aud"];
    for (std::size_t i = 0; i < aud.size(); i++) {
        if (!is_trusted(aud.at(i).string(), client)) {
            return error_of(rules, rules.origin.audience,
                "is also for an untrusted audience, " + quoted(aud.dump()));
        }
    }
    return Ok{};
}

// 3.1.3.7, 9
Check check_expiry(
    const TokenRules& rules, const Json& claims, const Client& client, Time now)
{
    auto exp = claims["exp"].date();
    if (!exp) {
        return error_of(rules, rules.expired, "has no exp");
    }
    if (now >= *exp + client.clock_skew) {
        return error_of(rules, rules.expired,
            "expired " + std::to_string((now - *exp).count()) + " seconds ago");
    }
    return Ok{};
}

// RFC 7519, 4.1.5
Check check_not_before(
    const TokenRules& rules, const Json& claims, const Client& client, Time now)
{
    auto nbf = claims["nbf"];
    if (!nbf.exists()) {
        return Ok{};
    }
    auto start = nbf.date();
    if (!start || *start > now + client.clock_skew) {
        return error_of(rules, rules.not_yet_valid, "is not valid yet");
    }
    return Ok{};
}

// 3.1.3.7, 10: a token is used within minutes of its making; one that is an
// hour old was not made for this occasion.
Check check_issued_at(
    const TokenRules& rules, const Json& claims, const Client& client, Time now)
{
    auto iat = claims["iat"].date();
    auto refuse = [&](const std::string& what) {
        return error_of(rules, rules.issued_at, what);
    };

    if (!iat) {
        return refuse("has no iat");
    }
    if (*iat > now + client.clock_skew) {
        return refuse("was issued " + std::to_string((*iat - now).count()) +
            " seconds in the future");
    }
    if (*iat < now - oldest_token - client.clock_skew) {
        return refuse("was issued " + std::to_string((now - *iat).count()) +
            " seconds ago");
    }
    return Ok{};
}

constexpr Rule shared[] = {
    check_origin,
    check_further_audiences,
    check_expiry,
    check_not_before,
    check_issued_at,
};

}

Result<VerifiedToken> verify_token(const TokenRules& rules,
    std::string_view compact, const Client& client, const KeySet& keys,
    Time now)
{
    auto signed_token = decrypt(rules, compact, client);
    if (!signed_token) {
        return std::move(signed_token).error();
    }
    auto jws = Jws::parse(rules.kind, *signed_token, client.id_token_algs);
    if (!jws) {
        return std::move(jws).error();
    }
    auto claims = read_claims(rules, *jws, client, keys);
    if (!claims) {
        return std::move(claims).error();
    }
    for (auto rule : shared) {
        if (auto checked = rule(rules, *claims, client, now); !checked) {
            return std::move(checked).error();
        }
    }
    return VerifiedToken{
        std::move(*signed_token), std::move(*jws), std::move(*claims)};
}

// 3.1.3.7, 2 and 3
Check check_origin(std::string_view message, const OriginCodes& codes,
    const Json& claims, const Client& client)
{
    std::string what(message);
    auto iss = claims["iss"].string();
    if (iss != client.issuer) {
        return Error{codes.issuer,
            what + " has a wrong issuer " + quoted(iss.value_or(""))};
    }
    // RFC 7519, 4.1.3: one audience may be a string.
    auto aud = claims["aud"];
    if (aud.string() != client.client_id && !aud.has_string(client.client_id)) {
        return Error{codes.audience,
            what + " is for another audience, " + quoted(aud.dump())};
    }
    return Ok{};
}

bool is_identifier(std::optional<std::string_view> text)
{
    constexpr std::size_t longest = 255;
    auto printable = [](char c) { return c >= 0x20 && c < 0x7f; };

    return text && !text->empty() && text->size() <= longest &&
        std::all_of(text->begin(), text->end(), printable);
}

}
