#include "flow/restore.h"

#include <algorithm>

namespace oidc {

std::optional<Load> Restoration::next() const
{
    if (opened_.session) {
        return Load{"", opened_.session->revocation_keys(client())};
    }
    if (opened_.ticket) {
        return Load{opened_.ticket->key(), opened_.ticket->revocation_keys()};
    }
    return {};
}

void Restoration::take(const Loaded& loaded, std::int64_t now)
{
    revoked_at_ = std::max(revoked_at_, loaded.revoked_at);
    if (opened_.session || open(loaded)) {
        accept(now);
    }
}

// True when its revocations are known, too: the ticket may be older than the
// session's keys.
bool Restoration::open(const Loaded& loaded)
{
    auto ticket = *std::exchange(opened_.ticket, std::nullopt);
    if (loaded.blob) {
        opened_.session = open_stored(ticket, *loaded.blob, *provider_);
    }
    return opened_.session &&
        (!opened_.session->has_moved() ||
            opened_.session->revocation_keys(client()) ==
                ticket.revocation_keys());
}

void Restoration::accept(std::int64_t now)
{
    auto opened = *std::exchange(opened_.session, std::nullopt);
    auto accepted =
        Session::accept(std::move(opened), client(), revoked_at_, now);
    session = std::move(accepted.session);
    if (const auto& revoked = accepted.revoked) {
        pin = Pin{revoked->revocation_keys(client()),
            revoked->subject_key(client()), revoked->started(),
            revoked->has_moved() ? revoked->sealed_end() : 0};
    }
}

Step Restore::start(const World&)
{
    if (auto load = restoration_.next()) {
        return ask(std::move(*load), &Restore::loaded);
    }
    if (restoration_.pin) {
        return ask(std::move(*restoration_.pin), &Restore::pinned);
    }
    Finish finish;
    finish.session = std::move(restoration_.session);
    return finish;
}

Step Restore::loaded(const World& world, Result<Loaded> loaded)
{
    if (!loaded) {
        return refuse(std::move(loaded).error());
    }
    restoration_.take(*loaded, world.now);
    return start(world);
}

// The session has ended either way.
// NOLINTNEXTLINE(performance-unnecessary-value-param): so answers come
Step Restore::pinned(const World&, Check)
{
    return Finish{};
}

}
