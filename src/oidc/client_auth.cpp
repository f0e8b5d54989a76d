#include "oidc/client_auth.h"

#include "core/encoding.h"
#include "core/json.h"
#include "oidc/errors.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr Seconds assertion_life = 60s;
constexpr std::size_t assertion_id_size = 16;

constexpr std::string_view assertion_type =
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

bool takes(const Metadata& metadata, std::string_view method)
{
    const auto& methods = metadata.client_auth_methods;
    return std::find(methods.begin(), methods.end(), method) != methods.end();
}

bool can_use(const Client& client, ClientAuth method)
{
    return method != ClientAuth::client_secret_jwt ||
        client.client_secret.reveal().size() >=
        find_algorithm("HS256")->min_secret;
}

// The method of a client without a configured one, by its credentials.
ClientAuth choose(const Client& client, const Metadata& metadata)
{
    constexpr struct {
        std::string_view name;
        ClientAuth method;
    } with_secret[] = {
        {"client_secret_basic", ClientAuth::client_secret_basic},
        {"client_secret_post", ClientAuth::client_secret_post},
        {"client_secret_jwt", ClientAuth::client_secret_jwt},
    };

    if (!client.client_secret.empty()) {
        for (const auto& [name, method] : with_secret) {
            if (takes(metadata, name) && can_use(client, method)) {
                return method;
            }
        }
        return ClientAuth::automatic;
    }
    if (client.key) {
        return ClientAuth::private_key_jwt;
    }
    return client.has_certificate ? ClientAuth::tls_client_auth :
                                    ClientAuth::none;
}

// A pushed authorization request already has a client_id.
void name_client(HttpRequest& request, const Client& client)
{
    auto parameters = parse_form(request.body);
    auto named = parameters &&
        std::any_of(parameters->begin(), parameters->end(),
            [](const Parameter& p) { return p.name == "client_id"; });
    if (!named) {
        append_parameter(request.body, "client_id", client.client_id);
    }
}

// RFC 6749, 2.3.1: both are form-urlencoded before they become a password.
std::string basic(const Client& client)
{
    return "Basic " +
        base64(percent_encode(client.client_id) + ":" +
            percent_encode(client.client_secret.reveal()));
}

// RFC 7523, 3. The audience is the endpoint itself: every provider must accept
// it, and no other provider can replay the assertion there.
std::string claims_of_assertion(
    const Client& client, std::string_view audience, Time now, Random random)
{
    auto id = base64url(random(assertion_id_size));
    return json_object({
        {"iss", client.client_id},
        {"sub", client.client_id},
        {"aud", audience},
        {"jti", id},
        {"iat", now},
        {"exp", now + assertion_life},
    });
}

std::optional<std::string> sign_assertion(const Client& client,
    const Metadata& metadata, ClientAuth method, const std::string& claims)
{
    if (method == ClientAuth::client_secret_jwt) {
        return sign_with_secret(
            *find_algorithm("HS256"), client.client_secret.reveal(), claims);
    }
    auto algorithm =
        client.key ? client.key->algorithm(metadata.client_auth_algs) : nullptr;
    return algorithm != nullptr ? client.key->sign(*algorithm, claims) :
                                  std::nullopt;
}

Check add_assertion(HttpRequest& request, const Client& client,
    const Metadata& metadata, ClientAuth method, Time now, Random random)
{
    auto assertion = sign_assertion(client, metadata, method,
        claims_of_assertion(client, request.url, now, random));
    if (!assertion) {
        return Error{Errc::config_unusable,
            "provider accepts no signature algorithm of client_key or "
            "client_secret"};
    }
    name_client(request, client);
    append_parameter(request.body, "client_assertion_type", assertion_type);
    append_parameter(request.body, "client_assertion", *assertion);
    return Ok{};
}

}

Check authenticate(HttpRequest& request, const Client& client,
    const Metadata& metadata, Time now, Random random)
{
    auto method = client.client_auth;
    if (method == ClientAuth::automatic) {
        method = choose(client, metadata);
    }
    switch (method) {
    case ClientAuth::client_secret_basic:
        request.authorization = basic(client);
        return Ok{};
    case ClientAuth::client_secret_post:
        name_client(request, client);
        append_parameter(
            request.body, "client_secret", client.client_secret.reveal());
        return Ok{};
    case ClientAuth::client_secret_jwt:
    case ClientAuth::private_key_jwt:
        return add_assertion(request, client, metadata, method, now, random);
    case ClientAuth::tls_client_auth:
    case ClientAuth::self_signed_tls_client_auth:
    case ClientAuth::none:
        name_client(request, client);
        return Ok{};
    case ClientAuth::automatic:
        break;
    }
    return Error{Errc::config_unusable,
        "provider accepts no authentication method that uses a client_secret"};
}

}
