#include "flow/logout.h"

#include "core/encoding.h"
#include "core/url.h"
#include "flow/intent.h"
#include "flow/login.h"
#include "flow/revocation.h"
#include "oidc/client_auth.h"
#include "oidc/cookies.h"
#include "oidc/head.h"

namespace oidc {
namespace {

constexpr std::size_t state_size = 16;        // random bytes
constexpr std::size_t confirmation_size = 16; // bytes

}

Step Logout::start(const Environment& env)
{
    if (view_.method != "GET" && view_.method != "POST") {
        return refuse({Errc::logout_malformed,
            "client sent unsupported method " + quoted(view_.method)});
    }
    auto cause = cause_other_than_user(view_);
    if (view_.method == "GET" && !cause.empty()) {
        return refuse(
            {Errc::logout_unasked, "client requested a logout in " + cause});
    }
    auto origins = Origins::of(client(), view_.origin);
    if (!origins) {
        return refuse(std::move(origins).error());
    }
    origins_ = std::move(*origins);
    if (failure_) {
        return is_wanted_by_user() ? Step(fail(*failure_)) : refuse(*failure_);
    }
    if (!session_) {
        return revoked(env, Ok{});
    }
    if (!is_wanted_by_user()) {
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

// A link or form of another site can lead here. A browser tells where a request
// comes from, or posts the confirmation that only our own page has.
bool Logout::is_wanted_by_user() const
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

// The page may be from another node, or from before a reload.
bool Logout::is_confirmed() const
{
    if (!session_) {
        return false;
    }
    auto posted = form_value(view_.reply, "confirm");
    for (std::size_t key = 0; key < provider_.state_ring().size(); key++) {
        if (equal(posted, confirmation(key))) {
            return true;
        }
    }
    return false;
}

// A renewal in progress could save the session again.
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
    return ask(NeedMetadata{}, &Logout::revoke_tokens);
}

Step Logout::revoke_tokens(const Environment& env, MetadataReply metadata)
{
    if (!metadata) {
        warning_ = std::move(metadata).error();
        return finish_logout(env);
    }
    metadata_ = std::move(*metadata);
    if (!session_ || !client().revoke_on_logout ||
        metadata_->revocation_endpoint.empty()) {
        return finish_logout(env);
    }
    return revoke_token(env);
}

// RFC 7009, 2.1: revoking a refresh token revokes its access tokens.
Step Logout::revoke_token(const Environment& env)
{
    auto refresh_token = session_->refresh_token();
    auto token = refresh_token ? refresh_token : session_->access_token();
    if (!token) {
        return finish_logout(env);
    }
    auto request = revocation_request(
        *metadata_, *token, refresh_token ? "refresh_token" : "access_token");
    auto proven =
        authenticate(request, client(), *metadata_, env.now, env.random);
    if (!proven) {
        warning_ = std::move(proven).error();
        return finish_logout(env);
    }
    return ask(Fetch{std::move(request)}, &Logout::token_revoked);
}

Step Logout::token_revoked(
    const Environment& env, Result<HttpResponse> response)
{
    auto judged = std::move(response).and_then(judge_revocation);
    if (!judged) {
        warning_ = std::move(judged).error();
    }
    return finish_logout(env);
}

// This browser is logged out in any case; copies of its cookie stay valid.
Finish Logout::fail(Error error) const
{
    Finish finish;
    finish.error = std::move(error);
    finish.cookies = clear_session(client(), view_.cookies, origins_.site());
    finish.page = Page::logged_out_here;
    return finish;
}

Finish Logout::finish_logout(const Environment& env)
{
    Finish finish;
    finish.warning = std::move(warning_);
    finish.cookies = clear_session(client(), view_.cookies, origins_.site());

    auto login = Login::at(provider_, view_);
    if (login && login->login_count() > 0) {
        finish.cookies.push_back(login->clear_login_count());
    }
    auto back = post_logout_redirect_uri();
    if (metadata_ && !metadata_->end_session_endpoint.empty()) {
        finish.location = end_session_location(env, back, finish);
    } else if (!back.empty()) {
        finish.location = std::move(back);
    } else {
        finish.page = Page::logged_out;
    }
    // CSP, form-action: a page may forbid redirects of its forms to other
    // origins.
    if (!finish.location.empty() && view_.method == "POST") {
        finish.page = Page::logging_out;
    }
    return finish;
}

// Without its hint where that does not fit into the head.
std::string Logout::end_session_location(
    const Environment& env, const std::string& back, Finish& finish) const
{
    auto hint = session_ && client().logout_token_hint ?
        session_->id_token().value_or("") :
        std::string_view();
    auto state = base64url(env.random(state_size));
    auto url = end_session_url(*metadata_, client(), {hint, back, state});
    if (hint.empty() || room_in_head(url, finish.cookies) > 0) {
        return url;
    }
    auto why = "id token of " + std::to_string(hint.size()) +
        " bytes was not sent as "
        "id_token_hint, since the redirect would not fit into the head of a "
        "response";
    if (finish.warning) {
        finish.warning->detail += ", and " + why;
    } else {
        finish.warning = Error{Errc::logout_hint_too_large, std::move(why)};
    }
    return end_session_url(*metadata_, client(), {"", back, state});
}

std::string Logout::post_logout_redirect_uri() const
{
    const auto& uri = client().post_logout_uri;
    return uri.starts_with('/') ? origins_.page + origins_.prefix + uri : uri;
}

}
