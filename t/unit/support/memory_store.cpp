#include "support/memory_store.h"

#include <algorithm>

namespace oidc::test {

Result<Acquired> MemoryStore::apply(const Acquire& step)
{
    auto ended = ended_.find(step.id);
    if (step.purpose != Purpose::login && ended != ended_.end() &&
        now < ended->second.until) {
        return Acquired{Acquired::ended, ended->second.result};
    }
    ours_ = step;
    return Acquired{Acquired::ours, {}};
}

// A failed flow releases its lock, except a login: its code is used up.
void MemoryStore::unlock(const Finish& end)
{
    if (!ours_) {
        return;
    }
    if (end.error && ours_->purpose != Purpose::login) {
        ended_.erase(ours_->id);
    } else {
        ended_[ours_->id] = {end.result, now + end.keep_result};
    }
}

Result<Loaded> MemoryStore::apply(const Load& step, Seconds idle_timeout)
{
    if (auto judged = judge("load"); !judged) {
        return std::move(judged).error();
    }
    auto loaded = peek(step);
    if (loaded.blob && idle_timeout > Seconds(0)) {
        store[step.key].until = now + idle_timeout;
    }
    return loaded;
}

Loaded MemoryStore::peek(const Load& step) const
{
    Loaded loaded;
    auto stored = store.find(step.key);
    if (stored != store.end() && now < stored->second.until) {
        loaded.blob = stored->second.blob;
    }
    loaded.revoked_at = revoked_at(step.revocation_keys);
    return loaded;
}

TimeMs MemoryStore::revoked_at(const std::vector<std::string>& keys) const
{
    TimeMs latest;
    for (const auto& key : keys) {
        auto found = revocations.find(key);
        if (found != revocations.end() && now < found->second.until) {
            latest = std::max(latest, found->second.at);
        }
    }
    return latest;
}

Check MemoryStore::apply(const Save& step)
{
    auto judged = judge("save");
    if (judged) {
        store[step.key] = {step.blob, step.until};
    }
    return judged;
}

Check MemoryStore::apply(const Drop& step)
{
    auto judged = judge("drop");
    if (judged) {
        store.erase(step.key);
    }
    return judged;
}

Check MemoryStore::apply(const Revoke& step)
{
    auto judged = judge("revoke");
    for (const auto& key : step.keys) {
        if (judged) {
            revocations[key] = {now + ahead, step.until};
        }
    }
    return judged;
}

Result<TimeMs> MemoryStore::apply(const ReadClock&) const
{
    auto failure = broken.find("clock");
    return failure == broken.end() ? Result<TimeMs>(now + ahead) :
                                     Result<TimeMs>(failure->second);
}

Check MemoryStore::judge(const char* step)
{
    asked.push_back(step);
    auto failure = broken.find(step);
    return failure == broken.end() ? Check(Ok{}) : Check(failure->second);
}

}
