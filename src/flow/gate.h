// A browser without a session is sent to the provider: a request to a protected
// place, or a callback whose login went stale.
#pragma once

#include "flow/login.h"
#include "flow/step.h"

#include <optional>
#include <string>
#include <vector>

namespace oidc {

class Gate : public Conversation<Gate> {
public:
    // Provider and visit outlive the gate. A stale transaction is begun anew.
    Gate(const Provider& provider, const Visit& visit,
        std::optional<Transaction> stale = {}) :
        provider_(provider),
        visit_(visit), stale_(std::move(stale))
    {
    }

    Step start(const World& world) override;
    std::string_view doing() const override { return "beginning a login"; }

private:
    Step challenge(const World& world, Check learnt);
    Step push(const World& world, std::string parameters);
    Step pushed(const World& world, Result<HttpResponse> response);
    Finish send(std::string_view parameters);

    const Provider& provider_;
    const Visit& visit_;
    std::optional<Transaction> stale_;

    Metadata metadata_; // as it was when the login began
    std::vector<std::string> cookies_;
};

}
