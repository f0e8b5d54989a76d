#include "oidc/session_renewal.h"

#include "core/encoding.h"
#include "core/fields.h"
#include "oidc/revocation_key.h"
#include "support/sessions.h"

#include <set>

namespace oidc::test {
namespace {

constexpr Seconds eight_hours = 8h;

// A client whose sessions keep all results of a refresh.
Client refreshing_client()
{
    auto client = example_client();
    client.needs.claims = {"email", "groups", "nickname", "sub"};
    client.needs.id_token = client.needs.access_token = true;
    client.needs.refresh_token = true;
    client.needs_digest = digest_of_needs(client.needs);
    client.token_refresh = 60s;
    return client;
}

class SessionRenewal : public testing::Test {
public:
    // Renewed 100 seconds after noon.
    Session renewed(const std::optional<IdToken>& token = {},
        const Tokens& tokens = {"", "at-2", "", 600s}) const
    {
        return session.renew(token, {}, tokens, client, noon + 100s);
    }

    Client client = refreshing_client();
    Provider provider = provider_of(client);
    Session session = begin(provider,
        {{"sid", R"("s-1")"}, {"auth_time", "1600000000"},
            {"groups", R"(["a","b"])"}},
        {"", "at-1", "rt-1", 300s});
};

TEST_F(SessionRenewal, KeepsItsIdentity)
{
    auto later = renewed();
    EXPECT_EQ(later.id(), session.id());
    EXPECT_EQ(later.handle(), session.handle());
    EXPECT_EQ(later.started(), noon + 7ms);
    EXPECT_EQ(later.auth_time(), from_seconds(1600000000));
    EXPECT_EQ(later.sid(), "s-1");
    EXPECT_EQ(later.revocation_keys(client), session.revocation_keys(client));
    EXPECT_EQ(later.claim("sub"), "user-1");
    EXPECT_EQ(later.claim("email"), "jane@example.com");
    EXPECT_EQ(later.claim("groups"), "a,b");
    EXPECT_EQ(later.id_token(), session.id_token());
    EXPECT_FALSE(later.ticket());
}

TEST_F(SessionRenewal, MovesItsEndOn)
{
    EXPECT_EQ(session.expires(), noon + eight_hours);
    EXPECT_EQ(renewed().expires(), noon + 100s + eight_hours);
}

TEST_F(SessionRenewal, BringsTheNewAccessToken)
{
    EXPECT_EQ(session.access_token(), "at-1");
    EXPECT_EQ(session.access_token_expires(), noon + 300s);
    auto later = renewed();
    EXPECT_EQ(later.access_token(), "at-2");
    EXPECT_EQ(later.access_token_expires(), noon + 700s);
    EXPECT_EQ(renewed({}, {"", "at-2", "", 0s}).access_token_expires(), Time());
}

// Core, 12.2
TEST_F(SessionRenewal, BringsANewRefreshTokenOrKeepsTheOldOne)
{
    EXPECT_EQ(renewed().refresh_token(), "rt-1");
    EXPECT_EQ(renewed({}, {"", "at-2", "rt-2", 600s}).refresh_token(), "rt-2");
}

TEST_F(SessionRenewal, TakesTheClaimsOfANewIdToken)
{
    auto token = token_of(
        provider, {{"email", R"("new@example.com")"}, {"nickname", R"("J")"}});
    auto later = renewed(token);
    EXPECT_EQ(later.claim("email"), "new@example.com");
    EXPECT_EQ(later.claim("nickname"), "J");        // was absent
    EXPECT_EQ(later.claim("groups"), std::nullopt); // was withdrawn
    EXPECT_EQ(later.id_token(), token->compact());
    EXPECT_NE(later.id_token(), session.id_token());
}

TEST_F(SessionRenewal, TakesOnlyNeededClaims)
{
    auto token = token_of(provider, {{"extra", "1"}});
    EXPECT_EQ(renewed(token).claim("extra"), std::nullopt);
    EXPECT_EQ(renewed(token).claim("iss"), std::nullopt);

    client.needs.all_claims = true;
    EXPECT_EQ(renewed(token).claim("extra"), "1");
}

TEST_F(SessionRenewal, KeepsTheFactsOfTheLogin)
{
    client.needs.claims = {"acr", "amr", "auth_time", "roles", "sid", "sub"};
    client.needs_digest = digest_of_needs(client.needs);
    auto first = begin(provider_of(client),
        {{"sid", R"("s-1")"}, {"auth_time", "1600000000"}, {"acr", R"("gold")"},
            {"amr", R"(["otp"])"}, {"roles", R"("admin")"}});
    auto later = first.renew(token_of(provider), {}, {}, client, noon + 100s);
    EXPECT_EQ(later.claim("acr"), "gold");
    EXPECT_EQ(later.claim("amr"), "otp");
    EXPECT_EQ(later.claim("auth_time"), "1600000000");
    EXPECT_EQ(later.claim("sid"), "s-1");
    EXPECT_EQ(later.claim("roles"), std::nullopt);
    EXPECT_EQ(later.auth_time(), from_seconds(1600000000));
    EXPECT_EQ(later.sid(), "s-1");

    auto named = first.renew(
        token_of(provider, {{"acr", R"("silver")"}, {"amr", R"(["pwd"])"}}), {},
        {}, client, noon + 100s);
    EXPECT_EQ(named.claim("acr"), "silver");
    EXPECT_EQ(named.claim("amr"), "pwd");
}

// Core, 12.2: a refresh never makes auth_time later.
TEST_F(SessionRenewal, NeverMakesAuthTimeLater)
{
    auto at = [&](const char* auth_time) {
        return renewed(token_of(provider, {{"auth_time", auth_time}}))
            .auth_time();
    };
    EXPECT_EQ(at("1600000001"), from_seconds(1600000000));
    EXPECT_EQ(at("1599999999"), from_seconds(1599999999));
    auto untold = begin(provider);
    EXPECT_EQ(untold
                  .renew(token_of(provider, {{"auth_time", "1600000001"}}), {},
                      {}, client, noon)
                  .auth_time(),
        from_seconds(1600000001));
}

TEST_F(SessionRenewal, MovesItsKeysWithANewSid)
{
    auto later = renewed(token_of(provider, {{"sid", R"("s-2")"}}));
    EXPECT_EQ(later.sid(), "s-2");
    EXPECT_EQ(
        later.revocation_keys(client)[2], revocation_key(client, "sid", "s-2"));
    auto again = later.renew({}, {}, {"", "at-3", "", 0s}, client, noon + 200s);
    EXPECT_EQ(again.sid(), "s-2");
}

TEST_F(SessionRenewal, EndsAfterItsMaximumLifetime)
{
    client.session_max_lifetime = 10 * 3600s;
    auto later = session.renew({}, {}, {}, client, noon + 7 * 3600s);
    EXPECT_EQ(later.expires(), noon + 10 * 3600s);
    EXPECT_EQ(later.sealed_end(), noon + 10 * 3600s);
    auto last = later.renew({}, {}, {}, client, noon + 9 * 3600s);
    EXPECT_EQ(last.expires(), noon + 10 * 3600s);

    // also where the configuration would have it longer by then
    auto longer = client;
    longer.session_max_lifetime = 0s;
    auto kept =
        seal_session(last, provider_of(client), room, noon, random_bytes);
    auto opened = accepted(kept->cookie, provider_of(longer), noon + 9 * 3600s);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->expires(), noon + 10 * 3600s);
    EXPECT_FALSE(
        accepted(kept->cookie, provider_of(longer), noon + 10 * 3600s));
}

TEST_F(SessionRenewal, DistinguishesTheSourcesOfAClaim)
{
    auto first = begin(provider,
        {{"email", R"("t@example.com")"}, {"nickname", R"("J")"}},
        {"", "at-1", "rt-1", 300s},
        userinfo_of(provider,
            R"({"sub":"user-1","email":"i@example.com","nickname":"J",)"
            R"("groups":["a"]})"));
    EXPECT_EQ(first.claim("email"), "t@example.com");
    EXPECT_EQ(first.claim("nickname"), "J");

    // the ID token names none of them any more
    auto token = token_of(provider, {{"email", ""}});
    auto later = first.renew(token, {}, {}, client, noon + 100s);
    EXPECT_EQ(later.claim("email"), "i@example.com");
    EXPECT_EQ(later.claim("nickname"), "J");
    EXPECT_EQ(later.claim("groups"), "a");

    // nor user info
    auto last = later.renew({}, userinfo_of(provider, R"({"sub":"user-1"})"),
        {}, client, noon + 200s);
    EXPECT_EQ(last.claim("email"), std::nullopt);
    EXPECT_EQ(last.claim("nickname"), std::nullopt);
    EXPECT_EQ(last.claim("groups"), std::nullopt);
    EXPECT_EQ(last.claim("sub"), "user-1");
}

// Sessions of 0.1.0 do not distinguish the sources: new user info alone removes
// every claim that may be of the old user info.
TEST_F(SessionRenewal, OfTheFirstVersionLosesWhatUserInfoMayHaveWithdrawn)
{
    FieldWriter old;
    auto claim = [&](const std::string& name, const std::string& text) {
        old.text(
            6, std::string(1, static_cast<char>(name.size())) + name + text);
    };
    old.text(2, client.needs_digest);
    old.number(3, to_seconds(noon + eight_hours));
    old.number(12, to_milliseconds(noon));
    old.number(13, to_seconds(noon));
    claim("sub", "user-1");
    claim("groups", "admin");
    claim("email", "jane@example.com");
    auto value = base64url(provider.session_ring().seal(
        old.take(), provider.session_seal_context(), random_bytes));
    auto first = accepted(value, provider);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->claim("groups"), "admin");

