#include "oidc/authorize.h"

#include "core/fields.h"
#include "support/play.h"

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
    return {std::string(16, 'i'), noon, "AAAA", login_cookie_digest("binding"),
        "https://app.example", "/page?a=%20b\xff", true, "receipt"};
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
    EXPECT_EQ(transaction.receipt, expected.receipt);
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
    auto seal = [&](const KeyRing& ring, const std::string& login_cookie,
                    const std::string& plain) {
        return base64url(ring.seal(plain, login_cookie, random_bytes));
    };
    FieldWriter fields;
    fields.text(1, "id");
    fields.text(200, "of a later version");
    auto plain = fields.take();
    auto& ring = provider.state_ring();

    EXPECT_TRUE(
        open_state(provider, seal(ring, provider.state_seal_context(), plain)));
    EXPECT_FALSE(open_state(
        provider, seal(ring, provider.session_seal_context(), plain)));
    EXPECT_FALSE(open_state(provider,
        seal(provider.session_ring(), provider.state_seal_context(), plain)));
    for (const auto& broken : {""s, "\2"s, plain.substr(0, 3), plain + "x"}) {
        EXPECT_FALSE(open_state(
            provider, seal(ring, provider.state_seal_context(), broken)));
    }
}

TEST(State, MayBeOfOtherKeys)
{
    auto client = example_client();
    auto ours = provider_of(client, 1);
    auto theirs = state_of(provider_of(client, 2));
    EXPECT_TRUE(is_of_other_keys(ours, theirs));
    auto tampered = state_of(ours);
    tampered.back() = tampered.back() == 'A' ? 'B' : 'A';
    for (const auto& text : {state_of(ours), tampered, ""s, "x"s, theirs + "=",
             std::string(40, 'A')}) {
        EXPECT_FALSE(is_of_other_keys(ours, text)) << text;
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
    return authorization_url(metadata,
        authorization_parameters(client, metadata,
            "https://app.example/oidc_callback", sealed_state(), extra));
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
            "callback_malformed: client sent parameter "s + name +
                " longer than " + std::to_string(most) + " bytes");
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
    return complaint(check_issuer(reply, example_client(), metadata, false));
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
        "callback_issuer: authorization response has no iss, although the "
        "metadata announces it");
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
        "provider_access_denied: provider returned error \"access_denied\"");
    EXPECT_EQ(outcome("&error=login_required&error_description=a%22%0Ab"),
        "provider_login_required: provider returned error \"login_required\", "
        "\"a\\x22\\x0Ab\"");
    EXPECT_EQ(outcome("&error=%3Cscript%3E"),
        "provider_error: provider returned error \"\\x3Cscript\\x3E\"");
    EXPECT_EQ(
        outcome("&error="), "provider_error: provider returned error \"\"");
}

TEST(AuthorizationParameters, NameTheResponseModeWhereItIsNotTheUsualOne)
{
    auto client = example_client();
    EXPECT_FALSE(
        parameters(url_of(client, endpoint(op))).count("response_mode"));
    client.response_mode = ResponseMode::form_post;
    auto sent = parameters(
        url_of(client, endpoint(op), "response_mode=query&prompt=login"));
    EXPECT_EQ(sent.at("response_mode"), "form_post");
    EXPECT_EQ(sent.at("prompt"), "login");
}

TEST(PushedAuthorization, IsUsedWhereItIsOnOrRequired)
{
    auto client = example_client();
    Metadata metadata;
    using enum PushedAuthorization;
    for (auto [setting, required, pushed] :
        {std::tuple{automatic, false, false}, {automatic, true, true},
            {on, false, true}, {on, true, true}, {off, false, false},
            {off, true, false}}) {
        client.pushed_authorization = setting;
        metadata.requires_pushed_authorization = required;
        EXPECT_EQ(pushes_request(client, metadata), pushed);
    }
}

TEST(PushedAuthorization, GoesToItsEndpoint)
{
    Metadata metadata;
    EXPECT_EQ(complaint(pushed_request(metadata, "a=b")),
        "upstream_metadata: provider sent metadata without "
        "pushed_authorization_request_endpoint");
    metadata.pushed_authorization_request_endpoint = "https://op.example/par";
    auto request = pushed_request(metadata, "a=b");
    ASSERT_EQ(complaint(request), "");
    EXPECT_EQ(request->url, "https://op.example/par");
    EXPECT_EQ(request->body, "a=b");
    EXPECT_EQ(request->authorization, "");
}

std::string pushed(int status, const std::string& body)
{
    auto client = example_client();
    client.client_id = "a&b";
    auto left = parse_pushed(client, {status, "application/json", "", body});
    return left ? *left : complaint(left);
}

// RFC 9126, 2.2 and 4
TEST(PushedAuthorization, LeavesAReferenceToTheRequest)
{
    for (int status : {201, 200}) { // some answer 200
        EXPECT_EQ(
            pushed(status, R"({"request_uri":"urn:a:b&c","expires_in":9})"),
            "client_id=a%26b&request_uri=urn%3Aa%3Ab%26c");
    }
    auto longest = std::string(1024, 'u');
    EXPECT_EQ(pushed(201, R"({"request_uri":")" + longest + "\"}"),
        "client_id=a%26b&request_uri=" + longest);
}

// RFC 9126, 2.3
TEST(PushedAuthorization, MayBeRefused)
{
    for (int status : {400, 401}) {
        EXPECT_EQ(pushed(status,
                      R"({"error":"invalid_request",)"
                      R"("error_description":"no\n"})"),
            "provider_invalid_request: provider returned error "
            "\"invalid_request\", \"no\\x0A\"");
        EXPECT_EQ(pushed(status, R"({"error":"invalid_client"})"),
            "provider_invalid_client: provider returned error "
            "\"invalid_client\"");
        EXPECT_EQ(pushed(status, R"({"request_uri":"urn:a"})"),
            "upstream_status: provider returned status " +
                std::to_string(status));
    }
    for (int status : {0, 202, 204, 301, 302, 403, 404, 405, 413, 429, 500}) {
        EXPECT_EQ(pushed(status, R"({"request_uri":"urn:a"})"),
            "upstream_status: provider returned status " +
                std::to_string(status));
    }
}

TEST(PushedAuthorization, NeedsASaneRequestUri)
{
    constexpr auto none =
        "upstream_pushed_authorization: provider sent a pushed authorization "
        "response without a request_uri of 1 to 1024 bytes";
    for (const auto& value : {"null"s, "1"s, "[]"s, "\"\""s, R"(["urn:a"])"s,
             "\"" + std::string(1025, 'u') + "\""}) {
        EXPECT_EQ(pushed(201, "{\"request_uri\":" + value + "}"), none);
    }
    EXPECT_EQ(pushed(201, "{}"), none);
    const std::pair<std::string, std::string> cases[] = {
        {"", "malformed JSON"},
        {"<html>", "malformed JSON"},
        {"[]", "JSON other than an object"},
        {R"({"request_uri":"a","request_uri":"b"})",
            "JSON with a duplicate member"},
        {R"({"request_uri":"a\u0000b"})", "malformed JSON"},
    };
    for (const auto& [body, what] : cases) {
        EXPECT_EQ(pushed(201, body),
            "upstream_pushed_authorization: provider sent a pushed "
            "authorization response that is " +
                what);
    }
}

}
}
