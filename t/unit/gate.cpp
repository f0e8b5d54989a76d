#include "flow/gate.h"

#include "core/encode.h"
#include "oidc/authorize.h"
#include "play.h"

#include <gtest/gtest.h>

#include <set>

namespace oidc::test {
namespace {

using Asked = std::vector<std::string>;

TEST(Gate, SendsTheBrowserToTheProvider)
{
    Play play;
    auto finish = play.gate("/page?a=b");
    EXPECT_EQ(complaint(finish), "");
    EXPECT_TRUE(finish.location.starts_with("https://op.example/authorize?"));
    EXPECT_EQ(play.sent.at("response_type"), "code");
    EXPECT_EQ(play.sent.at("client_id"), "app");
    EXPECT_EQ(play.sent.at("scope"), "openid");
    EXPECT_EQ(
        play.sent.at("redirect_uri"), "https://app.example/oidc_callback");
    EXPECT_EQ(play.sent.at("code_challenge_method"), "S256");
    EXPECT_EQ(play.sent.at("code_challenge").size(), 43u);
    EXPECT_FALSE(finish.session);
    EXPECT_FALSE(finish.by_page);
    EXPECT_EQ(finish.claimed, "");
}

TEST(Gate, LearnsTheMetadataWhenItMust)
{
    Play play;
    play.gate();
    EXPECT_EQ(play.asked, Asked{"metadata"});
    play.gate();
    EXPECT_EQ(play.asked, Asked{});
    play.now += 3600;
    play.gate();
    EXPECT_EQ(play.asked, Asked{"metadata"});
}

TEST(Gate, FailsWhereTheMetadataCannotBeHad)
{
    Play play;
    play.metadata = Error{Errc::upstream_timeout, "provider timed out"};
    EXPECT_EQ(complaint(play.gate()), "upstream_timeout: provider timed out");
    play.metadata = json_answer("{}");
    EXPECT_EQ(complaint(play.gate()),
        "upstream_metadata: provider sent metadata of another issuer, \"\" "
        "instead of \"https://op.example\"");
}

TEST(Gate, GoesOnWithOldMetadataWhileTheProviderIsDown)
{
    Play play;
    play.gate();
    play.now += 3600;
    play.metadata = Error{Errc::upstream_unreachable, "no provider"};
    EXPECT_EQ(complaint(play.gate()), "");
    EXPECT_EQ(play.asked, Asked{"metadata"});
}

TEST(Gate, MakesEverythingFreshForEveryLogin)
{
    Play play;
    for (auto name : {"state", "nonce", "code_challenge"}) {
        std::set<std::string> seen;
        for (int i = 0; i < 20; i++) {
            play.gate();
            seen.insert(play.sent.at(name));
        }
        EXPECT_EQ(seen.size(), 20u) << name;
    }
}

TEST(Gate, AddsTheExtraArguments)
{
    Play play;
    play.extra_args = "prompt=login&state=evil";
    play.gate();
    EXPECT_EQ(play.sent.at("prompt"), "login");
    EXPECT_NE(play.sent.at("state"), "evil");
}

TEST(Gate, PutsPageAndTimeIntoTheState)
{
    Play play;
    play.gate("/page?a=%20b");
    auto state = open_state(play.provider, play.sent.at("state"));
    ASSERT_TRUE(state);
    EXPECT_EQ(state->transaction.target, "/page?a=%20b");
    EXPECT_EQ(state->transaction.page, "https://app.example");
    EXPECT_EQ(state->transaction.started, noon);
    EXPECT_EQ(state->transaction.attempt, 0u);
    EXPECT_EQ(state->transaction.id.size(), 16u);
}

TEST(Gate, SaysWhatItIsDoing)
{
    Play play;
    auto visit = play.visit("/");
    EXPECT_EQ(Gate(play.provider, visit).doing(), "beginning a login");
}

}
}
