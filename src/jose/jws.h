// JSON Web Signature in compact serialization (RFC 7515, 7.1): parses a token
// and verifies it with a key set and a list of allowed algorithms.
#pragma once

#include "core/json.h"
#include "core/result.h"
#include "jose/key_set.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace oidc {

// A kind of token: its name and its error codes.
struct TokenKind {
    std::string_view name;
    Errc malformed;
    Errc alg;
    Errc crit;
    Errc key;
    Errc signature;
};

// A parsed token. Only verify() gives access to its payload.
class Jws {
public:
    // Errors: malformed unless there are three strict base64url parts with a
    // JSON header; alg for an algorithm that is not `allowed`, always including
    // "none"; crit for any critical extension, even a null, since none is
    // supported (RFC 7515, 4.1.11). Keys and URLs in the header (jwk, jku, x5u,
    // x5c) are not read. `kind` must be a constant.
    static Result<Jws> parse(const TokenKind& kind, std::string_view compact,
        std::span<const std::string> allowed);

    const Algorithm& algorithm() const { return *algorithm_; }
    const std::optional<std::string>& kid() const { return kid_; }

    // The "typ" of the token (RFC 7515, 4.1.9): a media type in lower case
    // without "application/", at most 64 bytes of it; nothing if absent. A
    // value that is not a string is kept as JSON, which matches no type.
    const std::optional<std::string>& typ() const { return typ_; }

    // The payload, if a key of `keys`, or the secret for HS algorithms, made
    // the signature; otherwise the kind's error key or signature.
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
