// What surrounds the flows of a hostile script: a provider that answers as it
// is told, a store that fails as it is told, and what is done once. The
// provider has everything but the key that the real one signs with.
#pragma once

#include "support/play.h"

#include <map>
#include <optional>
#include <set>
#include <string>

namespace oidc::test {

class HostileWorld {
public:
    HostileWorld();

    // The flow's end, reached in a bounded number of steps.
    Finish run(Flow& flow);

    // What a browser's cookies hold, and the session behind them, unless it was
    // revoked.
    std::vector<Opened> opened(const Jar& jar) const;
    std::optional<Session> current(const Jar& jar) const;

    // A good token of the real provider but for these claims.
    std::string token(const Members& wrong) const;
    std::string logout_token(const Members& wrong) const;

    std::string sent(const char* parameter) const;
    void remember(std::string_view authorization_request);

    // All is well again.
    void recover();

    Provider provider;
    bool is_secure = true; // the browser is on https
    Time now = noon;

    HttpResponse metadata;
    HttpResponse keys;
    std::optional<HttpResponse> newer_keys;
    HttpResponse tokens;
    HttpResponse refreshed;
    HttpResponse userinfo;
    HttpResponse pushed;
    HttpResponse revoked;

    Acquired login{Acquired::ours, {}}; // whose a state is
    std::optional<Acquired> renewal; // whose a refresh token is, else in truth
    std::set<std::string> broken;    // steps that the store fails

    std::map<std::string, std::string> parameters; // of the last authorization
    std::string old_state;                         // of the one before

private:
    struct Lasting {
        Time until;
        std::string blob;                  // of a session
        std::vector<std::string> result{}; // of a flow
        TimeMs revoked_at{};
    };
    using Memory = std::map<std::string, Lasting>;

    Answer perform(const Fetch& step);
    Answer perform(const Learn& step);
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
    Check judge(const char* step) const;
    const Lasting* find(const Memory& memory, const std::string& key) const;
    Loaded peek(const Load& step) const;
    TimeMs revoked_at(const std::vector<std::string>& keys) const;

    Memory sessions_;
    Memory revocations_;
    Memory ended_;
    std::optional<Acquire> ours_; // that the flow has acquired
};

}
