#include "hostile_world.h"

#include "core/encoding.h"
#include "fuzz.h"

#include <algorithm>

namespace oidc::test {
namespace {

HttpResponse good_keys()
{
    return json_answer(key_set({Signer::ed25519().jwk(R"("kid":"k1")")}));
}

}

HostileWorld::HostileWorld() :
    tokens{500, "", "", ""}, refreshed{500, "", "", ""}
{
    recover();
}

void HostileWorld::recover()
{
    metadata = json_answer(object(metadata_with_logout()));
    keys = good_keys();
    newer_keys.reset();
    userinfo = json_answer(R"({"sub":"user-1","email":"joe@example.com"})");
    pushed = json_answer(R"({"request_uri":"urn:example:1","expires_in":60})");
    revoked = {200, "", "", ""};
    login = {Acquired::ours, {}};
    renewal.reset();
    broken.clear();
}

Finish HostileWorld::run(Flow& flow)
{
    Environment env{now, random_bytes};
    ours_.reset();
    auto step = flow.start(env);

    for (int steps = 0; steps < 12; steps++) {
        if (auto finish = std::get_if<Finish>(&step)) {
            if (ours_ && (!finish->error || ours_->purpose == Purpose::login)) {
                ended_[ours_->id] = {
                    now + finish->keep_result, "", finish->result};
            }
            return std::move(*finish);
        }
        auto answer = std::visit(
            [this](const auto& step) { return perform(step); }, step);
        step = flow.resume(env, std::move(answer));
    }
    demand(false, "a flow ends");
    return {};
}

std::vector<Opened> HostileWorld::opened(const Jar& jar) const
{
    auto header = jar.header();
    std::string_view lines[] = {header};
    return Opened::all_from(lines, provider, is_secure);
}

std::optional<Session> HostileWorld::current(const Jar& jar) const
{
    Restoration restoration(provider, opened(jar));
    while (auto load = restoration.next()) {
        restoration.take(peek(*load), now);
    }
    return std::move(restoration.session);
}

std::string HostileWorld::token(const Members& wrong) const
{
    auto claims = changed(example_claims(now),
        {{"nonce", "\"" + sent("nonce") + "\""}, {"sid", R"("s-1")"}});
    return Signer::ed25519().sign(
        "EdDSA", object(changed(claims, wrong)), R"("kid":"k1")");
}

std::string HostileWorld::logout_token(const Members& wrong) const
{
    Members claims{{"iss", R"("https://op.example")"}, {"aud", R"("app")"},
        {"iat", date(now)}, {"exp", date(now + 120s)}, {"jti", R"("j-1")"},
        {"sub", R"("user-1")"}, {"sid", R"("s-1")"},
        {"events",
            R"({"http://schemas.openid.net/event/backchannel-logout":{}})"}};
    return Signer::ed25519().sign("EdDSA", object(changed(claims, wrong)),
        R"("kid":"k1","typ":"logout+jwt")");
}

std::string HostileWorld::sent(const char* parameter) const
{
    auto found = parameters.find(parameter);
    return found == parameters.end() ? "" : found->second;
}

// The parameters of an authorization request; ours come after the endpoint's.
void HostileWorld::remember(std::string_view authorization_request)
{
    auto form = parse_form(authorization_request);
    if (!form) {
        return;
    }
    old_state = sent("state");
    for (const auto& [name, value] : *form) {
        parameters[name] = value;
    }
}

Answer HostileWorld::perform(const Finish&)
{
    demand(false, "an end wants no answer");
    return Check(Ok{});
}

Answer HostileWorld::perform(const Fetch& step)
{
    return Result<HttpResponse>(answer_to(step.request));
}

Answer HostileWorld::perform(const Learn& step)
{
    if (!step.anew && provider.knows(step.part, now)) {
        return Check(Ok{});
    }
    const auto& newest = step.anew && newer_keys ? *newer_keys : keys;
    auto document =
        Provider::judge(step.part == Part::keys ? newest : metadata, now);
    if (!document) {
        return Check(std::move(document).error());
    }
    return provider.adopt(step.part, document->body, document->fresh_until);
}

Answer HostileWorld::perform(const Charge&)
{
    auto judged = judge("spend");
    return judged ? Result<std::string>("receipt") :
                    Result<std::string>(std::move(judged).error());
}

Answer HostileWorld::perform(const Acquire& step)
{
    demand(step.until > now, "worth remembering");
    if (auto judged = judge("acquire"); !judged) {
        return Result<Acquired>(std::move(judged).error());
    }
    if (step.purpose == Purpose::login) {
        ours_ = step;
        return Result<Acquired>(login);
    }
    demand(step.id.size() == 16, "an id of that size");
    if (step.purpose == Purpose::renewal && renewal) {
        return Result<Acquired>(*renewal);
    }
    if (auto ended = find(ended_, step.id)) {
        return Result<Acquired>(Acquired{Acquired::ended, ended->result});
    }
    ours_ = step;
    return Result<Acquired>(Acquired{Acquired::ours, {}});
}

Answer HostileWorld::perform(const Load& step)
{
    if (auto judged = judge("load"); !judged) {
        return Result<Loaded>(std::move(judged).error());
    }
    auto loaded = peek(step);
    auto idle = provider.client().session_idle_timeout;
    if (loaded.blob && idle > 0s) {
        sessions_[step.key].until = now + idle;
    }
    return Result<Loaded>(std::move(loaded));
}

Loaded HostileWorld::peek(const Load& step) const
{
    Loaded loaded;
    if (auto stored = find(sessions_, step.key)) {
        loaded.blob = stored->blob;
    }
    loaded.revoked_at = revoked_at(step.revocation_keys);
    return loaded;
}

Answer HostileWorld::perform(const Save& step)
{
    demand(step.key.size() == 16, "a key of that size");
    demand(step.until > now && step.ends >= step.until, "worth keeping");
    auto judged = judge("save");
    if (judged) {
        sessions_[step.key] = {step.until, step.blob};
    }
    return judged;
}

Answer HostileWorld::perform(const Drop& step)
{
    auto judged = judge("drop");
    if (judged) {
        sessions_.erase(step.key);
    }
    return judged;
}

Answer HostileWorld::perform(const Revoke& step)
{
    demand(!step.keys.empty(), "something to revoke");
    demand(step.until > now, "that may live on");
    auto judged = judge("revoke");
    for (const auto& key : step.keys) {
        demand(key.size() == 16, "a key of that size");
        if (judged) {
            revocations_[key] = {step.until, "", {}, now};
        }
    }
    return judged;
}

Answer HostileWorld::perform(const ReadClock&)
{
    auto judged = judge("clock");
    return judged ? Result<TimeMs>(now) :
                    Result<TimeMs>(std::move(judged).error());
}

Answer HostileWorld::perform(const Pin& step)
{
    demand(step.keys.size() == 3 && step.subject == step.keys[1],
        "the keys of one session");
    return Check(Ok{});
}

// Whatever the endpoints are called: only a question about the user has no
// body, and of the others each says what is to be answered.
const HttpResponse& HostileWorld::answer_to(const HttpRequest& request)
{
    demand(request.url.starts_with("https://"), "asked under TLS");
    demand(is_clean(request.url) && is_clean(request.authorization),
        "a request of one head");
    if (request.body.empty()) {
        return userinfo;
    }
    if (request.body.starts_with("token=")) {
        return revoked;
    }
    if (request.body.starts_with("grant_type=refresh_token&")) {
        return refreshed;
    }
    if (request.body.find("response_type=") == std::string::npos) {
        return tokens;
    }
    remember(request.body);
    return pushed;
}

Check HostileWorld::judge(const char* step) const
{
    return broken.contains(step) ?
        Check(Error{Errc::store_timeout, "store did not respond in time"}) :
        Check(Ok{});
}

const HostileWorld::Lasting* HostileWorld::find(
    const Memory& memory, const std::string& key) const
{
    auto found = memory.find(key);
    return found != memory.end() && now < found->second.until ? &found->second :
                                                                nullptr;
}

TimeMs HostileWorld::revoked_at(const std::vector<std::string>& keys) const
{
    TimeMs latest;
    for (const auto& key : keys) {
        if (auto found = find(revocations_, key)) {
            latest = std::max(latest, found->revoked_at);
        }
    }
    return latest;
}

}
