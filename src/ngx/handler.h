// Which flow is this request? The two phases that ask, and what a request's
// variables may know of the answer.
#pragma once

#include "ngx/driver.h"
#include "ngx/request.h"

#include <memory>
#include <optional>

namespace ngx {

// What the module knows of one request; the request's pool owns it.
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

    // Runs a flow to its end, over as many calls as it takes.
    template <class MakeFlow>
    ngx_int_t run(ProviderConf& provider, MakeFlow make_flow);

    oidc::Visit visit;
    ProviderConf* called_back = nullptr; // whose callback this request is
    std::string query; // of that callback, which nothing else may see

private:
    ngx_int_t finish(ProviderConf& provider, oidc::Finish finish);
    void log(const ProviderConf& provider, const oidc::Error& error);

    ngx_http_request_t* r_;
    ProviderConf* provider_ = nullptr;
    std::optional<oidc::Session> session_;
    std::optional<oidc::Error> error_;
    std::string_view doing_;
    std::optional<Driver> driver_;
};

// The provider that protects the request's location: null for none, and
// for a name that a variable gave and no provider has, then with `unknown`.
ProviderConf* protecting_provider(ngx_http_request_t* r, bool& unknown);

// NGX_HTTP_POST_READ_PHASE: callbacks, before any rewrite, return or location
// has its say.
ngx_int_t entry_handler(ngx_http_request_t* r);

// NGX_HTTP_ACCESS_PHASE: the gate.
ngx_int_t access_handler(ngx_http_request_t* r);

}
