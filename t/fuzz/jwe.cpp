#include "jose/jwe.h"

#include "core/encoding.h"
#include "fuzz.h"
#include "support/test_keys.h"

namespace oidc::test {
namespace {

// TEST KEYS: the unit tests' RSA key, and Bob's of RFC 7518, appendix C.
PrivateKey rsa()
{
    std::string why;
    auto der = base64url_decode(rsa_test_key).value();
    return *PrivateKey::parse("-----BEGIN RSA PRIVATE KEY-----\n" +
            base64(der) + "\n-----END RSA PRIVATE KEY-----\n",
        why);
}

PrivateKey ec()
{
    std::string why;
    return *PrivateKey::parse(
        R"({"kty":"EC","crv":"P-256",)"
        R"("x":"weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",)"
        R"("y":"e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",)"
        R"("d":"VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw"})",
        why);
}

}

// A compact JWE. Only the seeds can be valid.
FUZZ(jwe)
{
    static const PrivateKey keys[] = {rsa(), ec()};
    const std::string allowed[] = {
        "RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "dir"};
    for (const auto& key : keys) {
        std::string why;
        auto plain = decrypt(
            input, {&key, "a secret of more than 32 bytes, see"}, allowed, why);
        demand(!plain || plain == "the plaintext of the seeds",
            "what opens was encrypted to us");
        demand(!plain || is_jwe(input), "five parts");
        demand(plain || (!why.empty() && is_printable(why)),
            "a reason fit for a log");
    }
}

}
