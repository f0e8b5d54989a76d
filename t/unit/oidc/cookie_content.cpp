#include "oidc/cookie_content.h"

#include "core/encoding.h"
#include "core/fields.h"
#include "support/growth.h"
#include "support/sessions.h"

namespace oidc::test {
namespace {

using namespace std::string_literals;

TEST(CookieContent, OpensOnlyForItsRegistration)
{
    auto client = example_client();
    auto provider = provider_of(client);
    auto value = sealed(provider, begin(provider)).cookies.begin()->second;

    for (auto member : {&Client::name, &Client::issuer, &Client::client_id,
             &Client::cookie_name}) {
        auto other = client;
        other.*member += "x";
        EXPECT_FALSE(opened(
            provider_of(other), "__Host-" + other.cookie_name + "=" + value));
    }
    auto header = "__Host-" + client.cookie_name + "=" + value;
    EXPECT_FALSE(opened(provider_of(client, 2), header));
    EXPECT_TRUE(opened(provider_of(client, 1), header));
}

TEST(CookieContent, OpensWithAnOlderKeyOfTheRing)
{
    auto client = example_client();
    auto before = provider_of(client);
    auto header = sealed(before, begin(before)).header();
    Provider after;
    Secret masters[] = {master_key(2), master_key(1)};
    after = Provider(client, masters);
    EXPECT_TRUE(opened(after, header));
}

TEST(CookieContent, DoesNotOpenTampered)
{
    auto provider = provider_of(example_client());
    auto name = name_of(provider) + "=";
    auto value = sealed(provider, begin(provider)).cookies.begin()->second;
    for (std::size_t i = 0; i < value.size(); i++) {
        auto tampered = value;
        tampered[i] = tampered[i] == 'A' ? 'B' : 'A';
        EXPECT_FALSE(opened(provider, name + tampered)) << i;
        EXPECT_FALSE(opened(provider, name + value.substr(0, i))) << i;
    }
    EXPECT_FALSE(opened(provider, name + value + "A"));
    EXPECT_FALSE(opened(provider, name + "\"" + value + "\""));
    EXPECT_TRUE(opened(provider, name + value));
}

TEST(CookieContent, IsNotAnotherSealOfOurs)
{
    auto provider = provider_of(example_client());
    auto cookie = [&](const KeyRing& ring, const std::string& login_cookie,
                      const std::string& plain) {
        return name_of(provider) + "=" +
            base64url(ring.seal(plain, login_cookie, random_bytes));
    };
    FieldWriter fields;
    fields.text(2, provider.client().needs_digest);
    fields.number(3, to_seconds(noon + 1s));
    fields.number(12, to_milliseconds(noon));
    fields.number(13, to_seconds(noon));
    auto plain = fields.take();
    const auto& ring = provider.session_ring();
    const auto& login_cookie = provider.session_seal_context();

    EXPECT_TRUE(opened(provider, cookie(ring, login_cookie, plain)));
    EXPECT_FALSE(
        opened(provider, cookie(ring, provider.state_seal_context(), plain)));
    EXPECT_FALSE(
        opened(provider, cookie(provider.state_ring(), login_cookie, plain)));
    for (const auto& broken : {""s, "\1"s, "\3"s + plain.substr(1), plain + "x",
             plain.substr(0, plain.size() - 1)}) {
        EXPECT_FALSE(opened(provider, cookie(ring, login_cookie, broken)));
    }
}

// 10 KB of one claim: more than a cookie holds.
Session large(const Provider& provider, char filling = 'x')
{
    return begin(
        provider, {{"email", "\"" + std::string(10'000, filling) + "\""}});
}

TEST(ChunkedSession, ComesBackFromItsChunks)
{
    auto provider = provider_in_cookies();
    auto jar = sealed(provider, large(provider));
    EXPECT_EQ(jar.cookies.size(), 4u);
    auto back = opened(provider, jar.header());
    ASSERT_TRUE(back);
    EXPECT_EQ(back->claim("email")->size(), 10'000u);
}

TEST(ChunkedSession, NeedsEveryChunkInOrder)
{
    auto provider = provider_in_cookies();
    auto whole = sealed(provider, large(provider));
    auto other = sealed(provider, large(provider, 'y'));
    auto name = name_of(provider);

    for (const auto& [chunk, value] : whole.cookies) {
        auto jar = whole;
        jar.cookies.erase(chunk);
        EXPECT_FALSE(opened(provider, jar.header())) << "without " << chunk;
        jar.cookies[chunk] = other.cookies.at(chunk);
        EXPECT_FALSE(opened(provider, jar.header())) << "stale " << chunk;
        jar.cookies[chunk] = value.substr(0, value.size() - 4);
        EXPECT_FALSE(opened(provider, jar.header())) << "short " << chunk;
    }
    auto swapped = whole;
    std::swap(swapped.cookies[name + ".1"], swapped.cookies[name + ".2"]);
    EXPECT_FALSE(opened(provider, swapped.header()));
}

TEST(ChunkedSession, NeedsItsNumberOfChunks)
{
    auto provider = provider_in_cookies();
    auto whole = sealed(provider, large(provider));
    auto name = name_of(provider);
    ASSERT_EQ(whole.cookies.at(name).substr(0, 2), "4.");
    for (char c = 0x20; c < 0x7f; c++) {
        auto jar = whole;
        jar.cookies[name][0] = c;
        EXPECT_EQ(opened(provider, jar.header()).has_value(), c == '4') << c;
    }
    auto more = whole;
    more.cookies[name + ".4"] = "more";
    EXPECT_TRUE(opened(provider, more.header()));
}

TEST(ChunkedSession, IsReplacedByASmallOne)
{
    auto provider = provider_in_cookies();
    auto jar = sealed(provider, large(provider));
    auto header = jar.header();
    std::string_view lines[] = {header};
    auto small =
        seal_session(begin(provider), provider, room, noon, random_bytes);
    jar.take(session_cookies(provider.client(), small->cookie, lines, true));
    EXPECT_EQ(jar.cookies.size(), 1u);
    EXPECT_EQ(
        opened(provider, jar.header())->claim("email"), "jane@example.com");
}

// A cookie that an attacker set for a parent domain may come before ours.
TEST(CookieContent, OpensBehindPlantedCookies)
{
    auto provider = provider_of(example_client());
    auto name = name_of(provider);
    auto ours = sealed(provider, begin(provider)).header();
    std::string planted;
    for (auto value : {"", "x", "9.x"}) {
        planted += name + "=" + value + "; ";
        auto session = opened(provider, planted + "other=1; " + ours);
        ASSERT_TRUE(session) << planted;
        EXPECT_EQ(session->claim("sub"), "user-1");
    }
    std::string_view lines[] = {planted, ours};
    EXPECT_TRUE(first_held(lines, provider, true).session);
}

std::string repeated(std::size_t times, const std::string& text)
{
    std::string all;
    for (std::size_t i = 0; i < times; i++) {
        all += text;
    }
    return all;
}

// No number of planted cookies hides it; only their bytes are limited.
TEST(CookieContent, TriesAllCookiesOfItsName)
{
    auto provider = provider_of(example_client());
    auto ours = sealed(provider, begin(provider)).header();
    auto bad = name_of(provider) + "=";
    std::string chunks;
    for (int i = 1; i < 9; i++) {
        chunks += name_of(provider) + "." + std::to_string(i) + "=x; ";
    }
    for (const auto& planted :
        {repeated(2'000, bad + "x; "), repeated(2'000, bad + "9.x; "),
            chunks + repeated(2'000, bad + "9.x; "),
            repeated(31, bad + std::string(4'000, 'x') + "; ")}) {
        EXPECT_TRUE(opened(provider, planted + ours)) << planted.size();
        EXPECT_TRUE(opened(provider, ours + "; " + planted));
    }
    EXPECT_FALSE(opened(
        provider, repeated(34, bad + std::string(4'000, 'x') + "; ") + ours));
}

// Heads that announce chunks, with and without these. Once all cookies were
// searched for each chunk of each head.
TEST(CookieContent, IsFoundInLinearTime)
{
    auto provider = provider_of(example_client());
    auto session = begin(provider);
    auto jar = sealed(provider, session);
    auto name = name_of(provider);
    for (const auto* head : {"9.", "9.x", "2.hfiAFw", "x", ""}) {
        auto ratio = growth(60'000, [&](int size) {
            std::string crowd;
            while (crowd.size() < size_t(size)) {
                crowd += name + "=" + head + "; ";
            }
            for (int i = 1; i < 8; i++) {
                crowd += name + "." + std::to_string(i) + "=x; ";
            }
            std::string_view lines[] = {crowd};
            EXPECT_TRUE(CookieContent::all_from(lines, provider, true).empty());
        });
        EXPECT_LT(ratio, linear) << head;
    }
    std::string few;
    for (int i = 0; i < 100; i++) {
        few += name + "=9.x" + std::to_string(i) + "; ";
    }
    auto header = few + jar.header();
    std::string_view lines[] = {header};
    EXPECT_TRUE(first_held(lines, provider, true));
}

// On https anybody can have set a cookie without the prefix; on http the one
// with it is still ours.
TEST(CookieContent, IsReadByTheNameOfItsScheme)
{
    auto provider = provider_of(example_client());
    const auto& plain = provider.client().cookie_name;
    auto value = [&](const Session& session) {
        return sealed(provider, session).cookies.at(name_of(provider));
    };
    auto ours = begin(provider);
    auto other = begin(provider, {{"sub", R"("user-2")"}});
    auto good = name_of(provider) + "=" + value(ours);
    auto planted = plain + "=" + value(other);

    auto sub = [&](const std::string& header, bool secure) -> std::string {
        std::string_view lines[] = {header};
        auto session =
            accepted(first_held(lines, provider, secure).session, provider);
        return std::string(session ? *session->claim("sub") : "");
    };
    EXPECT_EQ(sub(good, true), "user-1");
    EXPECT_EQ(sub(planted + "; " + good, true), "user-1");
    EXPECT_EQ(sub(good + "; " + planted, true), "user-1");
    EXPECT_EQ(sub(planted, true), "");

    // on http both count, the one that http cannot plant first
    EXPECT_EQ(sub(good, false), "user-1");
    EXPECT_EQ(sub(planted, false), "user-2");
    EXPECT_EQ(sub(planted + "; " + good, false), "user-1");
    EXPECT_EQ(sub(good + "; " + planted, false), "user-1");
    EXPECT_EQ(sub("__Secure-" + planted, true), "");
    EXPECT_EQ(sub("__Secure-" + planted, false), "");
}

TEST(CookieContent, IsNotInOddCookieHeaders)
{
    auto provider = provider_of(example_client());
    auto name = name_of(provider);
    std::string many;
    for (int i = 0; i < 300; i++) {
        many += "c" + std::to_string(i) + "=" + std::to_string(i) + ";";
    }
    for (const auto& header : {""s, "="s, ";"s, name, name + "=", "=" + name,
             name + "=.", name + "=2.", name + "=9.; " + name + ".1=a",
             name + "=" + std::string(7000, 'A'), many, many + name}) {
        EXPECT_FALSE(opened(provider, header)) << header;
    }
    EXPECT_FALSE(first_held({}, provider, true));
    auto ours = sealed(provider, begin(provider)).header();
    EXPECT_TRUE(opened(provider, many + ours));
}

TEST(StoredSession, OpensOnlyForItsTicket)
{
    auto provider = provider_of(client_of(SessionStore::named));
    auto ours = keep(begin(provider), provider);
    auto others = keep(begin(provider), provider);
    auto ticket = *CookieContent::from_value(ours.cookie, provider).ticket;
    EXPECT_TRUE(open_stored(ticket, ours.save->blob, provider));
    EXPECT_FALSE(open_stored(ticket, others.save->blob, provider));
    for (auto blob :
        {std::string(), ours.save->blob + "x", ours.save->blob.substr(1)}) {
        EXPECT_FALSE(open_stored(ticket, blob, provider));
    }
}

TEST(StoredSession, OpensOnlyForItsRegistration)
{
    auto client = client_of(SessionStore::named);
    auto provider = provider_of(client);
    auto kept = keep(begin(provider), provider);
    auto ticket = *CookieContent::from_value(kept.cookie, provider).ticket;
    for (auto member : {&Client::name, &Client::issuer, &Client::client_id,
             &Client::cookie_name}) {
        auto changed = client;
        changed.*member += "x";
        auto other = provider_of(changed);
        EXPECT_FALSE(CookieContent::from_value(kept.cookie, other).ticket);
        EXPECT_FALSE(open_stored(ticket, kept.save->blob, other));
    }
    EXPECT_FALSE(
        CookieContent::from_value(kept.cookie, provider_of(client, 2)).ticket);
}

TEST(StoredSession, OpensAfterARotationOfKeys)
{
    auto client = client_of(SessionStore::named);
    auto before = provider_of(client);
    auto kept = keep(begin(before), before);
    Provider after;
    Secret masters[] = {master_key(2), master_key(1)};
    after = Provider(before.client(), masters);
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

TEST(StoredSession, IsNotReadAsATicketNorATicketAsOne)
{
    auto provider = provider_of(client_of(SessionStore::named));
    auto kept = keep(begin(provider), provider);
    auto ticket = *CookieContent::from_value(kept.cookie, provider).ticket;
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
    EXPECT_FALSE(CookieContent::from_value(base64url(kept.save->blob), provider)
                     .session);
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