    for (const auto& session : {*first, first->seen(noon + 1s)}) {
        auto later = session.renew({},
            userinfo_of(
                provider, R"({"sub":"user-1","email":"j@example.com"})"),
            {}, client, noon + 2s);
        EXPECT_EQ(later.claim("sub"), "user-1");
        EXPECT_EQ(later.claim("email"), "j@example.com");
        EXPECT_EQ(later.claim("groups"), std::nullopt);
    }
    EXPECT_EQ(first->renew({}, {}, {}, client, noon).claim("groups"), "admin");
}

TEST_F(SessionRenewal, KeepsTheUserInfo)
{
    client.needs.userinfo = true;
    provider = provider_of(client);
    auto first = begin(provider, {}, {"", "at-1", "rt-1", 300s},
        userinfo_of(provider,
            R"({"sub":"user-1","nickname":"J","email":"info@example.com"})"));
    auto token = token_of(provider, {{"email", R"("new@example.com")"}});
    auto later = first.renew(token, {}, {}, client, noon + 100s);
    EXPECT_EQ(later.userinfo(), first.userinfo());
    EXPECT_EQ(later.claim("nickname"), "J");
    EXPECT_EQ(later.claim("email"), "new@example.com");
}

TEST_F(SessionRenewal, DropsTokensThatAreNoLongerNeeded)
{
    client.needs.id_token = client.needs.access_token = false;
    client.needs.refresh_token = false;
    auto later = renewed(token_of(provider), {"a.b.c", "at-2", "rt-2", 600s});
    EXPECT_EQ(later.id_token(), std::nullopt);
    EXPECT_EQ(later.access_token(), std::nullopt);
    EXPECT_EQ(later.refresh_token(), std::nullopt);
}

