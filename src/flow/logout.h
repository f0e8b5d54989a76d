// Sessions that end before their time: by the user, by the provider through
// the user's browser, and by the provider itself. The session ends first,
// whatever the provider then says.
#pragma once

#include "flow/origins.h"
#include "flow/step.h"
#include "oidc/logout.h"

#include <optional>
#include <string>
#include <vector>

namespace oidc {

// Ends this session, copies of its cookie among it.
Revoke revocation_of(const Session& session, const Client& client, Time now);

// RP-Initiated Logout 1.0, and RFC 7009 for the tokens.
class Logout : public Conversation<Logout> {
public:
    // `session` is the one the browser has, if any; `failure` why its store did
    // not tell. All outlive the logout.
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
    bool is_own_wish() const;
    std::string confirmation(std::size_t key) const;
    bool is_confirmed() const;
    Step dropped(const Environment& env, Check dropped);
    Step revoked(const Environment& env, Check revoked);
    Step learnt(const Environment& env, Check learnt);
    Step revoke_token(const Environment& env, const Metadata& metadata);
    Step token_revoked(const Environment& env, Result<HttpResponse> response);
    Finish fail(Error error) const;
    Finish leave(const Environment& env);
    std::string post_logout_redirect_uri() const;

    const Client& client() const { return provider_.client(); }

    const Provider& provider_;
    const RequestView& view_;
    const std::optional<Session>& session_;
    const std::optional<Error>& failure_;

    Origins origins_;
    std::optional<Error> warning_;
};

// Front-Channel Logout 1.0: a page of the provider's shows us in a frame.
class FrontChannelLogout : public Conversation<FrontChannelLogout> {
public:
    FrontChannelLogout(const Provider& provider, const RequestView& view,
        const std::optional<Session>& session,
        const std::optional<Error>& failure) :
        provider_(provider),
        view_(view), session_(session), failure_(failure)
    {
    }

    // True for a query that names this provider.
    static bool is_for(const Provider& provider, std::string_view query);

    Step start(const Environment& env) override;
    std::string_view action() const override
    {
        return "handling a front-channel logout";
    }

private:
    Step end_named(const Environment& env, std::string_view sid);
    Step end_own(const Environment& env);
    Step revoked(const Environment& env, Check revoked);
    Step dropped(const Environment& env, Check dropped);
    Finish end(std::optional<Error> error) const;

    const Provider& provider_;
    const RequestView& view_;
    const std::optional<Session>& session_;
    const std::optional<Error>& failure_;
    bool is_own_ = false; // the browser's session is the one that ends
};

// Back-Channel Logout 1.0: the provider posts a logout token.
class BackChannelLogout : public Conversation<BackChannelLogout> {
public:
    BackChannelLogout(const Provider& provider, const RequestView& view) :
        provider_(provider), view_(view)
    {
    }

    // True for a form whose token says that this provider made it.
    static bool is_for(const Provider& provider, std::string_view form);

    Step start(const Environment& env) override;
    std::string_view action() const override
    {
        return "handling a back-channel logout";
    }

private:
    Step ask_keys(const Environment& env, Check learnt);
    Step spend(const Environment& env, Check learnt);
    Step verify_paid(const Environment& env, Result<std::string> receipt);
    Step verify(const Environment& env, Check learnt);
    Step renewed_keys(const Environment& env, Check learnt);
    Step acquired(const Environment& env, Result<Acquired> acquired);
    Step revoked(const Environment& env, Check revoked);

    const Provider& provider_;
    const RequestView& view_;

    std::string compact_;
    std::string receipt_;
    std::optional<LogoutToken> token_;
    bool renewed_keys_ = false;
    std::optional<Error> doubt_; // that newer keys may settle
};

}
