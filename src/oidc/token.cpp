#include "oidc/token.h"

#include "core/encoding.h"
#include "core/json.h"
#include "core/text.h"
#include "oidc/errors.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr Seconds max_life = 10 * 365 * 24h;

// RFC 6749, A.12 and A.17. An access token may go into a header of a request to
// the application.
bool is_token(std::string_view token)
{
    return !token.empty() && is_printable(token);
}

bool is_bearer(std::string_view type)
{
    return equal_ignoring_case(type, "bearer");
}

// 400, or 401 for failed client authentication.
bool has_refusal_status(const HttpResponse& response)
{
    return response.status == 400 || response.status == 401;
}

bool has_success_status(const HttpResponse& response)
{
    return response.status >= 200 && response.status < 300;
}

Error incomplete(const char* what)
{
    return {Errc::upstream_token,
        std::string("provider sent a token response ") + what};
}

}

HttpRequest code_request(const Metadata& metadata, std::string_view code,
    std::string_view redirect_uri, std::string_view verifier)
{
    HttpRequest request;
    request.url = metadata.token_endpoint;

    append_parameter(request.body, "grant_type", "authorization_code");
    append_parameter(request.body, "code", code);
    append_parameter(request.body, "redirect_uri", redirect_uri);
    if (!verifier.empty()) {
        append_parameter(request.body, "code_verifier", verifier);
    }
    return request;
}

HttpRequest refresh_request(
    const Metadata& metadata, std::string_view refresh_token)
{
    HttpRequest request;
    request.url = metadata.token_endpoint;
    append_parameter(request.body, "grant_type", "refresh_token");
    append_parameter(request.body, "refresh_token", refresh_token);
    return request;
}

std::optional<Error> refusal(const HttpResponse& response)
{
    if (!has_refusal_status(response) && !has_success_status(response)) {
        return {};
    }
    auto document = Json::parse(response.body);
    auto error = document ? (*document)["error"].string() : std::nullopt;
    if (has_success_status(response) && error.value_or("").empty()) {
        return {};
    }
    if (!error) {
        return Error{Errc::upstream_status,
            "provider returned status " + std::to_string(response.status)};
    }
    std::string detail = "provider returned error " + quoted(*error);
    if (auto description = (*document)["error_description"].string()) {
        detail += ", " + quoted(*description);
    }
    return Error{refusal_errc(*error), std::move(detail)};
}

Result<Tokens> parse_refreshed(const HttpResponse& response)
{
    if (auto refused = refusal(response)) {
        return std::move(*refused);
    }
    if (auto reason = refuse_document(response); !reason.empty()) {
        return Error{Errc::upstream_status, "provider " + reason};
    }
    std::string why;
    auto document = Json::parse(response.body, why);
    if (!document) {
        return Error{Errc::upstream_token,
            "provider sent a token response that is " + why};
    }

    auto access_token = (*document)["access_token"].string();
    if (!is_token(access_token.value_or(""))) {
        return incomplete("without a valid access token");
    }
    auto type = (*document)["token_type"];
    if (type.exists() && !is_bearer(type.string().value_or(""))) {
        return incomplete("whose token type is not Bearer");
    }
    auto refresh_token = (*document)["refresh_token"].string().value_or("");
    auto life =
        (*document)["expires_in"].seconds_or_digits().value_or(Seconds());
    return Tokens{std::string((*document)["id_token"].string().value_or("")),
        std::string(*access_token),
        std::string(is_token(refresh_token) ? refresh_token : ""),
        std::min(life, max_life),
        type.exists() ? "" :
                        "provider sent a token response without token_type, "
                        "Bearer is assumed"};
}

Result<Tokens> parse_tokens(const HttpResponse& response)
{
    auto tokens = parse_refreshed(response);
    if (tokens && tokens->id_token.empty()) {
        return Error{Errc::id_token_missing,
            "provider sent a token response without an id token"};
    }
    return tokens;
}

}
