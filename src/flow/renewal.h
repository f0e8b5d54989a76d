// What a session needs that comes back, before a page may have it: a place in
// the store that the configuration names by now, new tokens before the old ones
// end, a cookie that says when it was seen. The end has the session, or none
// where there is none any more.
#pragma once

#include "flow/restore.h"
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

    // Provider and view outlive the renewal.
    Renewal(const Provider& provider, const RequestView& view, Session session,
        Refresh refresh) :
        provider_(provider),
        view_(view), session_(std::move(session)), refresh_(refresh),
        wanted_(refresh)
    {
    }

    // True where there is something to do.
    static bool is_due(const Client& client, const Session& session,
        Refresh refresh, Time now);

    Step start(const Environment& env) override { return judge(env); }
    std::string_view action() const override
    {
        return refreshing_ ? "renewing a session" : "extending a session";
    }

    // How long a renewal's result stays for requests that still come with what
    // it replaced, and a failed one keeps others from trying.
    static constexpr Seconds grace = 300s;
    static constexpr Seconds retry_after = 30s;

    // How long a provider that was not reached for one session is not asked for
    // others.
    static constexpr Seconds failure_backoff = 10s;

private:
    Step judge(const Environment& env);
    Step acquired(const Environment& env, Result<Acquired> acquired);
    Step pick_up(const Environment& env, const std::string& result);
    Step restore(const Environment& env);
    Step restored(const Environment& env, Result<Loaded> loaded);
    Step pinned(const Environment& env, Check pinned);
    Step learn_keys(const Environment& env, Check learnt);
    Step refresh(const Environment& env, Check learnt);
    Step tokens(const Environment& env, Result<HttpResponse> response);
    Step verify(const Environment& env, Check learnt);
    Step ask_userinfo(const Environment& env);
    Step take_userinfo(const Environment& env, Result<HttpResponse> response);
    Step verify_userinfo(const Environment& env, Check learnt);
    Step judge_error(Error error, Next<Check> again);
    Step renewed_keys(const Environment& env, Check learnt);
    Step renew(const Environment& env);
    Step keep(const Environment& env);
    Step saved(const Environment& env, Check saved);
    Step revoked(const Environment& env, Check revoked);
    Step dropped(const Environment& env, Check dropped);

    void note(Check done);
    void put_off(Error why);
    Finish pass();
    Step keep_old(const Environment& env, Error why);
    Step end_session(const Environment& env, Error why);

    const Client& client() const { return provider_.client(); }

    const Provider& provider_;
    const RequestView& view_;
    std::optional<Session> session_;
    Refresh refresh_;
    Refresh wanted_;
    std::optional<Restoration> restoration_; // of what another request left
    std::string id_;                         // of the session that it renewed

    bool refreshing_ = false;
    bool has_renewed_ = false;
    bool owes_userinfo_ = false;
    Metadata metadata_; // as it was when the tokens were asked for
    Tokens tokens_;
    std::optional<IdToken> token_;
    std::optional<UserInfo> userinfo_;
    HttpResponse response_; // with the user info
    bool renewed_keys_ = false;
    std::optional<Error> doubt_; // that newer keys may settle
    Next<Check> verify_again_ = nullptr;

    std::string value_;  // of the cookie that holds what came of it
    std::string result_; // for other requests with the old one
    std::optional<Error> failure_;
    Seconds keep_result_ = retry_after;
    Seconds back_off_{};
    Finish end_;
};

}
