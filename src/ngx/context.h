// What the module knows of one request: whose session its cookies hold, and the
// flow that it is in.
#pragma once

#include "ngx/conf.h"
#include "ngx/driver.h"
#include "ngx/ngx.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ngx {

// The request's pool owns it.
class Context {
public:
    explicit Context(ngx_http_request_t* r);

    static Context* find(ngx_http_request_t* r);
    static Context& get(ngx_http_request_t* r);

    // The session that the request's cookies hold for a provider.
    const std::optional<oidc::Session>& session(ProviderConf& provider);

    // The session last asked for; variables show it where no provider is
    // named, such as after an internal redirect.
    const ProviderConf* provider() const { return provider_; }
    const std::optional<oidc::Session>& session() const { return session_; }

    const std::optional<oidc::Error>& error() const { return error_; }

    // The provider whose callback this request is, if it is one.
    ProviderConf* called_back() const { return called_back_; }

    // Phase handlers: they run the flow to its end, over as many calls as it
    // takes, and return what the phase returns.
    ngx_int_t begin_login(ProviderConf& provider);
    ngx_int_t handle_callback(ProviderConf& provider, std::string_view reply);

    ngx_int_t refuse_callback(const ProviderConf& provider, oidc::Error error);

    // What handle_callback() began.
    ngx_int_t go_on(ProviderConf& provider) { return run(provider); }

    // Ends the request with what an error gets, and logs it.
    ngx_int_t fail(const std::string& provider, oidc::Error error);

private:
    void prepare(ProviderConf& provider);
    void start(ProviderConf& provider, std::unique_ptr<oidc::Flow> flow);
    ngx_int_t run(ProviderConf& provider);
    ngx_int_t finish(ProviderConf& provider, oidc::Finish finish);

    ngx_http_request_t* r_;
    oidc::Visit visit_;
    std::string reply_; // of a callback, which nothing else may see

    ProviderConf* provider_ = nullptr;
    std::optional<oidc::Session> session_;

    ProviderConf* called_back_ = nullptr;
    std::string_view doing_ = "choosing a provider";
    std::optional<Driver> driver_;
    std::optional<oidc::Error> error_;
};

}
