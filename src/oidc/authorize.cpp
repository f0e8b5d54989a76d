#include "oidc/authorize.h"

#include "core/fields.h"
#include "core/json.h"
#include "oidc/token.h"

#include <algorithm>
#include <array>

namespace oidc {
namespace {

constexpr std::size_t derived_size = 32;
constexpr std::size_t max_request_uri = 1024;

// What the parameters of a reply may measure, in bytes.
struct Limit {
    std::string_view name;
    std::size_t bytes;
};

constexpr Limit limits[] = {
    {"state", 8192},
    {"code", 4096},
    {"error", 1024},
    {"error_description", 1024},
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

enum Tag : unsigned char {
    tag_id = 1,
    tag_started,
    tag_attempt, // of earlier versions
    tag_browser,
    tag_browser_digest,
    tag_page,
    tag_target,
    tag_target_elsewhere,
    tag_receipt,
};

std::string encode(const Transaction& transaction)
{
    FieldWriter fields;
    fields.text(tag_id, transaction.id);
    fields.number(tag_started, to_seconds(transaction.started));
    fields.text(tag_browser, transaction.browser);
    fields.text(tag_browser_digest, transaction.browser_digest);
    fields.text(tag_page, transaction.page);
    fields.text(tag_target, transaction.target);
    fields.number(tag_target_elsewhere, transaction.target_elsewhere);
    fields.text(tag_receipt, transaction.receipt);
    return fields.take();
}

std::optional<Transaction> decode(std::string_view bytes)
{
    Transaction transaction;
    FieldReader fields(bytes);

    while (auto field = fields.next()) {
        switch (field->tag) {
        case tag_id:
            transaction.id = field->bytes;
            break;
        case tag_started:
            transaction.started = from_seconds(field->number());
            break;
        case tag_browser:
            transaction.browser = field->bytes;
            break;
        case tag_browser_digest:
            transaction.browser_digest = field->bytes;
            break;
        case tag_page:
            transaction.page = field->bytes;
            break;
        case tag_target:
            transaction.target = field->bytes;
            break;
        case tag_target_elsewhere:
            transaction.target_elsewhere = field->number() != 0;
            break;
        case tag_receipt:
            transaction.receipt = field->bytes;
            break;
        }
    }
    if (!fields.complete()) {
        return {};
    }
    return transaction;
}

Derived derive(const Provider& provider, std::size_t key,
    std::string_view transaction_id, std::string_view login_cookie)
{
    auto value = [&](std::string_view purpose) {
        return base64url(provider.state_ring().derive(key,
            bind_fields({purpose, provider.state_seal_context(), login_cookie,
                transaction_id}),
            derived_size));
    };
    return {value("nonce"), value("pkce verifier")};
}

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

const Limit* find_limit(std::string_view name)
{
    auto found = std::find_if(std::begin(limits), std::end(limits),
        [&](const Limit& limit) { return limit.name == name; });
    return found == std::end(limits) ? nullptr : found;
}

Error malformed(const std::string& what)
{
    return {Errc::callback_malformed, "client sent " + what};
}

}

std::string login_cookie_digest(std::string_view value)
{
    return digest(Hash::sha256, value).substr(0, 16);
}

SealedState seal_state(const Provider& provider, const Transaction& transaction,
    std::string_view login_cookie, Random random)
{
    auto sealed = provider.state_ring().seal(
        encode(transaction), provider.state_seal_context(), random);
    return {
        base64url(sealed), derive(provider, 0, transaction.id, login_cookie)};
}

std::optional<OpenedState> open_state(
    const Provider& provider, std::string_view state)
{
    auto sealed = base64url_decode(state);
    if (!sealed) {
        return {};
    }
    auto opened =
        provider.state_ring().open(*sealed, provider.state_seal_context());
    if (!opened) {
        return {};
    }
    auto transaction = decode(opened->plain);
    if (!transaction) {
        return {};
    }
    return OpenedState{std::move(*transaction), opened->key};
}

bool is_of_other_keys(const Provider& provider, std::string_view state)
{
    auto sealed = base64url_decode(state);
    return sealed && provider.state_ring().is_foreign(*sealed);
}

Derived derive(const Provider& provider, const OpenedState& state,
    std::string_view login_cookie)
{
    return derive(provider, state.key, state.transaction.id, login_cookie);
}

std::string code_challenge(std::string_view verifier)
{
    return base64url(digest(Hash::sha256, verifier));
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
    if (client.pkce && metadata.s256) {
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
    if (is_refusal(response)) {
        return refusal(response);
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

Result<AuthorizationReply> parse_reply(std::string_view form)
{
    auto parameters = parse_form(form);
    if (!parameters) {
        return std::move(parameters).error();
    }

    AuthorizationReply reply;
    std::optional<std::string> values[std::size(limits)];

    for (auto& [name, value] : *parameters) {
        auto limit = find_limit(name);
        if (limit == nullptr) {
            continue; // RFC 6749, 4.1.2: unrecognized ones are ignored
        }
        auto& slot = values[limit - limits];
        if (slot) {
            return malformed("parameter " + name + " twice");
        }
        if (value.size() > limit->bytes) {
            return malformed("parameter " + name + " longer than " +
                std::to_string(limit->bytes) + " bytes");
        }
        slot = std::move(value);
    }

    auto& [state, code, error, description, iss] = values;
    if (!state || state->empty()) {
        return Error{Errc::state_missing, "client sent no state"};
    }
    reply.state = std::move(*state);
    reply.code = std::move(code);
    reply.error = std::move(error);
    reply.error_description = description.value_or("");
    reply.iss = std::move(iss);
    return reply;
}

Check check_issuer(const AuthorizationReply& reply, const Client& client,
    const Metadata& metadata, bool is_shared)
{
    if (reply.iss && *reply.iss != client.issuer) {
        return Error{Errc::callback_issuer,
            "authorization response came from another issuer, " +
                quoted(*reply.iss)};
    }
    if (!reply.iss && metadata.promises_iss) {
        return Error{Errc::callback_issuer,
            "authorization response has no iss, although the metadata "
            "announces it"};
    }
    if (!reply.iss && is_shared) {
        return Error{Errc::callback_issuer,
            "authorization response has no iss to distinguish the issuers that "
            "share redirect_uri " +
                quoted(client.redirect_uri) +
                " in this server, give each oidc_provider its own "
                "redirect_uri"};
    }
    return Ok{};
}

Check check_outcome(const AuthorizationReply& reply)
{
    if (reply.error && reply.code) {
        return malformed("both code and error");
    }
    if (reply.error) {
        return Error{provider_errc(*reply.error),
            "provider returned error " + quoted(*reply.error) +
                (reply.error_description.empty() ?
                        "" :
                        ", " + quoted(reply.error_description))};
    }
    if (!reply.code || reply.code->empty()) {
        return malformed("neither code nor error");
    }
    return Ok{};
}

}
