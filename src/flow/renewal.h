// A session that comes back: it is fetched from its store, gets new tokens at
// the provider before the old ones end, and has its cookie say that it was
// seen. The end has the session, or none where there is none (any more).
#pragma once

#include "flow/step.h"

#include <optional>
#include <string>

namespace oidc {

class Renewal : public Conversation<Renewal> {
public:
    // What becomes of tokens that end soon: they stay, for a request that does
    // not need them; get what another request got for them, while the provider
    // is left in peace; or the provider is asked.
    enum class Refresh { never, by_others, asked_for };

    Renewal(const Provider& provider, const Visit& visit, Held held,
        Refresh refresh) :
        provider_(provider),
        visit_(visit), held_(std::move(held)), refresh_(refresh)
    {
    }

    // True where there is something to do for a session that is at hand.
    static bool is_due(const Client& client, const Session& session,
        Refresh refresh, std::int64_t now);

    Step start(const World& world) override;
    std::string_view doing() const override
    {
        return refreshing_ ? "renewing a session" : "fetching a session";
    }

    // How long a renewal's result stays for requests that still come with what
    // it replaced, and a failed one keeps others from trying, in seconds.
    static constexpr std::int64_t grace = 300;
    static constexpr std::int64_t back_off = 30;

    // How long a provider that has failed one session is left in peace.
    static constexpr std::int64_t peace = 10;

private:
    Step load(const Ticket& ticket);
    Step loaded(const World& world, Result<Loaded> loaded);
    Step judge(const World& world);
    Step claimed(const World& world, Claimed claimed);
    Step pick_up(const World& world, const std::string& left);
    Step learn_keys(const World& world, Check learnt);
    Step refresh(const World& world, Check learnt);
    Step tokens(const World& world, Result<HttpResponse> response);
    Step verify(const World& world, Check learnt);
    Step renewed_keys(const World& world, Check learnt);
    Step renew(const World& world);
    Step keep(const World& world);
    Step saved(const World& world, Check saved);
    Step revoked(const World& world, Check revoked);
    Step dropped(const World& world, Check dropped);

    void note(Check done);
    Finish pass();
    Step keep_old(const World& world, Error why);
    Step end_session(const World& world, Error why);

    bool is_secure() const;
    const Client& client() const { return provider_.client(); }

    const Provider& provider_;
    const Visit& visit_;
    Held held_;
    std::optional<Ticket> ticket_; // of what is being loaded
    std::string id_;               // of the session that others renewed
    Refresh refresh_;

    bool refreshing_ = false;
    bool renewed_keys_ = false;
    Tokens tokens_;
    std::optional<IdToken> token_;
    std::optional<Error> doubt_; // that newer keys may settle
    std::string value_;          // of the cookie that holds what came of it
    std::string left_;           // for other requests with the old one
    std::optional<Error> failure_;
    std::int64_t keep_left_ = back_off;
    Finish end_;
};

}
