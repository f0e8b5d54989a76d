// Performs the steps of a flow for one request and resumes the flow with the
// answers. It knows nginx and nothing of OpenID Connect.
#pragma once

#include "conf/conf.h"
#include "flow/step.h"
#include "ngx/ngx.h"

#include <memory>
#include <optional>

namespace ngx {

class Driver {
public:
    Driver(ngx_http_request_t* r, ProviderConf& provider,
        std::unique_ptr<oidc::Flow> flow);
    ~Driver();
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;

    // Goes on as far as it can; nothing while something is waited for, after
    // which nginx runs the request's phases again.
    std::optional<oidc::Finish> drive();

    std::string_view action() const { return flow_->action(); }

    // What a lookup waits for has come, or whoever asked has gone.
    void wake_from_lookup(const oidc::Check* learnt);

private:
    enum class Wait { none, subrequest, event };

    // Each performs a step: true when `answer_` is there at once.
    bool perform(oidc::Fetch& step);
    bool perform(oidc::Learn& step);
    bool perform(oidc::Charge& step);
    bool perform(oidc::Acquire& step);
    bool perform(oidc::Load& step);
    bool perform(oidc::Save& step);
    bool perform(oidc::Drop& step);
    bool perform(oidc::ReadClock& step);
    bool perform(oidc::Revoke& step);
    bool perform(oidc::Pin& step);
    bool perform(oidc::Finish& step);

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
    ProviderConf& provider_;
    std::unique_ptr<oidc::Flow> flow_;

    std::optional<oidc::Step> step_;
    int steps_ = 0;
    bool is_over_ = false;
    std::optional<oidc::Answer> answer_;
    Wait wait_ = Wait::none;

    ngx_event_t event_{};
    ngx_msec_t deadline_ = 0; // of a wait for others; 0: none yet
    ngx_msec_t pause_ = 0;    // before the next attempt to acquire; 0: none yet
    Lookup* awaited_ = nullptr;
    ngx_uint_t known_ = 0; // documents, when a newer one was asked for
    std::optional<Store::Acquisition> acquisition_; // that a store has told
    std::optional<oidc::Check> revoked_;            // the same of a revocation
    std::size_t revoked_in_ = 0;        // so many of the provider's stores
    std::optional<oidc::Acquire> ours_; // that was acquired and has not ended
};

}
