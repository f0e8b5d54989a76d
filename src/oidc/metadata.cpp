#include "oidc/metadata.h"

#include "core/encoding.h"
#include "core/json.h"
#include "core/url.h"
#include "oidc/errors.h"

namespace oidc {
namespace {

constexpr std::string_view well_known = "/.well-known/openid-configuration";
constexpr std::size_t document_limit = 1024 * 1024;
constexpr std::size_t max_listed = 32;

// What an endpoint is to a client: it may be unusable, it may be absent, or
// there is no login without it.
enum class Use { none, optional, required };

Use always(const Client&, const Metadata&)
{
    return Use::required;
}

Use of_userinfo(const Client& client, const Metadata&)
{
    return client.userinfo ? Use::required : Use::none;
}

// RFC 9126, 5: where the metadata alone requires it, a login finds it missing.
Use of_pushed_requests(const Client& client, const Metadata& metadata)
{
    using enum PushedAuthorization;
    if (client.pushed_authorization == on) {
        return Use::required;
    }
    return client.pushed_authorization == automatic &&
            metadata.requires_pushed_authorization ?
        Use::optional :
        Use::none;
}

Use of_logout(const Client& client, const Metadata&)
{
    return client.logout_uri.empty() ? Use::none : Use::optional;
}

Use of_revocation(const Client& client, const Metadata&)
{
    return client.revoke_on_logout ? Use::optional : Use::none;
}

struct Endpoint {
    const char* name;
    std::string Endpoints::*url;
    bool proves_client; // clients authenticate there
    Use (*use)(const Client& client, const Metadata& metadata);
};

constexpr Endpoint endpoints[] = {
    {"authorization_endpoint", &Endpoints::authorization_endpoint, false,
        always},
    {"token_endpoint", &Endpoints::token_endpoint, true, always},
    {"jwks_uri", &Endpoints::jwks_uri, false, always},
    {"userinfo_endpoint", &Endpoints::userinfo_endpoint, true, of_userinfo},
    {"pushed_authorization_request_endpoint",
        &Endpoints::pushed_authorization_request_endpoint, true,
        of_pushed_requests},
    {"end_session_endpoint", &Endpoints::end_session_endpoint, false,
        of_logout},
    {"revocation_endpoint", &Endpoints::revocation_endpoint, true,
        of_revocation},
};

Error refuse(const std::string& what)
{
    return {Errc::upstream_metadata, "provider sent metadata " + what};
}

Error refuse_endpoint(const Endpoint& endpoint, std::string_view url)
{
    return refuse("whose " + std::string(endpoint.name) + " " + quoted(url) +
        " is not an https URL");
}

// RFC 8705, 5: a client with a certificate uses the alias that requests one.
JsonValue find_endpoint(
    const Endpoint& endpoint, const Json& document, const Client& client)
{
    auto alias = document["mtls_endpoint_aliases"][endpoint.name];
    return endpoint.proves_client && proves_by_tls(client) && alias.exists() ?
        alias :
        document[endpoint.name];
}

Check read_endpoint(const Endpoint& endpoint, const Json& document,
    const Client& client, Metadata& metadata)
{
    auto& url = metadata.*endpoint.url;
    url = client.endpoints.*endpoint.url;
    if (!url.empty()) {
        return Ok{};
    }
    auto use = endpoint.use(client, metadata);
    auto value = find_endpoint(endpoint, document, client).string();
    if (value.value_or("").empty() && use != Use::required) {
        return Ok{};
    }
    if (!value) {
        return refuse(std::string("without ") + endpoint.name);
    }
    auto is_http_allowed =
        client.insecure_http || client.issuer.starts_with("http:");
    if (is_endpoint(*value, is_http_allowed)) {
        url = *value;
        return Ok{};
    }
    auto unusable = refuse_endpoint(endpoint, *value);
    if (use != Use::none) {
        return unusable;
    }
    metadata.ignored.push_back(std::move(unusable.detail));
    return Ok{};
}

std::vector<std::string> strings(JsonValue list)
{
    std::vector<std::string> all;
    for (std::size_t i = 0; i < list.size() && all.size() < max_listed; i++) {
        if (auto text = list.at(i).string()) {
            all.emplace_back(*text);
        }
    }
    return all;
}

void read_client_auth(const Json& document, Metadata& metadata)
{
    auto methods = document["token_endpoint_auth_methods_supported"];
    if (methods.is_array()) {
        metadata.client_auth_methods = strings(methods);
    }
    auto algs = document["token_endpoint_auth_signing_alg_values_supported"];
    if (algs.is_array()) {
        metadata.client_auth_algs = strings(algs);
    }
}

bool says_true(const Json& document, const char* name)
{
    return document[name].boolean().value_or(false);
}

}

std::string with_parameters(std::string endpoint, std::string_view parameters)
{
    if (endpoint.find('?') == endpoint.npos) {
        endpoint += '?';
    } else if (!endpoint.ends_with('?') && !endpoint.ends_with('&')) {
        endpoint += '&';
    }
    endpoint += parameters;
    return endpoint;
}

bool is_endpoint(std::string_view text, bool insecure)
{
    auto url = parse_url(text);
    return url && (url->secure() || insecure);
}

std::string refuse_document(const HttpResponse& response)
{
    if (response.status != 200) {
        return "returned status " + std::to_string(response.status);
    }
    if (!has_media_type(response, "application/json") &&
        !has_media_type(response, "application/jwk-set+json")) {
        return "sent content type " + quoted(response.content_type) +
            " instead of JSON";
    }
    return {};
}

std::optional<Metadata> configured_metadata(const Client& client)
{
    Metadata metadata;
    for (const auto& endpoint : endpoints) {
        const auto& url = client.endpoints.*endpoint.url;
        if (url.empty() && endpoint.use(client, metadata) == Use::required) {
            return {};
        }
        metadata.*endpoint.url = url;
    }
    return metadata;
}

HttpRequest metadata_request(const Client& client)
{
    if (!client.config_url.empty()) {
        return {client.config_url, "", "", document_limit};
    }
    auto url = client.issuer;
    if (url.ends_with('/')) {
        url.pop_back();
    }
    url += well_known;
    return {std::move(url), "", "", document_limit};
}

Result<Metadata> parse_metadata(std::string_view json, const Client& client)
{
    std::string why;
    auto document = Json::parse(json, why);
    if (!document) {
        return refuse("that is " + why);
    }
    auto issuer = (*document)["issuer"].string();
    if (issuer != client.issuer) {
        return refuse("of another issuer, " + quoted(issuer.value_or("")) +
            " instead of " + quoted(client.issuer));
    }

    Metadata metadata;
    metadata.requires_pushed_authorization =
        says_true(*document, "require_pushed_authorization_requests");
    for (const auto& endpoint : endpoints) {
        auto read = read_endpoint(endpoint, *document, client, metadata);
        if (!read) {
            return std::move(read).error();
        }
    }
    read_client_auth(*document, metadata);
    auto challenges = (*document)["code_challenge_methods_supported"];
    metadata.s256 = !challenges.is_array() || challenges.has_string("S256");
    metadata.promises_iss =
        says_true(*document, "authorization_response_iss_parameter_supported");
    return metadata;
}

}
