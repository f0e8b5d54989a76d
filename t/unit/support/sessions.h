// Sessions as a login creates them, without the login.
#pragma once

#include "oidc/cookie_content.h"
#include "oidc/session_seal.h"
#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {

// A provider with a needs digest.
inline Provider provider_of(Client client, char master = 1)
{
    client.needs_digest = digest_of_needs(client.needs);
    Secret masters[] = {master_key(master)};
    return Provider(std::move(client), masters);
}

// A good ID token except for these claims.
inline std::optional<IdToken> token_of(
    const Provider& provider, const Members& claims = {})
{
    auto keys = KeySet::parse(key_set({Signer::ed25519().jwk()}));
    auto payload = object(changed(example_claims(noon), claims));
    auto parsed = Json::parse(payload);
    auto subject = (*parsed)["sub"].string().value_or("");
    auto token =
        IdToken::verify_refresh(Signer::ed25519().sign("EdDSA", payload),
            {provider.client(), *keys, subject, "", noon});
    EXPECT_EQ(complaint(token), "");
    return std::move(*token);
}

inline std::optional<UserInfo> userinfo_of(
    const Provider& provider, const std::string& json)
{
    auto keys = KeySet::parse(key_set({Signer::ed25519().jwk()}));
    auto info = UserInfo::verify(
        json_answer(json), {provider.client(), *keys, "user-1"});
    EXPECT_EQ(complaint(info), "");
    return std::move(*info);
}

// The session of a cookie or a store, accepted if nothing is revoked.
inline std::optional<Session> accepted(std::optional<OpenedSession> opened,
    const Provider& provider, Time now = noon)
{
    return opened ?
        Session::accept(std::move(*opened), provider.client(), {}, now)
            .session :
        std::nullopt;
}

inline std::optional<Session> accepted(
    const std::string& value, const Provider& provider, Time now = noon)
{
    return accepted(
        CookieContent::from_value(value, provider).session, provider, now);
}

// A session that begins at noon and 7 milliseconds.
inline Session begin(const Provider& provider, const Members& claims = {},
    const Tokens& tokens = {"", "at-1", "", 0s},
    const std::optional<UserInfo>& userinfo = {})
{
    return Session::begin(*token_of(provider, claims), userinfo, tokens,
        provider.client(), noon + 7ms, noon, random_bytes);
}

constexpr std::size_t room = 64 * 1024; // of the cookies

inline Client client_of(SessionStore store)
{
    auto client = example_client();
    client.session_store = store;
    return client;
}

inline Provider provider_in_cookies()
{
    return provider_of(client_of(SessionStore::cookie));
}

// The name of its session cookie on https.
inline std::string name_of(const Provider& provider)
{
    return "__Host-" + provider.client().cookie_name;
}

inline SealedSession keep(const Session& session, const Provider& provider,
    std::size_t max_size = room, Time now = noon)
{
    auto kept = seal_session(session, provider, max_size, now, random_bytes);
    EXPECT_EQ(complaint(kept), "");
    return std::move(*kept);
}

// The cookies of a browser on https with this session.
inline Jar sealed(const Provider& provider, const Session& session)
{
    auto kept = keep(session, provider);
    EXPECT_FALSE(kept.save);
    Jar jar;
    jar.take(session_cookies(provider.client(), kept.cookie, {}, true));
    return jar;
}

// The session of these cookies.
inline std::optional<Session> opened(
    const Provider& provider, const std::string& header, Time now = noon)
{
    std::string_view lines[] = {header};
    return accepted(first_held(lines, provider, true).session, provider, now);
}

// The session as it comes back from the store.
inline std::optional<Session> load(
    const SealedSession& kept, const Provider& provider, Time now = noon)
{
    auto content = CookieContent::from_value(kept.cookie, provider);
    EXPECT_FALSE(content.session);
    if (!content.ticket) {
        return {};
    }
    EXPECT_EQ(content.ticket->key(), kept.save->key);
    return accepted(
        open_stored(*content.ticket, kept.save->blob, provider), provider, now);
}

}
