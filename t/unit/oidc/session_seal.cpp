#include "oidc/session_seal.h"

#include "core/encoding.h"
#include "oidc/cookies.h"
#include "oidc/head.h"
#include "oidc/revocation_key.h"
#include "support/sessions.h"

namespace oidc::test {
namespace {

constexpr Seconds eight_hours = 8h;

Session with_email(const Provider& provider, std::size_t size)
{
    return begin(provider, {{"email", "\"" + std::string(size, 'x') + "\""}});
}

TEST(SessionSeal, IsInCookiesAlone)
{
    auto provider = provider_of(client_of(SessionStore::cookie));
    for (std::size_t size : {10, 5'000, 20'000}) {
        auto kept = keep(with_email(provider, size), provider);
        EXPECT_FALSE(kept.save);
        EXPECT_TRUE(CookieContent::from_value(kept.cookie, provider).session);
    }
}

TEST(SessionSeal, IsInTheNamedStore)
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

// Decided by the bytes of its cookies in the head of the response.
TEST(SessionSeal, IsStoredAutomaticallyIfItsHeadWouldBeTooLarge)
{
    auto client = example_client();
    auto by_itself = provider_of(client);
    auto in_cookies = provider_of(client_of(SessionStore::cookie));
    int here = 0;
    int there = 0;
    for (std::size_t size = 2'200; size < 2'700; size += 7) {
        auto session = with_email(by_itself, size);
        auto value = keep(session, in_cookies).cookie;
        auto needed = size_in_head(session_cookies(client, value, {}, true));
        auto is_here = !keep(session, by_itself).save;
        EXPECT_EQ(is_here, needed <= max_head) << needed;
        (is_here ? here : there)++;
    }
    EXPECT_GT(here, 5);
    EXPECT_GT(there, 5);
}

TEST(SessionSeal, IsStoredAutomaticallyBesideALargeHead)
{
    auto client = example_client();
    auto provider = provider_of(client);
    auto session = with_email(provider, 1'000);
    auto cookie = keep(session, provider).cookie;
    auto needed = size_in_head(session_cookies(client, cookie, {}, true));
    auto is_stored = [&](std::size_t room_in_head) {
        return seal_session(
            session, provider, room, noon, random_bytes, room_in_head)
            ->save.has_value();
    };
    EXPECT_FALSE(is_stored(needed));
    EXPECT_TRUE(is_stored(needed - 1));
}

TEST(SessionSeal, IsStoredAutomaticallyWhenItDoesNotFit)
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

TEST(SessionSeal, ShowsTheStoreNothing)
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

// The sid that a front-channel logout sends.
TEST(SessionSeal, TellsTheStoreTheRevocationKeyOfItsSid)
{
    auto provider = provider_of(client_of(SessionStore::named));
    auto save = *keep(begin(provider, {{"sid", R"("s-1")"}}), provider).save;
    EXPECT_EQ(save.sid_key, revocation_key(provider.client(), "sid", "s-1"));
    EXPECT_EQ(keep(begin(provider), provider).save->sid_key, "");
}

// A renewed session keeps its ticket, so that browsers with an old cookie find
// it, too.
TEST(SessionSeal, KeepsItsTicket)
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

TEST(SessionSeal, IsStoredUntilItsFirstEnd)
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

// In a store the time to live is the idle timeout.
TEST(SessionSeal, LeavesTheIdleTimeoutToTheStore)
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

TEST(SessionSeal, IsRefusedIfItDoesNotFit)
{
    auto provider = provider_in_cookies();
    auto session = begin(provider);
    auto kept = seal_session(session, provider, room, noon, random_bytes);
    auto needed = kept->cookie.size() + name_of(provider).size() + 6;

    EXPECT_TRUE(seal_session(session, provider, needed, noon, random_bytes));
    EXPECT_EQ(complaint(seal_session(
                  session, provider, needed - 1, noon, random_bytes)),
        "session_too_large: session needs " + std::to_string(needed) +
            " bytes of cookies, but large_client_header_buffers and the limit "
            "of nine cookies allow " +
            std::to_string(needed - 1));
    EXPECT_FALSE(seal_session(session, provider, 0, noon, random_bytes));
}

TEST(SessionSeal, IsRefusedBeyondNineChunks)
{
    auto provider = provider_in_cookies();
    auto of_size = [&](std::size_t size) {
        auto session =
            begin(provider, {{"email", "\"" + std::string(size, 'x') + "\""}});
        return seal_session(session, provider, 1'000'000, noon, random_bytes);
    };
    EXPECT_EQ(
        session_cookies(provider.client(), of_size(25'000)->cookie, {}, true)
            .size(),
        9u);
    EXPECT_TRUE(complaint(of_size(26'000)).starts_with("session_too_large: "));
}

TEST(SessionSeal, ShowsNothingInItsCookie)
{
    auto provider = provider_of(example_client());
    auto session = begin(provider);
    auto value = keep(session, provider).cookie;
    auto bytes = base64url_decode(value).value();
    EXPECT_EQ(bytes.find("jane"), bytes.npos);
    EXPECT_EQ(bytes.find("user-1"), bytes.npos);
    EXPECT_NE(keep(session, provider).cookie, value);
    EXPECT_NE(begin(provider).handle(), session.handle());
}

}
}
