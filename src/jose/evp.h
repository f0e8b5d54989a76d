// Keys in OpenSSL's hands: put together of the parts that a JWK has, taken
// apart into them, and a signature made and verified without cjose.
#pragma once

#include "core/crypto.h"
#include "jose/algorithm.h"
#include "jose/handled.h"

#include <openssl/core_names.h>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

// RFC 7518, 6.2.1.1
struct Curve {
    const char* name;
    const char* group; // for OpenSSL
    std::size_t size;  // of a coordinate, and of the private key
};

// P-256, P-384 and P-521 by a JWK's "crv"; null for another.
const Curve* find_curve(std::string_view name);

// Of the parts of a key, the names in a JWK and in OpenSSL.
struct KeyPart {
    const char* jwk;
    const char* openssl;
};

// A JWK has all of these or only the first three (RFC 7518, 6.3.2).
inline constexpr std::array rsa_parts{
    KeyPart{"n", OSSL_PKEY_PARAM_RSA_N},
    KeyPart{"e", OSSL_PKEY_PARAM_RSA_E},
    KeyPart{"d", OSSL_PKEY_PARAM_RSA_D},
    KeyPart{"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
    KeyPart{"q", OSSL_PKEY_PARAM_RSA_FACTOR2},
    KeyPart{"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
    KeyPart{"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2},
    KeyPart{"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
};

inline constexpr std::size_t rsa_parts_least = 3;

inline constexpr std::array ec_parts{
    KeyPart{"x", OSSL_PKEY_PARAM_EC_PUB_X},
    KeyPart{"y", OSSL_PKEY_PARAM_EC_PUB_Y},
    KeyPart{"d", OSSL_PKEY_PARAM_PRIV_KEY},
};

// Makes a key of parameters.
class Assembly {
public:
    void add(const char* name, const Secret& number);

    // `octets` must outlive the assembly.
    void add_octets(const char* name, std::string_view octets);

    void add_name(const char* name, const char* value);

    // Null if anything failed on the way. `type` is RSA or EC, `selection`
    // EVP_PKEY_KEYPAIR or EVP_PKEY_PUBLIC_KEY.
    Handled<EVP_PKEY> make(const char* type, int selection);

private:
    Handled<OSSL_PARAM_BLD> build_{OSSL_PARAM_BLD_new()};
    std::vector<Handled<BIGNUM>> numbers_;
    bool good_ = build_ != nullptr;
};

// RSA, EC or Ed25519; nothing for another type.
std::optional<Kty> kty_of(EVP_PKEY* key);

// Of an EC key; null for a curve that find_curve() does not know.
const Curve* curve_of(EVP_PKEY* key);

// Null for a part that the key has not got.
Handled<BIGNUM> number_of(EVP_PKEY* key, const char* openssl_name);

// A null `hash` is for Ed25519, which brings its own (RFC 8032, 5.1); with any
// other an RSA key makes an RSASSA-PKCS1-v1_5 (RFC 8017, 8.2). What fails
// leaves its errors in OpenSSL's queue.
std::optional<std::string> sign_by_openssl(
    EVP_PKEY* key, const EVP_MD* hash, std::string_view text);
bool verify_by_openssl(EVP_PKEY* key, const EVP_MD* hash,
    std::string_view signature, std::string_view text);

}
