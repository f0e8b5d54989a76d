#include "core/encoding.h"
#include "fuzz.h"
#include "oidc/authorize.h"
#include "oidc/token.h"

#include <charconv>

namespace oidc::test {
namespace {

// A status, then the body.
HttpResponse answer(std::string_view input)
{
    HttpResponse response{200, "application/json", "", ""};
    auto status = take_line(input);
    std::from_chars(
        status.data(), status.data() + status.size(), response.status);
    response.body = input;
    return response;
}

}

FUZZ(token_response)
{
    auto response = answer(input);
    auto tokens = parse_tokens(response);
    if (!succeeds(tokens)) {
        return;
    }
    demand(response.status == 200, "only from a success");
    demand(!tokens->id_token.empty(), "an ID token");
    demand(!tokens->access_token.empty() && is_printable(tokens->access_token),
        "an access token that fits into a header");
    demand(tokens->expires_in >= 0s && tokens->expires_in <= 10 * 366 * 24h,
        "a lifetime that cannot overflow");
}

// The response to a refresh, which may omit only the ID token.
FUZZ(refreshed_tokens)
{
    auto response = answer(input);
    auto refreshed = parse_refreshed(response);
    auto tokens = parse_tokens(response);
    if (!succeeds(refreshed)) {
        demand(!tokens, "nor is it one of a login");
        return;
    }
    demand(response.status == 200, "only from a success");
    demand(static_cast<bool>(tokens) == !refreshed->id_token.empty(),
        "with an ID token it could be one of a login");
    demand(!refreshed->access_token.empty() &&
            is_printable(refreshed->access_token),
        "an access token that fits into a header");
    demand(is_printable(refreshed->refresh_token), "a refresh token or none");
    demand(
        refreshed->expires_in >= 0s && refreshed->expires_in <= 10 * 366 * 24h,
        "a lifetime that cannot overflow");
}

// The response to a pushed authorization request.
FUZZ(pushed_response)
{
    auto response = answer(input);
    auto parameters = parse_pushed(example_provider().client(), response);
    if (!succeeds(parameters)) {
        return;
    }
    demand(response.status == 200 || response.status == 201,
        "only from a success");
    demand(is_printable(*parameters), "fit for a location");
    auto form = parse_form(*parameters);
    demand(form && form->size() == 2, "two parameters");
    demand((*form)[0].name == "client_id" && (*form)[0].value == "app",
        "our client_id");
    demand((*form)[1].name == "request_uri" && !(*form)[1].value.empty(),
        "and a request_uri");
}

}
