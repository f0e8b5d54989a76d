#include "oidc/state.h"

#include "core/encoding.h"
#include "core/fields.h"
#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

Provider provider_of(const Client& client, char master = 1)
{
    Secret masters[] = {master_key(master)};
    return Provider(client, masters);
}

Transaction example_transaction()
{
    return {std::string(16, 'i'), noon, "AAAA",
        login_cookie_digest("login cookie"), "https://app.example",
        "/page?a=%20b\xff", true, "receipt"};
}

std::string state_of(const Provider& provider)
{
    return seal_state(
        provider, example_transaction(), "login cookie", random_bytes)
        .state;
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

TEST(State, OpensOnlyForItsRegistration)
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
        seal_state(before, example_transaction(), "login cookie", random_bytes);
    Provider after;
    Secret masters[] = {master_key(2), master_key(1)};
    after = Provider(client, masters);

    auto opened = open_state(after, sealed.state);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->key, 1u);
    EXPECT_EQ(
        derive(after, *opened, "login cookie").nonce, sealed.derived.nonce);
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
    auto derived = derive(provider, state, "login cookie");
    auto sealed = seal_state(
        provider, example_transaction(), "login cookie", random_bytes);
    EXPECT_EQ(derived.nonce, sealed.derived.nonce);
    EXPECT_EQ(derived.verifier, sealed.derived.verifier);
    EXPECT_NE(derived.nonce, derived.verifier);

    auto elsewhere = derive(provider, state, "another");
    EXPECT_NE(elsewhere.nonce, derived.nonce);
    EXPECT_NE(elsewhere.verifier, derived.verifier);

    auto client = example_client();
    client.client_id = "other";
    EXPECT_NE(derive(provider_of(client), state, "login cookie").nonce,
        derived.nonce);
    state.transaction.id.back() = 'x';
    EXPECT_NE(derive(provider, state, "login cookie").nonce, derived.nonce);
}

// RFC 7636, 4.1
TEST(Derived, VerifierHasTheFormOfPkce)
{
    auto provider = provider_of(example_client());
    auto derived = derive(provider, {example_transaction(), 0}, "login cookie");
    EXPECT_EQ(derived.verifier.size(), 43u);
    EXPECT_EQ(base64url_decode(derived.verifier)->size(), 32u);
}

}
}
