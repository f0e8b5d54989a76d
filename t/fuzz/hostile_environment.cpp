#include "hostile_environment.h"

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

HostileEnvironment::HostileEnvironment() :
    tokens{500, "", "", ""}, refreshed{500, "", "", ""}
{
    recover();
}

void HostileEnvironment::recover()
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

void HostileEnvironment::breaks(const std::string& step)
{
    broken.insert_or_assign(
        step, Error{Errc::store_timeout, "store did not respond in time"});
}

Finish HostileEnvironment::run(Flow& flow)
{
    constexpr int max_steps = 12;
    auto end = run_flow(
        flow, [this](const auto& step) { return perform(step); }, max_steps);
    demand(end.has_value(), "a flow ends");
    return std::move(*end);
}

std::vector<CookieContent> HostileEnvironment::opened(const Jar& jar) const
{
    auto header = jar.header();
    std::string_view lines[] = {header};
    return CookieContent::all_from(lines, provider, is_secure);
}

std::optional<Session> HostileEnvironment::current(const Jar& jar) const
{
    return restored(provider, opened(jar));
}

std::string HostileEnvironment::token(const Members& wrong) const
{
    auto claims = changed(example_claims(now),
        {{"nonce", "\"" + sent("nonce") + "\""}, {"sid", R"("s-1")"}});
    return Signer::ed25519().sign(
        "EdDSA", object(changed(claims, wrong)), R"("kid":"k1")");
}

std::string HostileEnvironment::logout_token(const Members& wrong) const
{
    Members claims{{"iss", R"("https://op.example")"}, {"aud", R"("app")"},
        {"iat", date(now)}, {"exp", date(now + 120s)}, {"jti", R"("j-1")"},
        {"sub", R"("user-1")"}, {"sid", R"("s-1")"},
        {"events",
            R"({"http://schemas.openid.net/event/backchannel-logout":{}})"}};
    return Signer::ed25519().sign("EdDSA", object(changed(claims, wrong)),
        R"("kid":"k1","typ":"logout+jwt")");
}

std::string HostileEnvironment::sent(const char* parameter) const
{
    auto found = parameters.find(parameter);
    return found == parameters.end() ? "" : found->second;
}

void HostileEnvironment::configure(Provider changed)
{
    provider = std::move(changed);
    metadata_ = {};
    if (auto configured = configured_metadata(provider.client())) {
        metadata_.set(std::move(*configured), Time::max());
    }
}

// Stores the parameters of an authorization request. The endpoint's come first.
void HostileEnvironment::remember(std::string_view authorization_request)
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

Answer HostileEnvironment::perform(const Finish&)
{
    demand(false, "an end wants no answer");
    return Check(Ok{});
}

Answer HostileEnvironment::perform(const Fetch& step)
{
    return Result<HttpResponse>(answer_to(step.request));
}

Answer HostileEnvironment::perform(const NeedMetadata&)
{
    if (!metadata_.get(now)) {
        auto document = read_document(metadata, now);
        auto parsed = document ?
            parse_metadata(document->body, provider.client()) :
            Result<Metadata>(std::move(document).error());
        if (!parsed) {
            return NeedMetadata::Reply(std::move(parsed).error());
        }
        metadata_.set(std::move(*parsed), document->fresh_until);
    }
    return NeedMetadata::Reply(metadata_.get(now));
}

Answer HostileEnvironment::perform(const NeedKeys& step)
{
    if (step.newer_than || !keys_.get(now)) {
        const auto& newest = step.newer_than && newer_keys ? *newer_keys : keys;
        auto document = read_document(newest, now);
        auto parsed = document ? parse_keys(document->body) :
                                 Result<KeySet>(std::move(document).error());
        if (!parsed) {
            return NeedKeys::Reply(std::move(parsed).error());
        }
        keys_.set(std::move(*parsed), document->fresh_until);
    }
    return NeedKeys::Reply(keys_.get(now));
}

Answer HostileEnvironment::perform(const Charge&)
{
    auto judged = judge("spend");
    return judged ? Result<std::string>("receipt") :
                    Result<std::string>(std::move(judged).error());
}

Answer HostileEnvironment::perform(const Acquire& step)
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
    return apply(step);
}

Answer HostileEnvironment::perform(const Load& step)
{
    return apply(step, provider.client().session_idle_timeout);
}

Answer HostileEnvironment::perform(const Save& step)
{
    demand(step.key.size() == 16, "a key of that size");
    demand(step.until > now && step.ends >= step.until, "worth keeping");
    return apply(step);
}

Answer HostileEnvironment::perform(const Drop& step)
{
    return apply(step);
}

Answer HostileEnvironment::perform(const Revoke& step)
{
    demand(!step.keys.empty(), "something to revoke");
    demand(step.until > now, "that may live on");
    for (const auto& key : step.keys) {
        demand(key.size() == 16, "a key of that size");
    }
    return apply(step);
}

Answer HostileEnvironment::perform(const ReadClock& step)
{
    return apply(step);
}

Answer HostileEnvironment::perform(const Pin& step)
{
    demand(step.keys.size() == 3 && step.subject == step.keys[1],
        "the keys of one session");
    return Check(Ok{});
}

// Independent of endpoint URLs: only UserInfo requests have no body, and the
// body of each other request shows its kind.
const HttpResponse& HostileEnvironment::answer_to(const HttpRequest& request)
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

}
