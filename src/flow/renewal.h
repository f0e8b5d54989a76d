// The renewal of an existing session, before a page gets it: a place in the
// store that the configuration now names, new tokens before the old ones
// expire, a cookie that says when the session was last used. Ends with the
// session, or with none where it has ended.
#pragma once

#include "flow/restore.h"
#include "flow/step.h"

#include <optional>
#include <string>

namespace oidc {

class Renewal : public Conversation<Renewal> {
public:
    // What to do with tokens that expire soon: keep them, for a request that
    // does not need new ones; take those that another request has got, during a
    // failure backoff; or request new ones.
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

    // How long the result of a renewal is kept for requests that still have the
    // old cookie, and how long a failed one keeps this session from the next
    // attempt.
    static constexpr Seconds grace = 300s;
    static constexpr Seconds retry_after = 30s;

    // How long a provider that could not be reached for one session is not
    // asked for others.
    static constexpr Seconds failure_backoff = 10s;

private:
    Step judge(const Environment& env);
    Step acquired(const Environment& env, Result<Acquired> acquired);
    Step take_result(const Environment& env, const std::string& result);
    Step restore(const Environment& env);
    Step restored(const Environment& env, Result<Loaded> loaded);
    Step pinned(const Environment& env, Check pinned);
    Step need_keys(const Environment& env, MetadataReply metadata);
    Step refresh(const Environment& env, KeysReply keys);
    Step tokens(const Environment& env, Result<HttpResponse> response);
    Step verify(const Environment& env, KeysReply keys);
    Step ask_userinfo(const Environment& env);
    Step take_userinfo(const Environment& env, Result<HttpResponse> response);
    Step verify_userinfo(const Environment& env, KeysReply keys);
    Step renew(const Environment& env);
    Step keep(const Environment& env);
    Step saved(const Environment& env, Check saved);
    Step revoked(const Environment& env, Check revoked);
    Step dropped(const Environment& env, Check dropped);

    void note(Check done);
    void postpone(Error why);
    Finish pass();
    Step keep_old(const Environment& env, Error why);
    Step end_session(const Environment& env, Error why);

    const Client& client() const { return provider_.client(); }

    const Provider& provider_;
    const RequestView& view_;
    std::optional<Session> session_;
    Refresh refresh_;
    Refresh wanted_;
    std::optional<Restoration> restoration_; // of another request's result
    std::string id_;                         // of the session being restored

    bool refreshing_ = false;
    bool has_renewed_ = false;
    bool owes_userinfo_ = false;
    std::shared_ptr<const Metadata> metadata_;
    std::shared_ptr<const KeySet> keys_;
    Tokens tokens_;
    std::optional<IdToken> token_;
    std::optional<UserInfo> userinfo_;
    HttpResponse response_; // with the user info

    std::string value_;  // of the cookie with the result
    std::string result_; // for requests with the old cookie
    std::optional<Error> failure_;
    Seconds keep_result_ = retry_after;
    Seconds backoff_{};
    Finish end_;
};

}
