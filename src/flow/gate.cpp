#include "flow/gate.h"

#include "oidc/client_auth.h"

namespace oidc {

Step Gate::start(const World&)
{
    return ask(Learn{Part::metadata}, &Gate::challenge);
}

Step Gate::challenge(const World& world, Check learnt)
{
    auto metadata = provider_.metadata(world.now);
    if (metadata == nullptr) {
        return refuse_unknown(std::move(learnt));
    }
    metadata_ = *metadata;

    auto login = stale_ ? Login::of(provider_, visit_, *stale_) :
                          Login::at(provider_, visit_);
    if (!login) {
        return refuse(std::move(login).error());
    }
    auto rounds = login->rounds();
    if (rounds >= Login::most_rounds) {
        return refuse({Errc::login_loop,
            "client went through " + std::to_string(rounds) +
                " logins and did not keep a session's cookie"});
    }
    auto request = stale_ ? login->begin_again(metadata_, *stale_, world) :
                            login->begin(metadata_, world);
    cookies_ = std::move(request.cookies);
    if (pushes_request(provider_.client(), metadata_)) {
        return push(world, std::move(request.parameters));
    }
    return send(request.parameters);
}

Step Gate::push(const World& world, std::string parameters)
{
    auto request = pushed_request(metadata_, std::move(parameters));
    if (!request) {
        return refuse(std::move(request).error());
    }
    auto proven = authenticate(
        *request, provider_.client(), metadata_, world.now, world.random);
    if (!proven) {
        return refuse(std::move(proven).error());
    }
    return ask(Fetch{std::move(*request)}, &Gate::pushed);
}

Step Gate::pushed(const World&, Result<HttpResponse> response)
{
    if (!response) {
        return refuse(std::move(response).error());
    }
    auto parameters = parse_pushed(provider_.client(), *response);
    if (!parameters) {
        return refuse(std::move(parameters).error());
    }
    return send(*parameters);
}

Finish Gate::send(std::string_view parameters)
{
    Finish finish;
    finish.location = authorization_url(metadata_, parameters);
    finish.cookies = std::move(cookies_);
    return finish;
}

}