std::optional<Session> back(
    const Session& session, const Provider& provider, Time now = noon)
{
    auto kept = seal_session(session, provider, room, now, random_bytes);
    EXPECT_EQ(complaint(kept), "");
    EXPECT_FALSE(kept->save);
    return accepted(kept->cookie, provider, now);
}

TEST_F(SessionRenewal, ComesBackAsItIs)
{
    auto later = renewed(token_of(provider), {"", "at-2", "rt-2", 600s});
    auto opened = back(later, provider);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->id(), session.id());
    EXPECT_EQ(opened->access_token(), "at-2");
    EXPECT_EQ(opened->refresh_token(), "rt-2");
    EXPECT_EQ(opened->access_token_expires(), noon + 700s);
    EXPECT_EQ(opened->expires(), noon + 100s + eight_hours);
    EXPECT_EQ(opened->started(), session.started());
    EXPECT_EQ(opened->generation(), later.generation());
}

TEST_F(SessionRenewal, DoesNotGrow)
{
    auto size = [&](const Session& session) {
        return seal_session(session, provider, room, noon, random_bytes)
            ->cookie.size();
    };
    auto token = token_of(provider);
    client.session_idle_timeout = 600s;
    auto later =
        session.renew(token, {}, {"", "at-2", "rt-2", 600s}, client, noon);
    auto first = size(later);
    for (int i = 1; i < 20; i++) {
        later = later.seen(noon + Seconds(i))
                    .renew(token, {}, {"", "at-2", "rt-2", 600s}, client,
                        noon + Seconds(i));
    }
    EXPECT_EQ(size(later), first);
}

