#include "oidc/logout.h"

#include "oidc/client_auth.h"
#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

// RP-Initiated Logout, 2
TEST(EndSessionUrl, CarriesWhatTheProviderNeeds)
{
    Metadata metadata;
    metadata.end_session_endpoint = "https://op.example/logout";
    auto client = example_client();
    EXPECT_EQ(end_session_url(metadata, client,
                  {"a.b.c", "https://app.example/bye?a=b&c", "s+1"}),
        "https://op.example/logout?client_id=app&id_token_hint=a.b.c"
        "&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye%3Fa%3Db%26c"
        "&state=s%2B1");
    EXPECT_EQ(end_session_url(metadata, client, {}),
        "https://op.example/logout?client_id=app");
    EXPECT_EQ(end_session_url(metadata, client, {"", "https://a", ""}),
        "https://op.example/logout?client_id=app"
        "&post_logout_redirect_uri=https%3A%2F%2Fa");
}

TEST(EndSessionUrl, KeepsTheQueryOfTheEndpoint)
{
    Metadata metadata;
    metadata.end_session_endpoint = "https://op.example/logout?p=signout";
    auto client = example_client();
    client.client_id = "an app&co";
    EXPECT_EQ(end_session_url(metadata, client, {}),
        "https://op.example/logout?p=signout&client_id=an%20app%26co");
}

// RFC 7009, 2.1
TEST(RevocationRequest, NamesTheToken)
{
    Metadata metadata;
    metadata.revocation_endpoint = "https://op.example/revoke?a=b";
    auto request = revocation_request(metadata, "r+t/1", "refresh_token");
    EXPECT_EQ(request.url, "https://op.example/revoke?a=b");
    EXPECT_EQ(request.body, "token=r%2Bt%2F1&token_type_hint=refresh_token");
    EXPECT_EQ(request.authorization, "");
    EXPECT_EQ(revocation_request(metadata, "a", "").body, "token=a");
}

TEST(RevocationRequest, IsAuthenticated)
{
    Metadata metadata;
    metadata.revocation_endpoint = "https://op.example/revoke";
    auto client = example_client();
    client.client_auth = ClientAuth::client_secret_post;
    auto request = revocation_request(metadata, "rt", "refresh_token");
    ASSERT_TRUE(authenticate(request, client, metadata, noon, random_bytes));
    auto sent = parameters(request.body);
    EXPECT_EQ(sent["token"], "rt");
    EXPECT_EQ(sent["client_id"], "app");
    EXPECT_EQ(sent["client_secret"], client.client_secret.reveal());
}

// RFC 7009, 2.2: the content of a 200 is ignored.
TEST(Revocation, IsGoodWith200)
{
    for (auto body : {"", "{}", "<html>", R"({"error":"invalid_request"})"}) {
        EXPECT_EQ(
            complaint(judge_revocation({200, "text/html", "", body})), "");
    }
    for (int status : {0, 302, 403, 404, 500, 503}) {
        EXPECT_EQ(complaint(judge_revocation(
                      {status, "application/json", "", R"({"error":"a"})"})),
            "upstream_status: provider returned status " +
                std::to_string(status));
    }
}

// RFC 7009, 2.2.1
TEST(Revocation, MayBeRefused)
{
    auto judged = [](int status, std::string body) {
        return complaint(judge_revocation(
            {status, "application/json", "", std::move(body)}));
    };
    EXPECT_EQ(judged(401, R"({"error":"invalid_client"})"),
        "provider_invalid_client: provider returned error \"invalid_client\"");
    EXPECT_EQ(judged(400, R"({"error":"unsupported_token_type"})"),
        "provider_error: provider returned error \"unsupported_token_type\"");
    EXPECT_EQ(judged(400, ""), "upstream_status: provider returned status 400");
}

}
}
