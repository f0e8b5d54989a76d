// The authorization request (OpenID Connect Core, 3.1.2.1), the transaction
// that its state carries, and the provider's reply (3.1.2.5, 3.1.2.6).
#pragma once

#include "core/encoding.h"
#include "core/result.h"
#include "oidc/provider.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

// A login in progress. The server keeps nothing of it: it travels, sealed, as
// the state parameter.
struct Transaction {
    std::string id; // 16 random bytes
    Time started;
    std::string browser;           // name of the browser's binding cookie
    std::string browser_digest;    // of that cookie's value
    std::string page;              // origin of the page that was asked for
    std::string target;            // and its raw request target
    bool target_elsewhere = false; // a cookie of its own holds all of it
    std::string receipt; // of the token that its pushed request has taken
};

// Derived from the sealing key, the browser's binding and the transaction, so
// that a callback from elsewhere knows neither.
struct Derived {
    std::string nonce;    // Core, 3.1.2.1
    std::string verifier; // RFC 7636, 4.1: 43 characters, 256 bits
};

std::string login_cookie_digest(std::string_view value);

struct SealedState {
    std::string state;
    Derived derived;
};

SealedState seal_state(const Provider& provider, const Transaction& transaction,
    std::string_view login_cookie, Random random);

struct OpenedState {
    Transaction transaction;
    std::size_t key = 0;
};

// Nothing for what this provider's keys did not seal.
std::optional<OpenedState> open_state(
    const Provider& provider, std::string_view state);

// True for what has the form of a state, but names a key that is not ours.
bool is_of_other_keys(const Provider& provider, std::string_view state);

Derived derive(const Provider& provider, const OpenedState& state,
    std::string_view login_cookie);

// RFC 7636, 4.2, S256
std::string code_challenge(std::string_view verifier);

// The parameters of an authorization request, as a form. `extra` is a form
// whose parameters are added unless they are ours to set.
std::string authorization_parameters(const Client& client,
    const Metadata& metadata, std::string_view redirect_uri,
    const SealedState& sealed, std::string_view extra);

// The URL to send the browser to.
std::string authorization_url(
    const Metadata& metadata, std::string_view parameters);

// RFC 9126, 4: true where the request is pushed to the provider, and the
// browser carries a reference to it alone.
bool pushes_request(const Client& client, const Metadata& metadata);

// Yet without the client's proof, see client_auth.h. upstream_metadata where
// the provider has no endpoint for it.
Result<HttpRequest> pushed_request(
    const Metadata& metadata, std::string parameters);

// The parameters that are left: client_id and request_uri. provider_*,
// upstream_status, upstream_pushed_authorization.
Result<std::string> parse_pushed(
    const Client& client, const HttpResponse& response);

// True for a parameter that extra_auth_args cannot set.
bool is_reserved_parameter(std::string_view name);

struct AuthorizationReply {
    std::string state;
    std::optional<std::string> code;
    std::optional<std::string> error;
    std::string error_description;
    std::optional<std::string> iss;
};

// callback_malformed for a parameter of ours that comes twice or is too long
// (8 KB the state, 4 KB the code, 1 KB the others); state_missing.
// In response_mode form_post the form is a body.
Result<AuthorizationReply> parse_reply(std::string_view form);

// RFC 9207, 2.4, and RFC 9700, 4.4: where other issuers share the redirection
// endpoint, iss alone tells whose reply it is. Then either a code or an error:
// callback_issuer, callback_malformed, provider_*.
Check check_issuer(const AuthorizationReply& reply, const Client& client,
    const Metadata& metadata, bool is_shared);
Check check_outcome(const AuthorizationReply& reply);

}
