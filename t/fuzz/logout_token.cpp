#include "fuzz.h"
#include "oidc/backchannel_logout.h"
#include "oidc/id_token.h"
#include "support/play.h"

namespace oidc::test {
namespace {

bool is_name(std::string_view text)
{
    return !text.empty() && text.size() <= 255 && is_printable(text);
}

// The rules of Back-Channel Logout, 2.6, implemented independently.
void check(JsonValue claims, const Client& client)
{
    demand(claims["iss"].string() == client.issuer, "our issuer");
    auto aud = claims["aud"];
    demand(aud.string() == client.client_id || aud.has_string(client.client_id),
        "for us");
    for (std::size_t i = 0; aud.is_array() && i < aud.size(); i++) {
        demand(aud.at(i).string() == client.client_id, "for nobody else");
    }
    auto exp = claims["exp"];
    auto iat = claims["iat"].date();
    demand(exp.exists() ?
            exp.date().value_or(Time()) + client.clock_skew > noon :
            iat && *iat >= noon - 360s,
        "not expired");
    demand(iat && *iat <= noon + client.clock_skew && *iat >= noon - 3660s,
        "issued for this moment");
    demand(!claims["nonce"].exists(), "without a nonce");
    demand(
        claims["events"]["http://schemas.openid.net/event/backchannel-logout"]
            .is_object(),
        "of that event");
}

}

// Members of the header after "alg", then the claims. The signature is valid.
FUZZ(logout_token)
{
    static const KeySet keys = *KeySet::parse(key_set({Signer::rsa().jwk()}));
    static const Client client = [] {
        auto ours = example_client();
        ours.id_token_algs = {"HS256"};
        return ours;
    }();
    static const Signer signer =
        Signer::secret(std::string(client.client_secret.reveal()));

    auto members = take_line(input);
    auto compact = signer.sign("HS256", input, members);
    auto named = LogoutToken::names_issuer(compact, client.issuer);
    auto token = LogoutToken::verify(compact, {client, keys, noon});
    if (!succeeds(token)) {
        return;
    }
    auto claims = Json::parse(input);
    demand(claims.has_value(), "claims that can be read");
    check(claims->root(), client);

    demand(named, "it was looked for at its issuer");
    demand(token->sub() || token->sid(), "it says whose session");
    demand(is_name(token->sub().value_or("a")) &&
            is_name(token->sid().value_or("a")) && is_name(token->jti()),
        "by names");
    demand(token->expires() + client.clock_skew > noon &&
            token->expires() <= noon + 3600s + client.clock_skew + 1s,
        "it need not be remembered for long");
    demand(!succeeds(IdToken::verify_refresh(
               compact, {client, keys, token->sub().value_or(""), "", noon})),
        "it is no ID token");
}

}
