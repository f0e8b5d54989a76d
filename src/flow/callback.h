// The provider sends the browser back: code -> tokens -> IdToken -> Session.
// Nothing is stored or set before all of it holds.
#pragma once

#include "flow/login.h"
#include "flow/step.h"
#include "oidc/token.h"

namespace oidc {

class Callback : public Conversation<Callback> {
public:
    // `session` is the one the browser already has, if any.
    Callback(Provider& provider, const Visit& visit,
        const std::optional<Session>& session) :
        provider_(provider),
        visit_(visit), session_(session)
    {
    }

    // True when the state is one that this provider's keys sealed: how the
    // right one is found where several share a callback path.
    static bool is_for(const Provider& provider, std::string_view query);

    Step start(const World& world) override;
    std::string_view doing() const override { return "handling the callback"; }

private:
    Step judge_state(const World& world);
    Step stale(const World& world, Errc code, const char* what);
    Step restart(const World& world, Check learnt);
    Step claim(const World& world, Check learnt);
    Step claimed(const World& world, Claimed claimed);
    bool has_newer_session() const;
    Step tokens(const World& world, Result<HttpResponse> response);
    Step verify(const World& world, Check learnt);
    Step judge_error(const World& world, Error error);
    Step finish(const World& world, const IdToken& token);
    Finish go_home(std::vector<std::string> cookies);

    Provider& provider_;
    const Visit& visit_;
    const std::optional<Session>& session_;

    AuthorizationReply reply_;
    OpenedState state_;
    std::optional<Login> login_;
    Derived derived_;
    Metadata metadata_; // as it was when the reply was judged
    Tokens tokens_;
    bool renewed_keys_ = false;
};

}
