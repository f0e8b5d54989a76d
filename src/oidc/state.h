// A login in progress. The server keeps nothing of it: the transaction is
// sealed into the state parameter of the authorization request and comes back
// with the response.
#pragma once

#include "core/time.h"
#include "oidc/provider.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace oidc {

struct Transaction {
    std::string id; // 16 random bytes
    Time started;
    std::string browser;           // name of the login cookie
    std::string browser_digest;    // of that cookie's value
    std::string page;              // origin of the requested page
    std::string target;            // and its raw request target
    bool target_elsewhere = false; // a cookie of its own holds all of it
    std::string receipt;           // of the charge for its pushed request
};

// Derived from the sealing key, the login cookie and the transaction: a client
// without the login cookie can compute neither.
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

}
