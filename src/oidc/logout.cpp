#include "oidc/logout.h"

#include "core/encoding.h"
#include "jose/jwe.h"
#include "oidc/token.h"
#include "oidc/token_rules.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr std::size_t max_parameter = 1024;
constexpr std::size_t max_token = 64 * 1024;
constexpr std::size_t key_size = 16;

constexpr TokenRules shared{
    {"logout token", Errc::logout_token_malformed, Errc::logout_token_alg,
        Errc::logout_token_crit, Errc::logout_token_key,
        Errc::logout_token_signature},
    Errc::logout_token_encryption,
    {Errc::logout_token_issuer, Errc::logout_token_audience},
    Errc::logout_token_expired, Errc::logout_token_not_yet_valid,
    Errc::logout_token_issued_at};

void append_unless_empty(
    std::string& form, std::string_view name, std::string_view value)
{
    if (!value.empty()) {
        append_parameter(form, name, value);
    }
}

Error malformed(std::string what)
{
    return {Errc::logout_malformed, std::move(what)};
}

Result<std::vector<Parameter>> parse(std::string_view form)
{
    auto parameters = parse_form(form);
    if (!parameters) {
        return malformed(std::move(parameters).error().detail);
    }
    return parameters;
}

// The one value of a parameter, or nothing.
Result<std::optional<std::string>> take(std::vector<Parameter>& parameters,
    const std::string& wanted, std::size_t longest)
{
    std::optional<std::string> taken;
    for (auto& [name, value] : parameters) {
        if (name != wanted) {
            continue;
        }
        if (taken) {
            return malformed("client sent parameter " + name + " twice");
        }
        if (value.size() > longest) {
            return malformed("client sent parameter " + name + " longer than " +
                std::to_string(longest) + " bytes");
        }
        taken = std::move(value);
    }
    return taken;
}

// Back-Channel Logout, 2.4. Many providers write none, or the JWT of their ID
// tokens; an access token's at+jwt ends no session.
Check check_type(const Jws& jws)
{
    const auto& typ = jws.typ();
    if (typ && *typ != logout_type && *typ != "jwt") {
        return Error{Errc::logout_token_type,
            "logout token has a wrong type " + quoted(*typ)};
    }
    return Ok{};
}

// 2.6, 4
Check check_subject(const Json& claims)
{
    auto sub = claims["sub"];
    auto sid = claims["sid"];
    if (!sub.exists() && !sid.exists()) {
        return Error{
            Errc::logout_token_subject, "logout token has neither sub nor sid"};
    }
    for (auto claim : {sub, sid}) {
        if (claim.exists() && !is_identifier(claim.string())) {
            return Error{Errc::logout_token_subject,
                "logout token has a sub or sid that is not 1 to 255 ASCII "
                "characters"};
        }
    }
    return Ok{};
}

// 2.6, 5: what tells it from an ID token.
Check check_events(const Json& claims)
{
    if (!claims["events"][logout_event].is_object()) {
        return Error{Errc::logout_token_events,
            "logout token has no back-channel logout event"};
    }
    return Ok{};
}

// 2.6, 6: so that none can be passed off as an ID token.
Check check_nonce(const Json& claims)
{
    if (claims["nonce"].exists()) {
        return Error{Errc::logout_token_nonce, "logout token has a nonce"};
    }
    return Ok{};
}

// 2.6, 7: it is what a replay is known by.
Check check_jti(const Json& claims)
{
    if (!is_identifier(claims["jti"].string())) {
        return Error{Errc::logout_token_jti,
            "logout token has no jti of 1 to 255 ASCII characters"};
    }
    return Ok{};
}

using Rule = Check (*)(const Json& claims);

constexpr Rule rules[] = {
    check_subject,
    check_events,
    check_nonce,
    check_jti,
};

}

std::string end_session_url(const Metadata& metadata, const Client& client,
    const EndSession& end_session)
{
    std::string query;

    append_parameter(query, "client_id", client.client_id);
    append_unless_empty(query, "id_token_hint", end_session.id_token_hint);
    append_unless_empty(query, "post_logout_redirect_uri",
        end_session.post_logout_redirect_uri);
    append_unless_empty(query, "state", end_session.state);
    return with_parameters(metadata.end_session_endpoint, query);
}

HttpRequest revocation_request(
    const Metadata& metadata, std::string_view token, std::string_view hint)
{
    HttpRequest request;
    request.url = metadata.revocation_endpoint;

    append_parameter(request.body, "token", token);
    append_unless_empty(request.body, "token_type_hint", hint);
    return request;
}

Check judge_revocation(const HttpResponse& response)
{
    if (is_refusal(response)) {
        return refusal(response);
    }
    if (response.status != 200) {
        return Error{Errc::upstream_status,
            "provider returned status " + std::to_string(response.status)};
    }
    return Ok{};
}

Result<FrontChannel> parse_front_channel(std::string_view query)
{
    auto parameters = parse(query);
    if (!parameters) {
        return std::move(parameters).error();
    }
    auto iss = take(*parameters, "iss", max_parameter);
    if (!iss) {
        return std::move(iss).error();
    }
    auto sid = take(*parameters, "sid", max_parameter);
    if (!sid) {
        return std::move(sid).error();
    }
    if (iss->has_value() != sid->has_value()) {
        return malformed("client sent only one of iss and sid");
    }
    return FrontChannel{std::move(*iss), std::move(*sid)};
}

Result<std::string> parse_back_channel(std::string_view form)
{
    auto parameters = parse(form);
    if (!parameters) {
        return std::move(parameters).error();
    }
    auto token = take(*parameters, "logout_token", max_token);
    if (!token) {
        return std::move(token).error();
    }
    if (!*token) {
        return malformed("client sent no logout_token");
    }
    return std::move(**token);
}

Result<LogoutToken> LogoutToken::verify(
    std::string_view compact, const LogoutExpectation& expected)
{
    auto token = verify_token(
        shared, compact, expected.client, expected.keys, expected.now);
    if (!token) {
        return std::move(token).error();
    }
    if (auto checked = check_type(token->jws); !checked) {
        return std::move(checked).error();
    }
    for (auto rule : rules) {
        if (auto checked = rule(token->claims); !checked) {
            return std::move(checked).error();
        }
    }
    return LogoutToken(std::move(token->claims));
}

Time LogoutToken::expires() const
{
    return std::min(
        *claims_["exp"].date(), *claims_["iat"].date() + oldest_token + 1s);
}

bool LogoutToken::names_issuer(
    std::string_view compact, std::string_view issuer)
{
    // 2.4: the header of an encrypted one repeats it.
    auto part = compact.substr(0, compact.find('.'));
    if (!is_jwe(compact)) {
        compact.remove_prefix(std::min(part.size() + 1, compact.size()));
        part = compact.substr(0, compact.find('.'));
    }
    auto text = base64url_decode(part);
    auto claims = text ? Json::parse(*text) : std::nullopt;
    return claims && (*claims)["iss"].string() == issuer;
}

std::string revocation_key(
    const Client& client, std::string_view kind, std::string_view value)
{
    return digest(Hash::sha256,
        bind_fields(
            {"revocation", kind, client.issuer, client.client_id, value}))
        .substr(0, key_size);
}

}
