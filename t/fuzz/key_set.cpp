#include "jose/key_set.h"
#include "core/encoding.h"
#include "fuzz.h"

namespace oidc::test {

FUZZ(key_set)
{
    std::string why;
    auto keys = KeySet::parse(input, why);
    if (!keys) {
        demand(is_printable(why), "a reason fit for a log");
        return;
    }
    for (auto alg :
        {"RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA", "HS256"}) {
        auto algorithm = find_algorithm(alg);
        // Two 64-byte signatures: one that no key has made, and one that is
        // valid for keys by which anybody can sign.
        auto input =
            base64url("{\"alg\":\"" + std::string(alg) + "\"}") + ".e30.";
        auto foreign = input + base64url(std::string(64, 'Z'));
        auto nobodys = input + base64url("\x01" + std::string(63, '\0'));
        for (std::optional<std::string> kid :
            {std::optional<std::string>(), std::optional<std::string>("k1")}) {
            auto chosen = keys->choose(*algorithm, kid, why);
            demand(is_printable(why), "a reason fit for a log");
            demand(chosen.size() <= 10, "bounded");
            demand(chosen.empty() || algorithm->kty != Kty::oct,
                "no secret out of a key set");
            for (auto key : chosen) {
                demand(key->fits(*algorithm), "of the right kind");
                demand(!kid || key->has_id(*kid), "of that name");
                demand(!key->verify(*algorithm, foreign) &&
                        !key->verify(*algorithm, nobodys),
                    "no key made this signature");
            }
        }
    }
}

}
