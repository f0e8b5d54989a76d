#include "flow/renewal.h"

#include "flow/origins.h"
#include "flow/revocation.h"
#include "oidc/client_auth.h"
#include "oidc/cookies.h"

namespace oidc {
namespace {

// The result of a renewal where the session ended, and where it is in a store:
// the value of the cookie would give the session to anybody who reads it.
constexpr std::string_view no_session = "-";
constexpr std::string_view in_store = "+";

// The session is from before the configuration named a store.
bool wants_store(const Client& client, const Session& session)
{
    return client.session_store == SessionStore::named && !session.ticket();
}

// A refused response says nothing of the provider's health.
bool is_out_of_reach(const Error& error)
{
    return error.code == Errc::upstream_unreachable ||
        error.code == Errc::upstream_timeout;
}

// A proxy in front of the provider, or the provider itself, is down.
bool is_gateway_error(const Result<HttpResponse>& response)
{
    return response && response->status >= 502 && response->status <= 504;
}

// RFC 6750, 3.1: the new access token is invalid or lacks the scope.
bool is_withdrawn(const HttpResponse& response)
{
    return response.status == 401 || response.status == 403;
}

}

bool Renewal::is_due(
    const Client& client, const Session& session, Refresh refresh, Time now)
{
    return wants_store(client, session) ||
        (refresh != Refresh::never && session.wants_refresh(client, now)) ||
        session.wants_seal(client, now);
}

Step Renewal::judge(const Environment& env)
{
    // The result for this session must be this session, wherever it was kept.
    if (!session_ || (!id_.empty() && session_->id() != id_)) {
        return Finish{};
    }
    if (wants_store(client(), *session_)) {
        return keep(env);
    }
    if (refresh_ != Refresh::never &&
        session_->wants_refresh(client(), env.now)) {
        refreshing_ = true;
        return ask(
            Acquire{session_->generation(), env.now + grace, Purpose::renewal},
            &Renewal::acquired);
    }
    if (session_->wants_seal(client(), env.now)) {
        session_ = session_->seen(env.now);
        return keep(env);
    }
    return pass();
}

// Another request may have refreshed for this one, or failed.
Step Renewal::acquired(const Environment& env, Result<Acquired> acquired)
{
    if (!acquired) {
        return keep_old(env, std::move(acquired).error());
    }
    auto is_ours = acquired->whose == Acquired::ours;
    if (is_ours && refresh_ == Refresh::asked_for) {
        return ask(NeedMetadata{}, &Renewal::need_keys);
    }
    refresh_ = Refresh::never;
    keep_result_ = failure_backoff;
    if (acquired->result.empty()) {
        return judge(env);
    }
    return take_result(env, acquired->result.front());
}

Step Renewal::take_result(const Environment& env, const std::string& result)
{
    auto old = *std::exchange(session_, std::nullopt);
    id_ = old.id();
    if (result == in_store && old.ticket()) {
        restoration_.emplace(provider_, CookieContent{{}, old.ticket()});
    } else {
        restoration_.emplace(
            provider_, CookieContent::from_value(result, provider_));
        value_ = result;
    }
    return restore(env);
}

Step Renewal::restore(const Environment& env)
{
    if (auto load = restoration_->next()) {
        return ask(std::move(*load), &Renewal::restored);
    }
    if (restoration_->pin) {
        return ask(std::move(*restoration_->pin), &Renewal::pinned);
    }
    session_ = std::move(restoration_->session);
    if (session_ && session_->owes_userinfo()) {
        refresh_ = wanted_; // unusable until its user info is fetched
    }
    return judge(env);
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): so answers come
Step Renewal::pinned(const Environment&, Check)
{
    return Finish{};
}

Step Renewal::restored(const Environment& env, Result<Loaded> loaded)
{
    if (!loaded) {
        return refuse(std::move(loaded).error());
    }
    restoration_->take(*loaded, env.now);
    return restore(env);
}

// The keys come first: nothing may be missing once the refresh token is spent.
Step Renewal::need_keys(const Environment& env, MetadataReply metadata)
{
    if (!metadata) {
        return keep_old(env, std::move(metadata).error());
    }
    metadata_ = std::move(*metadata);
    return ask(NeedKeys{}, &Renewal::refresh);
}

Step Renewal::refresh(const Environment& env, KeysReply keys)
{
    if (!keys) {
        return keep_old(env, std::move(keys).error());
    }
    keys_ = std::move(*keys);
    auto request = refresh_request(*metadata_, *session_->refresh_token());
    auto proven =
        authenticate(request, client(), *metadata_, env.now, env.random);
    if (!proven) {
        return keep_old(env, std::move(proven).error());
    }
    return ask(Fetch{std::move(request)}, &Renewal::tokens);
}

Step Renewal::tokens(const Environment& env, Result<HttpResponse> response)
{
    if (is_gateway_error(response)) {
        backoff_ = failure_backoff;
    }
    auto tokens = std::move(response).and_then(parse_refreshed);
    if (!tokens && tokens.error().code == Errc::refused_invalid_grant) {
        return end_session(env, std::move(tokens).error());
    }
    if (!tokens) {
        return keep_old(env, std::move(tokens).error());
    }
    tokens_ = std::move(*tokens);
    if (tokens_.id_token.empty()) {
        return ask_userinfo(env);
    }
    return ask(NeedKeys{}, &Renewal::verify);
}

Step Renewal::verify(const Environment& env, KeysReply keys)
{
    if (!keys) {
        return keep_old(env, std::move(keys).error());
    }
    keys_ = std::move(*keys);
    auto token = IdToken::verify_refresh(tokens_.id_token,
        {client(), *keys_, session_->claim("sub").value_or(""),
            tokens_.access_token, env.now});
    if (!token && may_retry(token.error())) {
        return retry({keys_}, std::move(token).error(), &Renewal::verify);
    }
    if (!token) {
        return end_session(env, std::move(token).error());
    }
    token_ = std::move(*token);
    return ask_userinfo(env);
}

// The current user info replaces that of the login.
Step Renewal::ask_userinfo(const Environment& env)
{
    if (!client().userinfo || metadata_->userinfo_endpoint.empty()) {
        return renew(env);
    }
    return ask(Fetch{userinfo_request(*metadata_, tokens_.access_token), true},
        &Renewal::take_userinfo);
}

// The old tokens are spent: user info that cannot be fetched waits for the next
// renewal; a refusal, or another subject, ends the session.
Step Renewal::take_userinfo(
    const Environment& env, Result<HttpResponse> response)
{
    if (!response) {
        // A client that leaves early must not keep withdrawn claims.
        owes_userinfo_ = response.error().code == Errc::request_aborted;
        postpone(std::move(response).error());
        return renew(env);
    }
    if (is_withdrawn(*response)) {
        return end_session(env,
            {Errc::userinfo_refused,
                "provider refused user info with status " +
                    std::to_string(response->status)});
    }
    response_ = std::move(*response);
    return verify_userinfo(env, keys_);
}

Step Renewal::verify_userinfo(const Environment& env, KeysReply keys)
{
    if (!keys) {
        postpone(std::move(keys).error());
        return renew(env);
    }
    keys_ = std::move(*keys);
    auto userinfo = UserInfo::verify(
        response_, {client(), *keys_, session_->claim("sub").value_or("")});
    if (!userinfo && may_retry(userinfo.error())) {
        return retry(
            {keys_}, std::move(userinfo).error(), &Renewal::verify_userinfo);
    }
    if (!userinfo && userinfo.error().code == Errc::userinfo_subject) {
        return end_session(env, std::move(userinfo).error());
    }
    if (userinfo) {
        userinfo_ = std::move(*userinfo);
    } else {
        postpone(std::move(userinfo).error());
    }
    return renew(env);
}

Step Renewal::renew(const Environment& env)
{
    has_renewed_ = true;
    session_ = session_->renew(token_, userinfo_, tokens_, client(), env.now);
    if (owes_userinfo_) {
        session_ = session_->without_userinfo(client());
    }
    return keep(env);
}

Step Renewal::keep(const Environment& env)
{
    auto is_stored = session_->ticket().has_value();
    auto kept = seal_session(*session_, provider_, view_.cookie_room, env.now,
        env.random, room_in_head("", {}), site_of(client(), view_.origin));
    if (!kept) {
        return end_session(env, std::move(kept).error());
    }
    value_ = std::move(kept->cookie);
    result_ = is_stored ? in_store : value_;
    if (!kept->save) {
        return pass();
    }
    return ask(std::move(*kept->save), &Renewal::saved);
}

// The old tokens are spent: without the new ones the session is useless.
Step Renewal::saved(const Environment&, Check saved)
{
    return saved ? Step(pass()) : refuse(std::move(saved).error());
}

// The session is valid until it expires; a later request tries again.
Step Renewal::keep_old(const Environment& env, Error why)
{
    postpone(std::move(why));
    refresh_ = Refresh::never;
    return judge(env);
}

void Renewal::postpone(Error why)
{
    if (is_out_of_reach(why)) {
        backoff_ = failure_backoff;
    }
    failure_ = std::move(why);
}

// Copies of its cookie are revoked, too.
Step Renewal::end_session(const Environment& env, Error why)
{
    end_.warning = std::move(why);
    end_.result = {std::string(no_session)};
    end_.keep_result = grace;
    end_.cookies =
        clear_session(client(), view_.cookies, site_of(client(), view_.origin));
    return ask(revocation_of(*session_, client(), env.now), &Renewal::revoked);
}

Step Renewal::revoked(const Environment&, Check revoked)
{
    note(std::move(revoked));
    auto session = std::exchange(session_, std::nullopt);
    if (!session->ticket()) {
        return std::move(end_);
    }
    return ask(Drop{session->ticket()->key()}, &Renewal::dropped);
}

Step Renewal::dropped(const Environment&, Check dropped)
{
    note(std::move(dropped));
    return std::move(end_);
}

void Renewal::note(Check done)
{
    if (!done) {
        end_.warning->detail += ", and " + std::move(done).error().detail;
    }
}

Finish Renewal::pass()
{
    Finish finish;
    finish.session = std::move(session_);
    finish.warning = std::move(failure_);
    finish.notice = std::move(tokens_.notice);
    finish.keep_result = keep_result_;
    finish.failure_backoff = backoff_;
    if (!value_.empty()) {
        finish.cookies = session_cookies(
            client(), value_, view_.cookies, site_of(client(), view_.origin));
    }
    if (has_renewed_) {
        finish.result = {result_};
        finish.keep_result = grace;
    }
    return finish;
}

}
