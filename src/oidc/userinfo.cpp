#include "oidc/userinfo.h"

#include "core/encoding.h"
#include "jose/jws.h"
#include "oidc/errors.h"
#include "oidc/token_rules.h"

namespace oidc {
namespace {

constexpr std::size_t max_response = 256 * 1024;

constexpr TokenKind kind{"user info", Errc::userinfo_malformed,
    Errc::userinfo_alg, Errc::userinfo_crit, Errc::userinfo_key,
    Errc::userinfo_signature};

bool is_signed(const HttpResponse& response)
{
    return has_media_type(response, "application/jwt");
}

// The JSON of a response. The signature of a signed one holds.
Result<std::string> open(
    const HttpResponse& response, const UserInfoExpectation& expected)
{
    if (!is_signed(response)) {
        auto reason = refuse_document(response);
        if (!reason.empty()) {
            return Error{Errc::upstream_status, "provider " + reason};
        }
        return response.body;
    }
    if (response.status != 200) {
        return Error{Errc::upstream_status,
            "provider returned status " + std::to_string(response.status)};
    }
    const auto& client = expected.client;
    auto jws = Jws::parse(kind, response.body, client.id_token_algs);
    if (!jws) {
        return std::move(jws).error();
    }
    return jws->verify(expected.keys, client.client_secret.reveal());
}

// 5.3.2: signed user info should name its issuer and its audience. Without them
// it is still the response to our access token over TLS.
Check check_origin(const Json& claims, const Client& client)
{
    if (claims["iss"].exists()) {
        auto checked =
            check_iss(kind.name, Errc::userinfo_issuer, claims, client);
        if (!checked) {
            return checked;
        }
    }
    if (!claims["aud"].exists()) {
        return Ok{};
    }
    return check_aud(kind.name, Errc::userinfo_audience, claims, client);
}

}

HttpRequest userinfo_request(
    const Metadata& metadata, std::string_view access_token)
{
    HttpRequest request;
    request.url = metadata.userinfo_endpoint;
    request.authorization = "Bearer " + std::string(access_token);
    request.limit = max_response;
    request.accept = "application/json, application/jwt";
    return request;
}

Result<UserInfo> UserInfo::verify(
    const HttpResponse& response, const UserInfoExpectation& expected)
{
    auto text = open(response, expected);
    if (!text) {
        return std::move(text).error();
    }
    std::string why;
    auto claims = Json::parse(*text, why);
    if (!claims) {
        return Error{Errc::userinfo_malformed, "user info is " + why};
    }
    if (is_signed(response)) {
        auto checked = check_origin(*claims, expected.client);
        if (!checked) {
            return std::move(checked).error();
        }
    }
    // 5.3.2: user info of another sub must not be used.
    if ((*claims)["sub"].string() != expected.subject) {
        return Error{Errc::userinfo_subject,
            "user info has a different sub, " +
                quoted((*claims)["sub"].dump())};
    }
    return UserInfo(std::move(*claims));
}

}
