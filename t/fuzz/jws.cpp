#include "jose/jws.h"

#include "core/encoding.h"
#include "fuzz.h"
#include "support/signer.h"

#include <algorithm>

namespace oidc::test {
namespace {

constexpr TokenKind kind{"id token", Errc::id_token_malformed,
    Errc::id_token_alg, Errc::id_token_crit, Errc::id_token_key,
    Errc::id_token_signature};

constexpr auto secret = "a secret of more than 32 bytes, see";

const KeySet& keys()
{
    static const KeySet set =
        *KeySet::parse(key_set({Signer::rsa().jwk(R"("kid":"k1")"),
            Signer::ec("P-256").jwk(R"("kid":"k2")"),
            Signer::ed25519().jwk(R"("kid":"k3")")}));
    return set;
}

// The signature by OpenSSL alone, for deterministic algorithms. The keys of the
// other algorithms are new in every process and never sign.
std::string signature(std::string_view alg, std::string_view input)
{
    if (alg.starts_with("RS")) {
        return Signer::rsa().signature(alg, input);
    }
    return alg.starts_with("HS") ?
        Signer::secret(secret).signature(alg, input) :
        "";
}

}

// A compact JWS.
FUZZ(jws)
{
    const std::string allowed[] = {"RS256", "RS384", "RS512", "PS256", "ES256",
        "EdDSA", "Ed25519", "HS256"};
    auto jws = Jws::parse(kind, input, allowed);
    if (!succeeds(jws)) {
        return;
    }
    auto first = input.find('.');
    auto second = input.rfind('.');
    auto alg = jws->algorithm().name;
    demand(std::count(std::begin(allowed), std::end(allowed), alg) == 1,
        "an allowed algorithm");

    auto payload = jws->verify(keys(), secret);
    if (!succeeds(payload)) {
        return;
    }
    demand(base64url(*payload) == input.substr(first + 1, second - first - 1),
        "the payload that was signed");
    demand(input.substr(second + 1) ==
            base64url(signature(alg, input.substr(0, second))),
        "the one signature there is");
}

}
