#include "flow/restore.h"

#include "oidc/revocation_key.h"
#include "support/sessions.h"

namespace oidc::test {
namespace {

constexpr std::size_t room = 64 * 1024;

Client stored_client()
{
    auto client = example_client();
    client.session_store = SessionStore::named;
    return client;
}

// A session in a browser and in a store.
struct Copy {
    std::string value;
    std::string blob;
};

Copy keep(const Session& session, const Provider& provider)
{
    auto kept = seal_session(session, provider, room, noon, random_bytes);
    EXPECT_EQ(complaint(kept), "");
    return {kept->cookie, kept->save ? kept->save->blob : ""};
}

Restoration restoration_of(const Copy& copy, const Provider& provider)
{
    return {provider, CookieContent::from_value(copy.value, provider)};
}

TEST(Restoration, OfNothingAsksForNothing)
{
    auto provider = provider_of(example_client());
    Restoration restoration(provider, CookieContent());
    EXPECT_FALSE(restoration.next());
    EXPECT_FALSE(restoration.is_at_hand());
    EXPECT_FALSE(restoration.session);
    EXPECT_FALSE(restoration.pin);
}

TEST(Restoration, OfASealedSessionAsksForItsRevocations)
{
    auto provider = provider_of(example_client());
    auto session = begin(provider);
    auto restoration = restoration_of(keep(session, provider), provider);
    EXPECT_TRUE(restoration.is_at_hand());
    auto load = restoration.next();
    ASSERT_TRUE(load);
    EXPECT_EQ(load->key, "");
    EXPECT_EQ(
        load->revocation_keys, session.revocation_keys(provider.client()));

    restoration.take({}, noon);
    EXPECT_FALSE(restoration.next());
    ASSERT_TRUE(restoration.session);
    EXPECT_EQ(restoration.session->id(), session.id());
    EXPECT_FALSE(restoration.pin);
}

TEST(Restoration, OfATicketAsksForItsSession)
{
    auto provider = provider_of(stored_client());
    auto session = begin(provider);
    auto copy = keep(session, provider);
    auto restoration = restoration_of(copy, provider);
    EXPECT_FALSE(restoration.is_at_hand());
    auto load = restoration.next();
    ASSERT_TRUE(load);
    EXPECT_EQ(load->key.size(), Ticket::key_size);
    EXPECT_EQ(
        load->revocation_keys, session.revocation_keys(provider.client()));

    restoration.take({copy.blob, {}}, noon);
    EXPECT_FALSE(restoration.next());
    ASSERT_TRUE(restoration.session);
    EXPECT_EQ(restoration.session->id(), session.id());
}

TEST(Restoration, OfATicketWithoutASessionEnds)
{
    auto provider = provider_of(stored_client());
    auto copy = keep(begin(provider), provider);
    for (const auto& blob :
        {std::optional<std::string>(), std::optional<std::string>("x")}) {
        auto restoration = restoration_of(copy, provider);
        restoration.take({blob, {}}, noon);
        EXPECT_FALSE(restoration.next());
        EXPECT_FALSE(restoration.session);
        EXPECT_FALSE(restoration.pin);
    }
}

// At the moment of its beginning, or later.
TEST(Restoration, RefusesWhatWasRevokedAndSaysByWhat)
{
    for (const auto& client : {example_client(), stored_client()}) {
        auto provider = provider_of(client);
        auto session = begin(provider);
        auto copy = keep(session, provider);
        auto blob = copy.blob.empty() ? std::nullopt : std::optional(copy.blob);
        auto revoked = restoration_of(copy, provider);
        revoked.take({blob, session.started()}, noon);
        EXPECT_FALSE(revoked.next());
        EXPECT_FALSE(revoked.session);
        ASSERT_TRUE(revoked.pin);
        EXPECT_EQ(
            revoked.pin->keys, session.revocation_keys(provider.client()));
        EXPECT_EQ(revoked.pin->subject, revoked.pin->keys[1]);
        EXPECT_EQ(revoked.pin->copies_until, Time());
        EXPECT_EQ(revoked.pin->started, session.started());

        auto before = restoration_of(copy, provider);
        before.take({blob, session.started() - 1ms}, noon);
        EXPECT_TRUE(before.session);
        EXPECT_FALSE(before.pin);
    }
}

// By this node's records, for a session that moves to another store.
TEST(Restoration, RefusesWhatIsKnownToBeRevokedBeforehand)
{
    auto provider = provider_of(example_client());
    auto session = begin(provider);
    auto opened =
        CookieContent::from_value(keep(session, provider).value, provider);
    opened.revoked_at = session.started();
    Restoration restoration(provider, std::move(opened));
    restoration.take({}, noon);
    EXPECT_FALSE(restoration.session);
    EXPECT_TRUE(restoration.pin);
}

// A planted seal of ours that has expired.
TEST(Restoration, GoesOnToTheFirstThatIsGood)
{
    auto provider = provider_of(example_client());
    auto ended = begin(provider);
    auto good = begin(provider);
    std::vector<CookieContent> held;
    for (const auto& session : {ended, good, begin(provider)}) {
        held.push_back(
            CookieContent::from_value(keep(session, provider).value, provider));
    }
    Restoration restoration(provider, std::move(held));
    restoration.take({{}, ended.started()}, noon);
    EXPECT_FALSE(restoration.session);
    EXPECT_TRUE(restoration.pin);
    ASSERT_TRUE(restoration.next());
    restoration.take({}, noon);
    ASSERT_TRUE(restoration.session);
    EXPECT_EQ(restoration.session->id(), good.id());
    EXPECT_FALSE(restoration.next());
}

TEST(Restoration, PinsNothingForWhatHasEndedAnyway)
{
    auto provider = provider_of(example_client());
    auto session = begin(provider);
    auto restoration = restoration_of(keep(session, provider), provider);
    restoration.take({{}, session.started()}, session.expires());
    EXPECT_FALSE(restoration.session);
    EXPECT_FALSE(restoration.pin);
}

TEST(Restoration, OfWhatNobodyRevokesNeedsNoStore)
{
    auto provider = provider_of(example_client());
    auto session = begin(provider);
    auto restoration = restoration_of(keep(session, provider), provider);
    restoration.take_as_it_is(noon);
    EXPECT_FALSE(restoration.next());
    EXPECT_TRUE(restoration.session);
}

// A copy of an older ticket lacks the sid of a renewal.
TEST(Restoration, AsksAgainWhereTheSidHasMoved)
{
    auto client = stored_client();
    auto provider = provider_of(client);
    auto first = begin(provider, {{"sid", R"("s-1")"}});
    auto old = keep(first, provider);
    auto restored = restoration_of(old, provider);
    restored.take({old.blob, {}}, noon);

    auto moved = restored.session->renew(
        token_of(provider, {{"sid", R"("s-2")"}}), {}, {}, client, noon);
    auto copy = keep(moved, provider);
    auto keys = moved.revocation_keys(client);
    EXPECT_EQ(keys[2], revocation_key(client, "sid", "s-2"));

    auto stale = restoration_of({old.value, copy.blob}, provider);
    stale.take({copy.blob, {}}, noon);
    auto load = stale.next();
    ASSERT_TRUE(load);
    EXPECT_EQ(load->key, "");
    EXPECT_EQ(load->revocation_keys, keys);
    stale.take({{}, moved.started()}, noon);
    EXPECT_FALSE(stale.next());
    EXPECT_FALSE(stale.session);
    ASSERT_TRUE(stale.pin);
    EXPECT_EQ(stale.pin->keys, keys);
    EXPECT_EQ(stale.pin->copies_until, moved.sealed_end());

    auto fresh = restoration_of(copy, provider);
    EXPECT_EQ(fresh.next()->revocation_keys, keys);
    fresh.take({copy.blob, {}}, noon);
    EXPECT_FALSE(fresh.next());
    EXPECT_TRUE(fresh.session);
}

}
}
