#include "oidc/session.h"

#include "oidc/cookies.h"
#include "oidc/revocation_key.h"
#include "support/sessions.h"

namespace oidc::test {
namespace {

constexpr Seconds eight_hours = 8h;

TEST(Session, ComesBackFromItsCookie)
{
    auto provider = provider_of(example_client());
    auto session =
        begin(provider, {{"auth_time", "1600000000"}}, {"", "at-1", "", 300s});
    auto jar = sealed(provider, session);
    ASSERT_EQ(jar.cookies.size(), 1u);

    auto back = opened(provider, jar.header());
    ASSERT_TRUE(back);
    EXPECT_EQ(back->handle(), session.handle());
    EXPECT_EQ(back->handle().size(), 22u);
    EXPECT_EQ(back->expires(), noon + 8 * 3600s);
    EXPECT_EQ(back->auth_time(), from_seconds(1600000000));
    EXPECT_EQ(back->access_token_expires(), noon + 300s);
    EXPECT_EQ(back->claim("sub"), "user-1");
    EXPECT_EQ(back->claim("email"), "jane@example.com");
}

TEST(Session, KeepsOnlyWhatIsNeeded)
{
    auto session = begin(provider_of(example_client()));
    EXPECT_EQ(session.claim("iss"), std::nullopt);
    EXPECT_EQ(session.claim(""), std::nullopt);
    EXPECT_EQ(session.claim("emai"), std::nullopt);
    EXPECT_EQ(session.claim("emailx"), std::nullopt);
    EXPECT_EQ(session.id_token(), std::nullopt);
    EXPECT_EQ(session.access_token(), std::nullopt);
    EXPECT_EQ(session.auth_time(), Time());
    EXPECT_EQ(session.access_token_expires(), Time());
}

TEST(Session, KeepsTokensWhereTheyAreNeeded)
{
    auto client = example_client();
    client.needs.id_token = client.needs.access_token = true;
    auto provider = provider_of(client);
    auto session = begin(provider);
    EXPECT_EQ(session.access_token(), "at-1");
    ASSERT_TRUE(session.id_token());
    EXPECT_EQ(session.id_token()->substr(0, 3), "eyJ");
    auto back = opened(provider, sealed(provider, session).header());
    EXPECT_EQ(back->id_token(), session.id_token());
    EXPECT_EQ(back->access_token(), "at-1");
}

TEST(Session, EndsAtTheExactSecond)
{
    auto provider = provider_of(example_client());
    auto header = sealed(provider, begin(provider)).header();
    auto end = noon + 8 * 3600s;
    EXPECT_TRUE(opened(provider, header, end - 1s));
    EXPECT_FALSE(opened(provider, header, end));
    EXPECT_FALSE(opened(provider, header, end + 1s));
}

// Whether a session sealed for some needs opens for others.
bool serves(const Needs& sealed_for, const Needs& needs)
{
    auto client = example_client();
    client.needs = sealed_for;
    auto provider = provider_of(client);
    auto info = userinfo_of(provider, R"({"sub":"user-1"})");
    auto header =
        sealed(provider, begin(provider, {}, {"", "at-1", "", 0s}, info))
            .header();
    client.needs = needs;
    return opened(provider_of(client), header).has_value();
}

// A session sealed for fewer claims is replaced, not served without them.
TEST(Session, DoesNotOpenForMoreThanItKeeps)
{
    const Needs some{{"email", "sub"}, false, false, false, false, false};
    for (const auto& more :
        {Needs{{"email", "sub", "zoneinfo"}, false, false, false, false, false},
            Needs{{"zoneinfo"}, false, false, false, false, false},
            Needs{{"emailsub"}, false, false, false, false, false},
            Needs{{"email", "sub"}, true, false, false, false, false},
            Needs{{"email", "sub"}, false, true, false, false, false},
            Needs{{"email", "sub"}, false, false, true, false, false},
            Needs{{"email", "sub"}, false, false, false, false, true}}) {
        EXPECT_FALSE(serves(some, more));
        EXPECT_TRUE(serves(more, more));
    }
}

TEST(Session, OpensForLessThanItKeeps)
{
    const Needs none;
    const Needs some{
        {"email", "sub", "zoneinfo"}, false, false, false, false, false};
    const Needs all{{"sub"}, true, true, true, true, true};
    EXPECT_TRUE(serves(some, none));
    EXPECT_TRUE(serves(some, {{"sub"}, false, false, false, false, false}));
    EXPECT_TRUE(serves(all, none));
    EXPECT_TRUE(serves(all, some));
    EXPECT_TRUE(serves(all, {{"iss"}, true, false, false, false, false}));
    EXPECT_FALSE(serves(none, some));
}

// A claim that the token did not have is no reason for a new login.
TEST(Session, KnowsWhatItsTokenLacked)
{
    EXPECT_TRUE(serves({{"sub", "zoneinfo"}, false, false, false, false, false},
        {{"zoneinfo"}, false, false, false, false, false}));
    EXPECT_TRUE(serves({{}, true, false, false, false, false},
        {{"zoneinfo"}, false, false, false, false, false}));
}

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

// True for a session of these tokens, so long after noon.
bool wants_refresh(const Client& client, const Tokens& tokens, Seconds late)
{
    auto session = begin(provider_of(client), {}, tokens);
    return session.wants_refresh(client, noon + late);
}

TEST(SessionRefresh, IsWantedAheadOfTheEndButNotInTheFirstHalf)
{
    constexpr struct {
        Seconds ahead;
        Seconds life;
        Seconds from;
    } cases[] = {{60s, 600s, 540s}, {600s, 600s, 300s}, {60s, 121s, 61s},
        {60s, 120s, 60s}, {60s, 119s, 60s}, {60s, 10s, 5s}, {60s, 3s, 2s},
        {60s, 2s, 1s}, {60s, 1s, 1s}, {1s, 3600s, 3599s}};

    auto client = refreshing_client();
    for (const auto& [ahead, life, from] : cases) {
        client.token_refresh = ahead;
        Tokens tokens{"", "at-1", "rt-1", life};
        EXPECT_FALSE(wants_refresh(client, tokens, from - 1s)) << life.count();
        EXPECT_TRUE(wants_refresh(client, tokens, from)) << life.count();
        EXPECT_TRUE(wants_refresh(client, tokens, life + 9999s))
            << life.count();
    }
}

TEST(SessionRefresh, IsNotWantedWithoutARefreshToken)
{
    auto client = refreshing_client();
    const Tokens tokens{"", "at-1", "rt-1", 300s};
    EXPECT_TRUE(wants_refresh(client, tokens, 300s));
    EXPECT_FALSE(wants_refresh(client, {"", "at-1", "", 300s}, 300s));
    EXPECT_FALSE(wants_refresh(client, {"", "at-1", "rt-1", 0s}, 300s));

    auto off = client;
    off.token_refresh = 0s;
    EXPECT_FALSE(wants_refresh(off, tokens, 300s));
    auto without = client;
    without.needs.refresh_token = false;
    EXPECT_FALSE(wants_refresh(without, tokens, 300s));
}

class IdleSession : public testing::Test {
public:
    IdleSession() { client.session_idle_timeout = 2000s; }

