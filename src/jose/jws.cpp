#include "jose/jws.h"

#include "core/encoding.h"
#include "core/text.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr std::size_t max_kid = 1024;
constexpr std::size_t max_typ = 64;

Error error_of(
    const TokenKind& kind, Errc TokenKind::*code, const std::string& what)
{
    return {kind.*code, std::string(kind.name) + " " + what};
}

std::optional<std::string> read_typ(JsonValue value)
{
    constexpr std::string_view prefix = "application/";
    if (!value.exists()) {
        return {};
    }
    auto typ = lower_case(value.text());
    if (typ.starts_with(prefix)) {
        typ.erase(0, prefix.size());
    }
    return typ.substr(0, max_typ);
}

}

Result<Jws> Jws::parse(const TokenKind& kind, std::string_view compact,
    std::span<const std::string> allowed)
{
    auto malformed = [&](const std::string& what) {
        return error_of(kind, &TokenKind::malformed, what);
    };
    if (std::count(compact.begin(), compact.end(), '.') != 2) {
        return malformed("is not a JWS of three parts");
    }
    auto first = compact.find('.');
    auto second = compact.rfind('.');
    auto header_text = base64url_decode(compact.substr(0, first));
    auto payload =
        base64url_decode(compact.substr(first + 1, second - first - 1));
    auto signature = base64url_decode(compact.substr(second + 1));
    if (!header_text || !payload || !signature) {
        return malformed("is not base64url");
    }

    std::string why;
    auto header = Json::parse(*header_text, why);
    if (!header) {
        return malformed("has " + why + " in its header");
    }
    auto alg = (*header)["alg"].string();
    if (!alg) {
        return malformed("has no alg");
    }
    auto algorithm = find_algorithm(*alg);
    if (algorithm == nullptr ||
        std::ranges::none_of(allowed,
            [&](const auto& name) { return is_named(*algorithm, name); })) {
        return error_of(kind, &TokenKind::alg,
            "is signed with " + quoted(*alg) +
                ", which id_token_alg does not list");
    }
    if (header->mentions("crit")) {
        return error_of(kind, &TokenKind::crit, "has a critical extension");
    }
    // RFC 7797: "b64" without "crit" would be ignored; nobody means that.
    if ((*header)["b64"].exists() || (*header)["enc"].exists()) {
        return malformed("has a header of another kind of token");
    }
    auto kid = (*header)["kid"];
    if (kid.exists() && (!kid.string() || kid.string()->size() > max_kid)) {
        return malformed("has a kid that is not a string of at most " +
            std::to_string(max_kid) + " bytes");
    }

    Jws jws(kind);
    jws.compact_ = compact;
    jws.payload_ = std::move(*payload);
    jws.algorithm_ = algorithm;
    jws.signature_size_ = signature->size();
    if (kid.exists()) {
        jws.kid_ = std::string(*kid.string());
    }
    jws.typ_ = read_typ((*header)["typ"]);
    return jws;
}

Result<std::string> Jws::verify(
    const KeySet& keys, std::string_view secret) const
{
    auto bad = error_of(*kind_, &TokenKind::signature, "has a bad signature");

    if (algorithm_->signature != 0 &&
        algorithm_->signature != signature_size_) {
        return bad;
    }
    if (algorithm_->kty == Kty::oct) {
        auto key = VerifyingKey::from_secret(secret);
        if (!key.fits(*algorithm_)) {
            return error_of(*kind_, &TokenKind::key,
                "is signed with a client_secret shorter than " +
                    std::to_string(algorithm_->min_secret) + " bytes");
        }
        return key.verify(*algorithm_, compact_) ?
            Result<std::string>(payload_) :
            bad;
    }

    std::string why;
    auto candidates = keys.choose(*algorithm_, kid_, why);
    if (candidates.empty()) {
        return error_of(*kind_, &TokenKind::key, why);
    }
    for (auto key : candidates) {
        if (key->verify(*algorithm_, compact_)) {
            return payload_;
        }
    }
    return bad;
}

}
