#include "oidc/authorize.h"

#include "core/fields.h"
#include "play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

Provider provider_of(const Client& client, char master = 1)
{
    Provider provider;
    Secret masters[] = {master_key(master)};
    provider.configure(client, masters);
    return provider;
}

Transaction example_transaction()
{
    return {std::string(16, 'i'), noon, 1, "AAAA", digest_of_binding("binding"),
        "https://app.example", "/page?a=%20b\xff", true};
}

std::string state_of(const Provider& provider)
{
    return seal_state(provider, example_transaction(), "binding", random_bytes)
        .state;
}

// RFC 7636, appendix B
TEST(Pkce, GivesTheExample)
{
    EXPECT_EQ(code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

TEST(State, OpensToWhatWasSealed)
{
    auto provider = provider_of(example_client());
    auto opened = open_state(provider, state_of(provider));
    ASSERT_TRUE(opened);
    auto expected = example_transaction();
    const auto& transaction = opened->transaction;
    EXPECT_EQ(transaction.id, expected.id);
    EXPECT_EQ(transaction.started, expected.started);
    EXPECT_EQ(transaction.attempt, expected.attempt);
    EXPECT_EQ(transaction.browser, expected.browser);
    EXPECT_EQ(transaction.browser_digest, expected.browser_digest);
    EXPECT_EQ(transaction.page, expected.page);
    EXPECT_EQ(transaction.target, expected.target);
    EXPECT_EQ(transaction.target_elsewhere, expected.target_elsewhere);
    EXPECT_EQ(opened->key, 0u);
}

TEST(State, OpensForItsRegistrationAlone)
{
    auto client = example_client();
    auto state = state_of(provider_of(client));
    EXPECT_TRUE(open_state(provider_of(client), state));
    EXPECT_FALSE(open_state(provider_of(client, 2), state));

    for (auto member : {&Client::name, &Client::issuer, &Client::client_id,
             &Client::cookie_name}) {
        auto other = client;
        other.*member += "x";
        EXPECT_FALSE(open_state(provider_of(other), state));
    }
}

TEST(State, OpensWithAnOlderKeyOfTheRing)
{
    auto client = example_client();
    auto before = provider_of(client, 1);
    auto sealed =
        seal_state(before, example_transaction(), "binding", random_bytes);
    Provider after;
    Secret masters[] = {master_key(2), master_key(1)};
    after.configure(client, masters);

    auto opened = open_state(after, sealed.state);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->key, 1u);
    EXPECT_EQ(derive(after, *opened, "binding").nonce, sealed.derived.nonce);
}

TEST(State, DoesNotOpenTampered)
{
    auto provider = provider_of(example_client());
    auto state = state_of(provider);
    for (std::size_t i = 0; i < state.size(); i++) {
        auto tampered = state;
        tampered[i] = tampered[i] == 'A' ? 'B' : 'A';
        EXPECT_FALSE(open_state(provider, tampered)) << i;
        EXPECT_FALSE(open_state(provider, state.substr(0, i))) << i;
    }
    for (const auto& text : {""s, "a"s, "x.y"s, state + "A", state + "=",
             state + state, "A" + state, std::string(8192, 'A')}) {
        EXPECT_FALSE(open_state(provider, text)) << text;
    }
}

TEST(State, IsNotAnotherSealOfOurs)
{
    auto provider = provider_of(example_client());
    auto seal = [&](const KeyRing& ring, const std::string& binding,
                    const std::string& plain) {
        return base64url(ring.seal(plain, binding, random_bytes));
    };
    FieldWriter fields;
    fields.text(1, "id");
    fields.text(200, "of a later version");
    auto plain = fields.take();
    auto& ring = provider.state_ring();

    EXPECT_TRUE(
        open_state(provider, seal(ring, provider.state_binding(), plain)));
    EXPECT_FALSE(
        open_state(provider, seal(ring, provider.session_binding(), plain)));
    EXPECT_FALSE(open_state(provider,
        seal(provider.session_ring(), provider.state_binding(), plain)));
    for (const auto& broken : {""s, "\2"s, plain.substr(0, 3), plain + "x"}) {
        EXPECT_FALSE(
            open_state(provider, seal(ring, provider.state_binding(), broken)));
    }
}

TEST(Derived, AreNewForEveryLoginBrowserAndPurpose)
{
    auto provider = provider_of(example_client());
    OpenedState state{example_transaction(), 0};
    auto derived = derive(provider, state, "binding");
    auto sealed =
        seal_state(provider, example_transaction(), "binding", random_bytes);
    EXPECT_EQ(derived.nonce, sealed.derived.nonce);
    EXPECT_EQ(derived.verifier, sealed.derived.verifier);
    EXPECT_NE(derived.nonce, derived.verifier);

    auto elsewhere = derive(provider, state, "another");
    EXPECT_NE(elsewhere.nonce, derived.nonce);
    EXPECT_NE(elsewhere.verifier, derived.verifier);

    auto client = example_client();
    client.client_id = "other";
    EXPECT_NE(
        derive(provider_of(client), state, "binding").nonce, derived.nonce);
    state.transaction.id.back() = 'x';
    EXPECT_NE(derive(provider, state, "binding").nonce, derived.nonce);
}

// RFC 7636, 4.1
TEST(Derived, VerifierHasTheFormThatPkceWants)
{
    auto provider = provider_of(example_client());
    auto derived = derive(provider, {example_transaction(), 0}, "binding");
    EXPECT_EQ(derived.verifier.size(), 43u);
    EXPECT_EQ(base64url_decode(derived.verifier)->size(), 32u);
}

SealedState sealed_state()
{
    return {"st4te", {"n0nce", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}};
}

Metadata endpoint(const char* url)
{
    Metadata metadata;
    metadata.authorization_endpoint = url;
    return metadata;
}

std::string url_of(
    const Client& client, const Metadata& metadata, std::string_view extra = "")
{
    return authorization_url(provider_of(client), metadata,
        "https://app.example/oidc_callback", sealed_state(), extra);
}

constexpr auto op = "https://op.example/authorize";

TEST(AuthorizationUrl, HoldsEveryParameterOnce)
{
    auto client = example_client();
    client.scope = "openid email";
    client.client_id = "a&b=c";
    EXPECT_EQ(url_of(client, endpoint(op)),
        "https://op.example/authorize?response_type=code&scope=openid%20email"
        "&client_id=a%26b%3Dc"
        "&redirect_uri=https%3A%2F%2Fapp.example%2Foidc_callback&state=st4te"
        "&nonce=n0nce"
        "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        "&code_challenge_method=S256");
}

TEST(AuthorizationUrl, LeavesPkceOutWhereItIsOffOrExcluded)
{
    auto client = example_client();
    auto metadata = endpoint(op);
    metadata.s256 = false;
    EXPECT_FALSE(parameters(url_of(client, metadata)).count("code_challenge"));
    metadata.s256 = true;
    client.pkce = false;
    auto sent = parameters(url_of(client, metadata));
    EXPECT_FALSE(sent.count("code_challenge"));
    EXPECT_FALSE(sent.count("code_challenge_method"));
}

// RFC 6749, 3.1
TEST(AuthorizationUrl, RetainsTheQueryOfTheEndpoint)
{
    constexpr struct {
        const char* endpoint;
        const char* start;
    } cases[] = {
        {"https://op.example/a", "https://op.example/a?response_type="},
        {"https://op.example/a?", "https://op.example/a?response_type="},
        {"https://op.example/a?b=c", "https://op.example/a?b=c&response_type="},
        {"https://op.example/a?b=c&",
            "https://op.example/a?b=c&response_type="},
    };
    for (const auto& [url, start] : cases) {
        EXPECT_TRUE(url_of(example_client(), endpoint(url)).starts_with(start))
            << url;
    }
}

TEST(AuthorizationUrl, TakesExtraArgumentsButNotOurs)
{
    auto sent = parameters(url_of(example_client(), endpoint(op),
        "prompt=login&state=evil&acr_values=a+b&redirect_uri=x&nonce=x"
        "&%73tate=x&response_type=token&request=x&request_uri=x&client_id=x"
        "&response_mode=fragment&scope=x&code_challenge=x"
        "&code_challenge_method=plain"));
    EXPECT_EQ(sent.at("prompt"), "login");
    EXPECT_EQ(sent.at("acr_values"), "a b");
    EXPECT_EQ(sent.at("state"), "st4te");
    EXPECT_EQ(sent.at("nonce"), "n0nce");
    EXPECT_EQ(sent.at("response_type"), "code");
    EXPECT_EQ(sent.at("code_challenge_method"), "S256");
    EXPECT_EQ(sent.size(), 10u);
}

TEST(AuthorizationUrl, DropsExtraArgumentsThatAreNoForm)
{
    EXPECT_EQ(url_of(example_client(), endpoint(op), "a=%zz&b=c"),
        url_of(example_client(), endpoint(op)));
    EXPECT_TRUE(is_reserved_parameter("state"));
    EXPECT_FALSE(is_reserved_parameter("prompt"));
}

TEST(Reply, HoldsItsParameters)
{
    auto reply = parse_reply("code=a%2Bb&state=s&iss=https%3A%2F%2Fop&error=e"
                             "&error_description=d+e&session_state=x");
    ASSERT_EQ(complaint(reply), "");
    EXPECT_EQ(reply->state, "s");
    EXPECT_EQ(reply->code, "a+b");
    EXPECT_EQ(reply->iss, "https://op");
    EXPECT_EQ(reply->error, "e");
    EXPECT_EQ(reply->error_description, "d e");

    auto least = parse_reply("state=s");
    EXPECT_FALSE(least->code);
    EXPECT_FALSE(least->error);
    EXPECT_FALSE(least->iss);
    EXPECT_EQ(least->error_description, "");
}

TEST(Reply, NeedsAState)
{
    for (auto query : {"", "code=a", "code=a&state=", "State=s", "state",
             "error=access_denied", "&&&"}) {
        EXPECT_EQ(complaint(parse_reply(query)),
            "state_missing: client sent no state")
            << query;
    }
}

TEST(Reply, RefusesAParameterTwice)
{
    for (std::string name :
        {"state", "code", "error", "error_description", "iss"}) {
        for (std::string_view value : {"", "a"}) {
            auto query = "state=s&";
            auto pair = name + "=" + std::string(value);
            EXPECT_EQ(complaint(parse_reply(
                          (name == "state" ? "" : query) + pair + "&" + pair)),
                "callback_malformed: client sent parameter " + name + " twice");
        }
    }
    EXPECT_EQ(complaint(parse_reply("state=s&code=a&c%6fde=b")),
        "callback_malformed: client sent parameter code twice");
    EXPECT_EQ(complaint(parse_reply("state=s&foo=a&foo=b")), "");
}

TEST(Reply, BoundsEveryParameter)
{
    constexpr struct {
        const char* name;
        std::size_t most;
    } bounds[] = {
        {"state", 8192},
        {"code", 4096},
        {"error", 1024},
        {"error_description", 1024},
        {"iss", 1024},
    };
    for (const auto& [name, most] : bounds) {
        auto reply = [&, name = name](std::size_t size) {
            auto state = name == "state"s ? "" : "&state=s";
            return complaint(
                parse_reply(name + "="s + std::string(size, 'a') + state));
        };
        EXPECT_EQ(reply(most), "") << name;
        EXPECT_EQ(reply(most + 1),
            "callback_malformed: client sent too long a parameter "s + name);
    }
    EXPECT_EQ(
        complaint(parse_reply("state=s&x=" + std::string(9000, 'x'))), "");
}

TEST(Reply, IsAForm)
{
    EXPECT_EQ(complaint(parse_reply("state=%")),
        "callback_malformed: client sent a parameter that is not "
        "form-urlencoded");
    std::string many = "state=s";
    for (int i = 0; i < 64; i++) {
        many += "&a=" + std::to_string(i);
    }
    EXPECT_EQ(complaint(parse_reply(many)),
        "callback_malformed: client sent too many parameters");
}

std::string issuer_complaint(std::optional<std::string> iss, bool promised)
{
    AuthorizationReply reply;
    reply.iss = std::move(iss);
    Metadata metadata;
    metadata.promises_iss = promised;
    return complaint(check_issuer(reply, example_client(), metadata));
}

// RFC 9207, 2.4
TEST(ReplyIssuer, IsComparedWhereItComes)
{
    for (bool promised : {false, true}) {
        EXPECT_EQ(issuer_complaint("https://op.example", promised), "");
        for (std::string iss : {"", "https://op.example/", "https://OP.example",
                 "https://evil.example", "https://op.example\r\n"}) {
            auto complaint = issuer_complaint(iss, promised);
            EXPECT_TRUE(complaint.starts_with(
                "callback_issuer: authorization response came from another "
                "issuer, \""))
                << complaint;
        }
    }
    EXPECT_EQ(issuer_complaint("https://a\n", false),
        "callback_issuer: authorization response came from another issuer, "
        "\"https://a\\x0A\"");
}

TEST(ReplyIssuer, MustComeWhereItIsPromised)
{
    EXPECT_EQ(issuer_complaint({}, false), "");
    EXPECT_EQ(issuer_complaint({}, true),
        "callback_issuer: authorization response has no iss, which the "
        "metadata promises");
}

TEST(ReplyOutcome, IsACodeOrAnError)
{
    auto outcome = [](std::string query) {
        return complaint(check_outcome(*parse_reply("state=s" + query)));
    };
    EXPECT_EQ(outcome("&code=a"), "");
    EXPECT_EQ(
        outcome(""), "callback_malformed: client sent neither code nor error");
    EXPECT_EQ(outcome("&code="),
        "callback_malformed: client sent neither code nor error");
    EXPECT_EQ(outcome("&code=a&error=b"),
        "callback_malformed: client sent both code and error");
    EXPECT_EQ(outcome("&code=&error="),
        "callback_malformed: client sent both code and error");
    EXPECT_EQ(outcome("&error=access_denied"),
        "provider_access_denied: provider answered with error "
        "\"access_denied\"");
    EXPECT_EQ(outcome("&error=login_required&error_description=a%22%0Ab"),
        "provider_login_required: provider answered with error "
        "\"login_required\", \"a\\x22\\x0Ab\"");
    EXPECT_EQ(outcome("&error=%3Cscript%3E"),
        "provider_error: provider answered with error \"\\x3Cscript\\x3E\"");
    EXPECT_EQ(outcome("&error="),
        "provider_error: provider answered with error \"\"");
}

}
}
