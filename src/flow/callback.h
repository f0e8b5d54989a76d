// The callback: the provider sends the browser back. code -> tokens -> IdToken,
// user info -> Session. Nothing is stored or set before all of it is verified.
#pragma once

#include "flow/login.h"
#include "flow/step.h"
#include "oidc/token.h"
#include "oidc/userinfo.h"

namespace oidc {

class Callback : public Conversation<Callback> {
public:
    // `session` is the browser's current one, if any.
    Callback(const Provider& provider, const RequestView& view,
        const std::optional<Session>& session) :
        provider_(provider),
        view_(view), session_(session)
    {
    }

    // True when this provider's keys sealed the state: selects the provider
    // where several share a callback path.
    static bool is_for(const Provider& provider, std::string_view form);

    Step start(const Environment& env) override;
    std::string_view action() const override { return "handling the callback"; }

private:
    Step no_callback(Error error);
    Finish go_to_root() const;
    Step no_state(Error error);
    Step judge_state(const Environment& env);
    bool takes_method(const Result<AuthorizationResponse>& reply) const;
    bool is_test() const { return !reply_.code && !reply_.error; }
    Finish end_late();
    Finish test_cookies();
    std::string count_login() const;
    Step judge_response(const Environment& env, MetadataReply metadata);
    Step charged(const Environment& env, Result<std::string> receipt);
    Step acquire_state();
    Step acquired(const Environment& env, Result<Acquired> acquired);
    Finish answer_copy(std::vector<std::string> result);
    bool has_newer_session() const;
    Step redeem(const Environment& env, Result<TimeMs> arrived);
    Step tokens(const Environment& env, Result<HttpResponse> response);
    Step verify(const Environment& env, KeysReply keys);
    Step take_userinfo(const Environment& env, Result<HttpResponse> response);
    Step verify_userinfo(const Environment& env, KeysReply keys);
    Step judge_error(Error error, Next<KeysReply> again);
    Step finish(const Environment& env);
    Step saved(const Environment& env, Check saved);
    Step dropped(const Environment& env, Check dropped);
    Finish return_to_page(std::vector<std::string> cookies);

    const Provider& provider_;
    const RequestView& view_;
    const std::optional<Session>& session_;

    AuthorizationResponse reply_;
    OpenedState state_;
    std::optional<Login> login_;
    std::string receipt_; // of the charge
    Derived derived_;
    std::shared_ptr<const Metadata> metadata_;
    std::shared_ptr<const KeySet> keys_;
    TimeMs arrived_; // by the store's clock
    Tokens tokens_;
    std::optional<IdToken> token_;
    HttpResponse response_; // with the user info
    std::optional<UserInfo> userinfo_;
    std::optional<Session> begun_;
    std::vector<std::string> cookies_; // that hold it
};

}
