#include "oidc/session.h"

#include "core/encoding.h"
#include "core/fields.h"
#include "support/sessions.h"

#include <algorithm>

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

// The name of its cookie on https.
std::string name_of(const Provider& provider)
{
    return "__Host-" + provider.client().cookie_name;
}

// The cookies of a browser on https that got this session.
Jar sealed(const Provider& provider, const Session& session)
{
    auto kept = session.keep(provider, room, noon, random_bytes);
    EXPECT_EQ(complaint(kept), "");
    EXPECT_FALSE(kept->save);
    Jar jar;
    jar.take(session_cookies(provider.client(), kept->cookie, {}, true));
    return jar;
}

std::optional<Session> opened(
    const Provider& provider, const std::string& header, Time now = noon)
{
    std::string_view lines[] = {header};
    return accepted(first_held(lines, provider, true).session, provider, now);
}

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
    EXPECT_EQ(back->auth_time(), 1600000000);
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
    EXPECT_EQ(session.claim("exp"), date(noon + 300s));
    EXPECT_EQ(session.claim(longest), "1");
    EXPECT_EQ(session.claim(longest + "n"), std::nullopt);
    EXPECT_EQ(session.claim(""), std::nullopt);
    EXPECT_EQ(session.claim("bad"), std::nullopt);
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

TEST(Session, OpensForItsRegistrationAlone)
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
        sealed(provider, begin(provider, {}, {"", "at-1", "", 0s}, info))
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

TEST(Session, IsNotAnotherSealOfOurs)
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

