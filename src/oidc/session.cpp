#include "oidc/session.h"

#include "core/encoding.h"
#include "oidc/revocation_key.h"
#include "oidc/session_claims.h"
#include "oidc/session_renewal.h"

#include <algorithm>

namespace oidc {

Session Session::begin(const IdToken& token,
    const std::optional<UserInfo>& userinfo, const Tokens& tokens,
    const Client& client, TimeMs started, Time now, Random random)
{
    return from_own(
        begin_fields(token, userinfo, tokens, client, started, now, random),
        client, {});
}

Session Session::renew(const std::optional<IdToken>& token,
    const std::optional<UserInfo>& userinfo, const Tokens& tokens,
    const Client& client, Time now) const
{
    return from_own(renew_fields(fields_, token, userinfo, tokens, client, now),
        client, ticket_);
}

Session Session::seen(Time now) const
{
    auto session = *this;
    session.fields_ = seen_fields(fields_, now);
    session.times_.seen = now;
    return session;
}

Session Session::without_userinfo(const Client& client) const
{
    return from_own(owing_fields(fields_), client, ticket_);
}

bool Session::owes_userinfo() const
{
    return find_field(fields_, tag_owing).has_value();
}

Session Session::from_own(
    std::string fields, const Client& client, std::optional<Ticket> ticket)
{
    auto times = read_times(fields).value_or(SessionTimes{});
    return Session(std::move(fields), times, client, std::move(ticket));
}

// It ends at the earlier of its sealed end and the end by the configuration of
// now: revocation records are not kept any longer.
Session::Session(std::string fields, const SessionTimes& times,
    const Client& client, std::optional<Ticket> ticket) :
    fields_(std::move(fields)),
    times_(times), expires_(std::min(times.sealed_end,
                       configured_end(client, times.started, times.renewed))),
    ticket_(std::move(ticket))
{
}

Session::Acceptance Session::accept(
    OpenedSession opened, const Client& client, TimeMs revoked_at, Time now)
{
    auto& session = opened.session_;
    if (now >= session.expires_ || session.has_idled(client, now) ||
        !session.serves(client)) {
        return {};
    }
    if (session.started() <= revoked_at) {
        return {{}, std::move(opened)};
    }
    return {std::move(session), {}};
}

std::optional<OpenedSession> OpenedSession::of(
    std::string fields, const Client& client, std::optional<Ticket> ticket)
{
    auto times = read_times(fields);
    if (!times) {
        return {};
    }
    return OpenedSession(
        Session(std::move(fields), *times, client, std::move(ticket)));
}

bool OpenedSession::has_moved() const
{
    return find_field(session_.fields_, tag_moved).has_value();
}

// In a store the time to live decides. A session from before there was an idle
// timeout begins to idle now.
bool Session::has_idled(const Client& client, Time now) const
{
    return client.session_idle_timeout > Seconds() && times_.seen > Time() &&
        !ticket_ && now >= later(times_.seen, client.session_idle_timeout);
}

bool Session::wants_seal(const Client& client, Time now) const
{
    auto step = std::max(client.session_idle_timeout / 20, 1s);
    return client.session_idle_timeout > Seconds() && !ticket_ &&
        now >= times_.seen + step;
}

// Ahead of its end, but never in the first half of a short-lived token's life.
bool Session::wants_refresh(const Client& client, Time now) const
{
    if (owes_userinfo() && client.userinfo) {
        return refresh_token().has_value();
    }
    auto end = times_.access_expires;
    if (client.token_refresh == Seconds() || end == Time()) {
        return false;
    }
    auto ahead = std::min(client.token_refresh, (end - times_.renewed) / 2);
    return now >= end - ahead && refresh_token();
}

// A configuration that uses more than the session was sealed for needs a new
// one. Mostly the needs digest is the same, and nothing is compared.
bool Session::serves(const Client& client) const
{
    const auto& needs = client.needs;
    if (find_field(fields_, tag_needs) == client.needs_digest) {
        return true;
    }
    auto has_all = find_field(fields_, tag_all_claims).has_value();
    if ((needs.all_claims && !has_all) || (needs.id_token && !id_token()) ||
        (needs.access_token && !access_token()) ||
        (needs.userinfo && !userinfo())) {
        return false;
    }
    return std::all_of(
        needs.claims.begin(), needs.claims.end(), [&](const auto& name) {
            return (has_all && !is_claim_path(name)) ||
                knows_claim(fields_, name);
        });
}

std::string_view Session::id() const
{
    return find_field(fields_, tag_id).value_or("");
}

std::string Session::handle() const
{
    return base64url(id());
}

std::vector<std::string> Session::revocation_keys(const Client& client) const
{
    return {own_key(client), subject_key(client),
        sid() ? revocation_key(client, "sid", *sid()) :
                revocation_key(
                    client, "sub without sid", claim("sub").value_or(""))};
}

std::string Session::own_key(const Client& client) const
{
    return revocation_key(client, "session", id());
}

std::string Session::subject_key(const Client& client) const
{
    return revocation_key(client, "sub", claim("sub").value_or(""));
}

std::string Session::generation() const
{
    constexpr std::size_t size = 16;
    return digest(Hash::sha256,
        bind_fields(
            {"generation", id(), std::to_string(to_seconds(times_.renewed)),
                refresh_token().value_or("")}))
        .substr(0, size);
}

std::optional<std::string_view> Session::claim(std::string_view name) const
{
    return find_claim(fields_, name);
}

std::optional<std::string_view> Session::sid() const
{
    return find_field(fields_, tag_sid);
}

std::optional<std::string_view> Session::id_token() const
{
    return find_field(fields_, tag_id_token);
}

std::optional<std::string_view> Session::access_token() const
{
    return find_field(fields_, tag_access_token);
}

std::optional<std::string_view> Session::refresh_token() const
{
    return find_field(fields_, tag_refresh_token);
}

std::optional<std::string_view> Session::userinfo() const
{
    return find_field(fields_, tag_userinfo);
}

}
