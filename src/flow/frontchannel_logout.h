// Front-Channel Logout 1.0: a page of the provider loads a URL of ours in a
// frame.
#pragma once

#include "flow/step.h"
#include "oidc/frontchannel_logout.h"

#include <optional>
#include <string_view>

namespace oidc {

class FrontChannelLogout : public Conversation<FrontChannelLogout> {
public:
    FrontChannelLogout(const Provider& provider, const RequestView& view,
        const std::optional<Session>& session,
        const std::optional<Error>& failure) :
        provider_(provider),
        view_(view), session_(session), failure_(failure)
    {
    }

    // True for a query that names this provider.
    static bool is_for(const Provider& provider, std::string_view query);

    Step start(const Environment& env) override;
    std::string_view action() const override
    {
        return "handling a front-channel logout";
    }

private:
    Step end_named(const Environment& env, std::string_view sid);
    Step end_own(const Environment& env);
    Step revoked(const Environment& env, Check revoked);
    Step dropped(const Environment& env, Check dropped);
    Finish end(std::optional<Error> error) const;

    const Provider& provider_;
    const RequestView& view_;
    const std::optional<Session>& session_;
    const std::optional<Error>& failure_;
    bool is_own_ = false; // the browser's own session ends
};

}
