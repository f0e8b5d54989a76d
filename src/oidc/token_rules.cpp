#include "oidc/token_rules.h"

#include "core/encoding.h"
#include "core/text.h"
#include "jose/jwe.h"

#include <algorithm>

namespace oidc {
namespace {

Error error_of(const TokenCodes& codes, Errc code, const std::string& what)
{
    return {code, std::string(codes.kind.name) + " " + what};
}

// Without a configured list, the algorithms of the client's key.
std::vector<std::string> encryption_algs(const Client& client)
{
    if (client.id_token_encrypted_algs.empty() && client.key) {
        auto algs = client.key->encryptions();
        return {algs.begin(), algs.end()};
    }
    return client.id_token_encrypted_algs;
}

// 3.1.3.7, 1. The signed token inside, or the token itself where encryption
// was not agreed on.
Result<std::string> decrypt(
    const TokenCodes& codes, std::string_view compact, const Client& client)
{
    auto algs = encryption_algs(client);
    if (!is_jwe(compact) || algs.empty()) {
        if (client.id_token_encrypted_algs.empty()) {
            return std::string(compact);
        }
        return error_of(codes, codes.encryption,
            "is not encrypted, although id_token_encrypted_alg requires it");
    }
    std::string why;
    auto plain = oidc::decrypt(compact,
        {client.key ? &*client.key : nullptr, client.client_secret.reveal()},
        algs, why);
    if (!plain) {
        return error_of(codes, codes.encryption, why);
    }
    return std::move(*plain);
}

// 3.1.3.7, 6 to 8. The claims, if the signature holds.
Result<Json> read_claims(const TokenCodes& codes, const Jws& jws,
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
            codes, codes.kind.malformed, "has " + why + " in its claims");
    }
    return std::move(*claims);
}

bool is_trusted(std::optional<std::string_view> aud, const Client& client)
{
    const auto& others = client.audiences;
    return aud == client.client_id ||
        (aud && std::find(others.begin(), others.end(), *aud) != others.end());
}

std::string in_seconds(Seconds duration)
{
    return std::to_string(duration.count()) + " seconds";
}

}

Result<SignedToken> open_token(const TokenCodes& codes,
    std::string_view compact, const Client& client, const KeySet& keys)
{
    auto signed_token = decrypt(codes, compact, client);
    if (!signed_token) {
        return std::move(signed_token).error();
    }
    auto jws = Jws::parse(codes.kind, *signed_token, client.id_token_algs);
    if (!jws) {
        return std::move(jws).error();
    }
    auto claims = read_claims(codes, *jws, client, keys);
    if (!claims) {
        return std::move(claims).error();
    }
    return SignedToken{
        std::move(*signed_token), std::move(*jws), std::move(*claims)};
}

Error TokenRules::error_of(Errc code, const std::string& what) const
{
    return oidc::error_of(codes_, code, what);
}

// 3.1.3.7, 2
Check TokenRules::issuer() const
{
    return check_iss(codes_.kind.name, codes_.issuer, token_.claims, client_);
}

// 3.1.3.7, 3: we must be one of the audiences ...
Check TokenRules::audience() const
{
    return check_aud(codes_.kind.name, codes_.audience, token_.claims, client_);
}

// ... and trust the others. Without a list of them, azp tells a token that was
// issued to us from one that another of the audiences passed on.
Check TokenRules::other_audiences() const
{
    auto aud = claim("aud");
    for (std::size_t i = 0; i < aud.size(); i++) {
        auto name = aud.at(i).string();
        if (is_trusted(name, client_)) {
            continue;
        }
        if (!name || !client_.trusts_all_audiences) {
            return error_of(codes_.audience,
                "is also for an untrusted audience, " + quoted(aud.dump()));
        }
        if (claim("azp").string() != client_.client_id) {
            return error_of(codes_.audience,
                "is also for another audience, " + quoted(aud.dump()) +
                    ", without client_id as azp");
        }
    }
    return Ok{};
}

// 3.1.3.7, 9
Check TokenRules::expiry() const
{
    auto exp = claim("exp").date();
    if (!exp) {
        return error_of(codes_.expired, "has no exp");
    }
    if (now_ >= *exp + client_.clock_skew) {
        return error_of(
            codes_.expired, "expired " + in_seconds(now_ - *exp) + " ago");
    }
    return Ok{};
}

// RFC 7519, 4.1.5
Check TokenRules::not_before() const
{
    auto nbf = claim("nbf");
    if (!nbf.exists()) {
        return Ok{};
    }
    auto start = nbf.date();
    if (!start || *start > now_ + client_.clock_skew) {
        return error_of(codes_.not_yet_valid, "is not valid yet");
    }
    return Ok{};
}

// 3.1.3.7, 10: a token is used within minutes after it was issued. One that is
// an hour old was issued for another occasion.
Check TokenRules::issued_at() const
{
    auto iat = claim("iat").date();
    if (!iat) {
        return error_of(codes_.issued_at, "has no iat");
    }
    if (*iat > now_ + client_.clock_skew) {
        return error_of(codes_.issued_at,
            "was issued " + in_seconds(*iat - now_) + " in the future");
    }
    if (*iat < now_ - max_token_age - client_.clock_skew) {
        return error_of(
            codes_.issued_at, "was issued " + in_seconds(now_ - *iat) + " ago");
    }
    return Ok{};
}

Check check_iss(
    std::string_view name, Errc code, const Json& claims, const Client& client)
{
    auto iss = claims["iss"].string();
    if (iss != client.issuer) {
        return Error{code,
            std::string(name) + " has a wrong issuer " +
                quoted(iss.value_or(""))};
    }
    return Ok{};
}

// RFC 7519, 4.1.3: one audience may be a string.
Check check_aud(
    std::string_view name, Errc code, const Json& claims, const Client& client)
{
    auto aud = claims["aud"];
    if (aud.string() != client.client_id && !aud.has_string(client.client_id)) {
        return Error{code,
            std::string(name) + " is for another audience, " +
                quoted(aud.dump())};
    }
    return Ok{};
}

bool is_identifier(std::optional<std::string_view> text)
{
    constexpr std::size_t max_size = 255;
    return text && !text->empty() && text->size() <= max_size &&
        is_printable(*text);
}

}
