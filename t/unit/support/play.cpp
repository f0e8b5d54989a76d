#include "support/play.h"

#include "core/encoding.h"
#include "flow/backchannel_logout.h"
#include "flow/callback.h"
#include "flow/frontchannel_logout.h"
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
    provider = Provider(std::move(client), masters);
    metadata_ = {};
    keys_ = {};
    if (auto configured = configured_metadata(provider.client())) {
        metadata_.document.set(std::move(*configured), Time::max());
        metadata_.schedule.succeed(Time::max() - 2 * 24h);
    }
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
    view.shares_frontchannel_logout = shares_frontchannel_logout;
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

// As the gate does: resolves the session, then renews it if due.
Finish Play::renewal(Renewal::Refresh refresh)
{
    Finish end;
    asked.clear();
    if (provider.client().session_store == SessionStore::named) {
        Restore restore(provider,
            CookieContent::all_from(view("/page").cookies, provider,
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
    jar = Jar(); // the provider's site receives no cookies
    auto page = view("/backchannel_logout", form);
    page.method = method ? std::string_view(*method) : "POST";
    BackChannelLogout logout(provider, page);
    auto end = run(logout);
    jar = std::move(cookies);
    return end;
}

CookieContent first_held(
    CookieLines lines, const Provider& provider, bool secure)
{
    auto held = CookieContent::all_from(lines, provider, secure);
    return held.empty() ? CookieContent() : std::move(held.front());
}

CookieContent Play::opened()
{
    return first_held(
        view("/page").cookies, provider, is_secure(provider.client(), origin));
}

std::optional<Session> Play::current()
{
    return restored(provider,
        CookieContent::all_from(view("/page").cookies, provider,
            is_secure(provider.client(), origin)));
}

Finish Play::run(Flow& flow)
{
    constexpr int max_steps = 24;
    auto end = run_flow(
        flow, [this](const auto& step) { return perform(step); }, max_steps);
    if (!end) {
        throw std::runtime_error("a flow that never ends");
    }
    finish(*end);
    return std::move(*end);
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
}

Answer Play::perform(const Finish&)
{
    throw std::logic_error("an end wants no answer");
}

Answer Play::perform(const Fetch& step)
{
    return answer(step.request);
}

// The metadata is up to date when the flow resumes.
Answer Play::perform(const NeedMetadata&)
{
    if (metadata_.schedule.due(now)) {
        asked.push_back("metadata");
        fetch(metadata_, metadata, [this](std::string_view body) {
            return parse_metadata(body, provider.client());
        });
    }
    auto known = metadata_.document.get(now);
    return known ? NeedMetadata::Reply(std::move(known)) :
                   NeedMetadata::Reply(*metadata_.error);
}

Answer Play::perform(const NeedKeys& step)
{
    auto known = keys_.document.get(now);
    auto is_newer = known && step.newer_than && known != step.newer_than;
    auto may_fetch = step.newer_than ?
        !is_newer && keys_.schedule.take_renewal(step.asker, now) :
        keys_.schedule.due(now);
    if (may_fetch) {
        asked.push_back("keys");
        fetch(keys_, keys, parse_keys);
        known = keys_.document.get(now);
    }
    if (step.newer_than && known == step.newer_than) {
        return NeedKeys::Reply(keys_.error.value_or(
            Error{Errc::upstream_unreachable, "provider is not asked again"}));
    }
    return known ? NeedKeys::Reply(std::move(known)) :
                   NeedKeys::Reply(*keys_.error);
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
    return apply(step);
}

Answer Play::perform(const Load& step)
{
    load = step;
    return apply(step, provider.client().session_idle_timeout);
}

Answer Play::perform(const Save& step)
{
    save = step;
    return apply(step);
}

Answer Play::perform(const Drop& step)
{
    return apply(step);
}

Answer Play::perform(const Revoke& step)
{
    revoke = step;
    return apply(step);
}

Answer Play::perform(const ReadClock& step)
{
    return apply(step);
}

Answer Play::perform(const Pin& step)
{
    asked.push_back("pin");
    pin = step;
    return Check(Ok{});
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

template <class T, class Parse>
void Play::fetch(
    Known<T>& known, const Result<HttpResponse>& response, Parse parse)
{
    auto fetched = response ? read_document(*response, now) :
                              Result<FetchedDocument>(response.error());
    auto parsed =
        fetched ? parse(fetched->body) : Result<T>(std::move(fetched).error());
    if (!parsed) {
        known.schedule.fail(now);
        known.error = std::move(parsed).error();
        return;
    }
    known.error.reset();
    known.schedule.succeed(fetched->fresh_until);
    known.document.set(std::move(*parsed), known.schedule.usable_until());
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
