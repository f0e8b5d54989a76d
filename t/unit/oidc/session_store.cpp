#include "core/encoding.h"
#include "oidc/logout.h"
#include "support/sessions.h"

namespace oidc::test {
namespace {

constexpr std::size_t room = 64 * 1024;
constexpr Seconds eight_hours = 8h;

Client client_of(SessionStore store)
{
    auto client = example_client();
    client.session_store = store;
    return client;
}

Session with_email(const Provider& provider, std::size_t size)
{
    return begin(provider, {{"email", "\"" + std::string(size, 'x') + "\""}});
}

Session::Kept keep(const Session& session, const Provider& provider,
    std::size_t most = room, Time now = noon)
{
    auto kept = session.keep(provider, most, now, random_bytes);
    EXPECT_EQ(complaint(kept), "");
    return std::move(*kept);
}

// As it comes back from the store.
std::optional<Session> load(
    const Session::Kept& kept, const Provider& provider, Time now = noon)
{
    auto held = Opened::from_value(kept.cookie, provider);
    EXPECT_FALSE(held.session);
    if (!held.ticket) {
        return {};
    }
    EXPECT_EQ(held.ticket->key(), kept.save->key);
    return accepted(
        open_stored(*held.ticket, kept.save->blob, provider), provider, now);
}

TEST(SessionStore, KeepsNothingOfASessionInItsCookie)
{
    auto provider = provider_of(client_of(SessionStore::cookie));
    for (std::size_t size : {10, 5'000, 20'000}) {
        auto kept = keep(with_email(provider, size), provider);
        EXPECT_FALSE(kept.save);
        EXPECT_TRUE(Opened::from_value(kept.cookie, provider).session);
    }
}

TEST(SessionStore, KeepsEverySessionWhereItIsNamed)
{
    auto provider = provider_of(client_of(SessionStore::named));
    for (std::size_t size : {10, 5'000, 200'000}) {
        auto session = with_email(provider, size);
        auto kept = keep(session, provider);
        ASSERT_TRUE(kept.save);
        EXPECT_EQ(kept.save->key.size(), 16u);
        EXPECT_EQ(kept.save->until, noon + eight_hours);
        EXPECT_EQ(kept.save->ends, noon + eight_hours);
        EXPECT_LT(kept.cookie.size(), 350u);
        auto back = load(kept, provider);
        ASSERT_TRUE(back);
        EXPECT_EQ(back->id(), session.id());
        EXPECT_EQ(back->claim("email")->size(), size);
    }
}

// What it would need in cookies decides: its value, and the name of each.
TEST(SessionStore, KeepsByItselfWhatIsOverFourKilobytes)
{
    auto client = example_client();
    auto by_itself = provider_of(client);
    auto in_cookies = provider_of(client_of(SessionStore::cookie));
    int here = 0;
    int there = 0;
    for (std::size_t size = 2'700; size < 3'000; size += 7) {
        auto session = with_email(by_itself, size);
        auto value = keep(session, in_cookies).cookie.size();
        auto chunks = value / cookie_chunk + 1;
        auto needed =
            value + chunks * (("__Host-" + client.cookie_name).size() + 6);
        auto is_here = !keep(session, by_itself).save;
        EXPECT_EQ(is_here, needed <= 4096) << needed;
        (is_here ? here : there)++;
    }
    EXPECT_GT(here, 5);
    EXPECT_GT(there, 5);
}

TEST(SessionStore, KeepsByItselfWhatTheRequestHasNoRoomFor)
{
    auto provider = provider_of(example_client());
    auto session = begin(provider);
    auto size = keep(session, provider).cookie.size() +
        ("__Host-" + provider.client().cookie_name).size() + 6;
    EXPECT_FALSE(keep(session, provider, size).save);
    auto kept = keep(session, provider, size - 1);
    EXPECT_TRUE(kept.save);
    EXPECT_TRUE(load(kept, provider));
}

TEST(SessionStore, ShowsTheStoreNothingOfTheSession)
{
    auto provider = provider_of(client_of(SessionStore::named));
    auto session = begin(provider, {{"sid", R"("s-1")"}});
    auto save = *keep(session, provider).save;
    for (const auto& bytes : {save.blob, save.key, save.sid_key}) {
        EXPECT_EQ(bytes.find("user-1"), std::string::npos);
        EXPECT_EQ(bytes.find("s-1"), std::string::npos);
        EXPECT_EQ(bytes.find(session.id()), std::string::npos);
    }
    auto again = *keep(session, provider).save;
    EXPECT_NE(again.key, save.key);
    EXPECT_NE(again.blob, save.blob);
}

// What a front-channel logout names.
TEST(SessionStore, IsToldBySidWhatMayBeRevoked)
{
    auto provider = provider_of(client_of(SessionStore::named));
    auto save = *keep(begin(provider, {{"sid", R"("s-1")"}}), provider).save;
    EXPECT_EQ(save.sid_key, revocation_key(provider.client(), "sid", "s-1"));
    EXPECT_EQ(keep(begin(provider), provider).save->sid_key, "");
}

// Who has renewed it goes on with the same ticket, as do those who have not
// heard of it.
TEST(SessionStore, KeepsASessionUnderItsTicket)
{
    auto client = client_of(SessionStore::named);
    auto provider = provider_of(client);
    auto first = keep(begin(provider), provider);
    auto session = load(first, provider);
    ASSERT_TRUE(session);

    for (const auto& later : {session->seen(noon + 1s),
             session->renew({}, {}, {}, client, noon + 1s)}) {
        auto second = keep(later, provider);
        EXPECT_EQ(second.save->key, first.save->key);
        EXPECT_NE(second.save->blob, first.save->blob);
        second.cookie = first.cookie;
        EXPECT_EQ(load(second, provider)->id(), session->id());
    }
    // also where it would fit into a cookie by now
    auto automatic = provider_of(example_client());
    EXPECT_EQ(keep(*session, automatic).save->key, first.save->key);
}

TEST(SessionStore, KeepsItUntilTheFirstOfItsEnds)
{
    auto client = client_of(SessionStore::named);
    client.session_idle_timeout = 600s;
    auto provider = provider_of(client);
    auto session = begin(provider);
    auto save = *keep(session, provider).save;
    EXPECT_EQ(save.until, noon + 600s);
    EXPECT_EQ(save.ends, noon + eight_hours);
    auto late = noon + eight_hours - 100s;
    EXPECT_EQ(
        keep(session, provider, room, late).save->until, noon + eight_hours);
}

// The store's time to live tells whether it was idle.
TEST(SessionStore, ForgetsIdleSessionsItself)
{
    auto client = client_of(SessionStore::named);
    client.session_idle_timeout = 600s;
    auto provider = provider_of(client);
    auto kept = keep(begin(provider), provider);
    auto session = load(kept, provider, noon + 700s);
    ASSERT_TRUE(session);
    EXPECT_FALSE(session->wants_seal(provider.client(), noon + 700s));
    EXPECT_FALSE(load(kept, provider, noon + eight_hours));
}

TEST(StoredSession, EndsAtTheExactSecond)
{
    auto provider = provider_of(client_of(SessionStore::named));
    auto kept = keep(begin(provider), provider);
    EXPECT_TRUE(load(kept, provider, noon + eight_hours - 1s));
    EXPECT_FALSE(load(kept, provider, noon + eight_hours));
}

TEST(StoredSession, OpensForItsTicketAlone)
{
    auto provider = provider_of(client_of(SessionStore::named));
    auto ours = keep(begin(provider), provider);
    auto others = keep(begin(provider), provider);
    auto ticket = *Opened::from_value(ours.cookie, provider).ticket;
    EXPECT_TRUE(open_stored(ticket, ours.save->blob, provider));
    EXPECT_FALSE(open_stored(ticket, others.save->blob, provider));
    for (auto blob :
        {std::string(), ours.save->blob + "x", ours.save->blob.substr(1)}) {
        EXPECT_FALSE(open_stored(ticket, blob, provider));
    }
}

TEST(StoredSession, OpensForItsRegistrationAlone)
{
    auto client = client_of(SessionStore::named);
    auto provider = provider_of(client);
    auto kept = keep(begin(provider), provider);
    auto ticket = *Opened::from_value(kept.cookie, provider).ticket;
    for (auto member : {&Client::name, &Client::issuer, &Client::client_id,
             &Client::cookie_name}) {
        auto changed = client;
        changed.*member += "x";
        auto other = provider_of(changed);
        EXPECT_FALSE(Opened::from_value(kept.cookie, other).ticket);
        EXPECT_FALSE(open_stored(ticket, kept.save->blob, other));
    }
    EXPECT_FALSE(
        Opened::from_value(kept.cookie, provider_of(client, 2)).ticket);
}

TEST(StoredSession, OpensAfterARotationOfKeys)
{
    auto client = client_of(SessionStore::named);
    auto before = provider_of(client);
    auto kept = keep(begin(before), before);
    Provider after;
    Secret masters[] = {master_key(2), master_key(1)};
    after.configure(before.client(), masters);
    auto session = load(kept, after);
    ASSERT_TRUE(session);

    // and from its next seal on without the old one
    auto later = keep(*session, after);
    EXPECT_TRUE(load(later, provider_of(client, 2)));
}

TEST(StoredSession, DoesNotOpenForMoreThanItKeeps)
{
    auto client = client_of(SessionStore::named);
    auto provider = provider_of(client);
    auto kept = keep(begin(provider), provider);
    client.needs.id_token = true;
    EXPECT_FALSE(load(kept, provider_of(client)));
}

TEST(StoredSession, AndATicketAreNotTakenForEachOther)
{
    auto provider = provider_of(client_of(SessionStore::named));
    auto kept = keep(begin(provider), provider);
    auto ticket = *Opened::from_value(kept.cookie, provider).ticket;
    auto seal = [&](const std::string& plain) {
        return ticket.seal(
            plain, provider.session_seal_context(), random_bytes);
    };
    auto stored = ticket.open(kept.save->blob, provider.session_seal_context());
    ASSERT_TRUE(stored);
    EXPECT_TRUE(
        accepted(open_stored(ticket, seal(*stored), provider), provider));
    EXPECT_FALSE(accepted(
        open_stored(ticket, seal(ticket.fields()), provider), provider));
    EXPECT_FALSE(Ticket::read(*stored));

    // nor is a blob a cookie
    EXPECT_FALSE(
        Opened::from_value(base64url(kept.save->blob), provider).session);
}

TEST(StoredSession, IsFoundBehindPlantedCookies)
{
    auto provider = provider_of(client_of(SessionStore::named));
    auto kept = keep(begin(provider), provider);
    auto name = "__Host-" + provider.client().cookie_name;
    auto header = name + "=x; " + name + "=" + kept.cookie;
    std::string_view lines[] = {header};
    auto held = first_held(lines, provider, true);
    ASSERT_TRUE(held.ticket);
    EXPECT_EQ(held.ticket->key(), kept.save->key);
}

}
}
