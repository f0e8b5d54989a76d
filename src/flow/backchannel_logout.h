// Back-Channel Logout 1.0: the provider posts a logout token.
#pragma once

#include "flow/step.h"
#include "oidc/backchannel_logout.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace oidc {

class BackChannelLogout : public Conversation<BackChannelLogout> {
public:
    BackChannelLogout(const Provider& provider, const RequestView& view) :
        provider_(provider), view_(view)
    {
    }

    // True for a form whose token says that this provider made it.
    static bool is_for(const Provider& provider, std::string_view form);

    Step start(const Environment& env) override;
    std::string_view action() const override
    {
        return "handling a back-channel logout";
    }

private:
    Step need_keys(const Environment& env, MetadataReply metadata);
    Step charge(const Environment& env, KeysReply keys);
    Step charged(const Environment& env, Result<std::string> receipt);
    Step verify(const Environment& env, KeysReply keys);
    Step acquired(const Environment& env, Result<Acquired> acquired);
    Step revoked(const Environment& env, Check revoked);

    const Provider& provider_;
    const RequestView& view_;

    std::string compact_;
    std::shared_ptr<const KeySet> keys_;
    std::string receipt_;
    std::optional<LogoutToken> token_;
};

}
