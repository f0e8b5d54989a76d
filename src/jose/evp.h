// OpenSSL keys: built from the members of a JWK and split into them, with
// signing and verification that do not need cjose.
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
    const char* group; // OpenSSL's name
    std::size_t size;  // bytes of a coordinate and of the private key
};

// Finds P-256, P-384 or P-521 by the "crv" of a JWK; null for others.
const Curve* find_curve(std::string_view name);

// The names of a key parameter in a JWK and in OpenSSL.
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

inline constexpr std::size_t min_rsa_parts = 3;

inline constexpr std::array ec_parts{
    KeyPart{"x", OSSL_PKEY_PARAM_EC_PUB_X},
    KeyPart{"y", OSSL_PKEY_PARAM_EC_PUB_Y},
    KeyPart{"d", OSSL_PKEY_PARAM_PRIV_KEY},
};

// Builds a key from parameters.
class Assembly {
public:
    void add(const char* name, const Secret& number);

    // `octets` must outlive the assembly.
    void add_octets(const char* name, std::string_view octets);

    void add_name(const char* name, const char* value);

    // Null if any call failed. `type` is RSA or EC, `selection`
    // EVP_PKEY_KEYPAIR or EVP_PKEY_PUBLIC_KEY.
    Handled<EVP_PKEY> make(const char* type, int selection);

private:
    Handled<OSSL_PARAM_BLD> build_{OSSL_PARAM_BLD_new()};
    std::vector<Handled<BIGNUM>> numbers_;
    bool good_ = build_ != nullptr;
};

// RSA, EC or Ed25519; nothing for another type.
std::optional<Kty> kty_of(EVP_PKEY* key);

// The curve of an EC key; null if find_curve() does not know it.
const Curve* curve_of(EVP_PKEY* key);

// Null if the key does not have this parameter.
Handled<BIGNUM> number_of(EVP_PKEY* key, const char* openssl_name);

// `hash` is null for Ed25519, which has its own (RFC 8032, 5.1). With a hash,
// RSA keys use RSASSA-PKCS1-v1_5 (RFC 8017, 8.2). Failures leave errors in
// OpenSSL's queue.
std::optional<std::string> sign_by_openssl(
    EVP_PKEY* key, const EVP_MD* hash, std::string_view text);
bool verify_by_openssl(EVP_PKEY* key, const EVP_MD* hash,
    std::string_view signature, std::string_view text);

// RSAES-OAEP with this hash, also for MGF1 (RFC 8017, 7.1.2). Nothing if that
// fails, which leaves errors in OpenSSL's queue.
std::optional<Secret> decrypt_by_oaep(
    EVP_PKEY* key, const EVP_MD* hash, std::string_view encrypted);

}
