#include "oidc/session_renewal.h"

#include "core/fields.h"
#include "oidc/session_claims.h"
#include "oidc/session_fields.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr std::size_t id_size = 16;
constexpr std::size_t max_sid = 255;

void write_text(FieldWriter& fields, SessionTag tag, bool is_needed,
    std::optional<std::string_view> text)
{
    if (is_needed && text && !text->empty()) {
        fields.text(tag, *text);
    }
}

// What every token response brings.
void write_tokens(FieldWriter& fields, std::optional<std::string_view> id_token,
    std::optional<std::string_view> refresh_token, const Tokens& tokens,
    const Client& client, TimeMs started, Time now)
{
    const auto& needs = client.needs;
    fields.text(tag_needs, client.needs_digest);
    fields.number(
        tag_expires, to_seconds(configured_end(client, started, now)));
    fields.number(tag_renewed, to_seconds(now));
    write_text(fields, tag_id_token, needs.id_token, id_token);
    if (needs.access_token) {
        fields.text(tag_access_token, tokens.access_token);
    }
    if (tokens.expires_in > Seconds()) {
        fields.number(tag_access_expires, to_seconds(now + tokens.expires_in));
    }
    write_text(fields, tag_refresh_token, needs.refresh_token, refresh_token);
}

void write_seen(FieldWriter& fields, const Client& client, Time now)
{
    if (client.session_idle_timeout > Seconds()) {
        fields.number(tag_seen, to_seconds(now));
    }
}

std::optional<std::string> sid_of(const IdToken& token)
{
    auto sid = token.claims()["sid"].string();
    return sid && sid->size() <= max_sid ? std::optional(std::string(*sid)) :
                                           std::nullopt;
}

// Core, 12.2: auth_time is that of the login. A refresh never makes it later.
std::optional<Time> earlier_auth_time(
    Time old, const std::optional<IdToken>& token)
{
    auto auth_time = token ? token->auth_time() : std::nullopt;
    return old > Time() ? std::min(old, auth_time.value_or(old)) : auth_time;
}

void write_auth_time(FieldWriter& fields, std::optional<Time> auth_time)
{
    if (auth_time) {
        fields.number(tag_auth_time, to_seconds(*auth_time));
    }
}

// The sid of a new ID token replaces the old one.
void write_sid(FieldWriter& fields, std::string_view old,
    const std::optional<IdToken>& token)
{
    auto old_sid = find_field(old, tag_sid);
    auto sid = token ? sid_of(*token) : std::nullopt;
    if (sid || old_sid) {
        fields.text(tag_sid, sid ? *sid : *old_sid);
    }
    if (find_field(old, tag_moved) || (sid && sid != old_sid)) {
        fields.text(tag_moved, "");
    }
}

// All fields of a session but those with this tag.
void copy_fields(FieldWriter& fields, std::string_view old,
    std::optional<SessionTag> except = {})
{
    FieldReader reader(old, session_version);
    while (auto field = reader.next()) {
        if (!except || field->tag != *except) {
            fields.text(field->tag, field->bytes);
        }
    }
}

}

std::string begin_fields(const IdToken& token,
    const std::optional<UserInfo>& userinfo, const Tokens& tokens,
    const Client& client, TimeMs started, Time now, Random random)
{
    FieldWriter fields(session_version);
    fields.text(tag_id, random(id_size));
    fields.number(tag_started, to_milliseconds(started));
    write_tokens(fields, token.compact(), tokens.refresh_token, tokens, client,
        started, now);
    write_seen(fields, client, now);
    write_auth_time(fields, token.auth_time());
    if (auto sid = sid_of(token)) {
        fields.text(tag_sid, *sid);
    }
    write_claims(fields, SessionClaims::begin(token, userinfo, client.needs),
        client.needs);
    if (client.needs.userinfo && userinfo) {
        fields.text(tag_userinfo, userinfo->claims().dump());
    }
    return fields.take();
}

std::string renew_fields(std::string_view old,
    const std::optional<IdToken>& token,
    const std::optional<UserInfo>& userinfo, const Tokens& tokens,
    const Client& client, Time now)
{
    auto times = read_times(old).value_or(SessionTimes{});

    FieldWriter fields(session_version);
    fields.text(tag_id, find_field(old, tag_id).value_or(""));
    fields.number(tag_started, to_milliseconds(times.started));
    write_tokens(fields,
        token ? token->compact() : find_field(old, tag_id_token),
        tokens.refresh_token.empty() ? find_field(old, tag_refresh_token) :
                                       tokens.refresh_token,
        tokens, client, times.started, now);
    write_seen(fields, client, now);
    write_auth_time(fields, earlier_auth_time(times.auth_time, token));
    write_sid(fields, old, token);
    write_claims(fields,
        SessionClaims::renew(old, token, userinfo, client.needs), client.needs);
    auto json =
        userinfo ? std::optional(userinfo->claims().dump()) : std::nullopt;
    write_text(fields, tag_userinfo, client.needs.userinfo,
        json ? json : find_field(old, tag_userinfo));
    return fields.take();
}

// The claims stay as they are, and so does the version.
std::string seen_fields(std::string_view old, Time now)
{
    FieldWriter fields(old.front());
    copy_fields(fields, old, tag_seen);
    fields.number(tag_seen, to_seconds(now));
    return fields.take();
}

std::string owing_fields(std::string_view old)
{
    FieldWriter fields(session_version);
    copy_fields(fields, old);
    fields.text(tag_owing, "");
    return fields.take();
}

Time configured_end(const Client& client, TimeMs started, Time renewed)
{
    auto end = later(renewed, client.session_timeout);
    return client.session_max_lifetime > Seconds() ?
        std::min(end,
            later(std::chrono::floor<Seconds>(started),
                client.session_max_lifetime)) :
        end;
}

Time later(Time time, Seconds seconds)
{
    return std::min(time, Time::max() - seconds) + seconds;
}

}
