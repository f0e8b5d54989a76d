#include "oidc/authorize.h"

#include "core/encoding.h"
#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;

// RFC 7636, appendix B
TEST(Pkce, GivesTheExample)
{
    EXPECT_EQ(code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
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

TEST(AuthorizationUrl, HasEveryParameterOnce)
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

TEST(AuthorizationUrl, HasNoPkceIfItIsOffOrExcluded)
{
    auto client = example_client();
    auto metadata = endpoint(op);
    metadata.s256 = false;
    EXPECT_FALSE(parameters(url_of(client, metadata)).count("code_challenge"));
    metadata.s256 = true;
    client.pkce = Pkce::off;
    auto sent = parameters(url_of(client, metadata));
    EXPECT_FALSE(sent.count("code_challenge"));
    EXPECT_FALSE(sent.count("code_challenge_method"));
}

TEST(AuthorizationUrl, HasPkceIfItIsOnAlthoughTheMetadataExcludesIt)
{
    auto client = example_client();
    auto metadata = endpoint(op);
    metadata.s256 = false;
    client.pkce = Pkce::on;
    EXPECT_EQ(parameters(url_of(client, metadata)).at("code_challenge_method"),
        "S256");
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

TEST(AuthorizationResponse, HasItsParameters)
{
    auto response = parse_authorization_response(
        "code=a%2Bb&state=s&iss=https%3A%2F%2Fop&error=e"
        "&error_description=d+e&session_state=x");
    ASSERT_EQ(complaint(response), "");
    EXPECT_EQ(response->state, "s");
    EXPECT_EQ(response->code, "a+b");
    EXPECT_EQ(response->iss, "https://op");
    EXPECT_EQ(response->error, "e");
    EXPECT_EQ(response->error_description, "d e");

    auto least = parse_authorization_response("state=s");
    EXPECT_FALSE(least->code);
    EXPECT_FALSE(least->error);
    EXPECT_FALSE(least->iss);
    EXPECT_EQ(least->error_description, "");
}

TEST(AuthorizationResponse, NeedsAState)
{
    for (auto query : {"", "code=a", "code=a&state=", "State=s", "state",
             "error=access_denied", "&&&"}) {
        EXPECT_EQ(complaint(parse_authorization_response(query)),
            "state_missing: client sent no state")
            << query;
    }
}

TEST(AuthorizationResponse, RefusesAParameterTwice)
{
    for (std::string name :
        {"state", "code", "error", "error_description", "iss"}) {
        for (std::string_view value : {"", "a"}) {
            auto query = "state=s&";
            auto pair = name + "=" + std::string(value);
            EXPECT_EQ(complaint(parse_authorization_response(
                          (name == "state" ? "" : query) + pair + "&" + pair)),
                "callback_malformed: client sent parameter " + name + " twice");
        }
    }
    EXPECT_EQ(
        complaint(parse_authorization_response("state=s&code=a&c%6fde=b")),
        "callback_malformed: client sent parameter code twice");
    EXPECT_EQ(
        complaint(parse_authorization_response("state=s&foo=a&foo=b")), "");
}

TEST(AuthorizationResponse, BoundsEveryParameter)
{
    constexpr struct {
        const char* name;
        std::size_t most;
    } bounds[] = {
        {"state", 8192},
        {"code", 4096},
        {"error", 1024},
        {"iss", 1024},
    };
    for (const auto& [name, most] : bounds) {
        auto response = [&, name = name](std::size_t size) {
            auto state = name == "state"s ? "" : "&state=s";
            return complaint(parse_authorization_response(
                name + "="s + std::string(size, 'a') + state));
        };
        EXPECT_EQ(response(most), "") << name;
        EXPECT_EQ(response(most + 1),
            "callback_malformed: client sent parameter "s + name +
                " longer than " + std::to_string(most) + " bytes");
    }
    EXPECT_EQ(complaint(parse_authorization_response(
                  "state=s&x=" + std::string(9000, 'x'))),
        "");
}

// A long description must not hide the error.
TEST(AuthorizationResponse, CutsItsDescription)
{
    for (std::size_t size : {1023, 1024, 1025, 5000}) {
        auto response = parse_authorization_response(
            "state=s&error=e&error_description=" + std::string(size, 'd'));
        ASSERT_EQ(complaint(response), "") << size;
        EXPECT_EQ(response->error, "e");
        EXPECT_EQ(response->error_description.size(),
            std::min<std::size_t>(size, 1024));
    }
}

TEST(AuthorizationResponse, IsAForm)
{
    EXPECT_EQ(complaint(parse_authorization_response("state=%")),
        "callback_malformed: client sent a parameter that is not "
        "form-urlencoded");
    std::string many = "state=s";
    for (int i = 0; i < 64; i++) {
        many += "&a=" + std::to_string(i);
    }
    EXPECT_EQ(complaint(parse_authorization_response(many)),
        "callback_malformed: client sent too many parameters");
}

std::string issuer_complaint(std::optional<std::string> iss, bool promised)
{
    AuthorizationResponse response;
    response.iss = std::move(iss);
    Metadata metadata;
    metadata.promises_iss = promised;
    return complaint(check_issuer(response, example_client(), metadata, false));
}

// RFC 9207, 2.4
TEST(AuthorizationResponseIssuer, IsComparedIfPresent)
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

TEST(AuthorizationResponseIssuer, IsRequiredIfPromised)
{
    EXPECT_EQ(issuer_complaint({}, false), "");
    EXPECT_EQ(issuer_complaint({}, true),
        "callback_issuer: authorization response has no iss, although the "
        "metadata announces it");
}

TEST(AuthorizationResponseOutcome, IsACodeOrAnError)
{
    auto outcome = [](std::string query) {
        return complaint(
            check_outcome(*parse_authorization_response("state=s" + query)));
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

TEST(AuthorizationParameters, NameTheResponseModeUnlessItIsTheDefault)
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

TEST(PushedAuthorization, IsUsedIfOnOrRequired)
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
    for (int status : {200, 201, 202}) {
        EXPECT_EQ(pushed(status,
                      R"({"request_uri":"urn:a","error":"invalid_scope"})"),
            "provider_invalid_scope: provider returned error "
            "\"invalid_scope\"");
    }
    for (int status : {0, 202, 204, 301, 302, 403, 404, 405, 413, 429, 500}) {
        EXPECT_EQ(pushed(status, R"({"request_uri":"urn:a"})"),
            "upstream_status: provider returned status " +
                std::to_string(status));
    }
}

TEST(PushedAuthorization, NeedsARequestUriOfAtMost1024Bytes)
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
