// What the module knows of one request: a slot for each provider, whose session
// its browser may hold, and the flow that it is in.
#pragma once

#include "conf/conf.h"
#include "flow/renewal.h"
#include "module/driver.h"
#include "ngx/ngx.h"

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ngx {

// What the paths of a provider are for, which are no page of the application.
enum class EndpointKind {
    callback,
    logout,
    frontchannel_logout,
    backchannel_logout
};

// The session that the browser holds for one provider, as far as it is known.
// Nothing of one provider's slot ever comes from, or goes to, another's.
struct Slot {
    explicit Slot(ProviderConf& provider) : provider(provider) {}

    ProviderConf& provider;
    std::optional<oidc::Session> session;
    std::optional<oidc::Error> failure; // why its store did not tell
    std::string_view failed_while;
    bool is_restored = false;  // the store has told, or nobody need ask it
    bool was_missed = false;   // somebody has asked for it before
    bool is_settled = false;   // and what was due has been renewed
    bool may_be_plain = false; // a cookie had the name that http can plant

    std::optional<oidc::Pin> pin; // what it was refused for, not pinned yet
    std::optional<Driver> driver; // restores or renews it
};

// The request's pool owns it.
class Context {
public:
    explicit Context(ngx_http_request_t* r);

    static Context* find(ngx_http_request_t* r);
    static Context& get(ngx_http_request_t* r);

    // The slot whose session variables show where this request or subrequest
    // is; null for none. The slot of a provider's own path, else of the
    // provider that the location names, else of the gate that was passed.
    // Reading starts nothing and changes no other slot.
    static const Slot* shown(ngx_http_request_t* r);

    const std::optional<oidc::Error>& error() const { return error_; }

    // It came to a path of a provider, whatever became of it.
    bool is_endpoint() const { return query_.has_value(); }

    // The module had its say about this request where it is now: at the gate
    // of this place, at another one of the same provider which let it through,
    // or at an endpoint.
    bool has_checked(
        const LocationConf& place, const ProviderConf& provider) const;

    // Phase handlers: they run flows to their ends, over as many calls as it
    // takes, and return what the phase returns.

    // Loads the browser's sessions from remote stores; NGX_OK when what
    // there is to know of them is known. Failures wait for the gate.
    ngx_int_t restore(const std::vector<ProviderConf*>& providers);

    // The gate: NGX_OK where there is a session, NGX_DECLINED where none is
    // required.
    ngx_int_t pass_gate(ProviderConf& provider, bool is_required);

    // The query of a request to an endpoint, which nothing else sees from then
    // on.
    const std::string& take_query();

    ngx_int_t enter(
        ProviderConf& provider, EndpointKind kind, std::string_view form);

    // Where a flow of the gate, or of enter(), is under way: goes on with it,
    // whatever the request shows of itself by now.
    bool is_at_gate() const { return gate_ != nullptr; }
    ngx_int_t go_on_at_gate();
    bool has_entered() const { return entered_ != nullptr; }
    ngx_int_t go_on();

    // Ends an endpoint before it began, or any request, with what an error
    // gets, and logs it.
    ngx_int_t refuse_endpoint(
        const ProviderConf& provider, EndpointKind kind, oidc::Error error);
    ngx_int_t fail(const std::string& provider, oidc::Finish end);

private:
    Slot& slot(ProviderConf& provider);
    Slot& look(ProviderConf& provider);

    ngx_int_t restore(Slot& slot);
    void begin_restoring(Slot& slot);
    void hush();
    void unhush();
    void restore_here(Slot& slot, std::vector<oidc::Opened> held);
    bool has_failed_before(Slot& slot);
    ngx_int_t settle(Slot& slot);
    bool is_planted(const Slot& slot) const;
    ngx_int_t renew(Slot& slot);
    oidc::Renewal::Refresh refresh(const ProviderConf& provider) const;
    void take_renewed(Slot& slot, oidc::Finish end);

    template <class Call>
    ngx_int_t in_flow(Call call);
    ngx_int_t try_gate();
    ngx_int_t go_on_entered();
    ngx_int_t begin_login(Slot& slot);
    void prepare();
    void evaluate_arguments(const ProviderConf& provider);
    std::unique_ptr<oidc::Flow> endpoint_flow(const Slot& slot) const;
    std::optional<oidc::Finish> drive(std::optional<Driver>& driver);
    ngx_int_t run(Slot& slot);
    ngx_int_t finish(Slot& slot, oidc::Finish finish);
    void log(const std::string& provider, const oidc::Error& error) const;

    ngx_http_request_t* r_;
    oidc::RequestView view_;
    std::optional<std::string> query_; // of an endpoint
    std::string form_; // of an endpoint, which nothing else may see

    std::list<Slot> slots_;  // their addresses stay
    Slot* passed_ = nullptr; // the last gate that let the request through

    const LocationConf* checked_ = nullptr; // the last gate that was asked
    Slot* gate_ = nullptr;                  // where the request waits
    bool is_required_ = true;
    Slot* entered_ = nullptr;
    EndpointKind endpoint_ = EndpointKind::callback;
    std::optional<Driver>
        driver_; // of the flow of the gate, or of the endpoint

    std::string_view action_ = "choosing a provider";
    std::optional<ngx_uint_t> log_level_; // of the connection, while hushed
    std::optional<oidc::Error> error_;
};

}
