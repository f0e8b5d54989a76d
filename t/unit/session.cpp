#include "oidc/session.h"

#include "core/encode.h"
#include "core/fields.h"
#include "sessions.h"

namespace oidc::test {
namespace {

using namespace std::string_literals;

constexpr std::size_t room = 64 * 1024;

Provider provider_in_cookies()
{
    auto client = example_client();
    client.session_store = SessionStore::cookie;
    return provider_of(client);
}

// The cookies of a browser that got this session.
Jar sealed(const Provider& provider, const Session& session)
{
    auto kept = session.keep(provider, room, noon, random_bytes);
    EXPECT_EQ(complaint(kept), "");
    EXPECT_FALSE(kept->save);
    Jar jar;
    jar.take(session_cookies(provider.client(), kept->cookie, {}, true));
    return jar;
}

std::optional<Session> opened(const Provider& provider,
    const std::string& header, std::int64_t now = noon)
{
    std::string_view lines[] = {header};
    return accepted(Opened::from(lines, provider).session, provider, now);
}

TEST(Session, ComesBackFromItsCookie)
{
    auto provider = provider_of(example_client());
    auto session =
        begin(provider, {{"auth_time", "1600000000"}}, {"", "at-1", "", 300});
    auto jar = sealed(provider, session);
    ASSERT_EQ(jar.cookies.size(), 1u);

    auto back = opened(provider, jar.header());
    ASSERT_TRUE(back);
    EXPECT_EQ(back->handle(), session.handle());
    EXPECT_EQ(back->handle().size(), 22u);
    EXPECT_EQ(back->expires(), noon + 8 * 3600);
    EXPECT_EQ(back->auth_time(), 1600000000);
    EXPECT_EQ(back->access_token_expires(), noon + 300);
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
    EXPECT_EQ(session.auth_time(), 0);
    EXPECT_EQ(session.access_token_expires(), 0);
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

TEST(Session, FindsClaimsByNamesInLowerCase)
{
    auto client = example_client();
    client.needs.claims = {"absent", "familyname", "groups", "null", "twice"};
    auto session = begin(provider_of(client),
        {{"familyName", "\"Doe\""}, {"groups", R"(["a","b"])"},
            {"null", "null"}, {"Twice", "1"}, {"TWICE", "2"}});
    EXPECT_EQ(session.claim("familyname"), "Doe");
    EXPECT_EQ(session.claim("groups"), "a,b");
    for (auto name : {"absent", "null", "twice", "familyName", "sub"}) {
        EXPECT_EQ(session.claim(name), std::nullopt) << name;
    }
}

TEST(Session, KeepsAllClaimsOnDemand)
{
    auto client = example_client();
    client.needs.all_claims = true;
    std::string longest(255, 'n');
    auto session = begin(provider_of(client),
        {{"familyName", "\"Doe\""}, {longest, "1"}, {longest + "n", "2"},
            {"bad", R"("a\nb")"}});
    EXPECT_EQ(session.claim("familyname"), "Doe");
    EXPECT_EQ(session.claim("iss"), "https://op.example");
    EXPECT_EQ(session.claim("exp"), std::to_string(noon + 300));
    EXPECT_EQ(session.claim(longest), "1");
    EXPECT_EQ(session.claim(longest + "n"), std::nullopt);
    EXPECT_EQ(session.claim(""), std::nullopt);
    EXPECT_EQ(session.claim("bad"), std::nullopt);
}

TEST(Session, EndsAtTheExactSecond)
{
    auto provider = provider_of(example_client());
    auto header = sealed(provider, begin(provider)).header();
    auto end = noon + 8 * 3600;
    EXPECT_TRUE(opened(provider, header, end - 1));
    EXPECT_FALSE(opened(provider, header, end));
    EXPECT_FALSE(opened(provider, header, end + 1));
}

TEST(Session, OpensForItsRegistrationAlone)
{
    auto client = example_client();
    auto provider = provider_of(client);
    auto value = sealed(provider, begin(provider)).cookies.begin()->second;

    for (auto member : {&Client::name, &Client::issuer, &Client::client_id,
             &Client::cookie_name}) {
        auto other = client;
        other.*member += "x";
        EXPECT_FALSE(
            opened(provider_of(other), other.cookie_name + "=" + value));
    }
    auto header = client.cookie_name + "=" + value;
    EXPECT_FALSE(opened(provider_of(client, 2), header));
    EXPECT_TRUE(opened(provider_of(client, 1), header));
}

TEST(Session, OpensWithAnOlderKeyOfTheRing)
{
    auto client = example_client();
    auto before = provider_of(client);
    auto header = sealed(before, begin(before)).header();
    Provider after;
    Secret masters[] = {master_key(2), master_key(1)};
    after.configure(client, masters);
    EXPECT_TRUE(opened(after, header));
}

// Whether a session sealed for some needs opens for others.
bool serves(const Needs& sealed_for, const Needs& needs)
{
    auto client = example_client();
    client.needs = sealed_for;
    auto provider = provider_of(client);
    auto info = userinfo_of(provider, R"({"sub":"user-1"})");
    auto header =
        sealed(provider, begin(provider, {}, {"", "at-1", "", 0}, info))
            .header();
    client.needs = needs;
    return opened(provider_of(client), header).has_value();
}

// One sealed for fewer claims is renewed, not served half empty.
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

// A claim that the token lacked is no reason to ask for another one.
TEST(Session, KnowsWhatItsTokenLacked)
{
    EXPECT_TRUE(serves({{"sub", "zoneinfo"}, false, false, false, false, false},
        {{"zoneinfo"}, false, false, false, false, false}));
    EXPECT_TRUE(serves({{}, true, false, false, false, false},
        {{"zoneinfo"}, false, false, false, false, false}));
}

TEST(Session, DoesNotOpenTampered)
{
    auto provider = provider_of(example_client());
    auto name = provider.client().cookie_name + "=";
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

TEST(Session, IsNotAnotherSealOfOurs)
{
    auto provider = provider_of(example_client());
    auto cookie = [&](const KeyRing& ring, const std::string& binding,
                      const std::string& plain) {
        return provider.client().cookie_name + "=" +
            base64url(ring.seal(plain, binding, random_bytes));
    };
    FieldWriter fields;
    fields.text(2, provider.client().needs_mark);
    fields.number(3, noon + 1);
    fields.number(12, noon * 1000);
    fields.number(13, noon);
    auto plain = fields.take();
    const auto& ring = provider.session_ring();
    const auto& binding = provider.session_binding();

    EXPECT_TRUE(opened(provider, cookie(ring, binding, plain)));
    EXPECT_FALSE(
        opened(provider, cookie(ring, provider.state_binding(), plain)));
    EXPECT_FALSE(
        opened(provider, cookie(provider.state_ring(), binding, plain)));
    for (const auto& broken : {""s, "\1"s, "\3"s + plain.substr(1), plain + "x",
             plain.substr(0, plain.size() - 1)}) {
        EXPECT_FALSE(opened(provider, cookie(ring, binding, broken)));
    }
}

// Another version of ourselves may have written what we do not.
TEST(Session, HasNoClaimOfAnEmptyField)
{
    auto provider = provider_of(example_client());
    FieldWriter fields;
    fields.text(2, provider.client().needs_mark);
    fields.number(3, noon + 1);
    fields.number(12, noon * 1000);
    fields.number(13, noon);
    fields.text(6, "");
    auto value = base64url(provider.session_ring().seal(
        fields.take(), provider.session_binding(), random_bytes));
    auto session = accepted(value, provider);
    ASSERT_TRUE(session);
    EXPECT_EQ(session->claim(""), std::nullopt);
    EXPECT_EQ(session->claim("sub"), std::nullopt);
}

// 10 KB of one claim: more than a cookie holds.
Session large(const Provider& provider, char filling = 'x')
{
    return begin(
        provider, {{"email", "\"" + std::string(10'000, filling) + "\""}});
}

TEST(LargeSession, ComesBackFromItsChunks)
{
    auto provider = provider_in_cookies();
    auto jar = sealed(provider, large(provider));
    EXPECT_EQ(jar.cookies.size(), 4u);
    auto back = opened(provider, jar.header());
    ASSERT_TRUE(back);
    EXPECT_EQ(back->claim("email")->size(), 10'000u);
}

TEST(LargeSession, NeedsEveryChunkInItsPlace)
{
    auto provider = provider_in_cookies();
    auto whole = sealed(provider, large(provider));
    auto other = sealed(provider, large(provider, 'y'));
    auto name = provider.client().cookie_name;

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

TEST(LargeSession, NeedsItsNumberOfChunks)
{
    auto provider = provider_in_cookies();
    auto whole = sealed(provider, large(provider));
    auto name = provider.client().cookie_name;
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

TEST(LargeSession, GivesWayToASmallOne)
{
    auto provider = provider_in_cookies();
    auto jar = sealed(provider, large(provider));
    auto header = jar.header();
    std::string_view lines[] = {header};
    auto small = begin(provider).keep(provider, room, noon, random_bytes);
    jar.take(session_cookies(provider.client(), small->cookie, lines, true));
    EXPECT_EQ(jar.cookies.size(), 1u);
    EXPECT_EQ(
        opened(provider, jar.header())->claim("email"), "jane@example.com");
}

// A cookie that somebody set for a parent domain may come before ours.
TEST(Session, OpensBehindPlantedCookies)
{
    auto provider = provider_of(example_client());
    auto name = provider.client().cookie_name;
    auto ours = sealed(provider, begin(provider)).header();
    std::string planted;
    for (auto value : {"", "x", "9.x"}) {
        planted += name + "=" + value + "; ";
        auto session = opened(provider, planted + "other=1; " + ours);
        ASSERT_TRUE(session) << planted;
        EXPECT_EQ(session->claim("sub"), "user-1");
    }
    std::string_view lines[] = {planted, ours};
    EXPECT_TRUE(Opened::from(lines, provider).session);
}

TEST(Session, TriesFourCookies)
{
    auto provider = provider_of(example_client());
    auto bad = provider.client().cookie_name + "=x; ";
    auto ours = sealed(provider, begin(provider)).header();
    EXPECT_TRUE(opened(provider, bad + bad + bad + ours));
    EXPECT_FALSE(opened(provider, bad + bad + bad + bad + ours));
}

TEST(Session, IsNotInOddCookieHeaders)
{
    auto provider = provider_of(example_client());
    auto name = provider.client().cookie_name;
    std::string many;
    for (int i = 0; i < 300; i++) {
        many += "c" + std::to_string(i) + "=" + std::to_string(i) + ";";
    }
    for (const auto& header : {""s, "="s, ";"s, name, name + "=", "=" + name,
             name + "=.", name + "=2.", name + "=9.; " + name + ".1=a",
             name + "=" + std::string(7000, 'A'), many, many + name}) {
        EXPECT_FALSE(opened(provider, header)) << header;
    }
    EXPECT_FALSE(Opened::from({}, provider));
    auto ours = sealed(provider, begin(provider)).header();
    EXPECT_TRUE(opened(provider, many + ours));
}

TEST(SessionCookie, HasTheAttributesOfTheClient)
{
    auto client = example_client();
    auto cookie = [&](bool secure) {
        auto cookies = session_cookies(client, "value", {}, secure);
        return cookies.front().substr(cookies.front().find(';'));
    };
    EXPECT_EQ(cookie(false), "; Path=/; HttpOnly; SameSite=Lax");
    EXPECT_EQ(cookie(true), "; Path=/; HttpOnly; SameSite=Lax; Secure");
    client.cookie_domain = "example.com";
    client.cookie_path = "/app";
    client.cookie_same_site = "Strict";
    EXPECT_EQ(cookie(true),
        "; Path=/app; Domain=example.com; HttpOnly; SameSite=Strict; Secure");
    client.cookie_same_site = "None"; // browsers refuse it without Secure
    EXPECT_TRUE(cookie(false).ends_with("; SameSite=None; Secure"));
    client.cookie_same_site = "Lax";
    client.cookie_name = "__Host-session";
    EXPECT_TRUE(cookie(false).ends_with("; Secure"));
}

TEST(SessionCookie, IsRefusedWhereItDoesNotFit)
{
    auto provider = provider_in_cookies();
    auto session = begin(provider);
    auto kept = session.keep(provider, room, noon, random_bytes);
    auto needed =
        kept->cookie.size() + provider.client().cookie_name.size() + 6;

    EXPECT_TRUE(session.keep(provider, needed, noon, random_bytes));
    EXPECT_EQ(complaint(session.keep(provider, needed - 1, noon, random_bytes)),
        "session_too_large: session needs " + std::to_string(needed) +
            " bytes of cookies, of which large_client_header_buffers or nine "
            "cookies leave " +
            std::to_string(needed - 1));
    EXPECT_FALSE(session.keep(provider, 0, noon, random_bytes));
}

TEST(SessionCookie, IsRefusedBeyondNineChunks)
{
    auto provider = provider_in_cookies();
    auto of_size = [&](std::size_t size) {
        auto session =
            begin(provider, {{"email", "\"" + std::string(size, 'x') + "\""}});
        return session.keep(provider, 1'000'000, noon, random_bytes);
    };
    EXPECT_EQ(
        session_cookies(provider.client(), of_size(25'000)->cookie, {}, true)
            .size(),
        9u);
    EXPECT_TRUE(complaint(of_size(26'000)).starts_with("session_too_large: "));
}

TEST(SessionCookie, ShowsNothingOfTheSession)
{
    auto provider = provider_of(example_client());
    auto session = begin(provider);
    auto value = sealed(provider, session).cookies.begin()->second;
    auto bytes = base64url_decode(value).value();
    EXPECT_EQ(bytes.find("jane"), bytes.npos);
    EXPECT_EQ(bytes.find("user-1"), bytes.npos);
    EXPECT_NE(sealed(provider, session).cookies.begin()->second, value);
    EXPECT_NE(begin(provider).handle(), session.handle());
}

TEST(Needs, HaveAMarkOfTheirOwn)
{
    Needs needs{{"a", "b"}, false, false, false, false, false};
    EXPECT_EQ(mark_of(needs).size(), 8u);
    EXPECT_EQ(mark_of(needs),
        mark_of({{"a", "b"}, false, false, false, false, false}));
    for (const auto& other : {Needs{{}, false, false, false, false, false},
             Needs{{"a"}, false, false, false, false, false},
             Needs{{"ab"}, false, false, false, false, false},
             Needs{{"a", "b"}, true, false, false, false, false},
             Needs{{"a", "b"}, false, true, false, false, false},
             Needs{{"a", "b"}, false, false, true, false, false},
             Needs{{"a", "b"}, false, false, false, true, false},
             Needs{{"a", "b"}, false, false, false, false, true}}) {
        EXPECT_NE(mark_of(other), mark_of(needs));
    }
}

Session begin_with(const Provider& provider, const std::string& json,
    const Members& claims = {})
{
    return begin(
        provider, claims, {"", "at-1", "", 0}, userinfo_of(provider, json));
}

TEST(UserInfoInASession, AddsItsClaims)
{
    auto client = example_client();
    client.needs.claims = {"email", "groups", "nickname", "sub"};
    auto provider = provider_of(client);
    auto session = begin_with(provider,
        R"({"sub":"user-1","NickName":"J","groups":["a","b"],"more":"x"})");
    EXPECT_EQ(session.claim("nickname"), "J");
    EXPECT_EQ(session.claim("groups"), "a,b");
    EXPECT_EQ(session.claim("email"), "jane@example.com");
    EXPECT_EQ(session.claim("more"), std::nullopt);
    EXPECT_EQ(session.userinfo(), std::nullopt);
}

TEST(UserInfoInASession, GivesWayToTheIdToken)
{
    auto client = example_client();
    client.needs.claims = {"a", "b", "email", "name"};
    auto session = begin_with(provider_of(client),
        R"({"sub":"user-1","EMAIL":"x","Name":"y","a":"z","b":"u"})",
        {{"Name", "\"Jane\""}, {"a", "null"}, {"b", "\"\\n\""}});
    EXPECT_EQ(session.claim("email"), "jane@example.com");
    EXPECT_EQ(session.claim("name"), "Jane");
    // what the ID token has no text for
    EXPECT_EQ(session.claim("a"), "z");
    EXPECT_EQ(session.claim("b"), "u");
}

TEST(UserInfoInASession, IsKeptWholeWhereItIsNeeded)
{
    auto client = example_client();
    client.needs.userinfo = true;
    auto provider = provider_of(client);
    auto session =
        begin_with(provider, R"({ "sub": "user-1", "a": [1, {"b": null}] })");
    EXPECT_EQ(session.userinfo(), R"({"sub":"user-1","a":[1,{"b":null}]})");
    auto back = opened(provider, sealed(provider, session).header());
    ASSERT_TRUE(back);
    EXPECT_EQ(back->userinfo(), session.userinfo());

    // one that began before user info was asked for
    auto without = begin(provider);
    EXPECT_EQ(without.userinfo(), std::nullopt);
}

TEST(UserInfoInASession, AddsAllItsClaimsOnDemand)
{
    auto client = example_client();
    client.needs.all_claims = true;
    auto session = begin_with(
        provider_of(client), R"({"sub":"user-1","extra":true,"email":"x"})");
    EXPECT_EQ(session.claim("extra"), "true");
    EXPECT_EQ(session.claim("iss"), "https://op.example");
    EXPECT_EQ(session.claim("email"), "jane@example.com");
}

}
}
