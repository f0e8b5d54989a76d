// The session store of unit tests and fuzz targets, in memory: sessions,
// revocation records and the results of locks. It also runs flows, whose other
// steps the derived environment performs. A step fails if `broken` names it.
#pragma once

#include "core/crypto.h"
#include "flow/restore.h"
#include "flow/step.h"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace oidc::test {

constexpr Time noon = from_seconds(1'700'000'000);

class MemoryStore {
public:
    struct Stored {
        std::string blob;
        Time until;
    };

    struct Revocation {
        Revocation() = default;
        Revocation(TimeMs revoked_at, Time expires = Time::max()) :
            at(revoked_at), until(expires)
        {
        }
        Revocation(Time revoked_at) : at(revoked_at) {}

        TimeMs at{};
        Time until = Time::max();
    };

    Time now = noon;
    Milliseconds ahead{}; // of the store's clock, relative to `now`

    // By the keys of sessions and by revocation keys; errors by the steps
    // "acquire", "load", "save", "drop", "clock" and "revoke".
    std::map<std::string, Stored> store;
    std::map<std::string, Revocation> revocations;
    std::map<std::string, Error> broken;

    // The steps and requests of the flow, in order.
    std::vector<std::string> asked;

protected:
    // The result of the flow, or nothing if it takes too many steps.
    template <class Perform>
    std::optional<Finish> run_flow(Flow& flow, Perform perform, int max_steps)
    {
        Environment env{now, random_bytes};
        asked.clear();
        ours_.reset();
        auto step = flow.start(env);
        for (int steps = 0; steps < max_steps; steps++) {
            if (auto finish = std::get_if<Finish>(&step)) {
                unlock(*finish);
                return std::move(*finish);
            }
            step = flow.resume(env, std::visit(perform, step));
        }
        return {};
    }

    // The session that cookie contents lead to. The store does not change.
    template <class Contents>
    std::optional<Session> restored(
        const Provider& provider, Contents contents) const
    {
        Restoration restoration(provider, std::move(contents));
        while (auto load = restoration.next()) {
            restoration.take(peek(*load), now);
        }
        return std::move(restoration.session);
    }

    // The effects of steps. Logins always acquire their lock.
    Result<Acquired> apply(const Acquire& step);
    Result<Loaded> apply(const Load& step, Seconds idle_timeout);
    Check apply(const Save& step);
    Check apply(const Drop& step);
    Check apply(const Revoke& step);
    Result<TimeMs> apply(const ReadClock& step) const;

    // Records the step and fails if it is broken.
    Check judge(const char* step);

    std::optional<Acquire> ours_; // the lock of this flow

private:
    struct Ended {
        std::vector<std::string> result;
        Time until;
    };

    void unlock(const Finish& end);
    Loaded peek(const Load& step) const;
    TimeMs revoked_at(const std::vector<std::string>& keys) const;

    std::map<std::string, Ended> ended_; // flows, by their locks
};

}
