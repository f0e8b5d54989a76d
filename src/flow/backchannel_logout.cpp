#include "flow/backchannel_logout.h"

#include "core/encoding.h"
#include "flow/revocation.h"
#include "oidc/revocation_key.h"

namespace oidc {

bool BackChannelLogout::is_for(const Provider& provider, std::string_view form)
{
    auto compact = form_value(form, "logout_token");
    return LogoutToken::names_issuer(compact, provider.client().issuer);
}

Step BackChannelLogout::start(const Environment&)
{
    if (view_.method != "POST") {
        return refuse({Errc::logout_malformed,
            "client sent unsupported method " + quoted(view_.method)});
    }
    auto compact = parse_back_channel(view_.reply);
    if (!compact) {
        return refuse(std::move(compact).error());
    }
    compact_ = std::move(*compact);
    return ask(NeedMetadata{}, &BackChannelLogout::need_keys);
}

Step BackChannelLogout::need_keys(const Environment&, MetadataReply metadata)
{
    return metadata ? ask(NeedKeys{}, &BackChannelLogout::charge) :
                      refuse(std::move(metadata).error());
}

Step BackChannelLogout::charge(const Environment&, KeysReply keys)
{
    if (!keys) {
        return refuse(std::move(keys).error());
    }
    keys_ = std::move(*keys);
    return ask(Charge{Work::logout}, &BackChannelLogout::charged);
}

Step BackChannelLogout::charged(
    const Environment& env, Result<std::string> receipt)
{
    if (!receipt) {
        return refuse(std::move(receipt).error());
    }
    receipt_ = std::move(*receipt);
    return verify(env, keys_);
}

Step BackChannelLogout::verify(const Environment& env, KeysReply keys)
{
    if (!keys) {
        return refuse(std::move(keys).error());
    }
    keys_ = std::move(*keys);
    const auto& client = provider_.client();
    auto token = LogoutToken::verify(compact_, {client, *keys_, env.now});
    if (!token && may_retry(token.error())) {
        return retry({keys_, Asker::anybody}, std::move(token).error(),
            &BackChannelLogout::verify);
    }
    if (!token) {
        return refuse(std::move(token).error());
    }
    token_ = std::move(*token);
    return ask(Acquire{revocation_key(client, "jti", token_->jti()),
                   token_->expires() + client.clock_skew, Purpose::logout},
        &BackChannelLogout::acquired);
}

// A logout that vanished has ended no session; the provider tries again.
Step BackChannelLogout::acquired(
    const Environment& env, Result<Acquired> acquired)
{
    if (!acquired) {
        return refuse(std::move(acquired).error());
    }
    if (acquired->whose == Acquired::ended) {
        return refuse(
            {Errc::logout_token_used, "logout token was used before"});
    }
    const auto& client = provider_.client();
    Revoke revoke{{}, "", last_end(client, env.now)};
    if (auto sid = token_->sid()) {
        revoke.keys.push_back(revocation_key(client, "sid", *sid));
    }
    if (auto sub = token_->sub()) {
        // 2.6: all sessions of the user, except those with another sid.
        revoke.keys.push_back(revocation_key(
            client, token_->sid() ? "sub without sid" : "sub", *sub));
        revoke.subject = revocation_key(client, "sub", *sub);
    }
    return ask(std::move(revoke), &BackChannelLogout::revoked);
}

Step BackChannelLogout::revoked(const Environment& env, Check revoked)
{
    if (!revoked) {
        return refuse(std::move(revoked).error());
    }
    // The lock is kept as long as a copy of the token would be valid.
    Finish finish;
    finish.page = Page::done;
    finish.refund = receipt_;
    finish.keep_result =
        token_->expires() + provider_.client().clock_skew - env.now;
    return finish;
}

}
