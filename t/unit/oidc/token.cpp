#include "oidc/token.h"

#include "core/encoding.h"
#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

constexpr auto callback_uri = "https://app.example/oidc_callback";

TEST(CodeRequest, RedeemsTheCode)
{
    Metadata metadata;
    metadata.token_endpoint = "https://op.example/token?a=b";
    auto request = code_request(metadata, "a+b", callback_uri, "verifier");
    EXPECT_EQ(request.url, "https://op.example/token?a=b");
    EXPECT_EQ(request.authorization, "");
    EXPECT_EQ(request.body,
        "grant_type=authorization_code&code=a%2Bb"
        "&redirect_uri=https%3A%2F%2Fapp.example%2Foidc_callback"
        "&code_verifier=verifier");
    EXPECT_EQ(request.limit, 64u * 1024);
    EXPECT_EQ(request.accept, "application/json");
}

TEST(CodeRequest, HasNoVerifierWithoutPkce)
{
    auto request = code_request({}, "a", callback_uri, "");
    EXPECT_EQ(request.body.find("code_verifier"), std::string::npos);
}

TEST(RefreshRequest, SendsTheRefreshToken)
{
    Metadata metadata;
    metadata.token_endpoint = "https://op.example/token?a=b";
    auto request = refresh_request(metadata, "r+t/1");
    EXPECT_EQ(request.url, "https://op.example/token?a=b");
    EXPECT_EQ(request.authorization, "");
    EXPECT_EQ(request.body, "grant_type=refresh_token&refresh_token=r%2Bt%2F1");
    EXPECT_EQ(request.accept, "application/json");
}

Members good_response()
{
    return {{"access_token", R"("at")"}, {"token_type", R"("Bearer")"},
        {"expires_in", "300"}, {"id_token", R"("a.b.c")"}};
}

Result<Tokens> parse(const Members& changes)
{
    return parse_tokens(json_answer(object(changed(good_response(), changes))));
}

TEST(TokenResponse, HoldsTheTokens)
{
    auto tokens = parse({{"refresh_token", "\"rt\""}, {"scope", "7"}});
    ASSERT_EQ(complaint(tokens), "");
    EXPECT_EQ(tokens->access_token, "at");
    EXPECT_EQ(tokens->refresh_token, "rt");
    EXPECT_EQ(tokens->id_token, "a.b.c");
    EXPECT_EQ(tokens->expires_in, 300s);
}

// RFC 6749, 5.1
TEST(TokenResponse, AcceptsBearerInAnyCase)
{
    for (auto type : {"bearer", "BEARER", "bEaReR"}) {
        EXPECT_TRUE(parse({{"token_type", "\""s + type + "\""}})) << type;
    }
    for (auto type : {"1", "\"\"", "\"MAC\"", "\"DPoP\"", "\"Bearer \"",
             "\"Beare\"", "\"Bearers\""}) {
        EXPECT_EQ(complaint(parse({{"token_type", type}})),
            "upstream_token: provider sent a token response whose token type "
            "is not Bearer")
            << type;
    }
}

// As Rancher sends it
TEST(TokenResponse, WithoutATypeIsTakenAsBearer)
{
    constexpr auto notice =
        "provider sent a token response without token_type, Bearer is assumed";
    auto tokens = parse({{"token_type", ""}});
    ASSERT_EQ(complaint(tokens), "");
    EXPECT_EQ(tokens->access_token, "at");
    EXPECT_EQ(tokens->notice, notice);
    EXPECT_EQ(parse({})->notice, "");
}

constexpr auto no_access_token = "upstream_token: provider sent a token "
                                 "response without a valid access token";

TEST(TokenResponse, NeedsBothTokens)
{
    for (auto value : {"", "null", "\"\"", "1", "[\"a\"]", "{}"}) {
        EXPECT_EQ(complaint(parse({{"access_token", value}})), no_access_token)
            << value;
        EXPECT_EQ(complaint(parse({{"id_token", value}})),
            "id_token_missing: provider sent a token response without an id "
            "token")
            << value;
    }
}

// RFC 6749, A.12: visible ASCII and spaces. $oidc_access_token may be sent to
// the application in a header.
TEST(TokenResponse, RefusesAnAccessTokenThatIsNotAHeaderValue)
{
    for (auto token : {R"("a\r\nX-Admin: 1")", R"("a\nb")", R"("a\u007fb")",
             R"("\u0001")", "\"\xc3\xa9\""}) {
        EXPECT_EQ(complaint(parse({{"access_token", token}})), no_access_token)
            << token;
    }
    EXPECT_TRUE(parse({{"access_token", R"("!a b~")"}}));
}

// RFC 6749, A.17. Others are ignored.
TEST(TokenResponse, AcceptsAPrintableRefreshToken)
{
    for (auto token : {"", "null", "7", R"("")", R"("a\r\nb")", R"(["rt"])",
             "\"\xc3\xa9\""}) {
        auto tokens = parse({{"refresh_token", token}});
        ASSERT_EQ(complaint(tokens), "") << token;
        EXPECT_EQ(tokens->refresh_token, "") << token;
    }
    EXPECT_EQ(parse({{"refresh_token", R"("!a b~")"}})->refresh_token, "!a b~");
}

