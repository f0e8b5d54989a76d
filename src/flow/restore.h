// From the content of the browser's cookies to the session: load it and its
// revocations from the store, then accept it or not.
#pragma once

#include "flow/step.h"
#include "oidc/cookie_content.h"

#include <optional>
#include <vector>

namespace oidc {

// The steps of a restoration, for a caller that has the store: load what next()
// returns and take() the result, until next() returns nothing. The provider
// outlives it.
class Restoration {
public:
    // The first good session wins.
    Restoration(const Provider& provider, std::vector<CookieContent> contents);
    Restoration(const Provider& provider, CookieContent opened);

    // At most two loads for each of them.
    std::optional<Load> next() const;
    void take(const Loaded& loaded, Time now);

    // For a session in a cookie, in a node without revocation records: needs no
    // load.
    void take_as_it_is(Time now);
    bool is_at_hand() const { return opened_.session.has_value(); }

    // The result: the session, or none; and the records to pin, of the first
    // session that was revoked.
    std::optional<Session> session;
    std::optional<Pin> pin;

private:
    const Client& client() const { return provider_->client(); }
    bool open(const Loaded& loaded);
    void accept(Time now);

    void advance();

    const Provider* provider_;
    std::vector<CookieContent> others_; // the last one is next
    CookieContent opened_;
};

// The same as a flow. Ends with the session, or with none.
class Restore : public Conversation<Restore> {
public:
    Restore(const Provider& provider, std::vector<CookieContent> contents) :
        restoration_(provider, std::move(contents))
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