// Another version of ourselves may have written what we do not.
TEST(Session, HasNoClaimOfAnEmptyField)
{
    auto provider = provider_of(example_client());
    FieldWriter fields;
    fields.text(2, provider.client().needs_digest);
    fields.number(3, to_seconds(noon + 1s));
    fields.number(12, to_milliseconds(noon));
    fields.number(13, to_seconds(noon));
    fields.text(6, "");
    auto value = base64url(provider.session_ring().seal(
        fields.take(), provider.session_seal_context(), random_bytes));
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

TEST(LargeSession, NeedsItsNumberOfChunks)
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

// By their number nobody can hide it; there is a bound on their bytes.
TEST(Session, TriesAllCookiesOfItsName)
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

// On https a name without the prefix is anybody's; on http that with it is
// still ours alone.
// Heads that announce chunks, with and without these: each once had all cookies
// searched for each of its chunks.
TEST(Session, IsFoundInACrowdInLinearTime)
{
    auto provider = provider_of(example_client());
    auto session = begin(provider);
    auto jar = sealed(provider, session);
    auto name = name_of(provider);
    for (const auto* head : {"9.", "9.x", "2.hfiAFw", "x", ""}) {
        std::string crowd;
        while (crowd.size() < 60'000) {
            crowd += name + "=" + head + "; ";
        }
        for (int i = 1; i < 8; i++) {
            crowd += name + "." + std::to_string(i) + "=x; ";
        }
        std::string_view lines[] = {crowd};
        auto start = std::clock();
        for (int i = 0; i < 10; i++) {
            EXPECT_TRUE(Opened::all_from(lines, provider, true).empty());
        }
        EXPECT_LT(std::clock() - start, CLOCKS_PER_SEC);
    }
    std::string few;
    for (int i = 0; i < 100; i++) {
        few += name + "=9.x" + std::to_string(i) + "; ";
    }
    auto header = few + jar.header();
    std::string_view lines[] = {header};
    EXPECT_TRUE(first_held(lines, provider, true));
}

TEST(Session, IsReadByTheNameOfItsScheme)
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

TEST(Session, IsNotInOddCookieHeaders)
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

TEST(SessionCookie, HasTheAttributesOfTheClient)
{
    auto client = example_client();
    auto cookie = [&](bool secure) {
        return session_cookies(client, "v", {}, secure).front();
    };
    EXPECT_EQ(
        cookie(false), "NGX_OIDC_SESSION=v; Path=/; HttpOnly; SameSite=Lax");
    EXPECT_EQ(cookie(true),
        "__Host-NGX_OIDC_SESSION=v; Path=/; HttpOnly; SameSite=Lax; Secure");
    client.cookie_domain = "example.com";
    client.cookie_path = "/app";
    client.cookie_same_site = "Strict";
    EXPECT_EQ(cookie(true),
        "__Secure-NGX_OIDC_SESSION=v; Path=/app; Domain=example.com; HttpOnly; "
        "SameSite=Strict; Secure");
    client.cookie_same_site = "None"; // browsers refuse it without Secure
    EXPECT_TRUE(cookie(false).starts_with("NGX_OIDC_SESSION=v; "));
    EXPECT_TRUE(cookie(false).ends_with("; SameSite=None; Secure"));
    client.cookie_partitioned = true;
    for (auto secure : {true, false}) {
        EXPECT_TRUE(
            cookie(secure).ends_with("; SameSite=None; Secure; Partitioned"));
    }
}

TEST(SessionCookie, HasThePrefixThatItsPathAndDomainAllow)
{
    auto name = [](const char* cookie_name, const char* path,
                    const char* domain, bool secure) {
        auto client = example_client();
        client.cookie_name = cookie_name;
        client.cookie_path = path;
        client.cookie_domain = domain;
        auto cookie = session_cookies(client, "v", {}, secure).front();
        return cookie.substr(0, cookie.find('=')) +
            (cookie.ends_with("; Secure") ? " Secure" : "");
    };
    EXPECT_EQ(name("sid", "/", "", true), "__Host-sid Secure");
    EXPECT_EQ(name("sid", "/app", "", true), "__Secure-sid Secure");
    EXPECT_EQ(name("sid", "/", "example.com", true), "__Secure-sid Secure");
    EXPECT_EQ(name("sid", "/", "", false), "sid");
    EXPECT_EQ(name("sid", "/app", "example.com", false), "sid");
    for (auto secure : {true, false}) { // as it is written
        EXPECT_EQ(name("__Host-sid", "/", "", secure), "__Host-sid Secure");
        EXPECT_EQ(name("__Secure-sid", "/", "", secure), "__Secure-sid Secure");
        EXPECT_EQ(
            name("__Secure-sid", "/app", "", secure), "__Secure-sid Secure");
    }
}

std::vector<std::string> names_of(const std::vector<std::string>& cookies)
{
    std::vector<std::string> names;
    for (const auto& cookie : cookies) {
        auto deletes = cookie.find("; Max-Age=0; ") != cookie.npos;
        names.push_back(
            (deletes ? "-" : "") + cookie.substr(0, cookie.find('=')));
    }
    std::sort(names.begin(), names.end());
    return names;
}

using Names = std::vector<std::string>;

// On https those of the plain name go, of before an upgrade or planted.
TEST(SessionCookie, ReplacesThoseOfThePlainName)
{
    auto client = example_client();
    client.cookie_name = "S";
    std::string_view lines[] = {
        "S=2.x; S.1=x; other=1", "S.9=x; SS=x; S.x=x; __Host-S.3=x"};
    EXPECT_EQ(names_of(session_cookies(client, "v", lines, true)),
        (Names{"-S", "-S.1", "-__Host-S.3", "__Host-S"}));
    EXPECT_EQ(
        names_of(session_cookies(client, "v", {}, true)), Names{"__Host-S"});

    std::string_view all[] = {"S=x; __Host-S=2.x; __Host-S.1=x; S.1=x"};
    EXPECT_EQ(names_of(clear_session(client, all, true)),
        (Names{"-S", "-S.1", "-__Host-S", "-__Host-S.1"}));
    for (const auto& cookie : clear_session(client, all, true)) {
        EXPECT_TRUE(cookie.ends_with(
            "=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"))
            << cookie;
    }
    EXPECT_TRUE(clear_session(client, {}, true).empty());

    client.cookie_name = "__Host-S"; // which has one name
    EXPECT_EQ(names_of(clear_session(client, all, true)),
        (Names{"-__Host-S", "-__Host-S.1"}));
}

TEST(SessionCookie, IsRefusedWhereItDoesNotFit)
{
    auto provider = provider_in_cookies();
    auto session = begin(provider);
    auto kept = session.keep(provider, room, noon, random_bytes);
    auto needed = kept->cookie.size() + name_of(provider).size() + 6;

    EXPECT_TRUE(session.keep(provider, needed, noon, random_bytes));
    EXPECT_EQ(complaint(session.keep(provider, needed - 1, noon, random_bytes)),
        "session_too_large: session needs " + std::to_string(needed) +
            " bytes of cookies, but large_client_header_buffers and the limit "
            "of nine cookies allow " +
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
    EXPECT_EQ(digest_of_needs(needs).size(), 8u);
    EXPECT_EQ(digest_of_needs(needs),
        digest_of_needs({{"a", "b"}, false, false, false, false, false}));
    for (const auto& other : {Needs{{}, false, false, false, false, false},
             Needs{{"a"}, false, false, false, false, false},
             Needs{{"ab"}, false, false, false, false, false},
             Needs{{"a", "b"}, true, false, false, false, false},
             Needs{{"a", "b"}, false, true, false, false, false},
             Needs{{"a", "b"}, false, false, true, false, false},
             Needs{{"a", "b"}, false, false, false, true, false},
             Needs{{"a", "b"}, false, false, false, false, true}}) {
        EXPECT_NE(digest_of_needs(other), digest_of_needs(needs));
    }
}

Session begin_with(const Provider& provider, const std::string& json,
    const Members& claims = {})
{
    return begin(
        provider, claims, {"", "at-1", "", 0s}, userinfo_of(provider, json));
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
