// Performs the steps of a flow for one request and resumes the flow with the
// answers. It knows no rule of OpenID Connect.
#pragma once

#include "flow/step.h"
#include "module/worker.h"
#include "ngx/ngx.h"

#include <memory>
#include <optional>

namespace ngx {

class Driver final : private Waiter {
public:
    Driver(ngx_http_request_t* r, ProviderState& provider,
        std::unique_ptr<oidc::Flow> flow);
    ~Driver();
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;

    // Runs the flow as far as it can. Nothing: the flow waits, and nginx will
    // run the request's phases again.
    std::optional<oidc::Finish> drive();

    std::string_view action() const { return flow_->action(); }

    // The URL of the provider that the flow has last asked; empty for none.
    const std::string& url() const { return url_; }

private:
    enum class Wait { none, subrequest, event };

    // Each performs a step: true when `answer_` is set at once.
    bool perform(oidc::Fetch& step);
    bool perform(oidc::NeedMetadata& step);
    bool perform(oidc::NeedKeys& step);
    bool perform(oidc::Charge& step);
    bool perform(oidc::Acquire& step);
    bool perform(oidc::Load& step);
    bool perform(oidc::Save& step);
    bool perform(oidc::Drop& step);
    bool perform(oidc::ReadClock& step);
    bool perform(oidc::Revoke& step);
    bool perform(oidc::Pin& step);
    bool perform(oidc::Finish& step);

    template <class T>
    bool take_document(SharedDocument& document, std::optional<T> reply);
    void fetch_ended(const oidc::Error* error) override;

    Store& store_of(const oidc::Acquire& step);
    bool judge(const oidc::Acquire& step, Store::Acquisition acquisition);

    template <class T>
    Store::Done<T> done();
    template <class T>
    bool take_answer(std::optional<T> answer);

    bool needs_client(const oidc::Step& step) const;
    void answer_fetch(oidc::Result<oidc::HttpResponse> response);
    bool has_time_left();
    ngx_msec_t next_pause(const oidc::Acquire& step);
    void park(ngx_msec_t timeout);
    bool give_up(const oidc::Step& step);
    void finish(const oidc::Finish& end);

    static void wake(ngx_event_t* event);

    ngx_http_request_t* r_;
    ProviderState& provider_;
    std::unique_ptr<oidc::Flow> flow_;

    std::string url_;
    std::optional<oidc::Step> step_;
    int steps_ = 0;
    bool is_over_ = false;
    std::optional<oidc::Answer> answer_;
    Wait wait_ = Wait::none;

    ngx_event_t event_{};
    ngx_msec_t deadline_ = 0; // of a wait for other requests; 0: not set
    ngx_msec_t pause_ = 0;    // before the next attempt to acquire; 0: not set
    SharedDocument* awaited_ = nullptr;
    std::optional<Store::Acquisition> acquisition_; // that a store has answered
    std::optional<oidc::Check> revoked_; // answer of a store to a revocation
    std::size_t revoked_in_ = 0;         // number of stores done
    std::optional<oidc::Acquire>
        ours_; // the acquired lock, until it is finished
};

}
