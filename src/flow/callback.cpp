#include "flow/callback.h"

namespace oidc {

bool Callback::is_for(const Provider& provider, std::string_view query)
{
    auto reply = parse_reply(query);
    return reply && open_state(provider, reply->state);
}

Step Callback::start(const World& world)
{
    if (visit_.method != "GET") {
        return refuse({Errc::callback_malformed,
            "client sent method " + quoted(visit_.method)});
    }
    auto reply = parse_reply(visit_.query);
    if (!reply) {
        return refuse(std::move(reply).error());
    }
    reply_ = std::move(*reply);

    auto state = open_state(provider_, reply_.state);
    if (!state) {
        return refuse({Errc::state_invalid, "client sent a state not ours"});
    }
    state_ = std::move(*state);

    auto login = Login::of(provider_, visit_, state_.transaction);
    if (!login) {
        return refuse(std::move(login).error());
    }
    login_ = std::move(*login);
    return judge_state(world);
}

Step Callback::judge_state(const World& world)
{
    const auto& transaction = state_.transaction;
    auto binding = login_->find_binding(transaction);

    if (world.now >=
        transaction.started + provider_.client().pre_auth_timeout) {
        return stale(
            world, Errc::state_expired, "client sent a state that expired");
    }
    if (binding.bound == Bound::others && session_) {
        return go_home({});
    }
    if (binding.bound == Bound::others) {
        return refuse(
            {Errc::state_foreign, "client sent the state of another browser"});
    }
    if (binding.bound == Bound::none) {
        return stale(world, Errc::state_cookie,
            "client sent a state without the cookie of its login");
    }
    derived_ = derive(provider_, state_, binding.value);
    if (provider_.metadata(world.now) == nullptr) {
        return ask(Learn{Part::metadata}, &Callback::claim);
    }
    return claim(world, Ok{});
}

// A login page from the day before, cookies cleared meanwhile, or a connection
// lost in the middle: who is logged in goes on; who is not begins once more,
// but not for ever, since a browser may refuse cookies altogether.
Step Callback::stale(const World& world, Errc code, const char* what)
{
    if (session_) {
        return go_home({});
    }
    if (state_.transaction.attempt > 0) {
        return refuse({code, what});
    }
    if (provider_.metadata(world.now) == nullptr) {
        return ask(Learn{Part::metadata}, &Callback::restart);
    }
    return restart(world, Ok{});
}

Step Callback::restart(const World& world, Check learnt)
{
    auto metadata = provider_.metadata(world.now);
    if (metadata == nullptr) {
        return refuse(std::move(learnt).error());
    }
    return login_->begin_again(*metadata, state_.transaction, world);
}

Step Callback::claim(const World& world, Check learnt)
{
    auto metadata = provider_.metadata(world.now);
    if (metadata == nullptr) {
        return refuse(std::move(learnt).error());
    }
    auto from_issuer = check_issuer(reply_, provider_.client(), *metadata);
    if (!from_issuer) {
        return refuse(std::move(from_issuer).error());
    }
    metadata_ = *metadata;
    const auto& transaction = state_.transaction;
    return ask(Claim{transaction.id,
                   transaction.started + provider_.client().pre_auth_timeout},
        &Callback::claimed);
}

Step Callback::claimed(const World& world, Claimed claimed)
{
    constexpr auto used = "client sent a state that was used before";

    if (claimed.whose == Claimed::vanished) {
        return stale(world, Errc::state_used, used);
    }
    if (claimed.whose == Claimed::ended) {
        if (!claimed.cookies.empty() && !has_newer_session()) {
            return go_home(std::move(claimed.cookies));
        }
        if (session_) {
            return go_home({});
        }
        return refuse({Errc::state_used, used});
    }
    auto outcome = check_outcome(reply_);
    if (!outcome) {
        return refuse(std::move(outcome).error());
    }
    const auto& client = provider_.client();
    auto pkce = client.pkce && metadata_.s256;
    auto request = code_request(client, metadata_, *reply_.code,
        login_->redirect_uri(), pkce ? derived_.verifier : "");
    if (!request) {
        return refuse(std::move(request).error());
    }
    return ask(Fetch{std::move(*request)}, &Callback::tokens);
}

// A session of a login that ended after this one began, not to be replaced by
// this one's.
bool Callback::has_newer_session() const
{
    return session_ &&
        session_->expires() - provider_.client().session_timeout >=
        state_.transaction.started;
}

Step Callback::tokens(const World& world, Result<HttpResponse> response)
{
    if (!response) {
        return refuse(std::move(response).error());
    }
    auto tokens = parse_tokens(*response);
    if (!tokens) {
        return refuse(std::move(tokens).error());
    }
    tokens_ = std::move(*tokens);
    if (provider_.keys(world.now) == nullptr) {
        return ask(Learn{Part::keys}, &Callback::verify);
    }
    return verify(world, Ok{});
}

Step Callback::verify(const World& world, Check learnt)
{
    auto keys = provider_.keys(world.now);
    if (keys == nullptr) {
        return refuse(std::move(learnt).error());
    }
    auto token = IdToken::verify(tokens_.id_token,
        {provider_.client(), *keys, derived_.nonce, tokens_.access_token,
            world.now});
    if (!token) {
        return judge_error(world, std::move(token).error());
    }
    return finish(world, *token);
}

// The provider may have changed its keys since we last asked: ask again, once.
Step Callback::judge_error(const World& world, Error error)
{
    if (!wants_newer_keys(error) || renewed_keys_ ||
        !provider_.may_renew_keys(world.now)) {
        return refuse(std::move(error));
    }
    renewed_keys_ = true;
    provider_.forget_keys();
    return ask(Learn{Part::keys}, &Callback::verify);
}

Step Callback::finish(const World& world, const IdToken& token)
{
    auto session = Session::begin(
        token, tokens_, provider_.client(), world.now, world.random);
    auto cookies = session.seal(provider_, visit_.cookies, login_->secure(),
        visit_.cookie_room, world.random);
    if (!cookies) {
        return refuse(std::move(cookies).error());
    }
    auto end = go_home(std::move(*cookies));
    end.session = std::move(session);
    return end;
}

Finish Callback::go_home(std::vector<std::string> cookies)
{
    const auto& transaction = state_.transaction;

    Finish finish;
    finish.location = login_->return_location(transaction);
    // A strict cookie stays away from a redirect that another site began.
    finish.by_page = provider_.client().cookie_same_site == "Strict";
    finish.cookies = std::move(cookies);
    finish.claimed = transaction.id;
    for (auto& cookie : login_->clear(transaction)) {
        finish.cookies.push_back(std::move(cookie));
    }
    return finish;
}

}
