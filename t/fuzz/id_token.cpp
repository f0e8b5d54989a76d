#include "core/encoding.h"
#include "fuzz.h"
#include "oidc/session.h"
#include "support/play.h"

namespace oidc::test {
namespace {

constexpr auto nonce = "nonce-of-this-login";
constexpr auto access_token = "at-1";

// The rules of OpenID Connect Core, 3.1.3.7, implemented independently.
void check(JsonValue claims, const Client& client)
{
    demand(claims["iss"].string() == client.issuer, "our issuer");
    demand(claims["nonce"].string() == nonce, "this login's nonce");

    auto aud = claims["aud"];
    demand(aud.string() == client.client_id || aud.has_string(client.client_id),
        "for us");
    for (std::size_t i = 0; aud.is_array() && i < aud.size(); i++) {
        demand(aud.at(i).string() == client.client_id, "for nobody else");
    }
    auto azp = claims["azp"];
    demand(!azp.exists() || azp.string() == client.client_id, "issued to us");

    auto exp = claims["exp"].date();
    auto iat = claims["iat"].date();
    demand(exp && *exp + client.clock_skew > noon, "not expired");
    demand(iat && *iat <= noon + client.clock_skew && *iat >= noon - 3660s,
        "issued for this moment");
    auto nbf = claims["nbf"];
    demand(!nbf.exists() ||
            nbf.date().value_or(noon + 24h) <= noon + client.clock_skew,
        "valid already");

    demand(
        !claims["events"]["http://schemas.openid.net/event/backchannel-logout"]
             .exists(),
        "no logout token");

    auto sub = claims["sub"].string().value_or("");
    demand(!sub.empty() && sub.size() <= 255 && is_printable(sub), "a sub");
    auto at_hash = claims["at_hash"];
    demand(!at_hash.exists() ||
            at_hash.string() ==
                base64url(digest(Hash::sha256, access_token).substr(0, 16)),
        "with this access token");
}

}

// Members of the header after "alg", then the claims. The signature is valid.
FUZZ(id_token)
{
    static const KeySet keys = *KeySet::parse(key_set({Signer::rsa().jwk()}));
    static const Client client = [] {
        auto ours = example_client();
        ours.id_token_algs = {"HS256"};
        ours.needs.all_claims = true;
        ours.needs.id_token = true;
        return ours;
    }();
    static const Signer signer =
        Signer::secret(std::string(client.client_secret.reveal()));

    auto members = take_line(input);
    auto token = IdToken::verify_login(signer.sign("HS256", input, members),
        {client, keys, nonce, access_token, noon});
    if (!succeeds(token)) {
        return;
    }
    check(token->claims(), client);

    auto session =
        Session::begin(*token, {}, {}, client, noon, noon, fixed_bytes);
    demand(session.expires() > noon, "a session that lives");
    for (const auto& name : token->claims().names()) {
        auto text = session.claim(name);
        demand(!text || is_clean(*text), "claims fit into headers");
    }
    demand(session.id_token() == token->compact(), "the token is kept");
}

}