// After a reload that took all claims, then few, then all again.
TEST_F(SessionRenewal, ForFewerClaimsServesNoMoreThanItKeeps)
{
    auto all = client;
    all.needs.all_claims = true;
    auto first = begin(provider_of(all), {{"extra", "1"}});
    ASSERT_EQ(first.claim("extra"), "1");
    auto later = first.renew(token_of(provider, {{"extra", "2"}}), {},
        {"", "at-2", "rt-2", 600s}, client, noon + 100s);
    EXPECT_TRUE(back(later, provider));

    auto opened = back(later, provider_of(all));
    EXPECT_TRUE(!opened || opened->claim("extra"));
}

TEST_F(SessionRenewal, IsANewGenerationEveryTime)
{
    std::set<std::string> seen{session.generation()};
    auto later = session;
    for (int i = 1; i < 10; i++) {
        later = later.renew(
            {}, {}, {"", "at", "", 600s}, client, noon + Seconds(i));
        seen.insert(later.generation());
        later =
            later.renew({}, {}, {"", "at", "rt-" + std::to_string(i + 1), 600s},
                client, noon + Seconds(i));
        seen.insert(later.generation());
    }
    EXPECT_EQ(seen.size(), 19u);
    EXPECT_EQ(session.generation().size(), 16u);
}

TEST_F(SessionRenewal, HasOneGenerationInAllCopies)
{
    EXPECT_EQ(back(session, provider)->generation(), session.generation());
    EXPECT_EQ(session.seen(noon + 100s).generation(), session.generation());
    EXPECT_NE(begin(provider, {}, {"", "at-1", "rt-1", 300s}).generation(),
        session.generation());
}

TEST_F(SessionRenewal, DelaysTheNextOne)
{
    EXPECT_TRUE(session.wants_refresh(client, noon + 240s));
    auto later = renewed(); // for 600 seconds
    EXPECT_FALSE(later.wants_refresh(client, noon + 100s + 539s));
    EXPECT_TRUE(later.wants_refresh(client, noon + 100s + 540s));
    auto shorter = renewed({}, {"", "at-2", "", 10s});
    EXPECT_FALSE(shorter.wants_refresh(client, noon + 104s));
    EXPECT_TRUE(shorter.wants_refresh(client, noon + 105s));
    EXPECT_FALSE(renewed({}, {"", "at-2", "", 0s})
                     .wants_refresh(client, noon + eight_hours));
}

}
}
