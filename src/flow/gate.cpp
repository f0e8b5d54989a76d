#include "flow/gate.h"

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
    auto redirect = redirect_uri(provider_.client(), visit_);
    if (!redirect) {
        return refuse(std::move(redirect).error());
    }
    auto elsewhere = redirect->origin != visit_.origin;
    Departure departure{elsewhere ? visit_.origin : "", visit_.target, 0};
    return begin_login(
        provider_, *metadata, visit_, *redirect, departure, world);
}

}
