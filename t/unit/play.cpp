#include "play.h"

#include "core/encode.h"
#include "flow/callback.h"
#include "flow/gate.h"

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
    client.session_timeout = 8 * 3600;
    client.pre_auth_timeout = 600;
    client.clock_skew = 60;
    client.needs.claims = {"email", "sub"};
    client.needs_mark = mark_of(client.needs);
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

Members example_claims(std::int64_t now)
{
    return {{"iss", R"("https://op.example")"}, {"sub", R"("user-1")"},
        {"aud", R"("app")"}, {"exp", std::to_string(now + 300)},
        {"iat", std::to_string(now)}, {"email", R"("jane@example.com")"}};
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
    Secret masters[] = {master_key(1)};
    provider.configure(std::move(client), masters);
}

Visit Play::visit(std::string target, std::string_view reply)
{
    target_ = std::move(target);
    cookies_ = jar.header();
    Visit visit;
    visit.method = "GET";
    visit.target = target_;
    visit.reply = reply;
    visit.origin = origin;
    visit.cookies = {cookies_};
    visit.extra_args = extra_args;
    visit.cookie_room = cookie_room;
    return visit;
}

Finish Play::gate(std::string target)
{
    auto page = visit(std::move(target));
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
    auto back = visit("/oidc_callback" + (posted ? "" : "?" + reply), reply);
    auto due = posted ? "POST" : "GET";
    back.method = method ? std::string_view(*method) : due;
    Callback callback(provider, back, session);
    return run(callback);
}

Finish Play::run(Flow& flow)
{
    World world{now, random_bytes};
    asked.clear();
    auto step = flow.start(world);

    while (asked.size() < 10) {
        if (auto finish = std::get_if<Finish>(&step)) {
            jar.take(finish->cookies);
            if (finish->location.find("state=") != std::string::npos) {
                sent = parameters(finish->location);
            }
            return std::move(*finish);
        }
        if (auto fetch = std::get_if<Fetch>(&step)) {
            step = flow.resume(world, answer(fetch->request));
        } else if (auto wanted = std::get_if<Learn>(&step)) {
            step = flow.resume(world, learn(*wanted));
        } else {
            asked.push_back("claim");
            claim = std::get<Claim>(step);
            step = flow.resume(world, claimed);
        }
    }
    throw std::runtime_error("a flow that never ends");
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
    return tokens ? *tokens : answer_token();
}

Result<HttpResponse> Play::answer_token() const
{
    auto good = changed(
        example_claims(now), {{"nonce", "\"" + sent.at("nonce") + "\""}});
    auto token = signer->sign(
        alg, object(changed(std::move(good), claims)), header_members);
    return json_answer(object(
        changed({{"access_token", R"("at-1")"}, {"token_type", R"("Bearer")"},
                    {"expires_in", "3600"}, {"id_token", "\"" + token + "\""}},
            token_members)));
}

// What is due is renewed by the time the flow goes on.
Check Play::learn(const Learn& wanted)
{
    auto& known = wanted.part == Part::keys ? keys_ : metadata_;
    if (provider.is_configured(wanted.part)) {
        return Ok{};
    }
    auto may_ask = wanted.anew ? known.schedule.take_renewal(now) :
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
    if (finish.session || !finish.cookies.empty() || !finish.location.empty()) {
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
