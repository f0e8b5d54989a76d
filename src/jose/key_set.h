// A provider's key set (RFC 7517, 5): selects the keys that may have signed a
// token, and verifies signatures with them.
#pragma once

#include "core/json.h"
#include "jose/algorithm.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

// A public key, or a shared secret, that can verify signatures.
class VerifyingKey {
public:
    // Imports a key of a set. Nothing, with a phrase in `why`, if the key is
    // not for signatures, has private or secret parts, is malformed, has a type
    // or curve of no supported algorithm, or is weak (jose/weakness): RSA with
    // less than 2048 or more than 16384 bits (RFC 7518, 3.3), or a key for
    // which anybody can sign.
    static std::optional<VerifyingKey> import(JsonValue jwk, std::string& why);

    static VerifyingKey from_secret(std::string_view secret);

    // True if the members of the JWK allow this algorithm.
    bool fits(const Algorithm& algorithm) const;

    bool has_id(std::string_view kid) const { return kid_ == kid; }

    // True if this key made the signature over the compact serialization. The
    // caller must have checked the algorithm: cjose uses the token's own "alg".
    bool verify(const Algorithm& algorithm, std::string_view compact) const;

private:
    class Handle;

    VerifyingKey() = default;

    std::optional<std::string> kid_;
    std::optional<std::string> alg_;
    Kty kty_ = Kty::rsa;
    std::string crv_;
    std::size_t size_ = 0; // bits of an RSA key
    std::shared_ptr<const Handle> handle_;
};

class KeySet {
public:
    // Nothing if `json` is not a key set or has no key that can verify; `why`
    // is then a phrase after "provider sent". Reads at most 100 usable keys.
    static std::optional<KeySet> parse(std::string_view json, std::string& why);
    static std::optional<KeySet> parse(std::string_view json);

    // The keys that may have made a signature with `algorithm`, at most ten:
    // those with this kid or, for a token without one, of the right type (RFC
    // 7515, 4.1.4). If there is none, `why` is a phrase after "the token".
    std::vector<const VerifyingKey*> choose(const Algorithm& algorithm,
        const std::optional<std::string>& kid, std::string& why) const;

private:
    std::vector<VerifyingKey> keys_;
};

}
