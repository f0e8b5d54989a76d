// From what the browser's cookie holds to the session that it stands for: the
// store is asked for it and for its revocations, then it is accepted or not.
#pragma once

#include "flow/step.h"

#include <optional>

namespace oidc {

// The restoring itself, for whoever asks the store: ask for what next() names
// and take() the answer, until there is nothing more to ask. The provider
// outlives it.
class Restoration {
public:
    // `revoked_at`, in milliseconds since the epoch, is known beforehand.
    Restoration(
        const Provider& provider, Opened opened, std::int64_t revoked_at = 0) :
        provider_(&provider),
        opened_(std::move(opened)), revoked_at_(revoked_at)
    {
    }

    // At most twice.
    std::optional<Load> next() const;
    void take(const Loaded& loaded, std::int64_t now);

    // For a session at hand, in a node where nothing is revoked: nothing to
    // ask.
    void take_as_it_is(std::int64_t now) { accept(now); }
    bool is_at_hand() const { return opened_.session.has_value(); }

    // What came of it; the session, or none, and what it was refused for where
    // that was a revocation.
    std::optional<Session> session;
    std::optional<Pin> pin;

private:
    const Client& client() const { return provider_->client(); }
    bool open(const Loaded& loaded);
    void accept(std::int64_t now);

    const Provider* provider_;
    Opened opened_;
    std::int64_t revoked_at_;
};

// The same as a flow. Its end has the session, or none.
class Restore : public Conversation<Restore> {
public:
    Restore(
        const Provider& provider, Opened opened, std::int64_t revoked_at = 0) :
        restoration_(provider, std::move(opened), revoked_at)
    {
    }

    Step start(const World& world) override;
    std::string_view doing() const override { return "fetching a session"; }

private:
    Step loaded(const World& world, Result<Loaded> loaded);
    Step pinned(const World& world, Check pinned);

    Restoration restoration_;
};

}
