#include "fuzz.h"
#include "oidc/backchannel_logout.h"
#include "oidc/frontchannel_logout.h"
#include "support/play.h"

namespace oidc::test {

// The query of a request to the front-channel logout URI.
FUZZ(front_channel)
{
    auto named = parse_front_channel(input);
    if (!succeeds(named)) {
        return;
    }
    demand(named->sid.has_value() || !named->iss, "no iss without a sid");
    demand(named->iss.value_or("").size() <= 1024 &&
            named->sid.value_or("").size() <= 1024,
        "of bounded length");
    demand(
        named->sid.value_or("").find('\0') == std::string::npos, "without NUL");
}

// A form posted to the back-channel logout URI without the signing key.
FUZZ(back_channel)
{
    static const KeySet keys = *KeySet::parse(key_set({Signer::rsa().jwk()}));
    auto token = parse_back_channel(input);
    if (!succeeds(token)) {
        return;
    }
    demand(token->size() <= 64 * 1024, "of bounded length");

    const auto& client = example_provider().client();
    LogoutToken::names_issuer(*token, client.issuer);
    demand(!succeeds(LogoutToken::verify(*token, {client, keys, noon})),
        "no signature, no logout");
}

}
