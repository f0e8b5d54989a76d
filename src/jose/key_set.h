// A provider's key set (RFC 7517, 5): which of its keys may have signed a
// token, and the check of a signature with one of them.
#pragma once

#include "core/json.h"
#include "core/result.h"
#include "jose/algorithm.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

// A public key, or a shared secret, that can verify.
class VerifyingKey {
public:
    // A key of a set. Nothing, with a phrase in `why`, for a key that is not
    // for signatures, holds private or secret parts, is malformed, of a type or
    // curve that no algorithm of ours takes, or weak (jose/weakness): of RSA
    // with less than 2048 or more than 16384 bits (RFC 7518, 3.3), or one for
    // which anybody can sign.
    static std::optional<VerifyingKey> import(JsonValue jwk, std::string& why);

    static VerifyingKey from_secret(std::string_view secret);

    // Everything the JWK says about its use agrees with this algorithm.
    bool fits(const Algorithm& algorithm) const;

    bool has_id(std::string_view kid) const { return kid_ == kid; }

    // True if this key made the signature over the compact serialization.
    // The caller has seen to the algorithm: the token's own "alg" is what
    // cjose obeys.
    bool verify(const Algorithm& algorithm, std::string_view compact) const;

private:
    class Handle;

    VerifyingKey() = default;

    std::optional<std::string> kid_;
    std::optional<std::string> alg_;
    Kty kty_ = Kty::rsa;
    std::string crv_;
    std::size_t size_ = 0; // bits of RSA
    std::shared_ptr<const Handle> handle_;
};

class KeySet {
public:
    // upstream_keys for what is no key set, or holds no key that can verify.
    // Keys beyond the hundredth usable one are not looked at.
    static Result<KeySet> parse(std::string_view json);

    // The keys that can have made a signature with `algorithm`, ten at most: of
    // that kid, or, for a token without one, of the right kind (RFC 7515,
    // 4.1.4). Where there is none `why` tells it, as a phrase after "the
    // token".
    std::vector<const VerifyingKey*> choose(const Algorithm& algorithm,
        const std::optional<std::string>& kid, std::string& why) const;

private:
    std::vector<VerifyingKey> keys_;
};

}
