#include "oidc/userinfo.h"
#include "fuzz.h"
#include "support/play.h"

namespace oidc::test {

// A content type and a body. The provider signs a body that follows "sign ".
FUZZ(userinfo)
{
    static const KeySet keys = *KeySet::parse(key_set({Signer::rsa().jwk()}));
    static const Client client = [] {
        auto ours = example_client();
        ours.id_token_algs = {"HS256"};
        return ours;
    }();
    static const Signer signer =
        Signer::secret(std::string(client.client_secret.reveal()));

    HttpResponse response;
    response.status = 200;
    response.content_type = take_line(input);
    response.body = input;
    auto is_signed = input.starts_with("sign ");
    if (is_signed) {
        response.body = signer.sign("HS256", input.substr(5));
    }
    auto info = UserInfo::verify(response, {client, keys, "user-1"});
    if (!succeeds(info)) {
        return;
    }
    auto claims = info->claims();
    demand(claims["sub"].string() == "user-1", "of the user who logs in");
    if (has_media_type(response, "application/jwt")) {
        demand(is_signed, "by the provider");
        auto iss = claims["iss"];
        demand(!iss.exists() || iss.string() == client.issuer, "by ours");
        auto aud = claims["aud"];
        demand(!aud.exists() || aud.string() == client.client_id ||
                aud.has_string(client.client_id),
            "for us");
    }
}

}
