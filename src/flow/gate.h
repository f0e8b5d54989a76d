// A request without a session to a protected place: begin a login.
#pragma once

#include "flow/step.h"

namespace oidc {

class Gate : public Conversation<Gate> {
public:
    // Both outlive the gate.
    Gate(const Provider& provider, const Visit& visit) :
        provider_(provider), visit_(visit)
    {
    }

    Step start(const World& world) override;
    std::string_view doing() const override { return "beginning a login"; }

private:
    Step challenge(const World& world, Check learnt);

    const Provider& provider_;
    const Visit& visit_;
};

}
