// What can go wrong and how a function says so: it returns a value or an
// Error. The table behind fault() decides, for every code, what the browser
// gets, how loudly it is logged and which word $oidc_error shows.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace oidc {

enum class Errc {
    internal,
    config_unusable,
    request_host,
    request_malformed,
    session_too_large,
    login_loop,
    login_limit,
    login_unasked,
    request_aborted,

    state_missing,
    state_invalid,
    state_foreign,
    state_used,
    state_cookie,
    callback_malformed,
    callback_issuer,

    provider_error,
    provider_access_denied,
    provider_account_selection_required,
    provider_consent_required,
    provider_interaction_required,
    provider_invalid_client,
    provider_invalid_grant,
    provider_invalid_request,
    provider_invalid_scope,
    provider_login_required,
    provider_server_error,
    provider_temporarily_unavailable,
    provider_unauthorized_client,
    provider_unsupported_response_type,

    id_token_missing,
    id_token_malformed,
    id_token_encryption,
    id_token_alg,
    id_token_crit,
    id_token_key,
    id_token_signature,
    id_token_issuer,
    id_token_subject,
    id_token_audience,
    id_token_azp,
    id_token_expired,
    id_token_not_yet_valid,
    id_token_issued_at,
    id_token_nonce,
    id_token_at_hash,

    userinfo_malformed,
    userinfo_alg,
    userinfo_crit,
    userinfo_key,
    userinfo_signature,
    userinfo_issuer,
    userinfo_audience,
    userinfo_subject,
    userinfo_refused,

    logout_malformed,
    logout_unasked,
    logout_limit,
    logout_token_malformed,
    logout_token_encryption,
    logout_token_alg,
    logout_token_crit,
    logout_token_key,
    logout_token_signature,
    logout_token_type,
    logout_token_issuer,
    logout_token_audience,
    logout_token_expired,
    logout_token_not_yet_valid,
    logout_token_issued_at,
    logout_token_jti,
    logout_token_events,
    logout_token_nonce,
    logout_token_subject,
    logout_token_used,

    upstream_unreachable,
    upstream_timeout,
    upstream_answer,
    upstream_status,
    upstream_metadata,
    upstream_keys,
    upstream_token,
    upstream_pushed_authorization,

    store_unreachable,
    store_timeout,
    store_answer,
    store_full,
};

enum class Level { warn, error };

struct Fault {
    Errc code;
    std::string_view word; // stable, shown by $oidc_error
    int status;            // HTTP
    Level level;
};

const Fault& fault(Errc code);

// The code of an `error` that a provider sent (RFC 6749, 4.1.2.1 and 5.2;
// OpenID Connect Core, 3.1.2.6); provider_error for words not in the table.
Errc provider_errc(std::string_view error);

// A failure. The detail completes a sentence in the log and holds no secret;
// what came from outside stands in it only as quoted() renders it.
struct Error {
    Errc code;
    std::string detail;
};

template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : either_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : either_(std::in_place_index<1>, std::move(error)) {}

    explicit operator bool() const { return either_.index() == 0; }

    T& operator*() & { return std::get<0>(either_); }
    const T& operator*() const& { return std::get<0>(either_); }
    T&& operator*() && { return std::get<0>(std::move(either_)); }
    T* operator->() { return &std::get<0>(either_); }
    const T* operator->() const { return &std::get<0>(either_); }

    const Error& error() const& { return std::get<1>(either_); }
    Error&& error() && { return std::get<1>(std::move(either_)); }

private:
    std::variant<T, Error> either_;
};

struct Ok {};
using Check = Result<Ok>;

}
