// JSON Web Signature in compact serialization (RFC 7515, 7.1): read a token,
// and verify it against a key set and a list of allowed algorithms.
#pragma once

#include "core/json.h"
#include "core/result.h"
#include "jose/key_set.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace oidc {

// What a token is: the name and the codes of what can be wrong with one.
struct TokenKind {
    std::string_view name;
    Errc malformed;
    Errc alg;
    Errc crit;
    Errc key;
    Errc signature;
};

// A token as it came. Its payload has no way out but verify().
class Jws {
public:
    // Malformed is anything but three strict base64url parts with a JSON
    // header; alg an algorithm that is not `allowed`, "none" always among
    // those; crit any critical extension, since we understand none (RFC 7515,
    // 4.1.11). Keys and URLs in the header (jwk, jku, x5u, x5c) are not read
    // at all. The kind must be a constant.
    static Result<Jws> parse(const TokenKind& kind, std::string_view compact,
        std::span<const std::string> allowed);

    const Algorithm& algorithm() const { return *algorithm_; }
    const std::optional<std::string>& kid() const { return kid_; }

    // What the token says it is (RFC 7515, 4.1.9): a media type in lower case
    // without "application/", at most 64 bytes of it; nothing where it is
    // silent. What is no string stands here as JSON, and so is no type.
    const std::optional<std::string>& typ() const { return typ_; }

    // The payload, if a key of `keys`, or for the HS algorithms the secret,
    // made the signature; else the kind's key or signature.
    Result<std::string> verify(
        const KeySet& keys, std::string_view secret) const;

private:
    explicit Jws(const TokenKind& kind) : kind_(&kind) {}

    const TokenKind* kind_;
    std::string compact_;
    std::string payload_;
    const Algorithm* algorithm_ = nullptr;
    std::optional<std::string> kid_;
    std::optional<std::string> typ_;
    std::size_t signature_size_ = 0;
};

}
