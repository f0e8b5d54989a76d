#include "core/result.h"

#include <array>

namespace oidc {
namespace {

using enum Errc;
using enum Level;

constexpr Fault faults[] = {
    {internal, "internal", 500, error},
    {config_unusable, "config_unusable", 500, error},
    {request_host, "request_host", 400, warn},
    {request_malformed, "request_malformed", 400, warn},
    {session_too_large, "session_too_large", 500, error},
    {login_loop, "login_loop", 400, warn},
    {login_limit, "login_limit", 429, warn},
    {login_unasked, "login_unasked", 503, warn},
    {request_aborted, "request_aborted", 400, warn},

    {state_missing, "state_missing", 400, warn},
    {state_invalid, "state_invalid", 400, warn},
    {state_foreign, "state_foreign", 400, warn},
    {state_used, "state_used", 400, warn},
    {state_cookie, "state_cookie", 400, warn},
    {callback_malformed, "callback_malformed", 400, warn},
    {callback_issuer, "callback_issuer", 400, error},

    {provider_error, "provider_error", 400, error},
    {provider_access_denied, "provider_access_denied", 403, warn},
    {provider_account_selection_required, "provider_account_selection_required",
        400, error},
    {provider_consent_required, "provider_consent_required", 400, error},
    {provider_interaction_required, "provider_interaction_required", 400,
        error},
    {provider_invalid_client, "provider_invalid_client", 400, error},
    {provider_invalid_grant, "provider_invalid_grant", 400, error},
    {provider_invalid_request, "provider_invalid_request", 400, error},
    {provider_invalid_scope, "provider_invalid_scope", 400, error},
    {provider_login_required, "provider_login_required", 400, error},
    {provider_server_error, "provider_server_error", 400, error},
    {provider_temporarily_unavailable, "provider_temporarily_unavailable", 400,
        error},
    {provider_unauthorized_client, "provider_unauthorized_client", 400, error},
    {provider_unsupported_response_type, "provider_unsupported_response_type",
        400, error},

    {id_token_missing, "id_token_missing", 403, error},
    {id_token_malformed, "id_token_malformed", 403, error},
    {id_token_encryption, "id_token_encryption", 403, error},
    {id_token_alg, "id_token_alg", 403, error},
    {id_token_crit, "id_token_crit", 403, error},
    {id_token_key, "id_token_key", 403, error},
    {id_token_signature, "id_token_signature", 403, error},
    {id_token_issuer, "id_token_issuer", 403, error},
    {id_token_subject, "id_token_subject", 403, error},
    {id_token_audience, "id_token_audience", 403, error},
    {id_token_azp, "id_token_azp", 403, error},
    {id_token_expired, "id_token_expired", 403, error},
    {id_token_not_yet_valid, "id_token_not_yet_valid", 403, error},
    {id_token_issued_at, "id_token_issued_at", 403, error},
    {id_token_nonce, "id_token_nonce", 403, error},
    {id_token_at_hash, "id_token_at_hash", 403, error},

    {userinfo_malformed, "userinfo_malformed", 403, error},
    {userinfo_alg, "userinfo_alg", 403, error},
    {userinfo_crit, "userinfo_crit", 403, error},
    {userinfo_key, "userinfo_key", 403, error},
    {userinfo_signature, "userinfo_signature", 403, error},
    {userinfo_issuer, "userinfo_issuer", 403, error},
    {userinfo_audience, "userinfo_audience", 403, error},
    {userinfo_subject, "userinfo_subject", 403, error},
    {userinfo_refused, "userinfo_refused", 403, error},

    {logout_malformed, "logout_malformed", 400, warn},
    {logout_unasked, "logout_unasked", 503, warn},
    {logout_limit, "logout_limit", 429, warn},
    {logout_token_malformed, "logout_token_malformed", 400, warn},
    {logout_token_encryption, "logout_token_encryption", 400, warn},
    {logout_token_alg, "logout_token_alg", 400, warn},
    {logout_token_crit, "logout_token_crit", 400, warn},
    {logout_token_key, "logout_token_key", 400, warn},
    {logout_token_signature, "logout_token_signature", 400, warn},
    {logout_token_type, "logout_token_type", 400, warn},
    {logout_token_issuer, "logout_token_issuer", 400, warn},
    {logout_token_audience, "logout_token_audience", 400, warn},
    {logout_token_expired, "logout_token_expired", 400, warn},
    {logout_token_not_yet_valid, "logout_token_not_yet_valid", 400, warn},
    {logout_token_issued_at, "logout_token_issued_at", 400, warn},
    {logout_token_jti, "logout_token_jti", 400, warn},
    {logout_token_events, "logout_token_events", 400, warn},
    {logout_token_nonce, "logout_token_nonce", 400, warn},
    {logout_token_subject, "logout_token_subject", 400, warn},
    {logout_token_used, "logout_token_used", 400, warn},

    {upstream_unreachable, "upstream_unreachable", 502, error},
    {upstream_timeout, "upstream_timeout", 504, error},
    {upstream_answer, "upstream_answer", 502, error},
    {upstream_status, "upstream_status", 502, error},
    {upstream_metadata, "upstream_metadata", 502, error},
    {upstream_keys, "upstream_keys", 502, error},
    {upstream_token, "upstream_token", 502, error},
    {upstream_pushed_authorization, "upstream_pushed_authorization", 502,
        error},

    {store_unreachable, "store_unreachable", 503, error},
    {store_timeout, "store_timeout", 503, error},
    {store_answer, "store_answer", 503, error},
    {store_full, "store_full", 503, error},
};

constexpr bool in_order()
{
    for (std::size_t i = 0; i < std::size(faults); i++) {
        if (faults[i].code != static_cast<Errc>(i)) {
            return false;
        }
    }
    return std::size(faults) == static_cast<std::size_t>(store_full) + 1;
}

static_assert(in_order(), "a row for every Errc, in its order");

}

const Fault& fault(Errc code)
{
    return faults[static_cast<std::size_t>(code)];
}

Errc provider_errc(std::string_view name)
{
    constexpr std::string_view family = "provider_";

    for (const auto& row : faults) {
        if (row.word.starts_with(family) &&
            row.word.substr(family.size()) == name) {
            return row.code;
        }
    }
    return provider_error;
}

}