    Session begun() const { return begin(provider_of(client)); }

    std::optional<Session> opened(const Session& session, Seconds late) const
    {
        auto provider = provider_of(client);
        auto kept = seal_session(session, provider, room, noon, random_bytes);
        return accepted(kept->cookie, provider, noon + late);
    }

    Client client = example_client();
};

TEST_F(IdleSession, EndsAtTheExactSecond)
{
    EXPECT_TRUE(opened(begun(), 1999s));
    EXPECT_FALSE(opened(begun(), 2000s));
    auto seen = begun().seen(noon + 1999s);
    EXPECT_TRUE(opened(seen, 3998s));
    EXPECT_FALSE(opened(seen, 3999s));
}

TEST_F(IdleSession, IsSealedOnceInATwentieth)
{
    auto session = begun();
    EXPECT_FALSE(session.wants_seal(client, noon));
    EXPECT_FALSE(session.wants_seal(client, noon + 99s));
    EXPECT_TRUE(session.wants_seal(client, noon + 100s));
    EXPECT_TRUE(session.wants_seal(client, noon + 1999s));

    session = session.seen(noon + 150s);
    EXPECT_FALSE(session.wants_seal(client, noon + 249s));
    EXPECT_TRUE(session.wants_seal(client, noon + 250s));

    client.session_idle_timeout = 19s; // a twentieth is less than a second
    session = begun();
    EXPECT_FALSE(session.wants_seal(client, noon));
    EXPECT_TRUE(session.wants_seal(client, noon + 1s));
}

TEST_F(IdleSession, IsSeenByARenewal)
{
    auto session = begun().renew({}, {}, {}, client, noon + 1000s);
    EXPECT_FALSE(session.wants_seal(client, noon + 1099s));
    EXPECT_TRUE(session.wants_seal(client, noon + 1100s));
    EXPECT_TRUE(opened(session, 2999s));
    EXPECT_FALSE(opened(session, 3000s));
}

TEST_F(IdleSession, StaysAsItIsWhenItIsSeen)
{
    client.needs.access_token = true;
    auto session = begun();
    auto seen = session.seen(noon + 500s);
    EXPECT_EQ(seen.id(), session.id());
    EXPECT_EQ(seen.expires(), session.expires());
    EXPECT_EQ(seen.started(), session.started());
    EXPECT_EQ(seen.claim("email"), session.claim("email"));
    EXPECT_EQ(seen.access_token(), "at-1");
    EXPECT_FALSE(opened(seen.seen(noon + eight_hours - 1s), eight_hours));
}

TEST_F(IdleSession, MayIdleWithoutAnIdleTimeout)
{
    client.session_idle_timeout = 0s;
    auto session = begun();
    EXPECT_FALSE(session.wants_seal(client, noon + eight_hours - 1s));
    EXPECT_TRUE(opened(session, eight_hours - 1s));

    // and begins to idle when there is one
    client.session_idle_timeout = 2000s;
    EXPECT_TRUE(opened(session, eight_hours - 1s));
    EXPECT_TRUE(session.wants_seal(client, noon));
}

TEST(SessionRevocationKeys, NameTheSessionItsUserAndItsSid)
{
    auto provider = provider_of(example_client());
    const auto& client = provider.client();
    auto key = [&](std::string_view kind, std::string_view value) {
        return revocation_key(client, kind, value);
    };
    auto session = begin(provider, {{"sid", R"("s-1")"}});
    EXPECT_EQ(session.revocation_keys(client),
        (std::vector<std::string>{key("session", session.id()),
            key("sub", "user-1"), key("sid", "s-1")}));

    auto without = begin(provider);
    EXPECT_EQ(without.sid(), std::nullopt);
    EXPECT_EQ(without.revocation_keys(client),
        (std::vector<std::string>{key("session", without.id()),
            key("sub", "user-1"), key("sub without sid", "user-1")}));
}

TEST(SessionRevocationKeys, AreOfASidOfAtMost255Bytes)
{
    auto provider = provider_of(example_client());
    auto sid = [&](const std::string& json) {
        return begin(provider, {{"sid", json}}).sid().has_value();
    };
    EXPECT_TRUE(sid("\"" + std::string(255, 's') + "\""));
    EXPECT_FALSE(sid("\"" + std::string(256, 's') + "\""));
    EXPECT_FALSE(sid("7"));
    EXPECT_FALSE(sid("null"));
}

}
}
