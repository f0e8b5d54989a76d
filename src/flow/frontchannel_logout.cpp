#include "flow/frontchannel_logout.h"

#include "core/encoding.h"
#include "flow/origins.h"
#include "flow/revocation.h"
#include "oidc/cookies.h"
#include "oidc/revocation_key.h"

namespace oidc {

bool FrontChannelLogout::is_for(
    const Provider& provider, std::string_view query)
{
    return form_value(query, "iss") == provider.client().issuer;
}

Step FrontChannelLogout::start(const Environment& env)
{
    if (view_.method != "GET") {
        return refuse({Errc::logout_malformed,
            "client sent unsupported method " + quoted(view_.method)});
    }
    auto named = parse_front_channel(view_.reply);
    if (!named) {
        return refuse(std::move(named).error());
    }
    if (failure_) {
        return refuse(*failure_);
    }
    if (!named->sid) {
        return end_own(env);
    }
    // Only iss tells whose session a sid names where providers share the path.
    if (!named->iss && view_.shares_frontchannel_logout) {
        return refuse({Errc::logout_malformed,
            "client sent sid without iss to a frontchannel_logout_uri that "
            "oidc_providers share"});
    }
    // 3: a logout of another issuer is not for this client.
    if (named->iss.value_or(provider_.client().issuer) !=
        provider_.client().issuer) {
        return dropped(env, Ok{});
    }
    return end_named(env, *named->sid);
}

Step FrontChannelLogout::end_named(const Environment& env, std::string_view sid)
{
    const auto& client = provider_.client();
    auto key = revocation_key(client, "sid", sid);
    is_own_ = session_ && session_->sid() == sid;
    if (is_own_) {
        // Its own key, too: an older copy of it may have another sid.
        auto revoke = revocation_of(*session_, client, env.now);
        revoke.keys.push_back(std::move(key));
        return ask(std::move(revoke), &FrontChannelLogout::revoked);
    }
    Revoke revoke{{std::move(key)}, "", last_end(client, env.now), false};
    revoke.address = view_.address;
    return ask(std::move(revoke), &FrontChannelLogout::revoked);
}

// By the cookie alone, and only in a frame: a link cannot open one unseen.
Step FrontChannelLogout::end_own(const Environment& env)
{
    auto in_frame = view_.fetch_dest == "iframe" || view_.fetch_dest == "frame";
    if (!session_ || !in_frame) {
        return dropped(env, Ok{});
    }
    is_own_ = true;
    return ask(revocation_of(*session_, provider_.client(), env.now),
        &FrontChannelLogout::revoked);
}

Step FrontChannelLogout::revoked(const Environment& env, Check revoked)
{
    if (!revoked) {
        return end(std::move(revoked).error());
    }
    if (!is_own_ || !session_->ticket()) {
        return dropped(env, Ok{});
    }
    return ask(Drop{session_->ticket()->key()}, &FrontChannelLogout::dropped);
}

Step FrontChannelLogout::dropped(const Environment&, Check dropped)
{
    return dropped ? end({}) : end(std::move(dropped).error());
}

// The browser's own cookies are deleted in any case.
Finish FrontChannelLogout::end(std::optional<Error> error) const
{
    Finish finish;
    finish.error = std::move(error);
    finish.page = Page::done;
    auto origins = Origins::of(provider_.client(), view_.origin);
    if (is_own_ && origins) {
        finish.cookies =
            clear_session(provider_.client(), view_.cookies, origins->site());
    }
    return finish;
}

}
