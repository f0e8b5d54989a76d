#include "oidc/metadata.h"

#include "core/encode.h"
#include "core/json.h"
#include "core/url.h"

namespace oidc {
namespace {

constexpr std::string_view well_known = "/.well-known/openid-configuration";
constexpr std::size_t document_limit = 1024 * 1024;

Error refuse(const std::string& what)
{
    return {Errc::upstream_metadata, "provider " + what};
}

// Reads a required endpoint into `url`; gives the complaint, if any.
std::string read_endpoint(
    const Json& document, const char* name, bool insecure, std::string& url)
{
    auto value = document[name].string();
    if (!value) {
        return "sent metadata without " + std::string(name);
    }
    if (!is_endpoint(*value, insecure)) {
        return "sent metadata whose " + std::string(name) + " " +
            quoted(*value) + " is no https URL";
    }
    url = *value;
    return {};
}

// RFC 8414, 2: an absent list means client_secret_basic.
void read_client_auth(const Json& document, Metadata& metadata)
{
    auto methods = document["token_endpoint_auth_methods_supported"];
    if (methods.is_array()) {
        metadata.basic_auth = methods.has_string("client_secret_basic");
        metadata.post_auth = methods.has_string("client_secret_post");
    }
}

}

bool is_endpoint(std::string_view text, bool insecure)
{
    auto url = parse_url(text);
    return url && (url->secure() || insecure);
}

std::string refuse_document(const HttpResponse& response)
{
    if (response.status != 200) {
        return "answered with status " + std::to_string(response.status);
    }
    if (!has_media_type(response, "application/json") &&
        !has_media_type(response, "application/jwk-set+json")) {
        return "sent content type " + quoted(response.content_type) +
            " instead of JSON";
    }
    return {};
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

Result<Metadata> parse_metadata(
    const HttpResponse& response, const Client& client)
{
    if (auto reason = refuse_document(response); !reason.empty()) {
        return Error{Errc::upstream_status, "provider " + reason};
    }
    std::string why;
    auto document = Json::parse(response.body, why);
    if (!document) {
        return refuse("sent metadata that is " + why);
    }
    auto issuer = (*document)["issuer"].string();
    if (issuer != client.issuer) {
        return refuse("sent metadata of another issuer, " +
            quoted(issuer.value_or("")) + " instead of " +
            quoted(client.issuer));
    }

    Metadata metadata;
    auto insecure = client.issuer.starts_with("http:");
    struct {
        const char* name;
        std::string& url;
    } endpoints[] = {
        {"authorization_endpoint", metadata.authorization_endpoint},
        {"token_endpoint", metadata.token_endpoint},
        {"jwks_uri", metadata.jwks_uri},
    };
    for (auto& [name, url] : endpoints) {
        auto complaint = read_endpoint(*document, name, insecure, url);
        if (!complaint.empty()) {
            return refuse(complaint);
        }
    }

    read_client_auth(*document, metadata);
    auto challenges = (*document)["code_challenge_methods_supported"];
    metadata.s256 = !challenges.is_array() || challenges.has_string("S256");
    metadata.promises_iss =
        (*document)["authorization_response_iss_parameter_supported"]
            .boolean()
            .value_or(false);
    return metadata;
}

}
