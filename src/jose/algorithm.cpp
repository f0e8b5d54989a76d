#include "jose/algorithm.h"

namespace oidc {
namespace {

using enum Hash;

constexpr Algorithm algorithms[] = {
    {"RS256", Kty::rsa, "", sha256, 0, 0},
    {"RS384", Kty::rsa, "", sha384, 0, 0},
    {"RS512", Kty::rsa, "", sha512, 0, 0},
    {"PS256", Kty::rsa, "", sha256, 0, 0},
    {"PS384", Kty::rsa, "", sha384, 0, 0},
    {"PS512", Kty::rsa, "", sha512, 0, 0},
    {"ES256", Kty::ec, "P-256", sha256, 64, 0},
    {"ES384", Kty::ec, "P-384", sha384, 96, 0},
    {"ES512", Kty::ec, "P-521", sha512, 132, 0},
    {"EdDSA", Kty::okp, "Ed25519", sha512, 64, 0},
    {"Ed25519", Kty::okp, "Ed25519", sha512, 64, 0},
    {"HS256", Kty::oct, "", sha256, 32, 32},
    {"HS384", Kty::oct, "", sha384, 48, 48},
    {"HS512", Kty::oct, "", sha512, 64, 64},
};

}

const Algorithm* find_algorithm(std::string_view name)
{
    for (const auto& algorithm : algorithms) {
        if (algorithm.name == name) {
            return &algorithm;
        }
    }
    return nullptr;
}

bool is_named(const Algorithm& algorithm, std::string_view name)
{
    auto other = find_algorithm(name);
    return other == &algorithm ||
        (other != nullptr && other->kty == Kty::okp &&
            algorithm.kty == Kty::okp && other->crv == algorithm.crv);
}

}
