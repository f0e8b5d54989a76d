#include "flow/callback.h"

#include "core/encoding.h"
#include "oidc/client_auth.h"
#include "oidc/cookies.h"

namespace oidc {
namespace {

// Proves that a callback is a copy of the one whose result it gets: a client
// that only knows the state, or planted the cookie, does not know the code.
std::string proof_of_copy(const AuthorizationResponse& reply)
{
    return base64url(
        digest(Hash::sha256, bind_fields({"copy", reply.code.value_or("")})));
}

}

bool Callback::is_for(const Provider& provider, std::string_view form)
{
    auto reply = parse_authorization_response(form);
    return reply && open_state(provider, reply->state);
}

Step Callback::start(const Environment& env)
{
    auto reply = parse_authorization_response(view_.reply);
    if (!takes_method(reply)) {
        return no_callback({Errc::callback_malformed,
            "client sent unsupported method " + quoted(view_.method)});
    }
    if (!reply) {
        return no_callback(std::move(reply).error());
    }
    reply_ = std::move(*reply);

    auto state = open_state(provider_, reply_.state);
    if (!state) {
        return no_state({Errc::state_invalid, "client sent an unknown state"});
    }
    state_ = std::move(*state);

    auto login = Login::of(provider_, view_, state_.transaction);
    if (!login) {
        return refuse(std::move(login).error());
    }
    login_ = std::move(*login);
    return judge_state(env);
}

// The provider's page posts a form, or redirects. The redirect of
// test_cookies() has a state alone.
bool Callback::takes_method(const Result<AuthorizationResponse>& reply) const
{
    auto posted = provider_.client().response_mode == ResponseMode::form_post;
    auto has_state_alone = reply && !reply->code && !reply->error;
    return posted ?
        view_.method == "POST" || (view_.method == "GET" && has_state_alone) :
        view_.method == "GET";
}

// A bookmark or a restored page: a user with a session goes to "/".
Step Callback::no_callback(Error error)
{
    if (!session_) {
        return refuse(std::move(error));
    }
    return go_to_root();
}

Finish Callback::go_to_root() const
{
    Finish finish;
    finish.location = site_of(provider_.client(), view_.origin).prefix + "/";
    return finish;
}

// The keys may have changed since this browser began its login, by an upgrade
// or at another node.
Step Callback::no_state(Error error)
{
    auto login = Login::at(provider_, view_);
    if (session_ || !login || !login->knows_browser() ||
        !is_of_other_keys(provider_, reply_.state) ||
        login->login_count() >= Login::max_logins) {
        return no_callback(std::move(error));
    }
    auto finish = go_to_root();
    finish.cookies.push_back(login->set_login_count(login->login_count() + 1));
    return finish;
}

Step Callback::judge_state(const Environment& env)
{
    const auto& transaction = state_.transaction;
    auto login_cookie = login_->find_login_cookie(transaction);
    auto is_late =
        env.now >= transaction.started + provider_.client().pre_auth_timeout;

    auto is_others = login_cookie.bound == Bound::others;

    if (is_others && session_) {
        return return_to_page({});
    }
    if (is_late || login_cookie.bound == Bound::none ||
        (is_others && login_->has_moved_to_https(transaction))) {
        return end_late();
    }
    if (is_others) {
        return refuse(
            {Errc::state_foreign, "client sent the state of another browser"});
    }
    derived_ = derive(provider_, state_, login_cookie.value);
    return ask(NeedMetadata{}, &Callback::judge_response);
}

// A login page left open overnight, deleted cookies, or a lost connection: the
// browser goes to its page. With a session by now it gets that page; otherwise
// a new login begins there, subject to its limits.
Finish Callback::end_late()
{
    if (session_) {
        return return_to_page({});
    }
    auto login_count = login_->login_count();
    if (login_count >= Login::max_logins) {
        return failed(login_loop(login_count));
    }
    if (!login_->has_cookie()) {
        return is_test() ? failed({Errc::state_cookie,
                               "client sent a state without a login cookie"}) :
                           test_cookies();
    }
    Finish finish;
    finish.location = login_->return_location(state_.transaction);
    finish.cookies = login_->clear(state_.transaction);
    if (!is_test()) { // that login has been counted
        finish.cookies.push_back(count_login());
    }
    return finish;
}

// A browser that keeps no cookies would loop for ever.
Finish Callback::test_cookies()
{
    std::string query;
    append_parameter(query, "state", reply_.state);

    Finish finish;
    finish.location = "?" + query;
    finish.cookies.push_back(count_login());
    return finish;
}

std::string Callback::count_login() const
{
    return login_->set_login_count(login_->login_count() + 1);
}

Step Callback::judge_response(const Environment&, MetadataReply metadata)
{
    if (!metadata) {
        return refuse(std::move(metadata).error());
    }
    metadata_ = std::move(*metadata);
    auto from_issuer = check_issuer(
        reply_, provider_.client(), *metadata_, view_.shares_callback);
    if (!from_issuer) {
        return refuse(std::move(from_issuer).error());
    }
    auto outcome = check_outcome(reply_);
    if (!outcome && session_ && is_test()) {
        return return_to_page({});
    }
    if (!outcome) {
        return refuse(std::move(outcome).error());
    }
    if (!state_.transaction.receipt.empty()) {
        return acquire_state();
    }
    return ask(Charge{Work::login}, &Callback::charged);
}

Step Callback::charged(const Environment&, Result<std::string> receipt)
{
    if (!receipt) {
        return refuse(std::move(receipt).error());
    }
    receipt_ = std::move(*receipt);
    return acquire_state();
}

Step Callback::acquire_state()
{
    const auto& transaction = state_.transaction;
    return ask(Acquire{transaction.id,
                   transaction.started + provider_.client().pre_auth_timeout},
        &Callback::acquired);
}

Step Callback::acquired(const Environment&, Result<Acquired> acquired)
{
    if (!acquired) {
        return refuse(std::move(acquired).error());
    }
    if (acquired->whose == Acquired::ours) {
        return ask(ReadClock{}, &Callback::redeem);
    }
    auto end = acquired->whose == Acquired::ended ?
        answer_copy(std::move(acquired->result)) :
        end_late();
    end.refund = receipt_;
    return end;
}

Finish Callback::answer_copy(std::vector<std::string> result)
{
    auto is_copy =
        !result.empty() && equal(result.front(), proof_of_copy(reply_));
    if (is_copy && !has_newer_session()) {
        result.erase(result.begin());
        return return_to_page(std::move(result));
    }
    if (session_) {
        return return_to_page({});
    }
    return failed(
        {Errc::state_used, "client sent a state that was used before"});
}

// The session begins now, so that a logout that arrives before the provider's
// response ends it, too.
Step Callback::redeem(const Environment& env, Result<TimeMs> arrived)
{
    if (!arrived) {
        return refuse(std::move(arrived).error());
    }
    arrived_ = *arrived;
    const auto& client = provider_.client();
    auto request =
        code_request(*metadata_, *reply_.code, login_->redirect_uri(),
            uses_pkce(client, *metadata_) ? derived_.verifier : "");
    auto proven =
        authenticate(request, client, *metadata_, env.now, env.random);
    if (!proven) {
        return refuse(std::move(proven).error());
    }
    return ask(Fetch{std::move(request)}, &Callback::tokens);
}

// A session of a login that ended after this one began is not replaced.
bool Callback::has_newer_session() const
{
    return session_ && session_->started() >= state_.transaction.started;
}

Step Callback::tokens(const Environment&, Result<HttpResponse> response)
{
    auto tokens = std::move(response).and_then(parse_tokens);
    if (!tokens) {
        // A code used before, perhaps before an upgrade lost its lock.
        auto is_old = tokens.error().code == Errc::refused_invalid_grant;
        return is_old && has_newer_session() ?
            return_to_page({}) :
            refuse(std::move(tokens).error());
    }
    tokens_ = std::move(*tokens);
    return ask(NeedKeys{}, &Callback::verify);
}

Step Callback::verify(const Environment& env, KeysReply keys)
{
    if (!keys) {
        return refuse(std::move(keys).error());
    }
    keys_ = std::move(*keys);
    auto token = IdToken::verify_login(tokens_.id_token,
        {provider_.client(), *keys_, derived_.nonce, tokens_.access_token,
            env.now});
    if (!token) {
        return judge_error(std::move(token).error(), &Callback::verify);
    }
    token_ = std::move(*token);
    if (!provider_.client().userinfo) {
        return finish(env);
    }
    return ask(Fetch{userinfo_request(*metadata_, tokens_.access_token)},
        &Callback::take_userinfo);
}

Step Callback::take_userinfo(
    const Environment& env, Result<HttpResponse> response)
{
    if (!response) {
        return refuse(std::move(response).error());
    }
    response_ = std::move(*response);
    return verify_userinfo(env, keys_);
}

Step Callback::verify_userinfo(const Environment& env, KeysReply keys)
{
    if (!keys) {
        return refuse(std::move(keys).error());
    }
    keys_ = std::move(*keys);
    auto userinfo = UserInfo::verify(
        response_, {provider_.client(), *keys_, token_->subject()});
    if (!userinfo) {
        return judge_error(
            std::move(userinfo).error(), &Callback::verify_userinfo);
    }
    userinfo_ = std::move(*userinfo);
    return finish(env);
}

Step Callback::judge_error(Error error, Next<KeysReply> again)
{
    return may_retry(error) ? retry({keys_}, std::move(error), again) :
                              refuse(std::move(error));
}

Step Callback::finish(const Environment& env)
{
    begun_ = Session::begin(*token_, userinfo_, tokens_, provider_.client(),
        arrived_, env.now, env.random);
    auto location = login_->return_location(state_.transaction);
    auto kept = seal_session(*begun_, provider_, view_.cookie_room, env.now,
        env.random, room_in_head(location, {count_login()}), login_->site());
    if (!kept) {
        return refuse(std::move(kept).error());
    }
    const auto& client = provider_.client();
    cookies_ = clear_unpartitioned(client, view_.cookies, login_->site());
    auto set =
        session_cookies(client, kept->cookie, view_.cookies, login_->site());
    cookies_.insert(cookies_.end(), set.begin(), set.end());
    if (!kept->save) {
        return saved(env, Ok{});
    }
    return ask(std::move(*kept->save), &Callback::saved);
}

// Delete the replaced session instead of leaving it to expire.
Step Callback::saved(const Environment& env, Check saved)
{
    if (!saved) {
        return refuse(std::move(saved).error());
    }
    if (session_ && session_->ticket()) {
        return ask(Drop{session_->ticket()->key()}, &Callback::dropped);
    }
    return dropped(env, Ok{});
}

Step Callback::dropped(const Environment&, Check dropped)
{
    if (!session_) {
        cookies_.push_back(count_login());
    }
    auto end = return_to_page(std::move(cookies_));
    end.session = std::move(begun_);
    end.notice = std::move(tokens_.notice);
    end.refund = receipt_.empty() ? state_.transaction.receipt : receipt_;
    if (!dropped) {
        end.warning = std::move(dropped).error();
    }
    return end;
}

Finish Callback::return_to_page(std::vector<std::string> cookies)
{
    const auto& transaction = state_.transaction;

    Finish finish;
    finish.location = login_->return_location(transaction);
    // Browsers send no SameSite=Strict cookie on a redirect from another site.
    finish.page = provider_.client().cookie_same_site == "Strict" ?
        Page::logged_in :
        Page::none;
    finish.cookies = std::move(cookies);
    for (auto& cookie : login_->clear(transaction)) {
        finish.cookies.push_back(std::move(cookie));
    }
    if (reply_.code) {
        finish.result = {proof_of_copy(reply_)};
        finish.result.insert(
            finish.result.end(), finish.cookies.begin(), finish.cookies.end());
    }
    return finish;
}

}
