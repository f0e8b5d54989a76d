#include "flow/logout.h"

#include "core/encoding.h"
#include "core/url.h"
#include "flow/intent.h"
#include "flow/login.h"
#include "oidc/client_auth.h"
#include "oidc/cookies.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr std::size_t state_size = 16;        // random bytes
constexpr std::size_t confirmation_size = 16; // bytes

// A parameter of a form; empty where it is not there, or more than once.
std::string find_parameter(std::string_view form, std::string_view name)
{
    std::string value;
    auto parameters = parse_form(form);
    for (std::size_t i = 0, seen = 0; parameters && i < parameters->size();
         i++) {
        if ((*parameters)[i].name == name) {
            value = seen++ == 0 ? (*parameters)[i].value : "";
        }
    }
    return value;
}

// When no session can live any more that has begun by now, whichever provider
// of the configuration with this issuer and client it belongs to.
Time last_end(const Client& client, Time now)
{
    return now + std::max(client.session_timeout, client.max_session_timeout);
}

std::vector<std::string> cookies_of_logout(
    const Provider& provider, const RequestView& view, const Origins& origins)
{
    return clear_session(provider.client(), view.cookies, origins.secure);
}

}

Revoke revocation_of(const Session& session, const Client& client, Time now)
{
    Revoke revoke{{session.own_key(client)}, session.subject_key(client),
        std::max(last_end(client, now), session.sealed_end())};
    revoke.least = session.started();
    return revoke;
}

Step Logout::start(const Environment& env)
{
    if (view_.method != "GET" && view_.method != "POST") {
        return refuse({Errc::logout_malformed,
            "client sent unsupported method " + quoted(view_.method)});
    }
    auto unasked = unasked_by(view_);
    if (view_.method == "GET" && !unasked.empty()) {
        return refuse(
            {Errc::logout_unasked, "client requested a logout in " + unasked});
    }
    auto origins = Origins::of(client(), view_.origin);
    if (!origins) {
        return refuse(std::move(origins).error());
    }
    origins_ = std::move(*origins);
    if (failure_) {
        return is_own_wish() ? Step(fail(*failure_)) : refuse(*failure_);
    }
    if (!session_) {
        return revoked(env, Ok{});
    }
    if (!is_own_wish()) {
        Finish finish;
        finish.page = Page::confirm_logout;
        finish.confirmation = confirmation(0);
        return finish;
    }
    if (!session_->ticket()) {
        return dropped(env, Ok{});
    }
    return ask(Drop{session_->ticket()->key()}, &Logout::dropped);
}

// Another site's link or form can lead here, too; a browser says where a
// request comes from, or posts what only our own page could tell it.
bool Logout::is_own_wish() const
{
    if (is_confirmed()) {
        return true;
    }
    if (!view_.fetch_site.empty()) {
        return view_.fetch_site != "cross-site";
    }
    auto source = parse_url(view_.source);
    return source && source->origin() == origins_.page;
}

std::string Logout::confirmation(std::size_t key) const
{
    return base64url(provider_.state_ring().derive(
        key, bind_fields({"logout", session_->handle()}), confirmation_size));
}

// The page may be of another node, or of before a reload.
bool Logout::is_confirmed() const
{
    if (!session_) {
        return false;
    }
    auto posted = find_parameter(view_.reply, "confirm");
    for (std::size_t key = 0; key < provider_.state_ring().size(); key++) {
        if (equal(posted, confirmation(key))) {
            return true;
        }
    }
    return false;
}

// A renewal that is under way might bring it back.
Step Logout::dropped(const Environment& env, Check dropped)
{
    if (!dropped) {
        return fail(std::move(dropped).error());
    }
    return ask(revocation_of(*session_, client(), env.now), &Logout::revoked);
}

Step Logout::revoked(const Environment&, Check revoked)
{
    if (!revoked) {
        return fail(std::move(revoked).error());
    }
    return ask(Learn{Part::metadata}, &Logout::learnt);
}

Step Logout::learnt(const Environment& env, Check learnt)
{
    auto metadata = provider_.metadata(env.now);
    if (metadata == nullptr) {
        warning_ = unknown(std::move(learnt));
    }
    if (metadata == nullptr || !session_ || !client().revoke_on_logout ||
        metadata->revocation_endpoint.empty()) {
        return leave(env);
    }
    return revoke_token(env, *metadata);
}

