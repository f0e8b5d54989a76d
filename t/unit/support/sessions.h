// Sessions as a login begins them, without the login.
#pragma once

#include "oidc/session.h"
#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {

// Whose needs have their mark.
inline Provider provider_of(Client client, char master = 1)
{
    client.needs_digest = digest_of_needs(client.needs);
    Provider provider;
    Secret masters[] = {master_key(master)};
    provider.configure(std::move(client), masters);
    return provider;
}

// A good ID token but for these claims.
inline std::optional<IdToken> token_of(
    const Provider& provider, const Members& claims = {})
{
    auto keys = KeySet::parse(key_set({Signer::ed25519().jwk()}));
    auto token =
        IdToken::verify(Signer::ed25519().sign("EdDSA",
                            object(changed(example_claims(noon), claims))),
            {provider.client(), *keys, std::nullopt, "", noon});
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

// The judgement of what a cookie or a store gave, where nothing is revoked.
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
    return accepted(Opened::from_value(value, provider).session, provider, now);
}

// Begun at noon and 7 milliseconds.
inline Session begin(const Provider& provider, const Members& claims = {},
    const Tokens& tokens = {"", "at-1", "", 0s},
    const std::optional<UserInfo>& userinfo = {})
{
    return Session::begin(*token_of(provider, claims), userinfo, tokens,
        provider.client(), noon + 7ms, noon, random_bytes);
}

}
