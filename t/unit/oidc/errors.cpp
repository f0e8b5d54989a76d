#include "oidc/errors.h"

#include <gtest/gtest.h>

#include <set>

namespace oidc::test {
namespace {

constexpr auto codes = static_cast<std::size_t>(Errc::store_full) + 1;

// Errors with which the provider answered us have words of others.
bool is_refusal(Errc code)
{
    return code >= Errc::refused_error &&
        code <= Errc::refused_unsupported_response_type;
}

int status_of_refusal(Errc code)
{
    switch (code) {
    case Errc::refused_invalid_client:
    case Errc::refused_invalid_scope:
    case Errc::refused_unauthorized_client:
    case Errc::refused_unsupported_response_type:
        return 500;
    case Errc::refused_invalid_grant:
        return 400;
    default:
        return 502;
    }
}

// A token that is refused for its time or its key is a fault of the operator or
// of the provider.
bool is_for_operator(std::string_view word)
{
    for (auto end : {"_key", "_signature", "_encryption", "_expired",
             "_not_yet_valid", "_issued_at", "_refused"}) {
        if (!word.starts_with("logout_") && word.ends_with(end)) {
            return true;
        }
    }
    return false;
}

// The status by the word, as docs/directives.md has it.
int status_of(std::string_view word)
{
    if (is_for_operator(word)) {
        return 502;
    }
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
    if (word == "forbidden") {
        return 403;
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
        auto code = static_cast<Errc>(i);
        const auto& row = fault(code);
        EXPECT_EQ(row.status,
            is_refusal(code) ? status_of_refusal(code) : status_of(row.word))
            << row.word;
    }
}

TEST(Fault, HasAWordOfItsOwn)
{
    std::set<std::string_view> words;
    for (std::size_t i = 0; i < codes; i++) {
        auto code = static_cast<Errc>(i);
        auto word = fault(code).word;
        EXPECT_EQ(words.insert(word).second, !is_refusal(code)) << word;
        EXPECT_EQ(
            word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), word.npos);
    }
}

// Any client can cause these; only the operator can fix the others.
TEST(Fault, OfAClientIsAWarning)
{
    for (std::size_t i = 0; i < codes; i++) {
        const auto& row = fault(static_cast<Errc>(i));
        auto clients = row.word.starts_with("state_") ||
            row.word.starts_with("logout_") ||
            row.word.starts_with("request_") || row.word == "login_loop" ||
            row.word == "login_limit" || row.word == "login_unasked" ||
            row.word == "callback_malformed" ||
            row.code == Errc::provider_access_denied;
        auto is_notable =
            row.word == "login_loop" || row.word == "state_cookie";
        EXPECT_EQ(row.level,
            is_notable  ? Level::notable :
                clients ? Level::warn :
                          Level::error)
            << row.word;
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
        EXPECT_FALSE(is_refusal(provider_errc(word)));
        EXPECT_EQ(fault(refusal_errc(word)).word, "provider_" + word);
        EXPECT_TRUE(is_refusal(refusal_errc(word)));
    }
}

TEST(ProviderError, IsOneCodeForAllOtherWords)
{
    for (auto word : {"", "error", "Access_Denied", "access_denied ", "denied",
             "access_denied_too", "provider_access_denied", "\r\n"}) {
        EXPECT_EQ(provider_errc(word), Errc::provider_error) << word;
        EXPECT_EQ(refusal_errc(word), Errc::refused_error) << word;
    }
}

TEST(NewerKeys, AreWantedForKeyAndSignatureAlone)
{
    for (auto code = Errc::internal; code <= Errc::store_full;
         code = static_cast<Errc>(static_cast<int>(code) + 1)) {
        EXPECT_EQ(wants_newer_keys({code, ""}),
            code == Errc::id_token_key || code == Errc::id_token_signature ||
                code == Errc::userinfo_key ||
                code == Errc::userinfo_signature ||
                code == Errc::logout_token_key ||
                code == Errc::logout_token_signature);
    }
}

}

TEST(AskedUrl, IsNamedOnceWithoutItsQuery)
{
    constexpr auto url = "https://op.example/token?a=b";
    EXPECT_EQ(asked_url(url, {Errc::provider_invalid_client, "refused"}),
        ", url \"https://op.example/token\"");
    EXPECT_EQ(asked_url(url, {Errc::id_token_expired, "expired"}),
        ", url \"https://op.example/token\"");
    EXPECT_EQ(asked_url(url,
                  {Errc::upstream_timeout, "at \"https://op.example/token\""}),
        "");
    EXPECT_EQ(asked_url(url, {Errc::store_full, "full"}), "");
    EXPECT_EQ(asked_url("", {Errc::upstream_timeout, "late"}), "");
}

}
