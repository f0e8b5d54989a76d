#include "flow/gate.h"

#include "flow/intent.h"
#include "oidc/client_auth.h"

namespace oidc {

Step Gate::start(const Environment&)
{
    auto login = Login::at(provider_, view_);
    if (!login) {
        return refuse(std::move(login).error());
    }
    auto reachable = login->check_page();
    if (!reachable) {
        return refuse(std::move(reachable).error());
    }
    auto login_count = login->login_count();
    if (login_count >= Login::max_logins) {
        return refuse(login_loop(login_count));
    }
    login_ = std::move(*login);
    return ask(NeedMetadata{}, &Gate::challenge);
}

Step Gate::challenge(const Environment& env, MetadataReply metadata)
{
    if (!metadata) {
        return refuse(std::move(metadata).error());
    }
    metadata_ = std::move(*metadata);
    if (!pushes_request(provider_.client(), *metadata_)) {
        return begin(env);
    }
    auto cause = cause_of_request();
    if (!cause.empty()) {
        return refuse(
            {Errc::login_unasked, "client requested a login in " + cause});
    }
    return ask(Charge{Work::push}, &Gate::charged);
}

// A subresource that a page of another site loads is not worth a pushed
// request.
std::string Gate::cause_of_request() const
{
    auto cause = cause_other_than_user(view_);
    auto is_framed = is_in_foreign_frame(view_) &&
        provider_.client().cookie_same_site != "None";
    return cause.empty() && is_framed ? "a cross-site frame" : cause;
}

Finish Gate::begin(const Environment& env)
{
    auto request = login_->begin(*metadata_, "", env);
    cookies_ = std::move(request.cookies);
    return send(request.parameters);
}

Step Gate::charged(const Environment& env, Result<std::string> receipt)
{
    if (!receipt) {
        return refuse(std::move(receipt).error());
    }
    auto begun = login_->begin(*metadata_, *receipt, env);
    cookies_ = std::move(begun.cookies);
    auto request = pushed_request(*metadata_, std::move(begun.parameters));
    if (!request) {
        return refuse(std::move(request).error());
    }
    auto proven = authenticate(
        *request, provider_.client(), *metadata_, env.now, env.random);
    if (!proven) {
        return refuse(std::move(proven).error());
    }
    return ask(Fetch{std::move(*request)}, &Gate::pushed);
}

Step Gate::pushed(const Environment&, Result<HttpResponse> response)
{
    auto parameters =
        std::move(response).and_then([&](const HttpResponse& pushed) {
            return parse_pushed(provider_.client(), pushed);
        });
    if (!parameters) {
        return refuse(std::move(parameters).error());
    }
    return send(*parameters);
}

Finish Gate::send(std::string_view parameters)
{
    Finish finish;
    finish.location = authorization_url(*metadata_, parameters);
    finish.cookies = std::move(cookies_);
    return finish;
}

}
