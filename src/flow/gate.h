// The gate: a request for a protected page without a session begins a login.
#pragma once

#include "flow/login.h"
#include "flow/step.h"

#include <optional>
#include <string>
#include <vector>

namespace oidc {

class Gate : public Conversation<Gate> {
public:
    // Provider and view outlive the gate.
    Gate(const Provider& provider, const RequestView& view) :
        provider_(provider), view_(view)
    {
    }

    Step start(const Environment& env) override;
    std::string_view action() const override { return "beginning a login"; }

private:
    Step challenge(const Environment& env, MetadataReply metadata);
    std::string cause_of_request() const;
    Finish begin(const Environment& env);
    Step charged(const Environment& env, Result<std::string> receipt);
    Step pushed(const Environment& env, Result<HttpResponse> response);
    Finish send(std::string_view parameters);

    const Provider& provider_;
    const RequestView& view_;
    std::shared_ptr<const Metadata> metadata_;
    std::optional<Login> login_;
    std::vector<std::string> cookies_;
};

}
