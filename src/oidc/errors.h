// Every code of an error: its word for $oidc_error and the documentation, the
// HTTP status that the browser gets, and the level of its log line.
#pragma once

#include "core/result.h"

#include <string>
#include <string_view>

namespace oidc {

// Status and level follow from the family. errors.cpp has the exceptions.
enum class Family {
    internal, // a fault of the configuration or of this module
    request,  // a request that the client should not have sent
    provider, // an error of the provider, brought by the browser
    refusal,  // an error with which the provider answered a request of ours
    token,    // an ID token, or user info, that was refused
    upstream, // a response of the provider that did not come or is unusable, or
              // a token that was refused for its time or its key
    store,    // the session store
};

// A row for each code: its family, and its name, which is its word. refused_x
// has the word provider_x: anybody can write an error into a callback, but not
// into the response to a request of ours.
// clang-format off
#define OIDC_ERRORS(row) \
    row(internal, internal) \
    row(internal, config_unusable) \
    row(request, request_host) \
    row(request, request_malformed) \
    row(internal, session_too_large) \
    row(request, login_loop) \
    row(request, login_limit) \
    row(request, login_unasked) \
    row(request, request_aborted) \
    row(request, forbidden) \
    row(request, state_missing) \
    row(request, state_invalid) \
    row(request, state_foreign) \
    row(request, state_used) \
    row(request, state_cookie) \
    row(request, callback_malformed) \
    row(request, callback_issuer) \
    row(provider, provider_error) \
    row(provider, provider_access_denied) \
    row(provider, provider_account_selection_required) \
    row(provider, provider_consent_required) \
    row(provider, provider_interaction_required) \
    row(provider, provider_invalid_client) \
    row(provider, provider_invalid_grant) \
    row(provider, provider_invalid_request) \
    row(provider, provider_invalid_scope) \
    row(provider, provider_login_required) \
    row(provider, provider_server_error) \
    row(provider, provider_temporarily_unavailable) \
    row(provider, provider_unauthorized_client) \
    row(provider, provider_unsupported_response_type) \
    row(refusal, refused_error) \
    row(refusal, refused_access_denied) \
    row(refusal, refused_account_selection_required) \
    row(refusal, refused_consent_required) \
    row(refusal, refused_interaction_required) \
    row(refusal, refused_invalid_client) \
    row(refusal, refused_invalid_grant) \
    row(refusal, refused_invalid_request) \
    row(refusal, refused_invalid_scope) \
    row(refusal, refused_login_required) \
    row(refusal, refused_server_error) \
    row(refusal, refused_temporarily_unavailable) \
    row(refusal, refused_unauthorized_client) \
    row(refusal, refused_unsupported_response_type) \
    row(token, id_token_missing) \
    row(token, id_token_malformed) \
    row(upstream, id_token_encryption) \
    row(token, id_token_alg) \
    row(token, id_token_crit) \
    row(upstream, id_token_key) \
    row(upstream, id_token_signature) \
    row(token, id_token_issuer) \
    row(token, id_token_subject) \
    row(token, id_token_audience) \
    row(token, id_token_azp) \
    row(upstream, id_token_expired) \
    row(upstream, id_token_not_yet_valid) \
    row(upstream, id_token_issued_at) \
    row(token, id_token_nonce) \
    row(token, id_token_at_hash) \
    row(token, userinfo_malformed) \
    row(token, userinfo_alg) \
    row(token, userinfo_crit) \
    row(upstream, userinfo_key) \
    row(upstream, userinfo_signature) \
    row(token, userinfo_issuer) \
    row(token, userinfo_audience) \
    row(token, userinfo_subject) \
    row(upstream, userinfo_refused) \
    row(request, logout_malformed) \
    row(request, logout_unasked) \
    row(request, logout_hint_too_large) \
    row(request, logout_limit) \
    row(request, logout_token_malformed) \
    row(request, logout_token_encryption) \
    row(request, logout_token_alg) \
    row(request, logout_token_crit) \
    row(request, logout_token_key) \
    row(request, logout_token_signature) \
    row(request, logout_token_type) \
    row(request, logout_token_issuer) \
    row(request, logout_token_audience) \
    row(request, logout_token_expired) \
    row(request, logout_token_not_yet_valid) \
    row(request, logout_token_issued_at) \
    row(request, logout_token_jti) \
    row(request, logout_token_events) \
    row(request, logout_token_nonce) \
    row(request, logout_token_subject) \
    row(request, logout_token_used) \
    row(upstream, upstream_unreachable) \
    row(upstream, upstream_timeout) \
    row(upstream, upstream_answer) \
    row(upstream, upstream_status) \
    row(upstream, upstream_metadata) \
    row(upstream, upstream_keys) \
    row(upstream, upstream_token) \
    row(upstream, upstream_pushed_authorization) \
    row(store, store_unreachable) \
    row(store, store_timeout) \
    row(store, store_answer) \
    row(store, store_full)
// clang-format on

#define OIDC_ENUMERATOR(family, word) word,
enum class Errc : int { OIDC_ERRORS(OIDC_ENUMERATOR) };
#undef OIDC_ENUMERATOR

// `notable`: a request that a mistake of the operator has probably caused. One
// a minute of each kind is logged at error, the others at warn.
enum class Level { warn, notable, error };

struct Fault {
    Errc code;
    Family family;
    std::string_view word; // stable, shown by $oidc_error
    int status;            // HTTP
    Level level;
};

const Fault& fault(Errc code);

// The code of an `error` that a provider sent through the browser (RFC 6749,
// 4.1.2.1; OpenID Connect Core, 3.1.2.6), and of one that it answered us with
// (RFC 6749, 5.2); provider_error and refused_error for words not in the table.
Errc provider_errc(std::string_view error);
Errc refusal_errc(std::string_view error);

// True when a token was refused because our copy of the provider's key set may
// be out of date.
bool wants_newer_keys(const Error& error);

// The URL that a failed request was sent to, without its query, for the end of
// a log line; empty where the error does not come from a response, or names the
// URL itself.
std::string asked_url(std::string_view url, const Error& error);

// Of requests to a provider and to a session store.
constexpr ExchangeCodes provider_failures{
    Errc::upstream_unreachable, Errc::upstream_timeout, Errc::upstream_answer};
constexpr ExchangeCodes store_failures{
    Errc::store_unreachable, Errc::store_timeout, Errc::store_answer};

}
