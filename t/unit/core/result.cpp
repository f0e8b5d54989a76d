#include "core/result.h"

#include <gtest/gtest.h>

#include <set>

namespace oidc::test {
namespace {

constexpr auto codes = static_cast<std::size_t>(Errc::store_full) + 1;

// The table of DIRECTIVES: what a failure gets, by the family of its word.
int status_of(std::string_view word)
{
    if (word == "provider_access_denied" || word.starts_with("id_token_") ||
        word.starts_with("userinfo_")) {
        return 403;
    }
    if (word.ends_with("_limit")) {
        return 429;
    }
    if (word == "upstream_timeout") {
        return 504;
    }
    if (word.starts_with("upstream_")) {
        return 502;
    }
    if (word.starts_with("store_") || word.ends_with("_unasked")) {
        return 503;
    }
    for (auto family :
        {"state_", "callback_", "provider_", "request_", "login_", "logout_"}) {
        if (word.starts_with(family)) {
            return 400;
        }
    }
    return 500;
}

TEST(Fault, HasTheStatusOfItsFamily)
{
    for (std::size_t i = 0; i < codes; i++) {
        const auto& row = fault(static_cast<Errc>(i));
        EXPECT_EQ(row.status, status_of(row.word)) << row.word;
    }
}

TEST(Fault, HasAWordOfItsOwn)
{
    std::set<std::string_view> words;
    for (std::size_t i = 0; i < codes; i++) {
        auto word = fault(static_cast<Errc>(i)).word;
        EXPECT_TRUE(words.insert(word).second) << word;
        EXPECT_EQ(
            word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), word.npos);
    }
}

// Anybody can send a state, a host or a logout token; only an operator can mend
// the rest.
TEST(Fault, OfAVisitorIsAWarning)
{
    for (std::size_t i = 0; i < codes; i++) {
        const auto& row = fault(static_cast<Errc>(i));
        auto visitors = row.word.starts_with("state_") ||
            row.word.starts_with("logout_") ||
            row.word.starts_with("request_") || row.word == "login_loop" ||
            row.word == "login_limit" || row.word == "login_unasked" ||
            row.word == "callback_malformed" ||
            row.word == "provider_access_denied";
        EXPECT_EQ(row.level, visitors ? Level::warn : Level::error) << row.word;
    }
}

// RFC 6749, 4.1.2.1 and 5.2; OpenID Connect Core, 3.1.2.6
TEST(ProviderError, HasACodeForEveryWordOfTheSpecifications)
{
    for (std::string word : {"access_denied", "account_selection_required",
             "consent_required", "interaction_required", "invalid_client",
             "invalid_grant", "invalid_request", "invalid_scope",
             "login_required", "server_error", "temporarily_unavailable",
             "unauthorized_client", "unsupported_response_type"}) {
        EXPECT_EQ(fault(provider_errc(word)).word, "provider_" + word);
    }
}

TEST(ProviderError, IsOneForAllOtherWords)
{
    for (auto word : {"", "error", "Access_Denied", "access_denied ", "denied",
             "access_denied_too", "provider_access_denied", "\r\n"}) {
        EXPECT_EQ(provider_errc(word), Errc::provider_error) << word;
    }
}

TEST(Result, IsAValueOrAnError)
{
    Result<std::string> good(std::string("value"));
    ASSERT_TRUE(good);
    EXPECT_EQ(*good, "value");
    EXPECT_EQ(good->size(), 5u);
    EXPECT_EQ(*std::as_const(good), "value");
    EXPECT_EQ(std::as_const(good)->size(), 5u);
    EXPECT_EQ(std::string(*std::move(good)), "value");

    Result<std::string> bad(Error{Errc::internal, "why"});
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().detail, "why");
    EXPECT_EQ(Error(std::move(bad).error()).code, Errc::internal);
}

}
}
