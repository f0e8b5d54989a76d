#include "flow/restore.h"

#include <algorithm>

namespace oidc {

Restoration::Restoration(
    const Provider& provider, std::vector<CookieContent> contents) :
    provider_(&provider),
    others_(std::move(contents))
{
    std::reverse(others_.begin(), others_.end());
    advance();
}

Restoration::Restoration(const Provider& provider, CookieContent opened) :
    provider_(&provider), opened_(std::move(opened))
{
}

void Restoration::advance()
{
    opened_ = CookieContent();
    if (!session && !others_.empty()) {
        opened_ = std::move(others_.back());
        others_.pop_back();
    }
}

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

void Restoration::take(const Loaded& loaded, Time now)
{
    opened_.revoked_at = std::max(opened_.revoked_at, loaded.revoked_at);
    if (opened_.session || open(loaded)) {
        take_as_it_is(now);
    } else if (!opened_.session) {
        advance();
    }
}

void Restoration::take_as_it_is(Time now)
{
    accept(now);
    advance();
}

// True when its revocations are known, too: the session may have other
// revocation keys than the ticket.
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

void Restoration::accept(Time now)
{
    auto accepted = Session::accept(
        std::move(*opened_.session), client(), opened_.revoked_at, now);
    session = std::move(accepted.session);
    if (const auto& revoked = accepted.revoked; revoked && !pin) {
        pin = Pin{revoked->revocation_keys(client()),
            revoked->subject_key(client()), revoked->started(),
            revoked->has_moved() ? revoked->sealed_end() : Time()};
    }
}

Step Restore::start(const Environment&)
{
    if (auto load = restoration_.next()) {
        return ask(std::move(*load), &Restore::loaded);
    }
    if (restoration_.pin) {
        return ask(std::move(*restoration_.pin), &Restore::pinned);
    }
    return end();
}

Step Restore::loaded(const Environment& env, Result<Loaded> loaded)
{
    if (!loaded) {
        return refuse(std::move(loaded).error());
    }
    restoration_.take(*loaded, env.now);
    return start(env);
}

// The session has ended whether or not the pin succeeded.
// NOLINTNEXTLINE(performance-unnecessary-value-param): so answers come
Step Restore::pinned(const Environment&, Check)
{
    return end();
}

Finish Restore::end()
{
    Finish finish;
    finish.session = std::move(restoration_.session);
    return finish;
}

}
