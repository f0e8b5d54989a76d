// A browser without a session that asks for a protected place is sent to the
// provider.
#pragma once

#include "flow/login.h"
#include "flow/step.h"

#include <optional>
#include <string>
#include <vector>

namespace oidc {

class Gate : public Conversation<Gate> {
public:
    // Provider and visit outlive the gate.
    Gate(const Provider& provider, const Visit& visit) :
        provider_(provider), visit_(visit)
    {
    }

    Step start(const World& world) override;
    std::string_view doing() const override { return "beginning a login"; }

private:
    Step challenge(const World& world, Check learnt);
    std::string unasked_by_person() const;
    Finish begin(const World& world);
    Step paid(const World& world, Result<std::string> receipt);
    Step pushed(const World& world, Result<HttpResponse> response);
    Finish send(std::string_view parameters);

    const Provider& provider_;
    const Visit& visit_;
    Metadata metadata_; // as it was when the login began
    std::optional<Login> login_;
    std::vector<std::string> cookies_;
};

}
