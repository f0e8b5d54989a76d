// A session: what is kept of a verified login. Only a verified IdToken begins
// one. What our own seal returns is an OpenedSession, and becomes a Session
// again only by accept(): to hold a Session is to know the user.
#pragma once

#include "core/result.h"
#include "core/time.h"
#include "oidc/id_token.h"
#include "oidc/session_fields.h"
#include "oidc/ticket.h"
#include "oidc/token.h"
#include "oidc/userinfo.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

class OpenedSession;
class Provider;

class Session {
public:
    // Keeps only what the client's Needs name. `started` is when the callback
    // arrived, by the clock that stamps revocations; all other times are by our
    // own clock.
    static Session begin(const IdToken& token,
        const std::optional<UserInfo>& userinfo, const Tokens& tokens,
        const Client& client, TimeMs started, Time now, Random random);

    // The same session with the results of a refresh and a later end. A new ID
    // token replaces all claims of the old one except the facts of the login
    // that it does not name; new user info replaces the old one. Without one of
    // them its claims stay.
    Session renew(const std::optional<IdToken>& token,
        const std::optional<UserInfo>& userinfo, const Tokens& tokens,
        const Client& client, Time now) const;

    // The same session, seen now.
    Session seen(Time now) const;

    // The same session, to be renewed again at once: user info was due, but not
    // requested.
    Session without_userinfo(const Client& client) const;
    bool owes_userinfo() const;

    // The one check of what a cookie or any store returned: the session has not
    // expired, has all that the configuration uses, and began after its latest
    // revocation. `revoked_at` is the latest of its revocation keys';
    // TimeMs(): none.
    struct Acceptance;
    static Acceptance accept(OpenedSession opened, const Client& client,
        TimeMs revoked_at, Time now);

    // Random; as a public handle for logs it is not a secret.
    std::string_view id() const;
    std::string handle() const;

    // The revocation_key() of the session itself, of its subject and, if the
    // provider sent one, of its sid.
    std::vector<std::string> revocation_keys(const Client& client) const;
    std::string own_key(const Client& client) const;
    std::string subject_key(const Client& client) const;

    // Identifies this state of its tokens.
    std::string generation() const;

    // Its access token expires soon, or it owes its user info, and it has a
    // refresh token.
    bool wants_refresh(const Client& client, Time now) const;

    // It is in a cookie that should record when it was last seen.
    bool wants_seal(const Client& client, Time now) const;

    TimeMs started() const { return times_.started; }
    Time expires() const { return expires_; }

    // The same by the configuration of the moment at which it was sealed.
    Time sealed_end() const { return times_.sealed_end; }

    Time auth_time() const { return times_.auth_time; } // Time(): unknown
    Time access_token_expires() const { return times_.access_expires; }
    const std::optional<Ticket>& ticket() const { return ticket_; }

    // Each a view into this session; nothing when it is not kept.
    std::optional<std::string_view> claim(std::string_view name) const;
    std::optional<std::string_view> sid() const;
    std::optional<std::string_view> id_token() const;
    std::optional<std::string_view> access_token() const;
    std::optional<std::string_view> refresh_token() const;
    std::optional<std::string_view> userinfo() const; // JSON

    // What is sealed, see session_fields.h.
    const std::string& fields() const { return fields_; }

private:
    friend class OpenedSession;

    static Session from_own(
        std::string fields, const Client& client, std::optional<Ticket> ticket);

    Session(std::string fields, const SessionTimes& times, const Client& client,
        std::optional<Ticket> ticket);

    bool has_idled(const Client& client, Time now) const;
    bool serves(const Client& client) const;

    std::string fields_;
    SessionTimes times_;
    Time expires_;
    std::optional<Ticket> ticket_; // of a session in a store
};

// What a seal of ours opened to. It may be expired or revoked.
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

    // Its sid has changed since the login: an older ticket, or a copy of it,
    // does not have all of its revocation keys.
    bool has_moved() const;

private:
    friend class Session;
    friend struct CookieContent;
    friend std::optional<OpenedSession> open_stored(
        const Ticket& ticket, std::string_view blob, const Provider& provider);

    static std::optional<OpenedSession> of(
        std::string fields, const Client& client, std::optional<Ticket> ticket);

    explicit OpenedSession(Session session) : session_(std::move(session)) {}

    Session session_;
};

struct Session::Acceptance {
    std::optional<Session> session;
    std::optional<OpenedSession> revoked; // otherwise acceptable
};

}
