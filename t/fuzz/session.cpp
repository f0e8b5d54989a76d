#include "core/encoding.h"
#include "fuzz.h"
#include "oidc/cookie_content.h"
#include "oidc/session_seal.h"
#include "support/play.h"

namespace oidc::test {
namespace {

std::string header_of(const SealedSession& kept)
{
    Jar jar;
    jar.take(
        session_cookies(example_provider().client(), kept.cookie, {}, true));
    return jar.header();
}

// A session as created by IdToken::verify_login(), sealed.
const std::string& genuine()
{
    static const std::string header = [] {
        const auto& provider = example_provider();
        auto client = provider.client();
        client.id_token_algs = {"HS256"};
        auto claims = changed(example_claims(noon), {{"nonce", R"("n")"}});
        auto compact =
            Signer::secret(std::string(client.client_secret.reveal()))
                .sign("HS256", object(claims));
        auto keys = KeySet::parse(key_set({Signer::rsa().jwk()}));
        auto token =
            IdToken::verify_login(compact, {client, *keys, "n", "", noon});
        auto session =
            Session::begin(*token, {}, {}, client, noon, noon, fixed_bytes);
        return header_of(
            *seal_session(session, provider, 8192, noon, fixed_bytes));
    }();
    return header;
}

std::optional<Session> accept(std::optional<OpenedSession> opened)
{
    return opened ? Session::accept(std::move(*opened),
                        example_provider().client(), {}, noon)
                        .session :
                    std::nullopt;
}

std::optional<Session> open(std::string_view header)
{
    std::string_view lines[] = {header};
    return accept(first_held(lines, example_provider(), false).session);
}

}

// The Cookie header of a request.
FUZZ(session)
{
    if (auto session = open(input)) {
        demand(session->handle() == open(genuine())->handle(),
            "what opens was sealed");
        demand(session->claim("sub") == "user-1", "and is as it was");
    }
}

// The sealed content, as another version of the module might have written it.
FUZZ(sealed_session)
{
    const auto& provider = example_provider();
    auto value = base64url(provider.session_ring().seal(
        input, provider.session_seal_context(), fixed_bytes));
    Jar jar;
    CookieScope scope;
    scope.name = provider.client().cookie_name;
    jar.take(set_chunks(scope, value, {}));
    auto session = open(jar.header());
    if (!session) {
        return;
    }
    demand(session->expires() > noon, "not ended");

    auto kept = seal_session(*session, provider, 1 << 20, noon, fixed_bytes);
    if (!succeeds(kept)) {
        return;
    }
    auto opened = CookieContent::from_value(kept->cookie, provider);
    auto again = accept(kept->save ?
            open_stored(*opened.ticket, kept->save->blob, provider) :
            std::move(opened.session));
    demand(again.has_value(), "sealed and opened again");
    demand(again->handle() == session->handle(), "the same one");
    demand(again->expires() == session->expires(), "for as long");
    for (auto name : {"sub", "email", "", "other"}) {
        demand(
            again->claim(name) == session->claim(name), "with the same claims");
    }
    demand(again->id_token() == session->id_token(), "with the same ID token");
    demand(again->access_token() == session->access_token(),
        "with the same access token");
    demand(again->userinfo() == session->userinfo(), "with the same user info");
    demand(again->auth_time() == session->auth_time() &&
            again->access_token_expires() == session->access_token_expires(),
        "with the same times");
}

}
