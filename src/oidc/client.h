// What the operator configured about one provider and our registration there.
#pragma once

#include "core/crypto.h"

#include <cstdint>
#include <string>
#include <vector>

namespace oidc {

// Which of a session's possible contents the configuration uses. Claim names
// are in lower case, as nginx keeps the names of variables, and sorted.
struct Needs {
    std::vector<std::string> claims;
    bool all_claims = false;
    bool id_token = false;
    bool access_token = false;
};

// Times are in seconds.
struct Client {
    std::string name; // of the oidc_provider block
    std::string issuer;
    std::string client_id;
    Secret client_secret;     // empty: a public client
    std::string config_url;   // empty: derived from the issuer
    std::string redirect_uri; // a path, or an absolute URL
    std::string scope;
    bool pkce = true;
    std::vector<std::string> id_token_algs;

    std::string cookie_name;
    std::string cookie_domain;
    std::string cookie_path;
    std::string cookie_same_site;

    std::int64_t session_timeout = 0;
    std::int64_t pre_auth_timeout = 0;
    std::int64_t clock_skew = 0;

    Needs needs;
    std::string needs_mark; // of these needs, see session.h
};

// Associated data of a seal: one made for a purpose, provider, registration
// and cookie name opens for no other.
inline std::string binding(const Client& client, std::string_view purpose)
{
    return bind_fields({purpose, client.name, client.issuer, client.client_id,
        client.cookie_name});
}

}
