// Keys that sign with OpenSSL only: the tests' provider uses them, the code
// under test does not.
#pragma once

#include <memory>
#include <string>
#include <string_view>

typedef struct evp_pkey_st EVP_PKEY;

namespace oidc::test {

class Signer {
public:
    static const Signer& rsa();
    static const Signer& other_rsa();
    static const Signer& ec(const std::string& curve); // "P-256" and so on
    static const Signer& ed25519();
    static Signer secret(std::string bytes);

    // The public key as a JWK, followed by `members`, JSON like "kid":"a".
    std::string jwk(std::string_view members = "") const;

    // The private key.
    std::string pem() const;

    // A compact JWS. The header is {"alg":alg} and `members`, as in jwk().
    std::string sign(std::string_view alg, std::string_view payload,
        std::string_view members = "") const;

    // As above with every part given, valid or not.
    std::string sign_parts(std::string_view alg, std::string_view header,
        std::string_view payload) const;

    // The bytes of a signature by `alg` over `input`.
    std::string signature(std::string_view alg, std::string_view input) const;

private:
    explicit Signer(EVP_PKEY* key);

    std::shared_ptr<EVP_PKEY> key_;
    std::string curve_;
    std::string secret_;
};

// {"keys":[...]} of the given JWKs.
std::string key_set(std::initializer_list<std::string> jwks);

}
