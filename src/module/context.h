// The state of one request: a slot for each provider, and the flow in progress.
#pragma once

#include "conf/conf.h"
#include "flow/renewal.h"
#include "module/authorization.h"
#include "module/driver.h"
#include "module/endpoint.h"
#include "module/log_line.h"
#include "ngx/ngx.h"

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ngx {

// The browser's session at one provider, as far as it is known. Slots of
// different providers never exchange anything.
struct Slot {
    explicit Slot(ProviderState& state) : state(state) {}

    ProviderState& state;
    std::optional<oidc::Session> session;
    std::optional<oidc::Error> failure; // why its store could not load it
    LogContext failed_while{};
    bool is_restored = false;    // loaded, or there is nothing to load
    bool was_read_early = false; // it was read before that
    bool is_resolved = false;    // and renewed where due
    bool may_be_plain = false;   // by a name that can be planted over http

    std::optional<oidc::Pin> pin; // records that revoked it, not pinned yet
    std::optional<Driver> driver; // restores or renews it
};

// Owned by the request's pool.
class Context {
public:
    explicit Context(ngx_http_request_t* r);

    static Context* find(ngx_http_request_t* r);
    static Context& get(ngx_http_request_t* r);

    // The slot whose session the variables show in the current location of this
    // request or subrequest; null for none. At a provider's endpoint the slot
    // of that provider, else of the provider that the location names, else of
    // the gate that was passed. Reading starts no flow and changes no other
    // slot.
    static const Slot* shown(ngx_http_request_t* r);

    // The claim that $remote_user shows there; null for nginx's own value. Like
    // the session, it stays that of the gate in locations without auth_oidc.
    static const std::string* remote_user_claim(ngx_http_request_t* r);

    const std::optional<oidc::Error>& error() const { return error_; }

    // True for a request to an endpoint of a provider, whatever its result.
    bool is_endpoint() const { return query_.has_value(); }

    // True where the module has checked this request for this location: its
    // gate was run, a gate of the same provider let the request through, or an
    // endpoint handled it.
    bool has_checked(
        const LocationConf& place, const ProviderConf& provider) const;

    // Phase handlers: each runs a flow to its end, over several calls if it
    // waits, and returns what the phase returns.

    // Loads the browser's sessions from stores that have to be waited for.
    // NGX_OK once all are loaded or have failed; the gate reports failures.
    ngx_int_t restore(const std::vector<ProviderConf*>& providers);

    // The gate: NGX_OK with a session, NGX_DECLINED where none is required.
    ngx_int_t pass_gate(ProviderConf& provider, bool is_required);

    // Refuses a request that does not meet a requirement of its location.
    ngx_int_t forbid(const Unmet& unmet);

    // Takes the query of a request to an endpoint: nothing else sees it any
    // more.
    const std::string& take_query();

    ngx_int_t enter(
        ProviderConf& provider, EndpointKind kind, std::string_view form);

    // Resumes the flow of the gate, or of enter(), whatever URI the request has
    // by now.
    bool is_at_gate() const { return gate_ != nullptr; }
    ngx_int_t resume_at_gate();
    bool is_at_endpoint() const { return endpoint_slot_ != nullptr; }
    ngx_int_t resume();

    // Ends a request with the response for an error, and logs it: at an
    // endpoint before its flow has begun, or anywhere. Status 0: the error's.
    ngx_int_t refuse_endpoint(
        const ProviderConf& provider, EndpointKind kind, oidc::Error error);
    ngx_int_t fail(
        const std::string& provider, oidc::Finish end, ngx_int_t status = 0);

private:
    Slot& slot(ProviderConf& provider);
    Slot& read_slot(ProviderConf& provider);

    ngx_int_t restore(Slot& slot);
    void begin_restoring(Slot& slot);
    void silence_log();
    void restore_log();
    void restore_here(Slot& slot, std::vector<oidc::CookieContent> held);
    bool has_failed_before(Slot& slot);
    ngx_int_t resolve_session(Slot& slot);
    bool is_planted(const Slot& slot) const;
    ngx_int_t renew(Slot& slot);
    oidc::Renewal::Refresh refresh(const ProviderState& state) const;
    void take_renewed(Slot& slot, oidc::Finish end);

    template <class Call>
    ngx_int_t in_flow(Call call);
    ngx_int_t try_gate();
    ngx_int_t resume_endpoint_flow();
    ngx_int_t begin_login(Slot& slot);
    void prepare();
    void evaluate_arguments(const ProviderConf& provider);
    std::unique_ptr<oidc::Flow> endpoint_flow(const Slot& slot) const;
    std::optional<oidc::Finish> drive(std::optional<Driver>& driver);
    ngx_int_t run(Slot& slot);
    ngx_int_t finish(Slot& slot, oidc::Finish finish);
    void log_warnings(const Slot& slot, const oidc::Finish& finish) const;

    ngx_http_request_t* r_;
    oidc::RequestView view_;
    std::optional<std::string> query_; // of an endpoint
    std::string form_; // of an endpoint; hidden from everything else

    std::list<Slot> slots_;  // with stable addresses
    Slot* passed_ = nullptr; // the last gate that let the request through
    const LocationConf* passed_in_ = nullptr; // the location of that gate

    const LocationConf* checked_ = nullptr; // the last gate that was run
    Slot* gate_ = nullptr;                  // the gate in progress
    bool is_required_ = true;
    Slot* endpoint_slot_ = nullptr;
    EndpointKind endpoint_ = EndpointKind::callback;
    std::optional<Driver> driver_; // of the gate or the endpoint

    LogContext log_context_{"choosing a provider"};
    std::optional<ngx_uint_t> log_level_; // of the connection, while silenced
    std::optional<oidc::Error> error_;
};

}