// RFC 7009, 2.1: with a refresh token all that came of it goes.
Step Logout::revoke_token(const Environment& env, const Metadata& metadata)
{
    auto refresh_token = session_->refresh_token();
    auto token = refresh_token ? refresh_token : session_->access_token();
    if (!token) {
        return leave(env);
    }
    auto request = revocation_request(
        metadata, *token, refresh_token ? "refresh_token" : "access_token");
    auto proven =
        authenticate(request, client(), metadata, env.now, env.random);
    if (!proven) {
        warning_ = std::move(proven).error();
        return leave(env);
    }
    return ask(Fetch{std::move(request)}, &Logout::token_revoked);
}

Step Logout::token_revoked(
    const Environment& env, Result<HttpResponse> response)
{
    auto judged = response ? judge_revocation(*response) :
                             Check(std::move(response).error());
    if (!judged) {
        warning_ = std::move(judged).error();
    }
    return leave(env);
}

// This browser is logged out in any case; who has a copy of its cookie is not.
Finish Logout::fail(Error error) const
{
    Finish finish;
    finish.error = std::move(error);
    finish.cookies = cookies_of_logout(provider_, view_, origins_);
    finish.page = Page::logged_out_here;
    return finish;
}

Finish Logout::leave(const Environment& env)
{
    Finish finish;
    finish.warning = std::move(warning_);
    finish.cookies = cookies_of_logout(provider_, view_, origins_);

    auto login = Login::at(provider_, view_);
    if (login && login->rounds() > 0) {
        finish.cookies.push_back(login->clear_rounds());
    }
    auto metadata = provider_.metadata(env.now);
    auto back = post_logout_redirect_uri();
    if (metadata != nullptr && !metadata->end_session_endpoint.empty()) {
        auto hint = session_ && client().logout_token_hint ?
            session_->id_token().value_or("") :
            std::string_view();
        auto state = base64url(env.random(state_size));
        finish.location =
            end_session_url(*metadata, client(), {hint, back, state});
    } else if (!back.empty()) {
        finish.location = std::move(back);
    } else {
        finish.page = Page::logged_out;
    }
    // CSP, form-action: a page may forbid its forms to lead to other origins by
    // a redirect.
    if (!finish.location.empty() && view_.method == "POST") {
        finish.page = Page::logging_out;
    }
    return finish;
}

std::string Logout::post_logout_redirect_uri() const
{
    const auto& uri = client().post_logout_uri;
    return uri.starts_with('/') ? origins_.page + uri : uri;
}

bool FrontChannelLogout::is_for(
    const Provider& provider, std::string_view query)
{
    return find_parameter(query, "iss") == provider.client().issuer;
}

Step FrontChannelLogout::start(const Environment& env)
{
    if (view_.method != "GET") {
        return refuse({Errc::logout_malformed,
            "client sent unsupported method " + quoted(view_.method)});
    }
    auto named = parse_front_channel(view_.reply);
    if (!named) {
        return refuse(std::move(named).error());
    }
    if (failure_) {
        return refuse(*failure_);
    }
    if (!named->sid) {
        return end_own(env);
    }
    // 3: of another issuer it is none of our business.
    if (named->iss != provider_.client().issuer) {
        return dropped(env, Ok{});
    }
    return end_named(env, *named->sid);
}

Step FrontChannelLogout::end_named(const Environment& env, std::string_view sid)
{
    const auto& client = provider_.client();
    auto key = revocation_key(client, "sid", sid);
    is_own_ = session_ && session_->sid() == sid;
    if (is_own_) {
        // By its own key, too: an older copy of it may have another sid.
        auto revoke = revocation_of(*session_, client, env.now);
        revoke.keys.push_back(std::move(key));
        return ask(std::move(revoke), &FrontChannelLogout::revoked);
    }
    Revoke revoke{{std::move(key)}, "", last_end(client, env.now), false};
    revoke.address = view_.address;
    return ask(std::move(revoke), &FrontChannelLogout::revoked);
}

// By the cookie alone: in a frame, where a link on another site cannot open it
// unseen.
Step FrontChannelLogout::end_own(const Environment& env)
{
    auto in_frame = view_.fetch_dest == "iframe" || view_.fetch_dest == "frame";
    if (!session_ || !in_frame) {
        return dropped(env, Ok{});
    }
    is_own_ = true;
    return ask(revocation_of(*session_, provider_.client(), env.now),
        &FrontChannelLogout::revoked);
}

Step FrontChannelLogout::revoked(const Environment& env, Check revoked)
{
    if (!revoked) {
        return end(std::move(revoked).error());
    }
    if (!is_own_ || !session_->ticket()) {
        return dropped(env, Ok{});
    }
    return ask(Drop{session_->ticket()->key()}, &FrontChannelLogout::dropped);
}

