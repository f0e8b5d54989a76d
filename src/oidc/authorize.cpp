#include "oidc/authorize.h"

#include "core/encoding.h"
#include "core/json.h"
#include "oidc/errors.h"
#include "oidc/parameters.h"
#include "oidc/token.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr std::size_t max_request_uri = 1024;

constexpr ParameterLimit limits[] = {
    {"state", 8192},
    {"code", 4096},
    {"error", 1024},
    {"error_description", 1024, true},
    {"iss", 1024},
};

constexpr std::string_view reserved[] = {
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
};

void append_extra(std::string& query, std::string_view extra)
{
    auto parameters = parse_form(extra);
    if (!parameters) {
        return;
    }
    for (const auto& parameter : *parameters) {
        if (!is_reserved_parameter(parameter.name)) {
            append_parameter(query, parameter.name, parameter.value);
        }
    }
}

Error malformed(const std::string& what)
{
    return {Errc::callback_malformed, "client sent " + what};
}

}

std::string code_challenge(std::string_view verifier)
{
    return base64url(digest(Hash::sha256, verifier));
}

bool uses_pkce(const Client& client, const Metadata& metadata)
{
    return client.pkce == Pkce::on ||
        (client.pkce == Pkce::automatic && metadata.s256);
}

std::string authorization_parameters(const Client& client,
    const Metadata& metadata, std::string_view redirect_uri,
    const SealedState& sealed, std::string_view extra)
{
    std::string query;

    append_parameter(query, "response_type", "code");
    if (client.response_mode == ResponseMode::form_post) {
        append_parameter(query, "response_mode", "form_post");
    }
    append_parameter(query, "scope", client.scope);
    append_parameter(query, "client_id", client.client_id);
    append_parameter(query, "redirect_uri", redirect_uri);
    append_parameter(query, "state", sealed.state);
    append_parameter(query, "nonce", sealed.derived.nonce);
    if (uses_pkce(client, metadata)) {
        append_parameter(
            query, "code_challenge", code_challenge(sealed.derived.verifier));
        append_parameter(query, "code_challenge_method", "S256");
    }
    append_extra(query, extra);
    return query;
}

std::string authorization_url(
    const Metadata& metadata, std::string_view parameters)
{
    return with_parameters(metadata.authorization_endpoint, parameters);
}

bool pushes_request(const Client& client, const Metadata& metadata)
{
    return client.pushed_authorization == PushedAuthorization::on ||
        (client.pushed_authorization == PushedAuthorization::automatic &&
            metadata.requires_pushed_authorization);
}

Result<HttpRequest> pushed_request(
    const Metadata& metadata, std::string parameters)
{
    HttpRequest request;
    request.url = metadata.pushed_authorization_request_endpoint;
    request.body = std::move(parameters);
    if (request.url.empty()) {
        return Error{Errc::upstream_metadata,
            "provider sent metadata without "
            "pushed_authorization_request_endpoint"};
    }
    return request;
}

Result<std::string> parse_pushed(
    const Client& client, const HttpResponse& response)
{
    if (auto refused = refusal(response)) {
        return std::move(*refused);
    }
    if (response.status != 201 && response.status != 200) {
        return Error{Errc::upstream_status,
            "provider returned status " + std::to_string(response.status)};
    }
    std::string why;
    auto document = Json::parse(response.body, why);
    if (!document) {
        return Error{Errc::upstream_pushed_authorization,
            "provider sent a pushed authorization response that is " + why};
    }
    auto request_uri = (*document)["request_uri"].string();
    if (!request_uri || request_uri->empty() ||
        request_uri->size() > max_request_uri) {
        return Error{Errc::upstream_pushed_authorization,
            "provider sent a pushed authorization response without a "
            "request_uri of 1 to " +
                std::to_string(max_request_uri) + " bytes"};
    }
    std::string parameters;
    append_parameter(parameters, "client_id", client.client_id);
    append_parameter(parameters, "request_uri", *request_uri);
    return parameters;
}

bool is_reserved_parameter(std::string_view name)
{
    return std::find(std::begin(reserved), std::end(reserved), name) !=
        std::end(reserved);
}

Result<AuthorizationResponse> parse_authorization_response(
    std::string_view form)
{
    auto values = read_parameters(form, limits, Errc::callback_malformed);
    if (!values) {
        return std::move(values).error();
    }
    auto& [state, code, error, description, iss] = *values;
    if (!state || state->empty()) {
        return Error{Errc::state_missing, "client sent no state"};
    }
    return AuthorizationResponse{std::move(*state), std::move(code),
        std::move(error), description.value_or(""), std::move(iss)};
}

Check check_issuer(const AuthorizationResponse& response, const Client& client,
    const Metadata& metadata, bool is_shared)
{
    if (response.iss && *response.iss != client.issuer) {
        return Error{Errc::callback_issuer,
            "authorization response came from another issuer, " +
                quoted(*response.iss)};
    }
    if (!response.iss && metadata.promises_iss) {
        return Error{Errc::callback_issuer,
            "authorization response has no iss, although the metadata "
            "announces it"};
    }
    if (!response.iss && is_shared) {
        return Error{Errc::callback_issuer,
            "authorization response has no iss to distinguish the issuers that "
            "share redirect_uri " +
                quoted(client.redirect_uri) +
                " in this server, give each oidc_provider its own "
                "redirect_uri"};
    }
    return Ok{};
}

Check check_outcome(const AuthorizationResponse& response)
{
    if (response.error && response.code) {
        return malformed("both code and error");
    }
    if (response.error) {
        return Error{provider_errc(*response.error),
            "provider returned error " + quoted(*response.error) +
                (response.error_description.empty() ?
                        "" :
                        ", " + quoted(response.error_description))};
    }
    if (!response.code || response.code->empty()) {
        return malformed("neither code nor error");
    }
    return Ok{};
}

}