// Core, 12.2
TEST(RefreshResponse, MayLeaveTheIdTokenOut)
{
    for (auto token : {"", "null", "7", R"("")"}) {
        auto answer = json_answer(
            object(changed(good_response(), {{"id_token", token}})));
        auto tokens = parse_refreshed(answer);
        ASSERT_EQ(complaint(tokens), "") << token;
        EXPECT_EQ(tokens->id_token, "") << token;
        EXPECT_EQ(tokens->access_token, "at");
    }
    auto whole = parse_refreshed(json_answer(object(good_response())));
    EXPECT_EQ(whole->id_token, "a.b.c");
}

TEST(RefreshResponse, IsRefusedAsATokenResponseIs)
{
    auto good = good_response();
    const HttpResponse refused[] = {
        {400, "application/json", "", R"({"error":"invalid_grant"})"},
        {503, "application/json", "", object(good)},
        {200, "text/html", "", object(good)},
        json_answer("{"),
        json_answer(object(changed(good, {{"access_token", ""}}))),
        json_answer(object(changed(good, {{"token_type", R"("MAC")"}}))),
    };
    for (const auto& response : refused) {
        EXPECT_NE(complaint(parse_refreshed(response)), "");
        EXPECT_EQ(complaint(parse_refreshed(response)),
            complaint(parse_tokens(response)));
    }
}

TEST(TokenResponse, ReadsALifetimeOfAtMostTenYears)
{
    constexpr struct {
        const char* text;
        std::int64_t seconds;
    } lifetimes[] = {
        {"", 0},
        {"0", 0},
        {"300", 300},
        {"300.9", 300},
        {"-1", 0},
        {"\"300\"", 300},
        {"\"315360001\"", 315360000},
        {"\"9223372036854775807\"", 0},
        {"\"300s\"", 0},
        {"null", 0},
        {"315360000", 315360000},
        {"315360001", 315360000},
        {"9223372036854775807", 0},
    };
    for (const auto& [text, seconds] : lifetimes) {
        EXPECT_EQ(parse({{"expires_in", text}})->expires_in.count(), seconds)
            << text;
    }
}

// RFC 6749, 5.2
TEST(TokenResponse, MayBeARefusal)
{
    auto refused = [](int status, std::string body) {
        return complaint(
            parse_tokens({status, "application/json", "", std::move(body)}));
    };
    for (int status : {400, 401}) {
        EXPECT_EQ(refused(status, R"({"error":"invalid_grant"})"),
            "provider_invalid_grant: provider returned error "
            "\"invalid_grant\"");
        EXPECT_EQ(
            refused(status,
                R"({"error":"invalid_client","error_description":"a\n"})"),
            "provider_invalid_client: provider returned error "
            "\"invalid_client\", \"a\\x0A\"");
        EXPECT_EQ(refused(status, R"({"error":"unheard_of"})"),
            "provider_error: provider returned error \"unheard_of\"");
        for (auto body : {"", "<html>", "{}", R"({"error":1})", "[]"}) {
            EXPECT_EQ(refused(status, body),
                "upstream_status: provider returned status " +
                    std::to_string(status));
        }
    }
    EXPECT_EQ(refused(403, R"({"error":"invalid_grant"})"),
        "upstream_status: provider returned status 403");
}

TEST(TokenResponse, MayBeARefusalWithAStatusOfSuccess)
{
    auto with_error = [](int status, const std::string& error) {
        return HttpResponse{status, "application/json", "",
            object(changed(good_response(), {{"error", error}}))};
    };
    for (int status : {200, 201, 202, 204, 226, 299}) {
        auto response = with_error(status, R"("invalid_grant")");
        constexpr auto why = "provider_invalid_grant: provider returned error "
                             "\"invalid_grant\"";
        EXPECT_EQ(complaint(parse_tokens(response)), why) << status;
        EXPECT_EQ(complaint(parse_refreshed(response)), why) << status;
    }
    EXPECT_EQ(
        complaint(parse_tokens({200, "text/plain", "", R"({"error":"a"})"})),
        "provider_error: provider returned error \"a\"");
    for (auto error : {"null", "0", "false", R"("")", "[]", "{}"}) {
        EXPECT_EQ(complaint(parse_tokens(with_error(200, error))), "") << error;
    }
    EXPECT_EQ(complaint(parse_tokens(with_error(199, R"("a")"))),
        "upstream_status: provider returned status 199");
}

TEST(TokenResponse, IsA200OfJson)
{
    auto good = object(good_response());
    auto refused = [](HttpResponse response) {
        return complaint(parse_tokens(response));
    };
    for (int status : {0, 201, 302, 404, 500, 503}) {
        EXPECT_EQ(refused({status, "application/json", "", good}),
            "upstream_status: provider returned status " +
                std::to_string(status));
    }
    EXPECT_EQ(refused({200, "text/html", "", good}),
        "upstream_status: provider sent content type \"text/html\" instead of "
        "JSON");
    EXPECT_EQ(refused(json_answer("{")),
        "upstream_token: provider sent a token response that is malformed "
        "JSON");
    EXPECT_EQ(refused(json_answer(R"({"id_token":"a","id_token":"b"})")),
        "upstream_token: provider sent a token response that is JSON with a "
        "duplicate member");
}

}
}
