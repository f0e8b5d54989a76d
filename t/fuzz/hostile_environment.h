// The environment of the flows of a hostile script: a provider and a store that
// respond and fail as the script says. The provider has everything except the
// real one's signing key.
#pragma once

#include "support/play.h"

#include <map>
#include <optional>
#include <string>

namespace oidc::test {

class HostileEnvironment : public MemoryStore {
public:
    HostileEnvironment();

    // Makes this step of the store fail.
    void breaks(const std::string& step);

    // The result of the flow, reached in a bounded number of steps.
    Finish run(Flow& flow);

    // The content of a browser's cookies, and their session, unless it was
    // revoked.
    std::vector<CookieContent> opened(const Jar& jar) const;
    std::optional<Session> current(const Jar& jar) const;

    // A good token of the real provider, except for these claims.
    std::string token(const Members& wrong) const;
    std::string logout_token(const Members& wrong) const;

    std::string sent(const char* parameter) const;
    void remember(std::string_view authorization_request);

    // Makes the provider and the store work again.
    void recover();

    void configure(Provider changed);

    std::shared_ptr<const oidc::Metadata> known_metadata() const
    {
        return metadata_.get(now);
    }

    Provider provider;
    bool is_secure = true; // the browser is on https

    HttpResponse metadata;
    HttpResponse keys;
    std::optional<HttpResponse> newer_keys;
    HttpResponse tokens;
    HttpResponse refreshed;
    HttpResponse userinfo;
    HttpResponse pushed;
    HttpResponse revoked;

    Acquired login{Acquired::ours, {}}; // reply for a state
    std::optional<Acquired> renewal;    // for a refresh token; default: real

    std::map<std::string, std::string> parameters; // last authorization request
    std::string old_state;                         // of the one before

private:
    Answer perform(const Fetch& step);
    Answer perform(const NeedMetadata& step);
    Answer perform(const NeedKeys& step);
    Answer perform(const Charge& step);
    Answer perform(const Acquire& step);
    Answer perform(const Load& step);
    Answer perform(const Save& step);
    Answer perform(const Drop& step);
    Answer perform(const ReadClock& step);
    Answer perform(const Pin& step);
    Answer perform(const Revoke& step);
    Answer perform(const Finish& step);

    const HttpResponse& answer_to(const HttpRequest& request);

    Document<Metadata> metadata_;
    Document<KeySet> keys_;
};

}
