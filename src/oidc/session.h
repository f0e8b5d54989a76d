// A session: what is left of a login once it is verified, sealed into the
// browser's cookie or kept in a store. Only a verified IdToken begins one and
// only our own seal brings one back, so to hold a Session is to know the user.
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "oidc/id_token.h"
#include "oidc/provider.h"
#include "oidc/ticket.h"
#include "oidc/token.h"
#include "oidc/userinfo.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

struct Held;

// What a store is to keep, and until when.
struct Save {
    using Reply = Check;

    std::string key;
    std::string blob;
    std::int64_t until;

    // By what anybody may ask to revoke it: how long that can be of use. Empty
    // for a session without.
    std::string sid_mark;
    std::int64_t ends;
};

class Session {
public:
    // Keeps only what the client's Needs name. `started` is in milliseconds
    // since the epoch, all other times are in seconds.
    static Session begin(const IdToken& token,
        const std::optional<UserInfo>& userinfo, const Tokens& tokens,
        const Client& client, std::int64_t started, Random random);

    // The same session with the tokens of a refresh, and with its end moved on.
    // Claims that a new ID token does not have stay.
    Session renew(const std::optional<IdToken>& token, const Tokens& tokens,
        const Client& client, std::int64_t now) const;

    // The same session, seen now.
    Session seen(std::int64_t now) const;

    // Of the request's cookies; nothing for none, a tampered, foreign or ended
    // one, and one that lacks what the configuration uses by now.
    static Held open(
        CookieLines cookies, const Provider& provider, std::int64_t now);

    // The same of a cookie's value.
    static Held open_value(
        std::string_view value, const Provider& provider, std::int64_t now);

    // What a store gave for a ticket.
    static std::optional<Session> open_stored(const Ticket& ticket,
        std::string_view blob, const Provider& provider, std::int64_t now);

    // How a session is kept: a cookie's value, and what goes to a store,
    // unless the cookie holds it all.
    struct Kept {
        std::string cookie;
        std::optional<Save> save;
    };

    // By the client's session_store, and where it came from. session_too_large
    // beyond `most` bytes of cookies.
    Result<Kept> keep(const Provider& provider, std::size_t most,
        std::int64_t now, Random random) const;

    // Random; as a public handle for logs it is not a secret.
    std::string_view id() const;
    std::string handle() const;

    // What it can be revoked by: revocation_key() of itself, of its subject
    // and, where the provider named one, of its sid.
    std::vector<std::string> marks(const Client& client) const;

    // Identifies this state of its tokens.
    std::string generation() const;

    // Its access token ends soon, and there is a way to another one.
    bool wants_refresh(const Client& client, std::int64_t now) const;

    // It is kept in a cookie that should say when it was seen last.
    bool wants_seal(const Client& client, std::int64_t now) const;

    std::int64_t started() const { return started_; } // milliseconds
    std::int64_t expires() const { return expires_; }
    std::int64_t auth_time() const { return auth_time_; } // 0: not told
    std::int64_t access_token_expires() const { return access_expires_; }
    const std::optional<Ticket>& ticket() const { return ticket_; }

    // In all of these a view into this session; nothing when it is not kept.
    std::optional<std::string_view> claim(std::string_view name) const;
    std::optional<std::string_view> sid() const;
    std::optional<std::string_view> id_token() const;
    std::optional<std::string_view> access_token() const;
    std::optional<std::string_view> refresh_token() const;
    std::optional<std::string_view> userinfo() const; // JSON

private:
    explicit Session(std::string fields) : fields_(std::move(fields)) {}

    static std::optional<Session> open_fields(std::string fields,
        std::optional<Ticket> ticket, const Client& client, std::int64_t now);

    bool read();
    bool has_outlived(const Client& client, std::int64_t now) const;
    bool has_idled(const Client& client, std::int64_t now) const;
    bool serves(const Client& client) const;
    bool knows_of(std::string_view claim_name) const;
    std::optional<std::string_view> find(unsigned char tag) const;

    std::string fields_;
    std::int64_t started_ = 0;
    std::int64_t expires_ = 0;
    std::int64_t renewed_ = 0; // when the tokens came
    std::int64_t seen_ = 0;
    std::int64_t auth_time_ = 0;
    std::int64_t access_expires_ = 0;
    std::optional<Ticket> ticket_; // of one that lies in a store
};

// What a browser holds: a session, or the ticket of one in a store.
struct Held {
    std::optional<Session> session;
    std::optional<Ticket> ticket;
};

// The Set-Cookie values of a session's cookie, and those that end it.
std::vector<std::string> session_cookies(const Client& client,
    std::string_view value, CookieLines cookies, bool secure);
std::vector<std::string> clear_session(
    const Client& client, CookieLines cookies, bool secure);

// Identifies a set of needs in few bytes; a session names the one it serves.
std::string mark_of(const Needs& needs);

}
