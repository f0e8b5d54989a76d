// What the module knows of one request: whose session its browser holds, and
// the flow that it is in.
#pragma once

#include "flow/renewal.h"
#include "ngx/conf.h"
#include "ngx/driver.h"
#include "ngx/ngx.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ngx {

// What the paths of a provider are for, which are no page of the application.
enum class Entry { callback, logout, frontchannel_logout, backchannel_logout };

// The request's pool owns it.
class Context {
public:
    explicit Context(ngx_http_request_t* r);

    static Context* find(ngx_http_request_t* r);
    static Context& get(ngx_http_request_t* r);

    // The session that the browser holds for a provider, as far as it is known
    // without waiting; one in Redis not before settle().
    const std::optional<oidc::Session>& session(ProviderConf& provider);

    // The session last asked for; variables show it where no provider is
    // named, such as after an internal redirect.
    const ProviderConf* provider() const { return provider_; }
    const std::optional<oidc::Session>& session() const { return session_; }

    const std::optional<oidc::Error>& error() const { return error_; }

    // The provider one of whose entries this request is, if it is one.
    bool has_entered() const { return entered_ != nullptr; }

    // Phase handlers: they run flows to their ends, over as many calls as it
    // takes, and return what the phase returns.

    // NGX_OK once session() is all that is to be known of it: fetched, renewed.
    // `is_required` where a request without an answer to that cannot go on.
    ngx_int_t settle(ProviderConf& provider, bool is_required);

    ngx_int_t begin_login(ProviderConf& provider);
    ngx_int_t enter(ProviderConf& provider, Entry entry, std::string_view form);

    // What enter() began.
    ngx_int_t go_on();

    // Ends an entry before it began, or any request, with what an error gets,
    // and logs it.
    ngx_int_t refuse_entry(
        const ProviderConf& provider, Entry entry, oidc::Error error);
    ngx_int_t fail(const std::string& provider, oidc::Error error);

private:
    void open(ProviderConf& provider);
    bool is_revoked(const ProviderConf& provider) const;
    bool is_due(const ProviderConf& provider) const;
    oidc::Renewal::Refresh refresh(const ProviderConf& provider) const;
    ngx_int_t take_settled(
        ProviderConf& provider, oidc::Finish end, bool is_required);

    void prepare(ProviderConf& provider);
    void start(ProviderConf& provider, std::unique_ptr<oidc::Flow> flow);
    std::unique_ptr<oidc::Flow> entry_flow() const;
    std::optional<oidc::Finish> drive();
    ngx_int_t run(ProviderConf& provider);
    ngx_int_t finish(ProviderConf& provider, oidc::Finish finish);
    void log(const std::string& provider, const oidc::Error& error) const;

    ngx_http_request_t* r_;
    oidc::Visit visit_;
    std::string form_; // of an entry, which nothing else may see

    ProviderConf* provider_ = nullptr; // whose session was asked for last
    oidc::Held held_;                  // what only Redis can judge
    std::optional<oidc::Session> session_;
    const ProviderConf* settled_ = nullptr;

    ProviderConf* entered_ = nullptr;
    Entry entry_ = Entry::callback;
    std::string_view doing_ = "choosing a provider";
    std::optional<Driver> driver_;
    std::optional<oidc::Error> error_;
};

}
