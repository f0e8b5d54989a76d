#include "support/play.h"

#include "core/encoding.h"
#include "flow/callback.h"
#include "flow/gate.h"
#include "flow/logout.h"
#include "flow/origins.h"

#include <algorithm>
#include <stdexcept>

namespace oidc::test {

std::string object(const Members& members)
{
    std::string text;
    for (const auto& [name, value] : members) {
        if (!value.empty()) {
            text += (text.empty() ? "\"" : ",\"") + name + "\":" + value;
        }
    }
    return "{" + text + "}";
}

Members changed(Members members, const Members& changes)
{
    for (const auto& [name, value] : changes) {
        members[name] = value;
    }
    return members;
}

Client example_client()
{
    Client client;
    client.name = "corp";
    client.issuer = "https://op.example";
    client.client_id = "app";
    client.client_secret = Secret("a secret of more than 32 bytes, see");
    client.redirect_uri = "/oidc_callback";
    client.scope = "openid";
    client.id_token_algs = {"RS256", "RS384", "RS512", "PS256", "PS384",
        "PS512", "ES256", "ES384", "ES512", "EdDSA"};
    client.cookie_name = "NGX_OIDC_SESSION";
    client.cookie_path = "/";
    client.cookie_same_site = "Lax";
    client.session_timeout = 8 * 3600s;
    client.pre_auth_timeout = 600s;
    client.clock_skew = 60s;
    client.needs.claims = {"email", "sub"};
    client.needs_digest = digest_of_needs(client.needs);
    return client;
}

Secret master_key(char byte)
{
    return Secret(std::string(KeyRing::master_size, byte));
}

HttpResponse json_answer(std::string body)
{
    return {200, "application/json", "", std::move(body)};
}

Members example_metadata()
{
    return {{"issuer", R"("https://op.example")"},
        {"authorization_endpoint", R"("https://op.example/authorize")"},
        {"token_endpoint", R"("https://op.example/token")"},
        {"jwks_uri", R"("https://op.example/keys")"},
        {"userinfo_endpoint", R"("https://op.example/userinfo")"},
        {"pushed_authorization_request_endpoint",
            R"("https://op.example/par")"}};
}

Members metadata_with_logout()
{
    return changed(example_metadata(),
        {{"end_session_endpoint", R"("https://op.example/logout")"},
            {"revocation_endpoint", R"("https://op.example/revoke")"}});
}

std::string date(Time time)
{
    return std::to_string(to_seconds(time));
}

Members example_claims(Time now)
{
    return {{"iss", R"("https://op.example")"}, {"sub", R"("user-1")"},
        {"aud", R"("app")"}, {"exp", date(now + 300s)}, {"iat", date(now)},
        {"email", R"("jane@example.com")"}};
}

std::map<std::string, std::string> parameters(std::string_view text)
{
    auto mark = text.find('?');
    if (mark != text.npos) {
        text.remove_prefix(mark + 1);
    }
    std::map<std::string, std::string> all;
    auto form = parse_form(text);
    for (const auto& parameter : *form) {
        if (!all.emplace(parameter.name, parameter.value).second) {
            throw std::runtime_error("parameter twice: " + parameter.name);
        }
    }
    return all;
}

void Jar::take(const std::vector<std::string>& set_cookies)
{
    for (const auto& line : set_cookies) {
        auto mark = line.find('=');
        auto name = line.substr(0, mark);
        if (line.find("; Max-Age=0;") != line.npos) {
            cookies.erase(name);
        } else {
            cookies[name] = line.substr(mark + 1, line.find(';') - mark - 1);
        }
    }
}

std::string Jar::header() const
{
    std::string text;
    for (const auto& [name, value] : cookies) {
        text += (text.empty() ? "" : "; ") + name + "=" + value;
    }
    return text;
}

Play::Play(Client client) :
    metadata(json_answer(object(example_metadata()))),
    keys(json_answer(key_set({Signer::ed25519().jwk(R"("kid":"k1")")})))
{
    configure(std::move(client));
}

void Play::configure(Client client)
{
    Secret masters[] = {master_key(1)};
    provider.configure(std::move(client), masters);
    metadata_ = keys_ = Known();
}

RequestView Play::view(std::string target, std::string_view reply)
{
    target_ = std::move(target);
    cookies_ = jar.header();
    RequestView view;
    view.method = "GET";
    view.target = target_;
    view.reply = reply;
    view.origin = origin;
    view.cookies = {cookies_};
    view.extra_args = extra_args;
    view.cookie_room = cookie_room;
    view.fetch_site = fetch_site;
    view.fetch_mode = fetch_mode;
    view.fetch_dest = fetch_dest;
    view.purpose = purpose;
    view.shares_callback = shares_callback;
    view.source = source;
    view.address = address;
    return view;
}

Finish Play::gate(std::string target)
{
    auto page = view(std::move(target));
    Gate gate(provider, page);
    return run(gate);
}

std::string Play::good_reply() const
{
    return "code=c0de&state=" + sent.at("state");
}

Finish Play::callback()
{
    return callback(good_reply());
}

Finish Play::callback(const std::string& reply)
{
    auto posted = provider.client().response_mode == ResponseMode::form_post;
    auto back = view("/oidc_callback" + (posted ? "" : "?" + reply), reply);
    auto due = posted ? "POST" : "GET";
    back.method = method ? std::string_view(*method) : due;
    Callback callback(provider, back, session);
    return run(callback);
}

// As the gate does it: the session first, then what is due.
Finish Play::renewal(Renewal::Refresh refresh)
{
    Finish end;
    asked.clear();
    if (provider.client().session_store == SessionStore::named) {
        Restore restore(provider,
            Opened::all_from(view("/page").cookies, provider,
                is_secure(provider.client(), origin)));
        end = run(restore);
    } else {
        end.session = current();
    }
    if (!end.session ||
        !Renewal::is_due(provider.client(), *end.session, refresh, now)) {
        return end;
    }
    auto before = asked;
    auto page = view("/page");
    Renewal renewal(provider, page, std::move(*end.session), refresh);
    end = run(renewal);
    asked.insert(asked.begin(), before.begin(), before.end());
    return end;
}

Finish Play::logout(const std::string& form)
{
    auto session = current();
    auto page = view("/logout", form);
    if (method) {
        page.method = *method;
    }
    Logout logout(provider, page, session, failure);
    return run(logout);
}

Finish Play::frontchannel_logout(const std::string& query)
{
    auto session = current();
    auto page = view("/frontchannel_logout?" + query, query);
    if (method) {
        page.method = *method;
    }
    FrontChannelLogout logout(provider, page, session, failure);
    return run(logout);
}

Finish Play::backchannel_logout(const std::string& form)
{
    auto cookies = jar;
    jar = Jar(); // the provider has none of ours
    auto page = view("/backchannel_logout", form);
    page.method = method ? std::string_view(*method) : "POST";
    BackChannelLogout logout(provider, page);
    auto end = run(logout);
    jar = std::move(cookies);
    return end;
}

Opened first_held(CookieLines lines, const Provider& provider, bool secure)
{
    auto held = Opened::all_from(lines, provider, secure);
    return held.empty() ? Opened() : std::move(held.front());
}

Opened Play::opened()
{
    return first_held(
        view("/page").cookies, provider, is_secure(provider.client(), origin));
}

std::optional<Session> Play::current()
{
    Restoration restoration(provider,
        Opened::all_from(view("/page").cookies, provider,
            is_secure(provider.client(), origin)));
    while (auto load = restoration.next()) {
        restoration.take(peek(*load), now);
    }
    return std::move(restoration.session);
}

Finish Play::run(Flow& flow)
{
    Environment env{now, random_bytes};
    asked.clear();
    ours_.reset();
    auto step = flow.start(env);

    while (asked.size() < 12) {
        if (auto finish = std::get_if<Finish>(&step)) {
            this->finish(*finish);
            return std::move(*finish);
        }
        auto answer = std::visit(
            [this](const auto& step) { return perform(step); }, step);
        step = flow.resume(env, std::move(answer));
    }
    throw std::runtime_error("a flow that never ends");
}

void Play::finish(const Finish& end)
{
    jar.take(end.cookies);
    if (!end.refund.empty()) {
        given_back.push_back(end.refund);
    }
    if (end.location.find("state=") != std::string::npos) {
        sent = parameters(end.location);
    }
    if (!ours_) {
        return;
    }
    if (end.error && ours_->purpose != Purpose::login) {
        ended_.erase(ours_->id); // for another one to try
    } else {
        ended_[ours_->id] = {end.result, now + end.keep_result};
    }
}

Answer Play::perform(const Finish&)
{
    throw std::logic_error("an end wants no answer");
}

Answer Play::perform(const Fetch& step)
{
    return answer(step.request);
}

Answer Play::perform(const Learn& step)
{
    return learn(step);
}

Answer Play::perform(const Charge& step)
{
    using Receipt = Result<std::string>;
    if (is_drained) {
        return Receipt(Error{
            step.work == Work::logout ? Errc::logout_limit : Errc::login_limit,
            "nothing is left"});
    }
    spent.push_back(step.work);
    return Receipt("receipt " + std::to_string(spent.size()));
}

Answer Play::perform(const Acquire& step)
{
    acquire = step;
    if (auto judged = judge("acquire"); !judged) {
        return Result<Acquired>(std::move(judged).error());
    }
    auto forced = acquired.find(step.purpose);
    if (forced != acquired.end()) {
        return Result<Acquired>(forced->second);
    }
    auto ended = ended_.find(step.id);
    if (step.purpose != Purpose::login && ended != ended_.end() &&
        now < ended->second.until) {
        return Result<Acquired>(Acquired{Acquired::ended, ended->second.lines});
    }
    ours_ = step;
    return Result<Acquired>(Acquired{Acquired::ours, {}});
}

Answer Play::perform(const Load& step)
{
    load = step;
    if (auto judged = judge("load"); !judged) {
        return Result<Loaded>(std::move(judged).error());
    }
    auto loaded = peek(step);
    auto idle = provider.client().session_idle_timeout;
    if (loaded.blob && idle > 0s) {
        store[step.key].until = now + idle;
    }
    return Result<Loaded>(std::move(loaded));
}

// Without an effect on the store.
Loaded Play::peek(const Load& step) const
{
    Loaded loaded;
    auto stored = store.find(step.key);
    if (stored != store.end() && now < stored->second.until) {
        loaded.blob = stored->second.blob;
    }
    loaded.revoked_at = revoked_at(step.revocation_keys);
    return loaded;
}

Answer Play::perform(const Save& step)
{
    save = step;
    auto judged = judge("save");
    if (judged) {
        store[step.key] = {step.blob, step.until};
    }
    return judged;
}

Answer Play::perform(const Drop& step)
{
    auto judged = judge("drop");
    if (judged) {
        store.erase(step.key);
    }
    return judged;
}

Answer Play::perform(const Revoke& step)
{
    revoke = step;
    auto judged = judge("revoke");
    for (const auto& key : step.keys) {
        if (judged) {
            revocations[key] = now + ahead;
        }
    }
    return judged;
}

Answer Play::perform(const ReadClock&)
{
    auto failure = broken.find("clock");
    return failure == broken.end() ? Result<TimeMs>(now + ahead) :
                                     Result<TimeMs>(failure->second);
}

Answer Play::perform(const Pin& step)
{
    asked.push_back("pin");
    pin = step;
    return Check(Ok{});
}

Check Play::judge(const char* step)
{
    asked.push_back(step);
    auto failure = broken.find(step);
    return failure == broken.end() ? Check(Ok{}) : Check(failure->second);
}

TimeMs Play::revoked_at(const std::vector<std::string>& keys) const
{
    TimeMs latest;
    for (const auto& key : keys) {
        if (auto found = revocations.find(key); found != revocations.end()) {
            latest = std::max(latest, found->second);
        }
    }
    return latest;
}

Result<HttpResponse> Play::answer(const HttpRequest& request)
{
    auto endpoint = request.url.substr(request.url.rfind('/') + 1);
    asked.push_back(endpoint);
    requests[endpoint] = request;
    if (endpoint == "par") {
        sent = parameters(request.body);
        return pushed.value_or(HttpResponse{201, "application/json", "",
            R"({"request_uri":"urn:pushed:1","expires_in":60})"});
    }
    if (endpoint == "userinfo") {
        return userinfo.value_or(
            json_answer(R"({"sub":"user-1","nickname":"Jane"})"));
    }
    if (endpoint == "revoke") {
        return revoked.value_or(HttpResponse{200, "", "", ""});
    }
    if (request.body.starts_with("grant_type=refresh_token&")) {
        return refreshed ? *refreshed : answer_refresh();
    }
    return tokens ? *tokens : answer_token();
}

std::string Play::id_token(const Members& more) const
{
    auto good = changed(example_claims(now), more);
    return "\"" +
        signer->sign(
            alg, object(changed(std::move(good), claims)), header_members) +
        "\"";
}

Result<HttpResponse> Play::answer_token() const
{
    auto token = id_token({{"nonce", "\"" + sent.at("nonce") + "\""}});
    return json_answer(object(
        changed({{"access_token", R"("at-1")"}, {"token_type", R"("Bearer")"},
                    {"expires_in", "3600"}, {"id_token", token}},
            token_members)));
}

Result<HttpResponse> Play::answer_refresh() const
{
    return json_answer(object(
        changed({{"access_token", R"("at-2")"}, {"token_type", R"("Bearer")"},
                    {"expires_in", "3600"}, {"refresh_token", R"("rt-2")"},
                    {"id_token", id_token({})}},
            refresh_members)));
}

// What is due is renewed by the time the flow goes on.
Check Play::learn(const Learn& wanted)
{
    auto& known = wanted.part == Part::keys ? keys_ : metadata_;
    if (provider.is_configured(wanted.part)) {
        return Ok{};
    }
    auto may_ask = wanted.anew ?
        known.schedule.take_renewal(wanted.asker, now) :
        known.schedule.due(now);
    if (may_ask) {
        known.learnt = ask_for(wanted.part, known);
    } else if (wanted.anew) {
        return Error{Errc::upstream_unreachable, "provider is not asked again"};
    }
    if (!wanted.anew && provider.knows(wanted.part, now)) {
        return Ok{};
    }
    return known.learnt;
}

Check Play::ask_for(Part part, Known& known)
{
    asked.push_back(part == Part::keys ? "keys" : "metadata");
    const auto& response = part == Part::keys ? keys : metadata;
    auto document = response ? Provider::judge(*response, now) :
                               Result<Provider::Document>(response.error());
    if (!document) {
        known.schedule.fail(now);
        return std::move(document).error();
    }
    Schedule fresh;
    fresh.succeed(document->fresh_until);
    auto adopted = provider.adopt(part, document->body, fresh.usable_until());
    if (adopted) {
        known.schedule.succeed(document->fresh_until);
    } else {
        known.schedule.fail(now);
    }
    return adopted;
}

std::string complaint(const Finish& finish)
{
    if (!finish.error) {
        return "";
    }
    std::string text = complaint(*finish.error);
    auto is_left = !finish.cookies.empty() && finish.page == Page::none;
    if (finish.session || is_left || !finish.location.empty()) {
        text += " (and yet it left something)";
    }
    return text;
}

std::string cookie_of(
    const std::vector<std::string>& set_cookies, std::string_view name)
{
    auto start = std::string(name) + "=";
    for (const auto& cookie : set_cookies) {
        if (cookie.starts_with(start)) {
            return cookie;
        }
    }
    return "";
}

}
