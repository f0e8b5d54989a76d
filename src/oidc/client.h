// The configuration of one provider and of our registration there.
#pragma once

#include "core/crypto.h"
#include "core/time.h"
#include "jose/private_key.h"
#include "oidc/needs.h"

#include <optional>
#include <string>
#include <vector>

namespace oidc {

// How the client authenticates (OpenID Connect Core, 9; RFC 8705, 2).
enum class ClientAuth {
    automatic,
    client_secret_basic,
    client_secret_post,
    client_secret_jwt,
    private_key_jwt,
    tls_client_auth,
    self_signed_tls_client_auth,
    none,
};

enum class ResponseMode { query, form_post };

// Where a session is kept: in cookies unless it is large, in cookies, or in a
// store that the configuration names.
enum class SessionStore { automatic, cookie, named };

enum class PushedAuthorization { automatic, on, off };

// Whether the code challenge is sent: unless the metadata excludes it, always,
// or never.
enum class Pkce { automatic, on, off };

// URLs of a provider; empty: not known.
struct Endpoints {
    std::string authorization_endpoint;
    std::string token_endpoint;
    std::string jwks_uri;
    std::string userinfo_endpoint;
    std::string pushed_authorization_request_endpoint;
    std::string end_session_endpoint = {};
    std::string revocation_endpoint = {};
};

struct Client {
    std::string name; // of the oidc_provider block
    std::string issuer;
    std::string client_id;
    Secret client_secret; // empty: none
    ClientAuth client_auth = ClientAuth::automatic;
    std::optional<PrivateKey> key;
    bool has_certificate = false; // for TLS

    std::string config_url;     // empty: derived from the issuer
    Endpoints endpoints;        // set by hand, used instead of the metadata's
    bool insecure_http = false; // http also off loopback hosts

    std::string redirect_uri; // a path, or an absolute URL
    std::string scope;
    Pkce pkce = Pkce::automatic;
    ResponseMode response_mode = ResponseMode::query;
    PushedAuthorization pushed_authorization = PushedAuthorization::automatic;
    bool userinfo = false;
    std::vector<std::string> id_token_algs;
    std::vector<std::string> id_token_encrypted_algs;
    std::vector<std::string> audiences; // trusted in addition to client_id
    bool trusts_all_audiences = false;  // of tokens issued to us, by their azp

    std::string logout_uri;      // a path; empty: none, here and below
    std::string post_logout_uri; // a path, or an absolute URL
    bool logout_token_hint = false;
    std::string frontchannel_logout_uri; // a path
    std::string backchannel_logout_uri;  // a path
    bool revoke_on_logout = false;

    std::string cookie_name;
    std::string cookie_domain;
    std::string cookie_path;
    std::string cookie_same_site;
    bool cookie_partitioned = false;

    SessionStore session_store = SessionStore::automatic;
    Seconds session_timeout{};
    Seconds session_idle_timeout{}; // 0: none
    Seconds session_max_lifetime{}; // since the login; 0: none
    // The longest session_timeout of all providers with this issuer and client
    // id, whose sessions share revocation records.
    Seconds max_session_timeout{};
    Seconds token_refresh{}; // ahead of the token's end; 0: none
    Seconds pre_auth_timeout{};
    Seconds clock_skew{};

    Needs needs;
    std::string needs_digest; // of these needs
};

// The seal context: a seal made for one purpose, provider, registration and
// cookie name opens for no other.
inline std::string seal_context(const Client& client, std::string_view purpose)
{
    return bind_fields({purpose, client.name, client.issuer, client.client_id,
        client.cookie_name});
}

// RFC 8705, 2: authentication by the certificate of the TLS connection.
inline bool is_tls(ClientAuth auth)
{
    return auth == ClientAuth::tls_client_auth ||
        auth == ClientAuth::self_signed_tls_client_auth;
}

// The same, or a certificate is all that "automatic" can choose.
inline bool proves_by_tls(const Client& client)
{
    return is_tls(client.client_auth) ||
        (client.client_auth == ClientAuth::automatic &&
            client.client_secret.empty() && !client.key &&
            client.has_certificate);
}

}
