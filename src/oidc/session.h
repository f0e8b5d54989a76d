// A session: what is left of a login once it is verified, sealed into the
// browser's cookie or kept in a store. Only a verified IdToken begins one. What
// our own seal brings back is an OpenedSession, and becomes a Session again
// only by accept(): to hold a Session is to know the user.
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

class OpenedSession;

// What a store is to keep, and until when.
struct Save {
    using Reply = Check;

    std::string key;
    std::string blob;
    Time until;

    std::string subject; // whose share of the store it takes: its subject_key()

    // By what anybody may ask to revoke it: how long that can be of use. Empty
    // for a session without.
    std::string sid_key;
    Time ends;
};

class Session {
public:
    // Keeps only what the client's Needs name. `started` is when the callback
    // arrived, by the clock that revocations are stamped by; all other times
    // are by our own clock.
    static Session begin(const IdToken& token,
        const std::optional<UserInfo>& userinfo, const Tokens& tokens,
        const Client& client, TimeMs started, Time now, Random random);

    // The same session with what a refresh brought, and with its end moved on.
    // A new ID token replaces all claims of the old one but the facts of the
    // login, which stay where it does not name them; a new user info replaces
    // the old one. Without one of them its claims stay.
    Session renew(const std::optional<IdToken>& token,
        const std::optional<UserInfo>& userinfo, const Tokens& tokens,
        const Client& client, Time now) const;

    // The same session, seen now.
    Session seen(Time now) const;

    // The same session, to be renewed again at once: user info was not asked
    // for as it should have been.
    Session without_userinfo(const Client& client) const;
    bool owes_userinfo() const;

    // The one judgement of what came back from a cookie or a store, whatever
    // the store: it is in time, holds all that the configuration uses, and no
    // revocation is as late as its beginning. `revoked_at` is the latest of its
    // revocation keys'; TimeMs(): none.
    struct Acceptance;
    static Acceptance accept(OpenedSession opened, const Client& client,
        TimeMs revoked_at, Time now);

    // How a session is kept: a cookie's value, and what goes to a store,
    // unless the cookie holds it all.
    struct Kept {
        std::string cookie;
        std::optional<Save> save;
    };

    // By the client's session_store, and where it came from. session_too_large
    // beyond `most` bytes of cookies.
    Result<Kept> keep(const Provider& provider, std::size_t most, Time now,
        Random random) const;

    // Random; as a public handle for logs it is not a secret.
    std::string_view id() const;
    std::string handle() const;

    // What it can be revoked by: revocation_key() of itself, of its subject
    // and, where the provider named one, of its sid.
    std::vector<std::string> revocation_keys(const Client& client) const;
    std::string own_key(const Client& client) const;
    std::string subject_key(const Client& client) const;

    // Identifies this state of its tokens.
    std::string generation() const;

    // Its access token ends soon, or it owes its user info, and there is a way
    // to another one.
    bool wants_refresh(const Client& client, Time now) const;

    // It is kept in a cookie that should say when it was seen last.
    bool wants_seal(const Client& client, Time now) const;

    TimeMs started() const { return started_; }
    Time expires() const { return expires_; }

    // The same without what the configuration says by now.
    Time sealed_end() const { return sealed_end_; }

    Time auth_time() const { return auth_time_; } // Time(): not told
    Time access_token_expires() const { return access_expires_; }
    const std::optional<Ticket>& ticket() const { return ticket_; }

    // In all of these a view into this session; nothing when it is not kept.
    std::optional<std::string_view> claim(std::string_view name) const;
    std::optional<std::string_view> sid() const;
    std::optional<std::string_view> id_token() const;
    std::optional<std::string_view> access_token() const;
    std::optional<std::string_view> refresh_token() const;
    std::optional<std::string_view> userinfo() const; // JSON

private:
    friend class OpenedSession;

    Session(std::string fields, const Client& client,
        std::optional<Ticket> ticket = {});

    bool read(const Client& client);
    bool has_idled(const Client& client, Time now) const;
    bool serves(const Client& client) const;
    bool knows_of(std::string_view claim_name) const;
    std::optional<std::string_view> find(unsigned char tag) const;

    std::string fields_;
    bool is_whole_ = false;
    TimeMs started_;
    Time sealed_end_;
    Time expires_; // the configuration may say less
    Time renewed_; // when the tokens came
    Time seen_;
    Time auth_time_;
    Time access_expires_;
    std::optional<Ticket> ticket_; // of one that lies in a store
};

// What a seal of ours opened to. Nothing says yet that it is still good.
class OpenedSession {
public:
    std::vector<std::string> revocation_keys(const Client& client) const
    {
        return session_.revocation_keys(client);
    }
    std::string subject_key(const Client& client) const
    {
        return session_.subject_key(client);
    }
    TimeMs started() const { return session_.started(); }
    Time sealed_end() const { return session_.sealed_end(); }

    // Its sid has changed since it began: an older ticket, or copy of it, does
    // not know all that it can be revoked by.
    bool has_moved() const;

private:
    friend class Session;
    friend struct Opened;
    friend std::optional<OpenedSession> open_stored(
        const Ticket& ticket, std::string_view blob, const Provider& provider);

    static std::optional<OpenedSession> of(
        std::string fields, const Client& client, std::optional<Ticket> ticket);

    explicit OpenedSession(Session session) : session_(std::move(session)) {}

    Session session_;
};

struct Session::Acceptance {
    std::optional<Session> session;
    std::optional<OpenedSession> revoked; // which is good but for that
};

// What a browser holds: a session, the ticket of one in a store, or neither.
struct Opened {
    std::optional<OpenedSession> session;
    std::optional<Ticket> ticket;

    // It had the name that any host and any http can plant: good for a browser
    // on http alone.
    bool is_plain = false;

    // When it was revoked as far as is known beforehand.
    TimeMs revoked_at{};

    explicit operator bool() const { return session || ticket; }

    // What our keys have sealed for this provider among the request's cookies,
    // at most eight. Somebody may have planted a good seal, too: which of them
    // is a good session is for Session::accept() to say, one after the other.
    // `secure`: the browser is on https, where the plain name does not count.
    // The other one goes first on http, too, where a proxy may have ended TLS.
    static std::vector<Opened> all_from(
        CookieLines cookies, const Provider& provider, bool secure);

    // The same of a cookie's value.
    static Opened from_value(std::string_view value, const Provider& provider);
};

// What a store gave for a ticket.
std::optional<OpenedSession> open_stored(
    const Ticket& ticket, std::string_view blob, const Provider& provider);

// Identifies a set of needs in few bytes; a session names the one it serves.
std::string digest_of_needs(const Needs& needs);

}
