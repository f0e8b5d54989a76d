#include "flow/renewal.h"

#include "flow/logout.h"
#include "flow/place.h"
#include "oidc/client_auth.h"
#include "oidc/cookies.h"

namespace oidc {
namespace {

// What a renewal leaves where the session came to its end, and where its store
// has it: a cookie's value would be a session in the hands of who sees it.
constexpr std::string_view no_session = "-";
constexpr std::string_view in_store = "+";

// From before the configuration named a store.
bool wants_store(const Client& client, const Session& session)
{
    return client.session_store == SessionStore::named && !session.ticket();
}

// An answer that was refused says nothing of the provider's health.
bool is_out_of_reach(const Error& error)
{
    return error.code == Errc::upstream_unreachable ||
        error.code == Errc::upstream_timeout;
}

// RFC 6750, 3.1: the new access token is of no use there, or of less.
bool is_withdrawn(const HttpResponse& response)
{
    return response.status == 401 || response.status == 403;
}

}

bool Renewal::is_due(const Client& client, const Session& session,
    Refresh refresh, std::int64_t now)
{
    return wants_store(client, session) ||
        (refresh != Refresh::never && session.wants_refresh(client, now)) ||
        session.wants_seal(client, now);
}

Step Renewal::judge(const World& world)
{
    // What was left for this session is this session, wherever it was left.
    if (!session_ || (!id_.empty() && session_->id() != id_)) {
        return Finish{};
    }
    if (wants_store(client(), *session_)) {
        return keep(world);
    }
    if (refresh_ != Refresh::never &&
        session_->wants_refresh(client(), world.now)) {
        refreshing_ = true;
        return ask(Acquire{session_->generation(), world.now + grace,
                       Purpose::renewal},
            &Renewal::acquired);
    }
    if (session_->wants_seal(client(), world.now)) {
        session_ = session_->seen(world.now);
        return keep(world);
    }
    return pass();
}

// Another request may have done it for this one, or failed.
Step Renewal::acquired(const World& world, Result<Acquired> acquired)
{
    if (!acquired) {
        return keep_old(world, std::move(acquired).error());
    }
    auto is_ours = acquired->whose == Acquired::ours;
    if (is_ours && refresh_ == Refresh::asked_for) {
        return ask(Learn{Part::metadata}, &Renewal::learn_keys);
    }
    refresh_ = Refresh::never;
    keep_result_ = failure_backoff;
    if (acquired->result.empty()) {
        return judge(world);
    }
    return pick_up(world, acquired->result.front());
}

Step Renewal::pick_up(const World& world, const std::string& result)
{
    auto old = *std::exchange(session_, std::nullopt);
    id_ = old.id();
    if (result == in_store && old.ticket()) {
        restoration_.emplace(provider_, Opened{{}, old.ticket()});
    } else {
        restoration_.emplace(provider_, Opened::from_value(result, provider_));
        value_ = result;
    }
    return restore(world);
}

Step Renewal::restore(const World& world)
{
    if (auto load = restoration_->next()) {
        return ask(std::move(*load), &Renewal::restored);
    }
    if (restoration_->pin) {
        return ask(std::move(*restoration_->pin), &Renewal::pinned);
    }
    session_ = std::move(restoration_->session);
    if (session_ && session_->owes_userinfo()) {
        refresh_ = wanted_; // good for nobody before that is made up for
    }
    return judge(world);
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): so answers come
Step Renewal::pinned(const World&, Check)
{
    return Finish{};
}

Step Renewal::restored(const World& world, Result<Loaded> loaded)
{
    if (!loaded) {
        return refuse(std::move(loaded).error());
    }
    restoration_->take(*loaded, world.now);
    return restore(world);
}

// The keys first: once the refresh token is spent nothing may be missing.
Step Renewal::learn_keys(const World& world, Check learnt)
{
    if (provider_.metadata(world.now) == nullptr) {
        return keep_old(world, unknown(std::move(learnt)));
    }
    return ask(Learn{Part::keys}, &Renewal::refresh);
}

Step Renewal::refresh(const World& world, Check learnt)
{
    auto metadata = provider_.metadata(world.now);
    if (metadata == nullptr || provider_.keys(world.now) == nullptr) {
        return keep_old(world, unknown(std::move(learnt)));
    }
    metadata_ = *metadata;
    auto request = refresh_request(metadata_, *session_->refresh_token());
    auto proven =
        authenticate(request, client(), metadata_, world.now, world.random);
    if (!proven) {
        return keep_old(world, std::move(proven).error());
    }
    return ask(Fetch{std::move(request)}, &Renewal::tokens);
}

Step Renewal::tokens(const World& world, Result<HttpResponse> response)
{
    if (!response) {
        return keep_old(world, std::move(response).error());
    }
    auto tokens = parse_refreshed(*response);
    if (!tokens && tokens.error().code == Errc::provider_invalid_grant) {
        return end_session(world, std::move(tokens).error());
    }
    if (!tokens) {
        return keep_old(world, std::move(tokens).error());
    }
    tokens_ = std::move(*tokens);
    if (tokens_.id_token.empty()) {
        return ask_userinfo(world);
    }
    return ask(Learn{Part::keys}, &Renewal::verify);
}

// Core, 12.2: of the same user; a nonce is not demanded.
Step Renewal::verify(const World& world, Check learnt)
{
    auto keys = provider_.keys(world.now);
    if (keys == nullptr) {
        return keep_old(world, unknown(std::move(learnt)));
    }
    auto token = IdToken::verify(tokens_.id_token,
        {client(), *keys, std::nullopt, tokens_.access_token, world.now});
    if (!token && wants_newer_keys(token.error()) && !renewed_keys_) {
        return judge_error(std::move(token).error(), &Renewal::verify);
    }
    if (!token) {
        return end_session(world, std::move(token).error());
    }
    if (token->subject() != session_->claim("sub")) {
        return end_session(world,
            {Errc::id_token_subject,
                "id token has another sub than the session"});
    }
    token_ = std::move(*token);
    return ask_userinfo(world);
}

// What the provider says of the user now counts, not what it said at the login.
Step Renewal::ask_userinfo(const World& world)
{
    if (!client().userinfo || metadata_.userinfo_endpoint.empty()) {
        return renew(world);
    }
    return ask(Fetch{userinfo_request(metadata_, tokens_.access_token), true},
        &Renewal::take_userinfo);
}

// The tokens are spent: a user info that is not to be had waits for the next
// renewal, one that is refused or of somebody else ends the session.
Step Renewal::take_userinfo(const World& world, Result<HttpResponse> response)
{
    if (!response) {
        // Who leaves before it is asked for keeps no claims by that.
        owes_userinfo_ = response.error().code == Errc::request_aborted;
        put_off(std::move(response).error());
        return renew(world);
    }
    if (is_withdrawn(*response)) {
        return end_session(world,
            {Errc::userinfo_refused,
                "provider refused user info with status " +
                    std::to_string(response->status)});
    }
    response_ = std::move(*response);
    return verify_userinfo(world, Ok{});
}

Step Renewal::verify_userinfo(const World& world, Check learnt)
{
    auto keys = provider_.keys(world.now);
    if (keys == nullptr) {
        put_off(unknown(std::move(learnt)));
        return renew(world);
    }
    auto userinfo = UserInfo::verify(
        response_, {client(), *keys, session_->claim("sub").value_or("")});
    if (!userinfo && wants_newer_keys(userinfo.error()) && !renewed_keys_) {
        return judge_error(
            std::move(userinfo).error(), &Renewal::verify_userinfo);
    }
    if (!userinfo && userinfo.error().code == Errc::userinfo_subject) {
        return end_session(world, std::move(userinfo).error());
    }
    if (userinfo) {
        userinfo_ = std::move(*userinfo);
    } else {
        put_off(std::move(userinfo).error());
    }
    return renew(world);
}

// The provider may have changed its keys since we last asked: ask again, once.
Step Renewal::judge_error(Error error, Next<Check> again)
{
    renewed_keys_ = true;
    doubt_ = std::move(error);
    verify_again_ = again;
    return ask(Learn{Part::keys, true}, &Renewal::renewed_keys);
}

Step Renewal::renewed_keys(const World& world, Check learnt)
{
    if (learnt) {
        return (this->*verify_again_)(world, std::move(learnt));
    }
    if (token_ || tokens_.id_token.empty()) {
        put_off(std::move(*doubt_)); // of the user info alone
        return renew(world);
    }
    return keep_old(world, std::move(*doubt_));
}

Step Renewal::renew(const World& world)
{
    has_renewed_ = true;
    session_ = session_->renew(token_, userinfo_, tokens_, client(), world.now);
    if (owes_userinfo_) {
        session_ = session_->without_userinfo(client());
    }
    return keep(world);
}

Step Renewal::keep(const World& world)
{
    auto is_stored = session_->ticket().has_value();
    auto kept =
        session_->keep(provider_, visit_.cookie_room, world.now, world.random);
    if (!kept) {
        return end_session(world, std::move(kept).error());
    }
    value_ = std::move(kept->cookie);
    result_ = is_stored ? in_store : value_;
    if (!kept->save) {
        return pass();
    }
    return ask(std::move(*kept->save), &Renewal::saved);
}

// The tokens are spent: without the new ones there is nothing to go on with.
Step Renewal::saved(const World&, Check saved)
{
    return saved ? Step(pass()) : refuse(std::move(saved).error());
}

// The session is good until its own end; a request tries again later.
Step Renewal::keep_old(const World& world, Error why)
{
    put_off(std::move(why));
    refresh_ = Refresh::never;
    return judge(world);
}

void Renewal::put_off(Error why)
{
    if (is_out_of_reach(why)) {
        back_off_ = failure_backoff;
    }
    failure_ = std::move(why);
}

// Copies of its cookie end with it.
Step Renewal::end_session(const World& world, Error why)
{
    end_.warning = std::move(why);
    end_.result = {std::string(no_session)};
    end_.keep_result = grace;
    end_.cookies = clear_session(
        client(), visit_.cookies, is_secure(client(), visit_.origin));
    return ask(
        revocation_of(*session_, client(), world.now), &Renewal::revoked);
}

Step Renewal::revoked(const World&, Check revoked)
{
    note(std::move(revoked));
    auto session = std::exchange(session_, std::nullopt);
    if (!session->ticket()) {
        return std::move(end_);
    }
    return ask(Drop{session->ticket()->key()}, &Renewal::dropped);
}

Step Renewal::dropped(const World&, Check dropped)
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
    finish.keep_result = keep_result_;
    finish.back_off = back_off_;
    if (!value_.empty()) {
        finish.cookies = session_cookies(client(), value_, visit_.cookies,
            is_secure(client(), visit_.origin));
    }
    if (has_renewed_) {
        finish.result = {result_};
        finish.keep_result = grace;
    }
    return finish;
}

}
