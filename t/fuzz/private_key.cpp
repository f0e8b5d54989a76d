#include "jose/private_key.h"
#include "fuzz.h"
#include "jose/jws.h"
#include "support/signer.h"

namespace oidc::test {
namespace {

constexpr TokenKind kind{"assertion", Errc::id_token_malformed,
    Errc::id_token_alg, Errc::id_token_crit, Errc::id_token_key,
    Errc::id_token_signature};

// The public half of a JWK in a key set.
std::optional<KeySet> public_half(std::string_view text)
{
    auto jwk = Json::parse(text);
    std::string members;
    for (auto name : {"kty", "kid", "crv", "n", "e", "x", "y"}) {
        auto value = jwk ? (*jwk)[name] : JsonValue();
        if (value.exists()) {
            members += (members.empty() ? "\"" : ",\"") + std::string(name) +
                "\":" + value.dump();
        }
    }
    return KeySet::parse(key_set({"{" + members + "}"}));
}

}

// A key file of the operator: trusted, but parsed.
FUZZ(private_key)
{
    std::string why;
    auto key = PrivateKey::parse(input, why);
    if (!key) {
        demand(!why.empty() && is_printable(why), "a reason fit for a log");
        return;
    }
    auto algorithm = key->algorithm({});
    if (algorithm == nullptr) {
        return;
    }
    auto compact = key->sign(*algorithm, "{}");
    demand(compact.has_value(), "signs by its own algorithm");

    const std::string allowed[] = {std::string(algorithm->name)};
    auto jws = Jws::parse(kind, *compact, allowed);
    demand(succeeds(jws), "writes what we would read");
    if (auto keys = public_half(input)) {
        demand(succeeds(jws->verify(*keys, "")), "its public half verifies");
    }
}

}
