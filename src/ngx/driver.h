// Performs the steps of a flow for one request and resumes the flow with the
// answers. It knows nginx and nothing of OpenID Connect.
#pragma once

#include "flow/step.h"
#include "ngx/conf.h"
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

    std::string_view doing() const { return flow_->doing(); }

    // What a lookup waits for has come, or whoever asked has gone.
    void wake_from_lookup(const oidc::Check* learnt);

private:
    enum class Wait { none, subrequest, event };

    // Each performs a step: true when `answer_` is there at once.
    bool perform(oidc::Fetch& step);
    bool perform(oidc::Learn& step);
    bool perform(oidc::Claim& step);
    bool perform(oidc::Load& step);
    bool perform(oidc::Save& step);
    bool perform(oidc::Drop& step);
    bool perform(oidc::Revoke& step);
    bool perform(oidc::Finish& step);

    Store& store_of(const oidc::Claim& step);
    bool judge(const oidc::Claim& step, const Zone::Acquisition& taking);

    template <class T>
    Store::Done<T> done();
    template <class T>
    bool take_answer(std::optional<T> answer);

    bool needs_client(const oidc::Step& step) const;
    void answer_fetch(oidc::Result<oidc::HttpResponse> response);
    bool has_patience();
    void park(ngx_msec_t timeout);
    void leave(const oidc::Finish& finish);

    static void wake(ngx_event_t* event);

    ngx_http_request_t* r_;
    ProviderConf& provider_;
    std::unique_ptr<oidc::Flow> flow_;

    std::optional<oidc::Step> step_;
    std::optional<oidc::Answer> answer_;
    Wait wait_ = Wait::none;

    ngx_event_t event_{};
    ngx_msec_t patience_until_ = 0; // of a wait for others; 0: none yet
    Lookup* awaited_ = nullptr;
    ngx_uint_t known_ = 0; // documents, when a newer one was asked for
    std::optional<Zone::Acquisition> taking_; // that a store has told
    std::optional<oidc::Claim> claimed_;      // that is ours and has not ended
};

}
