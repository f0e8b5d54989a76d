// The provider sends the browser back: code -> tokens -> IdToken, user info ->
// Session.
// Nothing is stored or set before all of it holds.
#pragma once

#include "flow/login.h"
#include "flow/step.h"
#include "oidc/token.h"
#include "oidc/userinfo.h"

namespace oidc {

class Callback : public Conversation<Callback> {
public:
    // `session` is the one the browser already has, if any.
    Callback(const Provider& provider, const Visit& visit,
        const std::optional<Session>& session) :
        provider_(provider),
        visit_(visit), session_(session)
    {
    }

    // True when the state is one that this provider's keys sealed: how the
    // right one is found where several share a callback path.
    static bool is_for(const Provider& provider, std::string_view form);

    Step start(const World& world) override;
    std::string_view doing() const override { return "handling the callback"; }

private:
    Step no_callback(Error error);
    Step no_state(Error error);
    Step judge_state(const World& world);
    bool takes_method(const Result<AuthorizationReply>& reply) const;
    bool is_test() const { return !reply_.code && !reply_.error; }
    Finish give_up();
    Finish test_cookies();
    std::string count_round() const;
    Step acquire(const World& world, Check learnt);
    Step paid(const World& world, Result<std::string> receipt);
    Step acquire_state();
    Step acquired(const World& world, Result<Acquired> acquired);
    Finish answer_copy(std::vector<std::string> result);
    bool has_newer_session() const;
    Step redeem(const World& world, Result<std::int64_t> arrived);
    Step tokens(const World& world, Result<HttpResponse> response);
    Step verify(const World& world, Check learnt);
    Step take_userinfo(const World& world, Result<HttpResponse> response);
    Step verify_userinfo(const World& world, Check learnt);
    Step judge_error(Error error, Next<Check> again);
    Step renewed(const World& world, Check learnt);
    Step finish(const World& world);
    Step saved(const World& world, Check saved);
    Step dropped(const World& world, Check dropped);
    Finish go_home(std::vector<std::string> cookies);

    const Provider& provider_;
    const Visit& visit_;
    const std::optional<Session>& session_;

    AuthorizationReply reply_;
    OpenedState state_;
    std::optional<Login> login_;
    std::string receipt_; // of a token of the bucket
    Derived derived_;
    Metadata metadata_;        // as it was when the reply was judged
    std::int64_t arrived_ = 0; // ms since the epoch, by the store's clock
    Tokens tokens_;
    std::optional<IdToken> token_;
    HttpResponse response_; // with the user info
    std::optional<UserInfo> userinfo_;
    std::optional<Session> begun_;
    std::vector<std::string> cookies_; // that hold it

    bool renewed_keys_ = false;
    std::optional<Error> doubt_; // that newer keys may settle
    Next<Check> verify_again_ = nullptr;
};

}