Step FrontChannelLogout::dropped(const Environment&, Check dropped)
{
    return dropped ? end({}) : end(std::move(dropped).error());
}

// The browser's own session goes in any case.
Finish FrontChannelLogout::end(std::optional<Error> error) const
{
    Finish finish;
    finish.error = std::move(error);
    finish.page = Page::done;
    auto origins = Origins::of(provider_.client(), view_.origin);
    if (is_own_ && origins) {
        finish.cookies = cookies_of_logout(provider_, view_, *origins);
    }
    return finish;
}

bool BackChannelLogout::is_for(const Provider& provider, std::string_view form)
{
    auto compact = find_parameter(form, "logout_token");
    return LogoutToken::names_issuer(compact, provider.client().issuer);
}

Step BackChannelLogout::start(const Environment&)
{
    if (view_.method != "POST") {
        return refuse({Errc::logout_malformed,
            "client sent unsupported method " + quoted(view_.method)});
    }
    auto compact = parse_back_channel(view_.reply);
    if (!compact) {
        return refuse(std::move(compact).error());
    }
    compact_ = std::move(*compact);
    return ask(Learn{Part::metadata}, &BackChannelLogout::ask_keys);
}

Step BackChannelLogout::ask_keys(const Environment& env, Check learnt)
{
    if (provider_.metadata(env.now) == nullptr) {
        return refuse_unknown(std::move(learnt));
    }
    return ask(Learn{Part::keys}, &BackChannelLogout::spend);
}

Step BackChannelLogout::spend(const Environment& env, Check learnt)
{
    if (provider_.keys(env.now) == nullptr) {
        return refuse_unknown(std::move(learnt));
    }
    return ask(Charge{Work::logout}, &BackChannelLogout::verify_paid);
}

Step BackChannelLogout::verify_paid(
    const Environment& env, Result<std::string> receipt)
{
    if (!receipt) {
        return refuse(std::move(receipt).error());
    }
    receipt_ = std::move(*receipt);
    return verify(env, Ok{});
}

Step BackChannelLogout::verify(const Environment& env, Check learnt)
{
    const auto& client = provider_.client();
    auto keys = provider_.keys(env.now);
    if (keys == nullptr) {
        return refuse_unknown(std::move(learnt));
    }
    auto token = LogoutToken::verify(compact_, {client, *keys, env.now});
    if (!token && wants_newer_keys(token.error()) && !renewed_keys_) {
        renewed_keys_ = true;
        doubt_ = std::move(token).error();
        return ask(Learn{Part::keys, true, Asker::anybody},
            &BackChannelLogout::renewed_keys);
    }
    if (!token) {
        return refuse(std::move(token).error());
    }
    token_ = std::move(*token);
    return ask(Acquire{revocation_key(client, "jti", token_->jti()),
                   token_->expires() + client.clock_skew, Purpose::logout},
        &BackChannelLogout::acquired);
}

Step BackChannelLogout::renewed_keys(const Environment& env, Check learnt)
{
    return learnt ? verify(env, std::move(learnt)) : refuse(std::move(*doubt_));
}

// One that vanished has not ended anything; the provider tries again.
Step BackChannelLogout::acquired(
    const Environment& env, Result<Acquired> acquired)
{
    if (!acquired) {
        return refuse(std::move(acquired).error());
    }
    if (acquired->whose == Acquired::ended) {
        return refuse(
            {Errc::logout_token_used, "logout token was used before"});
    }
    const auto& client = provider_.client();
    Revoke revoke{{}, "", last_end(client, env.now)};
    if (auto sid = token_->sid()) {
        revoke.keys.push_back(revocation_key(client, "sid", *sid));
    }
    if (auto sub = token_->sub()) {
        // 2.6: of all the user's sessions, but for those with another sid.
        revoke.keys.push_back(revocation_key(
            client, token_->sid() ? "sub without sid" : "sub", *sub));
        revoke.subject = revocation_key(client, "sub", *sub);
    }
    return ask(std::move(revoke), &BackChannelLogout::revoked);
}

Step BackChannelLogout::revoked(const Environment& env, Check revoked)
{
    if (!revoked) {
        return refuse(std::move(revoked).error());
    }
    // A copy of the token is known as long as it could be taken for good.
    Finish finish;
    finish.page = Page::done;
    finish.refund = receipt_;
    finish.keep_result =
        token_->expires() + provider_.client().clock_skew - env.now;
    return finish;
}

}
