#include "flow/gate.h"

#include "flow/login.h"

namespace oidc {

Step Gate::start(const World& world)
{
    if (provider_.metadata(world.now) == nullptr) {
        return ask(Learn{Part::metadata}, &Gate::challenge);
    }
    return challenge(world, Ok{});
}

Step Gate::challenge(const World& world, Check learnt)
{
    auto metadata = provider_.metadata(world.now);
    if (metadata == nullptr) {
        return refuse(std::move(learnt).error());
    }
    auto login = Login::at(provider_, visit_);
    if (!login) {
        return refuse(std::move(login).error());
    }
    return login->begin(*metadata, world);
}

}
