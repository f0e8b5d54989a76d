// RP-Initiated Logout 1.0: the user logs out. The session ends first, whatever
// the provider then answers.
#pragma once

#include "flow/origins.h"
#include "flow/step.h"
#include "oidc/backchannel_logout.h"
#include "oidc/frontchannel_logout.h"
#include "oidc/logout.h"
#include "oidc/revocation_key.h"

#include <memory>
#include <optional>
#include <string>

namespace oidc {

// Also revokes tokens, RFC 7009.
class Logout : public Conversation<Logout> {
public:
    // `session` is the browser's, if any; `failure` why its store could not
    // load it. All outlive the logout.
    Logout(const Provider& provider, const RequestView& view,
        const std::optional<Session>& session,
        const std::optional<Error>& failure) :
        provider_(provider),
        view_(view), session_(session), failure_(failure)
    {
    }

    Step start(const Environment& env) override;
    std::string_view action() const override { return "logging out"; }

private:
    bool is_wanted_by_user() const;
    std::string confirmation(std::size_t key) const;
    bool is_confirmed() const;
    Step dropped(const Environment& env, Check dropped);
    Step revoked(const Environment& env, Check revoked);
    Step revoke_tokens(const Environment& env, MetadataReply metadata);
    Step revoke_token(const Environment& env);
    Step token_revoked(const Environment& env, Result<HttpResponse> response);
    Finish fail(Error error) const;
    Finish finish_logout(const Environment& env);
    std::string end_session_location(
        const Environment& env, const std::string& back, Finish& finish) const;
    std::string post_logout_redirect_uri() const;

    const Client& client() const { return provider_.client(); }

    const Provider& provider_;
    const RequestView& view_;
    const std::optional<Session>& session_;
    const std::optional<Error>& failure_;

    Origins origins_;
    std::shared_ptr<const Metadata> metadata_;
    std::optional<Error> warning_;
};

}
