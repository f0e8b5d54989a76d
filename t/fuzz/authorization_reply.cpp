#include "fuzz.h"
#include "oidc/authorize.h"

namespace oidc::test {

// The query or the form with which the browser returns from the provider.
FUZZ(authorization_reply)
{
    auto reply = parse_authorization_response(input);
    if (!succeeds(reply)) {
        return;
    }
    demand(!reply->state.empty(), "a state");
    demand(reply->state.size() <= 8192, "of bounded length");

    const auto& client = example_provider().client();
    Metadata metadata;
    if (succeeds(check_issuer(*reply, client, metadata, false))) {
        demand(reply->iss.value_or(client.issuer) == client.issuer,
            "our issuer, or none named");
    }
    metadata.promises_iss = true;
    if (succeeds(check_issuer(*reply, client, metadata, false))) {
        demand(reply->iss == client.issuer, "our issuer");
    }
    if (succeeds(check_outcome(*reply))) {
        demand(reply->code && !reply->code->empty() && !reply->error,
            "a code and no error");
    }
}

}
