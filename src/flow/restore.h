// From what the browser's cookie holds to the session that it stands for: the
// store is asked for it and for its revocations, then it is accepted or not.
#pragma once

#include "flow/step.h"

#include <optional>
#include <vector>

namespace oidc {

// The restoring itself, for whoever asks the store: ask for what next() names
// and take() the answer, until there is nothing more to ask. The provider
// outlives it.
class Restoration {
public:
    // The first of them that is good counts.
    Restoration(const Provider& provider, std::vector<Opened> held);
    Restoration(const Provider& provider, Opened opened);

    // At most twice for each.
    std::optional<Load> next() const;
    void take(const Loaded& loaded, Time now);

    // For a session at hand, in a node where nothing is revoked: nothing to
    // ask.
    void take_as_it_is(Time now);
    bool is_at_hand() const { return opened_.session.has_value(); }

    // What came of it; the session, or none, and what the first was refused for
    // that had been revoked.
    std::optional<Session> session;
    std::optional<Pin> pin;

private:
    const Client& client() const { return provider_->client(); }
    bool open(const Loaded& loaded);
    void accept(Time now);

    void go_on();

    const Provider* provider_;
    std::vector<Opened> others_; // the next one is the last
    Opened opened_;
};

// The same as a flow. Its end has the session, or none.
class Restore : public Conversation<Restore> {
public:
    Restore(const Provider& provider, std::vector<Opened> held) :
        restoration_(provider, std::move(held))
    {
    }

    Step start(const Environment& env) override;
    std::string_view action() const override { return "loading a session"; }

private:
    Step loaded(const Environment& env, Result<Loaded> loaded);
    Step pinned(const Environment& env, Check pinned);
    Finish end();

    Restoration restoration_;
};

}
